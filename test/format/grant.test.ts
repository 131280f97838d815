import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption';
import { expect } from 'chai';
import { encode } from '../../src/format/canonical.ts';
import { decodeGrant, encodeGrant, type Grant } from '../../src/format/grant.ts';
import { kindWords, type AgeRecipients } from '../../src/format/age.ts';
import { kindsOf, openGrant, sealGrant } from '../../src/format/grant-seal.ts';
import { blockCid, chunkCid, idOf, sha256 } from '../../src/format/ids.ts';
import { fileKey } from '../../src/format/keys.ts';
import { ownerOf } from '../../src/format/share-block.ts';
import { MAX_SEALED_BYTES } from '../../src/limits.ts';
import { failureOf } from './failure.ts';

const KEY = fileKey(new Uint8Array(32).fill(7));
const DIGEST = sha256(Uint8Array.of(1));
const OUTSIDE = { share: idOf(DIGEST), owner: ownerOf(new Uint8Array(32).fill(5)), expires: 3600 * 500_000 };

const alice = await keyPair(generateX25519Identity());
const bob = await keyPair(generateX25519Identity());
const quantum = await keyPair(generateHybridIdentity());

interface KeyPair {
  readonly identity: string;
  readonly recipient: string;
}

async function keyPair(made: Promise<string>): Promise<KeyPair> {
  const identity = await made;
  return { identity, recipient: await identityToRecipient(identity) };
}

const seal = (to: AgeRecipients): Promise<Grant> => sealGrant(KEY, OUTSIDE, to);
const sealTo = (...pairs: KeyPair[]): Promise<Grant> => seal({ recipients: pairs.map(({ recipient }) => recipient) });

/** An age file around any content, sealed to Alice. */
async function sealedContent(content: Uint8Array): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(alice.recipient);
  return encrypter.encrypt(content);
}

/** An age file whose header has these stanzas, each with a body of 32 bytes, and nothing that can be right behind it. */
function fileWith(...stanzas: string[]): Uint8Array {
  const body = Buffer.alloc(32).toString('base64').replace('=', '');
  const header = stanzas.map(line => `-> ${line}\n${body}\n`).join('');
  return new TextEncoder().encode(`age-encryption.org/v1\n${header}--- ${body}\n${'x'.repeat(64)}`);
}

const SCRYPT_SALT = Buffer.alloc(16).toString('base64').replace(/=+$/, '');
const SHARE_OF_X25519 = Buffer.alloc(32, 9).toString('base64').replace(/=+$/, '');

describe('a grant block', () => {
  const grant: Grant = { ...OUTSIDE, sealed: new Uint8Array(300).fill(1) };

  it('reads back as it was written, with and without an end', () => {
    for (const one of [grant, { share: grant.share, owner: grant.owner, sealed: grant.sealed }]) {
      const { id, bytes } = encodeGrant(one);
      expect(decodeGrant(bytes)).to.deep.equal(one);
      expect(id).to.equal(idOf(sha256(bytes)));
    }
  });

  it('of another version needs a newer program', async () => {
    const newer = encode({ type: 'grant', version: 2, surprise: [[[[[[[[[[]]]]]]]]]] });
    expect((await failureOf(() => decodeGrant(newer))).code).to.equal('unsupported');
  });

  const good = { type: 'grant', version: 1, share: blockCid(DIGEST), owner: OUTSIDE.owner, sealed: grant.sealed };
  const refused: [why: string, value: unknown][] = [
    ['no share', { ...good, share: null }],
    ['a chunk in the place of its share', { ...good, share: chunkCid(DIGEST) }],
    ['an owner of small order', { ...good, owner: Uint8Array.of(1, ...new Uint8Array(31)) }],
    ['an owner that is cut short', { ...good, owner: OUTSIDE.owner.subarray(1) }],
    ['an end that is not a full hour', { ...good, expires: 3601 }],
    ['an end before 1970', { ...good, expires: -3600 }],
    ['more sealed than an age file may have', { ...good, sealed: new Uint8Array(MAX_SEALED_BYTES + 1) }],
    ['text sealed', { ...good, sealed: 'age' }],
    ['an entry that the format does not list', { ...good, note: 'hello' }],
    ['the type of a share', { ...good, type: 'share' }],
    ['no version', { type: 'grant', share: blockCid(DIGEST), owner: OUTSIDE.owner, sealed: grant.sealed }],
    ['nothing of a map', [good]],
  ];
  for (const [why, value] of refused) {
    it(`is refused with ${why}`, async () => {
      expect((await failureOf(() => decodeGrant(encode(value)))).code).to.equal('malformed');
    });
  }

  it('may be sealed in as much as an age file may have', () => {
    const largest = { ...grant, sealed: new Uint8Array(MAX_SEALED_BYTES) };
    expect(decodeGrant(encodeGrant(largest).bytes)).to.deep.equal(largest);
  });
});

describe('a grant to recipients', () => {
  it('opens with the identity of each of them', async () => {
    const grant = await sealTo(alice, bob);
    for (const { identity } of [alice, bob]) {
      expect(await openGrant(grant, { identities: [quantum.identity, identity] })).to.deep.equal(KEY);
    }
  });

  it('opens with a post-quantum identity', async () => {
    const grant = await sealTo(quantum);
    expect(await openGrant(grant, { identities: [quantum.identity] })).to.deep.equal(KEY);
  });

  it('says for which kinds it was made, without anything that opens it', async () => {
    expect(await kindsOf(await sealTo(alice, bob))).to.deep.equal(['x25519']);
    expect(kindWords(await kindsOf(await sealTo(quantum)))).to.equal('post-quantum age recipients (age1pq1…)');
    const failure = await failureOf(() => kindsOf({ sealed: fileWith('ssh-ed25519 abc') }));
    expect(failure.code).to.equal('malformed');
    expect((await failureOf(() => kindsOf({ sealed: Uint8Array.of(1, 2) }))).code).to.equal('malformed');
  });

  it('holds exactly what the format says', async () => {
    const decrypter = new Decrypter();
    decrypter.addIdentity(alice.identity);
    const end = Buffer.alloc(8);
    end.writeBigUInt64BE(BigInt(OUTSIDE.expires));
    const content = Buffer.concat([KEY, blockCid(DIGEST).bytes, OUTSIDE.owner, end]);
    expect(content).to.have.lengthOf(108);
    expect(Buffer.from(await decrypter.decrypt((await sealTo(alice)).sealed))).to.deep.equal(content);
  });

  it('does not open with another identity, and the message says what kind is needed', async () => {
    const failures = [
      {
        grant: await sealTo(alice),
        secrets: { identities: [bob.identity] },
        says: /made for age recipients \(age1…\).*none of the identities/,
      },
      { grant: await sealTo(alice), secrets: { identities: [quantum.identity] }, says: /age recipients \(age1…\)/ },
      { grant: await sealTo(quantum), secrets: { identities: [alice.identity] }, says: /post-quantum/ },
      { grant: await sealTo(alice), secrets: {}, says: /no identity is given/ },
      { grant: await sealTo(alice), secrets: { passphrase: 'a' }, says: /no identity is given/ },
    ];
    for (const { grant, secrets, says } of failures) {
      const failure = await failureOf(() => openGrant(grant, secrets));
      expect(failure.code).to.equal('wrong-key');
      expect(failure.message).to.match(says);
    }
  });

  it('does not open once anything outside is changed', async () => {
    const grant = await sealTo(alice);
    const changed: Grant[] = [
      { ...grant, share: idOf(sha256(Uint8Array.of(2))) },
      { ...grant, owner: ownerOf(new Uint8Array(32).fill(6)) },
      { ...grant, expires: OUTSIDE.expires + 3600 },
      { share: grant.share, owner: grant.owner, sealed: grant.sealed },
    ];
    for (const one of changed) {
      const failure = await failureOf(() => openGrant(one, { identities: [alice.identity] }));
      expect(failure.code).to.equal('malformed');
      expect(failure.message).to.match(/not what it says outside/);
    }
  });

  it('does not open with another content sealed in it', async () => {
    const lengths = [0, 107, 109, 1000];
    for (const length of lengths) {
      const grant = { ...OUTSIDE, sealed: await sealedContent(new Uint8Array(length)) };
      const failure = await failureOf(() => openGrant(grant, { identities: [alice.identity] }));
      expect(failure.code).to.equal('malformed');
      expect(failure.message).to.match(/sealed in it instead of 108/);
    }
  });

  it('never opens when a byte of what is sealed is another', async () => {
    const grant = await sealTo(alice);
    for (let at = 0; at < grant.sealed.length; at++) {
      const sealed = Uint8Array.from(grant.sealed);
      sealed[at] = sealed[at]! ^ 1;
      const failure = await failureOf(() => openGrant({ ...grant, sealed }, { identities: [alice.identity] }));
      expect(failure.code, `byte ${at}`).to.be.oneOf(['malformed', 'wrong-key']);
    }
  });

  it('is refused when made for kinds that the format does not have, or for nobody', async () => {
    const others = [
      fileWith('ssh-ed25519 AAAAAA BBBB'),
      fileWith('p256tag AAAAAA BBBB'),
      fileWith(`X25519 ${SHARE_OF_X25519}`, 'piv-p256 AAAA'),
      fileWith('x-grease'),
      fileWith(),
      new Uint8Array(),
      new TextEncoder().encode('-----BEGIN AGE ENCRYPTED FILE-----\n'),
    ];
    for (const sealed of others) {
      const failure = await failureOf(() => openGrant({ ...OUTSIDE, sealed }, { identities: [alice.identity] }));
      expect(failure.code).to.equal('malformed');
    }
  });

  it('is not made for what is no recipient, and says for which', async () => {
    const none = [
      'age1',
      'alice',
      alice.identity,
      'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA',
      `${alice.recipient.slice(0, -1)}${alice.recipient.endsWith('q') ? 'p' : 'q'}`,
      // The format has no hardware tokens.
      'age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e',
    ];
    for (const recipient of none) {
      const failure = await failureOf(() => seal({ recipients: [alice.recipient, recipient] }));
      expect(failure.code).to.equal('usage');
    }
    expect((await failureOf(() => seal({ recipients: [] }))).code).to.equal('usage');
  });

  it('is not made for a key of small order, which everybody could open', async () => {
    const recipient = 'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z';
    expect((await failureOf(() => seal({ recipients: [recipient] }))).code).to.equal('usage');
  });

  it('does not mix kinds, and has only so many', async () => {
    const mixed = await failureOf(() => sealTo(alice, quantum));
    expect(mixed.code).to.equal('usage');
    expect(mixed.message).to.match(/not mixed/);
    const crowd = await failureOf(() => sealTo(...Array.from({ length: 50 }, () => quantum)));
    expect(crowd.code).to.equal('usage');
    expect(crowd.message).to.match(/too many/);
  });

  it('says that an identity can not be read, and not what it is', async () => {
    const grant = await sealTo(alice);
    for (const identity of [
      '',
      'AGE-SECRET-KEY-1NONSENSE',
      'AGE-PLUGIN-YUBIKEY-1ABCDEF',
      alice.identity.slice(0, -3),
    ]) {
      const failure = await failureOf(() => openGrant(grant, { identities: [identity] }));
      expect(failure.code).to.equal('usage');
      if (identity !== '') expect(`${failure.message} ${String(failure.cause)}`).to.not.include(identity.slice(-6));
    }
  });
});

describe('a grant to a passphrase', function () {
  // scrypt with 2^18 takes about a second of one core.
  this.timeout(60_000);
  const COMPOSED = 'Caf\u00e9 am Fluss';
  const DECOMPOSED = 'Cafe\u0301 am Fluss';

  it('opens with it however it is composed, and with no other', async () => {
    const grant = await seal({ passphrase: DECOMPOSED });
    expect(Buffer.from(grant.sealed).toString('latin1')).to.match(/^age-encryption.org\/v1\n-> scrypt \S+ 18\n/);
    expect(await openGrant(grant, { passphrase: COMPOSED, identities: [alice.identity] })).to.deep.equal(KEY);
  });

  it('does not open without it, and the message says what it was made for', async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase(COMPOSED);
    encrypter.setScryptWorkFactor(10);
    const grant = { ...OUTSIDE, sealed: await encrypter.encrypt(new Uint8Array(108)) };
    const wrong = await failureOf(() => openGrant(grant, { passphrase: 'Cafe am Fluss' }));
    expect(wrong.code).to.equal('wrong-key');
    expect(wrong.message).to.match(/made for a passphrase, and the one given is another/);
    const none = await failureOf(() => openGrant(grant, { identities: [alice.identity] }));
    expect(none.code).to.equal('wrong-key');
    expect(none.message).to.match(/made for a passphrase, and none is given/);
  });

  it('is refused before anything is computed when the work is too much, or it is not alone', async () => {
    const files = [
      fileWith(`scrypt ${SCRYPT_SALT} 21`),
      fileWith(`scrypt ${SCRYPT_SALT} 63`),
      fileWith(`scrypt ${SCRYPT_SALT} 99999999999999999999`),
      fileWith(`scrypt ${SCRYPT_SALT} 018`),
      fileWith(`scrypt ${SCRYPT_SALT} 0`),
      fileWith(`scrypt ${SCRYPT_SALT} -1`),
      fileWith(`scrypt ${SCRYPT_SALT}`),
      fileWith(`scrypt ${SCRYPT_SALT} 18`, `scrypt ${SCRYPT_SALT} 18`),
      fileWith(`scrypt ${SCRYPT_SALT} 18`, `X25519 ${SHARE_OF_X25519}`),
      fileWith(`X25519 ${SHARE_OF_X25519}`, `scrypt ${SCRYPT_SALT} 18`),
    ];
    const before = process.cpuUsage();
    for (const sealed of files) {
      const secrets = { passphrase: COMPOSED, identities: [alice.identity] };
      const failure = await failureOf(() => openGrant({ ...OUTSIDE, sealed }, secrets));
      expect(failure.code).to.equal('malformed');
      expect(failure.message).to.match(/work factor|to a passphrase and to others/);
    }
    const used = process.cpuUsage(before);
    expect((used.user + used.system) / 1e6, 'seconds').to.be.below(0.5);
  });
});
