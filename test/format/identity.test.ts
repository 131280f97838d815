import { armor, Decrypter, Encrypter } from 'age-encryption';
import { expect } from 'chai';
import { identitiesIn, identityText, isSealed, makeIdentity, sealText, unsealText } from '../../src/format/identity.ts';
import { failureOf } from './failure.ts';

const classic = await makeIdentity('x25519');
const quantum = await makeIdentity('post-quantum');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('an identity file', () => {
  it('is as age-keygen writes it, and reads back', async () => {
    for (const identity of [classic, quantum]) {
      const text = identityText(identity, 1_800_000_000);
      expect(text).to.equal(
        `# created: 2027-01-15T08:00:00Z\n# public key: ${identity.recipient}\n${identity.secret}\n`,
      );
      expect(await identitiesIn(text)).to.deep.equal([identity]);
      expect(isSealed(bytes(text))).to.equal(false);
    }
  });

  it('has identities one a line, between comments and empty lines', async () => {
    const text = `# a\r\n\r\n  ${classic.secret} \n#${quantum.secret}\n${quantum.secret}`;
    expect(await identitiesIn(text)).to.deep.equal([classic, quantum]);
    expect(await identitiesIn('')).to.deep.equal([]);
  });

  it('is refused by the line that is none, which is not shown', async () => {
    const { secret } = classic;
    const damaged = `${secret.slice(0, -1)}${secret.endsWith('Q') ? 'P' : 'Q'}`;
    for (const line of [damaged, secret.slice(0, -2), secret.toLowerCase(), 'AGE-PLUGIN-YUBIKEY-1ABCDEF', 'hello']) {
      const failure = await failureOf(() => identitiesIn(`${secret}\n\n${line}\n`));
      expect(failure.code).to.equal('usage');
      expect(failure.message).to.match(/^line 3 is not an identity/);
      expect(`${failure.message} ${String(failure.cause)}`).not.to.include(line.slice(-8));
    }
  });
});

describe('a sealed identity file', function () {
  // scrypt with 2^18 takes about a second of one core.
  this.timeout(60_000);

  it('is an age file in text that opens with its passphrase however that is composed, and with no other', async () => {
    const text = identityText(classic, 0);
    const sealed = bytes(await sealText(text, 'Cafe\u0301'));
    expect(isSealed(sealed)).to.equal(true);
    expect(new TextDecoder().decode(sealed)).to.match(/^-----BEGIN AGE ENCRYPTED FILE-----\n/);
    expect(await unsealText(sealed, 'Caf\u00e9', 'x')).to.equal(text);
    const decrypter = new Decrypter();
    decrypter.addPassphrase('Caf\u00e9');
    expect(await decrypter.decrypt(armor.decode(new TextDecoder().decode(sealed)), 'text')).to.equal(text);
    const failure = await failureOf(() => unsealText(sealed, 'Cafe', 'the file'));
    expect(failure).to.include({ code: 'wrong-key', message: 'cannot open the file: the passphrase is another' });
  });

  it('may be in bytes', async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase('p');
    encrypter.setScryptWorkFactor(4);
    const sealed = await encrypter.encrypt('hello');
    expect(isSealed(sealed)).to.equal(true);
    expect(await unsealText(sealed, 'p', 'x')).to.equal('hello');
    const damaged = sealed.slice(0, -1);
    expect((await failureOf(() => unsealText(damaged, 'p', 'x'))).code).to.equal('malformed');
  });

  it('is refused before anything is computed where it asks for too much, or is not sealed with a passphrase', async () => {
    const salt = Buffer.alloc(16).toString('base64').replace(/=+$/, '');
    const body = Buffer.alloc(32).toString('base64').replace('=', '');
    const greedy = bytes(`age-encryption.org/v1\n-> scrypt ${salt} 30\n${body}\n--- ${body}\n${'x'.repeat(64)}`);
    const before = process.cpuUsage();
    expect((await failureOf(() => unsealText(greedy, 'p', 'x'))).message).to.match(/work factor/);
    const encrypter = new Encrypter();
    encrypter.addRecipient(classic.recipient);
    const foreign = await encrypter.encrypt('hello');
    expect((await failureOf(() => unsealText(foreign, 'p', 'x'))).message).to.match(/not sealed with a passphrase/);
    const used = process.cpuUsage(before);
    expect((used.user + used.system) / 1e6, 'seconds').to.be.below(0.5);
  });
});
