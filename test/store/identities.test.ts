import { expect } from 'chai';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identityText, makeIdentity, type Identity } from '../../src/format/identity.ts';
import { keepIdentity, keyFileAt, keyFilesOf, unlock, writeIdentity } from '../../src/identities.ts';
import { failureOf } from '../format/failure.ts';

const classic = await makeIdentity('x25519');
const quantum = await makeIdentity('post-quantum');

describe('the identities of a home', function () {
  // What is sealed with a passphrase takes a second to seal, and another one to open.
  this.timeout(60_000);
  let home: string;
  let folder: string;
  beforeEach(() => {
    home = join(mkdtempSync(join(tmpdir(), 'shoal-identities-')), 'home');
    folder = join(home, 'identities');
  });
  afterEach(() => rmSync(join(home, '..'), { recursive: true }));

  const keep = (name: string, identity: Identity = classic, passphrase?: string): Promise<string> =>
    keepIdentity(home, name, identity, passphrase, 1_800_000_000);

  it('are none where there is no home, which is not made', async () => {
    expect(await keyFilesOf(home)).to.deep.equal([]);
    expect(existsSync(home)).to.equal(false);
  });

  it('are files of age-keygen for their user only, listed by name', async () => {
    const path = await keep('work', quantum);
    await keep('default');
    expect(readFileSync(path, 'utf8')).to.equal(identityText(quantum, 1_800_000_000));
    expect([path, folder, home].map(one => statSync(one).mode & 0o777)).to.deep.equal([0o600, 0o700, 0o700]);
    const files = await keyFilesOf(home);
    expect(files.map(({ name, recipient, kind }) => [name, recipient, kind])).to.deep.equal([
      ['default', classic.recipient, 'x25519'],
      ['work', quantum.recipient, 'post-quantum'],
    ]);
    expect(files.flatMap(({ identities }) => identities)).to.deep.equal([classic, quantum]);
  });

  it('are listed while they are locked, and unlocked by their passphrase only', async () => {
    const path = await keep('default', classic, 'a passphrase');
    expect(readFileSync(path, 'utf8')).not.to.include(classic.recipient);
    const [file, ...others] = await keyFilesOf(home);
    expect(others).to.deep.equal([]);
    expect(file).to.deep.include({ name: 'default', identities: [], recipient: classic.recipient, kind: 'x25519' });
    expect(await unlock(file!, 'a passphrase')).to.deep.equal([classic]);
    const failure = await failureOf(() => unlock(file!, 'another'));
    expect(failure.code).to.equal('wrong-key');
    expect(failure.message).to.include(path);
  });

  it('can be opened where their recipient is lost, and are listed without it', async () => {
    await keep('default', classic, 'a passphrase');
    rmSync(join(folder, 'default.pub'));
    const [file] = await keyFilesOf(home);
    expect(file).to.include({ name: 'default' }).and.not.to.have.property('recipient');
    expect(await unlock(file!, 'a passphrase')).to.deep.equal([classic]);
  });

  it('are never replaced, whichever way the first was kept', async () => {
    await keep('a');
    await keep('b', classic, 'p');
    const before = ['a.txt', 'b.age', 'b.pub'].map(file => readFileSync(join(folder, file), 'utf8'));
    for (const name of ['a', 'b'])
      for (const passphrase of [undefined, 'q'])
        expect((await failureOf(() => keep(name, quantum, passphrase))).code).to.equal('exists');
    expect(['a.txt', 'b.age', 'b.pub'].map(file => readFileSync(join(folder, file), 'utf8'))).to.deep.equal(before);
    expect(readdirSync(folder).sort()).to.deep.equal(['a.txt', 'b.age', 'b.pub', 'lock']);
  });

  it('are made once where two are made at once under a name', async () => {
    const made = await Promise.allSettled([keep('a'), keep('a', quantum), keep('a', classic, 'p'), keep('b')]);
    const codes = made.flatMap(one => (one.status === 'rejected' ? [(one.reason as { code: string }).code] : []));
    expect(codes).to.deep.equal(['exists', 'exists']);
    const files = await keyFilesOf(home);
    expect(files.map(({ name }) => name)).to.deep.equal(['a', 'b']);
    for (const { path, recipient } of files)
      if (path.endsWith('.age')) expect(readFileSync(path.replace(/age$/, 'pub'), 'utf8')).to.equal(`${recipient}\n`);
  });

  it('take the place of a recipient that a killed process has left alone', async () => {
    await keep('other');
    writeFileSync(join(folder, 'a.pub'), `${quantum.recipient}\n`);
    await keep('a', classic, 'p');
    expect((await keyFilesOf(home))[0]).to.include({ name: 'a', recipient: classic.recipient });
  });

  for (const name of ['', '.', '..', '../a', 'a/b', '-o', '.a', 'ä', 'a b', 'x'.repeat(65)]) {
    it(`are not called ${JSON.stringify(name).slice(0, 12)}`, async () => {
      expect((await failureOf(() => keep(name))).code).to.equal('usage');
      expect(await keyFilesOf(home)).to.deep.equal([]);
    });
  }

  it('are named, and not used, when others can read them, they are damaged or something else', async () => {
    for (const name of ['damaged', 'empty', 'fine', 'link', 'open']) await keep(name);
    writeFileSync(join(folder, 'damaged.txt'), `${classic.secret.slice(0, -1)}1\n`);
    writeFileSync(join(folder, 'empty.txt'), '# nothing\n');
    rmSync(join(folder, 'link.txt'));
    symlinkSync(join(folder, 'fine.txt'), join(folder, 'link.txt'));
    chmodSync(join(folder, 'open.txt'), 0o640);
    mkdirSync(join(folder, 'folder.txt'));
    writeFileSync(join(folder, 'large.txt'), 'x'.repeat(100_000), { mode: 0o600 });
    const files = await keyFilesOf(home);
    const problems = new Map(files.map(({ name, problem }) => [name, problem?.message]));
    expect(problems.get('fine')).to.equal(undefined);
    expect(problems.get('open')).to.include(`chmod 600 '${join(folder, 'open.txt')}'`);
    for (const name of ['damaged', 'empty', 'folder', 'large', 'link', 'open']) {
      expect(problems.get(name), name).to.include(join(folder, `${name}.txt`));
      expect(problems.get(name)).not.to.include(classic.secret.slice(20, 40));
    }
    expect(files.flatMap(({ identities }) => identities)).to.deep.equal([classic]);
  });

  it('are not looked for where others could put theirs', async () => {
    await keep('default');
    chmodSync(folder, 0o770);
    for (const action of [() => keyFilesOf(home), () => keep('b')])
      expect((await failureOf(action)).message).to.include(`chmod 700 '${folder}'`);
  });

  it('leave nothing behind where they can not be written', async function () {
    if (process.getuid?.() === 0) this.skip(); // may write anywhere
    await keep('default');
    chmodSync(folder, 0o500);
    expect((await failureOf(() => keep('b'))).code).to.equal('denied');
    chmodSync(folder, 0o700);
    expect(readdirSync(folder)).to.deep.equal(['default.txt', 'lock']);
  });

  it('can be in files elsewhere, which are not replaced', async () => {
    const path = join(home, '..', 'id');
    await writeIdentity(path, classic, undefined, 0);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    expect(await keyFileAt(path)).to.deep.equal({ path, identities: [classic], isOpen: false });
    for (const passphrase of [undefined, 'p'])
      expect((await failureOf(() => writeIdentity(path, quantum, passphrase, 0))).code).to.equal('exists');
    chmodSync(path, 0o644);
    const link = join(home, '..', 'link');
    symlinkSync(path, link);
    expect(await keyFileAt(link)).to.deep.equal({ path: link, identities: [classic], isOpen: true });
    expect((await failureOf(() => keyFileAt(`${path}x`))).message).to.match(/identity file ".*idx": it does not exist/);
    writeFileSync(path, 'x'.repeat(100_000));
    expect((await failureOf(() => keyFileAt(path))).message).to.match(/too large/);
  });
});
