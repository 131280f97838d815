/** Reading the runs of files of which pieces are made, and noticing that a file is no longer what it was. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { ShoalError, fileError } from '../errors.ts';
import { showName } from '../files/names.ts';
import type { Segment } from '../ports.ts';

// Windows has neither flag. Without O_NONBLOCK, opening a FIFO that was put in a file's place would hang.
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Reads runs of files one after the other in the calling thread. The last file stays open, because neighbouring pieces
 * mostly lie in one file. Where it is known what a file must look like, it is looked at before its first and after its
 * last byte: only after `finish` is what was read known to be good.
 */
export class SegmentReader {
  #file: { readonly fd: number; readonly path: string; readonly expect: Segment['expect'] } | undefined;

  /**
   * Fills `into` with the bytes of `segment` from `from` on.
   * @throws ShoalError `changed`, `unavailable`, `denied`, `io`, each naming the file
   */
  read(segment: Segment, from: number, into: Uint8Array): void {
    const fd = this.#open(segment);
    for (let done = 0; done < into.length;) {
      const count = tryTo(segment.path, () =>
        readSync(fd, into, done, into.length - done, segment.offset + from + done),
      );
      if (count === 0) throw changed(segment.path, 'shrank');
      done += count;
    }
  }

  /** Looks at the last file once more, and closes it. @throws ShoalError `changed` */
  finish(): void {
    const file = this.#file;
    if (file?.expect !== undefined) compare(file.path, look(file.fd, file.path), file.expect);
    this.close();
  }

  /** Closes the file that is open. Does not throw. */
  close(): void {
    const fd = this.#file?.fd;
    this.#file = undefined;
    if (fd !== undefined) closeSync(fd);
  }

  #open({ path, expect }: Segment): number {
    if (this.#file?.path === path && this.#file.expect === expect) return this.#file.fd;
    this.finish();
    const fd = openFile(path, expect !== undefined);
    this.#file = { fd, path, expect };
    const stat = look(fd, path);
    if (!stat.isFile()) throw changed(path, 'is no longer a regular file');
    if (expect !== undefined) compare(path, stat, expect);
    return fd;
  }
}

/** @param seen whether it is known that the file was there a moment ago */
function openFile(path: string, seen: boolean): number {
  try {
    return openSync(path, FLAGS);
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ENOTDIR':
        if (seen) throw changed(path, 'vanished');
        throw new ShoalError(
          'unavailable',
          `cannot read "${showName(path)}": it is no longer there; put it back, and try again`,
          {
            cause: error,
          },
        );
      case 'ELOOP':
        throw changed(path, 'was replaced by a symbolic link');
      case 'ENXIO':
        throw changed(path, 'is no longer a regular file');
      default:
        throw fileError(error, `read "${showName(path)}"`);
    }
  }
}

function look(fd: number, path: string): BigIntStats {
  return tryTo(path, () => fstatSync(fd, { bigint: true }));
}

function compare(path: string, stat: BigIntStats, expect: NonNullable<Segment['expect']>): void {
  if (stat.ino !== expect.inode) throw changed(path, 'was replaced by another file');
  if (stat.nlink === 0n) throw changed(path, 'vanished or was replaced');
  if (stat.size > expect.sizeBytes) throw changed(path, 'grew');
  if (stat.size < expect.sizeBytes) throw changed(path, 'shrank');
  if (stat.mtimeNs !== expect.modifiedNs) throw changed(path, 'was modified');
}

function changed(path: string, how: string): ShoalError {
  return new ShoalError(
    'changed',
    `cannot read "${showName(path)}" as it was: it ${how} in the meantime; try again when nothing writes to it`,
  );
}

function tryTo<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw fileError(error, `read "${showName(path)}"`);
  }
}
