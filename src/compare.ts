/** A link and a path in, every difference out: is what stands there what the link names? */
import { holds, rightPieces, type OpenedShare } from './check.ts';
import { Download, type OpeningDeps } from './download.ts';
import { isShoalError, ShoalError } from './errors.ts';
import type { FetchEvent } from './fetch.ts';
import { streamKey } from './format/keys.ts';
import { Layout, placesOf, type Place, type Root } from './format/layout.ts';
import type { Link } from './format/link.ts';
import type { Manifest, ManifestEntry } from './format/manifest.ts';
import { pieceLength } from './format/pieces.ts';
import { CHECK_CHUNKS_PATIENCE_MS, MAX_CHECK_CHUNKS } from './limits.ts';
import { keyOf, openShare } from './open.ts';
import type { ChunkStore, Crypto, Holdings, Tree, TreeEntry } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';
import { within } from './within.ts';

export interface CompareDeps extends OpeningDeps {
  /** What is at a path, and all there that can not be shared. */
  readonly walk: (path: string, signal: AbortSignal) => Promise<Tree>;
}

export interface CompareRequest {
  readonly link: Link;
  /** Of a file or folder, whatever its name. */
  readonly path: string;
  /** For the blocks that are needed to read the names; those that it has are not asked for. */
  readonly store: ChunkStore;
  readonly timeoutMs?: number;
}

/** How an entry differs. `unsure` is one that lies in a chunk with others that differ, where that chunk can't be had. */
export interface Difference {
  /** Of the entry, relative; of a share of a single file its name in the share. */
  readonly path: string;
  readonly what: 'missing' | 'extra' | 'kind' | 'size' | 'executable' | 'content' | 'unsure';
  /** In words, safe to show. */
  readonly why: string;
}

export interface Compared {
  readonly manifest: Manifest;
  readonly sizeBytes: number;
  readonly files: number;
  /** By path; none when the path is exactly what the link names. */
  readonly differences: readonly Difference[];
}

/**
 * Holds the file or folder at a path against a share: names, kinds, sizes, contents, and where the share says that a file is
 * executable, that. Times do not count, nor does the name of the file or folder itself.
 * @throws ShoalError by `fileError` when the path, or anything in it, can't be read; what opening the share throws
 */
export async function compare(
  deps: CompareDeps,
  request: CompareRequest,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<Compared> {
  const { link, path, store, timeoutMs } = request;
  const key = keyOf(link);
  const tree = await deps.walk(path, signal);
  refuseUnreadable(path, tree);
  const download = new Download(deps, { id: link.id, hints: link.hints, signal, onEvent, timeoutMs });
  try {
    const share = await openShare(download, store, deps.crypto, link.id, key);
    const { manifest } = share;
    const { entries } = manifest;
    const files = entries.filter(({ directory }) => directory !== true).length;
    const sizeBytes = entries.reduce((sum, { size }) => sum + size, 0);
    onEvent({ event: 'opened', kind: manifest.kind, name: manifest.name, sizeBytes, files });
    const names = compareNames(manifest, tree);
    // Peers are taken to have all; who lacks a chunk says so.
    const held = deps.network === undefined ? await deps.local?.have(link.id) : 'all';
    const contents = await compareContents(deps, download, share, tree.root, names.alike, held, onEvent, signal);
    const differences = [...names.differences, ...contents];
    return { manifest, sizeBytes, files, differences: differences.sort(byPath) };
  } finally {
    await download.close(false);
  }
}

function refuseUnreadable(path: string, { problems, kind }: Tree): void {
  const unreadable = problems.filter(({ isUnreadable }) => isUnreadable === true);
  const [first] = unreadable;
  if (first === undefined) return;
  const more = unreadable.length > 1 ? `, and ${unreadable.length - 1} more` : '';
  const what = kind === 'file' || first.path === '.' ? '' : `"${first.path}" in it: `;
  throw new ShoalError('denied', `cannot check "${path}": ${what}${first.why}${more}; change its permissions`);
}

/** @returns what differs already without reading, and the entries whose contents are to be read, by their numbers */
function compareNames(manifest: Manifest, tree: Tree): { differences: Difference[]; alike: Set<number> } {
  const { kind, entries, name } = manifest;
  const alike = new Set<number>();
  if (tree.kind !== kind) {
    const why = `it is a ${tree.kind}, and the link names a ${kind}`;
    return { differences: [{ path: name, what: 'kind', why }], alike };
  }
  const differences: Difference[] = [];
  const found = new Map(tree.entries.map(entry => [kind === 'file' ? (entries[0]?.path ?? '') : entry.path, entry]));
  const others = new Map(tree.problems.map(({ path, why }) => [path, why]));
  const folders = foldersOf(found.keys());
  const expected = new Set(entries.map(({ path }) => path));
  const expectedFolders = foldersOf(expected);
  for (const [n, entry] of entries.entries()) {
    const { path } = entry;
    const there = found.get(path);
    const other = others.get(path);
    const isFolder = there?.directory === true || folders.has(path);
    others.delete(path);
    if (other !== undefined) differences.push({ path, what: 'kind', why: other });
    else if (entry.directory === true && isFolder) continue;
    else if (there === undefined && !isFolder) differences.push({ path, what: 'missing', why: 'it is missing' });
    else if (there === undefined || isFolder || entry.directory === true)
      differences.push({ path, what: 'kind', why: isFolder ? 'it is a folder' : 'it is a file' });
    else {
      const different = compareStat(entry, there);
      differences.push(...different);
      if (there.sizeBytes === entry.size) alike.add(n);
    }
  }
  for (const [path, { directory }] of found) {
    if (expected.has(path) || (directory === true && expectedFolders.has(path))) continue;
    const why = directory === true ? 'it is an empty folder that the link does not name' : 'the link does not name it';
    differences.push({ path, what: 'extra', why });
  }
  for (const [path, why] of others) differences.push({ path, what: 'extra', why });
  return { differences, alike };
}

function compareStat(entry: ManifestEntry, there: TreeEntry): Difference[] {
  const { path, size } = entry;
  const differences: Difference[] = [];
  if (there.sizeBytes !== size)
    differences.push({ path, what: 'size', why: `it has ${there.sizeBytes} bytes instead of ${size}` });
  if (entry.executable === true && !there.executable)
    differences.push({ path, what: 'executable', why: 'it is not executable' });
  return differences;
}

/** All folders that paths lie in. */
function foldersOf(paths: Iterable<string>): Set<string> {
  const folders = new Set<string>();
  for (const path of paths) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const folder = path.slice(0, end);
      if (folders.has(folder)) break;
      folders.add(folder);
    }
  }
  return folders;
}

/** Of the entries that are `alike` but for their contents, those whose contents differ. */
async function compareContents(
  deps: CompareDeps,
  download: Download,
  share: OpenedShare,
  root: Root,
  alike: ReadonlySet<number>,
  held: Holdings | undefined,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<Difference[]> {
  const { manifest, listing } = share;
  const streamSize = listing.size('data');
  const layout = new Layout(manifest.entries.map(({ size }) => size));
  const [whole, broken] = [new IndexSet(listing.count('data')), new Set<number>()];
  let [doneBytes, totalBytes] = [0, 0];
  for (const entry of alike) {
    const { first, count } = layout.chunksOf(entry);
    for (let index = first; index < first + count; index++) {
      if (whole.has(index) || broken.has(index)) continue;
      if (!layout.piece(index, streamSize).runs.every(run => alike.has(run.entry))) broken.add(index);
      else {
        whole.add(index);
        totalBytes += pieceLength(streamSize, index);
      }
    }
  }
  const reader = new CarefulReader(deps.crypto);
  const content = (index: number): Promise<{ content: Place[]; zeros: number }> => {
    const { places, zeros } = placesOf(root, manifest, layout, index, streamSize);
    doneBytes += pieceLength(streamSize, index);
    onEvent({ event: 'progress', doneBytes, totalBytes, peers: 0 });
    return Promise.resolve({ content: places, zeros });
  };
  const right = new Set(await rightPieces(reader, share, whole, content, signal));
  reader.throwFailure();
  const placesIn = (index: number): Placed[] => {
    let begin = 0;
    const { places } = placesOf(root, manifest, layout, index, streamSize);
    const placed = places.map(place => ({ ...place, begin: (begin += place.length) - place.length }));
    return placed.filter(({ entry }) => alike.has(entry));
  };
  const changed = new Set<number>();
  for (const index of whole) {
    const [first, ...others] = placesIn(index);
    if (right.has(index) || first === undefined) continue;
    if (others.length === 0) changed.add(first.entry);
    else broken.add(index);
  }
  const unsure = new Set([...broken].filter(index => placesIn(index).some(({ entry }) => !changed.has(entry))));
  const onChanged = (entry: number): void => void changed.add(entry);
  await lookIntoChunks(deps, reader, download, share, held, unsure, placesIn, onChanged, signal);
  reader.throwFailure();
  const inUnsure = new Set([...unsure].flatMap(placesIn).map(({ entry }) => entry));
  return [
    ...differencesOf(manifest, changed, 'content', 'its contents are others'),
    ...differencesOf(
      manifest,
      [...inUnsure].filter(entry => !changed.has(entry)),
      'unsure',
      'it may be right: it lies in one chunk with others that differ, and that chunk is not at hand',
    ),
  ];
}

function differencesOf(
  { entries }: Manifest,
  numbers: Iterable<number>,
  what: Difference['what'],
  why: string,
): Difference[] {
  return Array.from(numbers, n => ({ path: entries[n]?.path ?? '', what, why }));
}

/** Where a part of a piece lies in a file, and where it begins in the piece. */
type Placed = Place & { readonly begin: number };

/**
 * Which of several files in one chunk are not what they were only the chunk itself tells: gets it, where somebody has it.
 * @param unsure the chunks; those that were got are taken out
 */
async function lookIntoChunks(
  deps: CompareDeps,
  reader: Pick<Crypto, 'seal'>,
  download: Download,
  { key, listing }: OpenedShare,
  held: Holdings | undefined,
  unsure: Set<number>,
  placesIn: (index: number) => Placed[],
  onChanged: (entry: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const data = held === 'all' ? IndexSet.full(listing.count('data')) : new IndexSet(listing.count('data'), held?.data);
  const indices = [...unsure].filter(index => data.has(index)).slice(0, MAX_CHECK_CHUNKS);
  if (indices.length === 0) return;
  const dataKey = streamKey(key, 'data');
  const getting = download.blocks({ kind: 'chunk', stream: 'data', indices }, async (index, chunk, over) => {
    const piece = await deps.crypto.open(dataKey, index, chunk, await listing.digest('data', index), over);
    for (const place of placesIn(index)) {
      const expected = piece.subarray(place.begin, place.begin + place.length);
      if (!(await holds(reader, place, expected, signal))) onChanged(place.entry);
    }
    unsure.delete(index);
  });
  getting.catch(() => undefined);
  await within(deps.clock, CHECK_CHUNKS_PATIENCE_MS, getting).catch((error: unknown) => {
    signal.throwIfAborted();
    if (!isShoalError(error)) throw error;
  });
}

/** Seals, and remembers that a file could not be read: that is no difference. */
class CarefulReader {
  readonly #crypto: Crypto;
  #failure: ShoalError | undefined;

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  async seal(...[key, pieces, keep, signal]: Parameters<Crypto['seal']>): ReturnType<Crypto['seal']> {
    try {
      return await this.#crypto.seal(key, pieces, keep, signal);
    } catch (error) {
      if (isShoalError(error, 'denied') || isShoalError(error, 'io')) this.#failure ??= error;
      throw error;
    }
  }

  /** @throws ShoalError what a file could not be read for */
  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function byPath(a: Difference, b: Difference): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
