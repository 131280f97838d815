/** Rung: AES-256-GCM of pieces of 1 MiB in memory, one thread, a nonce for each (format.md §4). */
import { createCipheriv, randomBytes } from 'node:crypto';
import { measureSelf, rungOptions } from '../harness.ts';

const { size } = rungOptions();
const piece = randomBytes(2 ** 20);
const key = randomBytes(32);
const nonce = Buffer.alloc(12);
await measureSelf('AES-256-GCM', size, () => {
  for (let done = 0; done < size; done += piece.length) {
    nonce.writeUInt32BE(done / piece.length, 8);
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.update(piece);
    cipher.final();
    cipher.getAuthTag();
  }
});
