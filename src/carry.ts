/**
 * Gets the blocks of a share into a store, each verified against the CID that lists it and of exactly the length that it must
 * have (format.md §4). No key is needed: whoever carries a share does this, and whoever reads it does it first.
 */
import type { Download } from './download.ts';
import { isShoalError, ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { Listing } from './format/listing.ts';
import { pieceLength } from './format/pieces.ts';
import { indexCount, type ShareBlock, type StreamName } from './format/share-block.ts';
import type { BlockAddress, ChunkStore, Crypto } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';

type Verifier = Pick<Crypto, 'verify'>;

export type CarryEvent =
  | { readonly event: 'resumed'; readonly bytes: number }
  | { readonly event: 'progress'; readonly doneBytes: number; readonly totalBytes: number; readonly peers: number };

/**
 * Does `work` on the blocks of a share that hash to its CIDs. What is wrong in those, all who have the share have, so that to
 * try again does not help.
 * @throws ShoalError `malformed` and `corrupt` as `work` does, with what does
 */
export async function blamingTheMaker<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isShoalError(error, 'malformed') && !isShoalError(error, 'corrupt')) throw error;
    const next = 'the program that made the share is faulty or hostile, so tell the sharer';
    throw new ShoalError(error.code, `${error.message}; ${next}`, { cause: error });
  }
}

/**
 * Gets share block, index blocks and the chunks of the manifest, all that is needed to serve the share but its data.
 * @param check looks at the share block before anything else is asked for, and is waited for; what it throws ends this
 * @throws ShoalError `malformed`, `unsupported`; what `check`, `download` and `store` throw
 */
export async function getListing(
  download: Download,
  store: ChunkStore,
  crypto: Verifier,
  id: BlockId,
  check: (block: ShareBlock) => void | Promise<void> = () => undefined,
): Promise<Listing> {
  const block = await getShareBlock(download, store, id);
  await check(block);
  const listing = new Listing(block, (stream, index) => store.read(id, { kind: 'index', stream, index }));
  for (const stream of ['manifest', 'data'] as const) await getIndex(download, store, crypto, id, listing, stream);
  await getManifestChunks(download, store, crypto, id, listing);
  return listing;
}

async function getShareBlock(download: Download, store: ChunkStore, id: BlockId): Promise<ShareBlock> {
  const kept = await readIfThere(store, id, { kind: 'share' });
  if (kept !== undefined) download.knowShareBlock(kept);
  const { bytes, block } = await download.shareBlock();
  if (kept === undefined) await store.write(id, { kind: 'share' }, bytes);
  return block;
}

async function getIndex(
  download: Download,
  store: ChunkStore,
  crypto: Verifier,
  id: BlockId,
  listing: Listing,
  stream: StreamName,
): Promise<void> {
  const missing: number[] = [];
  for (let index = 0; index < indexCount(listing.size(stream)); index++) {
    if ((await readIfThere(store, id, { kind: 'index', stream, index })) === undefined) missing.push(index);
  }
  if (missing.length === 0) return;
  await download.blocks({ kind: 'index', stream, indices: missing }, async (index, bytes) => {
    await crypto.verify(bytes, listing.indexDigest(stream, index));
    await store.write(id, { kind: 'index', stream, index }, bytes);
  });
}

async function getManifestChunks(
  download: Download,
  store: ChunkStore,
  crypto: Verifier,
  id: BlockId,
  listing: Listing,
): Promise<void> {
  const have = await store.have(id);
  const there = have === 'all' ? undefined : new IndexSet(listing.count('manifest'), have?.manifest);
  if (there === undefined) return;
  const missing = Array.from({ length: listing.count('manifest') }, (_, index) => index).filter(
    index => !there.has(index),
  );
  if (missing.length === 0) return;
  await download.blocks({ kind: 'chunk', stream: 'manifest', indices: missing }, async (index, bytes) => {
    await keepChunk({ store, crypto }, id, listing, 'manifest', index, bytes);
  });
}

/**
 * Gets the chunks of the data that the store has not got, or that are damaged there.
 * @throws ShoalError `malformed`; what `download` and `store` throw
 */
export async function getData(
  deps: { readonly store: ChunkStore; readonly crypto: Verifier },
  download: Download,
  id: BlockId,
  listing: Listing,
  onEvent: (event: CarryEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const lengthOf = (index: number): number => pieceLength(listing.size('data'), index);
  const totalBytes = listing.size('data');
  const missing = await missingChunks(deps.store, id, listing, signal);
  let doneBytes = [...missing].reduce((left, index) => left - lengthOf(index), totalBytes);
  if (doneBytes > 0) onEvent({ event: 'resumed', bytes: doneBytes });
  await download.blocks({ kind: 'chunk', stream: 'data', indices: missing }, async (index, chunk) => {
    await keepChunk(deps, id, listing, 'data', index, chunk);
    doneBytes += lengthOf(index);
    onEvent({ event: 'progress', doneBytes, totalBytes, peers: download.peers });
  });
}

/**
 * The data chunks that the store has not got. Of a share that is not complete each is read, as what a crash left may be
 * damaged; one that is complete is believed to be, and who asks for a damaged chunk does not get it.
 */
async function missingChunks(store: ChunkStore, id: BlockId, listing: Listing, signal: AbortSignal): Promise<IndexSet> {
  const have = await store.have(id);
  const count = listing.count('data');
  if (have === 'all') return new IndexSet(count);
  const missing = IndexSet.full(count);
  for (const index of new IndexSet(count, have?.data)) {
    if ((await readIfThere(store, id, { kind: 'chunk', stream: 'data', index }, signal)) !== undefined)
      missing.delete(index);
  }
  return missing;
}

async function keepChunk(
  { store, crypto }: { readonly store: ChunkStore; readonly crypto: Verifier },
  id: BlockId,
  listing: Listing,
  stream: StreamName,
  index: number,
  bytes: Uint8Array,
): Promise<void> {
  await crypto.verify(bytes, await listing.digest(stream, index));
  const length = listing.chunkLength(stream, index);
  if (bytes.length !== length)
    throw new ShoalError(
      'malformed',
      `cannot keep the share: chunk ${index} of the ${stream} stream has ${bytes.length} bytes instead of ${length}`,
    );
  await store.write(id, { kind: 'chunk', stream, index }, bytes);
}

/** A block of the store; undefined where it is not there, or damaged. */
async function readIfThere(
  store: ChunkStore,
  id: BlockId,
  at: BlockAddress,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    return await store.read(id, at, signal);
  } catch (error) {
    if (isShoalError(error, 'unavailable')) return undefined;
    throw error;
  }
}
