/**
 * As much of a tar file as a backup needs: plain files in the interchange format of POSIX.1-1988 (ustar), which every tar
 * reads. Read is only what is written here, since it is written by this program and nobody else.
 */
import { malformed } from './canonical.ts';

const BLOCK_BYTES = 512;
/** What ends the file: two blocks of zeros. */
export const TAR_END = new Uint8Array(2 * BLOCK_BYTES);
/** Bytes of a name in UTF-8. */
export const MAX_TAR_NAME_BYTES = 100;

/** Where the fields are that are used here, and how long they are. */
const FIELDS = {
  name: [0, MAX_TAR_NAME_BYTES],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
} as const;

const MODE = 0o600;
const PLAIN_FILE = '0';
const MAGIC = 'ustar\u000000';

/**
 * What stands in front of a file's content.
 * @param name at most MAX_TAR_NAME_BYTES
 * @param sizeBytes less than 8 GiB
 * @param modifiedSeconds since 1970, less than 2^33
 */
export function tarHeader(name: string, sizeBytes: number, modifiedSeconds: number): Uint8Array {
  const header = new Uint8Array(BLOCK_BYTES);
  put(header, 'name', name);
  put(header, 'mode', octal(MODE, 7));
  put(header, 'uid', octal(0, 7));
  put(header, 'gid', octal(0, 7));
  put(header, 'size', octal(sizeBytes, 11));
  put(header, 'mtime', octal(modifiedSeconds, 11));
  put(header, 'type', PLAIN_FILE);
  put(header, 'magic', MAGIC);
  put(header, 'checksum', `${octal(checksumOf(header), 6)}\u0000 `);
  return header;
}

/** The zeros behind a content of so many bytes. */
export function tarPadding(sizeBytes: number): Uint8Array {
  return new Uint8Array(-sizeBytes & (BLOCK_BYTES - 1));
}

/** A file of a tar file. */
export interface TarEntry {
  readonly name: string;
  readonly sizeBytes: number;
  /** To be read to its end before the next entry is asked for. */
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * The files of a tar file, one after the other.
 * @param what the file is, as messages call it
 * @throws ShoalError `malformed` for all that `tarHeader` does not write, or that ends early; what reading throws
 */
export async function* readTar(bytes: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<TarEntry> {
  const reader = new Reader(bytes, what);
  try {
    for (;;) {
      const header = await reader.exactly(BLOCK_BYTES);
      if (header.every(byte => byte === 0)) break;
      const { name, sizeBytes } = entryOf(header, what);
      yield { name, sizeBytes, content: reader.upTo(sizeBytes) };
      const padding = await reader.exactly(tarPadding(sizeBytes).length);
      if (padding.some(byte => byte !== 0)) throw malformed(what, 'something stands between two of its files');
    }
    const second = await reader.exactly(BLOCK_BYTES);
    if (second.some(byte => byte !== 0) || !(await reader.isAtEnd()))
      throw malformed(what, 'something stands behind its end');
  } finally {
    await reader.close();
  }
}

function entryOf(header: Uint8Array, what: string): { name: string; sizeBytes: number } {
  const name = textIn(header, 'name');
  const size = textIn(header, 'size');
  const mtime = textIn(header, 'mtime');
  if (!/^[0-7]{11}$/.test(size) || !/^[0-7]{11}$/.test(mtime)) throw malformed(what, 'a header of it is damaged');
  const sizeBytes = Number.parseInt(size, 8);
  const written = tarHeader(name, sizeBytes, Number.parseInt(mtime, 8));
  if (!written.every((byte, n) => byte === header[n])) throw malformed(what, 'it holds more than plain files');
  return { name, sizeBytes };
}

function put(header: Uint8Array, field: keyof typeof FIELDS, text: string): void {
  const [start, length] = FIELDS[field];
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > length) throw new RangeError(`${field} of ${bytes.length} bytes does not fit`);
  header.set(bytes, start);
}

/** Up to the first zero byte. */
function textIn(header: Uint8Array, field: keyof typeof FIELDS): string {
  const [start, length] = FIELDS[field];
  const bytes = header.subarray(start, start + length);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** The sum of all bytes, where those of the sum itself count as spaces. */
function checksumOf(header: Uint8Array): number {
  const [start, length] = FIELDS.checksum;
  const others = header.reduce((sum, byte, n) => (n >= start && n < start + length ? sum : sum + byte), 0);
  return others + length * ' '.charCodeAt(0);
}

/** Bytes that come in pieces of any size, taken in pieces of another. */
class Reader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #what: string;
  #rest: Uint8Array = new Uint8Array();

  constructor(bytes: AsyncIterable<Uint8Array>, what: string) {
    this.#iterator = bytes[Symbol.asyncIterator]();
    this.#what = what;
  }

  async exactly(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let have = 0;
    for await (const piece of this.upTo(length)) {
      bytes.set(piece, have);
      have += piece.length;
    }
    return bytes;
  }

  /** `length` bytes, in pieces as they come. */
  async *upTo(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0;) {
      if (await this.isAtEnd()) throw malformed(this.#what, 'it ends in the midst of a file');
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#iterator.next();
      if (next.done === true) return true;
      this.#rest = next.value;
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}
