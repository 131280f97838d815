import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdir, mkdtemp, realpath, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { openDirectory } from '../../src/files/directory.ts';
import type { WalkedTree } from '../../src/files/walk.ts';
import { fingerprint, walkTree } from '../../src/files/walk.ts';
import { failsWith } from '../contract/directory.ts';

describe('Walking a tree', () => {
  let path: string;
  const at = (...segments: string[]): string => join(path, ...segments);

  beforeEach(async () => {
    path = await realpath(await mkdtemp(join(tmpdir(), 'shoal-walk-')));
  });
  afterEach(() => rm(path, { recursive: true }));

  const paths = (tree: WalkedTree): string[] => tree.entries.map(entry => entry.path);

  it('finds every file and every empty folder, sorted by the bytes of their paths', async () => {
    await mkdir(at('a', 'b', 'c'), { recursive: true });
    await mkdir(at('hollow'));
    const files = ['a/b/x', 'a-b', 'a/z', 'ä', '\uff5e', '🐟', 'Z', ' '];
    for (const file of files) await writeFile(at(file), file);
    await writeFile(at('run'), '#!/bin/sh', { mode: 0o755 });
    await utimes(at('Z'), 5, 1_234.9);
    const tree = await walkTree([path]);
    expect(tree.kind).to.equal('folder');
    expect(tree.name).to.equal(basename(path));
    expect(tree.root).to.equal(path);
    expect(tree.problems).to.deep.equal([]);
    // In UTF-16 units the fish would come before the wave.
    expect(paths(tree)).to.deep.equal([' ', 'Z', 'a-b', 'a/b/c', 'a/b/x', 'a/z', 'hollow', 'run', 'ä', '\uff5e', '🐟']);
    expect(tree.entries.filter(entry => entry.directory === true).map(entry => entry.path)).to.deep.equal([
      'a/b/c',
      'hollow',
    ]);
    expect(tree.entries.find(entry => entry.path === 'Z')).to.include({
      sizeBytes: 1,
      modifiedSeconds: 1_234,
      executable: false,
    });
    if (process.platform !== 'win32') {
      expect(tree.entries.filter(entry => entry.executable).map(entry => entry.path)).to.deep.equal(['run']);
    }
  });

  it('rounds times before 1970 down', async () => {
    await writeFile(at('f'), '');
    await utimes(at('f'), new Date(0), new Date(-1500));
    expect((await walkTree([at('f')])).entries[0]?.modifiedSeconds).to.equal(-2);
  });

  it('takes a single file', async () => {
    await writeFile(at('f.txt'), 'four');
    const tree = await walkTree([at('f.txt')]);
    expect(tree).to.include({ kind: 'file', name: 'f.txt', root: at('f.txt') });
    expect(tree.entries).to.have.lengthOf(1);
    expect(tree.entries[0]).to.include({ path: 'f.txt', sizeBytes: 4 });
  });

  it('follows a link that is asked for, and keeps its name', async () => {
    await writeFile(at('f'), 'four');
    await mkdir(at('d'));
    await symlink('f', at('latest'));
    await symlink('d', at('folder'));
    expect(await walkTree([at('latest')])).to.include({ kind: 'file', name: 'latest', root: at('f') });
    expect(await walkTree([at('folder')])).to.include({ kind: 'folder', name: 'folder', root: at('d') });
    expect((await walkTree([`${at('folder')}/`])).name).to.equal('folder');
  });

  it('names everything that can not be shared, and why', async function () {
    if (process.platform !== 'linux') this.skip();
    await writeFile(at('good'), '');
    await symlink('good', at('link'));
    await symlink('.', at('loop'));
    await symlink('nowhere', at('dangling'));
    execFileSync('mkfifo', [at('pipe')]);
    await writeFile(at('back\\slash'), '');
    await mkdir(at('con\ntrol'));
    await writeFile(at('con\ntrol', 'inner'), '');
    await writeFile(Buffer.concat([Buffer.from(at('d-')), Buffer.from([0xff, 0x1b])]), '');
    await mkdir(at('only'));
    await symlink('x', at('only', 'link'));
    const server = createServer().listen(at('socket'));
    await once(server, 'listening');
    try {
      const tree = await walkTree([path]);
      expect(paths(tree)).to.deep.equal(['good', 'only']);
      const problems = new Map(tree.problems.map(problem => [problem.path, problem.why]));
      expect([...problems.keys()]).to.deep.equal([
        'back\\slash',
        'con\\u{a}trol',
        'd-\\xff\\x1b',
        'dangling',
        'link',
        'loop',
        'only/link',
        'pipe',
        'socket',
      ]);
      expect(problems.get('link')).to.equal('it is a symbolic link');
      expect(problems.get('pipe')).to.equal('it is a named pipe');
      expect(problems.get('socket')).to.equal('it is a socket');
      expect(problems.get('d-\\xff\\x1b')).to.equal('its name is not UTF-8');
      expect(problems.get('back\\slash')).to.equal('its path has a backslash');
    } finally {
      server.close();
    }
  });

  it('leaves out a home of shoal, and names it', async () => {
    await mkdir(at('home', 'blocks'), { recursive: true });
    for (const name of ['secret', 'catalog.sqlite']) await writeFile(at('home', name), '');
    await writeFile(at('secret'), 'of another kind');
    const tree = await walkTree([path]);
    expect(paths(tree)).to.deep.equal(['secret']);
    const why = 'it is a home of shoal, with the keys of all its shares';
    expect(tree.problems).to.deep.equal([{ path: 'home', why }]);
    const itself = await walkTree([at('home')]);
    expect(itself.entries).to.deep.equal([]);
    expect(itself.problems).to.deep.equal([{ path: '.', why }]);
  });

  it('names a path that is too long', async () => {
    const segment = 'x'.repeat(250);
    // Made from the inside out: the whole path is more than the system takes at once.
    await mkdir(at('top'));
    for (let level = 0; level < 17; level++) {
      await mkdir(at('next'));
      await rename(at('top'), at('next', segment));
      await rename(at('next'), at('top'));
    }
    const tree = await walkTree([at('top')]);
    expect(tree.problems.map(problem => problem.path.length)).to.deep.equal([17 * 251 - 1]);
    // The folder above has nothing that can be shared.
    expect(paths(tree).map(found => found.length)).to.deep.equal([16 * 251 - 1]);
    const folder = await openDirectory(path);
    await folder.remove('top');
    await folder.close();
  });

  it('names what only says that it is empty', async function () {
    if (process.platform !== 'linux') this.skip();
    await writeFile(at('empty'), '');
    expect((await walkTree([at('empty')])).problems).to.deep.equal([]);
    const [problem] = (await walkTree(['/proc/self/status'])).problems;
    expect(problem?.why).to.match(/does not tell its size/);
  });

  it('names what may not be read', async function () {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) this.skip();
    await mkdir(at('closed'));
    await writeFile(at('closed', 'f'), '');
    await writeFile(at('secret'), '', { mode: 0o600 });
    await writeFile(at('open'), '', { mode: 0o644 });
    execFileSync('chmod', ['700', at('closed')]);
    execFileSync('chmod', ['755', path]);
    process.seteuid?.(65_534);
    let tree: WalkedTree;
    try {
      tree = await walkTree([path]);
    } finally {
      process.seteuid?.(0);
    }
    // access(2) asks for the real user, who is root here; so only the folder, which is opened, is noticed.
    expect(tree.problems.find(problem => problem.path === 'closed')?.why).to.contain('permission denied');
    expect(paths(tree)).to.include('open');
    expect(paths(tree)).not.to.include('closed');
  });

  it('does not walk a folder inside itself', async function () {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) this.skip();
    await mkdir(at('a', 'b'), { recursive: true });
    await writeFile(at('a', 'f'), '');
    try {
      execFileSync('mount', ['--bind', at('a'), at('a', 'b')], { stdio: 'ignore' });
    } catch {
      this.skip();
    }
    try {
      const tree = await walkTree([path]);
      expect(paths(tree)).to.deep.equal(['a/f']);
      expect(tree.problems.map(problem => problem.path)).to.deep.equal(['a/b']);
    } finally {
      execFileSync('umount', [at('a', 'b')]);
    }
  });

  it('takes hard links for files', async () => {
    await writeFile(at('a'), 'x');
    await link(at('a'), at('b'));
    expect(paths(await walkTree([path]))).to.deep.equal(['a', 'b']);
  });

  it('is ended by its signal', async () => {
    await writeFile(at('a'), 'x');
    const reason = new Error('enough');
    const error: unknown = await walkTree([path], [], AbortSignal.abort(reason)).catch((thrown: unknown) => thrown);
    expect(error).to.equal(reason);
  });

  it('says what it could not look at', async () => {
    await failsWith('io', walkTree([at('nothing\u001b')]));
    await failsWith('not-shareable', walkTree(['/']));
    if (process.platform !== 'win32') await failsWith('not-shareable', walkTree(['/dev/null']));
  });

  describe('of several paths', () => {
    beforeEach(async () => {
      await mkdir(at('photos', 'old'), { recursive: true });
      await mkdir(at('hollow'));
      await writeFile(at('photos', 'old', 'x'), 'x');
      await writeFile(at('photos', 'y'), 'y');
      await writeFile(at('b.txt'), 'b');
      await writeFile(at('a.txt'), 'a');
    });

    it('puts each under its own name into one folder, in whatever order they are given', async () => {
      const tree = await walkTree([at('photos'), at('hollow'), at('b.txt')]);
      expect(tree).to.include({ kind: 'folder', name: 'b.txt, hollow and 1 more' });
      expect(paths(tree)).to.deep.equal(['b.txt', 'hollow', 'photos/old/x', 'photos/y']);
      expect(tree.entries.map(({ directory }) => directory === true)).to.deep.equal([false, true, false, false]);
      expect(tree.root).to.deep.equal(new Map(['b.txt', 'hollow', 'photos'].map(name => [name, at(name)] as const)));
      const other = await walkTree([at('b.txt'), at('photos'), at('hollow')]);
      expect(other.name).to.equal(tree.name);
      expect(Buffer.from(fingerprint(other)).equals(Buffer.from(fingerprint(tree)))).to.equal(true);
    });

    it('counts the same path once, however it is spelled', async () => {
      await symlink('photos', at('link'));
      const tree = await walkTree([at('photos'), `${at('photos')}/`, `${path}/./hollow/../photos`]);
      expect(tree).to.include({ name: 'photos', root: at('photos') });
      expect(paths(tree)).to.deep.equal(['old/x', 'y']);
      expect(paths(await walkTree([at('a.txt'), at('link', 'y'), at('photos', 'y')]))).to.deep.equal(['a.txt', 'y']);
      // Another name is another thing in the folder.
      expect(paths(await walkTree([at('photos'), at('link')]))).to.deep.equal([
        'link/old/x',
        'link/y',
        'photos/old/x',
        'photos/y',
      ]);
    });

    it('refuses two that have one name, and names both', async () => {
      await mkdir(at('other'));
      await writeFile(at('other', 'a.txt'), '');
      const error = await failsWith('usage', walkTree([at('a.txt'), at('other', 'a.txt')]));
      expect(error.message).to.contain(
        `"${at('a.txt')}" and "${at('other', 'a.txt')}" together: both would be called "a.txt"`,
      );
    });

    it('refuses more than can be looked at whenever somebody asks', async () => {
      const error = await failsWith('usage', walkTree(Array.from({ length: 10_001 }, () => at('a.txt'))));
      expect(error.message).to.contain(
        'cannot share 10001 paths at once, at most 10000 are allowed; share a folder that holds them',
      );
    });

    it('refuses one that is in another', async () => {
      await symlink(at('photos', 'old', 'x'), at('best'));
      for (const inner of [at('photos', 'old'), at('best')]) {
        for (const both of [
          [at('photos'), inner],
          [inner, at('photos')],
        ]) {
          const error = await failsWith('usage', walkTree(both));
          expect(error.message).to.contain(`cannot share "${inner}" beside "${at('photos')}": it is in there`);
        }
      }
    });

    it('names what can not be shared by its path in the folder', async () => {
      await symlink('x', at('photos', 'link'));
      await writeFile(at('back\\slash'), '');
      const tree = await walkTree([at('photos'), at('a.txt'), at('back\\slash')]);
      expect(tree.problems.map(problem => problem.path)).to.deep.equal(['back\\slash', 'photos/link']);
      expect(tree).to.have.property('name', 'a.txt and photos');
      expect([...(tree.root as ReadonlyMap<string, string>).keys()]).to.deep.equal(['a.txt', 'photos']);
    });
  });

  describe('with something excluded', () => {
    beforeEach(async () => {
      await mkdir(at('src', 'deep', 'node_modules'), { recursive: true });
      await mkdir(at('hollow'));
      for (const file of ['a.o', 'src/b.o', 'src/b.c', 'src/deep/node_modules/x', 'src/deep/y.o'])
        await writeFile(at(file), '');
    });

    const left = async (...globs: string[]): Promise<string[]> => paths(await walkTree([path], globs));

    it('leaves out what globs mean, and folders of which nothing is left', async () => {
      expect(await left()).to.deep.equal([
        'a.o',
        'hollow',
        'src/b.c',
        'src/b.o',
        'src/deep/node_modules/x',
        'src/deep/y.o',
      ]);
      expect(await left('*.o', 'node_modules')).to.deep.equal(['hollow', 'src/b.c']);
      expect(await left('src/*.o')).to.deep.equal([
        'a.o',
        'hollow',
        'src/b.c',
        'src/deep/node_modules/x',
        'src/deep/y.o',
      ]);
      expect(await left('src/', 'hollow')).to.deep.equal(['a.o']);
      expect(await left('src/**/x')).to.deep.equal(['a.o', 'hollow', 'src/b.c', 'src/b.o', 'src/deep/y.o']);
      expect(await left('*')).to.deep.equal([]);
      // The name of what is shared is none of its paths.
      expect(await left(basename(path))).to.have.lengthOf(6);
    });

    it('counts what is left out, and tells which globs match nothing', async () => {
      const tree = await walkTree([path], ['*.o', '*.obj', '/src', 'deep']);
      expect(tree).to.deep.include({ excluded: 3, unmatched: ['*.obj', '/src'] });
      expect(await walkTree([at('a.o')], ['*.o'])).to.deep.include({ entries: [], excluded: 1, unmatched: [] });
    });

    it('does not look at what is left out', async function () {
      if (process.platform !== 'linux') this.skip();
      await symlink('nowhere', at('dangling'));
      execFileSync('mkfifo', [at('src', 'pipe')]);
      await writeFile(Buffer.concat([Buffer.from(at('d-')), Buffer.from([0xff])]), '');
      await writeFile(at('back\\slash'), '');
      const tree = await walkTree([path], ['dangling', 'pipe', 'd-*', 'back*']);
      expect(tree).to.deep.include({ problems: [], unmatched: [], excluded: 4 });
    });

    it('holds globs against the folder that several paths become', async () => {
      const tree = await walkTree([at('src'), at('a.o'), at('hollow')], ['src/*.o', 'hollow']);
      expect(paths(tree)).to.deep.equal(['a.o', 'src/b.c', 'src/deep/node_modules/x', 'src/deep/y.o']);
      expect(tree).to.have.property('name', 'a.o and src');
    });

    it('refuses a glob that can mean nothing', async () => {
      for (const glob of ['', '/', 'x'.repeat(5000)]) await failsWith('usage', walkTree([path], [glob]));
    });
  });

  it('has a fingerprint that changes with any file, and only then', async () => {
    await mkdir(at('d'));
    await writeFile(at('d', 'f'), 'x');
    const seen = new Set<string>();
    const look = async (): Promise<string> => Buffer.from(fingerprint(await walkTree([path]))).toString('hex');
    const first = await look();
    expect(first).to.have.lengthOf(64);
    expect(await look()).to.equal(first);
    const changes: (() => Promise<unknown>)[] = [
      async () => {},
      () => writeFile(at('d', 'f'), 'xy'),
      () => utimes(at('d', 'f'), 1, 1),
      () => rename(at('d', 'f'), at('d', 'g')),
      () => mkdir(at('e')),
      () => writeFile(at('h'), ''),
      async () => {
        await writeFile(at('k'), '');
        await utimes(at('k'), 1, 1);
        await rename(at('k'), at('h'));
      },
      () => rm(at('d', 'g')),
    ];
    for (const change of changes) {
      await change();
      seen.add(await look());
    }
    expect(seen.size).to.equal(changes.length);
  });
});
