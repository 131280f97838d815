/** A quota around a store: what it counts, what it refuses, and that it asks for room first. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { openDirectory } from '../../src/files/directory.ts';
import { ciphertextBytes } from '../../src/format/share-block.ts';
import { HOME_SPARE_BYTES, PIECE_BYTES } from '../../src/limits.ts';
import type { Directory } from '../../src/ports.ts';
import { nameOf } from '../../src/store/block-name.ts';
import { diskStore } from '../../src/store/disk.ts';
import { quotaStore } from '../../src/store/quota.ts';
import { chunkAt, makeShare, type TestShare } from '../contract/chunk-source.ts';
import { chunkStoreContract, fill } from '../contract/chunk-store.ts';
import { failureOf } from '../contract/crypto.ts';

const MIB = 2 ** 20;
const TIB = 2 ** 40;
const never = new AbortController().signal;

type Store = ReturnType<typeof quotaStore>;

describe('a quota around a store', () => {
  let path: string;
  let folder: Directory;
  let stores: { store: Store; inside: Directory }[];
  let freeBytes: number;

  beforeEach(async () => {
    stores = [];
    freeBytes = TIB;
    path = mkdtempSync(join(tmpdir(), 'shoal-quota-'));
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

  async function make(quotaBytes = Infinity, name = `store-${stores.length}`): Promise<Store> {
    if (!stores.some((_, n) => name === `store-${n}`)) await folder.make(name);
    const inside = await folder.enter(name);
    const disk = diskStore({ folder: inside, crypto: nodeCrypto(), random: randomBytes });
    const store = quotaStore({ store: disk, quotaBytes, disk: async () => ({ freeBytes, totalBytes: TIB }) });
    stores.push({ store, inside });
    return store;
  }

  describe('as any chunk store', () => chunkStoreContract(async () => await make(TIB)));

  describe('with shares of some chunks', () => {
    let share: TestShare;
    let other: TestShare;
    before(async () => {
      share = await makeShare('share', { a: randomBytes(3 * PIECE_BYTES) });
      other = await makeShare('other', { b: randomBytes(2 * PIECE_BYTES) });
    });
    const sizeOf = ({ blocks }: TestShare): number => blocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const used = async (store: Store): Promise<number> => (await store.usage()).usedBytes;

    it('counts what is there, written once or twice or at the same time, damaged and dropped', async () => {
      const store = await make(TIB);
      expect(await used(store)).to.equal(0);
      await fill(store, share);
      expect(await used(store)).to.equal(sizeOf(share));
      await Promise.all([fill(store, share), fill(store, share), fill(store, other)]);
      expect(await used(store)).to.equal(sizeOf(share) + sizeOf(other));
      expect(await store.bytesOf(other.id)).to.equal(sizeOf(other));
      const file = join(path, 'store-0', share.id, nameOf(chunkAt('data', 1)));
      const length = statSync(file).size;
      writeFileSync(file, readFileSync(file).reverse());
      expect(await failureOf(store.read(share.id, chunkAt('data', 1)))).to.include({ code: 'unavailable' });
      expect(await used(store)).to.equal(sizeOf(share) + sizeOf(other) - length);
      await fill(store, share);
      expect(await used(store)).to.equal(sizeOf(share) + sizeOf(other));
      await store.drop(share.id);
      expect(await used(store)).to.equal(sizeOf(other));
    });

    it('finds what was there before, without what a crash left unfinished', async () => {
      await fill(await make(TIB), share);
      writeFileSync(join(path, 'store-0', share.id, 'data-0', 'part-00-1'), randomBytes(5000));
      expect(await used(await make(TIB, 'store-0'))).to.equal(sizeOf(share));
    });

    it('refuses a chunk beyond it, says how much is left, and takes what a share is opened by', async () => {
      const store = await make(2.5 * MIB);
      const failure = await failureOf(fill(store, share));
      expect(failure).to.include({ code: 'disk-full' });
      expect(failure.message).to.match(/it takes 3\.1 MB, and the quota of 2\.6 MB leaves .*raise store\.quota/);
      await fill(store, other, name => !name.startsWith('data-'));
      expect(await used(store)).to.be.lessThan(sizeOf(share) + sizeOf(other));
    });

    it('takes a block again where it is full', async () => {
      const store = await make(sizeOf(share));
      await fill(store, share);
      await fill(store, share);
      expect(await store.have(share.id)).to.equal('all');
    });

    it('keeps what is reserved from others until it is there or given up', async () => {
      const store = await make(sizeOf(share) + 1000);
      const release = await store.reserve(share.id, ciphertextBytes(share.listing.block), never);
      expect(await failureOf(store.reserve(other.id, ciphertextBytes(other.listing.block), never))).to.include({
        code: 'disk-full',
      });
      expect(await failureOf(fill(store, other))).to.include({ code: 'disk-full' });
      await store.drop(other.id);
      await fill(store, share);
      release();
      expect(await store.have(share.id)).to.equal('all');
      expect(await failureOf(store.reserve(other.id, 5000, never))).to.include({ code: 'disk-full' });
      await store.drop(share.id);
      (await store.reserve(other.id, ciphertextBytes(other.listing.block), never))();
    });

    it('reserves for what is to come of a share only, not for what is there of it', async () => {
      const store = await make(sizeOf(share) + 1000);
      await fill(store, share, name => name !== 'data-0/2');
      (await store.reserve(share.id, ciphertextBytes(share.listing.block), never))();
    });

    it('asks for the bytes that are lacking, once, and goes on where there is room then', async () => {
      const store = await make(sizeOf(share) + 1000);
      await fill(store, other);
      const asked: { bytes: number; wanted: string }[] = [];
      store.makeRoom = async (bytes, wanted) => {
        asked.push({ bytes, wanted });
        await store.drop(other.id);
      };
      const totalBytes = ciphertextBytes(share.listing.block);
      const release = await store.reserve(share.id, totalBytes, never);
      await fill(store, share);
      release();
      expect(asked).to.deep.equal([{ bytes: totalBytes + sizeOf(other) - sizeOf(share) - 1000, wanted: share.id }]);
      expect(await store.have(share.id)).to.equal('all');
    });

    it('leaves the last bytes of the disk, without any quota and in the midst of it', async () => {
      const store = await make();
      freeBytes = HOME_SPARE_BYTES + sizeOf(share);
      (await store.reserve(share.id, ciphertextBytes(share.listing.block), never))();
      freeBytes = HOME_SPARE_BYTES + 1000;
      const failure = await failureOf(store.reserve(share.id, ciphertextBytes(share.listing.block), never));
      expect(failure).to.include({ code: 'disk-full' });
      expect(failure.message).to.match(/no space is left on the disk; free some and run the same command/);
      expect(await failureOf(fill(store, share))).to.include({ code: 'disk-full' });
      await fill(store, other, name => !name.startsWith('data-'));
      freeBytes = TIB;
      await fill(store, share);
    });
  });
});
