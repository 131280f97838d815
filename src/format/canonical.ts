/**
 * Canonical dag-cbor (format.md §2) and the readers of its fields.
 *
 * Decoding is our own: it is a single strict pass that accepts exactly those bytes that encoding the value again gives back,
 * reserves nothing by a claimed length, and keeps text as it is (the library's decoder strips a byte order mark).
 */
import { encode as encodeDagCbor } from '@ipld/dag-cbor';
import type { CID } from 'multiformats/cid';
import { ShoalError } from '../errors.ts';
import { MAX_CBOR_DEPTH } from '../limits.ts';
import { DIGEST_BYTES, digestAt, readCid, type Codec, type Digest } from './ids.ts';
import { quoted } from './quoted.ts';

/** A CID as it comes out of `decode`. */
export class Link {
  readonly codec: Codec;
  readonly digest: Digest;

  constructor(codec: Codec, digest: Digest) {
    this.codec = codec;
    this.digest = digest;
  }
}

/** Canonical dag-cbor. CIDs go in as CID objects; an entry must not be undefined. */
export function encode(value: unknown): Uint8Array {
  return encodeDagCbor(value);
}

/**
 * The canonical dag-cbor of an array of CIDs, without an object for each: an index block lists thousands.
 * @param packed at least one digest, one after the other
 */
export function encodeLinks(packed: Uint8Array, cidOf: (digest: Digest) => CID): Uint8Array {
  const count = packed.length / DIGEST_BYTES;
  // A CID ends with its digest, and the head of an array is that of a number with another major type (RFC 8949 §3.1).
  const prefix = encode(cidOf(digestAt(packed, 0))).slice(0, -DIGEST_BYTES);
  const head = encode(count).map((byte, n) => (n === 0 ? byte | (ARRAY << 5) : byte));
  const step = prefix.length + DIGEST_BYTES;
  const bytes = new Uint8Array(head.length + count * step);
  bytes.set(head);
  for (let n = 0; n < count; n++) {
    const at = head.length + n * step;
    bytes.set(prefix, at);
    bytes.set(digestAt(packed, n), at + prefix.length);
  }
  return bytes;
}

export interface DecodeOptions {
  /** Entries of this key, wherever they are, are checked and then left out of the value. Below it floats are allowed. */
  readonly skip?: string;
  /** Values built at most, containers and their members each counted; bounds memory where input is large. */
  readonly maxValues?: number;
}

/**
 * Decodes canonical dag-cbor. Maps become plain objects, CIDs `Link`s; byte strings are copies.
 * @param what names the bytes in errors, as in `cannot decode share block: …`
 * @throws ShoalError `malformed` for anything not canonical, nested deeper than 8, integers beyond ±(2^53 − 1), floats,
 *   tags but 42, CIDs but those of format.md §2
 */
export function decode(bytes: Uint8Array, what: string, options: DecodeOptions = {}): unknown {
  const decoder = new Decoder(bytes, what, options);
  const value = decoder.value(0);
  decoder.end();
  return value;
}

/**
 * The `type` and `version` of a block, found without minding what else is there: a newer version may have other CIDs, other
 * types, and deeper nesting. Undefined is what is not there or not of the right type.
 */
export function peekHeader(bytes: Uint8Array): { type?: string; version?: number } {
  const header: { type?: string; version?: number } = {};
  try {
    const decoder = new Decoder(bytes, 'block', {});
    for (let left = decoder.mapLength(); left > 0; left--) {
      const key = decoder.key();
      const at = decoder.position;
      decoder.pass();
      if (key !== 'type' && key !== 'version') continue;
      const value = decode(bytes.subarray(at, decoder.position), 'block');
      if (key === 'type' && typeof value === 'string') header.type = value;
      if (key === 'version' && typeof value === 'number') header.version = value;
    }
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
  }
  return header;
}

/**
 * Decodes a block that says what it is and checks that.
 * @throws ShoalError `unsupported` for another version of this type, `malformed` for another type and anything else
 */
export function decodeTyped(bytes: Uint8Array, what: string, type: string): unknown {
  const header = peekHeader(bytes);
  if (header.type === type && header.version !== undefined && header.version !== 1) {
    throw new ShoalError(
      'unsupported',
      `cannot decode ${what}: it is of version ${header.version}, which needs a newer program; update shoal`,
    );
  }
  const value = decode(bytes, what);
  const fields = mapOf(value, what);
  if (fields['type'] !== type) throw malformed(what, `its type is not "${type}"`);
  if (fields['version'] !== 1) throw malformed(what, 'it has no version');
  return value;
}

/** The error for input that breaks the format. */
export function malformed(what: string, why: string, options?: { cause?: unknown }): ShoalError {
  return new ShoalError('malformed', `cannot decode ${what}: ${why}`, options);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const SHORT_TEXT_BYTES = 24;

const UINT = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;

const CID_TAG = 42;
const FALSE = 20;
const TRUE = 21;
const NULL = 22;
const FLOAT64 = 27;

/** A position in bytes, moved forward by reading. Works on positions: a manifest has millions of items to make views of. */
class Decoder {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  readonly #skipKey: string | undefined;
  #valuesLeft: number;
  position = 0;

  constructor(bytes: Uint8Array, what: string, options: DecodeOptions) {
    this.#bytes = bytes;
    this.#what = what;
    this.#skipKey = options.skip;
    this.#valuesLeft = options.maxValues ?? Infinity;
  }

  value(depth: number): unknown {
    if (--this.#valuesLeft < 0) throw this.#error('it holds too many values');
    const initial = this.#initial();
    const minor = initial & 31;
    switch (initial >> 5) {
      case UINT:
        return this.#argument(minor);
      case NEGATIVE:
        return this.#negative(minor);
      case BYTES:
        return this.#bytes.slice(this.#over(this.#argument(minor)), this.position);
      case TEXT:
        return this.#textFrom(this.#over(this.#argument(minor)));
      case ARRAY:
        return this.#array(this.#argument(minor), depth + 1);
      case MAP:
        return this.#map(this.#argument(minor), depth + 1);
      case TAG:
        return this.#link(minor);
      default:
        return this.#simple(minor);
    }
  }

  /** Checks a value like `value` does, and keeps nothing. Here floats are allowed. */
  #skip(depth: number): void {
    const initial = this.#initial();
    const minor = initial & 31;
    switch (initial >> 5) {
      case UINT:
        this.#argument(minor);
        return;
      case NEGATIVE:
        this.#negative(minor);
        return;
      case BYTES:
        this.#over(this.#argument(minor));
        return;
      case TEXT:
        this.#textFrom(this.#over(this.#argument(minor)));
        return;
      case ARRAY: {
        const length = this.#enter(this.#argument(minor), depth + 1);
        for (let i = 0; i < length; i++) this.#skip(depth + 1);
        return;
      }
      case MAP: {
        let previous: Place | undefined;
        for (let left = this.#enter(this.#argument(minor), depth + 1); left > 0; left--) {
          previous = this.#key(previous);
          this.#textFrom(previous.start);
          this.#skip(depth + 1);
        }
        return;
      }
      case TAG:
        this.#link(minor);
        return;
      default:
        if (minor === FLOAT64) this.#float();
        else this.#simple(minor);
    }
  }

  /** Goes past a value of any kind that CBOR has, however deep; only lengths are checked, and none may be indefinite. */
  pass(): void {
    for (let left = 1; left > 0; left--) {
      const initial = this.#initial();
      const minor = initial & 31;
      switch (initial >> 5) {
        case BYTES:
        case TEXT:
          this.#over(this.#argument(minor));
          break;
        case ARRAY:
          left += this.#enter(this.#argument(minor), 0);
          break;
        case MAP:
          left += 2 * this.#enter(this.#argument(minor), 0);
          break;
        default:
          if (minor > 27) throw this.#error('it has an item of indefinite length');
          if (minor >= 24) this.#over(2 ** (minor - 24));
          if (initial >> 5 === TAG) left++;
      }
    }
  }

  /** Reads a map's head: the number of its entries. */
  mapLength(): number {
    const initial = this.#initial();
    if (initial >> 5 !== MAP) throw this.#error('it is not a map');
    return this.#enter(this.#argument(initial & 31), 1);
  }

  /** Reads a key by itself. */
  key(): string {
    return this.#textFrom(this.#key(undefined).start);
  }

  end(): void {
    const left = this.#bytes.length - this.position;
    if (left > 0) throw this.#error(`${left} bytes follow its end`);
  }

  #initial(): number {
    const byte = this.#bytes[this.position];
    if (byte === undefined) throw this.#error('it is cut short');
    this.position++;
    return byte;
  }

  /** The number in or behind an initial byte: in its shortest form, at most 2^53 − 1. */
  #argument(minor: number): number {
    if (minor < 24) return minor;
    if (minor > 27) throw this.#error('it has an item of indefinite length');
    const length = 2 ** (minor - 24);
    let value = 0;
    for (let at = this.#over(length); at < this.position; at++) value = value * 256 + this.#bytes[at]!;
    if (value > Number.MAX_SAFE_INTEGER) throw this.#error('a number is larger than 2^53 − 1');
    const least = length === 1 ? 24 : 2 ** (length * 4);
    if (value < least) throw this.#error('a number is not in its shortest form');
    return value;
  }

  #negative(minor: number): number {
    const value = -1 - this.#argument(minor);
    if (value < Number.MIN_SAFE_INTEGER) throw this.#error('a number is smaller than −(2^53 − 1)');
    return value;
  }

  /** Moves over `length` bytes, and returns where they begin. */
  #over(length: number): number {
    const start = this.position;
    if (length > this.#bytes.length - start) throw this.#error('it is cut short');
    this.position = start + length;
    return start;
  }

  /** The text from `start` to the present position. */
  #textFrom(start: number): string {
    const short = this.position - start <= SHORT_TEXT_BYTES ? this.#asciiFrom(start) : undefined;
    if (short !== undefined) return short;
    try {
      return utf8.decode(this.#bytes.subarray(start, this.position));
    } catch (cause) {
      throw this.#error('a text is not valid UTF-8', cause);
    }
  }

  /** The text, when all of it is ASCII: spares the cost of a call to TextDecoder. */
  #asciiFrom(start: number): string | undefined {
    let text = '';
    for (let at = start; at < this.position; at++) {
      const byte = this.#bytes[at]!;
      if (byte >= 0x80) return undefined;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #array(claimed: number, depth: number): unknown[] {
    const length = this.#enter(claimed, depth);
    const values: unknown[] = [];
    for (let i = 0; i < length; i++) values.push(this.value(depth));
    return values;
  }

  #map(claimed: number, depth: number): Record<string, unknown> {
    const fields: Record<string, unknown> = {};
    let previous: Place | undefined;
    for (let left = this.#enter(claimed, depth); left > 0; left--) {
      previous = this.#key(previous);
      const key = this.#textFrom(previous.start);
      if (key === this.#skipKey) this.#skipMap(key, depth);
      else if (key !== '__proto__') fields[key] = this.value(depth);
      else Object.defineProperty(fields, key, { value: this.value(depth), enumerable: true });
    }
    return fields;
  }

  #skipMap(key: string, depth: number): void {
    const byte = this.#bytes[this.position];
    if (byte !== undefined && byte >> 5 !== MAP) throw this.#error(`"${key}" is not a map`);
    this.#skip(depth);
  }

  /** Where the next key is, which comes behind `previous` in canonical order: shorter first, then by bytes. */
  #key(previous: Place | undefined): Place {
    const initial = this.#initial();
    if (initial >> 5 !== TEXT) throw this.#error('a key is not text');
    const start = this.#over(this.#argument(initial & 31));
    const key = { start, length: this.position - start };
    if (previous !== undefined && this.#compare(previous, key) >= 0) {
      throw this.#error('the keys of a map are not in canonical order, or one is there twice');
    }
    return key;
  }

  #compare(a: Place, b: Place): number {
    if (a.length !== b.length) return a.length - b.length;
    for (let i = 0; i < a.length; i++) {
      const difference = this.#bytes[a.start + i]! - this.#bytes[b.start + i]!;
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Checks depth, and that as many items as claimed can be there at all (each takes a byte). */
  #enter(claimed: number, depth: number): number {
    if (depth > MAX_CBOR_DEPTH) throw this.#error(`it is nested deeper than ${MAX_CBOR_DEPTH}`);
    if (claimed > this.#bytes.length - this.position) throw this.#error('it is cut short');
    return claimed;
  }

  #link(minor: number): Link {
    if (this.#argument(minor) !== CID_TAG) throw this.#error('it has a tag that is not 42');
    const initial = this.#initial();
    const length = this.#argument(initial & 31);
    const start = this.#over(length);
    // A zero byte stands before the CID in dag-cbor.
    const isCid = initial >> 5 === BYTES && length > 0 && this.#bytes[start] === 0;
    const cid = isCid ? readCid(this.#bytes.subarray(start + 1, this.position)) : undefined;
    if (cid === undefined) throw this.#error('a CID is of a kind that the format does not have');
    return new Link(cid.codec, cid.digest);
  }

  #simple(minor: number): boolean | null {
    if (minor === FALSE) return false;
    if (minor === TRUE) return true;
    if (minor === NULL) return null;
    throw this.#error('it has a value of a type that the format does not have');
  }

  #float(): void {
    const start = this.#over(8);
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + start, 8).getFloat64(0);
    if (!Number.isFinite(value)) throw this.#error('a number is not finite');
  }

  #error(why: string, cause?: unknown): ShoalError {
    return malformed(this.#what, `${why} (at byte ${this.position})`, { cause });
  }
}

interface Place {
  readonly start: number;
  readonly length: number;
}

/** A decoded map whose keys have been checked. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * A map with exactly the keys listed; the optional ones may be missing.
 * @throws ShoalError `malformed`, as all readers below
 */
export function fieldsOf(
  value: unknown,
  what: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Fields {
  const fields = mapOf(value, what);
  for (const key of required) {
    if (fields[key] === undefined) throw malformed(what, `it has no "${key}"`);
  }
  for (const key in fields) {
    if (!required.includes(key) && !optional.includes(key)) {
      throw malformed(what, `it has ${quoted(key)}, which the format does not list`);
    }
  }
  return fields;
}

function mapOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    throw malformed(what, 'it is not a map');
  }
  return value as Fields;
}

export function textField(fields: Fields, key: string, what: string): string {
  const value = fields[key];
  if (typeof value !== 'string') throw malformed(what, `"${key}" is not text`);
  return value;
}

export function uintField(fields: Fields, key: string, what: string): number {
  const value = fields[key];
  if (typeof value !== 'number' || value < 0) throw malformed(what, `"${key}" is not an unsigned integer`);
  return value;
}

export function intField(fields: Fields, key: string, what: string): number {
  const value = fields[key];
  if (typeof value !== 'number') throw malformed(what, `"${key}" is not an integer`);
  return value;
}

/** @param length in bytes, where it is fixed */
export function bytesField(fields: Fields, key: string, what: string, length?: number): Uint8Array {
  const value = fields[key];
  if (!(value instanceof Uint8Array)) throw malformed(what, `"${key}" is not a byte string`);
  if (length !== undefined && value.length !== length) {
    throw malformed(what, `"${key}" has ${value.length} bytes instead of ${length}`);
  }
  return value;
}

export function arrayField(fields: Fields, key: string, what: string): readonly unknown[] {
  const value = fields[key];
  if (!Array.isArray(value)) throw malformed(what, `"${key}" is not an array`);
  return value;
}

/** A boolean that is `true` or absent. */
export function flagField(fields: Fields, key: string, what: string): true | undefined {
  const value = fields[key];
  if (value !== undefined && value !== true) throw malformed(what, `"${key}" is there and not true`);
  return value;
}

export function linkField(fields: Fields, key: string, what: string, codec: Codec): Digest {
  return linkOf(fields[key], `"${key}"`, what, codec);
}

/** @param name names the value in errors */
export function linkOf(value: unknown, name: string, what: string, codec: Codec): Digest {
  if (!(value instanceof Link)) throw malformed(what, `${name} is not a CID`);
  if (value.codec !== codec) throw malformed(what, `${name} is a CID of the wrong codec`);
  return value.digest;
}
