/** Walking what is to be shared: every file that can go into a manifest, and every reason why something can not. */
import { Buffer, isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { access, lstat, open, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import type { Root } from '../format/layout.ts';
import { pathProblem } from '../format/manifest.ts';
import { MAX_ENTRIES, MAX_PATHS } from '../limits.ts';
import { matcherOf } from './globs.ts';
import { nameOfSeveral, showName } from './names.ts';
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
  /** What the share is to be called: the last segment of the path that was asked for, or what several are together. */
  readonly name: string;
  /** Without links. */
  readonly root: Root;
  /** Sorted by the bytes of their paths (format.md §6). */
  readonly entries: readonly WalkedEntry[];
  readonly problems: readonly WalkProblem[];
  /** How many files and folders were left out on request; what is in such a folder is not counted. */
  readonly excluded: number;
  /** Globs of what was to be left out that nothing was found for. */
  readonly unmatched: readonly string[];
}

/**
 * Looks at the file or folder at a path and all that is in it; reads no contents. The path itself may be a symbolic link, as
 * whoever names one means what it leads to; links further down are problems, as are special files, names that the format
 * refuses, what can't be read, and what vanishes meanwhile. Nothing is left out without a problem that names it.
 *
 * Several paths become one folder, in which each stands under its own last segment; the same one twice counts once.
 * @param exclude globs (globs.ts) of what is left out, relative to the folder that is shared. It is not looked at, and a
 *   folder of which nothing else is left is left out too.
 * @param doing what is to be done with it; only to be shared must it have a name that the format allows
 * @throws ShoalError by `fileError` when a path can't be looked at; `not-shareable` when it is neither file nor folder, or
 *   has no name; `usage` when two paths have the same name, or one is in another; the signal's reason.
 */
export async function walkTree(
  paths: readonly string[],
  exclude: readonly string[] = [],
  signal?: AbortSignal,
  doing: 'share' | 'check' = 'share',
): Promise<WalkedTree> {
  const walk = new Walk(exclude, signal, doing);
  if (paths.length > MAX_PATHS)
    throw new ShoalError(
      'usage',
      `cannot share ${paths.length} paths at once, at most ${MAX_PATHS} are allowed; share a folder that holds them`,
    );
  const tops: Top[] = [];
  for (const path of paths) tops.push(await lookAt(path, doing, signal));
  const [first, ...others] = distinct(tops);
  if (first === undefined) throw new Error('nothing is asked for');
  return others.length === 0 ? await walk.one(first) : await walk.together([first, ...others]);
}

/** What a path leads to. */
interface Top {
  /** As it was asked for, safe to show. */
  readonly shown: string;
  readonly name: string;
  /** Absolute, without links. */
  readonly path: string;
  readonly stat: BigIntStats;
}

async function lookAt(asked: string, doing: 'share' | 'check', signal: AbortSignal | undefined): Promise<Top> {
  const shown = showName(asked);
  const name = basename(resolve(asked));
  if (name === '' && doing === 'share')
    throw new ShoalError('not-shareable', `cannot share "${shown}": it has no name; choose a folder in it`);
  try {
    const path = await realpath(asked);
    const found = await stat(path, { bigint: true });
    signal?.throwIfAborted();
    if (!found.isFile() && !found.isDirectory())
      throw new ShoalError(
        'not-shareable',
        `cannot ${doing} "${shown}": it is ${special(found)}, and no file or folder`,
      );
    return { shown, name, path, stat: found };
  } catch (error) {
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new ShoalError('io', `cannot ${doing} "${shown}": it does not exist; is its name written right?`, {
        cause: error,
      });
    throw fileError(error, `${doing} "${shown}"`);
  }
}

/** Each once. @throws ShoalError `usage` when they can't stand side by side in one folder */
function distinct(tops: readonly Top[]): Top[] {
  const byName = new Map<string, Top>();
  for (const top of tops) {
    const other = byName.get(top.name);
    if (other !== undefined && other.path !== top.path)
      throw new ShoalError(
        'usage',
        `cannot share "${other.shown}" and "${top.shown}" together: both would be called "${showName(top.name)}"; rename one, or share it apart`,
      );
    byName.set(top.name, other ?? top);
  }
  const byPath = new Map(tops.map(top => [top.path, top]));
  for (const top of tops) {
    for (let path = top.path; path !== dirname(path);) {
      path = dirname(path);
      const above = byPath.get(path);
      if (above !== undefined)
        throw new ShoalError(
          'usage',
          `cannot share "${top.shown}" beside "${above.shown}": it is in there and is shared with it; leave out one of them`,
        );
    }
  }
  return [...byName.values()];
}

/** A folder under way. */
interface Folder {
  /** Its path in the share: '' for the root; with a `/` behind it for all others, so that names can be appended. */
  readonly prefix: string;
  /** Where it is, likewise. */
  readonly absolute: string;
  readonly parent: Folder | undefined;
  readonly stat: BigIntStats;
  /** Whether it needs no entry of its own: there is something in it that is shared, or was excluded. */
  filled: boolean;
}

class Walk {
  readonly #signal: AbortSignal | undefined;
  /** What is only checked may have any name of its own. */
  readonly #isShared: boolean;
  readonly #globs: readonly { readonly glob: string; readonly matches: (path: string) => boolean }[];
  readonly #matched = new Set<string>();
  #excluded = 0;
  readonly #entries: WalkedEntry[] = [];
  readonly #problems: WalkProblem[] = [];
  /** Folders seen and not read yet, and those that were read. */
  readonly #waiting: Folder[] = [];
  readonly #listed: Folder[] = [];
  #full = false;

  constructor(exclude: readonly string[], signal: AbortSignal | undefined, doing: 'share' | 'check') {
    this.#isShared = doing === 'share';
    this.#globs = exclude.map(glob => ({ glob, matches: matcherOf(glob) }));
    this.#signal = signal;
  }

  async one(top: Top): Promise<WalkedTree> {
    const { name, path, stat: found } = top;
    if (found.isFile()) {
      if (!this.#isExcluded(name)) await this.#addFile(name, top);
      return this.#result('file', name, path);
    }
    this.#waiting.push({ prefix: '', absolute: inside(path), parent: undefined, stat: found, filled: true });
    await this.#walk();
    return this.#result('folder', name, path);
  }

  async together(tops: readonly Top[]): Promise<WalkedTree> {
    const taken: { readonly path: string; readonly root: string }[] = [];
    for (const top of tops) if (await this.#takeTop(top)) taken.push({ path: top.name, root: top.path });
    await this.#walk();
    const sorted = sortedByBytes(taken);
    const name = nameOfSeveral(sorted.map(({ path }) => path));
    return this.#result('folder', name, new Map(sorted.map(({ path, root }) => [path, root])));
  }

  /** Takes one of several; or not, where it is excluded or can't be shared. */
  async #takeTop(top: Top): Promise<boolean> {
    const { name, path, stat: found } = top;
    if (this.#isExcluded(name)) return false;
    const refused = pathProblem(name);
    if (refused !== undefined) {
      this.#problem(name, { why: `its name ${refused}` });
      return false;
    }
    if (found.isFile()) return await this.#addFile(name, top);
    this.#waiting.push({ prefix: `${name}/`, absolute: inside(path), parent: undefined, stat: found, filled: false });
    return true;
  }

  async #walk(): Promise<void> {
    while (this.#waiting.length > 0) {
      await inParallel(this.#waiting.splice(-FOLDERS_AT_ONCE), FOLDERS_AT_ONCE, folder => this.#list(folder));
    }
    for (const folder of this.#listed) if (!folder.filled) this.#add(entryOf(folder.prefix.slice(0, -1), folder.stat));
  }

  #result(kind: 'file' | 'folder', name: string, root: Root): WalkedTree {
    if (this.#full) this.#problems.push({ path: '.', why: `more than ${MAX_ENTRIES} files; share parts of it` });
    return {
      kind,
      name,
      root,
      entries: sortedByBytes(this.#entries),
      problems: sortedByBytes(this.#problems),
      excluded: this.#excluded,
      unmatched: this.#globs.map(({ glob }) => glob).filter(glob => !this.#matched.has(glob)),
    };
  }

  async #addFile(path: string, top: Top): Promise<boolean> {
    const why = (await unreadable(top.path)) ?? (await unsized(top.path, top.stat));
    if (why === undefined) this.#add(entryOf(path, top.stat));
    else this.#problem(path, why);
    return why === undefined;
  }

  #isExcluded(path: string): boolean {
    const matching = this.#globs.filter(({ matches }) => matches(path));
    for (const { glob } of matching) this.#matched.add(glob);
    if (matching.length > 0) this.#excluded++;
    return matching.length > 0;
  }

  async #list(folder: Folder): Promise<void> {
    if (this.#full) return;
    this.#signal?.throwIfAborted();
    let found: Dirent<Buffer>[];
    try {
      // As bytes: a name that is not UTF-8 would come out altered otherwise.
      found = await readdir(folder.absolute, { withFileTypes: true, encoding: 'buffer' });
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
    const path = folder.prefix + found.name.toString('utf8');
    if (this.#isExcluded(path)) {
      folder.filled = true;
      return;
    }
    if (!isUtf8(found.name)) {
      this.#problem(folder.prefix, { why: 'its name is not UTF-8' }, found.name);
      return;
    }
    const reason = await this.#accept(folder, path, found).catch(whyNot);
    if (reason !== undefined) this.#problem(path, reason);
  }

  /** Takes a file for an entry, or a folder to be read; or returns why not. */
  async #accept(folder: Folder, path: string, found: Dirent<Buffer>): Promise<Reason | undefined> {
    if (!found.isFile() && !found.isDirectory()) return { why: `it is ${special(found)}` };
    const refused = pathProblem(path);
    if (refused !== undefined) return { why: `its path ${refused}` };
    const absolute = folder.absolute + found.name.toString('utf8');
    const [seen, closed] = await Promise.all([
      lstat(absolute, { bigint: true }),
      found.isFile() ? unreadable(absolute) : undefined,
    ]);
    if (closed !== undefined) return closed;
    if (seen.isDirectory()) {
      if (isItsOwnParent(folder, seen)) return { why: 'it is a folder that contains it' };
      this.#waiting.push({
        prefix: `${path}/`,
        absolute: `${absolute}/`,
        parent: folder,
        stat: seen,
        filled: false,
      });
      return undefined;
    }
    if (!seen.isFile()) return { why: `it is ${special(seen)}` };
    const hidden = await unsized(absolute, seen);
    if (hidden !== undefined) return hidden;
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

/** A folder's path, to append names to. */
function inside(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
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

/** Why a file that is said to be empty can't be shared: it is not, as those of /proc. */
async function unsized(path: string, { size }: BigIntStats): Promise<Reason | undefined> {
  if (size !== 0n) return undefined;
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { bytesRead } = await file.read(new Uint8Array(1), 0, 1, 0);
      return bytesRead === 0 ? undefined : { why: 'the system does not tell its size; share a copy of it' };
    } finally {
      await file.close();
    }
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
