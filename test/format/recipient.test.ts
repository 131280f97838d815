import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { expect } from 'chai';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { contactName, fingerprint, kindOf, shortRecipient } from '../../src/format/recipient.ts';
import { failureOf } from './failure.ts';

const identity = await generateX25519Identity();
const classic = await identityToRecipient(identity);
const quantumIdentity = await generateHybridIdentity();
const quantum = await identityToRecipient(quantumIdentity);

describe('a recipient', () => {
  it('is of a kind that grants have', () => {
    expect([kindOf(classic), kindOf(quantum)]).to.deep.equal(['x25519', 'post-quantum']);
  });

  const other = (text: string, at: number): string =>
    `${text.slice(0, at)}${text[at] === 'q' ? 'p' : 'q'}${text.slice(at + 1)}`;
  const tag = 'age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e';
  const refused: [why: string, text: string, message: RegExp][] = [
    ['with a character that is another one', other(classic, 30), /a character of it is wrong/],
    ['post-quantum, with a character that is another one', other(quantum, 700), /a character of it is wrong/],
    ['that is cut short', classic.slice(0, -1), /it has 61 characters instead of 62/],
    ['post-quantum and cut short', quantum.slice(0, 1000), /it has 1000 characters instead of 1959/],
    ['in upper case', classic.toUpperCase(), /it is in upper case/],
    ['of a hardware token', tag, /of a kind that grants do not have/],
    ['of a plugin', 'age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t', /of a kind that grants/],
    ['of SSH', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA', /it is an SSH key/],
    ['that is a name', 'alice', /does not begin with "age1"/],
    ['that is empty', '', /does not begin with "age1"/],
  ];
  for (const [why, text, message] of refused) {
    it(`is refused ${why}`, async () => {
      const failure = await failureOf(() => kindOf(text));
      expect(failure.code).to.equal('usage');
      expect(failure.message).to.match(message);
    });
  }

  it('is not taken from its secret half, which is not shown', async () => {
    for (const secret of [identity, quantumIdentity, identity.toLowerCase(), identity.slice(4), ` ${identity}`]) {
      for (const take of [kindOf, contactName]) {
        const failure = await failureOf(() => take(secret));
        expect(failure.code).to.equal('usage');
        expect(failure.message.toLowerCase()).not.to.include(identity.slice(-8).toLowerCase());
        expect(failure.message).to.match(/cannot use a secret identity/);
      }
    }
  });

  it('is shown shortened by its beginning and its end', () => {
    expect(shortRecipient(classic)).to.equal(`${classic.slice(0, 14)}…${classic.slice(-6)}`);
  });
});

describe('the fingerprint of a recipient', () => {
  it('is six groups of five digits from a hash of it', () => {
    const hash = createHash('sha256').update(`shoal/1/recipient${classic}`).digest();
    const groups = [0, 5, 10, 15, 20, 25].map(at => String(hash.readUIntBE(at, 5) % 100_000).padStart(5, '0'));
    expect(fingerprint(classic)).to.equal(groups.join(' '));
    expect(fingerprint(quantum))
      .to.match(/^\d{5}( \d{5}){5}$/)
      .and.not.to.equal(fingerprint(classic));
  });

  it('stays what it is', () => {
    expect(fingerprint('age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj')).to.equal(
      '55680 38777 42180 42257 25535 28726',
    );
  });
});

describe('the name of a contact', () => {
  it('is trimmed, and the same however it is composed', () => {
    expect(contactName('  Rene\u0301 ')).to.equal('Ren\u00e9');
    expect(contactName('Ann & Bob <ann@example.org>')).to.equal('Ann & Bob <ann@example.org>');
    expect(contactName('é'.repeat(100))).to.have.length(100);
  });

  for (const text of [
    '',
    ' ',
    'age1abc',
    'AGE1x',
    '@file',
    '#x',
    '--to',
    'a\nb',
    'a\u001b[31m',
    'a\u200bb',
    '\u202eevil',
    'x'.repeat(101),
  ]) {
    it(`is not ${JSON.stringify(text).slice(0, 20)}`, async () => {
      expect((await failureOf(() => contactName(text))).code).to.equal('usage');
    });
  }

  it('reads back as itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), text => {
        let name: string;
        try {
          name = contactName(text);
        } catch {
          return;
        }
        expect(contactName(name)).to.equal(name);
      }),
    );
  });
});
