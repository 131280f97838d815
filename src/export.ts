/** A share's blocks as a CAR file, and back (format.md §5): a complete, portable copy that needs no key. */
import { toString } from 'uint8arrays/to-string';
import { ShoalError } from './errors.ts';
import { carBlock, carHeader, readCar } from './format/car.ts';
import { peekHeader } from './format/canonical.ts';
import { DAG_CBOR_CODEC, digestOf, idOf, RAW_CODEC, type BlockId, type Digest } from './format/ids.ts';
import { hasExpired, refuseExpired } from './expired.ts';
import { Listing } from './format/listing.ts';
import { decodeGrant } from './format/grant.ts';
import { ciphertextBytes, decodeShareBlock, indexCount } from './format/share-block.ts';
import { beginKeeping, discard, type Shelf } from './kept.ts';
import type { GrantRecord, NewShareRecord } from './catalog.ts';
import type { BlockAddress, ChunkSource, ChunkStore, Clock } from './ports.ts';

/** What went out, or came in. */
export interface CarSummary {
  readonly id: BlockId;
  readonly blocks: number;
  readonly bytes: number;
}

/**
 * Every block of a share as the bytes of a CAR file: the share block, then index blocks, then chunks, in their order.
 * @param onBlock told how many blocks have been given, and their bytes
 * @throws ShoalError `unavailable` when the source lacks a block, `changed`; the signal's reason
 */
export async function* exportCar(
  source: ChunkSource,
  id: BlockId,
  onBlock: (blocks: number, bytes: number) => void,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const root = await source.read(id, { kind: 'share' }, signal);
  const listing = new Listing(decodeShareBlock(root), (stream, index) =>
    source.read(id, { kind: 'index', stream, index }, signal),
  );
  yield carHeader(id);
  yield* carBlock(DAG_CBOR_CODEC, digestOf(id), root);
  let [blocks, bytes] = [1, root.length];
  onBlock(blocks, bytes);
  for (const at of blocksOf(listing)) {
    signal.throwIfAborted();
    const isIndex = at.kind === 'index';
    const digest = isIndex ? listing.indexDigest(at.stream, at.index) : await listing.digest(at.stream, at.index);
    const block = await source.read(id, at, signal);
    yield* carBlock(isIndex ? DAG_CBOR_CODEC : RAW_CODEC, digest, block);
    onBlock(++blocks, (bytes += block.length));
  }
}

type ListedAddress = Exclude<BlockAddress, { kind: 'share' }>;

/** Where every block below the share block is, index blocks before the chunks that they list. */
function* blocksOf(listing: Listing): Generator<ListedAddress> {
  for (const stream of ['manifest', 'data'] as const) {
    for (let index = 0; index < indexCount(listing.size(stream)); index++) yield { kind: 'index', stream, index };
    for (let index = 0; index < listing.count(stream); index++) yield { kind: 'chunk', stream, index };
  }
}

export interface Imported extends CarSummary {
  /** Whether every block of the share was there. */
  readonly complete: boolean;
  /** The home had the share already; nothing was taken. */
  readonly known: boolean;
}

export interface ImportDeps extends Shelf {
  /** SHA-256. */
  readonly hash: (bytes: Uint8Array) => Digest;
  readonly clock: Clock;
  /** Keeps room for so many bytes of a share until what it returns is called. @throws ShoalError `disk-full` */
  readonly reserve: (id: BlockId, totalBytes: number) => Promise<() => void>;
  /** Does `work` while nobody else writes or removes blocks of the share. */
  readonly alone: <T>(id: BlockId, work: () => Promise<T>) => Promise<T>;
}

/**
 * Takes the blocks of one share from a CAR file, in whatever order they are in it, and adds it to the catalog. The file is
 * read up to three times, since what a block is for shows only in the blocks that list it; memory does not grow with the
 * file. A share that the home has otherwise than by an import is left as it is.
 * @param open reads the file from its beginning
 * @throws ShoalError `malformed`, `corrupt`, `unsupported`, `refused` where the share has expired; what `alone` throws; nothing new is kept then
 */
export async function importCar(
  deps: ImportDeps,
  open: () => AsyncIterable<Uint8Array>,
  onBlock: (blocks: number, bytes: number) => void,
  signal: AbortSignal,
): Promise<Imported> {
  const { root, grant } = await findRoot(open, deps.hash, signal);
  const block = decodeShareBlock(root.bytes);
  const { expires } = block;
  refuseExpired('import the share', expires, deps.clock);
  return await deps.alone(root.id, async () => {
    const { source = 'imported', state } = deps.catalog.get(root.id) ?? {};
    // It stays so when the clock is set back.
    if (state === 'expired') throw hasExpired('import the share', expires);
    if (source !== 'imported') return { id: root.id, blocks: 0, bytes: 0, complete: true, known: true };
    const isDebris = await beginKeeping(deps, root.id);
    let release: (() => void) | undefined;
    try {
      release = await deps.reserve(root.id, ciphertextBytes(block));
      const imported = await takeBlocks(deps, root, open, onBlock, signal);
      if (deps.catalog.get(root.id) === undefined) deps.catalog.add(recordOf(imported, expires, deps.clock), {});
      if (grant !== undefined) deps.catalog.grants.add(grantRecordOf(grant, root.id, deps.clock));
      return imported;
    } catch (error) {
      if (isDebris) await discard(deps, root.id);
      throw error;
    } finally {
      release?.();
    }
  });
}

/** A share of which nothing is known but its blocks. */
function recordOf({ id, bytes }: Imported, expires: number | undefined, clock: Clock): NewShareRecord {
  return {
    id,
    kind: 'file',
    name: '',
    sizeBytes: bytes,
    files: 0,
    source: 'imported',
    hints: [],
    createdAt: Math.floor(clock.now() / 1000),
    serveAlways: false,
    ...(expires === undefined ? {} : { expires }),
  };
}

/** A grant that came with its share. */
function grantRecordOf({ id, bytes }: Root, share: BlockId, clock: Clock): Omit<GrantRecord, 'isOwn'> {
  const { expires } = decodeGrant(bytes);
  const createdAt = Math.floor(clock.now() / 1000);
  return { id, share, block: bytes, madeFor: [], createdAt, ...(expires === undefined ? {} : { expires }) };
}

interface Root {
  readonly id: BlockId;
  readonly bytes: Uint8Array;
}

/** Stores what the file has of the share; it is durable when this returns. */
async function takeBlocks(
  { store, hash }: ImportDeps,
  { id, bytes: root }: Root,
  open: () => AsyncIterable<Uint8Array>,
  onBlock: (blocks: number, bytes: number) => void,
  signal: AbortSignal,
): Promise<Imported> {
  const listing = new Listing(decodeShareBlock(root), (stream, index) =>
    store.read(id, { kind: 'index', stream, index }),
  );
  await store.write(id, { kind: 'share' }, root);
  const index = indexPlaces(listing);
  if (index.size > 0) await storeBlocks(store, id, open, hash, index, () => undefined, signal);
  const places = await chunkPlaces(listing);
  let [blocks, bytes] = [1 + index.size, root.length];
  const check = (at: ListedAddress, length: number): void => {
    if (length !== listing.chunkLength(at.stream, at.index))
      throw new ShoalError(
        'malformed',
        `cannot import: chunk ${at.index} of the ${at.stream} stream has ${length} bytes instead of ${listing.chunkLength(at.stream, at.index)}`,
      );
    onBlock(++blocks, (bytes += length));
  };
  const missing = await storeBlocks(store, id, open, hash, places, check, signal);
  await store.sync(id);
  const there = await store.have(id);
  if (there === undefined || (missing === 0 && there !== 'all'))
    throw new ShoalError(
      'unavailable',
      `cannot import: blocks of share ${id} that were just stored are not there; see to it that nothing else changes the home's folder, and import it again`,
    );
  return { id, blocks, bytes, complete: missing === 0, known: false };
}

async function findRoot(
  open: () => AsyncIterable<Uint8Array>,
  hash: (bytes: Uint8Array) => Digest,
  signal: AbortSignal,
): Promise<{ readonly root: Root; readonly grant?: Root }> {
  const { root, blocks } = await readCar(open(), hash);
  const first = await findBlock(blocks, root, signal);
  if (first === undefined)
    throw new ShoalError(
      'unavailable',
      'cannot import: the CAR file does not hold its root block; get it again, or export it anew',
    );
  if (peekHeader(first.bytes).type !== 'grant') return { root: first };
  const { share } = decodeGrant(first.bytes);
  const named = await findBlock((await readCar(open(), hash)).blocks, share, signal);
  if (named !== undefined) return { root: named, grant: first };
  throw new ShoalError(
    'unavailable',
    'cannot import: the CAR file holds a grant and not the share block that it names; get it again, or export it anew',
  );
}

async function findBlock(
  blocks: Awaited<ReturnType<typeof readCar>>['blocks'],
  id: BlockId,
  signal: AbortSignal,
): Promise<Root | undefined> {
  for await (const { codec, digest, bytes } of blocks) {
    signal.throwIfAborted();
    if (codec === DAG_CBOR_CODEC && idOf(digest) === id) return { id, bytes };
  }
  return undefined;
}

/** Blocks by their binary digests as text. One digest may stand in several places. */
type Places = Map<string, ListedAddress[]>;

function indexPlaces(listing: Listing): Places {
  const places: Places = new Map();
  for (const at of blocksOf(listing))
    if (at.kind === 'index') note(places, listing.indexDigest(at.stream, at.index), at);
  return places;
}

async function chunkPlaces(listing: Listing): Promise<Places> {
  const places: Places = new Map();
  for (const at of blocksOf(listing))
    if (at.kind === 'chunk') note(places, await listing.digest(at.stream, at.index), at);
  return places;
}

function note(places: Places, digest: Digest, at: ListedAddress): void {
  const key = keyOf(digest);
  const known = places.get(key);
  if (known === undefined) places.set(key, [at]);
  else known.push(at);
}

function keyOf(digest: Digest): string {
  return toString(digest, 'base64');
}

/** Stores the blocks of the file that have a place. Returns how many of the places stayed empty. */
async function storeBlocks(
  store: ChunkStore,
  id: BlockId,
  open: () => AsyncIterable<Uint8Array>,
  hash: (bytes: Uint8Array) => Digest,
  places: Places,
  check: (at: ListedAddress, length: number) => void,
  signal: AbortSignal,
): Promise<number> {
  const { blocks } = await readCar(open(), hash);
  for await (const { digest, bytes } of blocks) {
    signal.throwIfAborted();
    const key = keyOf(digest);
    for (const at of places.get(key) ?? []) {
      check(at, bytes.length);
      await store.write(id, at, bytes);
    }
    places.delete(key);
  }
  return [...places.values()].reduce((sum, at) => sum + at.length, 0);
}
