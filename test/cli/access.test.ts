/** Opening the link of a grant, by what somebody has or types. */
import { armor, Encrypter } from 'age-encryption';
import { expect } from 'chai';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { givenLink, readLinkOf, type AccessFlags } from '../../cli/access.ts';
import type { Context } from '../../cli/context.ts';
import { terminalOf } from '../../cli/main.ts';
import { encodeGrant, type Grant } from '../../src/format/grant.ts';
import { sealGrant } from '../../src/format/grant-seal.ts';
import { idOf, sha256, type BlockId } from '../../src/format/ids.ts';
import { identityText, makeIdentity, type Identity } from '../../src/format/identity.ts';
import { fileKey } from '../../src/format/keys.ts';
import { formatLink } from '../../src/format/link.ts';
import { ownerOf } from '../../src/format/share-block.ts';
import { failureOf } from '../format/failure.ts';
import { Keyboard } from './keyboard.ts';
import { Screen } from './world.ts';

const KEY = fileKey(new Uint8Array(32).fill(7));
const SHARE = idOf(sha256(Uint8Array.of(1)));
const OUTSIDE = { share: SHARE, owner: ownerOf(new Uint8Array(32).fill(5)) };
const READ_LINK = `${formatLink({ id: SHARE, key: KEY, hints: [] })}@relay.example`;

const [mine, theirs] = [await makeIdentity('x25519'), await makeIdentity('x25519')];
const quantum = await makeIdentity('post-quantum');

const grantTo = (...to: Identity[]): Promise<Grant> =>
  sealGrant(KEY, OUTSIDE, { recipients: to.map(({ recipient }) => recipient) });

/** As weak as can be, which takes no time. */
async function sealedWith(passphrase: string, content: string): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(2);
  return await encrypter.encrypt(content);
}

interface World extends Context {
  readonly stdin: Keyboard;
  readonly stderr: Screen;
}

describe('The link of a grant', () => {
  let cwd: string;
  beforeEach(() => {
    cwd = mkdtempSync(join(tmpdir(), 'shoal-access-'));
    mkdirSync(join(cwd, 'home/identities'), { recursive: true, mode: 0o700 });
  });
  afterEach(() => rmSync(cwd, { recursive: true }));

  /** One that is asked what a link names, and says this grant; none where it is of a share. */
  function world(
    grant?: Grant | { readonly block: Uint8Array },
    env: Record<string, string> = {},
    isTTY = false,
  ): World {
    const columns = isTTY ? 80 : undefined;
    const [stdout, stderr] = [new Screen(columns), new Screen(columns)];
    const block = grant === undefined ? undefined : 'block' in grant ? grant.block : encodeGrant(grant).bytes;
    const answer = { id: SHARE, ...(block && { grant: { id: 'x', block: Buffer.from(block).toString('base64') } }) };
    return {
      terminal: terminalOf([], { stdout, stderr, env: {} }),
      signal: new AbortController().signal,
      cwd,
      env: { SHOAL_HOME: join(cwd, 'home'), ...env },
      stdin: new Keyboard(isTTY),
      stdout: new PassThrough(),
      stderr,
      performer: { run: (action: string) => Promise.resolve(action === 'resolve' ? answer : undefined) },
    } as unknown as World;
  }

  const linkTo = (grant: Grant): string => `shoal:${encodeGrant(grant).id}@relay.example`;
  const open = (at: World, grant: Grant, flags: AccessFlags = {}): Promise<string> =>
    readLinkOf(at, linkTo(grant), flags);
  const keep = (file: string, content: string | Uint8Array): string => {
    const path = join(cwd, 'home/identities', file);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };

  it('is opened by the identities of the home, and keeps its hints', async () => {
    const grant = await grantTo(theirs, mine);
    keep('a.txt', identityText(quantum, 0));
    keep('b.txt', identityText(mine, 0));
    expect(await open(world(grant), grant)).to.equal(READ_LINK);
  });

  it('is opened by the files that are named, and by nothing else then', async () => {
    const grant = await grantTo(mine);
    keep('b.txt', identityText(mine, 0));
    writeFileSync(join(cwd, 'id'), identityText(theirs, 0), { mode: 0o600 });
    const failure = await failureOf(() => open(world(grant), grant, { identity: ['id'] }));
    expect(failure.code).to.equal('wrong-key');
    expect(failure.message).to.match(/made for age recipients \(age1…\), and none of the identities given is one/);
    writeFileSync(join(cwd, 'id2'), identityText(mine, 0), { mode: 0o644 });
    const at = world(grant);
    expect(await open(at, grant, { identity: ['id', 'id2'] })).to.equal(READ_LINK);
    expect(at.stderr.text).to.match(/others may read the identity file/);
  });

  it('is no grant where it has a key, or is of a share', async () => {
    expect(await readLinkOf(world(), READ_LINK, {})).to.equal(READ_LINK);
    const failure = await failureOf(() => readLinkOf(world(), `shoal:${SHARE}`, {}));
    expect(failure.code).to.equal('key-missing');
  });

  it('is not opened with a block of another grant', async () => {
    const [grant, other] = [await grantTo(mine), await grantTo(mine)];
    keep('b.txt', identityText(mine, 0));
    expect((await failureOf(() => open(world(other), grant))).code).to.equal('mismatch');
  });

  it('says what it was made for where the home has nothing of that kind', async () => {
    const grant = await grantTo(quantum);
    const none = await failureOf(() => open(world(grant), grant));
    expect(none.code).to.equal('wrong-key');
    expect(none.message).to.match(/made for post-quantum age recipients \(age1pq1…\), and this home has no identity/);
  });

  it('is opened in spite of an identity that can not be used, which is named', async () => {
    const grant = await grantTo(mine);
    const path = keep('a.txt', 'damaged');
    keep('b.txt', identityText(mine, 0));
    const at = world(grant);
    expect(await open(at, grant)).to.equal(READ_LINK);
    expect(at.stderr.text).to.include(path);
  });

  it('is opened by an identity that is unlocked with what is given, in bytes or in text', async () => {
    const grant = await grantTo(mine);
    const sealed = await sealedWith('word', identityText(mine, 0));
    for (const content of [sealed, armor.encode(sealed)]) {
      keep('a.age', content);
      expect(await open(world(grant, { SHOAL_PASSPHRASE: 'word' }), grant)).to.equal(READ_LINK);
    }
    const wrong = await failureOf(() => open(world(grant, { SHOAL_PASSPHRASE: 'other' }), grant));
    expect(wrong.message).to.match(/the passphrase given is not that of the identity "a"/);
    const none = await failureOf(() => open(world(grant), grant));
    expect(none.message).to.match(/the passphrase of the identity "a" can be given with --passphrase-file/);
    expect([wrong.code, none.code]).to.deep.equal(['wrong-key', 'wrong-key']);
  });

  it('asks for the passphrase of an identity on a terminal only where no other one fits, three times at most', async () => {
    const grant = await grantTo(mine);
    keep('a.age', await sealedWith('word', identityText(mine, 0)));
    keep('z.age', await sealedWith('word', identityText(quantum, 0)));
    keep('z.pub', quantum.recipient);
    const at = world(grant, {}, true);
    at.stdin.write('one\rtwo\rword\r');
    expect(await open(at, grant)).to.equal(READ_LINK);
    expect(at.stderr.text.match(/passphrase of the identity "a":/g)).to.have.length(3);
    expect(at.stderr.text).not.to.match(/"z"|word/);
    const again = world(grant, {}, true);
    again.stdin.write('one\rtwo\rthree\rword\r');
    expect((await failureOf(() => open(again, grant))).code).to.equal('wrong-key');
    keep('b.txt', identityText(mine, 0));
    expect(await open(world(grant, {}, true), grant)).to.equal(READ_LINK);
  });

  it('is opened by a passphrase that is typed, behind the link where that is typed too', async function () {
    // scrypt as the format has it takes about a second, or two on a busy machine, for each that is tried.
    this.timeout(60_000);
    const grant = await sealGrant(KEY, OUTSIDE, { passphrase: 'word' });
    const at = world(grant, {}, true);
    at.stdin.write(`${linkTo(grant)}\n`);
    const opened = givenLink(at, '-', {});
    at.stdin.once('resume', () => at.stdin.write('wrong\rword\r'));
    expect(await opened).to.equal(READ_LINK);
    expect(at.stderr.text.match(/passphrase of the grant:/g)).to.have.length(2);
    const none = await failureOf(() => open(world(grant), grant));
    expect(none.message).to.match(/it was made for a passphrase, and none is given; give it with --passphrase-file/);
    const wrong = await failureOf(() => open(world(grant, { SHOAL_PASSPHRASE: 'x' }), grant));
    expect([none.code, wrong.code]).to.deep.equal(['wrong-key', 'wrong-key']);
    const both = await failureOf(() => givenLink(world(grant), '-', { passphraseFile: '-' }));
    expect(both.code).to.equal('usage');
  });

  it('is refused as it is where it breaks the format', async () => {
    const block = Uint8Array.of(1, 2, 3);
    const id: BlockId = idOf(sha256(block));
    expect((await failureOf(() => readLinkOf(world({ block }), `shoal:${id}`, {}))).code).to.equal('malformed');
  });
});
