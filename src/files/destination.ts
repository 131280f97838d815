/** Where a fetch puts its output: beside the final place until it is complete, then there. */
import { constants, lstatSync, type Stats } from 'node:fs';
import { access, lstat, readdir, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import type { Manifest } from '../format/manifest.ts';
import { NAMES_SHOWN, SLOW_LOOK_MS } from '../limits.ts';
import { Pace } from '../pace.ts';
import { inParallel } from '../parallel.ts';
import type { ChunkStore, Destination, Directory, PlannedPlace, Sink, SinkContent, Standing } from '../ports.ts';
import { openDirectory } from './directory.ts';
import type { Lock } from './lock.ts';
import { makeFolders } from './folders.ts';
import { harmlessName, showName } from './names.ts';
import { readJournal } from './journal.ts';
import { claimPart, isPartInUse, makeUnlessThere, partName, removePart, removeUnusedPart, tagOf } from './part.ts';
import { openSink } from './sink.ts';

export interface FolderDestinationOptions {
  readonly id: BlockId;
  /** An absolute path. A folder that is there, or a path that ends with a slash: the output goes into it; else it is the final place itself. */
  readonly output: string;
  /** Where the share's blocks are kept between runs; given a folder for them, which belongs to the store from then on. */
  readonly storeIn: (folder: Directory) => ClosableStore;
}

export interface ClosableStore {
  readonly store: ChunkStore;
  close(): Promise<void>;
}

export interface ClosableDestination extends Destination {
  /** Lets go; what was written stays for the next run. */
  close(): Promise<void>;
}

const BLOCKS = 'blocks';
const STATS_AT_ONCE = 8;
/** On a local disk a look takes less time than handing it to another thread. */
const looks = new Pace(SLOW_LOOK_MS);

/**
 * Prepares the part folder of a fetch, which one process at a time can use.
 * @throws ShoalError `in-use` when another process fetches the same to the same place; by `fileError`
 */
export async function folderDestination(options: FolderDestinationOptions): Promise<ClosableDestination> {
  const place = await placeOf(options.output, true);
  const parent = await openDirectory(place.parent);
  try {
    const tag = tagOfFetch(options.id, place.name);
    const { part, held } = await claimPart(parent, place.parent, tag, () => otherFetches(options.output));
    try {
      await makeUnlessThere(part, BLOCKS);
      const blocks = options.storeIn(await part.enter(BLOCKS));
      return new FolderDestination(options, place, parent, part, tag, held, blocks);
    } catch (error) {
      held.release();
      await part.close();
      throw error;
    }
  } catch (error) {
    await parent.close();
    throw error;
  }
}

/** The folder that gets the output, and its name there where the user has chosen it. */
interface Place {
  readonly parent: string;
  readonly name?: string;
}

/** @param make whether a folder that is to get the output is made where there is none */
async function placeOf(output: string, make: boolean): Promise<Place> {
  const path = resolve(output);
  if (/[/\\]$/.test(output) && path !== '/') {
    if (make)
      await makeFolders(path).catch((error: unknown) => {
        throw fileError(error, `make the folder "${showName(path)}"`);
      });
    return { parent: path };
  }
  if (await isFolder(path)) return { parent: path };
  const parent = dirname(path);
  if (!(await isFolder(parent)))
    throw new ShoalError(
      'io',
      `cannot fetch to "${showName(path)}": there is no folder "${showName(parent)}"; make it first, or choose another place with --output`,
    );
  return { parent, name: basename(path) };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

function otherFetches(output: string): ShoalError {
  return new ShoalError(
    'in-use',
    `cannot fetch to "${showName(resolve(output))}": the same share is being fetched there already; wait for that, or choose another place with --output`,
  );
}

/** The same share to the same place has the same part folder. */
function tagOfFetch(id: BlockId, name = ''): string {
  return tagOf('shoal/part', id, name);
}

/**
 * Looks at the place of a fetch; nothing is made.
 * @throws ShoalError by `fileError`
 */
export async function plannedPlace({ id, output }: Omit<FolderDestinationOptions, 'storeIn'>): Promise<PlannedPlace> {
  const place = await placeOf(output, false);
  return {
    standing: (manifest, isWanted) => standingAt(place, manifest, isWanted),
    strangers: (manifest, isWanted) => strangersAt(place, manifest, isWanted),
    pathOf: manifest => pathAt(place, manifest),
    claimed: count => claimedAt(place, output, tagOfFetch(id, place.name), count),
    roomBytes: () => roomAt(place.parent),
  };
}

/** What the part folder of a tag says it has. */
async function claimedAt(place: Place, output: string, tag: string, count: number): Promise<number[]> {
  if (!(await isFolder(place.parent))) return [];
  const parent = await openDirectory(place.parent);
  try {
    if ((await parent.stat(partName(tag))) === undefined) return [];
    const part = await parent.enter(partName(tag));
    try {
      if (await isPartInUse(part, join(place.parent, partName(tag)))) throw otherFetches(output);
      return await readJournal(part, count);
    } finally {
      await part.close();
    }
  } finally {
    await parent.close();
  }
}

/** What may be written below `path`, which itself may have to be made. */
async function roomAt(path: string): Promise<number> {
  try {
    await access(path, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(path, { bigint: true });
    return Number(bavail * bsize);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(path) !== path)
      return await roomAt(dirname(path));
    throw fileError(error, `write to "${showName(path)}"`);
  }
}

class FolderDestination implements ClosableDestination {
  readonly store: ChunkStore;
  readonly #closeStore: () => Promise<void>;
  readonly #options: FolderDestinationOptions;
  readonly #place: Place;
  readonly #parent: Directory;
  readonly #part: Directory;
  readonly #tag: string;
  readonly #lock: Lock;
  #hasOutput = false;

  constructor(
    options: FolderDestinationOptions,
    place: Place,
    parent: Directory,
    part: Directory,
    tag: string,
    held: Lock,
    blocks: ClosableStore,
  ) {
    this.#options = options;
    this.#place = place;
    this.#parent = parent;
    this.#part = part;
    this.#tag = tag;
    this.#lock = held;
    this.store = blocks.store;
    this.#closeStore = () => blocks.close();
  }

  async standing(manifest: Manifest, isWanted: (entry: number) => boolean): Promise<Standing | undefined> {
    return await standingAt(this.#place, manifest, isWanted);
  }

  async strangers(manifest: Manifest, isWanted: (path: string) => boolean): Promise<readonly string[]> {
    return await strangersAt(this.#place, manifest, isWanted);
  }

  pathOf(manifest: Manifest): string {
    return pathAt(this.#place, manifest);
  }

  async open(content: SinkContent, signal: AbortSignal): Promise<Sink> {
    this.#hasOutput = true;
    const { standing, ...what } = content;
    const finalName = nameAt(this.#place, content.manifest);
    const isParent = standing !== undefined && standing.root !== pathAt(this.#place, content.manifest);
    const addTo = standing === undefined ? undefined : isParent ? 'parent' : 'final';
    return await openSink({ parent: this.#parent, tag: this.#tag, finalName, addTo, ...what }, signal);
  }

  async discard(): Promise<void> {
    await removePart(this.#parent, this.#tag);
    if (this.#place.name !== undefined) return;
    // Where the folder itself is the output of an earlier run, its part folder lies beside it.
    const path = this.#place.parent;
    const beside = await openDirectory(dirname(path));
    try {
      await removeUnusedPart(beside, dirname(path), tagOfFetch(this.#options.id, basename(path)));
    } finally {
      await beside.close();
    }
  }

  /** A part folder without any output is of no use to a later run. */
  async close(): Promise<void> {
    await this.#closeStore();
    const isWorthless = !this.#hasOutput && (await this.#part.stat('output')) === undefined;
    await this.#part.close();
    // The lock is given back last: the next one must not find a folder that is about to go.
    if (isWorthless) await removePart(this.#parent, this.#tag);
    this.#lock.release();
    await this.#parent.close();
  }
}

function pathAt(place: Place, manifest: Manifest): string {
  return join(place.parent, nameAt(place, manifest));
}

function nameAt({ name }: Place, manifest: Manifest): string {
  return name ?? harmlessName(manifest.name);
}

/**
 * Also where an earlier run made the folder that now looks like a place to put the output into: one with all that is wanted,
 * or one with some files of the share and no others.
 */
async function standingAt(
  place: Place,
  manifest: Manifest,
  isWanted: (entry: number) => boolean,
): Promise<Standing | undefined> {
  const { entries, kind } = manifest;
  if (place.name === undefined && kind === 'folder' && entries.length > 0) {
    // The folder may be given by a link to it; in it none is followed.
    const found = await foundAt(`${place.parent}/.`, manifest);
    const wanted = found.filter((_, n) => isWanted(n));
    const hasSome = (): boolean => entries.some(({ size }, n) => size > 0 && found[n] === 'alike');
    const isOutput =
      wanted.every(one => one === 'alike') ||
      (!wanted.includes('other') && hasSome() && !(await hasOthers(place.parent, manifest)));
    if (isOutput) return { root: place.parent, isFolder: true, found };
  }
  const inside = pathAt(place, manifest);
  if (!(await exists(inside))) return undefined;
  return { root: inside, isFolder: isFolderSeen(await look(inside)), found: await foundAt(inside, manifest) };
}

/** Whether there are files in a folder that are not of the share; part folders do not count. */
async function hasOthers(root: string, { entries }: Manifest): Promise<boolean> {
  const [own, others]: [Set<string>, string[]] = [new Set(entries.map(({ path }) => path)), []];
  const looking = findOthers(root, '', own, others, name => harmlessName(name) !== name);
  // What can't be looked into may hold others.
  return await looking.then(
    () => others.length > 0,
    () => true,
  );
}

async function strangersAt(
  place: Place,
  manifest: Manifest,
  isWanted: (path: string) => boolean,
): Promise<readonly string[]> {
  const root = pathAt(place, manifest);
  const found = await lstat(root).catch(() => undefined);
  if (found?.isDirectory() !== true) return [];
  const own = new Set(manifest.kind === 'file' ? [] : manifest.entries.map(({ path }) => path).filter(isWanted));
  const strangers: string[] = [];
  await findOthers(root, '', own, strangers);
  return strangers;
}

/** Adds files below `folder` of `root` that are not in `own`, until there are more than are shown. @param isIgnored tells of a name in `root` */
async function findOthers(
  root: string,
  folder: string,
  own: ReadonlySet<string>,
  others: string[],
  isIgnored: (name: string) => boolean = () => false,
): Promise<void> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(error, `look into "${showName(join(root, folder))}"`);
  });
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (folder === '' && isIgnored(entry.name)) continue;
    if (entry.isDirectory()) await findOthers(root, path, own, others);
    else if (!own.has(path)) others.push(showName(path));
    if (others.length > NAMES_SHOWN) return;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileError(error, `look at "${showName(path)}"`);
  }
}

/** What stands at the places of the entries of a share at `root`: by kind and size, nothing is read. */
async function foundAt(root: string, { kind, entries }: Manifest): Promise<Standing['found'][number][]> {
  const found: Standing['found'][number][] = entries.map(() => 'other');
  const folders = new Map<string, Promise<Standing['found'][number]>>();
  /** `other` also of a link to a folder: nothing is to be added there. */
  const folder = (path: string): Promise<Standing['found'][number]> => {
    const known = folders.get(path);
    if (known !== undefined) return known;
    const looking = (async () => {
      const above = path === '' ? 'alike' : await folder(path.slice(0, Math.max(path.lastIndexOf('/'), 0)));
      if (above === 'none') return above;
      const seen = await look(path === '' ? root : `${root}/${path}`);
      return seen === undefined ? 'none' : isFolderSeen(seen) ? above : 'other';
    })();
    folders.set(path, looking);
    return looking;
  };
  await inParallel(entries.keys(), STATS_AT_ONCE, async n => {
    const { path, size, directory } = entries[n]!;
    const above = kind === 'file' ? 'alike' : await folder(path.slice(0, Math.max(path.lastIndexOf('/'), 0)));
    const seen = above === 'none' ? undefined : await look(kind === 'file' ? root : `${root}/${path}`);
    if (seen === undefined) found[n] = above === 'alike' ? 'none' : above;
    else if (seen === 'unseen') return;
    else if (directory === true ? seen.isDirectory() : seen.isFile() && seen.size === size) found[n] = 'alike';
  });
  return found;
}

/** undefined for nothing, `unseen` for what can't be looked at. */
async function look(path: string): Promise<Stats | 'unseen' | undefined> {
  try {
    return await looks.step(
      () => lstatSync(path, { throwIfNoEntry: false }),
      () => lstat(path),
    );
  } catch (error) {
    return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '') ? undefined : 'unseen';
  }
}

function isFolderSeen(seen: Stats | 'unseen' | undefined): boolean {
  return seen !== undefined && seen !== 'unseen' && seen.isDirectory();
}
