import { expect } from 'chai';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ed25519 } from '@noble/curves/ed25519.js';
import { encode } from '@ipld/dag-cbor';
import { TokenList } from '../../relay/token-list.ts';
import { publicKeyOf, readToken, tokenIdIn, tokenText, withoutTokens, type Token } from '../../relay/tokens.ts';
import { MAX_TOKEN_CHARS } from '../../src/limits.ts';

const SEED = new Uint8Array(32).fill(7);
const OTHER = new Uint8Array(32).fill(8);
const NOW = 1_800_000_000;
const TOKEN: Token = { id: '0123456789abcdef', until: NOW + 1000, storedBytes: 5e9 };

const uint = fc.nat(Number.MAX_SAFE_INTEGER);
const tokens: fc.Arbitrary<Token> = fc.record(
  {
    id: fc.uint8Array({ minLength: 8, maxLength: 8 }).map(bytes => Buffer.from(bytes).toString('hex')),
    until: uint,
    storedBytes: uint,
    leaseSeconds: uint,
  },
  { requiredKeys: ['id', 'until'] },
);

/** A text that says `value`, signed over `domain` and a body. */
function signedText(value: Record<string, unknown>, domain = 'shoal/1/token'): string {
  const signature = ed25519.sign(Buffer.concat([Buffer.from(domain), encode(value)]), SEED);
  return `shoaltoken.${Buffer.from(encode({ ...value, signature })).toString('base64url')}`;
}

describe('A token', () => {
  const key = publicKeyOf(SEED);

  it('comes back as it was signed, and is as long as a token may be', () => {
    fc.assert(
      fc.property(tokens, token => {
        const text = tokenText(token, SEED);
        expect(readToken(text, key)).to.deep.equal(token);
        expect(tokenIdIn(text)).to.equal(token.id);
        expect(text.length).to.be.at.most(MAX_TOKEN_CHARS);
      }),
      { numRuns: 30 },
    );
  });

  it('is accepted by the relay that signed it only', () => {
    expect(() => readToken(tokenText(TOKEN, OTHER), key))
      .to.throw('this relay has not signed it')
      .with.property('code', 'wrong-key');
  });

  it('is not accepted for a signature over the same in another place', () => {
    const body = { type: 'token', version: 1, id: TOKEN.id, until: TOKEN.until };
    expect(readToken(signedText(body), key)).to.deep.equal({ id: TOKEN.id, until: TOKEN.until });
    for (const domain of ['', 'shoal/1/receipt', 'shoal/2/token'])
      expect(() => readToken(signedText(body, domain), key), domain).to.throw('this relay has not signed it');
  });

  it('is not accepted with anything about it changed', () => {
    const text = tokenText(TOKEN, SEED);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('A', 'a', '0', '_', '-', '.', 'z'), (at, character) => {
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        fc.pre(changed !== text);
        expect(() => readToken(changed, key))
          .to.throw()
          .with.property('name', 'ShoalError');
      }),
      { numRuns: 300 },
    );
  });

  it('fails with a ShoalError, whatever the text is', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map(one => `shoaltoken.${Buffer.from(one).toString('base64url')}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), bytes), text => {
        expect(() => readToken(text, key))
          .to.throw()
          .with.property('name', 'ShoalError');
      }),
    );
  });

  const body = { type: 'token', version: 1, id: TOKEN.id, until: 5 };
  const wrong: Record<string, [text: string, why: string]> = {
    'of a newer version': [signedText({ ...body, version: 2 }), 'needs a newer program'],
    'of another type': [signedText({ ...body, type: 'receipt' }), 'its type is not "token"'],
    'with a field too many': [signedText({ ...body, tier: 'operator' }), 'which the format does not list'],
    'with a negative quota': [signedText({ ...body, storedBytes: -1 }), 'is not an unsigned integer'],
    'with an id that is a path': [signedText({ ...body, id: '../../secret' }), 'its id is none'],
    'without an end': [signedText({ type: 'token', version: 1, id: TOKEN.id }), 'it has no "until"'],
    'that is padded': [`${tokenText(TOKEN, SEED)}=`, 'a character in it does not belong there'],
    'that is too long': [`shoaltoken.${'A'.repeat(MAX_TOKEN_CHARS)}`, 'it is too long'],
    'that is cut': [tokenText(TOKEN, SEED).slice(0, 59), 'cannot decode token'],
    'that is something else': [
      'shoal:bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3brue',
      'it does not begin with "shoaltoken."',
    ],
  };
  for (const [name, [text, why]] of Object.entries(wrong)) {
    it(`is refused ${name}, and never repeated`, () => {
      let message = '';
      try {
        readToken(text, key);
      } catch (error) {
        ({ message } = error as Error);
      }
      expect(message).to.include(why);
      expect(message).not.to.include(text.slice(11, 40));
    });
  }

  it('is taken out of what is printed', () => {
    const text = tokenText(TOKEN, SEED);
    expect(withoutTokens(`unknown command "${text.slice(0, 80)}…", ${text}`)).to.equal(
      'unknown command "TOKEN", TOKEN',
    );
  });
});

describe('The list of tokens', () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'shoal-tokens-'))));
  afterEach(() => rm(folder, { recursive: true }));

  let count = 0;
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(++count % 256);
  const withList = <T>(work: (list: TokenList) => T, seed = SEED): T => {
    const list = new TokenList(folder, seed);
    try {
      return work(list);
    } finally {
      list.close();
    }
  };

  it('has what was made, with its note, and nothing that would let anyone in', () => {
    const text = withList(list => list.create({ until: NOW + 100, leaseSeconds: 60, note: 'for Ada' }, NOW, random));
    const [listed, ...others] = withList(list => list.list());
    expect(others).to.deep.equal([]);
    const id = tokenIdIn(text);
    expect(listed).to.deep.equal({ id, until: NOW + 100, leaseSeconds: 60, note: 'for Ada', createdAt: NOW });
    withList(list => expect(list.check(text, NOW)).to.deep.equal({ id, until: NOW + 100, leaseSeconds: 60 }));
  });

  it('refuses what has expired, was revoked, was forged, is of another relay, or is not listed, each with its reason', () => {
    withList(list => {
      const text = list.create({ until: NOW + 100 }, NOW, random);
      const reason = (of: string, at = NOW): unknown => {
        const answer = list.check(of, at);
        return 'reason' in answer ? answer.reason : answer.until;
      };
      expect(reason(text, NOW + 99)).to.equal(NOW + 100);
      expect(reason(text, NOW + 100)).to.equal('expired');
      expect(reason(tokenText(TOKEN, OTHER))).to.equal('bad-token');
      expect(reason(`${text.slice(0, -4)}AAAA`)).to.equal('bad-token');
      expect(reason('x'.repeat(100_000))).to.equal('bad-token');
      expect(reason(tokenText(TOKEN, SEED)), 'signed, and not listed').to.equal('revoked');
      expect(list.revoke(tokenIdIn(text) ?? '', NOW)).to.equal(true);
      expect(reason(text)).to.equal('revoked');
    });
  });

  it('tells a relay that runs of a revocation as soon as another process has written it', () => {
    withList(running => {
      const text = running.create({ until: NOW + 100 }, NOW, random);
      const id = tokenIdIn(text) ?? '';
      expect(running.isRevoked(id)).to.equal(false);
      withList(other => {
        expect(other.revoke('ffffffffffffffff', NOW)).to.equal(false);
        expect(other.revoke(id, NOW + 5)).to.equal(true);
        expect(other.revoke(id, NOW + 9)).to.equal(true);
      });
      expect(running.isRevoked(id)).to.equal(true);
      expect(running.list()[0]).to.include({ revokedAt: NOW + 5 });
    });
  });

  it('is for its user only', async () => {
    withList(() => undefined);
    expect((await stat(join(folder, 'tokens.sqlite'))).mode & 0o777).to.equal(0o600);
  });

  it('leaves alone what a newer program wrote', async () => {
    const { openDatabase } = await import('../../src/files/sqlite.ts');
    const database = openDatabase(join(folder, 'tokens.sqlite'));
    database.exec('PRAGMA user_version = 2');
    database.close();
    expect(() => withList(list => list.list()))
      .to.throw('a newer shoal-relay wrote it')
      .with.property('code', 'newer-home');
  });

  it('says so where it is no database', async () => {
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(folder, 'tokens.sqlite'), 'something else '.repeat(100));
    expect(() => withList(list => list.list()))
      .to.throw('cannot open the list of tokens')
      .with.property('code', 'io');
  });
});
