/** Sets of chunk indices: as flat ranges on the wire, as bits in memory. */
import { ShoalError } from '../errors.ts';
import { MAX_RANGE_NUMBERS } from '../limits.ts';

/** Flat pairs: start, count, start, count, …; ascending, not touching each other, every count above 0. */
export type Ranges = readonly number[];

/**
 * Checks ranges from outside against the number of items that there are.
 * @throws ShoalError `protocol`
 */
export function checkRanges(value: unknown, limit: number): Ranges {
  if (!Array.isArray(value) || value.length % 2 !== 0) throw bad('they are not pairs of start and count');
  if (value.length > MAX_RANGE_NUMBERS) throw bad(`${value.length} numbers, at most ${MAX_RANGE_NUMBERS} are allowed`);
  let end = -1;
  for (let i = 0; i < value.length; i += 2) {
    const [start, count] = [value[i] as unknown, value[i + 1] as unknown];
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(count)) throw bad('a start or count is not an integer');
    const [first, length] = [start as number, count as number];
    if (first <= end) throw bad('they are not in order, or touch');
    if (length <= 0 || first < 0 || first > limit || length > limit - first)
      throw bad(`${first}+${length} is outside 0…${limit}`);
    end = first + length;
  }
  return value as number[];
}

function bad(why: string): ShoalError {
  return new ShoalError('protocol', `cannot read ranges: ${why}`);
}

/** Ranges of ascending indices. Where they need more than MAX_RANGE_NUMBERS, the rest is left out: what is not said is not promised. */
export function rangesOf(indices: Iterable<number>): Ranges {
  const ranges: number[] = [];
  let start = -1;
  let end = -1;
  for (const index of indices) {
    if (index === end) {
      end++;
      continue;
    }
    if (start >= 0) ranges.push(start, end - start);
    if (ranges.length >= MAX_RANGE_NUMBERS) return ranges;
    start = index;
    end = index + 1;
  }
  if (start >= 0) ranges.push(start, end - start);
  return ranges;
}

/** The indices of ranges, one by one. */
export function* indicesOf(ranges: Ranges): Generator<number> {
  for (let i = 0; i < ranges.length; i += 2) {
    const [start, count] = [ranges[i] ?? 0, ranges[i + 1] ?? 0];
    for (let index = start; index < start + count; index++) yield index;
  }
}

/** How many indices ranges hold. */
export function countOf(ranges: Ranges): number {
  let count = 0;
  for (let i = 1; i < ranges.length; i += 2) count += ranges[i] ?? 0;
  return count;
}

/** How many bits are set in each byte. */
const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);

/** A set of indices below a fixed limit; one bit each. */
export class IndexSet {
  readonly limit: number;
  readonly #bits: Uint8Array;
  #size = 0;

  constructor(limit: number, ranges: Ranges = []) {
    this.limit = limit;
    this.#bits = new Uint8Array(Math.ceil(limit / 8));
    this.addRanges(ranges);
  }

  static full(limit: number): IndexSet {
    return new IndexSet(limit, limit === 0 ? [] : [0, limit]);
  }

  get size(): number {
    return this.#size;
  }

  has(index: number): boolean {
    // Beyond 2^32 the shifts below would come round to the beginning.
    return index < this.limit && ((this.#bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  /** Returns whether it was new. */
  add(index: number): boolean {
    if (index < 0 || index >= this.limit || this.has(index)) return false;
    this.#bits[index >> 3] = (this.#bits[index >> 3] ?? 0) | (1 << (index & 7));
    this.#size++;
    return true;
  }

  delete(index: number): boolean {
    if (!this.has(index)) return false;
    this.#bits[index >> 3] = (this.#bits[index >> 3] ?? 0) & ~(1 << (index & 7));
    this.#size--;
    return true;
  }

  addRanges(ranges: Ranges): void {
    for (let i = 0; i < ranges.length && this.#size < this.limit; i += 2) {
      const start = ranges[i] ?? 0;
      const end = Math.min(this.limit, start + (ranges[i + 1] ?? 0));
      // Whole bytes at once: in a few bytes a peer may say that it has hundreds of millions of chunks.
      const firstByte = Math.ceil(start / 8);
      const endByte = Math.max(firstByte, Math.floor(end / 8));
      for (let index = start; index < Math.min(end, firstByte * 8); index++) this.add(index);
      this.#fill(firstByte, endByte);
      for (let index = endByte * 8; index < end; index++) this.add(index);
    }
  }

  #fill(firstByte: number, endByte: number): void {
    for (let byte = firstByte; byte < endByte; byte++) this.#size += 8 - (BITS[this.#bits[byte] ?? 0] ?? 0);
    this.#bits.fill(0xff, firstByte, endByte);
  }

  *[Symbol.iterator](): Generator<number> {
    for (let byte = 0; byte < this.#bits.length; byte++) {
      const bits = this.#bits[byte] ?? 0;
      for (let bit = 0; bits >> bit !== 0; bit++) if ((bits >> bit) & 1) yield byte * 8 + bit;
    }
  }
}
