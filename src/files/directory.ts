/**
 * The Directory port over node:fs.
 *
 * On Linux a folder is held by a descriptor and its children are addressed as `/proc/self/fd/<descriptor>/<name>`, which
 * the kernel resolves like openat(2): whatever happens to the path by which the folder was reached, names lead into it.
 * Elsewhere (and where /proc is not mounted) a folder is held by its path. Before each step it is looked at whether that
 * path is still the folder that was opened, and after opening whether what was opened is what the path shows. Weaker
 * remains: who may write to a folder above can, between two of these steps, put a link in place of a folder. A write is
 * then noticed after opening and nothing is written, but an empty file or folder may have been made elsewhere, and
 * move, remove and stat may act elsewhere. A part folder that only this user may enter, in a folder that others can not
 * write to, is safe in both cases.
 */
import { spawn } from 'node:child_process';
import { strict as assert } from 'node:assert';
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { link, lstat, mkdir, open, readdir, realpath, rename, rmdir, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileError, ShoalError } from '../errors.ts';
import type { Directory, EntryKind, EntryStat, OpenFile } from '../ports.ts';
import { SLOW_STEP_MS } from '../limits.ts';
import { inParallel } from '../parallel.ts';
import { showName } from './names.ts';
import { entryStat, identityOf, kindOf, NodeFile } from './open-file.ts';
import { Pace } from '../pace.ts';

const openFile: (path: string, flags: number, mode?: number) => Promise<number> = promisify(fs.open);

// libuv adds O_CLOEXEC to every open. Windows has none of these flags.
const NOFOLLOW = constants.O_NOFOLLOW ?? 0;
const NONBLOCK = constants.O_NONBLOCK ?? 0;
const CREATE_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | NOFOLLOW;
const FOLDER_FLAGS = constants.O_RDONLY | NOFOLLOW | (constants.O_DIRECTORY ?? 0);
/** Of one folder operation that goes over many names: more than libuv's threads gain nothing. */
const AT_ONCE = 8;
/** Up to so many files and folders are made durable one by one; beyond, one syncfs costs less. */
const FEW = 8;
/** Folders held open one below the other while removing; deeper ones are moved up first. */
const MAX_REMOVE_DEPTH = 24;

/**
 * Opens the folder at `path`, which may be reached through links; below it none is followed.
 * @param options `byHandle: false` has the weaker way used where the stronger one is available; for tests.
 * @throws ShoalError by `fileError`
 */
export async function openDirectory(path: string, options: { byHandle?: boolean } = {}): Promise<Directory> {
  const shown = showName(path);
  try {
    const real = await realpath(path);
    const filesystem = { owner: process.geteuid?.(), pace: new Pace(SLOW_STEP_MS) };
    if (options.byHandle !== false && process.platform === 'linux') {
      const handle = await open(real, FOLDER_FLAGS);
      if (await reachesThroughProc(handle))
        return new NodeDirectory(handle, descriptorPath(handle), undefined, shown, filesystem);
      await handle.close();
    }
    const seen = await lstat(real, { bigint: true });
    if (!seen.isDirectory())
      throw new ShoalError('denied', `cannot open "${shown}": it is not a folder; choose another place`);
    return new NodeDirectory(undefined, real, identityOf(seen), shown, filesystem);
  } catch (error) {
    throw fileError(error, `open the folder "${shown}"`);
  }
}

function descriptorPath(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`;
}

async function reachesThroughProc(handle: FileHandle): Promise<boolean> {
  try {
    const [direct, through] = await Promise.all([
      handle.stat({ bigint: true }),
      stat(`${descriptorPath(handle)}/.`, { bigint: true }),
    ]);
    return identityOf(direct) === identityOf(through);
  } catch {
    return false;
  }
}

/** What all folders that were opened through one `openDirectory` know of where they are. */
interface FileSystem {
  /**
   * The owner that new files get: this user, but on some network and foreign file systems another, which the first creation
   * finds out. undefined where files have no owner.
   */
  owner: number | undefined;
  probed?: boolean;
  readonly pace: Pace;
}

class NodeDirectory implements Directory {
  /** What is held open; undefined where the folder is held by its path. */
  readonly #handle: FileHandle | undefined;
  readonly #base: string;
  /** What must be found at the path; undefined where the folder is held by a descriptor. */
  readonly #identity: string | undefined;
  readonly #shown: string;
  readonly #filesystem: FileSystem;
  /** Steps under way: the descriptor's number must not be reused below them. */
  #busy = 0;
  #closed = false;
  #idle: (() => void) | undefined;

  constructor(
    handle: FileHandle | undefined,
    base: string,
    identity: string | undefined,
    shown: string,
    filesystem: FileSystem,
  ) {
    this.#handle = handle;
    this.#base = base;
    this.#identity = identity;
    this.#shown = shown;
    this.#filesystem = filesystem;
  }

  create(name: string, options: { readonly ownerOnly?: boolean } = {}): Promise<OpenFile> {
    return this.#at(name, 'create', async path => {
      const descriptor = await this.#opened(path, CREATE_FLAGS, options.ownerOnly === true ? 0o600 : 0o666);
      return this.#file(descriptor, name);
    });
  }

  open(name: string, mode: 'read' | 'write'): Promise<OpenFile> {
    return this.#at(name, 'open', async path => {
      const flags = (mode === 'read' ? constants.O_RDONLY : constants.O_RDWR) | NOFOLLOW | NONBLOCK;
      const descriptor = await this.#opened(path, flags).catch((error: unknown) => {
        // A folder can not be opened for writing, a socket not at all.
        throw ['EISDIR', 'ENXIO', 'EOPNOTSUPP'].includes(codeOf(error))
          ? this.#notOurs(name, 'it is not a file')
          : error;
      });
      const file = this.#file(descriptor, name);
      try {
        const why = refusalOf(fs.fstatSync(descriptor, { bigint: true }), found => this.#isOurs(found));
        if (why !== undefined) throw this.#notOurs(name, why);
        return file;
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  #file(descriptor: number, name: string): OpenFile {
    const { pace } = this.#filesystem;
    return new NodeFile({ descriptor, pace, shown: this.#show(name), isOurs: found => this.#isOurs(found) });
  }

  make(name: string, options: { readonly shared?: boolean } = {}): Promise<void> {
    return this.#at(name, 'create the folder', async path => {
      await mkdir(path, options.shared === true ? 0o777 : 0o700);
      await this.#probeOwner(() => lstat(path, { bigint: true }));
    });
  }

  enter(name: string): Promise<Directory> {
    return this.#at(name, 'open the folder', async path => {
      if (this.#handle === undefined) {
        const found = await lstat(path, { bigint: true });
        this.#checkFolder(name, found);
        return new NodeDirectory(undefined, path, identityOf(found), this.#show(name), this.#filesystem);
      }
      const handle = await open(path, FOLDER_FLAGS).catch((error: unknown) => {
        throw ['ENOTDIR', 'ELOOP'].includes(codeOf(error)) ? this.#notOurs(name, 'it is not a folder') : error;
      });
      try {
        this.#checkFolder(name, await handle.stat({ bigint: true }));
        return new NodeDirectory(handle, descriptorPath(handle), undefined, this.#show(name), this.#filesystem);
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  /** Names that are not UTF-8 are listed with replacement characters, and can only be removed with the folder. */
  list(): Promise<{ name: string; kind: EntryKind }[]> {
    return this.#here('list', async base => {
      const found = await readdir(base, { withFileTypes: true });
      return found.map(entry => ({ name: entry.name, kind: kindOf(entry) }));
    });
  }

  stat(name: string): Promise<EntryStat | undefined> {
    return this.#at(name, 'look at', async path => {
      const found = await lstat(path, { bigint: true }).catch(unlessMissing);
      return found && entryStat(found, this.#isOurs(found));
    });
  }

  async move(name: string, to: Directory, toName: string, replace = false): Promise<void> {
    assert(to instanceof NodeDirectory, 'both folders are of one adapter');
    const tried = `move to "${to.#show(toName)}"`;
    await this.#at(name, tried, async source => {
      const kind = kindOf(await lstat(source));
      await to.#at(toName, 'move to', async target => {
        try {
          if (kind === 'directory') await renameFolder(source, target);
          else if (replace) await rename(source, target);
          else await renameFile(source, target, kind);
        } catch (error) {
          // Said by rename(2) of something that stands at the target.
          throw ['ENOTEMPTY', 'ENOTDIR', 'EISDIR'].includes(codeOf(error)) ? existsError(error) : error;
        }
      });
    });
  }

  remove(name: string): Promise<void> {
    return this.#at(name, 'remove', async path => {
      if (await unlinked(path)) return;
      const folder = await this.#forRemoval(path);
      try {
        await folder.#empty(folder, 1);
      } finally {
        await folder.close();
      }
      await rmdir(path);
    });
  }

  /**
   * Removes all that is in this folder. Names are taken as bytes, so that none is beyond reach.
   * Folders deeper than MAX_REMOVE_DEPTH are moved up into `top`, which is emptied until nothing was moved: so a deep tree
   * needs few descriptors.
   */
  async #empty(top: NodeDirectory, depth: number): Promise<boolean> {
    let movedUp = false;
    do {
      movedUp = false;
      const names = await readdir(this.#base, { encoding: 'buffer' });
      const folders: Buffer[] = [];
      await inParallel(names, AT_ONCE, async name => {
        if (!(await unlinked(this.#below(name)))) folders.push(name);
      });
      for (const name of folders) {
        const path = this.#below(name);
        if (depth >= MAX_REMOVE_DEPTH) {
          await rename(path, join(top.#base, `moved-up-${identityOf(await lstat(path, { bigint: true }))}`));
          movedUp = true;
          continue;
        }
        const folder = await this.#forRemoval(path);
        try {
          if (await folder.#empty(top, depth + 1)) movedUp = true;
        } finally {
          await folder.close();
        }
        await rmdir(path);
      }
    } while (this === top && movedUp);
    return movedUp;
  }

  async #forRemoval(path: string | Buffer): Promise<NodeDirectory> {
    if (this.#handle !== undefined) {
      const handle = await open(path, FOLDER_FLAGS);
      return new NodeDirectory(handle, descriptorPath(handle), undefined, this.#shown, this.#filesystem);
    }
    const found = await lstat(path, { bigint: true });
    assert(found.isDirectory());
    return new NodeDirectory(undefined, path.toString(), identityOf(found), this.#shown, this.#filesystem);
  }

  sync(): Promise<void> {
    return this.#here('make durable', syncFolder);
  }

  /**
   * Where there is more than a little, by one syncfs(2) of the file system (coreutils' `sync -f`), whose cost does not grow
   * with the number of files; where that is missing or fails, file by file.
   */
  syncAll(): Promise<void> {
    return this.#here('make durable', async base => {
      if (this.#handle !== undefined && (await hasMoreThan(base, FEW)) && (await syncFileSystem(this.#handle.fd)))
        return;
      await syncTree(base);
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy > 0) await new Promise<void>(resolve => (this.#idle = resolve));
    await this.#handle?.close();
  }

  /** Runs a step on this folder, holding it open until the step has ended. */
  async #here<T>(tried: string, step: (base: string) => Promise<T>, shown = this.#shown): Promise<T> {
    assert(!this.#closed, 'the folder is open');
    this.#busy += 1;
    try {
      if (this.#identity !== undefined) {
        const found = await lstat(this.#base, { bigint: true });
        if (!found.isDirectory() || identityOf(found) !== this.#identity) {
          throw new ShoalError(
            'denied',
            `cannot ${tried} "${shown}": the folder was moved or replaced meanwhile; run the same command again`,
          );
        }
      }
      return await step(this.#base);
    } catch (error) {
      throw fileError(error, `${tried} "${shown}"`);
    } finally {
      this.#busy -= 1;
      if (this.#busy === 0) this.#idle?.();
    }
  }

  async #at<T>(name: string, tried: string, step: (path: string) => Promise<T>): Promise<T> {
    assert(name !== '' && name !== '.' && name !== '..' && name.isWellFormed(), 'a name');
    assert(!/[/\0]/.test(name) && (process.platform !== 'win32' || !name.includes('\\')), 'one segment');
    return await this.#here(tried, base => step(`${base}/${name}`), this.#show(name));
  }

  #below(name: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.#base}/`), name]);
  }

  /** Opens a file, and looks whether the path was led elsewhere meanwhile. */
  async #opened(path: string, flags: number, mode?: number): Promise<number> {
    const descriptor = await this.#filesystem.pace.step(
      () => fs.openSync(path, flags, mode),
      () => openFile(path, flags, mode),
    );
    if (this.#handle !== undefined && (mode === undefined || this.#filesystem.probed === true)) return descriptor;
    try {
      const opened = fs.fstatSync(descriptor, { bigint: true });
      if (mode !== undefined) await this.#probeOwner(() => Promise.resolve(opened));
      if (this.#handle !== undefined) return descriptor;
      const [seen, base] = await Promise.all([lstat(path, { bigint: true }), lstat(this.#base, { bigint: true })]);
      if (identityOf(seen) === identityOf(opened) && identityOf(base) === this.#identity) return descriptor;
      throw new ShoalError(
        'denied',
        `cannot open a file in "${this.#shown}": the folder was replaced meanwhile; run the same command again`,
      );
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }

  async #probeOwner(look: () => Promise<BigIntStats>): Promise<void> {
    if (this.#filesystem.probed === true) return;
    this.#filesystem.probed = true;
    const { uid } = await look();
    if (this.#filesystem.owner !== undefined) this.#filesystem.owner = Number(uid);
  }

  #isOurs(found: BigIntStats): boolean {
    return this.#filesystem.owner === undefined || Number(found.uid) === this.#filesystem.owner;
  }

  #checkFolder(name: string, found: BigIntStats): void {
    if (!found.isDirectory()) throw this.#notOurs(name, 'it is not a folder');
    if (!this.#isOurs(found)) throw this.#notOurs(name, 'it belongs to another user');
  }

  #notOurs(name: string, why: string): ShoalError {
    return new ShoalError('denied', `cannot use "${this.#show(name)}": ${why}; move it away, or choose another place`);
  }

  #show(name: string): string {
    return join(this.#shown, showName(name));
  }
}

/** Why what was opened is not a plain file of ours, or undefined. */
function refusalOf(found: BigIntStats, isOurs: (found: BigIntStats) => boolean): string | undefined {
  if (!found.isFile()) return 'it is not a file';
  if (found.nlink !== 1n) return 'it has other names (hard links), under which it would be changed as well';
  if (!isOurs(found)) return 'it belongs to another user';
  return undefined;
}

/**
 * rename(2) puts a folder in the place of nothing or of an empty folder, and fails for everything else. So what can be lost
 * between looking and renaming is an empty folder that someone made in that moment; a placeholder of ours would close
 * that gap, but could be left behind by a crash.
 */
async function renameFolder(source: string, target: string): Promise<void> {
  await mustBeAbsent(target);
  await rename(source, target);
}

/**
 * link(2) is exclusive; when it was done and unlink(2) was not, the file has both names. Where a file system has no links
 * the target is looked at before, and a file that someone makes in that moment is replaced.
 */
async function renameFile(source: string, target: string, kind: EntryKind): Promise<void> {
  if (kind === 'file') {
    try {
      await link(source, target);
      await unlink(source);
      return;
    } catch (error) {
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(codeOf(error))) throw error;
    }
  }
  await mustBeAbsent(target);
  await rename(source, target);
}

async function mustBeAbsent(path: string): Promise<void> {
  const found = await lstat(path).catch(unlessMissing);
  if (found !== undefined) throw existsError();
}

/** What the file system would say where it can not be asked to. */
export function existsError(cause?: unknown): Error {
  return Object.assign(new Error('it exists already', { cause }), { code: 'EEXIST' });
}

/** Unlinks what is not a folder, also when it is not there; false when it is a folder. */
async function unlinked(path: string | Buffer): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    // Linux says EISDIR of a folder; POSIX, and so macOS, EPERM.
    if (!['EISDIR', 'EPERM', 'EACCES'].includes(codeOf(error))) throw error;
    const found = await lstat(path);
    if (!found.isDirectory()) throw error;
    return false;
  }
}

async function syncFolder(base: string): Promise<void> {
  // Windows can't, and needs not.
  if (process.platform === 'win32') return;
  const handle = await open(base, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0));
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems have no such thing for folders.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(codeOf(error))) throw error;
  } finally {
    await handle.close();
  }
}

async function hasMoreThan(base: string, limit: number): Promise<boolean> {
  const waiting = [base];
  let seen = 0;
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      seen += 1;
      if (seen > limit) return true;
      if (entry.isDirectory()) waiting.push(`${folder}/${entry.name}`);
    }
  }
  return false;
}

/**
 * Whether syncfs(2) was done on the file system that holds an open folder; false where there is no program for it.
 * A failure to write is thrown: having been told once, the kernel would not tell it to a later fsync(2).
 */
async function syncFileSystem(descriptor: number): Promise<boolean> {
  const env = { ...process.env, LC_ALL: 'C' };
  const child = spawn('sync', ['-f', '/proc/self/fd/3'], { stdio: ['ignore', 'ignore', 'pipe', descriptor], env });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, 1000)));
  const code = await new Promise<number | null | undefined>(resolve => {
    child.once('error', () => resolve(undefined));
    child.once('close', resolve);
  });
  if (code === 0) return true;
  const errno = Object.entries(WRITE_FAILURES).find(([, text]) => said.includes(text))?.[0];
  if (errno !== undefined) throw Object.assign(new Error(WRITE_FAILURES[errno]), { code: errno });
  return false;
}

const WRITE_FAILURES: Record<string, string> = {
  EIO: 'Input/output error',
  ENOSPC: 'No space left on device',
  EDQUOT: 'Disk quota exceeded',
};

/** Makes each file below `base`, then the folder that holds it, durable. Links and special files have nothing to write. */
async function syncTree(base: string): Promise<void> {
  const flags = (process.platform === 'win32' ? constants.O_RDWR : constants.O_RDONLY) | NOFOLLOW | NONBLOCK;
  const folders: string[] = [];
  const entries = await readdir(base, { withFileTypes: true });
  await inParallel(entries, AT_ONCE, async entry => {
    const path = `${base}/${entry.name}`;
    if (entry.isDirectory()) folders.push(path);
    if (!entry.isFile()) return;
    const handle = await open(path, flags);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
  for (const folder of folders) await syncTree(folder);
  await syncFolder(base);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? '';
}

function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
  return undefined;
}
