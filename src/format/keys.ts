/** The file key and what is derived from it (format.md §3). Relays do not import this file. */
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { Digest } from './ids.ts';

/** 32 bytes. Whoever has it can read the share. */
export type FileKey = Uint8Array & { readonly __brand: 'FileKey' };

export const FILE_KEY_BYTES = 32;

/** A key for one new share; it is never used for a second one (format.md §4). */
export function newFileKey(random: (length: number) => Uint8Array): FileKey {
  return fileKey(random(FILE_KEY_BYTES));
}

/** Takes 32 bytes for a file key. */
export function fileKey(bytes: Uint8Array): FileKey {
  if (bytes.length !== FILE_KEY_BYTES)
    throw new RangeError(`a file key has ${FILE_KEY_BYTES} bytes, not ${bytes.length}`);
  return bytes as FileKey;
}

/** The AES-256-GCM key of one stream: 32 bytes. */
export function streamKey(key: FileKey, stream: 'manifest' | 'data'): Uint8Array {
  return derive(key, stream);
}

/** What a share block of `key` says in "commitment". @param bytes the canonical share block without that entry */
export function commitmentOf(key: FileKey, bytes: Uint8Array): Digest {
  return hmac(sha256, derive(key, 'commitment'), bytes);
}

function derive(key: FileKey, label: string): Uint8Array {
  return hkdf(sha256, key, undefined, new TextEncoder().encode(`shoal/1/${label}`), 32);
}
