import { expect } from 'chai';
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { manualPage, roff } from '../../man/page.ts';
import { pages } from '../../man/pages.ts';
import { SHOAL } from '../../man/shoal.ts';

describe('a man page', () => {
  for (const [file, page] of pages()) {
    it(`that is kept as ${file} is what the definitions give; else run "npm run man"`, () => {
      const kept = readFileSync(new URL(`../../man/${file}`, import.meta.url), 'utf8');
      expect(kept).to.equal(page);
    });
  }

  it('is there for each program that is installed, and is installed with it', () => {
    const { bin, man, files } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    ) as Record<'bin', object> & Record<'man' | 'files', string[]>;
    const names = Object.keys(bin).map(name => `${name}.1`);
    expect([...pages().keys()]).to.have.members(names);
    expect(man).to.have.members(names.map(name => `man/${name}`));
    expect(files).to.include.members(man);
  });

  it('has all that the help shows, and commands below commands', () => {
    const small = new Command('small').description('does little').option('-a, --all <n>', 'all of it');
    const group = small.command('group').description('several').argument('[what]', 'the thing');
    group.command('below').description('one of them').option('--deep', 'further down');
    small.command('hidden', { hidden: true }).description('is not told');
    const page = manualPage(small, '1.2.3', SHOAL);
    expect(page).to.match(/^\.TH SMALL 1 "" "shoal 1\.2\.3"/m);
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
