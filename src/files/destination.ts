/** Where a fetch puts its output: beside the final place until it is complete, then there. */
import { constants } from 'node:fs';
import { access, lstat, readdir, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import type { Manifest } from '../format/manifest.ts';
import { NAMES_SHOWN } from '../limits.ts';
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

/**
 * Prepares the part folder of a fetch, which one process at a time can use.
 * @throws ShoalError `in-use` when another process fetches the same to the same place; by `fileError`
 */
export async function folderDestination(options: FolderDestinationOptions): Promise<ClosableDestination> {
  const place = await placeOf(options.output, true);
  const parent = await openDirectory(place.parent);
  try {
    const tag = tagOfFetch(options.id, place.name);
    const { part, held } = await claimPart(parent, place.parent, tag, () => otherFetches(place.parent));
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

function otherFetches(path: string): ShoalError {
  return new ShoalError(
    'in-use',
    `cannot fetch to "${showName(path)}": another process is fetching the same share there; wait for it, or choose another place with --output`,
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
    standing: manifest => standingAt(place, manifest),
    strangers: (manifest, isWanted) => strangersAt(place, manifest, isWanted),
    pathOf: manifest => pathAt(place, manifest),
    claimed: count => claimedAt(place, tagOfFetch(id, place.name), count),
    roomBytes: () => roomAt(place.parent),
  };
}

/** What the part folder of a tag says it has. */
async function claimedAt(place: Place, tag: string, count: number): Promise<number[]> {
  if (!(await isFolder(place.parent))) return [];
  const parent = await openDirectory(place.parent);
  try {
    if ((await parent.stat(partName(tag))) === undefined) return [];
    const part = await parent.enter(partName(tag));
    try {
      if (await isPartInUse(part, join(place.parent, partName(tag)))) throw otherFetches(place.parent);
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

  async standing(manifest: Manifest): Promise<Standing | undefined> {
    return await standingAt(this.#place, manifest);
  }

  async strangers(manifest: Manifest, isWanted: (path: string) => boolean): Promise<readonly string[]> {
    return await strangersAt(this.#place, manifest, isWanted);
  }

  pathOf(manifest: Manifest): string {
    return pathAt(this.#place, manifest);
  }

  async open(content: SinkContent, signal: AbortSignal): Promise<Sink> {
    this.#hasOutput = true;
    const place = { parent: this.#parent, tag: this.#tag, finalName: nameAt(this.#place, content.manifest) };
    return await openSink({ ...place, ...content }, signal);
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

/** Also where an earlier run made the folder that now looks like a place to put the output into. */
async function standingAt(place: Place, manifest: Manifest): Promise<Standing | undefined> {
  const inside = pathAt(place, manifest);
  if (place.name === undefined && manifest.kind === 'folder' && manifest.entries.length > 0) {
    const itself = { root: place.parent, plausible: await isPlausible(place.parent, manifest) };
    if (itself.plausible) return itself;
  }
  return (await exists(inside)) ? { root: inside, plausible: await isPlausible(inside, manifest) } : undefined;
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

/** Adds files below `folder` of `root` that are not in `own`, until there are more than are shown. */
async function findOthers(root: string, folder: string, own: ReadonlySet<string>, others: string[]): Promise<void> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(error, `look into "${showName(join(root, folder))}"`);
  });
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
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

/** Whether every entry is there, of the right kind and size. */
async function isPlausible(root: string, manifest: Manifest): Promise<boolean> {
  let plausible = true;
  const isRight = async (path: string, kind: 'isFile' | 'isDirectory', size?: number): Promise<boolean> => {
    const found = await lstat(path).catch(() => undefined);
    return found?.[kind]() === true && (size === undefined || found.size === size);
  };
  if (manifest.kind === 'folder' && !(await isRight(root, 'isDirectory'))) return false;
  await inParallel(manifest.entries, STATS_AT_ONCE, async entry => {
    const path = manifest.kind === 'file' ? root : `${root}/${entry.path}`;
    if (
      plausible &&
      !(await isRight(
        path,
        entry.directory === true ? 'isDirectory' : 'isFile',
        entry.directory === true ? undefined : entry.size,
      ))
    )
      plausible = false;
  });
  return plausible;
}
