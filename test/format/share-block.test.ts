import { expect } from 'chai';
import { encode } from '../../src/format/canonical.ts';
import { checkCommitment, sealShareBlock } from '../../src/format/commitment.ts';
import { DIGEST_BYTES, blockCid, chunkCid, digestAt, idOf, sha256 } from '../../src/format/ids.ts';
import { fileKey } from '../../src/format/keys.ts';
import { pad } from '../../src/format/pieces.ts';
import {
  decodeIndex,
  decodeShareBlock,
  encodeShareBlock,
  indexCount,
  listStream,
  ownerOf,
  type ShareBlock,
} from '../../src/format/share-block.ts';
import {
  CHUNKS_PER_INDEX,
  MAX_BLOCK_BYTES,
  MAX_DIRECT_CHUNKS,
  MAX_MANIFEST_BYTES,
  PIECE_BYTES,
} from '../../src/limits.ts';
import { failureOf } from './failure.ts';

const DIGEST = sha256(Uint8Array.of(1));
const OWNER = ownerOf(new Uint8Array(32).fill(3));

/** Distinct digests of so many chunks. */
function digests(count: number): Uint8Array {
  const all = new Uint8Array(count * DIGEST_BYTES);
  for (let i = 0; i < count; i++) new DataView(all.buffer).setUint32(i * DIGEST_BYTES, i);
  return all;
}

const unsealed = {
  owner: OWNER,
  manifest: { size: 4096, chunks: DIGEST },
  data: { size: PIECE_BYTES + 1, chunks: digests(2) },
};
const endless: ShareBlock = { ...unsealed, commitment: new Uint8Array(32).fill(1) };
const block: ShareBlock = { ...endless, expires: 3600 * 500_000 };

/** A share block as its canonical bytes say it, for tests to spoil. */
const good = {
  type: 'share',
  version: 1,
  commitment: block.commitment,
  owner: OWNER,
  manifest: { size: 4096, chunks: [chunkCid(DIGEST)] },
  data: { size: 0, chunks: [] },
};

const codeOf = async (value: unknown): Promise<string> => (await failureOf(() => decodeShareBlock(encode(value)))).code;

describe('a share block', () => {
  it('reads back as it was written', () => {
    const empty = { ...endless, data: { size: 0, chunks: new Uint8Array() } };
    for (const one of [block, endless, empty]) expect(decodeShareBlock(encodeShareBlock(one))).to.deep.equal(one);
    expect(decodeShareBlock(encode(good))).to.deep.equal({ ...empty });
  });

  it('lists up to 2,048 chunks itself and fits, and index blocks from one more on', () => {
    for (const count of [MAX_DIRECT_CHUNKS, MAX_DIRECT_CHUNKS + 1, CHUNKS_PER_INDEX, CHUNKS_PER_INDEX + 1]) {
      const size = count * PIECE_BYTES;
      const { list, blocks } = listStream(size, digests(count));
      const bytes = encodeShareBlock({ ...block, data: list });
      expect(bytes.length).to.be.at.most(MAX_BLOCK_BYTES);
      expect(decodeShareBlock(bytes).data).to.deep.equal(list);
      expect(blocks).to.have.lengthOf(count <= MAX_DIRECT_CHUNKS ? 0 : Math.ceil(count / CHUNKS_PER_INDEX));
      expect(indexCount(size)).to.equal(blocks.length);
      const listed = blocks.map((bytes, n) => {
        expect(bytes.length).to.be.at.most(MAX_BLOCK_BYTES);
        expect(digestAt(list.index!, n)).to.deep.equal(sha256(bytes));
        return decodeIndex(bytes, size, n);
      });
      if (listed.length > 0) expect(Buffer.concat(listed)).to.deep.equal(Buffer.from(digests(count)));
    }
  });

  it('is not made of another number of digests than there are chunks', () => {
    expect(() => listStream(PIECE_BYTES + 1, digests(1))).to.throw(RangeError);
    expect(() => listStream(0, digests(1))).to.throw(RangeError);
  });

  it('of another version needs a newer program, whatever else is in it', async () => {
    expect(await codeOf({ ...good, version: 2 })).to.equal('unsupported');
    expect(
      await codeOf({ type: 'share', version: 3, a: { b: 1, c: { d: 2 } }, deep: [[[[[[[[[[1.5]]]]]]]]]] }),
    ).to.equal('unsupported');
    // A CID of another kind, a tag, a key out of order: the version is found behind them.
    const other = Buffer.concat([
      Uint8Array.of(0xa3, 0x61, 0x7a, 0xd8, 0x2a, 0x43, 0, 1, 2),
      Uint8Array.of(0x64, ...Buffer.from('type'), 0x65, ...Buffer.from('share')),
      Uint8Array.of(0x67, ...Buffer.from('version'), 0x18, 99),
    ]);
    expect((await failureOf(() => decodeShareBlock(other))).code).to.equal('unsupported');
  });

  it('that is too large is refused before it is looked at', async () => {
    const failure = await failureOf(() => decodeShareBlock(new Uint8Array(MAX_BLOCK_BYTES + 1)));
    expect(failure.code).to.equal('malformed');
    expect(failure.message).to.match(/at most 1048576/);
  });

  it('is refused when its manifest is larger than any can be', async () => {
    const of = (size: number): unknown => {
      const { list } = listStream(size, digests(Math.ceil(size / PIECE_BYTES)));
      return encodeShareBlock({ ...block, manifest: list });
    };
    const largest = pad(4 + MAX_MANIFEST_BYTES);
    expect(decodeShareBlock(of(largest) as Uint8Array).manifest.size).to.equal(largest);
    const failure = await failureOf(() => decodeShareBlock(of(largest + 1) as Uint8Array));
    expect(failure.message).to.match(/too large/);
  });

  const stream = (count: number, listed: number): unknown => ({
    size: count * PIECE_BYTES,
    chunks: Array.from({ length: listed }, () => chunkCid(DIGEST)),
  });
  const index = (count: number, ...links: unknown[]): unknown => ({ size: count * PIECE_BYTES, index: links });
  const DIRECT = MAX_DIRECT_CHUNKS;
  const refused: [why: string, value: unknown][] = [
    ['no type', { ...good, type: undefined }],
    ['the type of a grant', { ...good, type: 'grant' }],
    ['no version', { ...good, version: undefined }],
    ['a version as text', { ...good, version: '1' }],
    ['a commitment that is cut short', { ...good, commitment: new Uint8Array(31) }],
    ['an owner that is no point', { ...good, owner: new Uint8Array(32).fill(2) }],
    [
      'an owner that is not in its canonical form',
      { ...good, owner: Uint8Array.of(0xee, ...Array<number>(30).fill(255), 0x7f) },
    ],
    ['an end that is not a full hour', { ...good, expires: 1 }],
    ['an end before 1970', { ...good, expires: -3600 }],
    ['an end that is not a number', { ...good, expires: null }],
    ['no manifest', { ...good, manifest: undefined }],
    ['a stream that is not a map', { ...good, data: [] }],
    ['a stream without a size', { ...good, data: { chunks: [] } }],
    ['a negative size', { ...good, data: { size: -1, chunks: [] } }],
    ['neither chunks nor index', { ...good, data: { size: 0 } }],
    ['both chunks and index', { ...good, data: { size: 0, chunks: [], index: [] } }],
    ['a chunk too few', { ...good, data: stream(2, 1) }],
    ['a chunk too many', { ...good, data: stream(2, 3) }],
    ['a chunk of nothing', { ...good, data: stream(0, 1) }],
    ['a chunk that is a dag-cbor block', { ...good, data: { size: 1, chunks: [blockCid(DIGEST)] } }],
    ['a chunk that is no CID', { ...good, data: { size: 1, chunks: [DIGEST] } }],
    ['an index where there are few chunks', { ...good, data: index(DIRECT, blockCid(DIGEST)) }],
    ['a list of chunks where there are many', { ...good, data: stream(DIRECT + 1, DIRECT + 1) }],
    ['an index block too few', { ...good, data: index(CHUNKS_PER_INDEX + 1, blockCid(DIGEST)) }],
    ['an index block too many', { ...good, data: index(DIRECT + 1, blockCid(DIGEST), blockCid(sha256(DIGEST))) }],
    ['an index block twice', { ...good, data: index(CHUNKS_PER_INDEX + 1, blockCid(DIGEST), blockCid(DIGEST)) }],
    ['an index block that is raw', { ...good, data: index(DIRECT + 1, chunkCid(DIGEST)) }],
    ['an entry that the format does not list', { ...good, name: 'hello' }],
    ['such an entry in a stream', { ...good, data: { size: 0, chunks: [], pad: true } }],
  ];
  for (const [why, value] of refused) {
    it(`is refused with ${why}`, async () => {
      const defined = Object.fromEntries(Object.entries(value as object).filter(([, field]) => field !== undefined));
      expect(await codeOf(defined)).to.equal('malformed');
    });
  }

  // The eight points of small order, and what decodes to them in lenient readers (RFC 8032 §5.1.3, cofactor 8).
  const smallOrder = [
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '0000000000000000000000000000000000000000000000000000000000000000',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  ];
  it('is refused with an owner of small order, of which anyone could be the signer', async () => {
    for (const owner of smallOrder) {
      const failure = await failureOf(() => decodeShareBlock(encode({ ...good, owner: Buffer.from(owner, 'hex') })));
      expect(failure.code).to.equal('malformed');
      expect(failure.message).to.match(/small order/);
    }
  });
});

describe('an index block', () => {
  const SIZE = (MAX_DIRECT_CHUNKS + 1) * PIECE_BYTES;
  const links = Array.from({ length: MAX_DIRECT_CHUNKS + 1 }, () => chunkCid(DIGEST));

  it('is what the general encoder makes of its links, however many there are', () => {
    for (const length of [MAX_DIRECT_CHUNKS + 1, CHUNKS_PER_INDEX, CHUNKS_PER_INDEX + 23]) {
      const all = digests(length);
      const { blocks } = listStream(length * PIECE_BYTES, all);
      const listed = Array.from({ length }, (_, n) => chunkCid(digestAt(all, n)));
      expect(blocks[0]).to.deep.equal(encode(listed.slice(0, CHUNKS_PER_INDEX)));
      expect(blocks[1]).to.deep.equal(length > CHUNKS_PER_INDEX ? encode(listed.slice(CHUNKS_PER_INDEX)) : undefined);
    }
  });

  it('lists exactly the chunks that are its own', async () => {
    expect(decodeIndex(encode(links), SIZE, 0)).to.have.lengthOf((MAX_DIRECT_CHUNKS + 1) * DIGEST_BYTES);
    for (const wrong of [
      links.slice(1),
      [...links, chunkCid(DIGEST)],
      [],
      { links },
      [...links.slice(1), blockCid(DIGEST)],
    ]) {
      expect((await failureOf(() => decodeIndex(encode(wrong), SIZE, 0))).code).to.equal('malformed');
    }
  });
});

describe('the commitment', () => {
  const KEY = fileKey(new Uint8Array(32).fill(7));

  it('ties a share block to its key and to each of its entries', async () => {
    const { id, bytes } = sealShareBlock(KEY, { ...unsealed, expires: 3600 });
    const sealed = decodeShareBlock(bytes);
    expect(id).to.equal(idOf(sha256(bytes)));
    checkCommitment(KEY, sealed);

    const changed: ShareBlock[] = [
      { ...sealed, owner: ownerOf(new Uint8Array(32).fill(4)) },
      { ...sealed, expires: 7200 },
      { ...unsealed, commitment: sealed.commitment },
      { ...sealed, manifest: { ...sealed.manifest, size: 4352 } },
      { ...sealed, manifest: sealed.data, data: sealed.manifest },
      { ...sealed, data: { size: PIECE_BYTES + 1, chunks: digests(3).subarray(DIGEST_BYTES) } },
      { ...sealed, commitment: new Uint8Array(32) },
    ];
    for (const one of changed) {
      expect((await failureOf(() => checkCommitment(KEY, one))).code).to.equal('wrong-key');
    }
    expect((await failureOf(() => checkCommitment(fileKey(new Uint8Array(32).fill(8)), sealed))).code).to.equal(
      'wrong-key',
    );
  });
});
