/** Rung: reads a file in pieces of 1 MiB into one buffer, as the first step of sharing does. */
import { open } from 'node:fs/promises';
import { measureSelf, rungOptions } from '../harness.ts';

const { size, file } = rungOptions('file');
if (file === undefined) throw new TypeError('needs --file PATH');

const handle = await open(file);
const piece = Buffer.allocUnsafe(2 ** 20);
await measureSelf('read file', size, async () => {
  for (let position = 0; position < size;) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, position);
    if (bytesRead === 0) throw new Error(`${file} is shorter than ${String(size)} bytes`);
    position += bytesRead;
  }
});
await handle.close();
