import { expect } from 'chai';
import { Listing } from '../../src/format/listing.ts';
import { DIGEST_BYTES, sha256 } from '../../src/format/ids.ts';
import { ownerOf, listStream, type ShareBlock, type StreamName } from '../../src/format/share-block.ts';
import { CACHED_INDEX_BLOCKS, CHUNKS_PER_INDEX, MAX_DIRECT_CHUNKS, PIECE_BYTES } from '../../src/limits.ts';
import { failureOf } from './failure.ts';

const OWNER = ownerOf(new Uint8Array(32).fill(1));
const MANIFEST = listStream(4096, sha256(Uint8Array.of(0))).list;

/** A digest for each chunk that no other chunk has. */
function digestsOf(count: number): Uint8Array {
  const digests = new Uint8Array(count * DIGEST_BYTES);
  const view = new DataView(digests.buffer);
  for (let i = 0; i < count; i++) view.setUint32(i * DIGEST_BYTES, i);
  return digests;
}

interface Loads {
  readonly listing: Listing;
  readonly digests: Uint8Array;
  readonly blocks: readonly Uint8Array[];
  /** The index blocks asked for, in order. */
  readonly asked: [StreamName, number][];
}

/** The listing of a data stream of `chunks` chunks. @param answer stands in for the right index block */
function listingOf(chunks: number, answer?: (right: Uint8Array, n: number) => Promise<Uint8Array>): Loads {
  const digests = digestsOf(chunks);
  const { list, blocks } = listStream(chunks * PIECE_BYTES, digests);
  const block: ShareBlock = { owner: OWNER, commitment: new Uint8Array(32), manifest: MANIFEST, data: list };
  const asked: [StreamName, number][] = [];
  const listing = new Listing(block, async (stream, n) => {
    asked.push([stream, n]);
    const right = blocks[n]!;
    return answer === undefined ? right : answer(right, n);
  });
  return { listing, digests, blocks, asked };
}

const digest = (digests: Uint8Array, i: number): Uint8Array => digests.slice(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES);

describe('the listing of a share', () => {
  it('knows all digests from the share block where that lists them', async () => {
    const { listing, digests, asked } = listingOf(MAX_DIRECT_CHUNKS);
    for (const i of [0, 1, MAX_DIRECT_CHUNKS - 1]) {
      expect(await listing.digest('data', i)).to.deep.equal(digest(digests, i));
    }
    expect(await listing.digest('manifest', 0)).to.deep.equal(sha256(Uint8Array.of(0)));
    expect(asked).to.deep.equal([]);
  });

  it('finds the others in the right index block', async () => {
    const { listing, digests, blocks, asked } = listingOf(CHUNKS_PER_INDEX + 3);
    expect(blocks).to.have.lengthOf(2);
    expect(listing.indexDigest('data', 1)).to.deep.equal(sha256(blocks[1]!));
    for (const i of [0, CHUNKS_PER_INDEX - 1, CHUNKS_PER_INDEX, CHUNKS_PER_INDEX + 2]) {
      expect(await listing.digest('data', i), `chunk ${i}`).to.deep.equal(digest(digests, i));
    }
    expect(asked).to.deep.equal([
      ['data', 0],
      ['data', 1],
    ]);
  });

  it('says sizes, counts and lengths', () => {
    const { listing } = listingOf(3);
    expect(listing.size('data')).to.equal(3 * PIECE_BYTES);
    expect(listing.count('data')).to.equal(3);
    expect(listing.chunkLength('data', 2)).to.equal(PIECE_BYTES + 16);
    expect([listing.size('manifest'), listing.count('manifest'), listing.chunkLength('manifest', 0)]).to.deep.equal([
      4096, 1, 4112,
    ]);
  });

  it('has no chunk and no index block beyond the last', async () => {
    const { listing } = listingOf(MAX_DIRECT_CHUNKS + 1);
    let error: unknown;
    await listing.digest('data', MAX_DIRECT_CHUNKS + 1).catch((caught: unknown) => (error = caught));
    expect(error).to.be.an.instanceOf(RangeError);
    expect(() => listing.indexDigest('data', 1)).to.throw(RangeError);
    expect(() => listing.indexDigest('manifest', 0)).to.throw(RangeError);
  });

  it('loads an index block once for all who ask at the same time', async () => {
    const { listing, asked } = listingOf(MAX_DIRECT_CHUNKS + 1);
    await Promise.all(Array.from({ length: 20 }, (_, i) => listing.digest('data', i)));
    expect(asked).to.deep.equal([['data', 0]]);
  });

  it('keeps the index blocks used last, and loads others again', async () => {
    const { listing, asked } = listingOf((CACHED_INDEX_BLOCKS + 1) * CHUNKS_PER_INDEX);
    const use = (n: number): Promise<Uint8Array> => listing.digest('data', n * CHUNKS_PER_INDEX);
    for (let n = 0; n < CACHED_INDEX_BLOCKS; n++) await use(n);
    await use(0);
    await use(CACHED_INDEX_BLOCKS);
    asked.length = 0;
    await use(0);
    expect(asked).to.deep.equal([]);
    await use(1);
    expect(asked).to.deep.equal([['data', 1]]);
  });

  it('refuses an index block whose bytes are others than those listed', async () => {
    const { listing, digests } = listingOf(MAX_DIRECT_CHUNKS + 1, async right => {
      const wrong = Uint8Array.from(right);
      wrong[wrong.length - 1] = wrong.at(-1)! ^ 1;
      return wrong;
    });
    const failure = await failureOf(() => listing.digest('data', 0));
    expect(failure.code).to.equal('corrupt');
    expect(failure.message).to.include('index block 0 of the data stream');
    expect(digests).to.have.lengthOf((MAX_DIRECT_CHUNKS + 1) * DIGEST_BYTES);
  });

  it('refuses an index block that is listed and lists too few or too many', async () => {
    const { digests } = listingOf(MAX_DIRECT_CHUNKS + 2);
    const short = listStream((MAX_DIRECT_CHUNKS + 1) * PIECE_BYTES, digests.slice(0, -DIGEST_BYTES));
    const long = listStream((MAX_DIRECT_CHUNKS + 2) * PIECE_BYTES, digests);
    const swapped: [typeof short, number][] = [
      [short, long.list.size],
      [long, short.list.size],
    ];
    for (const [{ list, blocks }, size] of swapped) {
      const data = { size, index: list.index! };
      const block: ShareBlock = { owner: OWNER, commitment: new Uint8Array(32), manifest: MANIFEST, data };
      const listing = new Listing(block, async () => blocks[0]!);
      expect((await failureOf(() => listing.digest('data', 0))).code).to.equal('malformed');
    }
  });

  it('asks again after a failure', async () => {
    let fail = true;
    const { listing, digests, asked } = listingOf(MAX_DIRECT_CHUNKS + 1, async right => {
      if (!fail) return right;
      throw new RangeError('not now');
    });
    const results = await Promise.allSettled([listing.digest('data', 0), listing.digest('data', 1)]);
    expect(results.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    expect(asked).to.have.lengthOf(1);
    fail = false;
    expect(await listing.digest('data', 1)).to.deep.equal(digest(digests, 1));
    expect(asked).to.have.lengthOf(2);
  });
});
