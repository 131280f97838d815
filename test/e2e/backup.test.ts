/** Homes that are lost, and made again from their backups. */
import { expect } from 'chai';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../../src/files/sqlite.ts';
import { ABOUT, aboutText, CATALOG, SECRET } from '../../src/format/backup.ts';
import { sealBackup } from '../../src/format/backup-seal.ts';
import { TAR_END, tarHeader, tarPadding } from '../../src/format/tar.ts';
import {
  expectDone,
  expectFailed,
  PROGRAM,
  TEST_TIMEOUT_MS,
  through,
  useSandbox,
  type Ended,
  type Sandbox,
  type StartOptions,
} from './harness.ts';
import { useLines } from './line.ts';
import { Relay } from './relays.ts';
import { hasScreens, useScreens } from './screen.ts';
import { leftovers, makeFile, makePlainTree, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;
const PASSPHRASE = 'a passphrase of the tests';
const KNOWN: StartOptions = { env: { SHOAL_PASSPHRASE: PASSPHRASE } };
const PRELOAD = new URL('kill-before.ts', import.meta.url).href;
const isRoot = process.geteuid?.() === 0;

describe('A backup', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const mounted = new Set<string>();
  // Mocha runs this before the sandbox's own hooks: what is mounted in a sandbox goes before it.
  afterEach(() => {
    for (const path of mounted) execFileSync('umount', [path]);
    mounted.clear();
  });
  const screenOf = useScreens(() => sandbox());
  const sandbox = useSandbox();
  const lineTo = useLines();

  /** One for recipients, which takes no time to open, unlike one for a passphrase. */
  interface Sealed {
    readonly file: string;
    /** What opens it. */
    readonly opening: readonly string[];
  }

  async function backUp(box: Sandbox, home: string, name = 'backup.age'): Promise<Sealed> {
    const identity = await generateIdentity();
    await writeFile(box.path('identity'), `# mine\n${identity}\n`);
    const to = await identityToRecipient(identity);
    const ended = await box.run(home, ['backup', box.path(name), '--to', to, '--json']);
    expectDone(ended);
    return { file: box.path(name), opening: ['--identity', box.path('identity')] };
  }

  const restore = (box: Sandbox, home: string, { file, opening }: Sealed, options?: StartOptions): Promise<Ended> =>
    box.run(home, ['restore', file, ...opening, '--json'], options);

  const lose = (box: Sandbox, home: string): Promise<void> => rm(box.home(home), { recursive: true });

  it('brings back a home that was lost, which renews and withdraws what that one shared, by its peer id and links', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one', { config: 'tiers.anonymous.lease_time = "30s"' });
    const tree = await makePlainTree(box.path('from'), 3 * MIB, 'backup');
    const expected = await treeAt(tree);
    expectDone(await box.run('ann', ['relays', 'add', relay.origin, '--json']));
    const daemon = await box.daemon('ann');
    const shared = await box.run('ann', ['share', tree, '--detach', '--wait-copies', '1', '--json']);
    const { link = '' } = shared.last('shared');
    const { peer } = (await box.run('ann', ['status', '--json'])).told[0] ?? {};
    const sealed = await backUp(box, 'ann');
    const [before] = await copiesIn(box, 'ann');
    await daemon.destroy();
    await lose(box, 'ann');

    const ended = await restore(box, 'ann', sealed);
    expectDone(ended);
    expect(ended.told[0]).to.include({ path: box.home('ann'), shares: 1, missing: 0 });
    const again = await box.daemon('ann');
    expect((await box.run('ann', ['status', '--json'])).told[0]?.peer).to.equal(peer);
    // By the same link, from the files alone: the relay does not run for this.
    const { link: direct = '' } = (await box.run('ann', ['share', tree, '--detach', '--hint', 'self', '--json'])).last(
      'shared',
    );
    expect(direct.split('@')[0]).to.equal(link.split('@')[0]);
    await relay.kill();
    expectDone(await box.fetch(direct, box.path('to')));
    expect(await treeAt(box.path('to'))).to.deep.equal(expected);

    await relay.again();
    const later = await renewed(box, 'ann', before?.until ?? 0);
    expect(later).to.be.greaterThan(before?.until ?? Infinity);
    const withdrawn = await box.run('ann', ['withdraw', link, '--yes', '--json']);
    expectDone(withdrawn);
    const { notices } = withdrawn.last('done') as unknown as { notices: { peer: string; state: string }[] };
    expect(notices.map(({ peer: told, state }) => [told, state])).to.deep.equal([[relay.peer, 'obeyed']]);
    const refused = await box.fetch(link, box.path('no'));
    expectFailed(refused, 5, 'refused');
    expect(await treeAt(tree), 'the files are as they were').to.deep.equal(expected);
    await again.interrupt();
  });

  it('has the settings and identities of the home, for its user only', async () => {
    const box = sandbox();
    await box.run('ann', ['relays', 'list']);
    const { command } = await box.share('ann', await makeFile(box.path('it')));
    await command.interrupt();
    await writeFile(join(box.home('ann'), 'config.toml'), 'network.mdns = false\n');
    await mkdir(join(box.home('ann'), 'identities'), { mode: 0o700 });
    await writeFile(join(box.home('ann'), 'identities', 'me.txt'), 'AGE-SECRET-KEY-1\n', { mode: 0o600 });
    const sealed = await backUp(box, 'ann');
    expect((await stat(sealed.file)).mode & 0o777).to.equal(0o600);
    await rename(box.home('ann'), box.path('old'));
    expectDone(await restore(box, 'ann', sealed));
    expect(await readFile(join(box.home('ann'), 'config.toml'), 'utf8')).to.equal('network.mdns = false\n');
    expect(await readFile(join(box.home('ann'), 'identities', 'me.txt'), 'utf8')).to.equal('AGE-SECRET-KEY-1\n');
    for (const entry of await readdir(box.home('ann'), { recursive: true, withFileTypes: true })) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      expect(mode & 0o777, entry.name).to.equal(entry.isDirectory() ? 0o700 : 0o600);
    }
    expect(await readFile(join(box.home('ann'), 'secret'))).to.deep.equal(await readFile(box.path('old', 'secret')));
  });

  it('tells what is not in it, and the restored home says how to get that again', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const path = await makeFile(box.path('it'), { bytes: noise('copy', 2 * MIB) });
    const args = ['share', path, '--copy', '--relay', relay.origin, '--wait-copies', '1', '--json'];
    const { link = '', id = '' } = (await box.run('ann', args)).last('shared');
    const sealed = await backUp(box, 'ann');
    const told = await box.run('ann', ['backup', box.path('other'), '--to', await toIdentity(box)]);
    expect(told.stderr).to.match(/not in it: the data of 1 share that this home keeps itself, 2\.1 MB/);
    await lose(box, 'ann');
    const ended = await restore(box, 'ann', sealed);
    expect(ended.told[0]).to.include({ shares: 1, missing: 1 });
    const [listed] = (await box.run('ann', ['shares', '--json'])).told[0]?.shares ?? [];
    expect(listed).to.include({ id, state: 'missing' });
    expect(listed?.detail).to.match(/not in this home; "shoal seed LINK"/);
    const seeding = box.start('ann', ['seed', link, '--json']);
    await seeding.event('seeding');
    await seeding.interrupt();
    const [again] = (await box.run('ann', ['shares', '--json'])).told[0]?.shares ?? [];
    expect(again).to.include({ id, state: 'idle' });
  });

  it('is made while a daemon writes, and is of one moment', async () => {
    const box = sandbox();
    await box.daemon('ann');
    const files = await Promise.all(Array.from({ length: 12 }, (_, n) => makeFile(box.path(`file ${n}`))));
    const sharing = (async (): Promise<void> => {
      for (const file of files) expectDone(await box.run('ann', ['share', file, '--detach', '--json']));
    })();
    const counts: number[] = [];
    for (let n = 0; n < 3; n++) {
      const sealed = await backUp(box, 'ann', `backup ${n}`);
      const ended = await restore(box, `ann ${n}`, sealed);
      expectDone(ended);
      const { shares = [] } = (await box.run(`ann ${n}`, ['shares', '--json'])).told[0] ?? {};
      expect(shares.every(({ state }) => state === 'idle')).to.equal(true);
      counts.push(shares.length);
    }
    await sharing;
    expect(counts).to.deep.equal([...counts].sort((a, b) => a - b));
    const { shares = [] } = (await box.run('ann', ['shares', '--json'])).told[0] ?? {};
    expect(shares).to.have.lengthOf(12);
    expect(await leftovers(box.home('ann'))).to.deep.equal([]);
  });

  it('with a passphrase shows one that it made once, and opens with that alone', async () => {
    const box = sandbox();
    const { command } = await box.share('ann', await makeFile(box.path('it')));
    const made = await box.run('ann', ['backup', box.path('backup')]);
    const [, passphrase = ''] = /is ((?:[a-z]{5}-){4}[a-z]{5}) {2}/.exec(made.stderr) ?? [];
    expect(passphrase, made.stderr).not.to.equal('');
    await command.interrupt();
    const args = ['restore', box.path('backup'), '--json'];
    expectFailed(await box.run('bob', args), 2, 'usage');
    expectFailed(await box.run('bob', args, KNOWN), 4, 'wrong-key');
    expect(await readdir(box.path('homes'))).to.deep.equal(['ann']);
    await writeFile(box.path('words'), `${passphrase}\n`);
    expectDone(await box.run('bob', [...args, '--passphrase-file', box.path('words')]));
    expect((await readdir(box.path('homes'))).sort()).to.deep.equal(['ann', 'bob']);
  });

  it('goes through pipes', async () => {
    const box = sandbox();
    const { command, id } = await box.share('ann', await makeFile(box.path('it')));
    const made = await box.run('ann', ['backup', '-'], KNOWN);
    expect(made.code, made.stderr).to.equal(0);
    await command.interrupt();
    await writeFile(box.path('backup'), made.stdout);
    const program = `'${process.execPath}' '${PROGRAM}'`;
    const piped = await box.run('bob', ['-c', `${program} restore - --json < backup`], { ...KNOWN, program: ['bash'] });
    expect(piped.code, piped.stderr).to.equal(0);
    expect((await box.run('bob', ['shares', '--json'])).told[0]?.shares?.[0]?.id).to.equal(id);
  });

  it('that is cut short, changed or something else restores nothing', async () => {
    const box = sandbox();
    const { command } = await box.share('ann', await makeFile(box.path('it')));
    const sealed = await backUp(box, 'ann');
    await command.interrupt();
    const whole = await readFile(sealed.file);
    const broken: [content: Buffer, error: string][] = [
      [whole.subarray(0, whole.length - 1), 'corrupt'],
      [whole.subarray(0, 70_000), 'corrupt'],
      [whole.subarray(0, 100), 'malformed'],
      [Buffer.alloc(0), 'malformed'],
      [flipped(whole, 90_000), 'corrupt'],
      [flipped(whole, whole.length - 1), 'corrupt'],
    ];
    for (const [n, [content, error]] of broken.entries()) {
      await writeFile(box.path('broken'), content);
      const ended = await restore(box, 'bob', { ...sealed, file: box.path('broken') });
      expect([n, ended.last('error').code]).to.deep.equal([n, error]);
      expect(await readdir(box.path('homes'))).to.deep.equal(['ann']);
    }
  });

  it("of somebody else does not open with the passphrase of one's own", async () => {
    const box = sandbox();
    const { command } = await box.share('eve', await makeFile(box.path('it')));
    await command.interrupt();
    const other = { env: { SHOAL_PASSPHRASE: 'another passphrase of the tests' } };
    expectDone(await box.run('eve', ['backup', box.path('hers'), '--json'], other));
    const sealed = await backUp(box, 'eve');
    expectFailed(await box.run('ann', ['restore', box.path('hers'), '--json'], KNOWN), 4, 'wrong-key');
    expectFailed(await box.run('ann', ['restore', sealed.file, '--json'], KNOWN), 2, 'usage');
    expect(await readdir(box.path('homes'))).to.deep.equal(['eve']);
  });

  it('has what was being fetched wait, and takes from it the leave to overwrite', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('from', 'it'), { bytes: noise('theirs', 12 * MIB) });
    const { link } = await box.share('ann', path);
    const line = await lineTo(link);
    const held = line.holdAfter(5 * MIB);
    const to = await makeFile(box.path('to'), { bytes: Buffer.from('mine') });
    const daemon = await box.daemon('bob');
    const args = ['fetch', through(link, line.port), '-o', to, '--force', '--detach', '--json'];
    expectDone(await box.run('bob', args));
    await held;
    const sealed = await backUp(box, 'bob');
    await daemon.destroy();
    line.cut();
    line.release();

    const ended = await restore(box, 'dora', sealed);
    expectDone(ended);
    expect(ended.told[0]).to.include({ shares: 0, waiting: 1 });
    const told = await box.run('cleo', ['restore', sealed.file, ...sealed.opening]);
    expect(told.stderr).to.include('1 transfer waits: "shoal transfers resume ID" goes on');
    await box.daemon('dora');
    const transfer = async (): Promise<Partial<Record<string, unknown>>> => {
      const [one] = (await box.run('dora', ['transfers', '--json'])).told[0]?.transfers ?? [];
      return { ...one };
    };
    const { id, state } = await transfer();
    expect(state).to.equal('paused');
    expectDone(await box.run('dora', ['transfers', 'resume', String(id), '--json']));
    let now = await transfer();
    for (; now['state'] !== 'failed' && now['state'] !== 'done'; now = await transfer()) await sleep(50);
    expect(now['detail']).to.include('something else is there already');
    expect(await readFile(to, 'utf8')).to.equal('mine');
  });

  it('with a catalog that is none restores nothing, and ends', async () => {
    const box = sandbox();
    const { command } = await box.share('eve', await makeFile(box.path('it')));
    await command.interrupt();
    const identity = await generateIdentity();
    await writeFile(box.path('identity'), `${identity}\n`);
    const database = openDatabase(join(box.home('eve'), CATALOG));
    database.exec(`PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = OFF; DROP TABLE shares; CREATE VIEW shares AS
      WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS id, x AS created_at FROM n`);
    database.close();
    const secret = await readFile(join(box.home('eve'), SECRET));
    const endless = await readFile(join(box.home('eve'), CATALOG));
    for (const [catalog, why] of [
      [endless, 'its catalog has other tables than shoal makes'],
      [Buffer.alloc(0), 'its catalog is empty, or none'],
    ] as const) {
      const parts = [
        [ABOUT, Buffer.from(aboutText('a test'))],
        [SECRET, secret],
        [CATALOG, catalog],
      ] as const;
      await writeFile(box.path('forged'), await forged(parts, await identityToRecipient(identity)));
      const opening = ['--identity', box.path('identity')];
      const ended = await restore(box, 'ann', { file: box.path('forged'), opening });
      expectFailed(ended, 1, 'malformed');
      expect(ended.last('error').message).to.include(why);
      expect(await readdir(box.path('homes'))).to.deep.equal(['eve']);
    }
  });

  it('is restored where nothing is, and nowhere else', async () => {
    const box = sandbox();
    const { command } = await box.share('ann', await makeFile(box.path('it')));
    const sealed = await backUp(box, 'ann');
    await command.interrupt();
    const before = await treeAt(box.home('ann'));
    expectFailed(await restore(box, 'ann', sealed), 1, 'exists');
    expect(await treeAt(box.home('ann'))).to.deep.equal(before);
    await writeFile(box.home('file'), '');
    expectFailed(await restore(box, 'file', sealed), 1, 'io');
    await mkdir(box.home('empty'));
    expectDone(await restore(box, 'empty', sealed));
    await mkdir(box.path('elsewhere'));
    await symlink(box.path('elsewhere'), box.home('led'));
    expectDone(await restore(box, 'led', sealed));
    expect(await readdir(box.path('elsewhere'))).to.include('secret');
    expectDone(await restore(box, 'deep/below', sealed));
  });

  it('is not written over anything, nor into the home, nor through a link', async () => {
    const box = sandbox();
    const { command } = await box.share('ann', await makeFile(box.path('it')));
    await command.interrupt();
    const to = await toIdentity(box);
    const run = (path: string, ...more: string[]): Promise<Ended> =>
      box.run('ann', ['backup', path, '--to', to, '--json', ...more]);
    await writeFile(box.path('mine'), 'mine');
    await symlink(box.path('mine'), box.path('link'));
    expectFailed(await run(box.path('mine')), 1, 'exists');
    expectFailed(await run(box.path('link')), 1, 'exists');
    for (const path of [box.home('ann'), join(box.home('ann'), 'secret'), join(box.home('ann'), 'new')])
      expectFailed(await run(path, '--force'), 2, 'usage');
    await symlink(box.home('ann'), box.path('way'));
    expectFailed(await run(box.path('way', 'secret'), '--force'), 2, 'usage');
    expectDone(await run(box.path('link'), '--force'));
    expect(await readFile(box.path('mine'), 'utf8')).to.equal('mine');
    expectFailed(await box.run('nobody', ['backup', box.path('none'), '--to', to, '--json']), 2, 'usage');
    expect(await readdir(box.path('homes'))).to.deep.equal(['ann']);
  });

  it('has a place on the disk, or leaves nothing', async function () {
    if (process.platform !== 'linux' || !isRoot) this.skip();
    const box = sandbox();
    const { command } = await box.share('ann', await makePlainTree(box.path('from'), MIB, 'full'));
    const sealed = await backUp(box, 'ann');
    await command.interrupt();
    const small = box.path('small');
    await mkdir(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'shoal-test', small]);
    mounted.add(small);
    const made = await box.run('ann', ['backup', join(small, 'backup'), '--to', await toIdentity(box), '--json']);
    expectFailed(made, 1, 'disk-full');
    expect(await readdir(small)).to.deep.equal([]);
    const options = { env: { SHOAL_HOME: join(small, 'home') } };
    expectFailed(await restore(box, 'small', sealed, options), 1, 'disk-full');
    expect(await readdir(small)).to.deep.equal([]);
    execFileSync('mount', ['-o', 'remount,size=16m', small]);
    expectDone(await restore(box, 'small', sealed, options));
    expect(await readdir(small)).to.deep.equal(['home']);
  });

  it('restores all or nothing, whenever it is killed, and so is made', async function () {
    this.timeout(4 * TEST_TIMEOUT_MS);
    const box = sandbox();
    const { command, id } = await box.share('ann', await makeFile(box.path('it')));
    await command.interrupt();
    const sealed = await backUp(box, 'ann');
    const calls = await callsOf(box, options => restore(box, 'counted', sealed, options));
    expect(calls).to.be.greaterThan(20);
    for (let n = 1; n <= calls; n += 3) {
      const ended = await restore(box, 'bob', sealed, killing(n));
      const isThere = (await readdir(box.path('homes'))).includes('bob');
      if (!isThere) {
        expect(ended.code, `call ${n}`).to.equal(null);
        expectDone(await restore(box, 'bob', sealed));
      }
      expect((await box.run('bob', ['shares', '--json'])).told[0]?.shares?.[0]?.id, `call ${n}`).to.equal(id);
      await lose(box, 'bob');
      // What one that was killed behind its last step has left, the next one takes away.
      expectDone(await restore(box, 'bob', sealed));
      expect(await leftovers(box.path('homes')), `call ${n}`).to.deep.equal([]);
      await lose(box, 'bob');
    }
    const to = await toIdentity(box);
    const run = (options?: StartOptions): Promise<Ended> =>
      box.run('ann', ['backup', box.path('again'), '--to', to, '--json', '--force'], options);
    const making = await callsOf(box, run);
    for (let n = 2; n <= making; n += 7) {
      await rm(box.path('again'), { force: true });
      await run(killing(n));
      if ((await readdir(box.folder)).includes('again')) {
        await cp(box.path('again'), box.path('cut'));
        expectDone(await restore(box, 'bob', { ...sealed, file: box.path('cut') }));
        await lose(box, 'bob');
      }
      expectDone(await run());
      expect([...(await leftovers(box.folder)), ...(await leftovers(box.home('ann')))], `call ${n}`).to.deep.equal([]);
    }
  });

  it('asks for a passphrase on a terminal, and never shows it', async function () {
    if (!hasScreens) this.skip();
    const box = sandbox();
    const { command } = await box.share('ann', await makeFile(box.path('it')));
    await command.interrupt();
    const screen = await screenOf('ann', 100);
    await screen.enter('shoal backup backup --passphrase=ask');
    await screen.until(rows => rows.at(-1) === 'new passphrase:', 'the question');
    await screen.enter(PASSPHRASE);
    await screen.until(rows => rows.at(-1) === 'once more:', 'the second question');
    await screen.type('x');
    await screen.press('BSpace');
    await screen.enter(PASSPHRASE);
    const rows = await screen.until(found => found.at(-1) === '$', 'the end');
    expect(rows.join('\n')).not.to.include('passphrase of');
    await screen.enter('clear; SHOAL_HOME=$PWD/new shoal restore backup');
    await screen.until(found => found.at(-1) === 'passphrase of the backup:', 'the question');
    await screen.type('half of');
    await screen.press('C-c');
    await screen.until(found => found.at(-1) === '$', 'a prompt');
    // The terminal shows what is typed again.
    await screen.enter('echo typed');
    await screen.until(found => found.at(-3)?.includes('echo typed') === true && found.at(-2) === 'typed', 'an echo');
    await screen.enter('clear; SHOAL_HOME=$PWD/new shoal restore backup');
    await screen.until(found => found.at(-1) === 'passphrase of the backup:', 'the question');
    await screen.enter(PASSPHRASE);
    await screen.until(found => found.some(row => row.startsWith('restored 1 share')), 'that it is restored');
    await screen.until(found => found.at(-1) === '$', 'the end');
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** A backup as anyone can make it who knows a recipient. */
async function forged(parts: readonly (readonly [name: string, content: Buffer])[], to: string): Promise<Buffer> {
  async function* tar(): AsyncGenerator<Uint8Array> {
    for (const [name, content] of parts) {
      yield tarHeader(name, content.length, 0);
      yield content;
      yield tarPadding(content.length);
    }
    yield TAR_END;
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of await sealBackup(tar(), { recipients: [to] })) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function toIdentity(box: Sandbox): Promise<string> {
  const identity = await readFile(box.path('identity'), 'utf8').catch(() => '');
  return await identityToRecipient(/AGE-SECRET-KEY-1\S+/.exec(identity)?.[0] ?? (await generateIdentity()));
}

interface Copy {
  readonly until?: number;
  readonly state?: string;
}

async function copiesIn(box: Sandbox, home: string): Promise<readonly Copy[]> {
  const { shares = [] } = (await box.run(home, ['shares', '--json'])).told[0] ?? {};
  return (shares[0]?.copies ?? []) as readonly Copy[];
}

/** When the first copy's lease ends, once that is later than `before`. The lease is renewed at half its time. */
async function renewed(box: Sandbox, home: string, before: number): Promise<number> {
  for (;;) {
    const [copy] = await copiesIn(box, home);
    if (copy?.until !== undefined && copy.until > before && copy.state === 'stored') return copy.until;
  }
}

function killing(n: number, log?: string): StartOptions {
  const env = { NODE_OPTIONS: `--import=${PRELOAD} --disable-warning=ExperimentalWarning`, KILL_BEFORE: String(n) };
  return { env: log === undefined ? env : { ...env, KILL_LOG: log } };
}

/** How many calls of a command change files. */
async function callsOf(box: Sandbox, run: (options: StartOptions) => Promise<Ended>): Promise<number> {
  const log = box.path('calls');
  await rm(log, { force: true });
  expectDone(await run(killing(1_000_000, log)));
  return (await readFile(log, 'utf8')).trimEnd().split('\n').length;
}
