/** The commands that look, and the one that carries: fetch --dry-run and --explain, check, show, seed. */
import { expect } from 'chai';
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { ShoalError } from '../../src/errors.ts';
import { runWith, SHARE_ID, shareView, untilAborted, type Script } from './world.ts';

const KEY = 'k'.repeat(43);
const LINK = `shoal:${SHARE_ID}.${KEY}`;
const PEER = '12D3KooWEk6UW6kS4Up4K1hr9SAgMv9NDj2BSc3dkRB1essCYP2y';

const planned: Results['plan'] = {
  name: 'photos\u001b',
  kind: 'folder',
  note: 'from the sea',
  path: '/home/me/photos',
  sizeBytes: 3000,
  files: 2,
  standing: 'part',
  partBytes: 1000,
  neededBytes: 2000,
  roomBytes: 5_000_000,
  peers: 1,
};
const failure = { code: 'disk-full', message: 'cannot fetch to "/home/me/photos": no room' } as const;

describe('shoal fetch --dry-run', () => {
  it('asks what a fetch would do, with all its options', async () => {
    const args = ['fetch', LINK, '--dry-run', '-o', 'x/', '--only', '*.jpg', '--force', '--timeout', '2s'];
    const { asked } = await runWith(args, () => planned);
    const parameters = {
      link: LINK,
      output: '/home/me/x/',
      only: ['*.jpg'],
      keep: false,
      force: true,
      timeoutMs: 2000,
    };
    expect(asked).to.deep.equal([{ action: 'plan', parameters }]);
  });

  it('prints a field on a line each', async () => {
    const { exitCode, stdout, stderr } = await runWith(['fetch', LINK, '--dry-run'], () => planned);
    expect(stdout.lines).to.deep.equal([
      'name: photos\\u{1b}',
      'kind: folder',
      'note: from the sea',
      'size: 3.0 kB',
      'files: 2',
      'path: /home/me/photos',
      'there: nothing; beside it 1.0 kB of an earlier run, to be checked',
      'to write: 2.0 kB',
      'room: 5.0 MB',
      'peers: 1 source at the moment',
    ]);
    expect([exitCode, stderr.text]).to.deep.equal([0, '']);
  });

  it('ends as the fetch would, having said the same as without that', async () => {
    const script: Script = () => ({ ...planned, failure });
    const plain = await runWith(['fetch', LINK, '--dry-run'], script);
    expect(plain.stdout.lines).to.have.lengthOf(10);
    expect([plain.exitCode, plain.stderr.text]).to.deep.equal([1, `shoal: ${failure.message}\n`]);
    const { exitCode, json, stderr } = await runWith(['fetch', LINK, '--dry-run', '--json'], script);
    expect(json, 'one object').to.deep.equal([{ ...planned, failure }]);
    expect([exitCode, stderr.text]).to.deep.equal([1, '']);
    const lost = await runWith(['fetch', LINK, '--dry-run'], () => {
      throw new ShoalError('not-found', 'cannot fetch: nobody');
    });
    expect(lost.exitCode).to.equal(3);
  });

  it('does not go together with stdout, nor with --explain', async () => {
    for (const other of [['-o', '-'], ['--explain']]) {
      const { exitCode, stderr, asked } = await runWith(['fetch', LINK, '--dry-run', ...other], () => planned);
      expect([exitCode, asked.length]).to.deep.equal([2, 0]);
      expect(stderr.text).to.contain('do not go together');
    }
  });
});

const explained: ActionEvent = {
  event: 'explained',
  stages: [
    { stage: 'hint', state: 'off', outcome: 'the link has none' },
    { stage: 'DHT', state: 'done', beganMs: 0, endedMs: 1234, outcome: '2 nodes asked, 1 peer after 1.23 s' },
    { stage: 'dial', state: 'failed', beganMs: 1240, outcome: '1 peer tried, 0 reached; /dns4/x\u001b: no' },
  ],
  failed: 'dial',
  next: 'look at the router',
};

describe('shoal fetch --explain', () => {
  const failing: Script = onEvent => {
    onEvent(explained);
    throw new ShoalError('not-found', 'cannot fetch: nobody');
  };

  it('shows the stages, where it ended and what to do, before the error', async () => {
    const { exitCode, stdout, stderr, asked } = await runWith(['fetch', LINK, '--explain'], failing);
    expect(stderr.lines).to.deep.equal([
      'STAGE    FROM      TO  OUTCOME',
      'hint                   the link has none',
      'DHT    0.00 s  1.23 s  2 nodes asked, 1 peer after 1.23 s',
      'dial   1.24 s          failed: 1 peer tried, 0 reached; /dns4/x\\u{1b}: no',
      'it ended at the stage "dial"; look at the router',
      'shoal: cannot fetch: nobody',
    ]);
    expect([exitCode, stdout.text]).to.deep.equal([3, '']);
    expect(asked[0]?.parameters).to.include({ explain: true });
  });

  it('tells them as an event with --json', async () => {
    const { json } = await runWith(['fetch', LINK, '--explain', '--json'], failing);
    expect(json[0]).to.deep.equal(explained);
    expect(json[1]).to.include({ event: 'error', code: 'not-found' });
  });

  it('goes along with stdout, and is not asked for without the option', async () => {
    const { asked } = await runWith(['fetch', LINK, '--explain', '-o', '-'], failing);
    expect(asked[0]).to.deep.include({ action: 'fetchTo' });
    expect(asked[0]?.parameters).to.include({ explain: true });
    const plain = await runWith(['fetch', LINK], failing);
    expect(plain.asked[0]?.parameters).to.include({ explain: false });
  });
});

const same: Results['check'] = {
  id: SHARE_ID,
  name: 'photos',
  kind: 'folder',
  path: '/home/me/copy',
  sizeBytes: 3000,
  files: 2,
  differences: [],
};
const differing: Results['check'] = {
  ...same,
  differences: [
    { path: 'a\u001b', what: 'missing', why: 'it is missing' },
    { path: 'b', what: 'extra', why: 'the link does not name it' },
  ],
};

describe('shoal check', () => {
  it('says that a copy is exact', async () => {
    const { exitCode, stdout, stderr, asked } = await runWith(['check', LINK, 'copy'], () => same);
    expect(stdout.text).to.equal('copy is exactly what the link names: 2 files, 3.0 kB\n');
    expect([exitCode, stderr.text]).to.deep.equal([0, '']);
    expect(asked).to.deep.equal([
      { action: 'check', parameters: { link: LINK, path: '/home/me/copy', timeoutMs: 300_000 } },
    ]);
  });

  it('lists what differs, and ends with 1', async () => {
    const { exitCode, stdout, stderr } = await runWith(['check', '-', 'copy'], () => differing, { stdin: `${LINK}\n` });
    expect(stdout.lines).to.deep.equal(['missing: a\\u{1b}: it is missing', 'extra: b: the link does not name it']);
    expect(stderr.text).to.equal('shoal: copy is not what the link names: 2 differences\n');
    expect(exitCode).to.equal(1);
    const told = await runWith(['check', LINK, 'copy', '--json'], () => differing);
    expect(told.json).to.deep.equal([{ ...differing, exact: false }]);
    expect([told.exitCode, told.stderr.text]).to.deep.equal([1, '']);
  });

  it('takes what is there besides for a difference, unless it is allowed', async () => {
    const extra: Results['check'] = { ...differing, differences: differing.differences.slice(1) };
    const refused = await runWith(['check', LINK, 'copy'], () => extra);
    expect(refused.exitCode).to.equal(1);
    expect(refused.stderr.text).to.contain('--allow-extra');
    const allowed = await runWith(['check', LINK, 'copy', '--allow-extra'], () => extra);
    expect([allowed.exitCode, allowed.stdout.text]).to.deep.equal([
      0,
      'copy has all that the link names, and 1 more: 2 files, 3.0 kB\n',
    ]);
    const missing = await runWith(['check', LINK, 'copy', '--allow-extra'], () => differing);
    expect([missing.exitCode, missing.stdout.lines.length]).to.deep.equal([1, 1]);
  });

  it('lists the first twenty on a terminal, and all elsewhere', async () => {
    const paths = Array.from({ length: 25 }, (_, n) => `file ${n}`);
    const many: Results['check'] = {
      ...same,
      differences: paths.map(path => ({ path, what: 'missing', why: 'it is missing' })),
    };
    const terminal = await runWith(['check', LINK, 'copy'], () => many, { columns: 80 });
    expect(terminal.stdout.lines).to.have.lengthOf(20);
    expect(terminal.stderr.text).to.contain('… and 5 more; --json lists them all');
    expect((await runWith(['check', LINK, 'copy'], () => many)).stdout.lines).to.have.lengthOf(25);
  });
});

const shown: Results['show'] = { ...shareView(), hints: ['/ip4/192.0.2.1/tcp/1/p2p/x'], hasKey: true, grants: [] };

describe('shoal show', () => {
  it('prints a field on a line each, and no link', async () => {
    const contents = { chunks: 30, chunksKept: 12, diskBytes: 12_600_000, padded: true, note: 'hello' };
    const script: Script = () => ({ ...shown, ...contents, state: 'changed', detail: 'it grew' });
    const { stdout, stderr, asked } = await runWith(['show', 'bafyreid'], script);
    expect(asked).to.deep.equal([{ action: 'show', parameters: { id: 'bafyreid', withLink: false } }]);
    const created = stdout.lines.find(line => line.startsWith('created: '));
    expect(created).to.match(/^created: 2026-09-2\d \d\d:\d\d$/);
    expect(stdout.lines.filter(line => line !== created)).to.deep.equal([
      `id: ${SHARE_ID}`,
      'name: photos',
      'kind: folder',
      'size: 2.7 GB (2700000000 bytes)',
      'files: 12',
      'note: hello',
      'source: the files that were shared',
      'path: /home/me/photos',
      'state: changed: it grew',
      'padded: yes, its exact size is hidden',
      'hints: /ip4/192.0.2.1/tcp/1/p2p/x',
      'chunks: 30, 12 of them kept here',
      'on disk: 12.6 MB',
      'peers served: 3',
      'bytes up: 1.2 MB',
    ]);
    expect(stderr.text).to.equal('');
  });

  it('says what is not known of a share without a key, and of one with damaged blocks', async () => {
    const nameless = { ...shown, name: '', hasKey: false, source: 'imported', hints: [] };
    const { stdout } = await runWith(['show', 'b'], () => nameless);
    expect(stdout.lines).to.include.members([
      'name: carried, without its key',
      'copies elsewhere: not known yet',
      'hints: none',
      'source: encrypted blocks from elsewhere',
      'chunks: unknown, as blocks are damaged',
    ]);
    expect(stdout.text).not.to.match(/^(kind|files|padded|on disk):/m);
  });

  it('prints the link and nothing else with --link, and warns a person', async () => {
    const script: Script = () => ({ ...shown, link: LINK });
    const piped = await runWith(['show', 'b', '--link'], script);
    expect([piped.stdout.text, piped.stderr.text]).to.deep.equal([`${LINK}\n`, '']);
    expect(piped.asked[0]?.parameters).to.deep.equal({ id: 'b', withLink: true });
    const typed = await runWith(['show', 'b', '--link'], script, { columns: 80 });
    expect(typed.stdout.text).to.equal(`${LINK}\n`);
    expect(typed.stderr.text).to.contain('who has this link can read the share');
  });

  it('is one object with --json', async () => {
    const { json } = await runWith(['show', 'b', '--json'], () => shown);
    expect(json).to.deep.equal([shown]);
  });
});

describe('shoal seed', () => {
  /** Carries, is asked for a part of it, and is interrupted. */
  const seeding =
    (stop: AbortController): Script =>
    async (onEvent, signal) => {
      onEvent({ event: 'found', peer: PEER, via: 'dht', path: 'relay', address: '/ip4/192.0.2.1/tcp/1' });
      onEvent({ event: 'opened', kind: 'folder', name: 'photos', sizeBytes: 2_700_000_000, files: 12 });
      onEvent({ event: 'resumed', bytes: 1_000_000 });
      onEvent({ event: 'progress', doneBytes: 2, totalBytes: 2, peers: 1 });
      onEvent({ event: 'finishing' });
      const share = shareView({ source: 'imported' });
      onEvent({ event: 'seeding', share, sources: [{ peer: PEER, via: 'dht', path: 'relay', bytes: 100 }] });
      onEvent({ event: 'served', id: SHARE_ID, peer: PEER, what: 'sent', bytes: 600_000 });
      stop.abort(new ShoalError('interrupted', 'stopped on request'));
      return await untilAborted(signal);
    };

  it('prints the id once all is there, and serves until it is stopped', async () => {
    const stop = new AbortController();
    const { exitCode, stdout, stderr, asked } = await runWith(['seed', LINK], seeding(stop), { stop });
    expect(asked).to.deep.equal([{ action: 'seed', parameters: { link: LINK, timeoutMs: 300_000 } }]);
    expect(stdout.text).to.equal(`${SHARE_ID}\n`);
    expect(stderr.lines).to.deep.equal([
      'photos: 12 files, 2.7 GB',
      'going on where it stopped: 1.0 MB are here already',
      'carrying photos (12 files, 2.7 GB), from 1 peer found by the DHT, through a relay',
      'serving it on until Ctrl-C',
      'stopped; 600 kB went to 1 peer',
    ]);
    expect(exitCode).to.equal(130);
  });

  it('tells events as JSON', async () => {
    const stop = new AbortController();
    const { json } = await runWith(['seed', LINK, '--json'], seeding(stop), { stop });
    const names = ['found', 'opened', 'resumed', 'progress', 'finishing', 'seeding', 'served', 'error'];
    expect(json.map(({ event }) => event)).to.deep.equal(names);
    expect(json[5]).to.deep.include({
      id: SHARE_ID,
      name: 'photos',
      sources: [{ peer: PEER, via: 'dht', path: 'relay', bytes: 100 }],
    });
  });

  it('says that nothing had to come, and what is left when it is stopped before the end', async () => {
    const stop = new AbortController();
    const here: Script = onEvent => {
      onEvent({ event: 'seeding', share: shareView({ name: '', kind: 'file', sizeBytes: 5 }), sources: [] });
      return shareView();
    };
    const { stderr } = await runWith(['seed', LINK], here);
    expect(stderr.lines[0]).to.equal('carrying a share without its key (5 B), all of which was here already');
    const early: Script = async (_, signal) => {
      stop.abort(new ShoalError('interrupted', 'stopped on request'));
      return await untilAborted(signal);
    };
    const stopped = await runWith(['seed', LINK], early, { stop });
    expect([stopped.exitCode, stopped.stderr.text]).to.deep.equal([
      130,
      'stopped; the same command goes on from here\n',
    ]);
  });
});
