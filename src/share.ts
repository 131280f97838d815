/** Plaintext in, share id and link out. */
import { isShoalError, ShoalError } from './errors.ts';
import { sealShareBlock } from './format/commitment.ts';
import type { Hint } from './format/hint.ts';
import { checkExpiry } from './format/expiry.ts';
import { DIGEST_BYTES, type BlockId } from './format/ids.ts';
import { fileKey, newFileKey, streamKey, type FileKey } from './format/keys.ts';
import { Layout, placesOf, type Root } from './format/layout.ts';
import { Listing } from './format/listing.ts';
import { encodeManifest, shareNameProblem, type Manifest } from './format/manifest.ts';
import { chunkCount, pad, pieceLength } from './format/pieces.ts';
import { quoted } from './format/quoted.ts';
import {
  ciphertextBytes,
  decodeShareBlock,
  listStream,
  ownerOf,
  type StreamList,
  type StreamName,
} from './format/share-block.ts';
import { checkKept, discard } from './kept.ts';
import { MAX_NOTE_BYTES, OWNER_SALT_BYTES, PIECE_BYTES, PIECES_PER_TASK, TASKS_AHEAD } from './limits.ts';
import { inParallel } from './parallel.ts';
import type { Catalog } from './catalog.ts';
import type { ChunkSource, ChunkStore, Clock, Crypto, PieceToSeal, RandomBytes, Tree } from './ports.ts';

export interface ShareDeps {
  readonly crypto: Crypto;
  readonly catalog: Catalog;
  readonly store: ChunkStore;
  readonly random: RandomBytes;
  readonly clock: Clock;
  /** What is at some paths, but for what is excluded, and everything there that can not be shared. */
  readonly walk: (paths: readonly string[], exclude: readonly string[], signal: AbortSignal) => Promise<Tree>;
  readonly fingerprint: (tree: Tree) => Uint8Array;
  /** Told which share is about to be made of the files, before anybody else can know it, and the bytes of the copy to come. */
  readonly begun: (id: BlockId, keptBytes: number) => Promise<void>;
  /** The chunks of a share that is being made, made again from its files. */
  readonly original: (made: Made) => ChunkSource;
}

/** A share of which all but the data chunks is kept, and that nobody knows yet. */
export interface Made {
  readonly id: BlockId;
  readonly key: FileKey;
  readonly root: Root;
  readonly manifest: Manifest;
  readonly listing: Listing;
}

export interface ShareRequest {
  /** A file or folder; several become one folder. */
  readonly paths: readonly string[];
  /** Globs of what is left out. */
  readonly exclude: readonly string[];
  /** What readers see instead of the path's last segment, or of what several paths are together. */
  readonly name?: string;
  /** What readers are told of it. */
  readonly note?: string;
  /** Go on without what can not be shared. */
  readonly skip: boolean;
  /** Keep a copy of the ciphertext, so that the files may change or go. */
  readonly copy: boolean;
  /** Hide the exact size. */
  readonly pad: boolean;
  /** A new key and link, also where the same files were shared before. */
  readonly anew: boolean;
  /** Serve it under a peer id of its own. */
  readonly freshId?: boolean | undefined;
  /** Whether the share goes on, without a command, whenever this home has a daemon. */
  readonly serveAlways: boolean;
  readonly hints: readonly Hint[];
  /** When honest nodes stop to serve it: Unix seconds, a full hour; never when absent. */
  readonly expires?: number;
}

export type ShareEvent =
  | { readonly event: 'skipped'; readonly path: string; readonly why: string }
  /** Something was to be left out, and nothing was found for it. */
  | { readonly event: 'unmatched'; readonly glob: string }
  /** The same was shared before, and nobody could fetch it from here any more: there will be a new link. */
  | { readonly event: 'damaged'; readonly id: string; readonly why: string }
  | { readonly event: 'sealing'; readonly doneBytes: number; readonly totalBytes: number };

export interface Shared {
  readonly id: BlockId;
  readonly key: FileKey;
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly sizeBytes: number;
  readonly files: number;
  /** It was shared before, and the files are as they were: the same link as then. */
  readonly again: boolean;
}

const utf8 = new TextEncoder();

/**
 * Encrypts files and folders in place: what is kept is the share block, index blocks and manifest; chunks are made again from
 * the files when somebody asks (format.md §4).
 * @throws ShoalError `not-shareable` naming everything that can't be shared, `changed` naming a file that changed while it
 *   was read, `bad-name`, `usage`, `denied`, `io`, `disk-full`, `interrupted`. Nothing of an interrupted share is kept.
 */
export async function share(
  deps: ShareDeps,
  request: ShareRequest,
  onEvent: (event: ShareEvent) => void,
  signal: AbortSignal,
): Promise<Shared> {
  checkWords(request);
  const { expires } = request;
  const ending = expires === undefined ? {} : { expires };
  if (expires !== undefined) checkExpiry(expires, deps.clock.now() / 1000);
  const tree = await deps.walk(request.paths, request.exclude, signal);
  settleProblems(tree, request.skip, onEvent);
  const known = request.anew ? undefined : await sharedBefore(deps, tree, request, onEvent);
  if (known !== undefined) return known;

  const key = newFileKey(deps.random);
  const ownerSalt = deps.random(OWNER_SALT_BYTES);
  const manifest = manifestOf(tree, request);
  const data = await sealData(deps, key, tree, request.pad, onEvent, signal);
  const names = await sealManifest(deps, key, encodeManifest(manifest));
  const owner = ownerOf(deps.catalog.ownerSeed(ownerSalt));
  const block = sealShareBlock(key, { owner, manifest: names.list, data: data.list, ...ending });

  const sizeBytes = tree.entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  const files = tree.entries.filter(entry => entry.directory !== true).length;
  const record = {
    id: block.id,
    kind: manifest.kind,
    name: manifest.name,
    sizeBytes,
    files,
    source: request.copy ? ('copy' as const) : ('original' as const),
    root: tree.root,
    fingerprint: deps.fingerprint(tree),
    ...(request.note === undefined ? {} : { note: request.note }),
    hints: request.hints.map(hint => hint.text),
    createdAt: Math.floor(deps.clock.now() / 1000),
    serveAlways: request.serveAlways,
    ...ending,
    ...(request.freshId === true ? { freshId: true as const } : {}),
  };
  // Nobody knows the share until it is whole and durable; until then a crash leaves debris, and another key is used.
  deps.catalog.begin(block.id);
  try {
    await deps.begun(block.id, request.copy ? ciphertextBytes(decodeShareBlock(block.bytes)) : 0);
    await keep(deps.store, block, data.blocks, names);
    if (request.copy) {
      const made = { id: block.id, key, root: tree.root, manifest, listing: listingOf(deps.store, block) };
      await copyChunks(deps.original(made), deps.store, made, signal);
    }
    await checkKept(deps.store, block.id, request.copy);
    deps.catalog.add(record, { key, ownerSalt });
  } catch (error) {
    await discard(deps, block.id);
    throw error;
  }
  return { id: block.id, key, name: manifest.name, kind: manifest.kind, sizeBytes, files, again: false };
}

/**
 * What the sharer says must be what a reader accepts; better to know before all is read.
 * @throws ShoalError `bad-name`, `usage`
 */
export function checkWords({ name, note }: Partial<Pick<ShareRequest, 'name' | 'note'>>): void {
  if (name !== undefined) checkName(name);
  if (note === undefined) return;
  const sizeBytes = utf8.encode(note).length;
  const problem = !note.isWellFormed()
    ? 'holds half a character; type it anew'
    : sizeBytes > MAX_NOTE_BYTES
      ? `has ${sizeBytes} bytes, and at most ${MAX_NOTE_BYTES} are possible; put it into a file`
      : undefined;
  if (problem !== undefined) throw new ShoalError('usage', `cannot share with the note ${quoted(note)}: it ${problem}`);
}

function checkName(name: string): void {
  const problem = shareNameProblem(name);
  if (problem !== undefined)
    throw new ShoalError(
      'bad-name',
      `cannot share under the name ${quoted(name)}: it ${problem}; give another with --name`,
    );
}

function settleProblems(tree: Tree, skip: boolean, onEvent: (event: ShareEvent) => void): void {
  if (tree.problems.length > 0 && !skip) {
    const list = tree.problems.map(({ path, why }) => `\n  ${path}: ${why}`).join('');
    throw new ShoalError(
      'not-shareable',
      `cannot share everything in "${tree.name}"; mend or remove what follows, or go on without it with --skip:${list}`,
    );
  }
  for (const { path, why } of tree.problems) onEvent({ event: 'skipped', path, why });
  for (const glob of tree.unmatched) onEvent({ event: 'unmatched', glob });
  if (tree.entries.length > 0) return;
  const isEmptyFolder = tree.kind === 'folder' && typeof tree.root === 'string' && tree.excluded === 0;
  if (!isEmptyFolder)
    throw new ShoalError(
      'not-shareable',
      `cannot share ${quoted(tree.name)}: there is nothing left to share; ${tree.excluded > 0 ? 'exclude less' : 'mend what can not be shared'}`,
    );
}

/**
 * The newest share of the same files with the same name, note, end and padding that can still be served, if they are as they were then.
 * One under the peer id of the home is none that has its own: who knows its link could tell whose it is.
 */
async function sharedBefore(
  deps: ShareDeps,
  tree: Tree,
  request: ShareRequest,
  onEvent: (event: ShareEvent) => void,
): Promise<Shared | undefined> {
  const fingerprint = deps.fingerprint(tree).join();
  const same = deps.catalog.findByRoot(tree.root).filter(({ state, source, name, note, ...old }) => {
    const isSame = old.fingerprint?.join() === fingerprint && name === (request.name ?? tree.name);
    if (note !== request.note || old.expires !== request.expires) return false;
    if (old.freshId !== (request.freshId === true || undefined)) return false;
    return isSame && state === 'ready' && source === (request.copy ? 'copy' : 'original');
  });
  let damaged: ShareEvent | undefined;
  for (const { id, name, kind, sizeBytes, files } of same.reverse()) {
    const key = deps.catalog.keyOf(id);
    if (key === undefined) continue;
    try {
      await checkKept(deps.store, id, request.copy);
      const { data } = decodeShareBlock(await deps.store.read(id, { kind: 'share' }));
      if (data.size !== dataSize(layoutOf(tree), request.pad)) continue;
      return { id, key: fileKey(key), name, kind, sizeBytes, files, again: true };
    } catch (error) {
      if (!isShoalError(error, 'unavailable') && !isShoalError(error, 'io')) throw error;
      damaged ??= { event: 'damaged', id, why: error.message };
    }
  }
  if (damaged !== undefined) onEvent(damaged);
  return undefined;
}

function manifestOf(tree: Tree, { name = tree.name, note }: ShareRequest): Manifest {
  checkName(name);
  const entries = tree.entries.map(entry => ({
    path: tree.kind === 'file' ? name : entry.path,
    size: entry.sizeBytes,
    modified: entry.modifiedSeconds,
    ...(entry.executable ? { executable: true as const } : {}),
    ...(entry.directory === true ? { directory: true as const } : {}),
  }));
  return { kind: tree.kind, name, entries, ...(note === undefined ? {} : { note }) };
}

interface SealedStream {
  readonly list: StreamList;
  readonly blocks: readonly Uint8Array[];
}

/** Seals the files piece by piece; only the digests are kept. */
async function sealData(
  deps: ShareDeps,
  key: FileKey,
  tree: Tree,
  padded: boolean,
  onEvent: (event: ShareEvent) => void,
  signal: AbortSignal,
): Promise<SealedStream> {
  const layout = layoutOf(tree);
  const size = dataSize(layout, padded);
  const count = chunkCount(size);
  const digests = new Uint8Array(count * DIGEST_BYTES);
  const dataKey = streamKey(key, 'data');
  let doneBytes = 0;
  await inParallel(tasksOf(count), TASKS_AHEAD, async indices => {
    signal.throwIfAborted();
    const pieces = indices.map(index => pieceOf(tree, layout, index, size));
    const sealed = await deps.crypto.seal(dataKey, pieces, false, signal);
    sealed.forEach(({ digest }, n) => digests.set(digest, (indices[0] ?? 0) * DIGEST_BYTES + n * DIGEST_BYTES));
    doneBytes += indices.reduce((sum, index) => sum + pieceLength(size, index), 0);
    onEvent({ event: 'sealing', doneBytes: Math.min(doneBytes, layout.totalBytes), totalBytes: layout.totalBytes });
  });
  return listStream(size, digests);
}

function layoutOf(tree: Tree): Layout {
  return new Layout(tree.entries.map(entry => entry.sizeBytes));
}

/** Bytes of the data stream (format.md §4). */
function dataSize({ totalBytes }: Layout, padded: boolean): number {
  return padded ? pad(totalBytes) : totalBytes;
}

/** The indices below `count`, some at a time. */
function* tasksOf(count: number): Generator<number[]> {
  for (let start = 0; start < count; start += PIECES_PER_TASK) {
    yield Array.from({ length: Math.min(PIECES_PER_TASK, count - start) }, (_, n) => start + n);
  }
}

function pieceOf(tree: Tree, layout: Layout, index: number, size: number): PieceToSeal {
  const { places, zeros } = placesOf(tree.root, tree, layout, index, size);
  return { index, zeros, content: places.map(place => ({ ...place, expect: tree.entries[place.entry]?.stat })) };
}

interface SealedManifest extends SealedStream {
  readonly chunks: readonly Uint8Array[];
}

async function sealManifest(deps: ShareDeps, key: FileKey, plaintext: Uint8Array): Promise<SealedManifest> {
  const pieces = Array.from({ length: chunkCount(plaintext.length) }, (_, index) => ({
    index,
    content: plaintext.slice(index * PIECE_BYTES, (index + 1) * PIECE_BYTES),
    zeros: 0,
  }));
  const sealed = await deps.crypto.seal(streamKey(key, 'manifest'), pieces, true);
  const digests = new Uint8Array(sealed.length * DIGEST_BYTES);
  sealed.forEach(({ digest }, index) => digests.set(digest, index * DIGEST_BYTES));
  return { ...listStream(plaintext.length, digests), chunks: sealed.map(({ chunk }) => chunk ?? new Uint8Array()) };
}

/** What is referred to is there before what refers to it, and all of it is durable when this returns. */
async function keep(
  store: ChunkStore,
  block: { id: BlockId; bytes: Uint8Array },
  dataIndex: readonly Uint8Array[],
  names: SealedManifest,
): Promise<void> {
  const indexes: [StreamName, readonly Uint8Array[]][] = [
    ['manifest', names.blocks],
    ['data', dataIndex],
  ];
  for (const [index, chunk] of names.chunks.entries())
    await store.write(block.id, { kind: 'chunk', stream: 'manifest', index }, chunk);
  for (const [stream, blocks] of indexes) {
    for (const [index, bytes] of blocks.entries()) await store.write(block.id, { kind: 'index', stream, index }, bytes);
  }
  await store.write(block.id, { kind: 'share' }, block.bytes);
  await store.sync(block.id);
}

function listingOf(store: ChunkStore, { id, bytes }: { id: BlockId; bytes: Uint8Array }): Listing {
  return new Listing(decodeShareBlock(bytes), (stream, index) => store.read(id, { kind: 'index', stream, index }));
}

/** Copies all data chunks of a share whose other blocks `store` has. */
async function copyChunks(
  from: ChunkSource,
  store: ChunkStore,
  { id, listing }: Made,
  signal: AbortSignal,
): Promise<void> {
  const indices = Array.from({ length: listing.count('data') }, (_, index) => index);
  await inParallel(indices, TASKS_AHEAD, async index => {
    signal.throwIfAborted();
    await store.write(
      id,
      { kind: 'chunk', stream: 'data', index },
      await from.read(id, { kind: 'chunk', stream: 'data', index }, signal),
    );
  });
  await store.sync(id);
}
