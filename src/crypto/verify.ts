/** Checking blocks against their CIDs, for who opens none: a relay has no other cryptography of contents. */
import { hash } from 'node:crypto';
import { ShoalError } from '../errors.ts';
import { sameBytes, type Digest } from '../format/ids.ts';
import { MAX_BLOCK_BYTES } from '../limits.ts';
import type { Crypto } from '../ports.ts';

/** The part of the Crypto port that needs no key. */
export function verifier(): Pick<Crypto, 'verify'> {
  return {
    async verify(bytes, digest) {
      checkDigest(bytes, digest);
    },
  };
}

/** The one door for bytes from outside. @throws ShoalError `mismatch` */
export function checkDigest(bytes: Uint8Array, digest: Digest): void {
  if (bytes.length > MAX_BLOCK_BYTES) {
    throw new ShoalError('mismatch', `cannot verify a block: ${bytes.length} bytes are more than a block may have`);
  }
  if (!sameBytes(hash('sha256', bytes, 'buffer'), digest)) {
    throw new ShoalError('mismatch', 'cannot verify a block: its bytes do not match its CID');
  }
}
