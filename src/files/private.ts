/** Small text files that only their user can read, and that are made when they are first needed. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** More than most such files ever have; what is longer is something else. */
const MAX_FILE_BYTES = 1024;

/**
 * @param refused makes the error for what is there and can't be used: `other`, it is no small file; `open`, others may read it
 * @returns undefined where there is none
 */
export async function readPrivate(
  path: string,
  refused: (why: 'other' | 'open') => Error,
): Promise<string | undefined> {
  const bytes = await readPrivateBytes(path, refused);
  return bytes && Buffer.from(bytes).toString('utf8');
}

/**
 * As `readPrivate`, for what may be no text.
 * @param refused may return undefined for `open` where that others may read it is no harm
 */
export async function readPrivateBytes(
  path: string,
  refused: (why: 'other' | 'open') => Error | undefined,
  maxBytes = MAX_FILE_BYTES,
): Promise<Uint8Array | undefined> {
  const file = await openToRead(path);
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat();
    const isOther = !stat.isFile() || stat.size > maxBytes;
    const isOpen = process.platform !== 'win32' && (stat.mode & 0o077) !== 0;
    const error = isOther ? refused('other') : isOpen ? refused('open') : undefined;
    if (error !== undefined) throw error;
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function openToRead(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Makes the file under a name of its own first: at its final name it is complete and durable, or not there.
 * @returns whether it is this text that is there now; not where another process was quicker
 */
export async function makePrivate(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomBytes(8).toString('hex')}.new`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await file.close();
    await unlink(draft);
  }
  await syncFolder(dirname(path));
  return true;
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // folders can not be opened there
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
