/** Writing a new file piece by piece, and making it durable. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PIECE_BYTES } from '../../src/limits.ts';
import { measureSelf, rungOptions } from '../harness.ts';

const { size, folder = '' } = rungOptions('folder');
const piece = new Uint8Array(PIECE_BYTES).fill(1);
const path = join(folder, 'written');
await measureSelf('write file', size, async () => {
  const file = await open(path, 'wx');
  for (let done = 0; done < size; done += PIECE_BYTES)
    await file.write(piece, 0, Math.min(PIECE_BYTES, size - done), done);
  await file.sync();
  await file.close();
});
await rm(path);
