import { expect } from 'chai';
import fc from 'fast-check';
import { fit, padded, table, widthOf, type Column } from '../../cli/columns.ts';

describe('Columns', () => {
  it('are counted as terminals do', () => {
    const expected: Record<string, number> = {
      '': 0,
      abc: 3,
      Übung: 5,
      'e\u0301': 1,
      東京: 4,
      ｆｕｌｌ: 8,
      한글: 4,
      ｶﾅ: 2,
      '🐟': 2,
      '❤\ufe0f': 2,
      '🇩🇪': 2,
      '1\ufe0f\u20e3': 2,
      // What takes columns of its own beside the letter that it belongs to, and what does not.
      हिन्दी: 5,
      தமிழ்: 4,
      'か\u3099': 2,
      '\u1112\u1161\u11ab': 2,
    };
    for (const [text, width] of Object.entries(expected)) expect(widthOf(text), text).to.equal(width);
  });

  it('are those of the parts of an emoji, which many terminals do not join', () => {
    const joined = { '👍🏽': 4, '👨\u200d👩\u200d👧': 6, '🏳\ufe0f\u200d🌈': 4 };
    for (const [text, width] of Object.entries(joined)) expect(widthOf(text), text).to.equal(width);
    expect(fit('👨\u200d👩\u200d👧👨\u200d👩\u200d👧', 9, 'end')).to.equal('👨\u200d👩\u200d👧…');
  });

  it('are never exceeded by what is cut to fit', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '東', '🐟', 'e\u0301', ' '), maxLength: 60 });
    fc.assert(
      fc.property(
        text,
        fc.integer({ min: 0, max: 50 }),
        fc.constantFrom('middle' as const, 'end' as const),
        (given, columns, cut) => {
          const fitted = fit(given, columns, cut);
          expect(widthOf(fitted)).to.be.at.most(columns);
          if (widthOf(given) <= columns) expect(fitted).to.equal(given);
        },
      ),
    );
  });

  it('keep both ends of a name that is cut, or the beginning of a sentence', () => {
    expect(fit('holiday-photos.tar.gz', 12)).to.equal('holida…ar.gz');
    expect(fit('waiting for peers', 12, 'end')).to.equal('waiting for…');
    expect(padded('東', 4)).to.equal('東  ');
    expect(padded('1 B', 5, 'right')).to.equal('  1 B');
  });

  const heads: readonly Column[] = [
    { title: 'ID', side: 'left' },
    { title: 'NAME', side: 'left', shrinks: true },
    { title: 'SIZE', side: 'right' },
  ];
  const rows = [
    ['abcdefgh', '東京の写真とその他のもの', '1.2 MB'],
    ['ijklmnop', 'b\u001b[2J', '12 B'],
  ];

  it('line up in a table, wide characters too', () => {
    expect(table(heads, rows, Infinity)).to.deep.equal([
      'ID        NAME                        SIZE',
      'abcdefgh  東京の写真とその他のもの  1.2 MB',
      'ijklmnop  b\\u{1b}[2J                  12 B',
    ]);
  });

  it('are saved in a table where it can be done, and each row becomes a block where not', () => {
    const narrow = table(heads, rows, 34);
    expect(narrow[1]).to.equal('abcdefgh  東京の写…のもの   1.2 MB');
    for (const line of narrow) expect(widthOf(line)).to.be.at.most(34);
    expect(table(heads, rows, 20)).to.deep.equal([
      'ID    abcdefgh',
      'NAME  東京の…のもの',
      'SIZE  1.2 MB',
      '',
      'ID    ijklmnop',
      'NAME  b\\u{1b}[2J',
      'SIZE  12 B',
    ]);
  });
});
