/**
 * CARv1 files: a complete, portable copy of a share (format.md §5). Read as a stream, so that memory does not grow with the
 * file; nothing leaves unless it hashes to its CID.
 *
 *     car   = varint(length) || header || *( varint(length) || CID || bytes )
 */
import { ShoalError } from '../errors.ts';
import { MAX_BLOCK_BYTES, MAX_CAR_HEADER_BYTES } from '../limits.ts';
import { arrayField, decode, encode, fieldsOf, linkOf, malformed, uintField } from './canonical.ts';
import {
  CID_BYTES,
  DAG_CBOR_CODEC,
  blockCid,
  cidBytes,
  digestOf,
  idOf,
  readCid,
  sameBytes,
  sha256,
  type BlockId,
  type Codec,
  type Digest,
} from './ids.ts';

/** A block that matches its CID. */
export interface CarBlock {
  readonly codec: Codec;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

const WHAT = 'CAR file';

/**
 * Reads the header of a CAR file, then block after block as they are asked for. The source is let go of at the end, at an
 * error, and when who iterates stops.
 * @param hash SHA-256, where it is better done elsewhere
 * @returns the share or grant that the file is of, and its blocks in the file's order; the same may come twice
 * @throws ShoalError `unsupported` for another version of CAR; `malformed` for another number of roots than one, CIDs but
 *   those of format.md §2, and anything larger than a block; `corrupt` when the file is cut short or a block does not match
 *   its CID. The same while iterating.
 */
export async function readCar(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  hash: (bytes: Uint8Array) => Digest | Promise<Digest> = sha256,
): Promise<{ root: BlockId; blocks: AsyncGenerator<CarBlock, void, undefined> }> {
  const input = new Input(source);
  try {
    const root = await readHeader(input);
    return { root, blocks: readBlocks(input, hash) };
  } catch (error) {
    await input.close();
    throw error;
  }
}

/** The bytes that a CAR file of the share or grant `root` begins with. */
export function carHeader(root: BlockId): Uint8Array {
  const header = encode({ version: 1, roots: [blockCid(digestOf(root))] });
  return join(varint(header.length), header);
}

/** What a block adds to a CAR file, to be written one after the other; the block itself is not copied. */
export function carBlock(codec: Codec, digest: Digest, bytes: Uint8Array): Uint8Array[] {
  return [join(varint(CID_BYTES + bytes.length), cidBytes(codec, digest)), bytes];
}

async function* readBlocks(
  input: Input,
  hash: (bytes: Uint8Array) => Digest | Promise<Digest>,
): AsyncGenerator<CarBlock, void, undefined> {
  try {
    for (;;) {
      const start = input.position;
      const length = await input.varint(CID_BYTES + MAX_BLOCK_BYTES, 'block');
      if (length === undefined) return;
      const cid = length < CID_BYTES ? undefined : readCid(await input.take(CID_BYTES));
      if (cid === undefined)
        throw malformed(WHAT, `the block at byte ${start} has a CID of a kind that the format does not have`);
      const bytes = await input.take(length - CID_BYTES);
      if (!sameBytes(await hash(bytes), cid.digest)) {
        throw new ShoalError(
          'corrupt',
          `cannot read ${WHAT}: the block at byte ${start} does not match its CID; get the file again`,
        );
      }
      yield { ...cid, bytes };
    }
  } finally {
    await input.close();
  }
}

async function readHeader(input: Input): Promise<BlockId> {
  const length = await input.varint(MAX_CAR_HEADER_BYTES, 'header');
  if (length === undefined) throw new ShoalError('corrupt', `cannot read ${WHAT}: it is empty; get the file again`);
  const what = `${WHAT}, header`;
  const value = decode(await input.take(length), what);
  // CARv2 begins with a header of version 2 and nothing else in it.
  const version = uintField(fieldsOf(value, what, ['version'], ['roots']), 'version', what);
  if (version !== 1)
    throw new ShoalError(
      'unsupported',
      `cannot read ${WHAT}: it is of version ${version}, and only version 1 is read; export it as that`,
    );
  const roots = arrayField(fieldsOf(value, what, ['version', 'roots']), 'roots', what);
  if (roots.length !== 1) throw malformed(what, `it has ${roots.length} roots instead of the one of a share or grant`);
  return idOf(linkOf(roots[0], 'its root', what, DAG_CBOR_CODEC));
}

/** Bytes taken from a source in the portions that the format needs. */
class Input {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();
  /** Bytes taken so far. */
  position = 0;

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** An unsigned LEB128 of at most `limit`, in its shortest form; undefined at the end of the source. */
  async varint(limit: number, what: string): Promise<number | undefined> {
    const start = this.position;
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        if (factor === 1) return undefined;
        throw this.#cutShort();
      }
      const byte = this.#rest[0]!;
      this.#advance(1);
      value += (byte % 128) * factor;
      if (value > limit) throw malformed(WHAT, `the ${what} at byte ${start} is larger than ${limit} bytes`);
      if (byte < 128) {
        if (byte === 0 && factor > 1) throw malformed(WHAT, `the length at byte ${start} is not in its shortest form`);
        return value;
      }
      if (factor > limit) throw malformed(WHAT, `the length at byte ${start} is not in its shortest form`);
    }
  }

  /** Exactly `length` bytes, as a copy. */
  async take(length: number): Promise<Uint8Array> {
    const taken = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      if (this.#rest.length === 0 && !(await this.#more())) throw this.#cutShort();
      const part = this.#rest.subarray(0, length - filled);
      taken.set(part, filled);
      filled += part.length;
      this.#advance(part.length);
    }
    return taken;
  }

  /** Lets go of the source, which may be an open file. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  #advance(count: number): void {
    this.#rest = this.#rest.subarray(count);
    this.position += count;
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next();
      if (next.done === true) return false;
      this.#rest = next.value;
      if (this.#rest.length > 0) return true;
    }
  }

  #cutShort(): ShoalError {
    return new ShoalError(
      'corrupt',
      `cannot read ${WHAT}: it is cut short after ${this.position} bytes; get the file again`,
    );
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.of(...bytes, value);
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
