/** Whole shares, from plaintext to blocks and back: what a sharer makes, a reader gets, and nobody else. */
import { expect } from 'chai';
import fc from 'fast-check';
import { carBlock, carHeader } from '../../src/format/car.ts';
import { sealShareBlock } from '../../src/format/commitment.ts';
import { DAG_CBOR_CODEC, RAW_CODEC, digestOf, type BlockId } from '../../src/format/ids.ts';
import { fileKey } from '../../src/format/keys.ts';
import { formatLink } from '../../src/format/link.ts';
import { comparePaths, encodeManifest, pathProblem } from '../../src/format/manifest.ts';
import { pad } from '../../src/format/pieces.ts';
import { decodeShareBlock, ownerOf } from '../../src/format/share-block.ts';
import { MAX_BLOCK_BYTES, PIECE_BYTES } from '../../src/limits.ts';
import { failureOf } from './failure.ts';
import {
  blocksOfCar,
  hex,
  makeShare,
  openShare,
  put,
  sealShare,
  sha256,
  type Blocks,
  type Content,
} from './open-share.ts';

const KEY = fileKey(new Uint8Array(32).fill(7));
const OWNER = ownerOf(new Uint8Array(32).fill(9));
const MADE = { key: KEY, owner: OWNER };

/** Random bytes, and zeros, by which padding would not show; now and then so many that a piece is cut near their end. */
const anyBytes = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 6000 }) },
  { weight: 4, arbitrary: fc.nat({ max: 9000 }).map(size => new Uint8Array(size)) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: -2, max: 2 }).map(more => new Uint8Array(PIECE_BYTES + more).fill(more + 5)),
  },
);

const anyPath = fc
  .array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 })
  .map(segments => segments.join('/'))
  .filter(path => pathProblem(path) === undefined);

const anyContent: fc.Arbitrary<Content> = fc.oneof(
  fc.record({ path: anyPath, bytes: anyBytes }),
  fc.record({ path: anyPath, bytes: anyBytes, executable: fc.constant(true as const), modified: fc.integer() }),
  fc.record({ path: anyPath, directory: fc.constant(true as const) }),
);

/** Contents of a folder as the format wants them: in order, and no path the parent of another. */
const anyFolder = fc
  .uniqueArray(anyContent, { maxLength: 8, selector: ({ path }) => path })
  .map(contents =>
    contents
      .filter(({ path }) => !contents.some(other => other.path.startsWith(`${path}/`)))
      .toSorted((a, b) => comparePaths(a.path, b.path)),
  );

const linkOf = (id: BlockId): string => formatLink({ id, key: KEY, hints: [] });

function carOf(id: BlockId, blocks: Blocks): Uint8Array {
  const root = hex(digestOf(id));
  const parts = [...blocks].flatMap(([digest, bytes]) =>
    carBlock(digest === root ? DAG_CBOR_CODEC : RAW_CODEC, sha256(bytes), bytes),
  );
  return Buffer.concat([carHeader(id), ...parts]);
}

describe('a share', () => {
  it('of any folder opens to what was shared, padded or not, now or ending, through a CAR file', async function () {
    this.timeout(60_000);
    const anyEnd = fc.option(fc.nat({ max: 2 ** 20 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(anyFolder, fc.boolean(), anyEnd, async (contents, padded, hour) => {
        const expires = hour === undefined ? {} : { expires: hour * 3600 };
        const { id, blocks } = makeShare({ kind: 'folder', name: 'things' }, contents, { ...MADE, padded, ...expires });
        for (const block of blocks.values()) expect(block.length).to.be.at.most(MAX_BLOCK_BYTES);
        const carried = await blocksOfCar(carOf(id, blocks));
        const opened = await openShare(carried, linkOf(id));
        const entries = contents.map(({ bytes, ...entry }) => ({ ...entry, size: bytes?.length ?? 0 }));
        expect(opened.manifest).to.deep.equal({ kind: 'folder', name: 'things', entries });
        const digests = (all: readonly Uint8Array[]): string[] => all.map(bytes => hex(sha256(bytes)));
        const shared = contents.map(({ bytes }) => bytes ?? new Uint8Array());
        expect(digests(opened.contents)).to.deep.equal(digests(shared));
      }),
      { numRuns: 60 },
    );
  });

  it('of a file around the size of a piece opens to what was shared', async () => {
    const sizes = [0, 1, 4096, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES];
    for (const size of sizes) {
      for (const padded of [true, false]) {
        const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);
        const { id, blocks } = makeShare({ kind: 'file', name: 'a' }, [{ path: 'a', bytes }], { ...MADE, padded });
        const { contents } = await openShare(blocks, linkOf(id));
        expect(
          contents.map(found => hex(sha256(found))),
          `${size} bytes`,
        ).to.deep.equal([hex(sha256(bytes))]);
      }
    }
  });

  it('does not open with another key, nor without one', async () => {
    const { id, blocks } = makeShare({ kind: 'file', name: 'a' }, [{ path: 'a' }], MADE);
    const other = formatLink({ id, key: fileKey(new Uint8Array(32).fill(8)), hints: [] });
    expect((await failureOf(() => openShare(blocks, other))).code).to.equal('wrong-key');
    expect((await failureOf(() => openShare(blocks, formatLink({ id, hints: [] })))).code).to.equal('key-missing');
  });

  it('shows nothing of names, contents and key to who carries it', () => {
    const name = 'an unmistakable name';
    const bytes = new TextEncoder().encode('an unmistakable content');
    const { blocks } = makeShare({ kind: 'file', name }, [{ path: name, bytes }], MADE);
    for (const block of blocks.values()) {
      expect(Buffer.from(block).includes('unmistakable')).to.equal(false);
      expect(Buffer.from(block).includes(Buffer.from(KEY))).to.equal(false);
    }
  });

  it('of the same file under another key has nothing in common with it', () => {
    const make = (fill: number): Blocks => {
      const key = fileKey(new Uint8Array(32).fill(fill));
      return makeShare({ kind: 'file', name: 'a' }, [{ path: 'a', bytes: new Uint8Array(10) }], { key, owner: OWNER })
        .blocks;
    };
    const [one, other] = [make(1), make(2)];
    expect([...one.keys()].filter(digest => other.has(digest))).to.deep.equal([]);
  });

  it('can not be told by its size from one of a similar size', () => {
    const sizesOf = (name: string, length: number): number[] => {
      const { blocks } = makeShare({ kind: 'file', name }, [{ path: name, bytes: new Uint8Array(length) }], MADE);
      return [...blocks.values()].map(block => block.length).sort((a, b) => a - b);
    };
    expect(sizesOf('a', 10_000)).to.deep.equal(sizesOf('a much longer name.txt', 10_200));
  });

  const manifest = encodeManifest({ kind: 'file', name: 'a', entries: [{ path: 'a', size: 5 }] });
  const data = Uint8Array.of(1, 2, 3, 4, 5, ...new Uint8Array(4091));
  const broken: [why: string, manifest: Uint8Array, data: Uint8Array][] = [
    ['padding of the data is not zero', manifest, data.with(4095, 1)],
    ['padding of the manifest is not zero', manifest.with(4095, 1), data],
    ['data is padded further than it should be', manifest, new Uint8Array(pad(4097))],
    ['data is cut', manifest, data.subarray(0, 4)],
    ['manifest is not padded', manifest.subarray(0, 100), data],
    ['manifest is empty', new Uint8Array(), data],
  ];
  for (const [why, names, content] of broken) {
    it(`is refused when its ${why}`, async () => {
      const { id, blocks } = sealShare(names, content, MADE);
      expect((await failureOf(() => openShare(blocks, linkOf(id)))).code).to.equal('malformed');
    });
  }

  it('is refused when two of its chunks are exchanged: each opens in its own place only', async () => {
    const bytes = Uint8Array.from({ length: 2 * PIECE_BYTES }, (_, i) => (i < PIECE_BYTES ? 1 : 2));
    const { id, blocks } = makeShare({ kind: 'file', name: 'a' }, [{ path: 'a', bytes }], { ...MADE, padded: false });
    const root = decodeShareBlock(blocks.get(hex(digestOf(id)))!);
    const chunks = root.data.chunks!;
    const swapped = Buffer.concat([chunks.subarray(32), chunks.subarray(0, 32)]);
    const again = sealShareBlock(KEY, {
      owner: OWNER,
      manifest: root.manifest,
      data: { ...root.data, chunks: swapped },
    });
    put(blocks, again.bytes);
    expect((await failureOf(() => openShare(blocks, linkOf(again.id)))).code).to.equal('corrupt');
  });
});
