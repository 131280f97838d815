/** SQLite files in which a promise was given: what was written is durable when the call returns, and a newer schema is left alone. */
import { open } from 'node:fs/promises';
import { ShoalError, fileError, isShoalError } from '../errors.ts';
import { databaseError, isBusy, openDatabase } from '../files/sqlite.ts';
import { CATALOG_BUSY_MS } from '../limits.ts';
import type { Clock } from '../ports.ts';
import type { Row, Value } from './rows.ts';

type Database = ReturnType<typeof openDatabase>;

/** What a database is for, and what its user is told. */
export interface DatabaseKind {
  /** Each entry leads from the schema before it to the next one; what was released is never changed again. */
  readonly migrations: readonly string[];
  /** The parts of messages after "cannot". @param path of the file */
  readonly making: (path: string) => string;
  readonly using: (path: string) => string;
  readonly ifDamaged: string;
  readonly ifNewer: string;
}

/** All methods throw ShoalError `home` when the file is damaged; `disk-full`, `io`. */
export interface DurableDatabase {
  run(sql: string, ...values: Value[]): void;
  /** Numbers are bigints: one beyond 2^53 would make reading fail for all rows. */
  all(sql: string, ...values: Value[]): Row[];
  /** All that `act` changes, or nothing. */
  atOnce(act: () => void): void;
  /** Once; further calls do nothing. */
  close(): void;
}

/** Between two attempts at what SQLite refuses without waiting. */
const RETRY_MS = 20;

/**
 * Opens the database at `path`, for this user only; the first time, it is made.
 * @throws ShoalError `newer-home` when a newer program wrote it: nothing is changed then; `home` when it can't be used; `io`
 */
export async function openDurable(path: string, kind: DatabaseKind, clock: Clock): Promise<DurableDatabase> {
  await createPrivately(path, kind);
  refuseNewer(path, kind);
  const database = openSafely(path, kind);
  try {
    await enterWalMode(database, clock);
    database.exec('PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON');
    migrate(database, kind.migrations);
  } catch (error) {
    database.close();
    throw unusable(path, kind, error);
  }
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw unusable(path, kind, error);
    }
  };
  return {
    run: (sql, ...values) => guarded(() => void database.prepare(sql).run(...values)),
    all: (sql, ...values) => guarded(() => withBigInts(database, sql).all(...values)),
    atOnce: act => guarded(() => inTransaction(database, act)),
    close: () => {
      if (database.isOpen) database.close();
    },
  };
}

/**
 * Copies the database at `path` as it is at one moment, whoever else has it open and writes to it, with what is only in its
 * log so far. @param to an empty file, or none
 * @throws ShoalError as `openDurable`
 */
export function copyDurable(path: string, to: string, kind: DatabaseKind): void {
  refuseNewer(path, kind);
  const database = openSafely(path, kind, { readOnly: true });
  try {
    database.prepare('VACUUM INTO ?').run(to);
  } catch (error) {
    throw unusable(path, kind, error);
  } finally {
    database.close();
  }
}

/** SQLite gives its further files the permissions of this one. */
async function createPrivately(path: string, kind: DatabaseKind): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    await file.close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(error, kind.making(path));
  }
}

/** Looks at a database without being able to change it. */
function refuseNewer(path: string, kind: DatabaseKind): void {
  const database = openSafely(path, kind, { readOnly: true });
  try {
    const version = schemaVersion(database);
    const known = kind.migrations.length;
    if (version <= known) return;
    throw new ShoalError(
      'newer-home',
      `cannot ${kind.using(path)}: a newer shoal wrote it (schema ${version}, this one knows up to ${known}); ${kind.ifNewer}`,
    );
  } catch (error) {
    throw unusable(path, kind, error);
  } finally {
    database.close();
  }
}

function openSafely(path: string, kind: DatabaseKind, options: { readOnly?: boolean } = {}): Database {
  try {
    return openDatabase(path, { ...options, busyTimeoutMs: CATALOG_BUSY_MS });
  } catch (error) {
    throw unusable(path, kind, error);
  }
}

/** Changing the mode is refused at once where another process does the same, however long the timeout. */
async function enterWalMode(database: Database, clock: Clock): Promise<void> {
  const deadline = clock.monotonic() + CATALOG_BUSY_MS;
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (!isBusy(error) || clock.monotonic() >= deadline) throw error;
    }
    await clock.sleep(RETRY_MS);
  }
}

function migrate(database: Database, migrations: readonly string[]): void {
  while (schemaVersion(database) < migrations.length) {
    inTransaction(database, () => {
      // Asked again inside: another process may have been quicker.
      const version = schemaVersion(database);
      const migration = migrations[version];
      if (migration !== undefined) database.exec(`${migration}; PRAGMA user_version = ${version + 1}`);
    });
  }
}

function schemaVersion(database: Database): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
}

function withBigInts(database: Database, sql: string): ReturnType<Database['prepare']> {
  const statement = database.prepare(sql);
  statement.setReadBigInts(true);
  return statement;
}

function inTransaction(database: Database, act: () => void): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    act();
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

// Primary result codes of SQLite.
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

function unusable(path: string, kind: DatabaseKind, error: unknown): ShoalError {
  if (isShoalError(error) && error.code !== 'io') return error;
  const cause = isShoalError(error) ? error.cause : error;
  const tried = `cannot ${kind.using(path)}`;
  switch (resultCode(cause)) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return new ShoalError('home', `${tried}: ${kind.ifDamaged}`, { cause });
    case SQLITE_FULL:
      return new ShoalError('disk-full', `${tried}: no space is left on the disk; free some and try again`, { cause });
    default:
      return isShoalError(error) ? error : databaseError(error, kind.using(path));
  }
}

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined;
}
