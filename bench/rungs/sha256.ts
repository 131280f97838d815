/** Rung: SHA-256 of pieces of 1 MiB in memory, one thread, as CIDs are made. */
import { createHash, randomBytes } from 'node:crypto';
import { measureSelf, rungOptions } from '../harness.ts';

const { size } = rungOptions();
const piece = randomBytes(2 ** 20);
await measureSelf('SHA-256', size, () => {
  for (let done = 0; done < size; done += piece.length) createHash('sha256').update(piece).digest();
});
