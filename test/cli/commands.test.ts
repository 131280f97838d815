import { expect } from 'chai';
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { ERROR_CODES, exitCodeOf, ShoalError, type ErrorCode } from '../../src/errors.ts';
import { FetchView } from '../../cli/fetching.ts';
import { terminalOf } from '../../cli/main.ts';
import { decoded } from './scanner.ts';
import { runWith, Screen, SHARE_ID, shareView, untilAborted, type Script, type Setting } from './world.ts';

const KEY = 'k'.repeat(43);
const LINK = `shoal:${SHARE_ID}.${KEY}`;
const PEER = '12D3KooWEk6UW6kS4Up4K1hr9SAgMv9NDj2BSc3dkRB1essCYP2y';

const shared: ActionEvent = { event: 'shared', share: shareView(), link: LINK, again: false, addresses: [] };
const fetched: Results['fetch'] = {
  name: 'photos',
  kind: 'folder',
  path: '/home/me/photos',
  sizeBytes: 1000,
  files: 2,
  alreadyThere: false,
  found: 'mdns',
  sources: [{ peer: PEER, via: 'mdns', path: 'direct', bytes: 1016 }],
};
const served = (what: 'joined' | 'sent' | 'complete' | 'left', bytes = 0): ActionEvent => ({
  event: 'served',
  id: SHARE_ID,
  peer: PEER,
  what,
  bytes,
});

/** Shares, is asked for all of it by one peer, and is then interrupted. */
function sharing(stop: AbortController): Script {
  return async (onEvent, signal) => {
    onEvent({ event: 'skipped', path: 'sock\u001b', why: 'it is a socket' });
    onEvent({ event: 'damaged', id: SHARE_ID, why: 'a block is not there' });
    onEvent({ event: 'sealing', doneBytes: 1, totalBytes: 2 });
    onEvent(shared);
    onEvent(served('joined'));
    onEvent(served('sent', 600_000));
    onEvent(served('sent', 400_000));
    onEvent(served('complete'));
    onEvent(served('left'));
    stop.abort(new ShoalError('interrupted', 'stopped on request'));
    return await untilAborted(signal);
  };
}

describe('shoal share', () => {
  it('prints the link, and nothing but the link, on stdout', async () => {
    const stop = new AbortController();
    const { exitCode, stdout, stderr } = await runWith(['share', 'photos'], sharing(stop), { stop });
    expect(stdout.text).to.equal(`${LINK}\n`);
    expect(stderr.lines).to.deep.equal([
      'left out sock\\u{1b}: it is a socket',
      'it was shared before, but not all is there that is needed to serve that: a block is not there',
      'so it is shared anew, and the link is a new one',
      'sharing photos (12 files, 2.7 GB)',
      'who has this link can read it; serving until Ctrl-C',
      'a peer has it all: …essCYP2y; 1.0 MB up so far',
      'stopped; 1.0 MB went to 1 peer, 1 of which got it all',
    ]);
    expect(exitCode).to.equal(130);
  });

  it('is silent but for the link with --quiet', async () => {
    const stop = new AbortController();
    const { stdout, stderr } = await runWith(['share', 'photos', '-q'], sharing(stop), { stop });
    expect([stdout.text, stderr.text]).to.deep.equal([`${LINK}\n`, '']);
  });

  it('tells events as JSON, with the bytes of each peer summed up', async () => {
    const stop = new AbortController();
    const { json, stderr } = await runWith(['--json', 'share', 'photos'], sharing(stop), { stop });
    expect(json.map(({ event }) => event)).to.deep.equal([
      'skipped',
      'damaged',
      'sealing',
      'shared',
      'served',
      'served',
      'served',
      'served',
      'error',
    ]);
    expect(json[3]).to.include({ id: SHARE_ID, link: LINK, name: 'photos', sizeBytes: 2_700_000_000, again: false });
    expect(json[5]).to.deep.equal({ event: 'served', id: SHARE_ID, peer: PEER, what: 'sent', bytes: 1_000_000 });
    expect(json.at(-1)).to.include({ event: 'error', code: 'interrupted', exitCode: 130 });
    expect(stderr.text).to.equal('');
  });

  it('resolves paths here, and hands on what was chosen', async () => {
    const args = [
      'share',
      '../x',
      'z',
      '--name',
      'y',
      '--note',
      'for you',
      '--exclude',
      '*.o',
      '--exclude',
      'build',
      '--skip',
      '--copy',
      '--no-pad',
      '--new',
      '--hint',
      'self',
      '--hint',
      'a.example',
    ];
    const { asked } = await runWith(args, () => shareView());
    const parameters = {
      paths: ['/home/x', '/home/me/z'],
      exclude: ['*.o', 'build'],
      spooled: false,
      name: 'y',
      note: 'for you',
      skip: true,
      copy: true,
      pad: false,
      anew: true,
      hints: ['self', 'a.example'],
    };
    expect(asked).to.deep.equal([{ action: 'share', parameters }]);
    const plain = await runWith(['share', '/x', '--no-hints', '--note', ''], () => shareView());
    expect(plain.asked[0]?.parameters).to.deep.equal({
      paths: ['/x'],
      exclude: [],
      spooled: false,
      skip: false,
      copy: false,
      pad: true,
      anew: false,
      hints: [],
    });
  });

  it('says which of the globs of what is left out match nothing', async () => {
    const stop = new AbortController();
    const script: Script = async (onEvent, signal) => {
      onEvent({ event: 'unmatched', glob: '*.\u001b' });
      return await sharing(stop)(onEvent, signal, undefined);
    };
    const { stderr } = await runWith(['share', 'photos'], script, { stop });
    expect(stderr.lines[0]).to.equal('--exclude *.\\u{1b} matches nothing');
  });

  it('hands on what comes from stdin, under its name', async () => {
    const stop = new AbortController();
    const script: Script = async (onEvent, signal) => {
      onEvent({ event: 'reading', doneBytes: 3 });
      return await sharing(stop)(onEvent, signal, undefined);
    };
    const { asked, stdout } = await runWith(['share', '-', '--name', 'db.sql', '--copy'], script, {
      stop,
      stdin: 'all',
    });
    const parameters = { name: 'db.sql', skip: false, copy: true, pad: true, anew: false, content: 'all' };
    expect(asked).to.deep.equal([{ action: 'shareStream', parameters }]);
    expect(stdout.text).to.equal(`${LINK}\n`);
  });

  it('does not wait for what somebody might type', async () => {
    const { exitCode, stderr, asked } = await runWith(['share', '-', '--name', 'x'], () => shareView(), {
      isTyped: true,
    });
    expect([exitCode, asked]).to.deep.equal([2, []]);
    expect(stderr.text).to.match(
      /stdin is a terminal: pipe something into it, as in "pg_dump \| shoal share - --name db.sql"/,
    );
  });

  it('shows the link as a QR code beside it, which leaves stdout as it is', async () => {
    const stop = new AbortController();
    const { stdout, stderr } = await runWith(['share', 'photos', '--qr'], sharing(stop), { stop, columns: 80 });
    expect(stdout.text).to.equal(`${LINK}\n`);
    expect(decoded(stderr.text, 'dark')).to.equal(LINK);
  });

  it('has no place for a QR code in JSON', async () => {
    const { json, asked } = await runWith(['share', 'photos', '--qr', '--json'], () => shareView(), { columns: 80 });
    expect(asked).to.deep.equal([]);
    expect(json).to.have.lengthOf(1);
    expect(json[0]).to.include({ code: 'usage', message: '--qr does not go with --json or --quiet', exitCode: 2 });
  });

  it('says what a QR code needs where the terminal is too narrow, and goes on', async () => {
    const stop = new AbortController();
    const { exitCode, stdout, stderr } = await runWith(['share', 'photos', '--qr'], sharing(stop), {
      stop,
      columns: 48,
    });
    expect([exitCode, stdout.text]).to.deep.equal([130, `${LINK}\n`]);
    expect(stderr.text).to.match(/cannot show the QR code: it takes 49 columns and the terminal has 48; make it wider/);
    expect(stderr.text).not.to.match(/[▀▄█]/);
  });

  it('says that nothing is shared when it was stopped before', async () => {
    const stop = new AbortController();
    const script: Script = async (_, signal) => {
      stop.abort(new ShoalError('interrupted', 'stopped on request'));
      return await untilAborted(signal);
    };
    const { exitCode, stdout, stderr } = await runWith(['share', 'photos'], script, { stop });
    expect([exitCode, stdout.text, stderr.text]).to.deep.equal([130, '', 'stopped; nothing is shared\n']);
  });

  it('says only what went wrong when it fails', async () => {
    const script: Script = () => {
      throw new ShoalError('not-shareable', 'cannot share everything in "x":\n  a: it is a socket');
    };
    const { exitCode, stdout, stderr } = await runWith(['share', 'x'], script);
    expect([exitCode, stdout.text]).to.deep.equal([1, '']);
    expect(stderr.text).to.equal('shoal: cannot share everything in "x":\n  a: it is a socket\n');
  });
});

describe('shoal fetch', () => {
  const opened: ActionEvent = {
    event: 'opened',
    kind: 'folder',
    name: 'photos',
    sizeBytes: 1000,
    files: 2,
    note: 'hi\u0007',
  };

  it('prints on stdout where it is, and on stderr what it was', async () => {
    const script: Script = onEvent => {
      onEvent(opened);
      onEvent({ event: 'resumed', bytes: 500 });
      onEvent({ event: 'renamed', path: 'a:b', as: 'a_b' });
      onEvent({ event: 'progress', doneBytes: 1000, totalBytes: 1000, peers: 1 });
      return fetched;
    };
    const { exitCode, stdout, stderr } = await runWith(['fetch', LINK], script);
    expect([exitCode, stdout.text]).to.deep.equal([0, '/home/me/photos\n']);
    expect(stderr.lines).to.deep.equal([
      'photos: 2 files, 1.0 kB',
      'note: hi\\u{7}',
      'going on where it stopped: 500 B are here already',
      'this file system can not hold a:b, or keep it apart; it becomes a_b',
      'done: 2 files, 1.0 kB, from 1 peer found by mdns, direct',
    ]);
  });

  it('says what is done here while nothing comes', () => {
    const stderr = new Screen(80);
    const view = new FetchView(terminalOf([], { env: {}, stdout: new Screen(80), stderr }), false, () => 0);
    view.tell(opened);
    const lines = (['compare', 'make', 'verify', 'ready'] as const).map(step => {
      view.tell({ event: 'preparing', step });
      return view.line(0, 80);
    });
    expect(lines).to.deep.equal([
      'photos: comparing it with what stands there',
      'photos: making 2 files',
      'photos: verifying what an earlier run has left',
      'photos  0%  0 B of 1.0 kB',
    ]);
  });

  it('says so where it is there already', async () => {
    const { stderr } = await runWith(['fetch', LINK], () => ({ ...fetched, alreadyThere: true, sources: [] }));
    expect(stderr.text).to.equal('already there, verified: 2 files, 1.0 kB\n');
  });

  it('ends its events with the result', async () => {
    const { json } = await runWith(['fetch', LINK, '--json'], onEvent => (onEvent(opened), fetched));
    expect(json).to.deep.equal([opened, { event: 'done', ...fetched }]);
  });

  it('tells of progress twice a second, and of the end', async () => {
    const { json } = await runWith(['fetch', LINK, '--json'], onEvent => {
      for (let n = 1; n <= 1000; n++) onEvent({ event: 'progress', doneBytes: n, totalBytes: 1000, peers: 1 });
      return fetched;
    });
    const told = json.filter(({ event }) => event === 'progress').map(({ doneBytes }) => doneBytes);
    expect(told[0]).to.equal(1);
    expect(told.at(-1)).to.equal(1000);
    expect(told.length).to.be.below(10);
  });

  it('goes on serving with --keep, and has told the result before', async () => {
    const keeping =
      (stop: AbortController): Script =>
      async (onEvent, signal) => {
        onEvent({ event: 'keeping', fetched, share: shareView({ source: 'fetched' }) });
        stop.abort(new ShoalError('interrupted', 'stopped on request'));
        return await untilAborted(signal);
      };
    const stops = [new AbortController(), new AbortController()] as const;
    const told = await runWith(['fetch', LINK, '--keep'], keeping(stops[0]), { stop: stops[0] });
    expect(told.stdout.text).to.equal('/home/me/photos\n');
    expect(told.stderr.lines.slice(1)).to.deep.equal([
      'serving it on until Ctrl-C',
      'stopped; nobody fetched it meanwhile',
    ]);
    expect(told.exitCode).to.equal(130);
    const { json } = await runWith(['fetch', LINK, '--keep', '--json'], keeping(stops[1]), { stop: stops[1] });
    expect(json.map(({ event }) => event)).to.deep.equal(['done', 'keeping', 'error']);
    expect(json[0]).to.deep.equal({ event: 'done', ...fetched });
  });

  it('writes a file to stdout untouched, and nothing else there', async () => {
    const { exitCode, stdout, stderr, asked } = await runWith(['fetch', LINK, '-o', '-'], () => fetched);
    expect([exitCode, stdout.text]).to.deep.equal([0, 'the content\u001b']);
    expect(stderr.text).to.contain('done: ');
    expect(asked).to.deep.equal([
      { action: 'fetchTo', parameters: { link: LINK, explain: false, timeoutMs: 300_000 } },
    ]);
    for (const other of [['--json'], ['--keep'], ['--force'], ['--only', 'x']]) {
      const refused = await runWith(['fetch', LINK, '-o', '-', ...other], () => fetched);
      expect(refused.exitCode, other[0]).to.equal(2);
      expect(refused.asked).to.deep.equal([]);
    }
  });

  it('gives up after five minutes in a script, never on a terminal, or as it is told', async () => {
    const timeoutOf = async (args: string[], columns?: number) => {
      const setting = columns === undefined ? {} : { columns };
      const { asked } = await runWith(['fetch', LINK, ...args], () => fetched, setting);
      return (asked[0]?.parameters as { timeoutMs?: number }).timeoutMs;
    };
    expect(await timeoutOf([])).to.equal(300_000);
    expect(await timeoutOf([], 80)).to.equal(undefined);
    expect(await timeoutOf(['--timeout', '30s'], 80)).to.equal(30_000);
    expect(await timeoutOf(['--timeout', 'never'])).to.equal(undefined);
  });

  it('takes the link from its argument, from stdin, or from SHOAL_LINK', async () => {
    const env = { SHOAL_LINK: `${LINK}@from.env` };
    const linkOf = async (args: string[], setting = {}) => {
      const { asked, exitCode, stderr } = await runWith(
        ['ls', ...args],
        () => ({ name: 'x', kind: 'file', entries: [] }),
        setting,
      );
      return asked.length === 0 ? `${exitCode} ${stderr.text}` : (asked[0]?.parameters as { link: string }).link;
    };
    expect(await linkOf([LINK], { env })).to.equal(LINK);
    expect(await linkOf([], { env })).to.equal(`${LINK}@from.env`);
    expect(await linkOf(['-'], { env, stdin: `\n  <${LINK}> \nmore\n` })).to.equal(`<${LINK}> `);
    expect(await linkOf(['-'], { stdin: LINK })).to.equal(LINK);
    expect(await linkOf([])).to.match(/^2 shoal: no link/);
    expect(await linkOf(['-'], { stdin: ' \n' })).to.match(/^2 shoal: no link/);
    expect(await linkOf(['-'], { stdin: 'x'.repeat(100_000) })).to.match(/^2 shoal: cannot read link/);
  });

  it('keeps what it has when it is interrupted, and says so', async () => {
    const stop = new AbortController();
    const script: Script = async (_, signal) => {
      stop.abort(new ShoalError('interrupted', 'stopped on request'));
      return await untilAborted(signal);
    };
    const { exitCode, stderr } = await runWith(['fetch', LINK], script, { stop });
    expect([exitCode, stderr.text]).to.deep.equal([130, 'stopped; the same command goes on from here\n']);
  });
});

describe('shoal ls', () => {
  const listing: Results['list'] = {
    name: 'photos',
    kind: 'folder',
    entries: [
      { path: 'a/b\u202e.jpg', size: 1_234_567, modified: new Date(2026, 2, 1, 14, 5).getTime() / 1000 },
      { path: 'empty', size: 0, directory: true },
      { path: 'z', size: 9 },
    ],
  };

  it('prints size, date and path of each entry, and the total beside them', async () => {
    const { stdout, stderr } = await runWith(['ls', LINK], () => listing);
    expect(stdout.lines).to.deep.equal([
      '1.2 MB  2026-03-01 14:05  a/b\\u{202e}.jpg',
      '     -                    empty/',
      '   9 B                    z',
    ]);
    expect(stderr.text).to.equal('photos: 2 files, 1.2 MB\n');
  });

  it('prints one JSON object, of exact sizes', async () => {
    const { stdout, json } = await runWith(['ls', LINK, '--json'], () => listing);
    expect(json).to.deep.equal([{ ...listing, sizeBytes: 1_234_576, files: 2 }]);
    expect(stdout.text).to.contain('\\u202e');
  });
});

describe('shoal shares', () => {
  const views = [
    shareView(),
    shareView({
      id: SHARE_ID.replace('dlw', 'xyz'),
      name: '東京\u001b.jpg',
      kind: 'file',
      state: 'changed',
      detail: 'it is shorter',
    }),
  ];

  it('prints a table', async () => {
    const { stdout, stderr } = await runWith(['shares'], () => ({ shares: views }));
    expect(stdout.lines).to.deep.equal([
      'ID                NAME              SIZE  STATE    PEERS      UP',
      'bafyreidlwd5lg4l  photos/         2.7 GB  serving      3  1.2 MB',
      'bafyreixyzd5lg4l  東京\\u{1b}.jpg  2.7 GB  changed      3  1.2 MB',
    ]);
    expect(stderr.text).to.equal('bafyreixyzd5lg4l is changed: it is shorter\n');
  });

  it('prints blocks where the terminal is narrow', async () => {
    const { stdout } = await runWith(['shares'], () => ({ shares: views }), { columns: 40 });
    expect(stdout.lines.slice(0, 3)).to.deep.equal(['ID     bafyreidlwd5lg4l', 'NAME   photos/', 'SIZE   2.7 GB']);
  });

  it('says at how many relays each is stored, and until when, where relays are used', async () => {
    const copy = {
      relay: 'R1',
      name: 'https://relay.example',
      state: 'stored',
      until: 1_800_000_000,
      checkedAt: 1,
    } as const;
    const failing = { relay: 'R2', name: 'another', state: 'wanted', detail: 'the relay is full' } as const;
    const stored = [shareView({ copies: [copy, failing] }), shareView({ copies: [] })];
    const { stdout, stderr } = await runWith(['shares'], () => ({ shares: stored }), { columns: 120 });
    expect(stdout.lines[0]).to.match(/UP {2}STORED$/);
    expect(stdout.lines[1]).to.match(/ 1 of 2, until 2027-01-15$/);
    expect(stdout.lines[2]).to.match(/1\.2 MB$/);
    expect(stderr.text).to.equal(`${SHARE_ID.slice(0, 16)} at another: the relay is full\n`);
  });

  it('says what to do where there are none, and prints nothing', async () => {
    const { stdout, stderr } = await runWith(['shares'], () => ({ shares: [] }));
    expect(stdout.text).to.equal('');
    expect(stderr.text).to.contain('"shoal share PATH"');
    const { json } = await runWith(['shares', '--json'], () => ({ shares: [] }));
    expect(json).to.deep.equal([{ shares: [] }]);
  });
});

describe('shoal forget, export and import', () => {
  it('say what they did', async () => {
    const forgotten = await runWith(['forget', 'bafyreidlw'], () => shareView());
    expect(forgotten.stderr.text).to.equal(
      `forgot photos (${SHARE_ID}): this home does not serve it any more; your files stay where they are\n`,
    );
    expect(forgotten.asked).to.deep.equal([{ action: 'forget', parameters: { id: 'bafyreidlw' } }]);

    const result = { id: SHARE_ID, path: '/home/me/x.car', bytes: 2000, blocks: 3 };
    const exported = await runWith(['export', SHARE_ID, '-o', 'x.car', '--force'], () => result);
    expect(exported.stdout.text).to.equal('/home/me/x.car\n');
    expect(exported.asked[0]?.parameters).to.deep.equal({ id: SHARE_ID, output: '/home/me/x.car', force: true });

    const incomplete = { id: SHARE_ID, bytes: 2000, blocks: 3, complete: false };
    const imported = await runWith(['import', 'x.car'], () => incomplete);
    expect(imported.stdout.text).to.equal(`${SHARE_ID}\n`);
    expect(imported.stderr.text).to.contain('some blocks are missing');
    expect(imported.asked[0]?.parameters).to.deep.equal({ path: '/home/me/x.car' });
  });

  it('print one JSON object each', async () => {
    const result = { id: SHARE_ID, path: '/x', bytes: 1, blocks: 1 };
    expect((await runWith(['forget', 'x', '--json'], () => shareView())).json).to.deep.equal([shareView()]);
    for (const args of [
      ['export', 'x', '-o', 'y'],
      ['import', 'x'],
    ]) {
      const withEvents: Script = onEvent => (onEvent({ event: 'blocks', blocks: 1, bytes: 1 }), result);
      expect((await runWith([...args, '--json'], withEvents)).json, args[0]).to.deep.equal([result]);
    }
  });
});

describe('Errors', () => {
  const failing = (error: unknown, args: string[] = []) =>
    runWith(['shares', ...args], () => {
      throw error;
    });

  it('end the program with the exit code of their kind, and one line', async () => {
    for (const code of Object.keys(ERROR_CODES).filter(one => one !== 'interrupted') as ErrorCode[]) {
      const { exitCode, stderr } = await failing(new ShoalError(code, `cannot do it: ${code}`));
      expect(exitCode, code).to.equal(exitCodeOf(code));
      expect(stderr.text).to.equal(`shoal: cannot do it: ${code}\n`);
    }
  });

  it('are events with --json, with the same exit code', async () => {
    const { exitCode, json, stderr } = await failing(new ShoalError('refused', 'no\u009b'), ['--json']);
    expect(json).to.deep.equal([{ event: 'error', code: 'refused', message: 'no\u009b', exitCode: 5 }]);
    expect([exitCode, stderr.text]).to.deep.equal([5, '']);
  });

  it('that are bugs ask for a trace, which --debug prints', async () => {
    const { exitCode, stderr } = await failing(new TypeError('x is not a function'));
    expect(exitCode).to.equal(1);
    expect(stderr.lines).to.deep.equal([
      'shoal: internal error: x is not a function; this is a bug, run it again with --debug for its trace',
    ]);
    const debugged = await failing(new TypeError('x is not a function', { cause: new Error('deep') }), ['--debug']);
    expect(debugged.stderr.text).to.match(/^shoal: internal error: x is not a function\n/);
    expect(debugged.stderr.text).to.contain('\n  at ').and.to.contain('\n  caused by Error: deep');
    const told = await failing(new TypeError('x'), ['--json']);
    expect(told.json).to.deep.equal([{ event: 'error', code: 'internal', message: 'internal error: x', exitCode: 1 }]);
  });

  it('of the output say why it can not be written', async () => {
    const stop = new AbortController();
    const script: Script = async (_, signal) => {
      stop.abort(new ShoalError('disk-full', 'cannot write to stdout: no space is left'));
      await untilAborted(signal).catch(() => undefined);
      throw new ShoalError('interrupted', 'stopped on request');
    };
    const { exitCode, stderr } = await runWith(['shares'], script, { stop });
    expect([exitCode, stderr.text]).to.deep.equal([1, 'shoal: cannot write to stdout: no space is left\n']);
  });
});

describe('Arguments', () => {
  const wrong: readonly [args: string[], message: RegExp][] = [
    [[], /no command is given; "shoal --help"/],
    [['fech'], /unknown command 'fech'; did you mean "fetch"\?/],
    [['fetch', '--ony', 'x'], /unknown option '--ony'; did you mean "--only"\?/],
    [['share'], /missing required argument 'path'; "shoal share --help"/],
    [['ls', LINK, 'b'], /too many arguments: "shoal ls" takes 1, and 2 are given; "shoal ls --help"/],
    [['share', 'a', '-'], /"-" stands alone: what comes from stdin is a share of its own/],
    [['share', '-'], /what comes from stdin has no name: give it one with --name/],
    [['share', '-', '--name', 'x', '--exclude', 'y'], /--exclude does not go with "-"/],
    [['share', 'a', '--qr', '-q'], /--qr does not go with --json or --quiet/],
    [['share', 'a', '--qr'], /--qr needs a terminal to show the code on, and stderr is none/],
    [['export', 'x'], /"shoal export" needs --output <file>; "shoal export --help" says more/],
    [['fetch', LINK, '-o'], /no value is given to --output <path>; "shoal fetch --help"/],
    [['relays', 'lisst'], /unknown command "lisst" behind/],
    [['config', 'nope'], /unknown command "nope" behind "config": it is get, set, .*; "shoal config --help"/],
    [['config', 'get'], /missing required argument 'key'; "shoal config get --help"/],
    [['shares', 'a', 'b'], /too many arguments: "shoal shares" takes none, and 2 are given/],
    [['help', 'nope'], /unknown command "nope"; "shoal --help" says more/],
    [['completion', 'tcsh'], /the shell "tcsh" is none of bash, zsh, fish; "shoal completion --help"/],
    [
      ['daemon', '--log-level', "it's \n"],
      /--log-level: "it's \\n" is none of debug, info, warn, error; "shoal daemon/,
    ],
    [['fetch', LINK, '--timeout', '5 parsecs'], /cannot read the duration "5 parsecs": write it like 30s/],
    [['share', 'a', '--hint', 'self', '--no-hints'], /--hint and --no-hints do not go together/],
    [['--dht', 'both', 'shares'], /--dht: "both" is none of auto, client, server, off; "shoal shares --help"/],
    [['share', ''], /cannot use a path that is empty/],
    [['fetch', LINK, '-o', ''], /cannot use a path that is empty/],
    [['check', LINK, ''], /cannot use a path that is empty/],
    [['x\u001b[2J'], /unknown command 'x\\u\{1b\}\[2J'/],
  ];
  for (const [args, message] of wrong) {
    it(`that are wrong are explained: ${JSON.stringify(args.map(argument => argument.replace(LINK, 'LINK')))}`, async () => {
      const { exitCode, stdout, stderr, asked } = await runWith(args, () => shareView());
      expect([exitCode, stdout.text, asked.length]).to.deep.equal([2, '', 0]);
      expect(stderr.lines).to.have.lengthOf(1);
      expect(stderr.text).to.match(message);
    });
  }

  const spellings: readonly [what: string, link: string][] = [
    ['as it is', LINK],
    ['without its scheme', `${SHARE_ID}.${KEY}`],
    ['with its scheme in capitals', `SHOAL:${SHARE_ID}.${KEY}`],
    ['as an address', `Shoal://${SHARE_ID}.${KEY}`],
    ['all in capitals', `SHOAL:${SHARE_ID}.${KEY}`.toUpperCase()],
    ['of a server', `https://x.example/#${SHARE_ID}.${KEY}`],
    ['with a hint', `${SHARE_ID}.${KEY}@x.example`],
    ['without its beginning', `${SHARE_ID.slice(3)}.${KEY}`],
    ['with a key that was cut', `${SHARE_ID}.${KEY.slice(0, 20)}`],
    ['with a mistake in its id', `${SHARE_ID.replaceAll('c', '1')}.${KEY}`],
  ];
  for (const [what, link] of spellings) {
    it(`never show the key of a link ${what}, wherever it was put`, async () => {
      for (const args of [
        [link],
        ['fetch', 'a', link],
        ['ls', `--x=${link}`],
        ['fetch', LINK, '--timeout', link],
        ['shares', '--dht', link],
        ['share', 'a', '--hint', link],
      ]) {
        for (const format of ['--debug', '--json']) {
          const { exitCode, stdout, stderr } = await runWith([...args, format], () => shareView());
          expect(exitCode).to.equal(2);
          expect(stdout.text + stderr.text, args.join(' ')).not.to.match(/kk/i);
        }
      }
    });

    it(`never show the key of a link ${what} that was taken for a path or an address`, async () => {
      for (const args of [
        ['import', link],
        ['share', link],
        ['share', 'a', link],
        ['export', 'a', '-o', link],
        ['share', 'a', '--name', link],
      ]) {
        const fail: Script = (_, __, parameters) => {
          throw new ShoalError('io', `cannot do it with ${JSON.stringify(parameters)}`, { cause: new Error(link) });
        };
        for (const format of ['--debug', '--json']) {
          const { exitCode, stdout, stderr } = await runWith([...args, format], fail);
          expect(exitCode).to.equal(1);
          expect(stdout.text + stderr.text)
            .to.contain('cannot do it')
            .and.not.to.match(/kk/i);
        }
      }
    });
  }

  it('with a link that npm shows to other users bring a notice', async () => {
    const env = { npm_command: 'exec', npm_lifecycle_event: 'npx' };
    const shares: Script = () => ({ shares: [] });
    const noticed = async (args: string[], setting: Setting) => {
      const { stderr } = await runWith(args, args[0] === 'shares' ? shares : () => fetched, setting);
      return stderr.text.includes('in the command line of npm');
    };
    expect(await noticed(['fetch', LINK], { env })).to.equal(true);
    expect(await noticed(['fetch', LINK], { env: { npm_command: 'exec' } })).to.equal(true);
    expect(await noticed(['fetch', '-'], { env, stdin: LINK })).to.equal(false);
    expect(await noticed(['shares'], { env })).to.equal(false);
    expect(await noticed(['fetch', LINK], { env: { npm_command: 'run-script' } })).to.equal(false);
    expect(await noticed(['fetch', LINK], {})).to.equal(false);
    for (const option of ['--json', '--quiet']) {
      expect((await runWith(['fetch', LINK, option], () => fetched, { env })).stderr.text, option).to.equal('');
    }
  });

  it('that are no links are shown in messages, and of a link the beginning of its id', async () => {
    const shown = [
      `/x/${SHARE_ID}.car`,
      `/p2p/${PEER}`,
      'holiday.tar.gz',
      '"shoal:"',
      'https://x.example/a#',
      `${SHARE_ID}.`,
    ];
    const { stderr } = await runWith(['shares'], () => {
      throw new ShoalError('io', [...shown, LINK].join(' '));
    });
    expect(stderr.text).to.equal(`shoal: ${shown.join(' ')} bafyreid…\n`);
  });

  it('that are wrong are a JSON event with --json', async () => {
    const { json, exitCode } = await runWith(['shares', '--json', '--nope'], () => shareView());
    expect(json[0]).to.include({ event: 'error', code: 'usage', exitCode: 2 });
    expect(exitCode).to.equal(2);
  });

  it('of all commands may stand before or behind the command', async () => {
    for (const args of [
      ['--json', 'shares'],
      ['shares', '--json'],
    ]) {
      expect((await runWith(args, () => ({ shares: [] }))).json).to.deep.equal([{ shares: [] }]);
    }
  });

  it('of the network are handed on', async () => {
    const given = [
      '--listen',
      '/a',
      '--listen',
      '/b',
      '--bootstrap',
      '/c',
      '--no-mdns',
      '--dht',
      'off',
      '--no-port-mapping',
    ];
    const expected = { listen: ['/a', '/b'], bootstrap: ['/c'], mdns: false, dht: 'off', portMapping: false };
    const { network } = await runWith(['shares', ...given], () => ({ shares: [] }));
    expect(network).to.deep.include(expected);
    const none = await runWith(['shares'], () => ({ shares: [] }));
    expect(none.network).to.deep.include({ listen: [], bootstrap: [], mdns: true, dht: 'auto' });
  });

  it('ask for help, which names every exit code', async () => {
    const { exitCode, stdout, stderr } = await runWith(['--help'], () => shareView());
    expect([exitCode, stderr.text]).to.deep.equal([0, '']);
    const codes = new Set(Object.keys(ERROR_CODES).map(code => exitCodeOf(code as ErrorCode)));
    for (const code of codes) expect(stdout.text).to.match(new RegExp(`^ +${code} +\\w`, 'm'));
  });
});
