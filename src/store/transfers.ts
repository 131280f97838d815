/** The TransferList port on SQLite: fetches that a home goes on with by itself, their links wrapped. */
import type { TransferList, TransferRecord } from '../catalog.ts';
import { countIn, idIn, oneOf, textsIn, type Row, type Value } from './rows.ts';

/** What the catalog does for the table. */
export interface Table {
  run(sql: string, ...values: Value[]): void;
  all(sql: string, ...values: string[]): Row[];
  /** @param place binds it to its row, so that one can't be put in another's place */
  wrap(secret: Uint8Array, place: string): Uint8Array;
  unwrap(wrapped: unknown, place: string): Uint8Array | undefined;
}

export function transferList(table: Table): TransferList {
  const COLUMNS =
    'id, share, output, only_globs, force, keep, state, detail, name, size_bytes, done_bytes, path, created_at';
  return {
    list: () =>
      table.all(`SELECT ${COLUMNS} FROM transfers ORDER BY created_at, rowid`).flatMap(row => recordOf(row) ?? []),
    linkOf: id => {
      const link = table.unwrap(table.all('SELECT link FROM transfers WHERE id = ?', id)[0]?.['link'], placeOf(id));
      return link && new TextDecoder().decode(link);
    },
    add: (record, link) => {
      const { id, share, output, only, force, keep, createdAt } = record;
      table.run(
        `INSERT INTO transfers (id, share, link, output, only_globs, force, keep, state, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        share,
        table.wrap(new TextEncoder().encode(link), placeOf(id)),
        output,
        JSON.stringify(only),
        Number(force),
        Number(keep),
        record.state,
        createdAt,
      );
    },
    update: ({ id, state, detail, name, sizeBytes, doneBytes, path }) =>
      table.run(
        'UPDATE transfers SET state = ?, detail = ?, name = ?, size_bytes = ?, done_bytes = ?, path = ? WHERE id = ?',
        state,
        detail ?? null,
        name ?? null,
        sizeBytes ?? null,
        doneBytes ?? null,
        path ?? null,
        id,
      ),
    pauseAll: () => table.run(`UPDATE transfers SET state = 'paused', detail = NULL, force = 0 WHERE state != 'done'`),
    remove: id => table.run('DELETE FROM transfers WHERE id = ?', id),
  };
}

function placeOf(id: string): string {
  return `transfer/${id}`;
}

/** undefined for a row that this program can't have written. */
function recordOf(row: Row): TransferRecord | undefined {
  const { id, output, detail, name, path } = row;
  const share = idIn(row['share']);
  const only = textsIn(row['only_globs']);
  const state = oneOf(row['state'], ['wanted', 'paused', 'done', 'failed']);
  const createdAt = countIn(row['created_at']);
  const sizeBytes = countIn(row['size_bytes']);
  const doneBytes = countIn(row['done_bytes']);
  if (typeof id !== 'string' || typeof output !== 'string') return undefined;
  if (share === undefined || only === undefined || state === undefined || createdAt === undefined) return undefined;
  return {
    id,
    share,
    output,
    only,
    force: row['force'] === 1n,
    keep: row['keep'] === 1n,
    state,
    ...(typeof detail === 'string' && { detail }),
    ...(typeof name === 'string' && { name }),
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(doneBytes !== undefined && { doneBytes }),
    ...(typeof path === 'string' && { path }),
    createdAt,
  };
}
