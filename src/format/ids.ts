/**
 * Identifiers: digests, share and grant ids, CIDs, and the keys under which a share is looked for (format.md §2, §10).
 */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { base32 } from 'multiformats/bases/base32';
import { CID } from 'multiformats/cid';
import { create as createMultihash } from 'multiformats/hashes/digest';
import { ShoalError } from '../errors.ts';
import { quoted } from './quoted.ts';

/** A SHA-256: 32 bytes. */
export type Digest = Uint8Array;

/** The canonical text of the CID (CIDv1, dag-cbor, sha2-256) of a share block or a grant block. */
export type BlockId = string & { readonly __brand: 'BlockId' };

/** The multicodec of chunks. */
export const RAW_CODEC = 0x55;
/** The multicodec of every other block. */
export const DAG_CBOR_CODEC = 0x71;
export type Codec = typeof RAW_CODEC | typeof DAG_CBOR_CODEC;

const SHA2_256 = 0x12;
/** Bytes of a digest. */
export const DIGEST_BYTES = 32;
/** Bytes of a binary CID: version, codec, hash function, digest length, digest. */
export const CID_BYTES = 4 + DIGEST_BYTES;
/** Characters of an id: the multibase prefix, and 288 bits in base32. */
export const ID_CHARS = 59;

/**
 * The ids of format.md §2, and no other text: the first 34 of their 290 bits are those of CIDv1, dag-cbor, sha2-256 and 32
 * bytes, the last two are zero. To match this takes a tenth of the time that decoding does, which a list of all shares needs.
 */
const ID = /^bafyrei[a-h][a-z2-7]{50}[aeimquy4]$/;

/**
 * Reads a share or grant id. Only the one spelling of format.md §2 is accepted.
 * @throws ShoalError `bad-link`, saying what is wrong
 */
export function parseId(text: string): BlockId {
  if (ID.test(text)) return text as BlockId;
  const problem = idProblem(text);
  if (problem !== undefined) throw new ShoalError('bad-link', `cannot read id: ${problem}`);
  return text as BlockId;
}

/** What keeps `text` from being an id, as the end of a sentence; `offset` is added to the positions named, which count from 1. */
export function idProblem(text: string, offset = 0): string | undefined {
  const wrong = text.search(/[^a-z2-7]/);
  if (wrong >= 0) {
    const character = String.fromCodePoint(text.codePointAt(wrong) ?? 0);
    return `${quoted(character)} at position ${offset + wrong + 1} does not belong in an id, which has only a-z and 2-7`;
  }
  if (text.length < ID_CHARS) return `the id is cut short: it has ${text.length} of ${ID_CHARS} characters`;
  if (text.length > ID_CHARS) return `the id is too long: it has ${text.length} characters instead of ${ID_CHARS}`;
  if (!text.startsWith('b')) return 'the id does not begin with "b"';
  const bytes = decodeBase32(text.slice(1));
  if (bytes === undefined) return 'the last character of the id is wrong';
  const link = readCid(bytes);
  if (link === undefined)
    return 'a character of it is wrong, or it is an id of another kind (CIDv1 with dag-cbor and sha2-256 is needed)';
  if (link.codec !== DAG_CBOR_CODEC) return 'it is the id of a chunk, not of a share or grant';
  return undefined;
}

/** The bytes that `text` spells, unless it is not the one spelling of them (unused bits that are not zero). */
function decodeBase32(text: string): Uint8Array | undefined {
  try {
    return base32.baseDecode(text);
  } catch {
    return undefined;
  }
}

/** The id of the block whose SHA-256 is `digest`. */
export function idOf(digest: Digest): BlockId {
  return base32.encode(cidBytes(DAG_CBOR_CODEC, digest)) as BlockId;
}

export function digestOf(id: BlockId): Digest {
  return base32.decode(id).slice(CID_BYTES - DIGEST_BYTES);
}

/** The multihash in `id`: 34 bytes. */
export function multihashOf(id: BlockId): Uint8Array {
  return base32.decode(id).slice(CID_BYTES - DIGEST_BYTES - 2);
}

/** SHA-256 in this thread and without WebCrypto's promises: for small things. */
export function sha256(bytes: Uint8Array): Digest {
  return nobleSha256(bytes);
}

/** Compares in a time that depends on the lengths only. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** The digest of number `n` in a packed list: digests one after the other. */
export function digestAt(packed: Uint8Array, n: number): Digest {
  return packed.subarray(n * DIGEST_BYTES, (n + 1) * DIGEST_BYTES);
}

/** The CID of a chunk. */
export function chunkCid(digest: Digest): CID {
  return cidOf(RAW_CODEC, digest);
}

/** The CID of a share, grant or index block. */
export function blockCid(digest: Digest): CID {
  return cidOf(DAG_CBOR_CODEC, digest);
}

function cidOf(codec: Codec, digest: Digest): CID {
  return CID.createV1(codec, createMultihash(SHA2_256, digest));
}

/** A binary CID: 36 bytes. */
export function cidBytes(codec: Codec, digest: Digest): Uint8Array {
  const bytes = new Uint8Array(CID_BYTES);
  bytes.set([1, codec, SHA2_256, DIGEST_BYTES]);
  bytes.set(digest, CID_BYTES - DIGEST_BYTES);
  return bytes;
}

/** Reads a binary CID; undefined for any kind but those of format.md §2. The digest is a copy. */
export function readCid(bytes: Uint8Array): { codec: Codec; digest: Digest } | undefined {
  const codec = bytes[1];
  if (bytes.length !== CID_BYTES || bytes[0] !== 1 || bytes[2] !== SHA2_256 || bytes[3] !== DIGEST_BYTES)
    return undefined;
  if (codec !== RAW_CODEC && codec !== DAG_CBOR_CODEC) return undefined;
  return { codec, digest: bytes.slice(CID_BYTES - DIGEST_BYTES) };
}

const SECONDS_PER_DAY = 86_400;
const RENDEZVOUS_LABEL = new TextEncoder().encode('shoal/1/rendezvous');

/** The day that rendezvous keys count, from 1970 on (format.md §10). */
export function dayOf(unixSeconds: number): number {
  return Math.floor(unixSeconds / SECONDS_PER_DAY);
}

/** The key under which providers of `id` are announced on `day` (format.md §10). */
export function rendezvous(id: BlockId, day: number): CID {
  const multihash = multihashOf(id);
  const input = new Uint8Array(RENDEZVOUS_LABEL.length + multihash.length + 4);
  input.set(RENDEZVOUS_LABEL);
  input.set(multihash, RENDEZVOUS_LABEL.length);
  new DataView(input.buffer).setUint32(input.length - 4, day);
  return chunkCid(sha256(input));
}
