/**
 * Memory of whole blocks, used again instead of left to the garbage collector, which is slow to see how much of it there is:
 * with a new mebibyte for every chunk it runs all the time, and memory grows all the same.
 */
import { MAX_BLOCK_BYTES, MAX_SPARE_BLOCKS } from './limits.ts';

const spare: ArrayBuffer[] = [];

/** Memory of `length` bytes, not zeroed, with a buffer of its own, so that it can go to another thread. */
export function takeMemory(length: number): Uint8Array<ArrayBuffer> {
  const used = length === MAX_BLOCK_BYTES ? spare.pop() : undefined;
  if (used !== undefined) return new Uint8Array(used);
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer, byteOffset, length);
}

/** Up to `count` buffers of MAX_BLOCK_BYTES that are not in use. */
export function takeSpare(count: number): ArrayBuffer[] {
  return spare.splice(0, count);
}

/** Takes back the memory below `bytes`, which nobody looks at any more. Memory of another size is left to be collected. */
export function giveMemory({ buffer }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== MAX_BLOCK_BYTES) return;
  if (spare.length < MAX_SPARE_BLOCKS && !spare.includes(buffer)) spare.push(buffer);
}

/** Frees the memory of `bytes` at once, where nothing else is in it: they, and every view of them, are empty from now on. */
export function freeMemory({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

/** Memory that is freed once it has been read to its end. */
const parting = new WeakSet<ArrayBufferLike>();

/** Has the memory of `bytes` freed, where nothing else is in it, as soon as `haveRead` is told of their end. */
export function freeOnceRead({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) parting.add(buffer);
}

/** `part`, a view of some memory that is read from its beginning to its end, has been read by the last who needs it. */
export function haveRead({ buffer, byteOffset, byteLength }: Uint8Array): void {
  if (byteOffset + byteLength < buffer.byteLength || !parting.delete(buffer)) return;
  // Who called the reader may count with the lengths of views until it returns.
  queueMicrotask(() => freeMemory(new Uint8Array(buffer)));
}
