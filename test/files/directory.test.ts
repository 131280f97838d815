import { execFileSync } from 'node:child_process';
import { link, lstat, mkdir, mkdtemp, readdir, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDirectory } from '../../src/files/directory.ts';
import type { Directory } from '../../src/ports.ts';
import { directoryContract, failsWith } from '../contract/directory.ts';
import { Forgetful } from '../sim/forgetful.ts';

for (const byHandle of [true, false]) {
  const how = byHandle ? 'a folder on disk' : 'a folder on disk held by its path';
  if (byHandle && process.platform !== 'linux') continue;
  directoryContract(how, async () => {
    const path = await realpath(await mkdtemp(join(tmpdir(), 'shoal-directory-')));
    const before = await openDescriptors();
    const root = await openDirectory(path, { byHandle });
    return {
      root,
      plantLink: (at, target) => symlink(target, join(path, at)),
      plantHardLink: (at, existing) => link(join(path, existing), join(path, at)),
      plantPipe: async at => void execFileSync('mkfifo', [join(path, at)]),
      close: async () => {
        await root.close();
        await rm(path, { recursive: true });
        expect(await openDescriptors(), 'open descriptors').to.equal(before);
      },
    };
  });
}

directoryContract('the forgetful twin', async () => {
  const disk = new Forgetful();
  const root = disk.root();
  return {
    root,
    plantLink: async at => disk.plant(at, 'link'),
    plantHardLink: async (at, existing) => disk.plant(at, { hardLinkTo: existing }),
    plantPipe: async at => disk.plant(at, 'other'),
    close: async () => {
      await root.close();
      expect(disk.open, 'open files and folders').to.equal(0);
    },
  };
});

/** Descriptors of this process, where the system tells. */
async function openDescriptors(): Promise<number> {
  if (process.platform !== 'linux') return 0;
  return (await readdir('/proc/self/fd')).length;
}

describe('A folder on disk', () => {
  let path: string;
  let root: Directory;

  beforeEach(async () => {
    path = await realpath(await mkdtemp(join(tmpdir(), 'shoal-directory-')));
    root = await openDirectory(path);
  });
  afterEach(async () => {
    await root.close();
    await rm(path, { recursive: true });
  });

  it('may itself be reached through links', async () => {
    await mkdir(join(path, 'd'));
    await symlink('d', join(path, 'l'));
    const found = await openDirectory(join(path, 'l'));
    await (await found.create('f')).close();
    await found.close();
    expect(await readdir(join(path, 'd'))).to.deep.equal(['f']);
  });

  it('must exist and be a folder', async () => {
    await writeFile(join(path, 'f'), '');
    await failsWith('io', openDirectory(join(path, 'nothing')));
    await failsWith('io', openDirectory(join(path, 'f')));
  });

  it('makes private folders private, and others as the umask has it', async function () {
    if (process.platform === 'win32') this.skip();
    const umask = process.umask(0o022);
    try {
      await root.make('private');
      await root.make('shared', { shared: true });
      await (await root.create('f')).close();
      const file = await root.create('run');
      await file.setAttributes({ executable: true, modifiedSeconds: 1_000_000_000 });
      await file.close();
    } finally {
      process.umask(umask);
    }
    const modes = await Promise.all(
      ['private', 'shared', 'f', 'run'].map(async name => (await lstat(join(path, name))).mode & 0o777),
    );
    expect(modes).to.deep.equal([0o700, 0o755, 0o644, 0o755]);
    expect((await lstat(join(path, 'run'))).mtimeMs).to.equal(1e12);
  });

  it('goes on in a folder that was replaced by a link, not behind the link', async function () {
    if (process.platform !== 'linux') this.skip();
    await mkdir(join(path, 'outside'));
    await root.make('d');
    const d = await root.enter('d');
    await rename(join(path, 'd'), join(path, 'was'));
    await symlink('outside', join(path, 'd'));
    await (await d.create('f')).close();
    await d.close();
    expect(await readdir(join(path, 'outside'))).to.deep.equal([]);
    expect(await readdir(join(path, 'was'))).to.deep.equal(['f']);
  });

  it('refuses files and folders of others', async function () {
    if (process.getuid?.() !== 0) this.skip();
    await writeFile(join(path, 'f'), '');
    await mkdir(join(path, 'd'));
    execFileSync('chown', ['1234', join(path, 'f'), join(path, 'd')]);
    await failsWith('denied', root.open('f', 'read'));
    await failsWith('denied', root.enter('d'));
    expect(await root.stat('f')).to.include({ ours: false });
  });

  it('removes names that are not UTF-8', async function () {
    if (process.platform !== 'linux') this.skip();
    await mkdir(join(path, 'd'));
    const odd = Buffer.concat([Buffer.from(join(path, 'd') + '/'), Buffer.from([0xff, 0xfe])]);
    await mkdir(odd);
    await writeFile(Buffer.concat([odd, Buffer.from('/'), Buffer.from([0xe4])]), 'x');
    await root.remove('d');
    expect(await readdir(path)).to.deep.equal([]);
  });

  it('makes everything durable also where there is no sync program', async () => {
    for (let i = 0; i < 20; i++) await (await root.create(`f${i}`)).close();
    const before = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      await root.syncAll();
    } finally {
      process.env['PATH'] = before;
    }
  });

  it('says that a disk is full, and that one is read-only', async function () {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) this.skip();
    const mounted = join(path, 'small');
    await mkdir(mounted);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'shoal-test', mounted], { stdio: 'ignore' });
    } catch {
      this.skip();
    }
    try {
      const small = await openDirectory(mounted);
      const file = await small.create('f');
      await failsWith('disk-full', file.write(new Uint8Array(1 << 20), 0));
      await file.close();
      execFileSync('mount', ['-o', 'remount,ro', mounted]);
      await failsWith('denied', small.create('g'));
      await failsWith('denied', small.remove('f'));
      await small.close();
    } finally {
      execFileSync('umount', [mounted]);
    }
  });

  it('says that a name is too long', async () => {
    await failsWith('bad-name', root.create('x'.repeat(300)));
  });
});

describe('The forgetful twin', () => {
  it('loses what was not made durable, and nothing else', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const file = await root.create('f');
    await file.write(new Uint8Array([1]), 0);
    await root.sync();
    await root.create('g').then(g => g.close());
    expect([...disk.crash('least').contents()]).to.deep.equal([['f', new Uint8Array(0)]]);
    expect([...disk.crash('most').contents().keys()]).to.deep.equal(['f', 'g']);
    await file.sync();
    expect(disk.crash('least').contents().get('f')).to.deep.equal(new Uint8Array([1]));
    await root.move('f', root, 'h');
    const seen = new Set(
      Array.from({ length: 50 }, (_, seed) => [...disk.crash(seed).contents().keys()].sort().join()),
    );
    expect([...seen].sort()).to.deep.equal(['f', 'f,g', 'f,g,h', 'f,h', 'g,h', 'h']);
    await file.close();
  });

  it('stops at the operation it was told, before or after its effect', async () => {
    for (const when of ['before', 'after'] as const) {
      const disk = new Forgetful();
      const root = disk.root();
      await root.make('a');
      disk.crashAfter(2, when);
      await root.make('b');
      const error: unknown = await root.make('c').catch((reason: unknown) => reason);
      expect((error as Error).name).to.equal('Crash');
      const listed: unknown = await root.list().catch((reason: unknown) => reason);
      expect((listed as Error).name).to.equal('Crash');
      expect([...disk.crash('most').contents().keys()]).to.deep.equal(
        when === 'after' ? ['a/', 'b/', 'c/'] : ['a/', 'b/'],
      );
    }
  });
});
