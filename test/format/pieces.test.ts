import { expect } from 'chai';
import fc from 'fast-check';
import { Layout } from '../../src/format/layout.ts';
import { chunkCount, chunkLength, pad, pieceLength } from '../../src/format/pieces.ts';
import { PIECE_BYTES, TAG_BYTES } from '../../src/limits.ts';

const sizes = fc.oneof(fc.nat({ max: 10_000 }), fc.nat({ max: 2 ** 31 - 1 }), fc.maxSafeNat());

describe('pad', () => {
  it('follows the definition, computed with big integers', () => {
    fc.assert(
      fc.property(sizes, length => {
        expect(pad(length)).to.equal(Number(padBySpecification(BigInt(length))));
      }),
      { numRuns: 2000 },
    );
  });

  it('is exact on both sides of every power of two', () => {
    for (let exponent = 1; exponent < 53; exponent++) {
      for (const length of [2 ** exponent - 1, 2 ** exponent, 2 ** exponent + 1]) {
        expect(pad(length), `of ${length}`).to.equal(Number(padBySpecification(BigInt(length))));
      }
    }
  });

  it('adds at most 12 % above 4 KiB, 3 % from 1 GiB on, and never takes away', () => {
    fc.assert(
      fc.property(sizes, length => {
        expect(pad(length)).to.be.at.least(length);
        if (length >= 4096) expect(pad(length) / length).to.be.at.most(1.12);
        if (length >= 2 ** 30) expect(pad(length) / length).to.be.at.most(1.04);
      }),
    );
  });
});

describe('pieces', () => {
  it('cover a stream without a gap, and only the last is shorter', () => {
    fc.assert(
      fc.property(fc.nat({ max: 20 * PIECE_BYTES }), size => {
        const lengths = Array.from({ length: chunkCount(size) }, (_, i) => pieceLength(size, i));
        expect(lengths.reduce((sum, length) => sum + length, 0)).to.equal(size);
        expect(lengths.slice(0, -1).every(length => length === PIECE_BYTES)).to.equal(true);
        expect(lengths.every(length => length > 0)).to.equal(true);
        lengths.forEach((length, i) => expect(chunkLength(size, i)).to.equal(length + TAG_BYTES));
      }),
    );
  });

  it('are none of an empty stream', () => {
    expect(chunkCount(0)).to.equal(0);
  });

  it('begin a second chunk of 17 bytes one byte after the first is full', () => {
    expect(chunkCount(PIECE_BYTES)).to.equal(1);
    expect(chunkLength(PIECE_BYTES, 0)).to.equal(2 ** 20);
    expect(chunkCount(PIECE_BYTES + 1)).to.equal(2);
    expect(chunkLength(PIECE_BYTES + 1, 1)).to.equal(17);
  });
});

describe('Layout', () => {
  const entrySizes = fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 100 }), fc.nat({ max: 3 * PIECE_BYTES })), {
    maxLength: 12,
  });

  it('gives every byte of every entry exactly once, in order, and the padding behind them', () => {
    fc.assert(
      fc.property(entrySizes, fc.boolean(), (sizes, padded) => {
        const layout = new Layout(sizes);
        const streamSize = padded ? pad(layout.totalBytes) : layout.totalBytes;
        const reached = sizes.map(() => 0);
        let entryNow = 0;
        let zeros = 0;
        for (let i = 0; i < chunkCount(streamSize); i++) {
          const piece = layout.piece(i, streamSize);
          const inRuns = piece.runs.reduce((sum, { length }) => sum + length, 0);
          expect(inRuns + piece.zeros).to.equal(pieceLength(streamSize, i));
          if (piece.runs.length > 0) expect(zeros, 'padding before this piece').to.equal(0);
          for (const { entry, offset, length } of piece.runs) {
            expect(entry).to.be.at.least(entryNow);
            expect(offset).to.equal(reached[entry]);
            expect(length).to.be.greaterThan(0);
            reached[entry] = offset + length;
            entryNow = entry;
          }
          zeros += piece.zeros;
        }
        expect(reached).to.deep.equal(sizes);
        expect(layout.totalBytes + zeros).to.equal(streamSize);
      }),
    );
  });

  it('knows which chunks hold an entry', () => {
    fc.assert(
      fc.property(entrySizes, sizes => {
        const layout = new Layout(sizes);
        const chunks = sizes.map(() => new Set<number>());
        for (let i = 0; i < chunkCount(layout.totalBytes); i++) {
          for (const { entry } of layout.piece(i, layout.totalBytes).runs) chunks[entry]?.add(i);
        }
        sizes.forEach((_, entry) => {
          const { first, count } = layout.chunksOf(entry);
          expect(Array.from({ length: count }, (_, n) => first + n)).to.deep.equal([...(chunks[entry] ?? [])]);
        });
      }),
    );
  });

  it('finds its way among many entries without walking through all of them', () => {
    const layout = new Layout(new Array<number>(2 ** 20).fill(2 ** 20));
    expect(layout.piece(2 ** 19, layout.totalBytes).runs.length).to.be.within(1, 2);
  });

  it('does not count beyond what numbers can', () => {
    expect(() => new Layout([Number.MAX_SAFE_INTEGER, 1])).to.throw(RangeError);
  });
});

/** format.md §4, to the letter. */
function padBySpecification(length: bigint): bigint {
  const l = length > 4096n ? length : 4096n;
  const e = BigInt(l.toString(2).length) - 1n;
  const s = BigInt(e.toString(2).length);
  const m = (1n << (e - s)) - 1n;
  return ((l + m) >> (e - s)) << (e - s);
}
