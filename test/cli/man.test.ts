import { expect } from 'chai';
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { definitionsOf } from '../../cli/program.ts';
import { manualPage, roff } from '../../man/page.ts';
import { VERSION } from '../../src/version.ts';

describe('the man page', () => {
  it('that is kept is what the definitions give; else run "npm run man"', () => {
    const program = definitionsOf(VERSION);
    const kept = readFileSync(new URL('../../man/shoal.1', import.meta.url), 'utf8');
    expect(kept).to.equal(manualPage(program, VERSION));
  });

  it('has all that the help shows, and commands below commands', () => {
    const small = new Command('small').description('does little').option('-a, --all <n>', 'all of it');
    const group = small.command('group').description('several').argument('[what]', 'the thing');
    group.command('below').description('one of them').option('--deep', 'further down');
    small.command('hidden', { hidden: true }).description('is not told');
    const page = manualPage(small, '1.2.3');
    expect(page).to.match(/^\.TH SHOAL 1 "" "shoal 1\.2\.3"/m);
    expect(page).to.contain('.SS "small group"').and.to.contain('.TP\n.B "what"\nthe thing');
    expect(page).to.contain('.SS "small group below"').and.to.contain('.TP\n.B "\\-\\-deep"\nfurther down');
    expect(page).to.contain('.TP\n.B "\\-a, \\-\\-all <n>"\nall of it');
    expect(page).not.to.contain('hidden').and.not.to.contain('is not told');
  });

  const escapes: Record<string, [text: string, safe: string]> = {
    'a dot at the beginning of a line': ['.so /etc/passwd', '\\&.so /etc/passwd'],
    'an apostrophe there': ["'br", '\\(aqbr'],
    hyphens: ['--no-pad', '\\-\\-no\\-pad'],
    backslashes: ['a\\fB', 'a\\efB'],
    'quotes, which would end an argument': ['"self"', '\\(dqself\\(dq'],
    'what is not ASCII': ['shoal:… 𝄞', 'shoal:\\[u2026] \\[u1D11E]'],
  };
  for (const [what, [text, safe]] of Object.entries(escapes)) {
    it(`escapes ${what}`, () => expect(roff(text)).to.equal(safe));
  }
});
