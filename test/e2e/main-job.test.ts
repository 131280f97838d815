/** One shares, another fetches: what people came for, with all that comes in between. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ERROR_CODES, exitCodeOf, type ErrorCode } from '../../src/errors.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import { expectDone, expectFailed, failureOf, TEST_TIMEOUT_MS, through, useSandbox } from './harness.ts';
import { useLines, type Line } from './line.ts';
import { leftovers, makeFile, makeOddTree, makePlainTree, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;
const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;
const VECTORS = new URL('../vectors/', import.meta.url);

describe('sharing and fetching', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();
  const lineTo = useLines();

  /** A line to who serves `link`, and the link through it. */
  const lineOf = async (link: string): Promise<{ line: Line; link: string }> => {
    const line = await lineTo(link);
    return { line, link: through(link, line.port) };
  };

  it('brings a file with its date and permission to another home', async () => {
    const box = sandbox();
    const file = { bytes: noise('file', 3 * MIB + 17), executable: true, modified: 1_600_000_000 } as const;
    const path = await makeFile(box.path('from', 'a file.bin'), file);
    const { link, command } = await box.share('ann', path);
    await mkdir(box.path('to'));
    const ended = await box.fetch(link, box.path('to'));
    expectDone(ended);
    const done = ended.last('done');
    expect(done).to.include({ name: 'a file.bin', path: box.path('to', 'a file.bin'), found: 'hint' });
    expect(await treeAt(box.path('to', 'a file.bin'))).to.deep.equal(await treeAt(path));
    expect(await readdir(box.path('to'))).to.deep.equal(['a file.bin']);
    await command.event('served', ({ what }) => what === 'complete');
    const sentBytes = command.told.reduce((sum, { what, bytes }) => sum + (what === 'sent' ? Number(bytes) : 0), 0);
    expect(sentBytes).to.be.within(file.bytes.length, done.sources?.[0]?.bytes ?? 0);
    expect((await command.interrupt()).code).to.equal(130);
  });

  it('brings a folder with all kinds of names to another home, exactly as it was', async () => {
    const box = sandbox();
    const tree = await makeOddTree(box.path('from', 'odd \u{1f41f} tree'));
    const { link } = await box.share('ann', tree);
    expectDone(await box.fetch(link, box.path('to/')));
    expect(await treeAt(box.path('to', 'odd \u{1f41f} tree'))).to.deep.equal(await treeAt(tree));
    expect(await leftovers(box.path('to'))).to.deep.equal([]);
  });

  it('brings 5,000 small files', async () => {
    const box = sandbox();
    const from = box.path('from');
    for (let n = 0; n < 5000; n += 100) {
      const names = Array.from({ length: 100 }, (_, i) => join(from, `${n % 700}`, `${n + i}`));
      await Promise.all(names.map((name, i) => makeFile(name, { bytes: noise(n + i, (n + i) % 97), modified: n + i })));
    }
    const { link, shared } = await box.share('ann', from);
    expect(shared).to.include({ kind: 'folder', files: 5000 });
    expectDone(await box.fetch(link, box.path('to')));
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(from));
  });

  for (const [size, what] of [
    [0, 'nothing'],
    [PIECE_BYTES, 'exactly one piece'],
    [PIECE_BYTES + 1, 'one byte more than a piece'],
  ] as const) {
    for (const options of [[], ['--no-pad'], ['--copy']]) {
      it(`brings a file of ${what} ${options.length === 0 ? 'with padding' : `with ${options.join()}`}`, async () => {
        const box = sandbox();
        const path = await makeFile(box.path('it'), { bytes: noise(size, size), modified: 1_500_000_000 });
        const { link } = await box.share('ann', path, options);
        expectDone(await box.fetch(link, box.path('got')));
        expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(path));
      });
    }
  }

  it('brings what a copy was kept of, also when the file has changed since', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise(1, 2 * MIB) });
    const before = await readFile(path);
    const { link } = await box.share('ann', path, ['--copy']);
    await writeFile(path, 'something else');
    expectDone(await box.fetch(link, box.path('got')));
    expect((await readFile(box.path('got'))).equals(before)).to.equal(true);
  });

  it('shows names and sizes before any data comes', async () => {
    const box = sandbox();
    const tree = await makeOddTree(box.path('odd'));
    const { link, command } = await box.share('ann', tree);
    const listed = await box.run('bob', ['ls', link, '--json', '--timeout', '20s']);
    expectDone(listed);
    const [listing] = listed.told;
    expect(listing).to.include({ name: 'odd', kind: 'folder' });
    const files = Object.entries(await treeAt(tree)).filter(([, what]) => !what.startsWith('folder'));
    const entries = listing?.entries ?? [];
    const sizes = new Map(entries.map(({ path, size }) => [path, size]));
    for (const [path, what] of files) expect(sizes.get(path.slice(2)), path).to.equal(Number.parseInt(what, 10));
    expect(entries.map(({ path }) => path)).to.include('empty folder/within');
    await command.interrupt();
    const sent = command.told.filter(({ what }) => what === 'sent').reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    expect(sent, 'bytes that were sent').to.be.below(100_000);
    const plain = await box.run('bob', ['ls', link, '--timeout', '1s']);
    expect(plain.code, 'nobody serves any more').to.equal(3);
  });

  it('fetches only what is asked for', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 5 * MIB, 'only');
    const { link } = await box.share('ann', tree);
    expectDone(await box.fetch(link, box.path('to'), ['--only', 'folder 2/*', '--only', 'rest']));
    const wanted = Object.entries(await treeAt(tree)).filter(([path]) => /^\.$|folder 2|rest/.test(path));
    expect(await treeAt(box.path('to'))).to.deep.equal(Object.fromEntries(wanted));
    const again = await box.fetch(link, box.path('to'), ['--only', 'folder 2/*', '--only', 'rest']);
    expect(again.last('done').alreadyThere).to.equal(true);
    expect(await treeAt(box.path('to'))).to.deep.equal(Object.fromEntries(wanted));
    expectDone(await box.fetch(link, box.path('to')));
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    const nothing = await box.fetch(link, box.path('other'), ['--only', 'no such file']);
    expectFailed(nothing, 2, 'usage');
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('writes a single file to a pipe, and nothing else', async () => {
    const box = sandbox();
    const bytes = noise('pipe', 9 * MIB + 1);
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes }));
    const ended = await box.run('bob', ['fetch', link, '-o', '-', '--timeout', '20s']);
    expect(ended.code, ended.stderr).to.equal(0);
    expect(ended.stdout.equals(bytes)).to.equal(true);
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('ends quietly when who reads the pipe goes away', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('pipe', 30 * MIB) }));
    const pipe = ['sh', '-c', '"$0" "$@" | head -c 10'];
    const ended = await box.run('bob', ['fetch', link, '-o', '-', '--timeout', '20s'], { before: pipe });
    expect(ended.stdout.length).to.equal(10);
    expect(ended.stderr).not.to.match(/error|EPIPE|bug|\n {4}at /);
  });

  it('does not write a folder to a pipe', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makePlainTree(box.path('from'), 1000, 1));
    const ended = await box.run('bob', ['fetch', link, '-o', '-', '--timeout', '20s']);
    expect(ended.code).to.equal(2);
    expect(ended.stdout.length).to.equal(0);
    expect(ended.stderr).to.match(/^shoal: cannot write a folder to a stream; .*\n$/m);
  });

  it('puts the output into a folder that is there, or at the place that is named, and makes a folder named with a slash', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('from', 'it'), { bytes: noise(3, 1000) });
    const { link } = await box.share('ann', path);
    await mkdir(box.path('there'));
    const places = [
      [box.path('there'), box.path('there', 'it')],
      [box.path('there', 'named'), box.path('there', 'named')],
      [`${box.path('new', 'er')}/`, box.path('new', 'er', 'it')],
      ['.', box.path('it')],
      ['there/-rf', box.path('there', '-rf')],
    ] as const;
    for (const [output, expected] of places) {
      const ended = await box.fetch(link, output);
      expectDone(ended);
      expect(ended.last('done').path).to.equal(expected);
      expect(await treeAt(expected)).to.deep.equal(await treeAt(path));
    }
    const lost = await box.fetch(link, box.path('no', 'such', 'folder'));
    expectFailed(lost, 1, 'io');
    expect(lost.last('error').message).to.match(/there is no folder .*; make it first/);
  });

  it('says that it is already there, and does not fetch it again', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 3 * MIB, 'again');
    const { link, command } = await box.share('ann', tree);
    for (const output of [box.path('to'), box.path('to'), `${box.path('to')}/`]) {
      const ended = await box.fetch(link, output);
      expectDone(ended);
      expect(ended.last('done')).to.include({ path: box.path('to') });
    }
    expect((await box.fetch(link, box.path('to'))).last('done').alreadyThere).to.equal(true);
    await command.interrupt();
    const sent = command.told.filter(({ what }) => what === 'sent').reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    expect(sent).to.be.below(1.2 * 3 * MIB);
    expect(await leftovers(box.folder)).to.deep.equal([]);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
  });

  it('does not touch something else that stands there, unless it is forced to', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('from', 'it'), { bytes: noise(4, 5000) });
    const tree = await makePlainTree(box.path('from', 'tree'), 5000, 4);
    for (const source of [path, tree]) {
      const { link } = await box.share('ann', source);
      const place = box.path(`place of ${source === tree ? 'folder' : 'file'}`);
      const [inTree = ''] = Object.entries(await treeAt(tree)).flatMap(([name, what]) =>
        what.startsWith('folder') ? [] : [name],
      );
      await makeFile(source === tree ? join(place, 'tree', inTree) : place, { bytes: Buffer.from('precious') });
      const before = await treeAt(place);
      const refused = await box.fetch(link, place);
      expectFailed(refused, 1, 'exists');
      expect(refused.last('error').message).to.match(/--output.*--force/);
      expect(await treeAt(place)).to.deep.equal(before);
      expectDone(await box.fetch(link, place, ['--force']));
      expect(await treeAt(source === tree ? join(place, 'tree') : place)).to.deep.equal(await treeAt(source));
      expect([...(await leftovers(box.folder)), ...(source === tree ? await leftovers(place) : [])]).to.deep.equal([]);
    }
  });

  it('deletes no folder of the user for a file of that name', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makeFile(box.path('from', 'Documents'), { bytes: noise(4, 5000) }));
    await makeFile(box.path('to', 'Documents', 'mine'), { bytes: Buffer.from('precious') });
    const refused = await box.fetch(link, box.path('to'), ['--force']);
    expectFailed(refused, 1, 'exists');
    expect(refused.last('error').message).to.include('"mine" in it is not fetched');
    expect(Object.keys(await treeAt(box.path('to')))).to.include('./Documents/mine');
    expect(await leftovers(box.path('to'))).to.deep.equal([]);
  });

  it('tells wrong, cut and keyless links from each other and writes nothing', async () => {
    const box = sandbox();
    const { link, id } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise(5, 5000) }));
    const [, key = '', hints = ''] = /\.([^@]*)(@.*)/.exec(link) ?? [];
    const other = key.slice(0, 20) + (key[20] === 'A' ? 'B' : 'A') + key.slice(21);
    const cases: [link: string, code: number, error: string][] = [
      [`shoal:${id}.${other}${hints}`, 4, 'wrong-key'],
      [`shoal:${id}${hints}`, 2, 'key-missing'],
      [`shoal:${id}.${key.slice(0, -1)}`, 2, 'bad-link'],
      [`shoal:${id.slice(0, -1)}.${key}`, 2, 'bad-link'],
      [`shoal:${id.slice(0, 20)}`, 2, 'bad-link'],
      ['shoal:', 2, 'bad-link'],
      ['https://example.org/', 2, 'bad-link'],
      ['hello', 2, 'bad-link'],
    ];
    for (const [wrong, code, error] of cases) {
      const ended = await box.fetch(wrong, box.path('got'));
      expectFailed(ended, code, error);
      expect(ended.last('error').message, 'a message without keys').not.to.include(key.slice(1, 15));
    }
    expect(await readdir(box.folder)).to.have.members(['homes', 'it', 'run']);
  });

  it('says so when nobody is found in time', async () => {
    const box = sandbox();
    const { link, command } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise(6, 5000) }));
    await command.interrupt();
    for (const lost of [link, link.replace(/@.*/, '')]) {
      const ended = await box.run('bob', ['fetch', lost, '-o', box.path('got'), '--json', '--timeout', '3s']);
      expectFailed(ended, 3, 'not-found');
      expect(ended.last('error').message).to.match(/nothing moved for 3 s; /);
    }
    expect(await readdir(box.folder)).to.have.members(['homes', 'it', 'run']);
  });

  it('refuses a file that has changed, on both sides', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise(7, 3 * MIB) });
    const { link, command } = await box.share('ann', path);
    await makeFile(path, { bytes: noise(8, 3 * MIB) });
    expectFailed(await box.fetch(link, box.path('got'), ['--timeout', '2s']), 6, 'changed');
    const sharer = await command.ended;
    expectFailed(sharer, 6, 'changed');
    expect(sharer.last('changed').why).to.match(/\/it" is no longer what was shared$/);
    const { told } = await box.run('ann', ['shares', '--json']);
    expect(told[0]?.shares?.map(({ state }) => state)).to.deep.equal(['changed']);
    expect((await readdir(box.folder)).filter(name => !name.startsWith('.shoal-'))).to.have.members([
      'homes',
      'it',
      'run',
    ]);
    const again = await box.share('ann', path);
    expect(again.link.slice(0, 100)).not.to.equal(link.slice(0, 100));
    expectDone(await box.fetch(again.link, box.path('got')));
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(path));
  });

  it('notices a file that was changed and got its old date back', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise(9, 3 * MIB), modified: 1_000_000_000 });
    const { link, command } = await box.share('ann', path);
    const bytes = await readFile(path);
    bytes[2 * MIB] = (bytes[2 * MIB] ?? 0) ^ 1;
    await writeFile(path, bytes);
    await utimes(path, 1_000_000_000, 1_000_000_000);
    expectFailed(await box.fetch(link, box.path('got')), 6, 'changed');
    expectFailed(await command.ended, 6, 'changed');
    expect(await readdir(box.folder)).not.to.include('got');
  });

  it('lists all that can not be shared at once, and goes on without it when asked to', async () => {
    const box = sandbox();
    const tree = box.path('from');
    await makeFile(join(tree, 'fine'), { bytes: noise(10, 100) });
    await makeFile(join(tree, 'folder/closed'), { bytes: noise(11, 100) });
    await chmod(join(tree, 'folder/closed'), 0);
    await symlink('fine', join(tree, 'link'));
    await symlink('/nowhere', join(tree, 'folder/dangling'));
    await makeFile(join(tree, 'line\nbreak'));
    await makeFile(join(tree, 'back\\slash'));
    await writeFile(Buffer.concat([Buffer.from(`${tree}/latin-`), Buffer.from([0xe9])]), '');
    await promisify(execFile)('mkfifo', [join(tree, 'pipe')]);
    const socket = createServer().listen(join(tree, 'socket'));
    await once(socket, 'listening');
    if (isRoot) await box.giveTo(NOBODY);
    const as = isRoot ? { uid: NOBODY } : {};

    const refused = await box.run('ann', ['share', tree], as);
    expect(refused.code).to.equal(1);
    expect(refused.stdout.length).to.equal(0);
    const problems = [
      'back\\\\?slash: its path .*backslash',
      'folder/closed: it may not be read: permission denied',
      'folder/dangling: it is a symbolic link',
      'latin-\\\\xe9: its name is not UTF-8',
      'line\\\\.*break: its path .*control character',
      'link: it is a symbolic link',
      'pipe: it is a named pipe',
      'socket: it is a socket',
    ];
    const listed = refused.stderr.trimEnd().split('\n');
    expect(listed[0]).to.match(/^shoal: cannot share everything in "from"; .*--skip:$/);
    expect(listed.slice(1)).to.have.lengthOf(problems.length);
    for (const problem of problems) expect(refused.stderr).to.match(new RegExp(`^ {2}${problem}`, 'm'));

    const { command, link } = await box.share('ann', tree, ['--skip'], as);
    expect(command.told.filter(({ event }) => event === 'skipped')).to.have.lengthOf(problems.length);
    expectDone(await box.fetch(link, `${box.path('to')}/`));
    expect(Object.keys(await treeAt(box.path('to', 'from')))).to.have.members(['.', './fine', './folder']);
    socket.close();
    await chmod(join(tree, 'folder/closed'), 0o600);
  });

  it('takes a link from stdin or from SHOAL_LINK, with what mail programs put around it', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise(12, 5000) });
    const { link } = await box.share('ann', path);
    const fetch = ['fetch', '--json', '--timeout', '20s', '-o'];
    expectDone(await box.run('bob', [...fetch, box.path('got 1'), '-'], { stdin: `  <${link}>\r\nand more\n` }));
    expectDone(await box.run('bob', [...fetch, box.path('got 2')], { env: { SHOAL_LINK: link } }));
    for (const got of ['got 1', 'got 2']) expect(await treeAt(box.path(got))).to.deep.equal(await treeAt(path));
    expectFailed(await box.run('bob', [...fetch, box.path('got 3')]), 2, 'usage');
    expectFailed(await box.run('bob', [...fetch, box.path('got 3'), '-']), 2, 'usage');
  });

  it('keeps results on stdout, talk on stderr, and the link out of the list of processes', async function () {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise(13, 5000) });
    const command = box.start('ann', ['share', path, '--hint', 'self']);
    const [, link = ''] = await command.says(/^(shoal:\S+)\n/m);
    await command.says(/serving until Ctrl-C/);
    expect(command.stdout).to.equal(`${link}\n`);
    const { line, link: slow } = await lineOf(link);
    const held = line.holdAfter(1);
    const fetching = box.start('bob', ['fetch', slow, '-o', box.path('got')]);
    await held;
    if (process.platform === 'linux') {
      const shown = await readFile(`/proc/${fetching.pid}/cmdline`, 'utf8');
      expect(shown).to.include('shoal').and.not.include(link.slice(-60, -50)).and.not.include('.');
    }
    line.release();
    const ended = await fetching.ended;
    expect(ended.code).to.equal(0);
    expect(ended.stdout.toString()).to.equal(`${box.path('got')}\n`);
    expect(ended.stderr).to.match(/^it: /);
    expect((await command.interrupt()).code).to.equal(130);
    expect(command.stderr + ended.stderr).not.to.match(/[\x00-\x09\x0b-\x1f\x7f]/);
  });

  it('stops on Ctrl-C with 130, and the same command goes on from there', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 24 * MIB, 'resume');
    const shared = await box.share('ann', tree);
    const { line, link } = await lineOf(shared.link);
    const held = line.holdAfter(14 * MIB);
    const command = box.start('bob', ['fetch', link, '-o', box.path('to'), '--json']);
    await held;
    expectFailed(await command.interrupt(), 130, 'interrupted');
    expect(await readdir(box.folder)).not.to.include('to');
    expect(await leftovers(box.folder)).to.have.lengthOf(1);
    line.release();
    const before = line.bytes;
    const ended = await box.fetch(link, box.path('to'));
    expectDone(ended);
    const { bytes = 0 } = ended.last('resumed');
    expect(bytes).to.be.within(1, 14 * MIB);
    expect(line.bytes - before, 'what was there is not fetched again').to.be.below(25 * MIB - bytes);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('does not believe what was damaged in what it has fetched so far', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 24 * MIB, 'damaged');
    const shared = await box.share('ann', tree);
    const { line, link } = await lineOf(shared.link);
    const held = line.holdAfter(18 * MIB);
    const command = box.start('bob', ['fetch', link, '-o', box.path('to'), '--json']);
    await held;
    await command.interrupt();
    const [part = ''] = await leftovers(box.folder);
    const output = box.path(part, 'output');
    await truncate(join(output, 'folder 0', 'file 0'), 1000);
    await makeFile(join(output, 'folder 2', 'file 2'), { bytes: noise('other', 3 * MIB) });
    await makeFile(join(output, 'not ours'), { bytes: noise('other', 3) });
    line.release();
    expectDone(await box.fetch(link, box.path('to')));
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('goes on by itself when the connection breaks', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('cut', 20 * MIB) });
    const shared = await box.share('ann', path);
    const { line, link } = await lineOf(shared.link);
    const held = line.holdAfter(9 * MIB);
    const fetching = box.fetch(link, box.path('got'));
    await held;
    line.cut();
    line.release();
    const ended = await fetching;
    expectDone(ended);
    expect(ended.told.filter(({ event }) => event === 'lost')).to.have.lengthOf(1);
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(path));
  });

  it('gives the same link for what is unchanged, and a new one with --new', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 100_000, 'same');
    const plain = (link: string): string => link.replace(/@.*/, '');
    const first = await box.share('ann', tree);
    await first.command.interrupt();
    const second = await box.share('ann', tree);
    expect(plain(second.link)).to.equal(plain(first.link));
    expect(second.shared.again).to.equal(true);
    const third = await box.share('ann', tree, ['--new', '--name', 'other name']);
    expect(plain(third.link)).not.to.equal(plain(first.link));
    expectDone(await box.fetch(third.link, `${box.path('to')}/`));
    expect(await treeAt(box.path('to', 'other name'))).to.deep.equal(await treeAt(tree));
  });

  it('carries a share in a file to a home that finds nobody', async () => {
    const box = sandbox();
    const tree = await makeOddTree(box.path('from'));
    const { link, id, command } = await box.share('ann', tree);
    const car = box.path('share.car');
    expectDone(await box.run('ann', ['export', id, '-o', car, '--json']));
    expectFailed(await box.run('ann', ['export', id, '-o', car, '--json']), 1, 'exists');
    await command.interrupt();
    const imported = await box.run('bob', ['import', car, '--json']);
    expectDone(imported);
    expect(imported.told[0]).to.include({ id, complete: true });
    const ended = await box.run('bob', ['fetch', link.replace(/@.*/, ''), '-o', box.path('to'), '--json']);
    expectDone(ended);
    expect(ended.last('done').found).to.equal('local');
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    const bytes = await readFile(car);
    for (const name of ['empty folder', 'trailing dot.']) expect(bytes.includes(name), name).to.equal(false);
  });
});

interface Vector {
  readonly name: string;
  readonly link: string;
  readonly expect: string;
  readonly why: string;
  readonly identity?: string;
  readonly files?: readonly { readonly path: string; readonly size: number; readonly sha256: string }[];
}

describe('the shares of the test vectors', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(10_000);
  const sandbox = useSandbox();
  let vectors: readonly Vector[] = [];

  before(async () => {
    vectors = JSON.parse(await readFile(new URL('index.json', VECTORS), 'utf8')) as readonly Vector[];
  });

  /** What import and fetch say of a vector, and what is in the folder that it was fetched to. */
  const tryOut = async (vector: Vector): Promise<{ ended: ReturnType<typeof failureOf>; path: string }> => {
    const box = sandbox();
    const path = box.path(`to ${vector.name}`);
    await mkdir(path);
    const car = new URL(`${vector.name}.car`, VECTORS).pathname;
    const imported = await box.run(vector.name, ['import', car, '--json']);
    const identity = vector.identity === undefined ? [] : ['--identity', new URL(vector.identity, VECTORS).pathname];
    const fetch = ['fetch', vector.link, '-o', path, '--json', '--timeout', '1s', ...identity];
    const fetched = await box.run(vector.name, fetch);
    const refused = imported.code === 0 ? fetched : imported;
    if (imported.code !== 0) expect(fetched.code, 'what is not imported is not there').not.to.equal(0);
    return { ended: failureOf(refused), path };
  };

  it('are read as they are, where they are good', async () => {
    const good = vectors.filter(({ expect: outcome }) => outcome === 'ok');
    expect(good).to.have.lengthOf(7);
    for (const vector of good) {
      const { ended, path } = await tryOut(vector);
      expect(ended, vector.name).to.deep.equal({ code: 0, stderr: '' });
      const [name = ''] = await readdir(path);
      const isFolder = vector.name === 'folder';
      for (const file of vector.files ?? []) {
        if (file.size === 0 && isFolder) continue;
        const bytes = await readFile(isFolder ? join(path, name, file.path) : join(path, file.path));
        expect(createHash('sha256').update(bytes).digest('hex'), file.path).to.equal(file.sha256);
      }
    }
  });

  it('are refused for the right reason, where they are bad, and nothing is written', async () => {
    const bad = vectors.filter(({ expect: outcome }) => outcome !== 'ok');
    expect(bad).to.have.lengthOf(16);
    for (const vector of bad) {
      const { ended, path } = await tryOut(vector);
      expect(ERROR_CODES).to.have.property(vector.expect);
      const code = exitCodeOf(vector.expect as ErrorCode);
      expect(ended, vector.name).to.deep.equal({ code, error: vector.expect, stderr: '' });
      const left = await readdir(path);
      expect(
        left.filter(name => !name.startsWith('.shoal-')),
        vector.name,
      ).to.deep.equal([]);
      const outputs = left.map(name => join(path, name, 'output'));
      for (const output of outputs) {
        const tree = await treeAt(output).catch(() => ({}));
        for (const what of Object.values(tree)) expect(what, vector.name).to.match(/^(folder|0 bytes|\d+ bytes)/);
      }
    }
  });
});
