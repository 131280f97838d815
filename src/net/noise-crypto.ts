/**
 * The bulk cipher of noise by node:crypto, kinder to memory than the package's own: what is opened goes back into the
 * memory that it came in, a sealed packet is one buffer, and a key is imported once. It also is where what is sent leaves the
 * memory that it was given in: nothing behind it, in libp2p or the kernel, looks there again.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { pureJsCrypto, type ICryptoInterface } from '@chainsafe/libp2p-noise';
import { freeMemory, haveRead } from '../memory.ts';

const CIPHER = 'chacha20-poly1305';
const TAG_BYTES = 16;

/** One array, or a list of them that stands for one. */
type Bytes = Parameters<ICryptoInterface['hashSHA256']>[0];

/** For libp2p's noise. The handshake, which is not bulk, stays with the package's implementation. */
export const noiseCrypto: ICryptoInterface = {
  ...pureJsCrypto,

  generateX25519KeyPair() {
    const { publicKey, privateKey } = generateKeyPairSync('x25519');
    return {
      publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(SPKI.length),
      privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(PKCS8.length),
    };
  },

  generateX25519SharedKey(privateKey, publicKey) {
    return diffieHellman({
      privateKey: createPrivateKey({ key: Buffer.concat([PKCS8, part(privateKey)]), format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({ key: Buffer.concat([SPKI, part(publicKey)]), format: 'der', type: 'spki' }),
    });
  },

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

/** What stands in front of an X25519 key in DER (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');

function part(bytes: Bytes): Uint8Array {
  return bytes instanceof Uint8Array ? bytes : bytes.subarray();
}

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
