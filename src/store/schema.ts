/** Whether a database that others may have made has the tables of this program, and nothing that runs when it is used. */
import { databaseError, openDatabase } from '../files/sqlite.ts';
import { CATALOG_BUSY_MS, MAX_SCHEMA_SQL_CHARS } from '../limits.ts';
import type { DatabaseKind } from './database.ts';

type Database = ReturnType<typeof openDatabase>;

/**
 * What is wrong with the database at `path`, as the end of a sentence; undefined where nothing is. Views, triggers, virtual
 * tables and columns that are computed are programs, which may never end, so nothing of it is asked for before its schema is
 * known to be that of its version. The file is not changed. A version that is not known yet is left to who opens it.
 * @throws ShoalError `io` where it can't be read
 */
export function schemaProblem(path: string, { migrations }: Pick<DatabaseKind, 'migrations'>): string | undefined {
  let database: Database | undefined;
  try {
    database = openDatabase(path, { readOnly: true, busyTimeoutMs: CATALOG_BUSY_MS });
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version > migrations.length) return undefined;
    if (version < 1) return 'is empty, or none';
    const expected = schemaAfter(migrations.slice(0, version));
    if (!isSame(schemaOf(database, expected.length), expected)) return 'has other tables than shoal makes';
    // Pages that lead to each other, or twice to one, make a table without end. This follows each of them once.
    const [row] = database.prepare('PRAGMA quick_check(1)').all();
    return row?.['quick_check'] === 'ok' ? undefined : 'is damaged';
  } catch (error) {
    if (isOfContent(error)) return 'is damaged, or none';
    throw databaseError(error, 'look at the tables of the catalog');
  } finally {
    database?.close();
  }
}

/** What those migrations make of an empty database. */
function schemaAfter(migrations: readonly string[]): string[] {
  const database = openDatabase(':memory:');
  try {
    for (const migration of migrations) database.exec(migration);
    return schemaOf(database, Infinity);
  } finally {
    database.close();
  }
}

/** Tables and indexes, each as one line, sorted. @param expected one more than this is enough to see that there are others */
function schemaOf(database: Database, expected: number): string[] {
  const most = Number.isFinite(expected) ? expected + 1 : -1;
  const rows = database
    .prepare('SELECT type, name, tbl_name, substr(sql, 1, ?) AS sql FROM sqlite_schema LIMIT ?')
    .all(MAX_SCHEMA_SQL_CHARS, most);
  return rows.map(({ type, name, tbl_name: table, sql }) => JSON.stringify([type, name, table, plain(sql)])).sort();
}

/** Without comments, and however it is laid out: those may differ between releases. */
function plain(sql: unknown): unknown {
  if (typeof sql !== 'string') return sql;
  return sql
    .replace(/--[^\n]*/g, ' ')
    .replace(/[ \t\r\n\f]+/g, ' ')
    .replace(/ ?([(),]) ?/g, '$1')
    .trim();
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((line, n) => line === other[n]);
}

// Primary result codes of SQLite that say something of the content of a file.
const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

function isOfContent(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) & 0xff : undefined;
  return code === SQLITE_ERROR || code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}
