/**
 * A lock between processes that the kernel frees when its holder ends, in whatever way. Node has no flock(2); SQLite locks
 * the files of its databases, so a lock is an empty database with a transaction that is never ended.
 */
import { closeSync, lstatSync, openSync } from 'node:fs';
import { fileError, ShoalError } from '../errors.ts';
import { databaseError, isBusy, openDatabase } from './sqlite.ts';
import { showName } from './names.ts';

export interface Lock {
  /** Gives the lock back. The file stays, for the next one: removing it could take it from under another's lock. */
  release(): void;
}

/**
 * Takes the lock at `path`, a file for this purpose only, which is made where it does not exist; its folder must exist.
 * @returns undefined when another (also of this process) holds it.
 * @throws ShoalError `denied` when something else than such a file stands there; `io`, by `fileError`
 */
export function lock(path: string): Promise<Lock | undefined> {
  return new Promise(resolve => resolve(take(path)));
}

function take(path: string): Lock | undefined {
  makePlain(path);
  const database = openDatabase(path);
  try {
    // A journal in memory: nothing is ever written, and no other file appears.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (isBusy(error)) return undefined;
    throw databaseError(error, `lock "${showName(path)}"`);
  }
  let held = true;
  return {
    release: () => {
      if (held) database.close();
      held = false;
    },
  };
}

/**
 * Makes the file, or sees to it that what is there is one: SQLite would follow a link and make what it leads to. An existing
 * file is not opened for that: to close it again would free the lock that this process may have on it.
 */
function makePlain(path: string): void {
  const tried = `lock "${showName(path)}"`;
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(error, tried);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() === true && stat.nlink === 1) return;
    throw new ShoalError('denied', `cannot ${tried}: it is not a plain file; remove it and try again`);
  }
}
