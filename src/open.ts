/** From a link to an opened share: share block, index blocks and manifest, each checked before the next is asked for. */
import type { OpenedShare } from './check.ts';
import { blamingTheMaker, getListing } from './carry.ts';
import type { Download } from './download.ts';
import { ShoalError } from './errors.ts';
import { checkCommitment } from './format/commitment.ts';
import type { BlockId } from './format/ids.ts';
import { streamKey, type FileKey } from './format/keys.ts';
import type { Layout } from './format/layout.ts';
import type { Link } from './format/link.ts';
import type { Listing } from './format/listing.ts';
import { decodeManifest, type Manifest } from './format/manifest.ts';
import { isZero, pieceLength } from './format/pieces.ts';
import type { StreamName } from './format/share-block.ts';
import { PIECE_BYTES } from './limits.ts';
import type { ChunkSource, ChunkStore, Crypto } from './ports.ts';

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
    const listing = await getListing(download, store, crypto, id, block => checkCommitment(key, block));
    const manifest = await readManifest(store, crypto, id, key, listing);
    return { key, listing, manifest };
  });
}

/** The key of a read link. @throws ShoalError `key-missing` */
export function keyOf(link: Link): FileKey {
  if (link.key !== undefined) return link.key;
  throw new ShoalError(
    'key-missing',
    'cannot read the share: the link has no key (the part behind the dot); with it one can only carry the share, so ask the sharer for the whole link',
  );
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
