/** Walking what is to be shared: every file that can go into a manifest, and every reason why something can not. */
import { Buffer, isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { access, lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, resolve, sep } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import { pathProblem } from '../format/manifest.ts';
import { MAX_ENTRIES } from '../limits.ts';
import { showName } from './names.ts';
import { inParallel } from '../parallel.ts';

/** Folders read at once, and files looked at at once in each: enough for libuv's threads, and for a slow network disk. */
const FOLDERS_AT_ONCE = 8;
const FILES_AT_ONCE = 4;

/** A folder that holds these is a home, whoever's: nobody means to share that. */
const HOME_FILES = ['secret', 'catalog.sqlite'].map(name => Buffer.from(name));

/** A file, or an empty folder, to be shared. */
export interface WalkedEntry {
  /** Relative to the root, with `/` between segments; of a single file its name. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly executable: boolean;
  /** Unix seconds, rounded down. */
  readonly modifiedSeconds: number;
  /** True for a folder without anything that can be shared. */
  readonly directory?: true;
  /** What the file looks like as long as it is the same. */
  readonly stat: { readonly sizeBytes: number; readonly modifiedNs: bigint; readonly inode: bigint };
}

/** Something that can not be shared. `path` is relative to the root and safe to show, as is `why`. */
export interface WalkProblem {
  readonly path: string;
  readonly why: string;
  /** It is there and can't be looked into. */
  readonly isUnreadable?: true;
}

/** Why something is no entry. */
type Reason = Omit<WalkProblem, 'path'>;

export interface WalkedTree {
  readonly kind: 'file' | 'folder';
  /** What the share is to be called: the last segment of the path that was asked for. */
  readonly name: string;
  /** The absolute path of the file or folder, without links. */
  readonly root: string;
  /** Sorted by the bytes of their paths (format.md §6). */
  readonly entries: readonly WalkedEntry[];
  readonly problems: readonly WalkProblem[];
}

/**
 * Looks at the file or folder at `path` and all that is in it; reads no contents. `path` itself may be a symbolic link, as
 * whoever names one means what it leads to; links further down are problems, as are special files, names that the format
 * refuses, what can't be read, and what vanishes meanwhile. Nothing is left out without a problem that names it.
 * @param doing what is to be done with it; only to be shared must it have a name that the format allows
 * @throws ShoalError by `fileError` when `path` can't be looked at; `not-shareable` when it is neither file nor folder, or
 *   has no name; the signal's reason.
 */
export async function walkTree(
  path: string,
  signal?: AbortSignal,
  doing: 'share' | 'check' = 'share',
): Promise<WalkedTree> {
  const shown = showName(path);
  const name = basename(resolve(path));
  const isNamed = doing === 'share';
  if (name === '' && isNamed)
    throw new ShoalError('not-shareable', `cannot share "${shown}": it has no name; choose a folder in it`);
  try {
    const root = await realpath(path);
    const found = await stat(root, { bigint: true });
    if (found.isFile()) return await walkFile(name, isNamed, root, found);
    if (found.isDirectory()) return await new Walk(root, signal).run(name, isNamed, found);
    throw new ShoalError('not-shareable', `cannot ${doing} "${shown}": it is ${special(found)}`);
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError(error, `look at "${shown}"`);
  }
}

async function walkFile(name: string, isNamed: boolean, root: string, found: BigIntStats): Promise<WalkedTree> {
  const refused = isNamed ? pathProblem(name) : undefined;
  const reason = refused === undefined ? await unreadable(root) : { why: `its name ${refused}` };
  if (reason !== undefined)
    return { kind: 'file', name, root, entries: [], problems: [{ path: showName(name), ...reason }] };
  return { kind: 'file', name, root, entries: [entryOf(name, found)], problems: [] };
}

/** A folder under way. */
interface Folder {
  /** Relative, '' for the root; with a `/` behind it for all others, so that names can be appended. */
  readonly prefix: string;
  readonly parent: Folder | undefined;
  readonly stat: BigIntStats;
  /** Whether there is anything in it that is shared. */
  filled: boolean;
}

class Walk {
  readonly #root: string;
  readonly #signal: AbortSignal | undefined;
  readonly #entries: WalkedEntry[] = [];
  readonly #problems: WalkProblem[] = [];
  /** Folders seen and not read yet, and those that were read. */
  readonly #waiting: Folder[] = [];
  readonly #listed: Folder[] = [];
  #full = false;

  constructor(root: string, signal: AbortSignal | undefined) {
    this.#root = root.endsWith(sep) ? root.slice(0, -1) : root;
    this.#signal = signal;
  }

  async run(name: string, isNamed: boolean, found: BigIntStats): Promise<WalkedTree> {
    const nameProblem = isNamed ? pathProblem(name) : undefined;
    if (nameProblem !== undefined) this.#problems.push({ path: showName(name), why: `its name ${nameProblem}` });
    const top: Folder = { prefix: '', parent: undefined, stat: found, filled: true };
    this.#waiting.push(top);
    while (this.#waiting.length > 0) {
      await inParallel(this.#waiting.splice(-FOLDERS_AT_ONCE), FOLDERS_AT_ONCE, folder => this.#list(folder));
    }
    for (const folder of this.#listed) if (!folder.filled) this.#add(entryOf(folder.prefix.slice(0, -1), folder.stat));
    if (this.#full) this.#problems.push({ path: '.', why: `more than ${MAX_ENTRIES} files; share parts of it` });
    return {
      kind: 'folder',
      name,
      root: this.#root === '' ? sep : this.#root,
      entries: sortedByBytes(this.#entries),
      problems: sortedByBytes(this.#problems),
    };
  }

  async #list(folder: Folder): Promise<void> {
    if (this.#full) return;
    this.#signal?.throwIfAborted();
    let found: Dirent<Buffer>[];
    try {
      // As bytes: a name that is not UTF-8 would come out altered otherwise.
      found = await readdir(`${this.#root}/${folder.prefix}`, { withFileTypes: true, encoding: 'buffer' });
    } catch (error) {
      this.#problem(folder.prefix.slice(0, -1), whyNot(error));
      return;
    }
    if (HOME_FILES.every(name => found.some(entry => entry.name.equals(name)))) {
      this.#problem(folder.prefix.slice(0, -1), { why: 'it is a home of shoal, with the keys of all its shares' });
      return;
    }
    this.#listed.push(folder);
    if (folder.parent !== undefined) folder.parent.filled = true;
    await inParallel(found, FILES_AT_ONCE, entry => this.#take(folder, entry));
  }

  async #take(folder: Folder, found: Dirent<Buffer>): Promise<void> {
    if (this.#full) return;
    this.#signal?.throwIfAborted();
    if (!isUtf8(found.name)) {
      this.#problem(folder.prefix, { why: 'its name is not UTF-8' }, found.name);
      return;
    }
    const path = folder.prefix + found.name.toString('utf8');
    const reason = await this.#accept(folder, path, found).catch(whyNot);
    if (reason !== undefined) this.#problem(path, reason);
  }

  /** Takes a file for an entry, or a folder to be read; or returns why not. */
  async #accept(folder: Folder, path: string, found: Dirent<Buffer>): Promise<Reason | undefined> {
    if (!found.isFile() && !found.isDirectory()) return { why: `it is ${special(found)}` };
    const refused = pathProblem(path);
    if (refused !== undefined) return { why: `its path ${refused}` };
    const absolute = `${this.#root}/${path}`;
    const [seen, closed] = await Promise.all([
      lstat(absolute, { bigint: true }),
      found.isFile() ? unreadable(absolute) : undefined,
    ]);
    if (closed !== undefined) return closed;
    if (seen.isDirectory()) {
      if (isItsOwnParent(folder, seen)) return { why: 'it is a folder that contains it' };
      this.#waiting.push({ prefix: `${path}/`, parent: folder, stat: seen, filled: false });
      return undefined;
    }
    if (!seen.isFile()) return { why: `it is ${special(seen)}` };
    folder.filled = true;
    this.#add(entryOf(path, seen));
    return undefined;
  }

  #add(entry: WalkedEntry): void {
    if (this.#entries.length >= MAX_ENTRIES) this.#full = true;
    else this.#entries.push(entry);
  }

  #problem(path: string, reason: Reason, name?: Uint8Array): void {
    this.#problems.push({ path: showName(path) + (name === undefined ? '' : showName(name)) || '.', ...reason });
  }
}

function isItsOwnParent(folder: Folder, seen: BigIntStats): boolean {
  for (let above: Folder | undefined = folder; above !== undefined; above = above.parent) {
    if (above.stat.ino === seen.ino && above.stat.dev === seen.dev) return true;
  }
  return false;
}

function entryOf(path: string, found: BigIntStats): WalkedEntry {
  const directory = found.isDirectory();
  const sizeBytes = directory ? 0 : Number(found.size);
  return {
    path,
    sizeBytes,
    executable: !directory && process.platform !== 'win32' && (found.mode & 0o100n) !== 0n,
    modifiedSeconds: floorSeconds(found.mtimeNs),
    ...(directory && { directory }),
    stat: { sizeBytes, modifiedNs: found.mtimeNs, inode: found.ino },
  };
}

function floorSeconds(nanoseconds: bigint): number {
  const rest = nanoseconds % 1_000_000_000n;
  return Number((nanoseconds - rest) / 1_000_000_000n) - (rest < 0n ? 1 : 0);
}

/** Why a file can't be read, or undefined. */
async function unreadable(path: string): Promise<Reason | undefined> {
  try {
    await access(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return whyNot(error);
  }
}

function whyNot(error: unknown): Reason {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return { why: 'vanished while reading' };
    case 'EACCES':
    case 'EPERM':
      return { why: 'it may not be read: permission denied', isUnreadable: true };
    case 'ENAMETOOLONG':
      return { why: 'its path is too long', isUnreadable: true };
    default:
      return { why: `it can not be read: ${showName((error as Error).message)}`, isUnreadable: true };
  }
}

function special(found: Omit<Dirent<Buffer> | BigIntStats, 'name'>): string {
  if (found.isSymbolicLink()) return 'a symbolic link';
  if (found.isSocket()) return 'a socket';
  if (found.isFIFO()) return 'a named pipe';
  return 'a device';
}

/** In the order of `comparePaths`; each path is encoded once, which matters for a hundred thousand. */
function sortedByBytes<T extends { readonly path: string }>(items: readonly T[]): T[] {
  const keyed = items.map(item => ({ key: Buffer.from(item.path), item }));
  return keyed.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ item }) => item);
}

/**
 * 32 bytes that are the same as long as no file was added, removed, renamed or written: SHA-256 over kind, name and, entry
 * by entry, path, length, time, inode and permission. It says nothing about contents.
 */
export function fingerprint(tree: WalkedTree): Uint8Array {
  const hash = createHash('sha256');
  const addText = (text: string): void => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  };
  addText(tree.kind);
  addText(tree.name);
  for (const entry of tree.entries) {
    addText(entry.path);
    const numbers = Buffer.alloc(25);
    numbers.writeBigUInt64BE(BigInt(entry.stat.sizeBytes), 0);
    numbers.writeBigInt64BE(BigInt.asIntN(64, entry.stat.modifiedNs), 8);
    numbers.writeBigUInt64BE(BigInt.asUintN(64, entry.stat.inode), 16);
    numbers.writeUInt8((entry.executable ? 1 : 0) | (entry.directory === true ? 2 : 0), 24);
    hash.update(numbers);
  }
  return hash.digest();
}
