/** Where a fetch puts its output: beside the final place until it is complete, then there. */
import { lstat, mkdir, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import type { Manifest } from '../format/manifest.ts';
import { inParallel } from '../parallel.ts';
import type { ChunkStore, Destination, Directory, Sink, SinkContent, Standing } from '../ports.ts';
import { openDirectory } from './directory.ts';
import type { Lock } from './lock.ts';
import { harmlessName, showName } from './names.ts';
import { claimPart, makeUnlessThere, removePart, removeUnusedPart, tagOf } from './part.ts';
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
/** So many names make clear what is meant. */
const SOME_NAMES = 3;

/**
 * Prepares the part folder of a fetch, which one process at a time can use.
 * @throws ShoalError `in-use` when another process fetches the same to the same place; by `fileError`
 */
export async function folderDestination(options: FolderDestinationOptions): Promise<ClosableDestination> {
  const place = await placeOf(options.output);
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

async function placeOf(output: string): Promise<Place> {
  const path = resolve(output);
  if (/[/\\]$/.test(output) && path !== '/') {
    await mkdir(path, { recursive: true }).catch((error: unknown) => {
      throw fileError(error, `make the folder "${showName(path)}"`);
    });
    return { parent: path };
  }
  if (await isFolder(path)) return { parent: path };
  const parent = dirname(path);
  if (!(await isFolder(parent)))
    throw new ShoalError(
      'io',
      `cannot fetch to "${showName(path)}": the folder "${showName(parent)}" does not exist; make it first, or choose another place with --output`,
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

  /** Also where an earlier run made the folder that now looks like a place to put the output into. */
  async standing(manifest: Manifest): Promise<Standing | undefined> {
    const inside = this.pathOf(manifest);
    if (this.#place.name === undefined && manifest.kind === 'folder' && manifest.entries.length > 0) {
      const itself = { root: this.#place.parent, plausible: await isPlausible(this.#place.parent, manifest) };
      if (itself.plausible) return itself;
    }
    return (await exists(inside)) ? { root: inside, plausible: await isPlausible(inside, manifest) } : undefined;
  }

  async strangers(manifest: Manifest, isWanted: (path: string) => boolean): Promise<readonly string[]> {
    const root = this.pathOf(manifest);
    const found = await lstat(root).catch(() => undefined);
    if (found?.isDirectory() !== true) return [];
    const own = new Set(manifest.kind === 'file' ? [] : manifest.entries.map(({ path }) => path).filter(isWanted));
    const strangers: string[] = [];
    await findOthers(root, '', own, strangers);
    return strangers;
  }

  pathOf(manifest: Manifest): string {
    return join(this.#place.parent, this.#nameOf(manifest));
  }

  #nameOf(manifest: Manifest): string {
    return this.#place.name ?? harmlessName(manifest.name);
  }

  async open(content: SinkContent, signal: AbortSignal): Promise<Sink> {
    this.#hasOutput = true;
    const place = { parent: this.#parent, tag: this.#tag, finalName: this.#nameOf(content.manifest) };
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

/** Adds up to SOME_NAMES files below `folder` of `root` that are not in `own`. */
async function findOthers(root: string, folder: string, own: ReadonlySet<string>, others: string[]): Promise<void> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(error, `look into "${showName(join(root, folder))}"`);
  });
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) await findOthers(root, path, own, others);
    else if (!own.has(path)) others.push(showName(path));
    if (others.length >= SOME_NAMES) return;
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
