import { expect } from 'chai';
import fc from 'fast-check';
import { Terminal } from '../../cli/terminal.ts';
import { Screen } from './world.ts';

const ESC = '\u001b';

interface Options {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly columns?: number;
  readonly env?: Record<string, string>;
}

function terminal(options: Options = {}) {
  const { json = false, quiet = false, columns, env = {} } = options;
  const [stdout, stderr] = [new Screen(columns), new Screen(columns)];
  return { stdout, stderr, it: new Terminal({ stdout, stderr, env, json, quiet }) };
}

describe('The terminal', () => {
  const hostile: readonly [what: string, text: string, shown: string][] = [
    ['a colour', `${ESC}[31mred`, '\\u{1b}[31mred'],
    ['a change of the clipboard (OSC 52)', `${ESC}]52;c;cm0gLXJm\u0007`, '\\u{1b}]52;c;cm0gLXJm\\u{7}'],
    ['a hyperlink (OSC 8)', `${ESC}]8;;http://x${ESC}\\`, '\\u{1b}]8;;http://x\\u{1b}\\'],
    ['a CSI of one character', '\u009b2J', '\\u{9b}2J'],
    ['a return that overwrites', 'bad\rgood', 'bad\\u{d}good'],
    ['backspaces', 'a\b\bb', 'a\\u{8}\\u{8}b'],
    ['a new line', 'a\nshoal: done', 'a\\u{a}shoal: done'],
    ['other line separators', 'a\u2028b\u2029c\u0085d', 'a\\u{2028}b\\u{2029}c\\u{85}d'],
    ['a turned direction', 'gpj.\u202eexe', 'gpj.\\u{202e}exe'],
    ['an isolated direction', '\u2066a\u2069', '\\u{2066}a\\u{2069}'],
    ['zero widths', 'a\u200bb\u2060c\ufeffd\u00ade', 'a\\u{200b}b\\u{2060}c\\u{feff}d\\u{ad}e'],
    ['a filler that looks like a space', 'a\u3164b', 'a\\u{3164}b'],
    ['hidden tags', 'a\u{e0041}\u{e007f}', 'a\\u{e0041}\\u{e007f}'],
    ['half of a character', 'a\ud83db\udc1f', 'a\\u{d83d}b\\u{dc1f}'],
    ['a variation of nothing', 'a\ufe0f', 'a\\u{fe0f}'],
    ['a joiner between letters', 'a\u200db', 'a\\u{200d}b'],
    ['a joiner in no emoji of the list', '🐟\u200d🐟', '🐟\\u{200d}🐟'],
    ['a joiner behind an emoji of the list', '👩\u200d🚀\u200d', '👩\u200d🚀\\u{200d}'],
    ['a text hidden behind a flag', '🏴\u{e0068}\u{e0069}\u{e007f}', '🏴\\u{e0068}\\u{e0069}\\u{e007f}'],
  ];
  for (const [what, text, shown] of hostile) {
    it(`shows ${what} instead of obeying it`, () => {
      const { stdout, stderr, it: out } = terminal({ columns: 80 });
      out.result(text);
      out.say(text);
      out.warn(text);
      expect(stdout.text).to.equal(`${shown}\n`);
      expect(stderr.text).to.equal(`${shown}\nshoal: ${shown}\n`);
      out.live(text);
      expect(stderr.text.slice(stderr.text.lastIndexOf(`${ESC}[K`) + 3)).to.equal(shown);
    });
  }

  it('leaves names of all languages, and pictographs, as they are', () => {
    const names = ['Übung', '東京', 'שלום', 'e\u0301', '🐟', '❤\ufe0f', 'a b', '\\u{1b}'];
    const { stdout, it: out } = terminal();
    out.results(names);
    expect(stdout.lines).to.deep.equal(names);
  });

  it('leaves the emoji of several characters that Unicode lists as they are, in JSON too', () => {
    const england = '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}';
    const names = ['👨\u200d👩\u200d👧', '👩🏽\u200d🚀', '🏳\ufe0f\u200d🌈', '1\ufe0f\u20e3', '🇩🇪', england];
    const { stdout, it: out } = terminal();
    out.results(names);
    out.json(names);
    expect(stdout.lines).to.deep.equal([...names, JSON.stringify(names)]);
  });

  it('never prints a control code for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        const { stdout, stderr, it: out } = terminal();
        out.result(text);
        out.json({ [text]: text });
        out.warn(text);
        for (const { lines } of [stdout, stderr]) {
          for (const line of lines) expect(line).not.to.match(/[\p{Cc}\p{Cs}\p{Bidi_Control}\u200b]/u);
        }
        const [, json = ''] = stdout.lines;
        expect(JSON.parse(json)).to.deep.equal({ [text]: text });
      }),
      { numRuns: 200 },
    );
  });

  it('keeps the lines of a list in a message, which are indented, and no others', () => {
    const { stderr, it: out } = terminal();
    out.warn('cannot share:\n  a: it is a socket\n  b: it is a link\nshoal: done');
    expect(stderr.text).to.equal('shoal: cannot share:\n  a: it is a socket\n  b: it is a link\\u{a}shoal: done\n');
  });

  it('keeps talk to itself when it is quiet, but no result and no error', () => {
    const { stdout, stderr, it: out } = terminal({ quiet: true, columns: 80 });
    out.say('talk');
    out.live('talk');
    out.result('a result');
    out.warn('an error');
    expect([stdout.text, stderr.text]).to.deep.equal(['a result\n', 'shoal: an error\n']);
  });

  it('prints results of more lines than a call can have arguments', () => {
    const { stdout, it: out } = terminal();
    out.results(Array<string>(500_000).fill('a'));
    expect(stdout.text).to.have.length(1_000_000);
  });

  it('takes the live line out of the way of other lines, and draws it again below them', () => {
    const { stderr, it: out } = terminal({ columns: 80 });
    out.live('10%');
    out.say('hello');
    out.live('');
    expect(stderr.text).to.equal(`\r${ESC}[K10%\r${ESC}[Khello\n10%\r${ESC}[K`);
  });

  it('erases all rows into which a terminal that became narrower has wrapped the live line', () => {
    const { stderr, it: out } = terminal({ columns: 80 });
    out.live('a name that is long enough  10%');
    stderr.columns = 15;
    out.live('11%');
    out.live('a name  11%');
    stderr.columns = 10;
    out.say('hello');
    expect(stderr.text).to.equal(
      `\r${ESC}[Ka name that is long enough  10%` +
        `\r${ESC}[2A${ESC}[J11%\r${ESC}[Ka name  11%` +
        `\r${ESC}[1A${ESC}[Jhello\na na… 11%`,
    );
  });

  it('leaves a terminal to others while it is in the background, but for what there is to say', () => {
    let isInBackground = false;
    const stderr = new Screen(80);
    const options = { stdout: new Screen(80), stderr, env: {}, json: false, quiet: false };
    const out = new Terminal({ ...options, isInBackground: () => isInBackground });
    out.live('10%');
    isInBackground = true;
    out.live('11%');
    out.say('hello');
    out.live('');
    isInBackground = false;
    out.live('12%');
    expect(stderr.text).to.equal(`\r${ESC}[K10%hello\n\r${ESC}[K12%`);
  });

  it('cuts the live line to what fits without wrapping', () => {
    const { stderr, it: out } = terminal({ columns: 10 });
    out.live('東京東京東京東京');
    expect(stderr.text).to.equal(`\r${ESC}[K東京…東京`);
  });

  it('has no live line without a terminal, with NO_COLOR, and where the terminal is dumb', () => {
    const cases: Options[] = [{}, { columns: 80, env: { NO_COLOR: '1' } }, { columns: 80, env: { TERM: 'dumb' } }];
    for (const options of [...cases, { columns: 80, json: true }]) {
      const { stderr, it: out } = terminal(options);
      out.live('10%');
      out.warn('an error');
      expect(stderr.text).to.equal('shoal: an error\n');
    }
    expect(terminal({ columns: 80, env: { NO_COLOR: '' } }).it.isLive).to.equal(true);
  });
});
