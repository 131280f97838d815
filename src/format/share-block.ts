/**
 * The share block: root of the DAG, lists every chunk and says nothing about the contents (format.md §5). Opening it with a
 * key is commitment.ts's matter, so that whoever only carries shares needs no keys.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { CHUNKS_PER_INDEX, MAX_BLOCK_BYTES, MAX_DIRECT_CHUNKS, MAX_MANIFEST_BYTES, TAG_BYTES } from '../limits.ts';
import {
  arrayField,
  bytesField,
  decode,
  decodeTyped,
  encode,
  encodeLinks,
  fieldsOf,
  linkOf,
  malformed,
  uintField,
} from './canonical.ts';
import {
  DAG_CBOR_CODEC,
  DIGEST_BYTES,
  RAW_CODEC,
  blockCid,
  chunkCid,
  digestAt,
  sha256,
  type Codec,
  type Digest,
} from './ids.ts';
import { chunkCount, pad } from './pieces.ts';

/** The two streams of a share (format.md §4). */
export type StreamName = 'manifest' | 'data';

/**
 * What a share block says of a stream. `size` is the padded plaintext in bytes. Either the digests of all chunks, or those
 * of the index blocks that list them; 32 bytes each, one after the other.
 */
export interface StreamList {
  readonly size: number;
  readonly chunks?: Uint8Array;
  readonly index?: Uint8Array;
}

export interface ShareBlock {
  /** Ed25519 public key, 32 bytes. */
  readonly owner: Uint8Array;
  readonly commitment: Uint8Array;
  readonly manifest: StreamList;
  readonly data: StreamList;
  /** Unix seconds, a full hour. */
  readonly expires?: number;
}

const WHAT = 'share block';
const SECONDS_PER_HOUR = 3600;

/**
 * @throws ShoalError `unsupported` for another version; `malformed` for anything that format.md §5 does not allow, a
 *   manifest stream larger than a manifest can be included
 */
export function decodeShareBlock(bytes: Uint8Array): ShareBlock {
  if (bytes.length > MAX_BLOCK_BYTES)
    throw malformed(WHAT, `it has ${bytes.length} bytes, at most ${MAX_BLOCK_BYTES} are allowed`);
  const fields = fieldsOf(
    decodeTyped(bytes, WHAT, 'share'),
    WHAT,
    ['type', 'version', 'commitment', 'owner', 'manifest', 'data'],
    ['expires'],
  );
  const block: ShareBlock = {
    commitment: bytesField(fields, 'commitment', WHAT, DIGEST_BYTES),
    owner: ownerField(bytesField(fields, 'owner', WHAT, 32), WHAT),
    manifest: decodeStream(fields['manifest'], 'manifest'),
    data: decodeStream(fields['data'], 'data'),
    ...('expires' in fields ? { expires: expiresField(uintField(fields, 'expires', WHAT), WHAT) } : {}),
  };
  if (block.manifest.size > pad(4 + MAX_MANIFEST_BYTES))
    throw malformed(WHAT, `its manifest of ${block.manifest.size} bytes is too large`);
  return block;
}

/** The canonical bytes of a share block; without `commitment` those that the commitment is made over. */
export function encodeShareBlock(
  block: Omit<ShareBlock, 'commitment'> & Partial<Pick<ShareBlock, 'commitment'>>,
): Uint8Array {
  const { commitment, owner, manifest, data, expires } = block;
  return encode({
    type: 'share',
    version: 1,
    ...(commitment === undefined ? {} : { commitment }),
    owner,
    manifest: encodeStream(manifest),
    data: encodeStream(data),
    ...(expires === undefined ? {} : { expires }),
  });
}

/**
 * How a stream of `size` bytes is listed.
 * @param digests of all its chunks, 32 bytes each
 * @returns the list for the share block, and the index blocks that it names, where there are too many chunks for one list
 */
export function listStream(size: number, digests: Uint8Array): { list: StreamList; blocks: Uint8Array[] } {
  if (digests.length !== chunkCount(size) * DIGEST_BYTES) throw new RangeError('as many digests as chunks');
  if (chunkCount(size) <= MAX_DIRECT_CHUNKS) return { list: { size, chunks: digests }, blocks: [] };
  const blocks: Uint8Array[] = [];
  const step = CHUNKS_PER_INDEX * DIGEST_BYTES;
  for (let at = 0; at < digests.length; at += step) blocks.push(encodeLinks(digests.subarray(at, at + step), chunkCid));
  const index = new Uint8Array(blocks.length * DIGEST_BYTES);
  blocks.forEach((block, n) => index.set(sha256(block), n * DIGEST_BYTES));
  return { list: { size, index }, blocks };
}

/**
 * The digests that an index block lists, one after the other.
 * @param n its number in the stream of `size` bytes
 * @throws ShoalError `malformed`
 */
export function decodeIndex(bytes: Uint8Array, size: number, n: number): Uint8Array {
  const expected = Math.min(CHUNKS_PER_INDEX, chunkCount(size) - n * CHUNKS_PER_INDEX);
  const links = decode(bytes, 'index block');
  if (!Array.isArray(links)) throw malformed('index block', 'it is not an array');
  return packLinks(links, expected, 'index block', RAW_CODEC);
}

/** How many index blocks a stream of `size` bytes has; none where the share block lists the chunks itself. */
export function indexCount(size: number): number {
  const chunks = chunkCount(size);
  return chunks <= MAX_DIRECT_CHUNKS ? 0 : Math.ceil(chunks / CHUNKS_PER_INDEX);
}

/** Bytes of all chunks of a share. */
export function ciphertextBytes({ manifest, data }: Pick<ShareBlock, 'manifest' | 'data'>): number {
  return [manifest, data].reduce((sum, { size }) => sum + size + chunkCount(size) * TAG_BYTES, 0);
}

/** An owner's public key. Who signed with a key of small order can't be told (RFC 8032 §8.9). @throws ShoalError `malformed` */
export function ownerField(owner: Uint8Array, what: string): Uint8Array {
  let point;
  try {
    point = ed25519.Point.fromBytes(owner, false);
  } catch (cause) {
    throw malformed(what, 'its owner is not an Ed25519 public key', { cause });
  }
  if (point.isSmallOrder()) throw malformed(what, 'its owner is a point of small order');
  return owner;
}

/** The public key of an owner's seed; both have 32 bytes. */
export function ownerOf(seed: Uint8Array): Uint8Array {
  return ed25519.getPublicKey(seed);
}

/** @throws ShoalError `malformed` */
export function expiresField(expires: number, what: string): number {
  if (expires % SECONDS_PER_HOUR !== 0) throw malformed(what, `it expires at ${expires}, which is not a full hour`);
  return expires;
}

function decodeStream(value: unknown, name: StreamName): StreamList {
  const what = `${WHAT}, stream ${name}`;
  const fields = fieldsOf(value, what, ['size'], ['chunks', 'index']);
  const size = uintField(fields, 'size', what);
  const key = indexCount(size) === 0 ? 'chunks' : 'index';
  const other = key === 'chunks' ? 'index' : 'chunks';
  if (other in fields) throw malformed(what, `it has "${other}", which ${chunkCount(size)} chunks do not ask for`);
  if (key === 'chunks')
    return { size, chunks: packLinks(arrayField(fields, key, what), chunkCount(size), what, RAW_CODEC) };
  const index = packLinks(arrayField(fields, key, what), indexCount(size), what, DAG_CBOR_CODEC);
  const seen = new Set<string>();
  for (let n = 0; n < indexCount(size); n++) seen.add(digestAt(index, n).join());
  if (seen.size !== indexCount(size)) throw malformed(what, 'it lists an index block twice');
  return { size, index };
}

function encodeStream({ size, chunks, index }: StreamList): Record<string, unknown> {
  if (index !== undefined) return { size, index: linksOf(index, blockCid) };
  return { size, chunks: linksOf(chunks ?? new Uint8Array(), chunkCid) };
}

function packLinks(links: readonly unknown[], expected: number, what: string, codec: Codec): Uint8Array {
  if (links.length !== expected) throw malformed(what, `it lists ${links.length} instead of ${expected} blocks`);
  const packed = new Uint8Array(links.length * DIGEST_BYTES);
  links.forEach((link, n) => packed.set(linkOf(link, `entry ${n}`, what, codec), n * DIGEST_BYTES));
  return packed;
}

function linksOf(packed: Uint8Array, cid: (digest: Digest) => unknown): unknown[] {
  return Array.from({ length: packed.length / DIGEST_BYTES }, (_, n) => cid(digestAt(packed, n)));
}
