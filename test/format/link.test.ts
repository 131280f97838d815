import { expect } from 'chai';
import fc from 'fast-check';
import { parseHint } from '../../src/format/hint.ts';
import { idOf, sha256 } from '../../src/format/ids.ts';
import { fileKey } from '../../src/format/keys.ts';
import { formatLink, parseLink } from '../../src/format/link.ts';
import { failureOf } from './failure.ts';

const ID = idOf(sha256(new Uint8Array()));
const PEER = '12D3KooWLQ1adSwoj3uusiCfr4gDm7xya9Z6AnKRYD2oi7Ybx4QM';
const KEY = 'qsObim00s0PD2IvTiG-e82MTgjIpKOuy7eM4qJiaB08';
const READ = `shoal:${ID}.${KEY}`;

const hintTexts = fc.oneof(
  fc.constantFrom(
    `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}`,
    `/ip6/2001:db8::1/tcp/4001/p2p/${PEER}`,
    `/dns4/a.example/tcp/443/wss/p2p/${PEER}`,
  ),
  fc
    .tuple(fc.domain(), fc.option(fc.integer({ min: 1, max: 65_535 })))
    .map(([host, port]) => (port === null ? host : `${host}:${port}`)),
);

const links = fc.record(
  {
    id: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(idOf),
    key: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(fileKey),
    hints: fc.array(hintTexts.map(parseHint), { maxLength: 8 }),
  },
  { requiredKeys: ['id', 'hints'] },
);

describe('links', () => {
  it('read back as they were written, whatever mail programs put around them', () => {
    fc.assert(
      fc.property(
        links,
        fc.constantFrom(
          ['', ''],
          [' ', '\n'],
          ['<', '>'],
          ['\r\n <', '> '],
          ['\u00a0< ', ' >\t'],
          ['', '.'],
          ['(', ').'],
          ['"', '",'],
          ["'", "'"],
          ['`', '`;\n'],
          ['', '> '],
          ['«', '»!'],
        ),
        (link, [before, behind = '']) => {
          // A dot right behind an id alone is what is left of a link that was cut.
          fc.pre(behind !== '.' || link.key !== undefined || link.hints.length > 0);
          const text = formatLink(link);
          expect(parseLink(`${before}${text}${behind}`)).to.deep.equal(link);
          expect(text).to.match(/^[A-Za-z0-9:._@,/-]+$/, 'needs no quoting in a shell');
        },
      ),
    );
  });

  it('of the web have their origin as first hint, and read back in their shoal: form', () => {
    const link = parseLink(`https://relay.example:8443/#${ID}.${KEY}@other.example`);
    expect(link.origin).to.equal('https://relay.example:8443');
    expect(link.hints).to.deep.equal([
      { kind: 'relay', text: 'relay.example:8443', host: 'relay.example', port: 8443 },
      { kind: 'relay', text: 'other.example', host: 'other.example' },
    ]);
    expect(parseLink(formatLink(link))).to.deep.equal({ id: link.id, key: link.key, hints: link.hints });
  });

  it('of the web may use http on loopback', () => {
    for (const origin of ['http://localhost', 'http://127.0.0.1:80', 'http://127.255.0.9:8080', 'http://[::1]:9']) {
      expect(parseLink(`${origin}/#${ID}`).origin).to.equal(origin);
    }
    expect(parseLink(`http://localhost/#${ID}`).hints).to.deep.equal([
      { kind: 'relay', text: 'localhost', host: 'localhost', port: 80 },
    ]);
    expect(formatLink(parseLink(`http://[::1]:9/#${ID}`))).to.equal(`shoal:${ID}`);
  });

  it('give every flipped bit of a key another key or an error, never the same key', () => {
    const key = parseLink(READ).key as Uint8Array;
    for (let i = 0; i < KEY.length; i++) {
      for (let bit = 0; bit < 7; bit++) {
        const text = KEY.slice(0, i) + String.fromCharCode(KEY.charCodeAt(i) ^ (1 << bit)) + KEY.slice(i + 1);
        try {
          expect(parseLink(`shoal:${ID}.${text}`).key).to.not.deep.equal(key);
        } catch (error) {
          expect(error).to.have.property('code', 'bad-link');
        }
      }
    }
  });

  const refused: [why: string, text: string, says: RegExp][] = [
    ['nothing', '', /empty/],
    ['white space', ' \n', /empty/],
    ['an empty pair of angle brackets', '<>', /empty/],
    ['a scheme in upper case', `Shoal:${ID}`, /lower case/],
    ['something before it', `see shoal:${ID}`, /something stands before/],
    ['another scheme', `magnet:${ID}`, /begins neither/],
    ['an id that is cut short', `shoal:${ID.slice(0, 30)}`, /cut short: it has 30 of 59/],
    [
      'a wrong character in the id, by its position in the link',
      `shoal:${ID.slice(0, 9)}!${ID.slice(10)}`,
      /"!" at position 16 /,
    ],
    ['no id', 'shoal:', /cut short: it has 0/],
    ['a key that is cut short', READ.slice(0, -5), /cut short: its key has 38 of 43/],
    ['a dot and no key', `shoal:${ID}.`, /key is missing/],
    ['a dot and no key, in brackets', `(shoal:${ID}.)`, /key is missing/],
    ['a dot and no key, on the web', `https://relay.example/#${ID}.`, /key is missing/],
    ['a word behind it', `${READ} is it`, /something stands behind its key, from position 110 on; leave that out/],
    ['a key that is cut short before a full stop', `${READ.slice(0, -5)}.`, /cut short: its key has 38 of 43/],
    ['no key before a hint', `shoal:${ID}.@relay.example`, /key is missing/],
    ['a key that is too long', `${READ}A`, /44 characters instead of 43/],
    [
      'a key with a wrong character, by its position',
      `shoal:${ID}.${KEY.slice(0, 4)}+${KEY.slice(5)}`,
      /position 71 does not belong/,
    ],
    ['a key with unused bits that are not zero', `shoal:${ID}.${KEY.slice(0, -1)}9`, /last character of its key/],
    ['an @ and no hint', `${READ}@`, /empty/],
    ['an empty hint between two', `${READ}@a.example,,b.example`, /empty/],
    ['nine hints', `${READ}@${new Array(9).fill('a.example').join(',')}`, /9 hints/],
    ['a link that is too long', `${READ}@${'a'.repeat(2048)}`, /at most 2048/],
    ['a web link over http', `http://relay.example/#${ID}`, /https/],
    ['http on what only looks like loopback', `http://localhost.example/#${ID}`, /https/],
    ['a web link with a path', `https://relay.example/a/#${ID}`, /only be the name of a server/],
    ['a web link with a user', `https://me@relay.example/#${ID}`, /only be the name of a server/],
    ['a web link with a query', `https://relay.example/?a#${ID}`, /"\/#"/],
    ['a web link without its slash', `https://relay.example#${ID}`, /"\/#"/],
    ['a web link without what follows', 'https://relay.example/', /"\/#"/],
    ['a web link with a port beyond all', `https://relay.example:70000/#${ID}`, /port/],
  ];
  for (const [why, text, says] of refused) {
    it(`are refused with ${why}`, async () => {
      const failure = await failureOf(() => parseLink(text));
      expect(failure.code).to.equal('bad-link');
      expect(failure.message).to.match(says);
    });
  }

  it('never show their key when they are refused', () => {
    fc.assert(
      fc.property(fc.nat({ max: READ.length - 1 }), fc.string({ unit: 'grapheme-ascii', maxLength: 3 }), (at, text) => {
        const broken = READ.slice(0, at) + text + READ.slice(at + 1);
        try {
          parseLink(broken);
        } catch (error) {
          for (let i = 0; i + 6 <= KEY.length; i++)
            expect((error as Error).message).to.not.include(KEY.slice(i, i + 6));
        }
      }),
    );
  });

  it('never show a key that stands among the hints by mistake', async () => {
    const hints = [
      `relay.example:4001.${KEY}`,
      `relay.example:${KEY}`,
      `/ip4/192.0.2.7/tcp/4001/p2p/${KEY}`,
      `${KEY}/x`,
    ];
    for (const hint of hints) {
      const failure = await failureOf(() => parseLink(`shoal:${ID}@a.example,${hint}`));
      expect(failure.code).to.equal('bad-link');
      expect(failure.message).to.match(/hint 2 is neither/);
      expect(failure.message).to.not.include(KEY.slice(0, 6));
      expect(failure.cause).to.equal(undefined);
    }
  });

  it('refuse any other text with a ShoalError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map(text => `shoal:${text}`),
          fc.string().map(text => `${READ}@${text}`),
          fc.webUrl().map(url => `${url}/#${ID}`),
        ),
        text => {
          try {
            parseLink(text);
          } catch (error) {
            expect(error).to.have.property('code', 'bad-link');
          }
        },
      ),
    );
  });
});

describe('hints', () => {
  it('name a peer or a relay', () => {
    expect(parseHint(`/ip4/192.0.2.7/tcp/4001/p2p/${PEER}`)).to.deep.equal({
      kind: 'multiaddr',
      text: `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}`,
      peer: PEER,
    });
    expect(
      parseHint('/ip4/192.0.2.7/tcp/1/p2p/bafzaajaiaejcbhjtkzxl44qzvvbifdz3i4u5utabsx5ebl47uy44ak2ioio7ccoo'),
    ).to.have.property('peer', PEER);
    expect(parseHint('Relay.Example:8443')).to.deep.equal({
      kind: 'relay',
      text: 'Relay.Example:8443',
      host: 'relay.example',
      port: 8443,
    });
    expect(parseHint('192.0.2.1')).to.deep.equal({ kind: 'relay', text: '192.0.2.1', host: '192.0.2.1' });
    expect(parseHint(`/dns4/r.example/tcp/443/p2p/${PEER}/p2p-circuit/p2p/${PEER}`)).to.have.property('peer', PEER);
  });

  const refused = [
    '',
    '/ip4/192.0.2.7/tcp/4001',
    '/ip4/192.0.2.7/tcp/4001/p2p',
    '/ip4/192.0.2.7/tcp/4001/p2p/',
    '/ip4/192.0.2.7/tcp/4001/p2p/nobody',
    '/ip4/192.0.2.7/tcp/4001/p2p/1234567',
    `/ip4/192.0.2.7/tcp/4001/p2p/${PEER.slice(0, -1)}`,
    `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}/`,
    `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}/p2p-circuit`,
    `/ip4/300.0.2.7/tcp/4001/p2p/${PEER}`,
    `/nothing/p2p/${PEER}`,
    '/',
    '::1',
    '[::1]:80',
    '2001:db8::1',
    'relay.example:',
    'relay.example:0',
    'relay.example:080',
    'relay.example:65536',
    'relay.example:http',
    'relay..example',
    '-relay.example',
    'relay.example.',
    'relay example',
    'rélay.example',
    'relay.example/path',
    'me@relay.example',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.04',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(126)}example`,
    'relay.example;ls',
    '$(ls)',
  ];
  for (const text of refused) {
    it(`can not be ${JSON.stringify(text.slice(0, 60))}`, async () => {
      expect((await failureOf(() => parseHint(text))).code).to.equal('bad-link');
    });
  }
});
