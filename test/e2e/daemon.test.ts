/** A daemon: what it serves and fetches without a command that waits, across restarts and kills, and how it is spoken to. */
import { expect } from 'chai';
import { glob, readFile, readdir, rm, stat } from 'node:fs/promises';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { EVENT, RESULTS } from '../../src/daemon/schemas.ts';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, through, useSandbox, type Command, type Told } from './harness.ts';
import { useLines, type Line } from './line.ts';
import { leftovers, makeFile, makePlainTree, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;
const POLL_MS = 50;

describe('a daemon', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();
  const lineTo = useLines();

  /** The one object that a command prints. */
  const ask = async (home: string, ...args: string[]): Promise<Told> => {
    const ended = await sandbox().run(home, [...args, '--json']);
    expectDone(ended);
    return ended.told[0] ?? {};
  };

  const transferOf = async (home: string): Promise<Told> => (await ask(home, 'transfers')).transfers?.[0] ?? {};

  const transferIs = async (home: string, fits: (transfer: Told) => boolean): Promise<Told> => {
    for (;;) {
      const transfer = await transferOf(home);
      if (fits(transfer)) return transfer;
      await sleep(POLL_MS);
    }
  };

  const stateOf = async (home: string): Promise<string | undefined> => (await ask(home, 'shares')).shares?.[0]?.state;

  /** A share of another home, and a line to it. */
  const served = async (
    bytes: number,
  ): Promise<{ link: string; line: Line; path: string; sentBytes: () => number }> => {
    const path = await makePlainTree(sandbox().path('from'), bytes, 'daemon');
    const { link, command } = await sandbox().share('ann', path);
    const line = await lineTo(link);
    const sentBytes = (): number =>
      command.told.reduce((sum, { what, bytes: sent }) => sum + (what === 'sent' ? (sent ?? 0) : 0), 0);
    return { link: through(link, line.port), line, path, sentBytes };
  };

  it('takes over what is shared, serves it after its command has ended, and after it was killed', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 2 * MIB) });
    const daemon = await box.daemon('bob');
    const shared = await box.run('bob', ['share', path, '--hint', 'self', '--json']);
    expectDone(shared);
    const { link = '' } = shared.last('shared');
    expectDone(await box.fetch(link, box.path('one')));
    await daemon.destroy();
    expect(await stateOf('bob')).to.equal('idle');
    const again = await box.daemon('bob');
    expectDone(await box.fetch(link, box.path('two')));
    expect(await treeAt(box.path('two'))).to.deep.equal(await treeAt(path));
    expect(await stateOf('bob')).to.equal('serving');
    again.kill('SIGTERM');
    expect((await again.ended).code, 'being stopped is no failure').to.equal(0);
  });

  it('carries out a fetch by itself, and goes on with it after it was killed', async () => {
    const box = sandbox();
    const { link, line, path, sentBytes } = await served(12 * MIB);
    const held = line.holdAfter(5 * MIB);
    const daemon = await box.daemon('bob');
    expectDone(await box.run('bob', ['fetch', link, '-o', box.path('to'), '--detach', '--json']));
    await held;
    expect(await transferOf('bob')).to.include({ state: 'running', attached: false });
    await journalIn(box.folder);
    await daemon.destroy();
    expect(await transferOf('bob')).to.include({ state: 'queued' });
    line.cut();
    line.release();
    const sentBefore = sentBytes();
    await box.daemon('bob');
    const done = await transferIs('bob', ({ state }) => state === 'done');
    expect(done.path).to.equal(box.path('to'));
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(path));
    expect(sentBytes() - sentBefore, 'what was there was not fetched twice').to.be.lessThan(11 * MIB);
    const id = done.id ?? '';
    await ask('bob', 'transfers', 'cancel', id);
    expect((await ask('bob', 'transfers')).transfers).to.deep.equal([]);
    expect(await treeAt(box.path('to')), 'a done one is only forgotten').to.deep.equal(await treeAt(path));
  });

  it('pauses, resumes and cancels what it fetches, also when nobody holds the home', async () => {
    const box = sandbox();
    const { link, line } = await served(12 * MIB);
    const held = line.holdAfter(5 * MIB);
    const daemon = await box.daemon('bob');
    expectDone(await box.run('bob', ['fetch', link, '-o', box.path('to'), '--detach', '--json']));
    await held;
    const { id = '' } = await transferOf('bob');
    expect(await ask('bob', 'transfers', 'pause', id)).to.include({ state: 'paused' });
    line.release();
    daemon.kill('SIGTERM');
    await daemon.ended;
    await (await box.daemon('bob')).destroy();
    expect(await transferOf('bob'), 'it stays paused').to.include({ state: 'paused' });
    expect(await ask('bob', 'transfers', 'resume', id)).to.include({ state: 'queued' });
    const heldAgain = line.holdAfter(line.bytes + MIB);
    await box.daemon('bob');
    await heldAgain;
    expect(await readdir(box.folder)).not.to.include('to');
    expect(await ask('bob', 'transfers', 'cancel', id)).to.include({ id });
    expect((await ask('bob', 'transfers')).transfers).to.deep.equal([]);
    expect(await leftovers(box.folder)).to.deep.equal([]);
    const unknown = await box.run('bob', ['transfers', 'pause', 't99999', '--json']);
    expectFailed(unknown, 1, 'unknown-share');
  });

  it('keeps a failed fetch until it is resumed, and says why it failed', async () => {
    const box = sandbox();
    const { link, path } = await served(MIB);
    await makeFile(box.path('to', 'something'), { bytes: noise('in the way', 10) });
    await box.daemon('bob');
    expectDone(await box.run('bob', ['fetch', link, '-o', box.path('to', 'something'), '--detach', '--json']));
    const failed = await transferIs('bob', ({ state }) => state === 'failed');
    expect(failed.detail).to.include('something else is there already');
    await rm(box.path('to', 'something'));
    await ask('bob', 'transfers', 'resume', failed.id ?? '');
    await transferIs('bob', ({ state }) => state === 'done');
    expect(await treeAt(box.path('to', 'something'))).to.deep.equal(await treeAt(path));
  });

  it('lets one command pause the fetch of another, and go on with it', async () => {
    const box = sandbox();
    const { link, line, path } = await served(12 * MIB);
    const held = line.holdAfter(5 * MIB);
    await box.daemon('bob');
    const fetching = box.start('bob', ['fetch', link, '-o', box.path('to'), '--json']);
    await held;
    const { id = '', attached } = await transferOf('bob');
    expect(attached).to.equal(true);
    await ask('bob', 'transfers', 'pause', id);
    await fetching.event('waiting', ({ why = '' }) => why.includes('paused'));
    line.release();
    await ask('bob', 'transfers', 'resume', id);
    expectDone(await fetching.ended);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(path));
  });

  it('ends a fetch of another command when it is cancelled', async () => {
    const box = sandbox();
    const { link, line } = await served(12 * MIB);
    const held = line.holdAfter(5 * MIB);
    await box.daemon('bob');
    const fetching = box.start('bob', ['fetch', link, '-o', box.path('to'), '--json']);
    await held;
    const { id = '' } = await transferOf('bob');
    await ask('bob', 'transfers', 'cancel', id);
    expectFailed(await fetching.ended, 130, 'interrupted');
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('leaves a fetch of another command to that one when it is stopped', async () => {
    const box = sandbox();
    const { link, line, path } = await served(12 * MIB);
    const held = line.holdAfter(5 * MIB);
    await box.daemon('bob');
    const fetching = box.start('bob', ['fetch', link, '-o', box.path('to'), '--json', '--timeout', '30s']);
    await held;
    await ask('bob', 'daemon', '--stop');
    line.release();
    expectDone(await fetching.ended);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(path));
  });

  it('runs in the background, and is stopped', async () => {
    const box = sandbox();
    const secret = 'shoal:not-a-link-but-a-secret';
    const { pid = 0, log = '' } = JSON.parse(
      (await box.run('bob', ['daemon', '--detach', '--json'], { env: { SHOAL_LINK: secret } })).stdout.toString(),
    ) as Told;
    expect(await ask('bob', 'status')).to.deep.include({ daemon: { pid }, pid });
    expect(await readFile(`/proc/${pid}/environ`, 'utf8'), 'a link is none of its business').not.to.include(secret);
    const second = await box.run('bob', ['daemon', '--detach', '--json']);
    expectFailed(second, 1, 'in-use');
    expect(second.last('error').message).to.include(`process ${pid}`);
    expectDone(await box.run('bob', ['daemon', '--stop', '--json']));
    expect(await isThere(`/proc/${pid}`)).to.equal(false);
    expect(await readFile(log, 'utf8')).to.match(/"the daemon of shoal \S+ is ready.*\n.*"stopped"/s);
    expect((await stat(log)).mode & 0o077).to.equal(0);
    const none = await box.run('bob', ['daemon', '--stop', '--json']);
    expectDone(none);
    expect(none.stdout.toString(), 'that none runs is what was wanted').to.equal('{"pid":null}\n');
  });

  it('is started by a share or fetch that is detached', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', MIB) });
    const shared = await box.run('ann', ['share', path, '--hint', 'self', '--detach', '--json']);
    expectDone(shared);
    const { link = '' } = shared.last('shared');
    expectDone(await box.run('bob', ['fetch', link, '-o', box.path('to'), '--detach', '--json']));
    await transferIs('bob', ({ state }) => state === 'done');
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(path));
    for (const home of ['ann', 'bob']) expectDone(await box.run(home, ['daemon', '--stop', '--json']));
  });

  for (const how of ['in the foreground', 'in the background']) {
    it(`works through a command that holds the home already, and takes over from it, ${how}`, async () => {
      await takesOver(how === 'in the background');
    });
  }

  async function takesOver(isDetached: boolean): Promise<void> {
    const box = sandbox();
    const first = await box.share('ann', await makeFile(box.path('a'), { bytes: noise('a', MIB) }));
    if (isDetached) expectDone(await box.run('ann', ['daemon', '--detach', '--json']));
    else await box.daemon('ann');
    const second = await box.run('ann', ['share', await makeFile(box.path('b'), { bytes: noise('b', MIB) }), '--json']);
    expectDone(second);
    const { id = '' } = second.last('shared');
    expect((await first.command.interrupt()).code).to.equal(130);
    for (;;) {
      const { shares = [] } = await ask('ann', 'shares');
      if (shares.some(share => share.id === id && share.state === 'serving')) break;
      await sleep(POLL_MS);
    }
    expect((await ask('ann', 'status')).daemon?.pid).to.equal((await ask('ann', 'status')).pid);
  }

  it('refuses what can not be in the words of a command without a daemon', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 10) });
    const wrong: readonly (readonly [args: string[], code: string])[] = [
      [['share', path, '--note', 'n'.repeat(5000)], 'usage'],
      [['share', path, '--exclude', 'x'.repeat(5000)], 'usage'],
      [['share', 'p'.repeat(5000)], 'bad-name'],
      [['forget', ''], 'usage'],
      [['show', 'b'.repeat(5000)], 'unknown-share'],
      [['transfers', 'pause', ' '], 'usage'],
      [['transfers', 'cancel', ''], 'unknown-share'],
    ];
    const refusals = async (): Promise<string[]> => {
      const messages: string[] = [];
      for (const [args, code] of wrong) {
        const refused = await box.run('bob', [...args, '--json']);
        expectFailed(refused, code === 'usage' ? 2 : 1, code);
        messages.push(refused.last('error').message ?? '');
      }
      return messages;
    };
    const alone = await refusals();
    expect(alone.join('\n')).not.to.match(/Too (big|small)/);
    await box.daemon('bob');
    expect(await refusals()).to.deep.equal(alone);
  });

  it('answers and tells as its description says', async () => {
    const box = sandbox();
    await box.daemon('ann');
    const told: unknown[] = [];
    const events = await listen(box.folder, event => told.push(event));
    const path = await makeFile(box.path('it'), { bytes: noise('it', MIB) });
    const { link = '' } = (await box.run('ann', ['share', path, '--hint', 'self', '--json'])).last('shared');
    expectDone(await box.fetch(link, box.path('one')));
    expectDone(await box.run('ann', ['fetch', link, '-o', box.path('two'), '--detach', '--json']));
    await transferIs('ann', ({ state }) => state === 'done');
    for (const looking of ['shares', 'status', 'transfers', 'peers'] as const)
      RESULTS[looking].parse(await ask('ann', looking));
    events.end();
    expect(new Set(told.map(event => EVENT.parse(event).event))).to.deep.equal(new Set(['served', 'transfer']));
  });

  it('serves a share no more once it is forgotten, or paused', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', MIB) });
    await box.daemon('ann');
    const { link = '', id = '' } = (await box.run('ann', ['share', path, '--hint', 'self', '--json'])).last('shared');
    const gone = ['fetch', link, '-o', box.path('gone'), '--json', '--timeout', '2s'];
    await ask('ann', 'transfers', 'pause', id);
    expect(await stateOf('ann')).to.equal('idle');
    expectFailed(await box.run('bob', gone), 3, 'not-found');
    await ask('ann', 'transfers', 'resume', id);
    expectDone(await box.fetch(link, box.path('to')));
    await ask('ann', 'forget', id);
    expectFailed(await box.run('bob', gone), 3, 'not-found');
  });
});

describe('a share for so many', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();
  const lineTo = useLines();

  it('ends when one has got it all, and is given to one at a time', async () => {
    const box = sandbox();
    const path = await makePlainTree(box.path('from'), 12 * MIB, 'once');
    const { link, command } = await box.share('ann', path, ['--once']);
    const line = await lineTo(link);
    const held = line.holdAfter(5 * MIB);
    const slow = box.start('bob', ['fetch', through(link, line.port), '-o', box.path('first'), '--json']);
    await held;
    const second = box.start('cat', ['fetch', link, '-o', box.path('second'), '--json', '--timeout', '3s']);
    expectFailed(await second.ended, 3, 'unavailable');
    line.release();
    expectDone(await slow.ended);
    const ended = await command.ended;
    expectDone(ended);
    expect(ended.last('done')).to.include({ state: 'delivered', downloadsLeft: 0 });
    expect(await treeAt(box.path('first'))).to.deep.equal(await treeAt(path));
    const shares = (await box.run('ann', ['shares', '--json'])).told[0]?.shares;
    expect(shares?.[0]).to.include({ state: 'delivered', peersServed: 1 });
  });

  it('counts on when the daemon was killed in between', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', MIB) });
    const daemon: Command = await box.daemon('ann');
    const shared = await box.run('ann', ['share', path, '--hint', 'self', '--downloads', '2', '--json']);
    const { link = '' } = shared.last('shared');
    expectDone(await box.fetch(link, box.path('one')));
    await daemon.destroy();
    await box.daemon('ann');
    expectDone(await box.fetch(link, box.path('two')));
    expectFailed(await box.fetch(link, box.path('three'), ['--timeout', '2s']), 3, 'not-found');
    const again = await box.run('ann', ['share', path, '--hint', 'self', '--json']);
    expect(again.last('shared').again, 'sharing it anew lifts the limit').to.equal(true);
    expectDone(await box.fetch(link, box.path('four')));
  });
});

/** Follows the events of the holder whose socket is below `folder`, as soon as it listens. */
async function listen(folder: string, onEvent: (event: unknown) => void): Promise<{ end(): void }> {
  for await (const socketPath of glob(join(folder, 'run', '*', '*.sock'))) {
    const asking = request({ socketPath, path: '/v1/events', headers: { accept: 'text/event-stream' } }).end();
    const [response] = (await once(asking, 'response')) as [IncomingMessage];
    const lines = createInterface({ input: response }).on('error', () => undefined);
    lines.on('line', line => {
      if (line.startsWith('data: ')) onEvent(JSON.parse(line.slice('data: '.length)));
    });
    asking.on('error', () => undefined);
    response.on('error', () => undefined);
    return { end: () => void asking.destroy() };
  }
  throw new Error('nobody listens');
}

/** Waits until a fetch below `folder` has noted what it has written. */
async function journalIn(folder: string): Promise<void> {
  for (;;) {
    for await (const journal of glob(join(folder, '.*', 'journal'))) {
      const bytes = await readFile(journal);
      if (bytes.length > 0 && bytes.readUInt32BE() !== 0xffff_ffff) return;
    }
    await sleep(POLL_MS);
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
