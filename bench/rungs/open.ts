/** Checking and opening chunks, one after the other, in one thread. */
import { randomBytes } from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import { measureSelf, rungOptions } from '../harness.ts';

const { size } = rungOptions();
const crypto = nodeCrypto();
const key = randomBytes(32);
const [sealed] = await crypto.seal(key, [{ index: 0, content: randomBytes(PIECE_BYTES), zeros: 0 }], true);
if (sealed?.chunk === undefined) throw new Error('no chunk');
const { chunk, digest } = sealed;
// Opening is done in place, so each time begins with a copy of the chunk, in the same memory.
const memory = new Uint8Array(chunk.length);
await measureSelf('open', size, async () => {
  for (let done = 0; done < size; done += PIECE_BYTES) {
    memory.set(chunk);
    await crypto.open(key, 0, memory, digest);
  }
});
