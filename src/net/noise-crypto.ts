/**
 * The bulk cipher of noise by node:crypto, kinder to memory than the package's own: what is opened goes back into the
 * memory that it came in, a sealed packet is one buffer, and a key is imported once. It also is where what is sent leaves the
 * memory that it was given in: nothing behind it, in libp2p or the kernel, looks there again.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { pureJsCrypto, type ICryptoInterface } from '@chainsafe/libp2p-noise';
import { freeMemory, haveRead } from '../memory.ts';

const CIPHER = 'chacha20-poly1305';
const TAG_BYTES = 16;

/** One array, or a list of them that stands for one. */
type Bytes = Parameters<ICryptoInterface['hashSHA256']>[0];

/** For libp2p's noise. The handshake, which is not bulk, stays with the package's implementation. */
export const noiseCrypto: ICryptoInterface = {
  ...pureJsCrypto,

  hashSHA256(data) {
    const hash = createHash('sha256');
    for (const part of partsOf(data)) hash.update(part);
    return hash.digest();
  },

  chaCha20Poly1305Encrypt(plaintext, nonce, ad, key) {
    const cipher = createCipheriv(CIPHER, keyOf(key), nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(ad, { plaintextLength: plaintext.byteLength });
    const packet = Buffer.allocUnsafeSlow(plaintext.byteLength + TAG_BYTES);
    let position = 0;
    for (const part of partsOf(plaintext)) {
      const sealed = cipher.update(part);
      packet.set(sealed, position);
      position += sealed.length;
      freeMemory(sealed);
      haveRead(part);
    }
    cipher.final();
    packet.set(cipher.getAuthTag(), position);
    return packet;
  },

  chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, target) {
    const length = ciphertext.byteLength - TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, keyOf(key), nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(ad, { plaintextLength: length });
    decipher.setAuthTag(ciphertext.subarray(length));
    const plaintext = target ?? new Uint8Array(length);
    let position = 0;
    for (const part of partsOf(sublistOf(ciphertext, length))) {
      const opened = decipher.update(part);
      plaintext.set(opened, position);
      position += opened.length;
      freeMemory(opened);
    }
    decipher.final();
    return plaintext;
  },
};

function partsOf(bytes: Bytes): Iterable<Uint8Array> {
  return bytes instanceof Uint8Array ? [bytes] : bytes;
}

function sublistOf(bytes: Bytes, length: number): Bytes {
  return bytes instanceof Uint8Array ? bytes.subarray(0, length) : bytes.sublist(0, length);
}

const keys = new WeakMap<Uint8Array, KeyObject>();

function keyOf(bytes: Uint8Array): KeyObject {
  const known = keys.get(bytes);
  if (known !== undefined) return known;
  const key = createSecretKey(bytes);
  keys.set(bytes, key);
  return key;
}
