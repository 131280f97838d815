/** What every adapter of the ChunkStore port does, beyond what all sources do. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import type { ChunkStore } from '../../src/ports.ts';
import { nameOf } from '../../src/store/block-name.ts';
import { SHARE, chunkAt, chunkSourceContract, expectSame, makeLargeShare, makeShare } from './chunk-source.ts';
import type { TestShare } from './chunk-source.ts';
import { failureOf } from './crypto.ts';

/** Puts a whole share, or the blocks that `wanted` picks, into a store. */
export async function fill(
  store: ChunkStore,
  share: TestShare,
  wanted: (name: string) => boolean = () => true,
): Promise<void> {
  for (const { at, bytes } of share.blocks) if (wanted(nameOf(at))) await store.write(share.id, at, bytes);
}

/** Runs the suite. `make` makes an empty store; what it opened is closed by the caller's own hooks. */
export function chunkStoreContract(make: () => Promise<ChunkStore>): void {
  let small: TestShare;
  let other: TestShare;
  let large: TestShare;
  let store: ChunkStore;

  before(async () => {
    small = await makeShare('small', { a: randomBytes(1_500_000), b: randomBytes(10) });
    other = await makeShare('other', { other: randomBytes(10) });
    large = await makeLargeShare(40_000, [0, 1, 2, 4095, 4096, 20_000, 39_999]);
  });
  beforeEach(async () => {
    store = await make();
  });

  describe('as a source', () => {
    chunkSourceContract(async () => {
      const filled = await make();
      await fill(filled, small);
      return { source: filled, share: small };
    });
  });

  it('knows nothing at first', async () => {
    expect(await store.list()).to.deep.equal([]);
    expect(await store.have(small.id)).to.equal(undefined);
    expect(await failureOf(store.read(small.id, SHARE))).to.include({ code: 'unavailable' });
    await store.sync(small.id);
    await store.drop(small.id);
  });

  it('lists the shares of which it has anything', async () => {
    await fill(store, small);
    await fill(store, other, name => name === 'share');
    expect(new Set(await store.list())).to.deep.equal(new Set([small.id, other.id]));
  });

  it('keeps shares apart', async () => {
    await fill(store, small);
    await fill(store, other);
    for (const share of [small, other]) {
      for (const { at, bytes } of share.blocks) expectSame(await store.read(share.id, at), bytes);
    }
    await store.drop(small.id);
    expect(await store.have(small.id)).to.equal(undefined);
    expect(await store.have(other.id)).to.equal('all');
    expect(await store.list()).to.deep.equal([other.id]);
  });

  it('forgets every block that is dropped, and takes the share anew', async () => {
    await fill(store, small);
    await store.drop(small.id);
    for (const { at } of small.blocks) {
      expect(await failureOf(store.read(small.id, at))).to.include({ code: 'unavailable' });
    }
    await fill(store, small);
    expect(await store.have(small.id)).to.equal('all');
    for (const { at, bytes } of small.blocks) expectSame(await store.read(small.id, at), bytes);
  });

  it('says exactly which chunks it has of a share that is not complete', async () => {
    await fill(store, large);
    expect(await store.have(large.id)).to.deep.equal({
      manifest: [0, 1],
      data: [0, 3, 4095, 2, 20_000, 1, 39_999, 1],
    });
    for (const { at, bytes } of large.blocks) expectSame(await store.read(large.id, at), bytes);
    for (const index of [3, 4094, 19_999]) {
      expect(await failureOf(store.read(large.id, chunkAt('data', index)))).to.include({ code: 'unavailable' });
    }
  });

  it('has nothing of a share whose share block or index blocks it has not all', async () => {
    await fill(store, small, name => name !== 'share');
    expect(await store.have(small.id)).to.equal(undefined);
    await fill(store, large, name => name !== 'data-index-1');
    expect(await store.have(large.id)).to.equal(undefined);
    await fill(store, large, name => name === 'data-index-1');
    expect(await store.have(large.id)).not.to.equal(undefined);
  });

  it('gains chunks as they are written', async () => {
    await fill(store, small, name => name === 'share');
    expect(await store.have(small.id)).to.deep.equal({ manifest: [], data: [] });
    await fill(store, small, name => name === 'data-0/1');
    expect(await store.have(small.id)).to.deep.equal({ manifest: [], data: [1, 1] });
    await fill(store, small);
    expect(await store.have(small.id)).to.equal('all');
  });

  it('takes a block twice, and many at once', async () => {
    const writes = [...small.blocks, ...small.blocks].map(({ at, bytes }) => store.write(small.id, at, bytes));
    await Promise.all(writes);
    await store.sync(small.id);
    expect(await store.have(small.id)).to.equal('all');
    for (const { at, bytes } of small.blocks) expectSame(await store.read(small.id, at), bytes);
  });

  it('keeps what was written, whatever the writer does with its bytes afterwards', async () => {
    for (const { at, bytes } of small.blocks) {
      const given = Uint8Array.from(bytes);
      await store.write(small.id, at, given);
      given.fill(0);
    }
    for (const { at, bytes } of small.blocks) expectSame(await store.read(small.id, at), bytes);
  });
}
