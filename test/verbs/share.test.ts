/** Sharing files of a real file system, while they change, while the disk fills, and while somebody stops it. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  appendFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../src/clock.ts';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { ShoalError, type ErrorCode } from '../../src/errors.ts';
import { fingerprint, walkTree } from '../../src/files/walk.ts';
import { openHome, type Home } from '../../src/home.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import type { BlockAddress, ChunkStore, Crypto } from '../../src/ports.ts';
import { share, type ShareDeps, type Shared, type ShareEvent, type ShareRequest } from '../../src/share.ts';
import { originalSource } from '../../src/store/original.ts';
import { expectSame } from '../contract/chunk-source.ts';
import { fetchAll, newWorld, outputOf, seeder } from './world.ts';

describe('share', () => {
  let folder: string;
  let home: Home;
  let deps: ShareDeps;
  const never = new AbortController().signal;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-share-'));
    const crypto = nodeCrypto();
    home = await openHome(join(folder, 'home'), { crypto, clock: systemClock, random: randomBytes });
    deps = {
      crypto,
      catalog: home.catalog,
      store: home.store,
      random: randomBytes,
      clock: systemClock,
      walk: walkTree,
      fingerprint,
      begun: () => Promise.resolve(),
      original,
    };
    await mkdir(join(folder, 'tree', 'sub'), { recursive: true });
    await writeFile(join(folder, 'tree', 'a.bin'), randomBytes(5 * PIECE_BYTES));
    await writeFile(join(folder, 'tree', 'sub', 'b.txt'), 'hello');
  });
  afterEach(async () => {
    await home.close();
    await rm(folder, { recursive: true });
  });

  const at = (...names: string[]): string => join(folder, 'tree', ...names);

  function run(
    request: Partial<ShareRequest> = {},
    more: { deps?: Partial<ShareDeps>; onEvent?: (event: ShareEvent) => void; signal?: AbortSignal } = {},
  ): Promise<Shared> {
    const full = {
      paths: [at()],
      exclude: [],
      skip: false,
      copy: false,
      pad: true,
      anew: false,
      serveAlways: false,
      hints: [],
      ...request,
    };
    return share({ ...deps, ...more.deps }, full, more.onEvent ?? (() => undefined), more.signal ?? never);
  }

  const original: ShareDeps['original'] = made =>
    originalSource({ ...made, crypto: deps.crypto, store: home.store, onChanged: () => Promise.resolve() });

  async function expectFailure(work: Promise<unknown>, code: ErrorCode, message?: string): Promise<void> {
    const failure: unknown = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.be.instanceOf(ShoalError).and.include({ code });
    if (message !== undefined) expect((failure as ShoalError).message).to.contain(message);
    expect(home.catalog.list(), 'the catalog').to.deep.equal([]);
    expect(await home.store.list(), 'the store').to.deep.equal([]);
    expect(home.catalog.debris(), 'debris').to.deep.equal([]);
  }

  it('makes what others can fetch, and tells how far it is', async () => {
    const events: ShareEvent[] = [];
    const shared = await run({}, { onEvent: event => events.push(event) });
    expect(shared).to.deep.include({
      name: 'tree',
      kind: 'folder',
      files: 2,
      sizeBytes: 5 * PIECE_BYTES + 5,
      again: false,
    });
    const done = events.map(event => (event.event === 'sealing' ? event.doneBytes : -1));
    expect(done).to.deep.equal([...done].sort((a, b) => a - b));
    expect(done.at(-1)).to.equal(shared.sizeBytes);
    const world = newWorld();
    await seeder(world, 'sharer', shared.id, home.source);
    const { disk, failure } = await fetchAll(world, shared);
    expect(failure).to.equal(undefined);
    expect(Buffer.from(outputOf(disk)['tree/sub/b.txt']!).toString()).to.equal('hello');
  });

  for (const padded of [true, false]) {
    it(`shares an empty file and an empty folder, ${padded ? 'padded' : 'not padded'}`, async () => {
      await mkdir(join(folder, 'empty'));
      await writeFile(join(folder, 'nothing'), '');
      for (const name of ['empty', 'nothing']) {
        const shared = await run({ paths: [join(folder, name)], pad: padded });
        expect(shared).to.include({ name, sizeBytes: 0 });
        const world = newWorld();
        await seeder(world, 'sharer', shared.id, home.source);
        const { disk, failure } = await fetchAll(world, shared);
        expect(failure).to.equal(undefined);
        expect([...disk.contents().keys()]).to.deep.equal([name === 'empty' ? 'empty/' : 'nothing']);
      }
    });
  }

  describe('of files that change meanwhile', () => {
    const changes: Record<string, () => Promise<void>> = {
      grew: () => appendFile(at('a.bin'), 'x'),
      shrank: () => truncate(at('a.bin'), 5 * PIECE_BYTES - 1),
      vanished: () => unlink(at('a.bin')),
      'was modified': () => utimes(at('a.bin'), 1, 1),
      'was replaced by another file': async () => {
        await writeFile(at('new'), randomBytes(5 * PIECE_BYTES));
        await rename(at('new'), at('a.bin'));
      },
      'was replaced by a symbolic link': async () => {
        await rename(at('a.bin'), join(folder, 'elsewhere'));
        await symlink(join(folder, 'elsewhere'), at('a.bin'));
      },
    };
    for (const [how, change] of Object.entries(changes)) {
      it(`fails and keeps nothing when one ${how} before it is read`, async () => {
        const walk: ShareDeps['walk'] = async (paths, exclude, signal) => {
          const tree = await walkTree(paths, exclude, signal);
          await change();
          return tree;
        };
        await expectFailure(run({}, { deps: { walk } }), 'changed', how);
      });

      it(`fails and keeps nothing when one ${how} while it is read`, async () => {
        let calls = 0;
        const crypto: Crypto = {
          ...deps.crypto,
          seal: async (...given) => {
            // The second task reads the end of the file.
            if (++calls === 2) await change();
            return await nodeCrypto().seal(...given);
          },
        };
        await expectFailure(run({}, { deps: { crypto } }), 'changed', how);
      });
    }

    it('fails and keeps nothing when one changes before its copy is made', async () => {
      const late: ShareDeps['original'] = made => {
        writeFileSync(at('sub', 'b.txt'), 'HELLO');
        return original(made);
      };
      await expectFailure(run({ copy: true }, { deps: { original: late } }), 'changed');
    });
  });

  describe('of what can not be shared', () => {
    beforeEach(() => symlink('a.bin', at('link')));

    it('says everything that can not be, and keeps nothing', async () => {
      await symlink('/', at('sub', 'other'));
      await expectFailure(run(), 'not-shareable', 'link');
      await expectFailure(run(), 'not-shareable', 'sub/other');
    });

    it('goes on without it on request, and says so', async () => {
      const events: ShareEvent[] = [];
      const shared = await run({ skip: true }, { onEvent: event => events.push(event) });
      expect(shared.files).to.equal(2);
      expect(
        events.filter(({ event }) => event === 'skipped').map(event => 'path' in event && event.path),
      ).to.deep.equal(['link']);
    });

    it('refuses a name that the format refuses', async () => {
      const refused: [name: string, why: string][] = [
        ['', 'the name "": it is empty; give another with --name'],
        ['.', 'it stands for a folder itself, or for the one above'],
        ['..', 'it stands for a folder itself, or for the one above'],
        ['a/b', 'the name "a/b": it has a slash'],
        ['a\\b', 'it has a backslash'],
        ['x\u0007', 'the name "x\\u0007": it has a control character'],
        ['x\u0085', 'it has a control character'],
        ['\ud800', 'it is not valid Unicode'],
        ['x'.repeat(256), 'it has 256 bytes, and at most 255 are possible'],
        ['ü'.repeat(128), 'it has 256 bytes, and at most 255 are possible'],
      ];
      const walk: ShareDeps['walk'] = () => Promise.reject(new Error('walked'));
      for (const [name, why] of refused)
        await expectFailure(run({ skip: true, name }, { deps: { walk } }), 'bad-name', why);
    });

    it('refuses a file whose own name the format refuses, unless it is given another', async () => {
      await writeFile(join(folder, 'a\\b'), 'x');
      const paths = [join(folder, 'a\\b')];
      await expectFailure(run({ paths }), 'bad-name', 'it has a backslash; give another with --name');
      expect((await run({ paths, name: 'b' })).name).to.equal('b');
    });

    it('refuses a path that is not there', () => expectFailure(run({ paths: [at('none')] }), 'io'));
  });

  describe('of several paths', () => {
    const NAMES = ['one.bin', 'two', 'three.txt'] as const;
    beforeEach(async () => {
      await mkdir(join(folder, 'x', 'two', 'in'), { recursive: true });
      await mkdir(join(folder, 'y'));
      await writeFile(join(folder, 'x', 'one.bin'), randomBytes(PIECE_BYTES + 1));
      await writeFile(join(folder, 'x', 'two', 'in', 'f'), 'f');
      await writeFile(join(folder, 'y', 'three.txt'), '3');
    });
    const places = (): string[] => NAMES.map((name, n) => join(folder, n < 2 ? 'x' : 'y', name));

    for (const copy of [false, true]) {
      it(`makes one folder of them that others can fetch${copy ? ', as a copy' : ''}`, async () => {
        const shared = await run({ paths: places(), name: 'trip', copy });
        expect(shared).to.deep.include({ name: 'trip', kind: 'folder', files: 3, sizeBytes: PIECE_BYTES + 3 });
        home.forgetSources();
        if (copy) await rm(join(folder, 'x'), { recursive: true });
        const world = newWorld();
        await seeder(world, 'sharer', shared.id, home.source);
        const { disk, failure } = await fetchAll(world, shared);
        expect(failure).to.equal(undefined);
        const output = outputOf(disk);
        expect(Object.keys(output).sort()).to.deep.equal(['trip/one.bin', 'trip/three.txt', 'trip/two/in/f']);
        expect(Buffer.from(output['trip/three.txt']!).toString()).to.equal('3');
        if (!copy) expectSame(output['trip/one.bin']!, await readFile(join(folder, 'x', 'one.bin')));
      });
    }

    it('has a name that says what it is, and the same link in any order', async () => {
      const first = await run({ paths: places() });
      expect(first.name).to.equal('one.bin, three.txt and 1 more');
      expect(await run({ paths: places().reverse() })).to.deep.equal({ ...first, again: true });
      expect((await run({ paths: [...places(), places()[0]!] })).id).to.equal(first.id);
      const fewer = await run({ paths: places().slice(1) });
      expect([fewer.name, fewer.again]).to.deep.equal(['three.txt and two', false]);
      await writeFile(join(folder, 'y', 'three.txt'), '33');
      expect((await run({ paths: places() })).again).to.equal(false);
    });

    it('says so when none of them is left', () =>
      expectFailure(run({ paths: places(), exclude: ['*'] }), 'not-shareable', 'nothing left to share; exclude less'));
  });

  describe('with something excluded', () => {
    it('says which globs match nothing, and gives the same link for what is left', async () => {
      const events: ShareEvent[] = [];
      const first = await run({ exclude: ['*.bin', '*.nothing'] }, { onEvent: event => events.push(event) });
      expect(first).to.include({ files: 1, sizeBytes: 5, again: false });
      expect(events.filter(({ event }) => event === 'unmatched')).to.deep.equal([
        { event: 'unmatched', glob: '*.nothing' },
      ]);
      await writeFile(at('a.bin'), 'what is excluded may change');
      expect(await run({ exclude: ['*.bin'] })).to.deep.equal({ ...first, again: true });
      expect((await run()).id).not.to.equal(first.id);
    });

    it('refuses to share nothing', async () => {
      await expectFailure(
        run({ exclude: ['*'] }),
        'not-shareable',
        'cannot share "tree": there is nothing left to share',
      );
      await expectFailure(run({ paths: [at('a.bin')], exclude: ['a.*'] }), 'not-shareable', 'exclude less');
    });
  });

  describe('with a note', () => {
    it('tells it to readers, and has another link for another one', async () => {
      const first = await run({ note: 'für dich' });
      const world = newWorld();
      await seeder(world, 'sharer', first.id, home.source);
      const { fetched } = await fetchAll(world, first);
      expect(fetched?.manifest.note).to.equal('für dich');
      expect(await run({ note: 'für dich' })).to.deep.equal({ ...first, again: true });
      const ids = new Set([first.id, (await run({ note: 'for you' })).id, (await run()).id]);
      expect(ids.size).to.equal(3);
      expect(await run({ note: 'für dich' })).to.deep.equal({ ...first, again: true });
    });

    it('takes what the format takes, and refuses more before it looks at anything', async () => {
      const walk: ShareDeps['walk'] = () => Promise.reject(new Error('walked'));
      for (const note of ['x'.repeat(4097), 'ü'.repeat(2049)])
        await expectFailure(run({ note }, { deps: { walk } }), 'usage', 'bytes, and at most 4096 are possible');
      await expectFailure(run({ note: '\ud800' }, { deps: { walk } }), 'usage', 'holds half a character; type it anew');
      expect((await run({ note: 'ü'.repeat(2048) })).again).to.equal(false);
    });
  });

  describe('of the same again', () => {
    it('has a link of its own with padding and without', async () => {
      const padded = await run();
      const exact = await run({ pad: false });
      expect(exact.again).to.equal(false);
      expect(exact.id).not.to.equal(padded.id);
      expect(await run({ pad: false })).to.deep.equal({ ...exact, again: true });
      expect(await run()).to.deep.equal({ ...padded, again: true });
    });

    it('gives the same link, without reading the files', async () => {
      const first = await run();
      const crypto: Crypto = { ...deps.crypto, seal: () => Promise.reject(new Error('nothing is sealed')) };
      const second = await run({}, { deps: { crypto } });
      expect(second).to.deep.equal({ ...first, again: true });
    });

    it('gives a new link on request, under another name, and as a copy', async () => {
      const ids = new Set<string>();
      for (const request of [{}, { anew: true }, { name: 'other' }, { copy: true }]) ids.add((await run(request)).id);
      expect(ids.size).to.equal(4);
      expect(home.catalog.list()).to.have.length(4);
    });

    it('gives a new link when a file was changed', async () => {
      const first = await run();
      await writeFile(at('sub', 'b.txt'), 'HELLO');
      const second = await run();
      expect(second.id).not.to.equal(first.id);
      expect(Buffer.from(second.key).equals(Buffer.from(first.key))).to.equal(false);
    });

    for (const copy of [false, true]) {
      it(`gives a new link, and says why, when blocks of the ${copy ? 'copy' : 'share'} are damaged or gone`, async () => {
        const names = copy ? ['share', 'manifest-0/0', 'data-0/3'] : ['share', 'manifest-0/0'];
        for (const name of names) {
          for (const harm of [unlink, (path: string) => truncate(path, 100)]) {
            // What is as long as it should be is found by its name; a whole copy is not read for this.
            if (harm !== unlink && name.startsWith('data')) continue;
            const before = await run({ copy });
            await harm(join(folder, 'home', 'blocks', before.id, name));
            const events: ShareEvent[] = [];
            const after = await run({ copy }, { onEvent: event => events.push(event) });
            expect(after.again, name).to.equal(false);
            expect(events.find(({ event }) => event === 'damaged')).to.include({ id: before.id });
            const world = newWorld();
            await seeder(world, 'sharer', after.id, home.source);
            expect((await fetchAll(world, after)).failure).to.equal(undefined);
            expect(await run({ copy })).to.deep.include({ id: after.id, again: true });
            for (const { id } of [before, after]) home.catalog.remove(id);
            home.forgetSources();
            await home.sweep();
          }
        }
      });
    }

    it('gives a new link when the share is known to have changed', async () => {
      const first = await run();
      home.catalog.markChanged(first.id, 'for a test');
      expect((await run()).id).not.to.equal(first.id);
    });
  });

  describe('as a copy', () => {
    it('is served though the files are gone', async () => {
      const content = randomBytes(PIECE_BYTES + 9);
      await writeFile(at('a.bin'), content);
      const shared = await run({ copy: true });
      home.forgetSources();
      await rm(at(), { recursive: true });
      const world = newWorld();
      await seeder(world, 'sharer', shared.id, home.source);
      const { disk } = await fetchAll(world, shared);
      expectSame(outputOf(disk)['tree/a.bin']!, content);
    });

    it('is known to nobody before the copy is whole, and what a crash leaves of it is removed', async () => {
      await writeFile(at('a.bin'), randomBytes(3 * PIECE_BYTES));
      const crash = new Error('crash');
      const store: ChunkStore = {
        ...borrowed(home.store),
        write: async (id, where, bytes) => {
          if (where.kind === 'chunk' && where.stream === 'data' && where.index === 2) throw crash;
          await home.store.write(id, where, bytes);
        },
        // A process that has crashed tidies nothing up.
        drop: () => Promise.reject(crash),
      };
      const failure: unknown = await run({ copy: true }, { deps: { store } }).catch((error: unknown) => error);
      expect(failure).to.equal(crash);
      expect(home.catalog.list()).to.deep.equal([]);
      const begun = await home.store.list();
      expect(home.catalog.debris()).to.deep.equal(begun);
      const again = await run({ copy: true });
      expect(begun).not.to.include(again.id);
      await home.sweep();
      expect(await home.store.list()).to.deep.equal([again.id]);
      expect(home.catalog.debris()).to.deep.equal([]);
      expect(await home.store.have(again.id)).to.equal('all');
    });

    it('leaves nothing when it is stopped while it is made', async () => {
      await writeFile(at('a.bin'), randomBytes(12 * PIECE_BYTES));
      const stop = new AbortController();
      const store: ChunkStore = {
        ...borrowed(home.store),
        write: async (id, where, bytes) => {
          if (where.kind === 'chunk' && where.stream === 'data' && where.index === 2)
            stop.abort(new ShoalError('interrupted', 'stopped'));
          await home.store.write(id, where, bytes);
        },
      };
      await expectFailure(run({ copy: true }, { deps: { store }, signal: stop.signal }), 'interrupted');
    });
  });

  it('leaves nothing when it is stopped at any step', async () => {
    for (let steps = 0; steps < 3; steps++) {
      const stop = new AbortController();
      let seen = 0;
      const crypto: Crypto = {
        ...deps.crypto,
        seal: (...given) => {
          if (seen++ === steps) stop.abort(new ShoalError('interrupted', 'stopped'));
          return nodeCrypto().seal(...given);
        },
      };
      const work = run({}, { deps: { crypto }, signal: stop.signal });
      // Once everything is sealed it is done rather than undone.
      if (steps < 2) await expectFailure(work, 'interrupted');
      else await work;
    }
  });

  it('leaves nothing when the disk is full at any write', async () => {
    for (const copy of [false, true]) {
      for (let left = 0; ; left++) {
        let writes = 0;
        const full = (): Promise<void> => Promise.reject(new ShoalError('disk-full', 'no space is left'));
        const store: ChunkStore = {
          ...borrowed(home.store),
          write: (id, where: BlockAddress, bytes) => (writes++ >= left ? full() : home.store.write(id, where, bytes)),
          sync: id => (writes > left ? full() : home.store.sync(id)),
        };
        let isDone = false;
        const work = run({ copy }, { deps: { store } }).then(() => (isDone = true));
        await Promise.allSettled([work]);
        if (isDone) {
          expect(left).to.be.greaterThan(copy ? 6 : 1);
          for (const { id } of home.catalog.list()) {
            home.catalog.remove(id);
            home.forgetSources();
            await home.sweep();
          }
          break;
        }
        await expectFailure(work, 'disk-full');
      }
    }
  });

  it('keeps of the files nothing but what names them', async () => {
    const marker = randomBytes(1000);
    await writeFile(at('a.bin'), marker);
    const shared = await run();
    const have = await home.store.have(shared.id);
    expect(have).to.deep.equal({ manifest: [0, 1], data: [] });
  });
});

/** The methods of a store, whatever class it is of. */
function borrowed(store: ChunkStore): ChunkStore {
  return {
    have: share => store.have(share),
    read: (share, where, signal) => store.read(share, where, signal),
    write: (share, where, bytes) => store.write(share, where, bytes),
    sync: share => store.sync(share),
    drop: share => store.drop(share),
    list: () => store.list(),
  };
}
