import { expect } from 'chai';
import { qrLines } from '../../cli/qr.ts';
import { Terminal } from '../../cli/terminal.ts';
import { decoded } from './scanner.ts';
import { Screen } from './world.ts';

const ID = 'bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3brue';
const BARE = `shoal:${ID}.${'kQ-_3'.repeat(9).slice(0, 43)}`;
const HINT = '/ip4/203.0.113.77/tcp/42783/p2p/12D3KooWEk6UW6kS4Up4K1hr9SAgMv9NDj2BSc3dkRB1essCYP2y';
const LINKS: Readonly<Record<string, string>> = {
  'a link without addresses': BARE,
  'a link with two addresses': `${BARE}@${HINT},${HINT}`,
  'the longest link': `${BARE}@${HINT}${'x'.repeat(2048)}`.slice(0, 2048),
};

/** What a terminal gets of a code. */
function printed(link: string, env: Record<string, string>): string {
  const [stdout, stderr] = [new Screen(200), new Screen(200)];
  const terminal = new Terminal({ stdout, stderr, env, json: false, quiet: false });
  terminal.draw(qrLines(link, terminal.isLive ? 'dark' : 'light'));
  return stderr.text;
}

describe('A QR code', () => {
  for (const [what, link] of Object.entries(LINKS)) {
    it(`of ${what} is dark on light on every terminal with colours`, () => {
      for (const background of ['dark', 'light'] as const)
        expect(decoded(printed(link, {}), background)).to.equal(link);
    });

    it(`of ${what} without colours is dark on light on a dark terminal, and the reverse on a light one`, () => {
      const text = printed(link, { NO_COLOR: '1' });
      expect(text).not.to.contain('\u001b');
      expect(decoded(text, 'dark')).to.equal(link);
      expect(decoded(text, 'light', true)).to.equal(link);
      expect(decoded(text, 'light')).to.equal(undefined);
    });
  }

  it('of a link without addresses fits on a terminal of the usual size in width', () => {
    expect(new Set(qrLines(BARE, 'dark').map(line => line.length))).to.deep.equal(new Set([49]));
  });
});
