/**
 * Ciphertext that opens under two keys. AES-GCM's tag is a polynomial over the ciphertext, so that one block of it can be
 * chosen to have the tags under both keys agree (Dodis, Grubbs, Ristenpart, Woodage: Fast Message Franking, 2018).
 */
import { encode } from '@ipld/dag-cbor';
import { createCipheriv, randomBytes } from 'node:crypto';
import { derive, manifestStream, shareOfChunks, type Share } from './peer.ts';

const BLOCK = 16;
/** What is free in the manifest, so that an aligned block is in it wherever it begins. */
const FREE = 3 * BLOCK;
/** The nonce of the first chunk, and the counter of GCM behind it: 1 for the tag, the plaintext from 2 on. */
const NONCE = Buffer.alloc(12);

/** A share whose every chunk opens under two keys, with a share block for the first. */
export interface TwoKeys {
  readonly share: Share;
  readonly otherKey: Uint8Array;
  /** What the data is under the key of the share block. */
  readonly content: Uint8Array;
  /** What the data is under the other key. */
  readonly otherContent: Uint8Array;
}

/**
 * @param first what the data begins with under the key of the share block
 * @param second what stands in its second half under the other key
 */
export function shareOfTwoKeys(first: string, second: string): TwoKeys {
  const [key, otherKey] = [randomBytes(32), randomBytes(32)];
  const { chunk: data, content, otherContent } = salamander(key, otherKey, first, second);
  const { plaintext, freeAt } = manifestWithRoom(content.length);
  const [manifestKey, otherManifestKey] = [derive(key, 'manifest'), derive(otherKey, 'manifest')];
  const sealed = xor(plaintext, keystream(manifestKey, plaintext.length));
  const manifest = underBoth(manifestKey, otherManifestKey, sealed, freeAt);
  const share = shareOfChunks(key, { manifest: [manifest], data: [data] });
  return { share, otherKey, content, otherContent };
}

/** A chunk of the data that says one thing to who has one key, and another to who has the other. */
function salamander(
  key: Uint8Array,
  otherKey: Uint8Array,
  first: string,
  second: string,
): { chunk: Buffer; content: Buffer; otherContent: Buffer } {
  const size = 4096;
  const keys = [derive(key, 'data'), derive(otherKey, 'data')] as const;
  const [stream, otherStream] = keys.map(each => keystream(each, size)) as [Buffer, Buffer];
  const sealed = Buffer.concat([
    xor(Buffer.from(first.padEnd(size / 2)), stream),
    xor(Buffer.from(second.padEnd(size / 2)), otherStream.subarray(size / 2)),
  ]);
  const chunk = underBoth(...keys, sealed, size - BLOCK);
  const ciphertext = chunk.subarray(0, size);
  return { chunk, content: xor(ciphertext, stream), otherContent: xor(ciphertext, otherStream) };
}

/** The stream of a manifest with bytes in it that may be anything, and where a whole block of them begins. */
function manifestWithRoom(size: number): { plaintext: Uint8Array; freeAt: number } {
  const room = randomBytes(FREE);
  const manifest = { kind: 'file', name: 'two', entries: [{ path: 'two', size }], extra: { room } };
  const plaintext = manifestStream(encode(manifest));
  const roomAt = Buffer.from(plaintext).indexOf(room);
  return { plaintext, freeAt: Math.ceil(roomAt / BLOCK) * BLOCK };
}

/** Ciphertext, whose block at `freeAt` is chosen, and the tag that is right under both keys. */
function underBoth(key: Uint8Array, otherKey: Uint8Array, ciphertext: Uint8Array, freeAt: number): Buffer {
  if (ciphertext.length % BLOCK !== 0) throw new Error('this is for whole blocks only');
  const chosen = Buffer.from(ciphertext);
  chosen.fill(0, freeAt, freeAt + BLOCK);
  // The block at `freeAt` is multiplied by this power of the hash key.
  const power = (chosen.length - freeAt) / BLOCK + 1;
  const [one, other] = [key, otherKey].map(each => {
    const hashKey = number(encrypted(each, Buffer.alloc(BLOCK)));
    return { tag: tagOf(each, hashKey, chosen), factor: raised(hashKey, BigInt(power)) };
  }) as [Tag, Tag];
  // tag1 + x * factor1 = tag2 + x * factor2, where + is exclusive or.
  const free = times(one.tag ^ other.tag, inverse(one.factor ^ other.factor));
  bytes(free).copy(chosen, freeAt);
  return Buffer.concat([chosen, bytes(one.tag ^ times(free, one.factor))]);
}

interface Tag {
  readonly tag: bigint;
  readonly factor: bigint;
}

function tagOf(key: Uint8Array, hashKey: bigint, ciphertext: Buffer): bigint {
  const lengths = Buffer.alloc(BLOCK);
  lengths.writeBigUInt64BE(BigInt(8 * ciphertext.length), 8);
  const hashed = Buffer.concat([ciphertext, lengths]);
  let sum = 0n;
  for (let at = 0; at < hashed.length; at += BLOCK) sum = times(sum ^ number(hashed.subarray(at, at + BLOCK)), hashKey);
  return sum ^ number(encrypted(key, counter(1)));
}

function counter(value: number): Buffer {
  const block = Buffer.concat([NONCE, Buffer.alloc(4)]);
  block.writeUInt32BE(value, NONCE.length);
  return block;
}

function keystream(key: Uint8Array, length: number): Buffer {
  return createCipheriv('aes-256-ctr', key, counter(2)).update(Buffer.alloc(length));
}

function encrypted(key: Uint8Array, block: Uint8Array): Buffer {
  return createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block);
}

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((byte, n) => byte ^ (b[n] ?? 0)));
}

// The field of GCM: 2^128 elements, whose first bit is the constant term.

const REDUCTION = 0xe1n << 120n;
const ONE = 1n << 127n;

function times(a: bigint, b: bigint): bigint {
  let [product, shifted] = [0n, b];
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((a >> bit) & 1n) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ REDUCTION : shifted >> 1n;
  }
  return product;
}

function raised(base: bigint, exponent: bigint): bigint {
  let [result, square] = [ONE, base];
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = times(result, square);
    square = times(square, square);
  }
  return result;
}

function inverse(a: bigint): bigint {
  return raised(a, 2n ** 128n - 2n);
}

function number(block: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(block).toString('hex')}`);
}

function bytes(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * BLOCK, '0'), 'hex');
}
