import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { lock } from '../../src/files/lock.ts';
import { failsWith } from '../contract/directory.ts';

describe('A lock on a file', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-lock-'));
    path = join(folder, 'lock');
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
    await rm(folder, { recursive: true });
  });

  it('is held by one at a time, and leaves no other file', async () => {
    const first = await lock(path);
    expect(first).not.to.equal(undefined);
    expect(await lock(path)).to.equal(undefined);
    expect(await lock(path)).to.equal(undefined);
    expect(await readdir(folder)).to.deep.equal(['lock']);
    first?.release();
    first?.release();
    const second = await lock(path);
    expect(second).not.to.equal(undefined);
    second?.release();
    expect(await readdir(folder)).to.deep.equal(['lock']);
  });

  it('is held against other processes until the holder is killed', async () => {
    const holder = await lockElsewhere(path);
    expect(holder.said).to.equal('locked\n');
    expect(await lock(path)).to.equal(undefined);
    expect((await lockElsewhere(path)).said).to.equal('taken\n');
    holder.child.kill('SIGKILL');
    await once(holder.child, 'exit');
    const ours = await lock(path);
    expect(ours).not.to.equal(undefined);
    expect((await lockElsewhere(path)).said).to.equal('taken\n');
    ours?.release();
  });

  it('shows no warning', async () => {
    const holder = await lockElsewhere(path);
    holder.child.kill();
    await once(holder.child, 'close');
    expect(holder.complaints()).to.equal('');
  });

  it('follows no link, and makes nothing where one leads', async () => {
    await symlink(join(folder, 'elsewhere'), path);
    await failsWith('denied', lock(path));
    expect(await readdir(folder)).to.deep.equal(['lock']);
    await rm(path);
    await writeFile(join(folder, 'elsewhere'), '');
    await link(join(folder, 'elsewhere'), path);
    await failsWith('denied', lock(path));
  });

  it('says what is wrong when it can not be taken', async () => {
    await failsWith('io', lock(join(folder, 'missing', 'lock')));
    await writeFile(path, 'no database at all, and long enough to be looked at as one'.repeat(50));
    await failsWith('io', lock(path));
  });
});

/** Processes that may still hold a lock. */
const children = new Set<ChildProcess>();

interface Elsewhere {
  readonly child: ChildProcess;
  readonly said: string;
  complaints(): string;
}

/** Takes the lock in another process, which keeps it until it is ended. */
async function lockElsewhere(path: string): Promise<Elsewhere> {
  const module = new URL('../../src/files/lock.ts', import.meta.url).href;
  const script = `import { lock } from ${JSON.stringify(module)};
    const held = await lock(${JSON.stringify(path)});
    console.log(held ? 'locked' : 'taken');
    if (held) setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.once('close', () => children.delete(child));
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  const said = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').once('data', resolve);
    child.once('close', () => reject(new Error(`the other process ended: ${complaints}`)));
  });
  return { child, said, complaints: () => complaints };
}
