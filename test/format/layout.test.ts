import { expect } from 'chai';
import fc from 'fast-check';
import { Layout } from '../../src/format/layout.ts';
import { chunkCount, chunkLength, pad, pieceLength } from '../../src/format/pieces.ts';
import { PIECE_BYTES, TAG_BYTES } from '../../src/limits.ts';

/** Sizes around those where something changes: nothing, little, about a piece, several. */
const anySizes = fc.array(
  fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 1000 }),
    fc.integer({ min: PIECE_BYTES - 2, max: PIECE_BYTES + 2 }),
    fc.integer({ min: 1, max: 3 * PIECE_BYTES }),
  ),
  { maxLength: 12 },
);

const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

describe('the layout of a data stream', () => {
  it('cuts the entries into pieces without a gap or an overlap, in order', () => {
    fc.assert(
      fc.property(anySizes, fc.boolean(), (sizes, padded) => {
        const layout = new Layout(sizes);
        expect(layout.totalBytes).to.equal(sum(sizes));
        const streamSize = padded ? pad(layout.totalBytes) : layout.totalBytes;
        const reached = sizes.map(() => 0);
        let last = 0;
        let zeros = 0;
        for (let i = 0; i < chunkCount(streamSize); i++) {
          const piece = layout.piece(i, streamSize);
          for (const { entry, offset, length } of piece.runs) {
            expect(entry).to.be.at.least(last);
            expect(offset).to.equal(reached[entry]);
            expect(length).to.be.above(0);
            // Nothing of an earlier entry is left, and no content stands behind padding.
            expect(reached.slice(0, entry)).to.deep.equal(sizes.slice(0, entry));
            expect(zeros).to.equal(0);
            reached[entry] = offset + length;
            last = entry;
          }
          zeros += piece.zeros;
          expect(sum(piece.runs.map(({ length }) => length)) + piece.zeros).to.equal(pieceLength(streamSize, i));
        }
        expect(reached).to.deep.equal(sizes);
        expect(zeros).to.equal(streamSize - layout.totalBytes);
      }),
    );
  });

  it('knows the chunks of an entry as the pieces do', () => {
    fc.assert(
      fc.property(anySizes, sizes => {
        const layout = new Layout(sizes);
        const streamSize = pad(layout.totalBytes);
        const found = sizes.map((): number[] => []);
        for (let i = 0; i < chunkCount(streamSize); i++) {
          for (const { entry } of layout.piece(i, streamSize).runs) found[entry]?.push(i);
        }
        sizes.forEach((_, entry) => {
          const { first, count } = layout.chunksOf(entry);
          expect(Array.from({ length: count }, (_unused, i) => first + i)).to.deep.equal(found[entry]);
        });
      }),
    );
  });

  it('has nothing but padding where there is no entry', () => {
    expect(new Layout([]).piece(0, 4096)).to.deep.equal({ runs: [], zeros: 4096 });
    expect(new Layout([0, 0]).piece(0, 4096)).to.deep.equal({ runs: [], zeros: 4096 });
  });

  it('finds its way among sizes far beyond 2^32', () => {
    const layout = new Layout([2 ** 45, 5, 2 ** 40]);
    const first = Math.floor(2 ** 45 / PIECE_BYTES);
    const { runs } = layout.piece(first, layout.totalBytes);
    const before = 2 ** 45 - first * PIECE_BYTES;
    expect(runs).to.deep.equal([
      { entry: 0, offset: first * PIECE_BYTES, length: before },
      { entry: 1, offset: 0, length: 5 },
      { entry: 2, offset: 0, length: PIECE_BYTES - before - 5 },
    ]);
    expect(layout.chunksOf(1)).to.deep.equal({ first, count: 1 });
  });

  it('refuses sizes that can not be added up', () => {
    expect(() => new Layout([Number.MAX_SAFE_INTEGER, 1])).to.throw(RangeError);
  });
});

describe('pieces', () => {
  /** padme as format.md §4 words it, in integers of any size. */
  function padByTheBook(length: number): bigint {
    const L = BigInt(Math.max(length, 4096));
    const E = BigInt(L.toString(2).length - 1);
    const S = BigInt(E.toString(2).length);
    const mask = (1n << (E - S)) - 1n;
    return (L + mask) & ~mask;
  }

  const anyLength = fc.oneof(
    fc.integer({ min: 0, max: 10_000 }),
    fc.integer({ min: 0, max: 2 ** 52 }),
    fc.tuple(fc.integer({ min: 12, max: 51 }), fc.integer({ min: -2, max: 2 })).map(([e, d]) => 2 ** e + d),
  );

  it('are padded as the format words it, up to sizes beyond 2^32', () => {
    fc.assert(
      fc.property(anyLength, length => {
        expect(BigInt(pad(length))).to.equal(padByTheBook(length));
      }),
      { numRuns: 1000 },
    );
  });

  it('grow by 12 % at most above 4 KiB, and are not padded twice', () => {
    fc.assert(
      fc.property(anyLength, length => {
        const padded = pad(length);
        expect(padded).to.be.at.least(length);
        if (length > 4096) expect(padded).to.be.at.most(length * 1.12);
        expect(pad(padded)).to.equal(padded);
      }),
    );
  });

  it('add up to the stream, and each chunk is its piece and a tag', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 * PIECE_BYTES }), size => {
        const lengths = Array.from({ length: chunkCount(size) }, (_, i) => pieceLength(size, i));
        expect(sum(lengths)).to.equal(size);
        expect(lengths.slice(0, -1).every(length => length === PIECE_BYTES)).to.equal(true);
        lengths.forEach((length, i) => {
          expect(length).to.be.above(0);
          expect(chunkLength(size, i)).to.equal(length + TAG_BYTES);
        });
      }),
    );
  });
});
