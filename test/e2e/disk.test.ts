/** Disks that are full or read-only, and names that are too long: said clearly, and the same command works once that is mended. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, open, readdir, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox } from './harness.ts';
import { leftovers, makeFile, makePlainTree, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;
const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

describe('a disk', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const mounted = new Set<string>();
  const unmount = (): void => {
    for (const path of mounted) execFileSync('umount', [path]);
    mounted.clear();
  };
  // Mocha runs these before the sandbox's own hooks: what is mounted in a sandbox goes before it.
  afterEach(unmount);
  const sandbox = useSandbox();
  before(function () {
    process.once('exit', unmount);
    if (process.platform !== 'linux' || !isRoot) {
      console.log('    skipped: making small file systems needs Linux and root');
      this.skip();
    }
  });
  after(() => void process.off('exit', unmount));

  const mount = async (path: string, options: string): Promise<string> => {
    if (!mounted.has(path)) {
      await mkdir(path);
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'shoal-test', path]);
      mounted.add(path);
    } else execFileSync('mount', ['-o', `remount,${options}`, path]);
    return path;
  };

  it('that is full ends a fetch, and the same command completes once there is room', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 40 * MIB, 'full');
    const { link } = await box.share('ann', tree);
    const small = await mount(box.path('small'), 'size=24m');
    const full = await box.fetch(link, `${small}/to`);
    expectFailed(full, 1, 'disk-full');
    expect(full.last('error').message).to.match(
      /no space is left on the disk; free some and run the same command again; what was fetched stays in "\.shoal-.*\.part"/,
    );
    expect(await readdir(small)).not.to.include('to');
    await mount(small, 'size=64m');
    const ended = await box.fetch(link, `${small}/to`);
    expectDone(ended);
    expect(ended.last('resumed').bytes).to.be.greaterThan(MIB);
    expect(await treeAt(`${small}/to`)).to.deep.equal(await treeAt(tree));
    expect(await leftovers(small)).to.deep.equal([]);
  });

  it('that is full after a few pieces only keeps those', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 20 * MIB, 'full');
    const { link } = await box.share('ann', tree);
    const small = await mount(box.path('small'), 'size=9m');
    expectFailed(await box.fetch(link, `${small}/to`), 1, 'disk-full');
    await mount(small, 'size=64m');
    const ended = await box.fetch(link, `${small}/to`);
    expectDone(ended);
    expect(ended.last('resumed').bytes).to.be.greaterThan(2 * MIB);
    expect(await treeAt(`${small}/to`)).to.deep.equal(await treeAt(tree));
  });

  it('of the home that is full ends no daemon, and what it fetches can be stopped', async () => {
    const box = sandbox();
    const { link: wanted } = await box.share('bob', await makeFile(box.path('big'), { bytes: noise('big', 24 * MIB) }));
    const home = await mount(box.path('homes', 'ann'), 'size=9m,mode=700');
    const daemon = await box.daemon('ann', ['--max-down', '1 MB/s']);
    const path = await makeFile(box.path('it'), { bytes: noise('it', MIB) });
    const { link = '' } = (await box.run('ann', ['share', path, '--hint', 'self', '--json'])).last('shared');
    const given = await box.run('ann', ['fetch', wanted, '-o', box.path('to'), '--detach', '--json']);
    const { id = '' } = JSON.parse(given.stdout.toString('utf8')) as { id?: string };
    await fill(`${home}/fill`);
    expectDone(await box.fetch(link, box.path('got')));
    await daemon.says(/can not note what was served, and goes on/);
    expectFailed(await box.run('ann', ['transfers', 'cancel', id, '--json']), 1, 'disk-full');
    expect(await leftovers(box.folder), 'what was fetched of it').to.deep.equal([]);
    expectFailed(await box.run('ann', ['fetch', wanted, '-o', box.path('to'), '--detach', '--json']), 1, 'disk-full');
    await rm(`${home}/fill`);
    expectDone(await box.run('ann', ['transfers', 'cancel', id, '--json']));
    const { stdout } = await box.run('ann', ['transfers', '--json']);
    expect(JSON.parse(stdout.toString('utf8'))).to.deep.equal({ transfers: [] });
    expectDone(await box.fetch(link, box.path('again')));
    daemon.kill('SIGTERM');
    await daemon.ended;
  });

  it('that is full while stdin is taken in ends that, and keeps nothing of it', async () => {
    const box = sandbox();
    const small = await mount(box.path('small'), 'size=12m');
    const env = { SHOAL_HOME: `${small}/home` };
    const input = Readable.from([noise('a', 6 * MIB), noise('b', 6 * MIB), noise('c', 6 * MIB)]);
    const full = await box.run('ann', ['share', '-', '--name', 'db.sql', '--json'], { env, stdin: input });
    expectFailed(full, 1, 'disk-full');
    expect(full.last('error').message).to.match(/cannot keep what comes from stdin .*no space is left on the disk/);
    expect(await readdir(`${small}/home/spool`)).to.deep.equal([]);
    const command = box.start('ann', ['share', '-', '--name', 'db.sql', '--json'], { env, stdin: 'less' });
    await command.event('shared');
    await command.interrupt();
  });

  it('that is full ends a fetch to stdout into a file on it', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 5 * MIB) }));
    // The last write finds room for a part of it.
    const small = await mount(box.path('small'), 'size=4600k');
    const before = ['/bin/sh', '-c', `exec "$@" > '${small}/out'`, 'sh'];
    const ended = await box.run('bob', ['fetch', '--quiet', link, '-o', '-'], { before });
    expect(ended.code).to.equal(1);
    expect(ended.stderr).to.match(/^shoal: cannot .*: no space is left on the disk; free some/);
  });

  it('that is full ends a copy, and the same command completes once there is room', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 20 * MIB, 'full');
    const small = await mount(box.path('homes', 'ann'), 'size=9m,mode=700');
    const args = ['share', tree, '--copy', '--json', '--hint', 'self'];
    expectFailed(await box.run('ann', args), 1, 'disk-full');
    await mount(small, 'size=64m');
    const { link, command } = await box.share('ann', tree, ['--copy']);
    expectDone(await box.fetch(link, box.path('to')));
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    await command.interrupt();
  });

  it('that has no room for a seed refuses it before it begins, and the same command completes once there is room', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 20 * MIB, 'full');
    const { link, id } = await box.share('ann', tree);
    const small = await mount(box.path('homes', 'carrier'), 'size=12m,mode=700');
    const full = await box.run('carrier', ['seed', link, '--json']);
    expectFailed(full, 1, 'disk-full');
    expect(full.last('error').message).to.match(/no space is left on the disk; free some and run the same command/);
    expect(full.told.filter(({ event }) => event === 'opened' || event === 'progress')).to.deep.equal([]);
    expect(await readdir(`${small}/blocks`)).to.deep.equal([]);
    await mount(small, 'size=64m');
    const seeding = box.start('carrier', ['seed', link, '--json']);
    expect((await seeding.event('seeding')).id).to.equal(id);
    await seeding.interrupt();
    expectDone(await box.run('carrier', ['forget', id, '--json']));
    expect(await readdir(`${small}/blocks`)).to.deep.equal([]);
  });

  it('that fills up during a seed ends it, and the same command goes on once there is room', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 20 * MIB, 'full');
    const { link } = await box.share('ann', tree);
    const small = await mount(box.path('homes', 'carrier'), 'size=64m,mode=700');
    const seeding = box.start('carrier', ['seed', link, '--json', '--max-down', '4 MB/s']);
    await seeding.event('progress', ({ doneBytes = 0 }) => doneBytes > 2 * MIB);
    await fill(`${small}/fill`);
    const full = await seeding.ended;
    expectFailed(full, 1, 'disk-full');
    expect(full.last('error').message).to.match(/no space is left on the disk/);
    await rm(`${small}/fill`);
    const again = box.start('carrier', ['seed', link, '--json']);
    await again.event('seeding');
    expect((await again.event('resumed')).bytes).to.be.greaterThan(MIB);
    await again.interrupt();
  });

  it('that has no room for a home at all is named', async () => {
    const box = sandbox();
    const small = await mount(box.path('homes', 'ann'), 'size=4k,mode=700');
    await makeFile(`${small}/filler`, { bytes: noise('filler', 4096) }).catch(() => undefined);
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    const ended = await box.run('ann', ['share', path, '--json']);
    expectFailed(ended, 1, 'disk-full');
    expect(ended.last('error').message).to.include(small);
  });

  it('that is full leaves the configuration file as it was', async () => {
    const box = sandbox();
    const small = await mount(box.path('homes', 'ann'), 'size=64k,mode=700');
    expectDone(await box.run('ann', ['config', 'set', 'network.port', '4001', '--json']));
    const before = await treeAt(small);
    await makeFile(`${small}/filler`, { bytes: noise('filler', 64 * 1024) }).catch(() => undefined);
    expectFailed(await box.run('ann', ['config', 'set', 'network.port', '4002', '--json']), 1, 'disk-full');
    const { ['./filler']: filler, ...rest } = await treeAt(small);
    expect(filler).not.to.equal(undefined);
    expect(rest).to.deep.equal(before);
  });

  it('that is read-only, or a folder that may not be written to, is named', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 5000) }));
    const frozen = await mount(box.path('frozen'), 'size=1m,ro');
    const readOnly = await box.fetch(link, `${frozen}/it`);
    expectFailed(readOnly, 1, 'denied');
    expect(readOnly.last('error').message).to.match(/the file system is read-only; choose another place/);

    await box.giveTo(NOBODY);
    const closed = box.path('closed');
    await mkdir(closed);
    await chown(closed, NOBODY, NOBODY);
    await chmod(closed, 0o555);
    const denied = await box.run('bob', ['fetch', link, '-o', `${closed}/it`, '--json'], { uid: NOBODY });
    expectFailed(denied, 1, 'denied');
    expect(denied.last('error').message).to.match(/permission denied; choose another place or change its permissions/);
    expect(await readdir(closed)).to.deep.equal([]);
  });

  it('that can not hold a name says so', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 5000) }));
    const ended = await box.fetch(link, box.path('n'.repeat(256)));
    expectFailed(ended, 1, 'bad-name');
    expect(ended.last('error').message).to.match(/the name is too long for this file system; choose a shorter one/);
    expectDone(await box.fetch(link, box.path('n'.repeat(255))));
    expect(await readdir(box.folder)).to.include('n'.repeat(255));
  });
});

/** Writes until no byte is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const bytes of [64 * 1024, 1]) {
      while (await wasWritten(file.write(new Uint8Array(bytes))));
    }
  } finally {
    await file.close();
  }
}

async function wasWritten(writing: Promise<unknown>): Promise<boolean> {
  try {
    await writing;
    return true;
  } catch (error) {
    expect(error).to.include({ code: 'ENOSPC' });
    return false;
  }
}
