import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_RANGE_NUMBERS } from '../../src/limits.ts';
import { checkRanges, countOf, IndexSet, indicesOf, rangesOf } from '../../src/protocol/ranges.ts';

describe('ranges', () => {
  const hostile: Record<string, unknown> = {
    'nothing at all': undefined,
    text: '0,1',
    'a map': { 0: 0, 1: 1, length: 2 },
    'a start without a count': [0],
    'a count of nothing': [3, 0],
    'a negative count': [3, -1],
    'a negative start': [-1, 2],
    'a start that is beyond the end': [11, 1],
    'a start at the end': [10, 1],
    'a count that goes beyond the end': [9, 2],
    'a count that overflows': [1, Number.MAX_SAFE_INTEGER],
    'numbers beyond what is exact': [2 ** 53, 1],
    infinity: [0, Infinity],
    'not a number': [NaN, 1],
    'a fraction': [0.5, 1],
    'a text for a number': ['0', 1],
    'a bigint': [0n, 1n],
    'a hole': [0, 1, undefined, 1],
    'ranges out of order': [5, 1, 0, 1],
    'ranges that overlap': [0, 3, 2, 2],
    'ranges that touch': [0, 3, 3, 2],
    'the same twice': [0, 1, 0, 1],
    'more numbers than a message may have': Array.from({ length: MAX_RANGE_NUMBERS + 2 }, (_, n) => (n % 2 ? 1 : n)),
  };
  for (const [name, value] of Object.entries(hostile)) {
    it(`rejects ${name}`, () => {
      expect(() => checkRanges(value, name.startsWith('more') ? 10_000 : 10))
        .to.throw()
        .with.property('code', 'protocol');
    });
  }

  it('takes the full range, none, and as many numbers as a message may have', () => {
    expect(checkRanges([0, 10], 10)).to.deep.equal([0, 10]);
    expect(checkRanges([], 0)).to.deep.equal([]);
    const most = Array.from({ length: MAX_RANGE_NUMBERS }, (_, n) => (n % 2 ? 1 : n));
    expect(checkRanges(most, 10_000)).to.equal(most);
  });

  const indices = fc.uniqueArray(fc.nat(300)).map(list => list.sort((a, b) => a - b));

  it('says the same indices as it was made of, in the shortest form', () => {
    fc.assert(
      fc.property(indices, list => {
        const ranges = rangesOf(list);
        expect(checkRanges(ranges, 301)).to.equal(ranges);
        expect([...indicesOf(ranges)]).to.deep.equal(list);
        expect(countOf(ranges)).to.equal(list.length);
      }),
    );
  });

  it('promises less rather than to break the limit of a message', () => {
    const list = Array.from({ length: MAX_RANGE_NUMBERS }, (_, n) => 2 * n);
    const ranges = rangesOf(list);
    expect(ranges).to.have.length(MAX_RANGE_NUMBERS);
    expect([...indicesOf(checkRanges(ranges, 10_000))]).to.deep.equal(list.slice(0, MAX_RANGE_NUMBERS / 2));
  });

  it('keeps a set as a Set does', () => {
    const limit = 70;
    const index = fc.oneof(fc.integer({ min: -3, max: limit + 3 }), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 32 + 8));
    const step = fc.record({ what: fc.constantFrom('add', 'delete', 'has', 'range'), index });
    fc.assert(
      fc.property(fc.array(step), steps => {
        const [set, model] = [new IndexSet(limit), new Set<number>()];
        for (const { what, index } of steps) {
          const isInside = index >= 0 && index < limit;
          if (what === 'add') {
            expect(set.add(index)).to.equal(isInside && !model.has(index));
            if (isInside) model.add(index);
          } else if (what === 'delete') expect(set.delete(index)).to.equal(model.delete(index));
          else if (what === 'has') expect(set.has(index)).to.equal(model.has(index));
          else if (isInside) {
            const count = Math.min(1 + ((7 * index) % 40), limit - index);
            set.addRanges([index, count]);
            for (let n = 0; n < count; n++) model.add(index + n);
          }
          expect(set.size).to.equal(model.size);
        }
        expect([...set]).to.deep.equal([...model].sort((a, b) => a - b));
      }),
    );
  });

  it('makes full and empty sets', () => {
    for (const limit of [0, 1, 7, 8, 9, 64]) {
      expect(IndexSet.full(limit).size).to.equal(limit);
      expect([...IndexSet.full(limit)]).to.deep.equal(Array.from({ length: limit }, (_, n) => n));
      expect([...new IndexSet(limit)]).to.deep.equal([]);
    }
  });
});
