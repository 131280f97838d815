/** How a stream is padded and cut (format.md §4). Sizes are bytes of plaintext; all arithmetic is exact up to 2^53 − 1. */
import { MIN_PADDED_BYTES, PIECE_BYTES, TAG_BYTES } from '../limits.ts';

/** The size of a stream of `length` bytes with its padding. */
export function pad(length: number): number {
  return padme(Math.max(length, MIN_PADDED_BYTES));
}

/** Rounds up so that only a logarithmic number of bits tells of the length. `length` is at least 2. */
function padme(length: number): number {
  const exponent = bitLength(length) - 1;
  const step = 2 ** (exponent - bitLength(exponent));
  return Math.ceil(length / step) * step;
}

/** Not by Math.log2, which rounds up just below large powers of two; nor by shifts alone, which end at 32 bits. */
function bitLength(n: number): number {
  const high = Math.floor(n / 2 ** 32);
  return high > 0 ? 32 + bitLength(high) : 32 - Math.clz32(n);
}

/** The number of chunks of a stream of `size` bytes. */
export function chunkCount(size: number): number {
  return Math.ceil(size / PIECE_BYTES);
}

/** Bytes of piece `i` of a stream of `size` bytes. `i` is less than `chunkCount(size)`. */
export function pieceLength(size: number, i: number): number {
  return Math.min(PIECE_BYTES, size - i * PIECE_BYTES);
}

/** Bytes of chunk `i`: the piece and its tag. */
export function chunkLength(size: number, i: number): number {
  return pieceLength(size, i) + TAG_BYTES;
}

/** Whether bytes are padding: all of them zero. */
export function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}
