/** Opening SQLite databases by node:sqlite, which is loaded when the first one is opened. */
import type { DatabaseSync } from 'node:sqlite';
import { ShoalError } from '../errors.ts';
import { showName } from './names.ts';

/** SQLite's primary result code for a database that someone else has locked. */
const SQLITE_BUSY = 5;

/**
 * Opens the database at `path`, which is made where it does not exist unless `readOnly`.
 * @param options `busyTimeoutMs`: how long a statement waits for another's lock; 0 where not given.
 * @throws ShoalError `io`
 */
export function openDatabase(path: string, options: { readOnly?: boolean; busyTimeoutMs?: number } = {}): DatabaseSync {
  const { DatabaseSync } = loadSqlite();
  try {
    const database = new DatabaseSync(path, { readOnly: options.readOnly ?? false });
    database.exec(`PRAGMA busy_timeout = ${Math.ceil(options.busyTimeoutMs ?? 0)}`);
    return database;
  } catch (error) {
    throw databaseError(error, `open the database "${showName(path)}"`);
  }
}

/** What SQLite said, with a sentence on what was tried. */
export function databaseError(error: unknown, tried: string): ShoalError {
  if (error instanceof ShoalError) return error;
  return new ShoalError('io', `cannot ${tried}: ${(error as Error).message}`, { cause: error });
}

/** Whether an error says that someone else has the database locked. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY;
}

let sqlite: typeof import('node:sqlite') | undefined;

/** Loading the module warns on some versions of Node that it is experimental. That is for us and not for users. */
function loadSqlite(): typeof import('node:sqlite') {
  if (sqlite !== undefined) return sqlite;
  const warn = process.emitWarning.bind(process);
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (rest[0] === 'ExperimentalWarning' && String(warning).includes('SQLite')) return;
    Reflect.apply(warn, process, [warning, ...rest]);
  };
  try {
    sqlite = process.getBuiltinModule('node:sqlite');
  } finally {
    process.emitWarning = warn;
  }
  return sqlite;
}
