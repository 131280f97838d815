import { expect } from 'chai';
import { generateIdentity, identityToRecipient, Encrypter } from 'age-encryption';
import { aboutText, checkAbout, isIdentityFile, placeIn } from '../../src/format/backup.ts';
import { openBackup, sealBackup, sealedTo } from '../../src/format/backup-seal.ts';
import { failureOf } from './failure.ts';

const ID = 'bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3brue';

describe('What is in a backup', () => {
  it('has names of a closed list', () => {
    const good = ['secret', 'config.toml', 'catalog.sqlite', 'identities/me.txt', 'identities/Jörg.age'];
    const blocks = ['share', 'data-index-3', 'manifest-index-0', 'manifest-0/17'].map(name => `blocks/${ID}/${name}`);
    for (const name of [...good, ...blocks]) expect(placeIn(name, 10)).to.deep.equal(name.split('/'));
    const bad = ['', '/secret', '../secret', 'secret/', 'lock', 'identities/../secret', 'identities/.hidden.txt'];
    const worse = ['identities/a/b.txt', 'identities/a\u001b.txt', `blocks/${ID}/data-0/0`, `blocks/${ID}/../share`];
    for (const name of [...bad, ...worse, 'blocks/x/share', `blocks/${ID}`, 'identities\\x.txt'])
      expect(() => placeIn(name, 10), name).to.throw(/which is in no backup/);
  });

  it('has sizes that are bounded', () => {
    expect(() => placeIn('secret', 2 ** 20 + 1)).to.throw(/at most 1048576/);
    expect(() => placeIn(`blocks/${ID}/share`, 2 ** 20 + 1)).to.throw(/at most/);
    expect(placeIn('catalog.sqlite', 500_000_000)).to.have.lengthOf(1);
  });

  it('says of what version it is', async () => {
    checkAbout(aboutText('shoal 1.2.3'));
    expect((await failureOf(() => checkAbout('shoal backup 2\n'))).code).to.equal('unsupported');
    expect((await failureOf(() => checkAbout('something else'))).code).to.equal('malformed');
  });

  it('has identities, and not what editors and systems leave beside them', () => {
    expect(['a.txt', 'a.age'].every(isIdentityFile)).to.equal(true);
    expect(['.a.txt.swp', 'a.txt~', '.txt', 'lock'].some(isIdentityFile)).to.equal(false);
  });
});

describe('The seal of a backup', () => {
  const content = Buffer.alloc(200_000, 'shoal');

  async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    for (let start = 0; start < bytes.length; start += 70_000) yield bytes.subarray(start, start + 70_000);
  }

  async function all(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  const seal = async (to: Parameters<typeof sealBackup>[1]): Promise<Buffer> =>
    await all(await sealBackup(once(content), to));
  const open = async (sealed: Uint8Array, secrets: Parameters<typeof openBackup>[1]): Promise<Buffer> =>
    await all(await openBackup(once(sealed), secrets));

  it('is opened by each of its recipients, and by nobody else', async () => {
    const identities = await Promise.all([generateIdentity(), generateIdentity(), generateIdentity()]);
    const [first, second, third] = identities;
    const recipients = await Promise.all([first, second].map(identityToRecipient));
    const sealed = await seal({ recipients });
    expect(sealedTo(sealed)).to.equal('recipients');
    for (const identity of [first, second])
      expect((await open(sealed, { identities: [identity] })).equals(content)).to.equal(true);
    expect((await failureOf(() => open(sealed, { identities: [third] }))).code).to.equal('wrong-key');
    expect((await failureOf(() => open(sealed, { passphrase: 'whatever' }))).code).to.equal('wrong-key');
  });

  it('is opened by its passphrase, however its letters are composed', async function () {
    this.timeout(30_000);
    const sealed = await seal({ passphrase: 'caf\u00e9 au lait' });
    expect(sealedTo(sealed)).to.equal('passphrase');
    expect((await open(sealed, { passphrase: 'cafe\u0301 au lait' })).equals(content)).to.equal(true);
    expect((await failureOf(() => open(sealed, { passphrase: 'cafe au lait' }))).code).to.equal('wrong-key');
  });

  it('breaks wherever the file is cut or changed', async () => {
    const identity = await generateIdentity();
    const sealed = await seal({ recipients: [await identityToRecipient(identity)] });
    const codes = new Set<string>();
    for (let at = 0; at < sealed.length; at += 9_973) {
      const flipped = Buffer.from(sealed);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      codes.add((await failureOf(() => open(flipped, { identities: [identity] }))).code);
      codes.add((await failureOf(() => open(sealed.subarray(0, at), { identities: [identity] }))).code);
    }
    expect([...codes].sort()).to.deep.equal(['corrupt', 'malformed']);
  });

  it('does not let a file take minutes of computing', async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase('x');
    encrypter.setScryptWorkFactor(2);
    const cheap = Buffer.from(await encrypter.encrypt(content)).toString('latin1');
    const dear = Buffer.from(cheap.replace(/(-> scrypt \S+) 2\n/, '$1 30\n'), 'latin1');
    expect((await failureOf(() => open(dear, { passphrase: 'x' }))).message).to.match(/work factor/);
  });

  it('is given to no one who is none', async () => {
    expect((await failureOf(() => seal({ recipients: [] }))).message).to.match(/no recipient/);
    expect((await failureOf(() => seal({ recipients: ['age1x'] }))).message).to.match(/not an age recipient/);
    expect((await failureOf(() => sealedTo(Buffer.from('PK\u0003\u0004')))).code).to.equal('malformed');
  });
});
