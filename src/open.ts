/** From a link to an opened share: share block, index blocks and manifest, each checked before the next is asked for. */
import type { OpenedShare } from './check.ts';
import type { Download } from './download.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { checkCommitment } from './format/commitment.ts';
import type { BlockId } from './format/ids.ts';
import { streamKey, type FileKey } from './format/keys.ts';
import type { Layout } from './format/layout.ts';
import type { Link } from './format/link.ts';
import { Listing } from './format/listing.ts';
import { decodeManifest, type Manifest } from './format/manifest.ts';
import { isZero, pieceLength } from './format/pieces.ts';
import { indexCount, type ShareBlock, type StreamName } from './format/share-block.ts';
import { PIECE_BYTES } from './limits.ts';
import type { BlockAddress, ChunkSource, ChunkStore, Crypto } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';

/**
 * Opens the share that `download` is for. Its blocks are kept in `store`, and taken from there where they are already.
 * @throws ShoalError `wrong-key`, `malformed`, `unsupported`, `corrupt`; what `download` and `store` throw
 */
export async function openShare(
  download: Download,
  store: ChunkStore,
  crypto: Crypto,
  id: BlockId,
  key: FileKey,
): Promise<OpenedShare> {
  return await blamingTheMaker(async () => {
    const listing = await getListing(download, store, crypto, id, key);
    const manifest = await readManifest(store, crypto, id, key, listing);
    return { key, listing, manifest };
  });
}

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
 * @param key that the share block is held against, where there is one
 * @throws ShoalError as `openShare`
 */
export async function getListing(
  download: Download,
  store: ChunkStore,
  crypto: Crypto,
  id: BlockId,
  key: FileKey | undefined,
): Promise<Listing> {
  const block = await getShareBlock(download, store, id);
  if (key !== undefined) checkCommitment(key, block);
  const listing = new Listing(block, (stream, index) => store.read(id, { kind: 'index', stream, index }));
  for (const stream of ['manifest', 'data'] as const) await getIndex(download, store, crypto, id, listing, stream);
  await getManifestChunks(download, store, crypto, id, listing);
  return listing;
}

/** The key of a read link. @throws ShoalError `key-missing` */
export function keyOf(link: Link): FileKey {
  if (link.key !== undefined) return link.key;
  throw new ShoalError(
    'key-missing',
    'cannot read the share: the link has no key (the part behind the dot); with it one can only carry the share, so ask the sharer for the whole link',
  );
}

async function getShareBlock(download: Download, store: ChunkStore, id: BlockId): Promise<ShareBlock> {
  if ((await store.have(id)) !== undefined) download.knowShareBlock(await store.read(id, { kind: 'share' }));
  const { bytes, block } = await download.shareBlock();
  if ((await store.have(id)) === undefined) await store.write(id, { kind: 'share' }, bytes);
  return block;
}

async function getIndex(
  download: Download,
  store: ChunkStore,
  crypto: Crypto,
  id: BlockId,
  listing: Listing,
  stream: StreamName,
): Promise<void> {
  const missing: number[] = [];
  for (let index = 0; index < indexCount(listing.size(stream)); index++) {
    if (!(await isThere(store, id, { kind: 'index', stream, index }))) missing.push(index);
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
  crypto: Crypto,
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
    await crypto.verify(bytes, await listing.digest('manifest', index));
    await store.write(id, { kind: 'chunk', stream: 'manifest', index }, bytes);
  });
}

/** The manifest of a share whose manifest chunks `store` has. */
export async function readManifest(
  store: ChunkSource,
  crypto: Crypto,
  id: BlockId,
  key: FileKey,
  listing: Listing,
): Promise<Manifest> {
  const plaintext = new Uint8Array(listing.size('manifest'));
  const manifestKey = streamKey(key, 'manifest');
  for (let index = 0; index < listing.count('manifest'); index++) {
    const chunk = await store.read(id, { kind: 'chunk', stream: 'manifest', index });
    const piece = await crypto.open(manifestKey, index, chunk, await listing.digest('manifest', index));
    const length = pieceLength(listing.size('manifest'), index);
    if (piece.length !== length) throw wrongLength('manifest', index, piece.length, length);
    plaintext.set(piece, index * PIECE_BYTES);
  }
  return decodeManifest(plaintext, listing.block);
}

/** Opens a chunk of the data: a piece, whole and with its padding. @throws ShoalError `mismatch`, `corrupt`, `malformed` */
export async function openPiece(
  crypto: Pick<Crypto, 'open'>,
  { listing }: OpenedShare,
  dataKey: Uint8Array,
  layout: Layout,
  index: number,
  chunk: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const plaintext = await crypto.open(dataKey, index, chunk, await listing.digest('data', index), signal);
  const length = pieceLength(listing.size('data'), index);
  if (plaintext.length !== length) throw wrongLength('data', index, plaintext.length, length);
  const { zeros } = layout.piece(index, listing.size('data'));
  if (!isZero(plaintext.subarray(plaintext.length - zeros)))
    throw new ShoalError('malformed', `cannot open piece ${index} of the data: its padding is not zero`);
  return plaintext;
}

/** What is said of a chunk that matches its CID and opens, and is not cut as the format wants it (format.md §4). */
function wrongLength(stream: StreamName, index: number, length: number, expected: number): ShoalError {
  return new ShoalError(
    'malformed',
    `cannot read the share: piece ${index} of the ${stream} stream has ${length} bytes instead of ${expected}`,
  );
}

async function isThere(store: ChunkStore, id: BlockId, at: BlockAddress): Promise<boolean> {
  try {
    await store.read(id, at);
    return true;
  } catch (error) {
    if (error instanceof ShoalError && error.code === 'unavailable') return false;
    throw error;
  }
}
