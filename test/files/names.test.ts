import { expect } from 'chai';
import fc from 'fast-check';
import { alternativeName, foldName, nameOfSeveral, portableName, showName } from '../../src/files/names.ts';
import { shareNameProblem } from '../../src/format/manifest.ts';

describe('Names of files', () => {
  it('are shown without anything that a terminal acts on', () => {
    expect(showName('plain ä 🐟.txt')).to.equal('plain ä 🐟.txt');
    expect(showName('a\u001b[2J\n\u202e\u2028')).to.equal('a\\u{1b}[2J\\u{a}\\u{202e}\\u{2028}');
    expect(showName(new Uint8Array([0x61, 0xff, 0x1b]))).to.equal('a\\xff\\x1b');
    expect(showName(new TextEncoder().encode('ä'))).to.equal('ä');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), name => !/[\p{Cc}\p{Bidi_Control}]/u.test(showName(name))),
      { numRuns: 50 },
    );
  });

  it('are named together by the first two, within what a name may have', () => {
    expect(nameOfSeveral(['a.txt'])).to.equal('a.txt');
    expect(nameOfSeveral(['a.txt', 'photos'])).to.equal('a.txt and photos');
    expect(nameOfSeveral(['a.txt', 'photos', 'x', 'y'])).to.equal('a.txt, photos and 2 more');
    const long = ['\u9b5a'.repeat(85), 'n'.repeat(255), ...Array.from({ length: 9_998 }, (_, n) => String(n))];
    const name = nameOfSeveral(long);
    expect(name).to.equal(`${'\u9b5a'.repeat(33)}…, ${'n'.repeat(100)}… and 9998 more`);
    expect(shareNameProblem(name)).to.equal(undefined);
  });

  it('have others to try, with the extension kept', () => {
    expect(alternativeName('report.pdf', 2)).to.equal('report (2).pdf');
    expect(alternativeName('a.tar.gz', 3)).to.equal('a.tar (3).gz');
    expect(alternativeName('.profile', 2)).to.equal('.profile (2)');
    expect(alternativeName('folder', 10)).to.equal('folder (10)');
  });

  it('have others that are no longer than a name may be', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(name, fc.integer({ min: 2, max: 1000 }), (given, n) => {
        const other = alternativeName(given, n);
        expect(Buffer.byteLength(other)).to.be.within(1, 255);
        expect(other).to.contain(`(${n})`);
        expect(other.isWellFormed()).to.equal(true);
      }),
    );
    expect(Buffer.byteLength(alternativeName(`a.${'x'.repeat(253)}`, 2))).to.be.lessThan(256);
  });

  it('become ones that Windows holds', () => {
    const expected: Record<string, string> = {
      'plain.txt': 'plain.txt',
      'a:b': 'a_b',
      'what?*': 'what__',
      'x.': 'x_',
      'x ': 'x_',
      CON: 'CON_',
      'nul.txt': 'nul_.txt',
      'com1.tar.gz': 'com1_.tar.gz',
      console: 'console',
      com10: 'com10',
    };
    for (const [name, portable] of Object.entries(expected)) expect(portableName(name)).to.equal(portable);
  });

  it('are the same to a file system that ignores case and form', () => {
    for (const [a, b] of [
      ['Read', 'READ'],
      ['ä', 'a\u0308'],
      ['Ä', 'a\u0308'],
      ['ß', 'SS'],
    ] as const) {
      expect(foldName(a)).to.equal(foldName(b));
    }
    expect(foldName('a')).not.to.equal(foldName('b'));
  });
});
