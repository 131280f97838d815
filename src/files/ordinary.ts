/** Files of a user, from their beginnings to their ends. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { fileError, ShoalError } from '../errors.ts';
import { READ_BYTES } from '../limits.ts';
import type { OpenFile } from '../ports.ts';
import { showName } from './names.ts';

/** @throws ShoalError `usage` where it is no ordinary file; by `fileError` */
export async function* readOrdinary(path: string): AsyncGenerator<Uint8Array> {
  try {
    const file = await openOrdinary(path);
    for await (const bytes of file.createReadStream({ highWaterMark: READ_BYTES })) yield bytes as Uint8Array;
  } catch (error) {
    throw fileError(error, `read "${showName(path)}"`);
  }
}

/** Opening a pipe would wait for its other end, in a thread that nobody can wake; and it can be read only once. */
async function openOrdinary(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if ((await file.stat()).isFile()) return file;
    throw new ShoalError(
      'usage',
      `cannot read "${showName(path)}": it is not an ordinary file; save what it gives to a file first, and give that one`,
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Writes parts one after the other. */
export async function writeAll(file: OpenFile, parts: AsyncIterable<Uint8Array>): Promise<void> {
  let position = 0;
  for await (const bytes of parts) {
    await file.write(bytes, position);
    position += bytes.length;
  }
}
