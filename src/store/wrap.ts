/** Secrets as they lie in the catalog: AES-256-GCM under a key of the home, bound to the place where they lie. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { TAG_BYTES } from '../limits.ts';
import type { RandomBytes } from '../ports.ts';

const CIPHER = 'aes-256-gcm';
/** Random nonces: a home wraps far fewer than 2^32 secrets. */
const NONCE_BYTES = 12;

/** Returns nonce || ciphertext || tag. @param place what the secret is, and of which share */
export function wrap(key: Uint8Array, secret: Uint8Array, place: string, random: RandomBytes): Uint8Array {
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(place));
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

/** undefined when it was wrapped under another key, for another place, or is damaged. */
export function unwrap(key: Uint8Array, wrapped: Uint8Array, place: string): Uint8Array | undefined {
  const end = wrapped.length - TAG_BYTES;
  if (end < NONCE_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, wrapped.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(place)).setAuthTag(wrapped.subarray(end));
  try {
    return Uint8Array.from(Buffer.concat([decipher.update(wrapped.subarray(NONCE_BYTES, end)), decipher.final()]));
  } catch {
    return undefined;
  }
}
