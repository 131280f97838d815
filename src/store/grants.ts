/** The GrantList port on SQLite: grants of a home's shares, owner salts wrapped, and which relays have them. */
import type { GrantList, GrantRecord } from '../catalog.ts';
import { countIn, idIn, textsIn, type Row } from './rows.ts';
import type { Table } from './transfers.ts';

/** @param seedOf a salt: the seed of the owner key that belongs to it */
export function grantList(table: Table, seedOf: (salt: Uint8Array) => Uint8Array): GrantList {
  const SELECT = 'SELECT id, share, block, made_for, created_at, expires, owner_salt IS NOT NULL AS own FROM grants';
  const select = (rest: string, ...values: string[]): GrantRecord[] =>
    table.all(`${SELECT} ${rest}`, ...values).flatMap(row => grantIn(row) ?? []);
  return {
    list: share =>
      share === undefined
        ? select('ORDER BY created_at, rowid')
        : select('WHERE share = ? ORDER BY created_at, rowid', share),
    get: id => select('WHERE id = ?', id)[0],
    // The first character after all that an id is made of: so the index of ids is used.
    findByPrefix: prefix => select('WHERE id >= ? AND id < ? ORDER BY created_at, rowid', prefix, `${prefix}{`),
    add: ({ id, share, block, madeFor, createdAt, expires }, ownerSalt) =>
      table.run(
        `INSERT OR IGNORE INTO grants (id, share, block, made_for, created_at, expires, owner_salt)
         SELECT ?, id, ?, ?, ?, ?, ? FROM shares WHERE id = ?`,
        id,
        block,
        JSON.stringify(madeFor),
        createdAt,
        expires ?? null,
        ownerSalt === undefined ? null : table.wrap(ownerSalt, placeOf(id)),
        share,
      ),
    ownerSeedOf: id => {
      const salt = table.unwrap(
        table.all('SELECT owner_salt FROM grants WHERE id = ?', id)[0]?.['owner_salt'],
        placeOf(id),
      );
      return salt && seedOf(salt);
    },
    remove: id => table.run('DELETE FROM grants WHERE id = ?', id),
    missingAt: (relay, share) =>
      select(
        'WHERE share = ? AND id NOT IN (SELECT grant_id FROM grants_at_relays WHERE relay = ?) ORDER BY created_at, rowid',
        share,
        relay,
      ),
    lacking: () =>
      table
        .all(
          `SELECT DISTINCT copies.share AS share, copies.relay AS relay FROM grants JOIN copies ON copies.share = grants.share
           WHERE copies.state = 'stored'
             AND NOT EXISTS (SELECT 1 FROM grants_at_relays WHERE grant_id = grants.id AND relay = copies.relay)`,
        )
        .flatMap(({ share, relay }) => {
          const id = idIn(share);
          return id === undefined || typeof relay !== 'string' ? [] : [{ share: id, relay }];
        }),
    missing: id =>
      table
        .all(
          `SELECT copies.relay AS relay FROM grants JOIN copies ON copies.share = grants.share
           WHERE grants.id = ? AND copies.state = 'stored'
             AND NOT EXISTS (SELECT 1 FROM grants_at_relays WHERE grant_id = grants.id AND relay = copies.relay)`,
          id,
        )
        .flatMap(({ relay }) => (typeof relay === 'string' ? [relay] : [])),
    isAt: (relay, id) =>
      table.run(
        'INSERT OR IGNORE INTO grants_at_relays (grant_id, relay) SELECT grants.id, peer FROM grants, relays WHERE grants.id = ? AND peer = ?',
        id,
        relay,
      ),
    goneFrom: (relay, share) =>
      table.run(
        'DELETE FROM grants_at_relays WHERE relay = ? AND grant_id IN (SELECT id FROM grants WHERE share = ?)',
        relay,
        share,
      ),
  };
}

function placeOf(id: string): string {
  return `grant/${id}`;
}

/** undefined for a row that this program can't have written. */
function grantIn(row: Row): GrantRecord | undefined {
  const { block } = row;
  const [id, share] = [idIn(row['id']), idIn(row['share'])];
  const madeFor = textsIn(row['made_for']);
  const [createdAt, expires] = [countIn(row['created_at']), countIn(row['expires'])];
  if (id === undefined || share === undefined || !(block instanceof Uint8Array)) return undefined;
  if (madeFor === undefined || createdAt === undefined) return undefined;
  const isOwn = countIn(row['own']) === 1;
  return { id, share, block, madeFor, createdAt, ...(expires === undefined ? {} : { expires }), isOwn };
}
