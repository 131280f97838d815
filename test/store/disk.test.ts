import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { openDirectory } from '../../src/files/directory.ts';
import type { ChunkStore, Directory } from '../../src/ports.ts';
import { countOf } from '../../src/protocol/ranges.ts';
import { nameOf } from '../../src/store/block-name.ts';
import { diskStore } from '../../src/store/disk.ts';
import { SHARE, chunkAt, expectSame, makeShare } from '../contract/chunk-source.ts';
import type { TestShare } from '../contract/chunk-source.ts';
import { chunkStoreContract, fill } from '../contract/chunk-store.ts';
import { failureOf } from '../contract/crypto.ts';
import { Crash, Forgetful } from '../sim/forgetful.ts';

type DiskStore = ReturnType<typeof diskStore>;

const storeIn = (folder: Directory): DiskStore => diskStore({ folder, crypto: nodeCrypto(), random: randomBytes });

describe('a chunk store on disk', () => {
  let path: string;
  let folder: Directory;
  let stores: { store: DiskStore; inside: Directory }[];

  beforeEach(async () => {
    stores = [];
    path = mkdtempSync(join(tmpdir(), 'shoal-store-'));
    folder = await openDirectory(path);
  });
  afterEach(async () => {
    for (const { store, inside } of stores) {
      await store.close();
      await inside.close();
    }
    await folder.close();
    rmSync(path, { recursive: true });
  });

  /** A store in a folder of its own, beside others. */
  async function make(): Promise<DiskStore> {
    const name = `store-${stores.length}`;
    await folder.make(name);
    return await again(name);
  }

  /** Another store in the same folder, that has read nothing yet. */
  async function again(name: string): Promise<DiskStore> {
    const inside = await folder.enter(name);
    const store = storeIn(inside);
    stores.push({ store, inside });
    return store;
  }

  describe('as any chunk store', () => chunkStoreContract(make));

  describe('and its files', () => {
    let share: TestShare;
    let store: DiskStore;
    let root: string;
    before(async () => {
      share = await makeShare('name-of-the-share', { 'name-of-the-share': randomBytes(1_500_000) });
    });
    beforeEach(async () => {
      store = await make();
      root = join(path, 'store-0');
      await fill(store, share);
    });

    it('are the blocks, in folders for this user only', () => {
      for (const { at, bytes } of share.blocks) expectSame(readFileSync(join(root, share.id, nameOf(at))), bytes);
      expect(readdirSync(root, { recursive: true }).toSorted()).to.deep.equal(
        ['', '/share', '/manifest-0', '/manifest-0/0', '/data-0', '/data-0/0', '/data-0/1']
          .map(name => share.id + name)
          .toSorted(),
      );
      for (const name of ['', 'manifest-0', 'data-0'])
        expect(statSync(join(root, share.id, name)).mode & 0o777).to.equal(0o700);
    });

    const damages: Readonly<Record<string, (path: string) => void>> = {
      'one bit was flipped': file => {
        const bytes = readFileSync(file);
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(file, bytes);
      },
      'was cut short': file => truncateSync(file, statSync(file).size - 1),
      'was emptied': file => truncateSync(file, 0),
      grew: file => appendFileSync(file, 'x'),
      'became huge': file => truncateSync(file, 2 ** 40),
      'was replaced by another block': file => writeFileSync(file, randomBytes(statSync(file).size)),
    };
    for (const [how, damage] of Object.entries(damages)) {
      it(`is never given out when it ${how}, and can be written again`, async () => {
        for (const { at, bytes } of share.blocks) {
          const file = join(root, share.id, nameOf(at));
          const fresh = await again('store-0');
          damage(file);
          for (const one of at.kind === 'share' ? [fresh] : [store, fresh]) {
            expect(await failureOf(one.read(share.id, at))).to.include({ code: 'unavailable' });
          }
          expect(() => statSync(file)).to.throw('ENOENT');
          const have = await fresh.have(share.id);
          expect(have).not.to.equal('all');
          if (at.kind === 'share') expect(have).to.equal(undefined);
          await fresh.write(share.id, at, bytes);
          expectSame(await fresh.read(share.id, at), bytes);
          expect(await fresh.have(share.id)).to.equal('all');
        }
      });
    }

    it('are not read through links, nor where a folder stands in their place', async () => {
      const file = join(root, share.id, 'data-0', '0');
      renameSync(file, join(path, 'elsewhere'));
      symlinkSync(join(path, 'elsewhere'), file);
      expect(await failureOf(store.read(share.id, chunkAt('data', 0)))).to.include({ code: 'unavailable' });
      rmSync(file);
      mkdirSync(file);
      expect(await failureOf(store.read(share.id, chunkAt('data', 0)))).to.include({ code: 'unavailable' });
      expect(await store.have(share.id)).to.deep.equal({ manifest: [0, 1], data: [1, 1] });
    });

    it('are told from others that lie beside them', async () => {
      mkdirSync(join(root, 'bafynothing'));
      mkdirSync(join(root, share.id.toUpperCase()));
      writeFileSync(join(root, 'notes.txt'), 'x');
      for (const name of ['00', '1x', '-1', '2', '4096', '99999999999999999999']) {
        writeFileSync(join(root, share.id, 'data-0', name), 'x');
      }
      rmSync(join(root, share.id, 'data-0', '1'));
      expect(await store.list()).to.deep.equal([share.id]);
      expect(await store.have(share.id)).to.deep.equal({ manifest: [0, 1], data: [0, 1] });
    });

    it('that a crash left unfinished are removed when the share is looked at, unless they are being written', async () => {
      const left = join(root, share.id, 'data-0', 'part-0011223344556677-3');
      writeFileSync(left, 'x');
      const writing = store.write(share.id, chunkAt('data', 0), share.blocks[1]!.bytes);
      expect(await store.have(share.id)).to.equal('all');
      await writing;
      expect(() => statSync(left)).to.throw('ENOENT');
      expectSame(await store.read(share.id, chunkAt('data', 0)), share.blocks[1]!.bytes);
    });

    it('hold nothing of a share whose folder somebody removed', async () => {
      rmSync(join(root, share.id), { recursive: true });
      for (const { at } of share.blocks) {
        expect(await failureOf(store.read(share.id, at))).to.include({ code: 'unavailable' });
      }
      expect(await store.list()).to.deep.equal([]);
    });
  });
});

describe('a chunk store on a disk that forgets', () => {
  describe('as any chunk store', () => chunkStoreContract(async () => storeIn(new Forgetful().root())));

  /** Writes a share, and tells how far it came. */
  async function writeAll(store: ChunkStore, share: TestShare): Promise<'crashed' | 'durable'> {
    try {
      await fill(store, share);
      await store.sync(share.id);
      return 'durable';
    } catch (error) {
      if (error instanceof Crash) return 'crashed';
      throw error;
    }
  }

  it('has all that was synced, and gives out nothing damaged, wherever it crashed', async () => {
    const share = await makeShare('small', { small: randomBytes(2_000) });
    const undisturbed = new Forgetful();
    expect(await writeAll(storeIn(undisturbed.root()), share)).to.equal('durable');
    for (let operation = 1; operation <= undisturbed.operations + 1; operation++) {
      for (const seed of ['least', 'most', operation, operation + 1000] as const) {
        const disk = new Forgetful();
        disk.crashAfter(operation);
        const outcome = await writeAll(storeIn(disk.root()), share);
        const store = storeIn(disk.crash(seed).root());
        const have = await store.have(share.id);
        if (outcome === 'durable') expect(have).to.equal('all');
        for (const { at, bytes } of share.blocks) {
          try {
            expectSame(await store.read(share.id, at), bytes);
          } catch (error) {
            expect(error, `seed ${seed}, operation ${operation}`).to.include({ code: 'unavailable' });
            expect(outcome).to.equal('crashed');
          }
        }
        // And it can go on.
        await fill(store, share);
        expect(await store.have(share.id)).to.equal('all');
        for (const { at, bytes } of share.blocks) expectSame(await store.read(share.id, at), bytes);
      }
    }
  });

  it('has dropped a share for good', async () => {
    const share = await makeShare('small', { small: randomBytes(2_000) });
    const disk = new Forgetful();
    const store = storeIn(disk.root());
    await writeAll(store, share);
    await store.drop(share.id);
    const after = storeIn(disk.crash('least').root());
    expect(await after.list()).to.deep.equal([]);
    expect(await failureOf(after.read(share.id, SHARE))).to.include({ code: 'unavailable' });
  });

  it('says that the disk is full and leaves no part behind', async () => {
    const share = await makeShare('small', { small: randomBytes(2_000) });
    const disk = new Forgetful();
    const store = storeIn(disk.root());
    await fill(store, share, name => name !== 'data-0/0');
    disk.full = true;
    const { at, bytes } = share.blocks.find(block => nameOf(block.at) === 'data-0/0')!;
    expect(await failureOf(store.write(share.id, at, bytes))).to.include({ code: 'disk-full' });
    const have = await store.have(share.id);
    expect(have !== undefined && have !== 'all' && countOf(have.data)).to.equal(0);
    expect([...disk.contents().keys()].filter(name => name.includes('part-'))).to.deep.equal([]);
    disk.full = false;
    await store.write(share.id, at, bytes);
    expect(await store.have(share.id)).to.equal('all');
  });
});
