/**
 * Makes and opens whole shares in memory, straight down format.md, with nothing but src/format and node:crypto: for tests of the
 * format as a whole.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { ShoalError } from '../../src/errors.ts';
import { readCar } from '../../src/format/car.ts';
import { checkCommitment, sealShareBlock } from '../../src/format/commitment.ts';
import { peekHeader } from '../../src/format/canonical.ts';
import { decodeGrant } from '../../src/format/grant.ts';
import { openGrant } from '../../src/format/grant-seal.ts';
import { digestOf, sameBytes, type BlockId, type Digest } from '../../src/format/ids.ts';
import { streamKey, type FileKey } from '../../src/format/keys.ts';
import { Layout } from '../../src/format/layout.ts';
import { parseLink } from '../../src/format/link.ts';
import { Listing } from '../../src/format/listing.ts';
import { decodeManifest, encodeManifest, type Manifest, type ManifestEntry } from '../../src/format/manifest.ts';
import { chunkCount, pad, pieceLength } from '../../src/format/pieces.ts';
import { decodeShareBlock, listStream, type StreamList, type StreamName } from '../../src/format/share-block.ts';
import { PIECE_BYTES, TAG_BYTES } from '../../src/limits.ts';

/** Blocks by the hexadecimal text of their digest. */
export type Blocks = Map<string, Uint8Array>;

export interface OpenedShare {
  readonly manifest: Manifest;
  /** The contents of the manifest's entries. */
  readonly contents: readonly Uint8Array[];
}

/** Opens what `link` names from nothing but the blocks given. @throws ShoalError as any reader would */
export async function openShare(
  blocks: Blocks,
  link: string,
  identities: readonly string[] = [],
): Promise<OpenedShare> {
  const { id, key } = parseLink(link);
  const root = take(blocks, digestOf(id));
  if (peekHeader(root).type !== 'grant') {
    if (key === undefined) throw new ShoalError('key-missing', 'cannot open the share: its link has no key');
    return openRoot(blocks, root, key);
  }
  if (key !== undefined) throw new ShoalError('bad-link', 'cannot open the grant: its link has a key');
  const grant = decodeGrant(root);
  return openRoot(blocks, take(blocks, digestOf(grant.share)), await openGrant(grant, { identities }));
}

async function openRoot(blocks: Blocks, root: Uint8Array, key: FileKey): Promise<OpenedShare> {
  const block = decodeShareBlock(root);
  checkCommitment(key, block);
  const listing: Listing = new Listing(block, (stream, n) =>
    Promise.resolve(take(blocks, listing.indexDigest(stream, n))),
  );
  const manifest = decodeManifest(await openStream(blocks, listing, 'manifest', key), block);
  const data = await openStream(blocks, listing, 'data', key);
  const contents = manifest.entries.map(({ size }) => new Uint8Array(size));
  const layout = new Layout(manifest.entries.map(({ size }) => size));
  for (let i = 0; i < listing.count('data'); i++) {
    const piece = data.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES);
    let position = 0;
    for (const { entry, offset, length } of layout.piece(i, block.data.size).runs) {
      contents[entry]?.set(piece.subarray(position, (position += length)), offset);
    }
    if (piece.subarray(position).some(byte => byte !== 0))
      throw new ShoalError('malformed', 'cannot open the share: its padding is not zero');
  }
  return { manifest, contents };
}

async function openStream(blocks: Blocks, listing: Listing, stream: StreamName, key: FileKey): Promise<Uint8Array> {
  const plaintext = new Uint8Array(listing.size(stream));
  for (let i = 0; i < listing.count(stream); i++) {
    const chunk = take(blocks, await listing.digest(stream, i));
    if (chunk.length !== listing.chunkLength(stream, i))
      throw new ShoalError('malformed', `cannot open chunk ${i}: it has ${chunk.length} bytes`);
    plaintext.set(openChunk(streamKey(key, stream), i, chunk), i * PIECE_BYTES);
  }
  return plaintext;
}

function take(blocks: Blocks, digest: Digest): Uint8Array {
  const bytes = blocks.get(hex(digest));
  if (bytes === undefined)
    throw new ShoalError('unavailable', `cannot open the share: nobody has block ${hex(digest)}`);
  if (!sameBytes(sha256(bytes), digest))
    throw new ShoalError('mismatch', `cannot open the share: block ${hex(digest)} is another`);
  return bytes;
}

/** One file or empty folder to be shared. */
export type Content = Omit<ManifestEntry, 'size'> & { readonly bytes?: Uint8Array };

export interface ShareOptions {
  readonly key: FileKey;
  readonly owner: Uint8Array;
  readonly padded?: boolean;
  readonly expires?: number;
}

/** Makes a share. Its blocks, and its id. */
export function makeShare(
  manifest: Omit<Manifest, 'entries'>,
  contents: readonly Content[],
  options: ShareOptions,
): { id: BlockId; blocks: Blocks } {
  const entries = contents.map(({ bytes, ...entry }) => ({ ...entry, size: bytes?.length ?? 0 }));
  const data = Buffer.concat(contents.map(({ bytes }) => bytes ?? new Uint8Array()));
  const padded = Buffer.alloc(options.padded === false ? data.length : pad(data.length));
  padded.set(data);
  return sealShare(encodeManifest({ ...manifest, entries }), padded, options);
}

/** Seals two streams of plaintext, whatever is in them. */
export function sealShare(
  manifest: Uint8Array,
  data: Uint8Array,
  { key, owner, expires }: ShareOptions,
): { id: BlockId; blocks: Blocks } {
  const blocks: Blocks = new Map();
  const sealStream = (stream: StreamName, plaintext: Uint8Array): StreamList => {
    const digests = new Uint8Array(chunkCount(plaintext.length) * 32);
    for (let i = 0; i < chunkCount(plaintext.length); i++) {
      const chunk = sealChunk(
        streamKey(key, stream),
        i,
        plaintext.subarray(i * PIECE_BYTES, i * PIECE_BYTES + pieceLength(plaintext.length, i)),
      );
      digests.set(put(blocks, chunk), i * 32);
    }
    return listStream(plaintext.length, digests).list;
  };
  const { id, bytes } = sealShareBlock(key, {
    owner,
    manifest: sealStream('manifest', manifest),
    data: sealStream('data', data),
    ...(expires === undefined ? {} : { expires }),
  });
  put(blocks, bytes);
  return { id, blocks };
}

/** Adds a block under the digest that it has. */
export function put(blocks: Blocks, bytes: Uint8Array): Digest {
  const digest = sha256(bytes);
  blocks.set(hex(digest), bytes);
  return digest;
}

/** The blocks of a CAR file. */
export async function blocksOfCar(car: Uint8Array): Promise<Blocks> {
  const blocks: Blocks = new Map();
  for await (const { digest, bytes } of (await readCar([car])).blocks) blocks.set(hex(digest), bytes);
  return blocks;
}

/** Seals one piece as format.md §4 says. */
export function sealChunk(key: Uint8Array, index: number, piece: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(index));
  return Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
}

/** @throws ShoalError `corrupt` */
export function openChunk(key: Uint8Array, index: number, chunk: Uint8Array): Uint8Array {
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(index));
  const plaintext = decipher.update(chunk.subarray(0, -TAG_BYTES));
  decipher.setAuthTag(chunk.subarray(-TAG_BYTES));
  try {
    decipher.final();
  } catch (cause) {
    throw new ShoalError('corrupt', `cannot open chunk ${index}: it does not authenticate`, { cause });
  }
  return plaintext;
}

function nonceOf(index: number): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(index), 4);
  return nonce;
}

export function sha256(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest();
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
