/**
 * The Crypto port in the calling thread, over node:crypto (format.md §4).
 *
 * Everything goes through the ciphers in slices, and each slice that a cipher has allocated is given back at once rather
 * than left to the garbage collector, which notices memory outside of its heap too late: throughput is a third higher,
 * and memory stays flat.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { strict as assert } from 'node:assert';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ShoalError } from '../errors.ts';
import { freeMemory } from '../memory.ts';
import { PIECE_BYTES, TAG_BYTES } from '../limits.ts';
import type { Crypto, PieceToSeal, SealedPiece, Segment } from '../ports.ts';
import { SegmentReader } from './segments.ts';
import { checkDigest } from './verify.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
/** Below malloc's threshold for mapping memory anew (128 KiB), above which giving back would cost more than it saves. */
const SLICE_BYTES = 64 * 1024;

/** The Crypto port in the calling thread. Between two pieces other work gets its turn. */
export function nodeCrypto(): Crypto {
  return {
    async seal(key, pieces, keep, signal) {
      return sealPieces(key, pieces, keep ? newMemory : undefined, signal);
    },

    async open(key, index, chunk, digest, signal) {
      signal?.throwIfAborted();
      checkDigest(chunk, digest);
      return openInPlace(key, index, chunk);
    },

    async verify(bytes, digest) {
      checkDigest(bytes, digest);
    },

    async sealGrant(key, grant, to) {
      // Few who seal pieces make grants, and age is much to load.
      const { sealGrant } = await import('../format/grant-seal.ts');
      return sealGrant(key, grant, to);
    },

    async close() {},
  };
}

/**
 * Seals pieces, as the port says. Chunks are kept where there is memory for them.
 * @param memory gives at least so many bytes for one chunk
 */
export async function sealPieces(
  key: Uint8Array,
  pieces: readonly PieceToSeal[],
  memory: ((bytes: number) => ArrayBuffer) | undefined,
  signal?: AbortSignal,
): Promise<SealedPiece[]> {
  const reader = new SegmentReader();
  try {
    const sealed: SealedPiece[] = [];
    for (const piece of pieces) {
      if (sealed.length > 0) await nextTurn();
      signal?.throwIfAborted();
      sealed.push(sealPiece(key, piece, memory, reader));
    }
    reader.finish();
    return sealed;
  } finally {
    reader.close();
  }
}

/** Memory for a chunk: its own, so that it can move between threads, and not zeroed first. */
export function newMemory(bytes: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(bytes).buffer;
}

/** Bytes of a piece, padding included. */
export function pieceBytes({ content, zeros }: PieceToSeal): number {
  const length =
    content instanceof Uint8Array ? content.length : content.reduce((sum, segment) => sum + segment.length, 0);
  return length + zeros;
}

function sealPiece(
  key: Uint8Array,
  piece: PieceToSeal,
  memory: ((bytes: number) => ArrayBuffer) | undefined,
  reader: SegmentReader,
): SealedPiece {
  const length = pieceBytes(piece);
  assert(length > 0 && length <= PIECE_BYTES, 'a piece has 1 to 1,048,560 bytes');
  const cipher = createCipheriv(CIPHER, key, nonceOf(piece.index));
  const hashing = createHash('sha256');
  const chunk = memory && new Uint8Array(memory(length + TAG_BYTES), 0, length + TAG_BYTES);
  let position = 0;
  for (const slice of slicesOf(piece, reader)) {
    const sealed = cipher.update(slice);
    hashing.update(sealed);
    chunk?.set(sealed, position);
    position += sealed.length;
    freeMemory(sealed);
  }
  cipher.final();
  const tag = cipher.getAuthTag();
  chunk?.set(tag, position);
  const digest = hashing.update(tag).digest();
  return chunk === undefined ? { digest } : { digest, chunk };
}

function nonceOf(index: number): Uint8Array {
  assert(Number.isSafeInteger(index) && index >= 0, 'the index of a piece is a natural number');
  const nonce = new Uint8Array(NONCE_BYTES);
  new DataView(nonce.buffer).setBigUint64(NONCE_BYTES - 8, BigInt(index));
  return nonce;
}

// One per thread is enough: a piece is sealed in one go.
const slice = Buffer.allocUnsafeSlow(SLICE_BYTES);
const zeroSlice = new Uint8Array(SLICE_BYTES);

/** The bytes of a piece; each slice is only good until the next is asked for. */
function* slicesOf({ content, zeros }: PieceToSeal, reader: SegmentReader): Generator<Uint8Array> {
  yield* content instanceof Uint8Array ? cut(content) : fileSlices(content, reader);
  for (let left = zeros; left > 0; left -= SLICE_BYTES) yield zeroSlice.subarray(0, left);
}

function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) yield bytes.subarray(at, at + SLICE_BYTES);
}

function* fileSlices(segments: readonly Segment[], reader: SegmentReader): Generator<Uint8Array> {
  let filled = 0;
  for (const segment of segments) {
    for (let done = 0; done < segment.length;) {
      const count = Math.min(segment.length - done, SLICE_BYTES - filled);
      reader.read(segment, done, slice.subarray(filled, filled + count));
      done += count;
      filled += count;
      if (filled < SLICE_BYTES) continue;
      yield slice;
      filled = 0;
    }
  }
  if (filled > 0) yield slice.subarray(0, filled);
}

/** Turns a chunk into its piece where it lies, so that a chunk costs its own memory and no more. @throws ShoalError `corrupt` */
function openInPlace(key: Uint8Array, index: number, chunk: Uint8Array): Uint8Array {
  const length = chunk.length - TAG_BYTES;
  if (length < 0) throw new ShoalError('corrupt', `cannot open chunk ${index}: it is shorter than its tag`);
  const piece = chunk.subarray(0, length);
  const decipher = createDecipheriv(CIPHER, key, nonceOf(index), { authTagLength: TAG_BYTES });
  decipher.setAuthTag(chunk.subarray(length));
  for (const part of cut(piece)) {
    const opened = decipher.update(part);
    part.set(opened);
    freeMemory(opened);
  }
  try {
    decipher.final();
  } catch (cause) {
    piece.fill(0);
    throw new ShoalError('corrupt', `cannot open chunk ${index}: it does not authenticate under this key`, { cause });
  }
  return piece;
}
