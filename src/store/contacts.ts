/** The ContactList port on SQLite: the address book of a home. */
import type { ContactList, ContactRecord } from '../catalog.ts';
import { countIn, type Row } from './rows.ts';
import type { Table } from './transfers.ts';

export function contactList(table: Table): ContactList {
  const select = (rest: string, ...values: string[]): ContactRecord[] =>
    table.all(`SELECT name, recipient, added_at FROM contacts ${rest}`, ...values).flatMap(row => contactIn(row) ?? []);
  return {
    list: () => select('ORDER BY name'),
    get: name => select('WHERE name = ?', name)[0],
    put: ({ name, recipient, addedAt }) =>
      table.run(
        `INSERT INTO contacts (name, recipient, added_at) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET recipient = excluded.recipient, added_at = excluded.added_at`,
        name,
        recipient,
        addedAt,
      ),
    remove: name => table.run('DELETE FROM contacts WHERE name = ?', name),
  };
}

/** undefined for a row that this program can't have written. */
function contactIn(row: Row): ContactRecord | undefined {
  const { name, recipient } = row;
  const addedAt = countIn(row['added_at']);
  if (typeof name !== 'string' || typeof recipient !== 'string' || addedAt === undefined) return undefined;
  return { name, recipient, addedAt };
}
