/** The RelayList and CopyList ports on SQLite: the relays of a home, their tokens wrapped, and what is stored there. */
import type { CopyList, CopyRecord, RelayList, RelayRecord } from '../catalog.ts';
import { countIn, idIn, oneOf, textsIn, type Row } from './rows.ts';
import type { Table } from './transfers.ts';

export function relayList(table: Table): RelayList {
  return {
    list: () =>
      table
        .all('SELECT peer, addresses, origin, name, always, added_at FROM relays ORDER BY added_at, rowid')
        .flatMap(row => relayIn(row) ?? []),
    put: ({ peer, addresses, origin, name, always, addedAt }, token) =>
      table.run(
        `INSERT INTO relays (peer, addresses, origin, name, always, added_at, token) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (peer) DO UPDATE SET addresses = excluded.addresses, origin = excluded.origin, name = excluded.name,
           always = excluded.always, token = coalesce(excluded.token, token)`,
        peer,
        JSON.stringify(addresses),
        origin ?? null,
        name ?? null,
        Number(always),
        addedAt,
        token === undefined ? null : table.wrap(new TextEncoder().encode(token), placeOf(peer)),
      ),
    tokenOf: peer => {
      const token = table.unwrap(
        table.all('SELECT token FROM relays WHERE peer = ?', peer)[0]?.['token'],
        placeOf(peer),
      );
      return token && new TextDecoder().decode(token);
    },
    remove: peer => table.run('DELETE FROM relays WHERE peer = ?', peer),
  };
}

export function copyList(table: Table): CopyList {
  const COLUMNS = 'share, relay, state, until, receipt, checked_at, detail';
  return {
    list: share => {
      const [where, values] = share === undefined ? ['', []] : ['WHERE share = ?', [share]];
      return table
        .all(`SELECT ${COLUMNS} FROM copies ${where} ORDER BY rowid`, ...values)
        .flatMap(row => copyIn(row) ?? []);
    },
    put: ({ share, relay, state, until, receipt, checkedAt, detail }) =>
      table.run(
        `INSERT INTO copies (${COLUMNS})
         SELECT shares.id, peer, ?, ?, ?, ?, ? FROM shares, relays WHERE shares.id = ? AND peer = ?
         ON CONFLICT (share, relay) DO UPDATE SET state = excluded.state, until = excluded.until,
           receipt = excluded.receipt, checked_at = excluded.checked_at, detail = excluded.detail`,
        state,
        until ?? null,
        receipt ?? null,
        checkedAt ?? null,
        detail ?? null,
        share,
        relay,
      ),
    remove: (share, relay) => table.run('DELETE FROM copies WHERE share = ? AND relay = ?', share, relay),
  };
}

function placeOf(peer: string): string {
  return `relay/${peer}`;
}

/** undefined for a row that this program can't have written. */
function relayIn(row: Row): RelayRecord | undefined {
  const { peer, origin, name } = row;
  const addresses = textsIn(row['addresses']);
  const addedAt = countIn(row['added_at']);
  if (typeof peer !== 'string' || addresses === undefined || addedAt === undefined) return undefined;
  return {
    peer,
    addresses,
    ...(typeof origin === 'string' && { origin }),
    ...(typeof name === 'string' && { name }),
    always: row['always'] === 1n,
    addedAt,
  };
}

function copyIn(row: Row): CopyRecord | undefined {
  const { relay, receipt, detail } = row;
  const share = idIn(row['share']);
  const state = oneOf(row['state'], ['wanted', 'stored']);
  const [until, checkedAt] = [countIn(row['until']), countIn(row['checked_at'])];
  if (share === undefined || state === undefined || typeof relay !== 'string') return undefined;
  return {
    share,
    relay,
    state,
    ...(until !== undefined && { until }),
    ...(receipt instanceof Uint8Array && { receipt }),
    ...(checkedAt !== undefined && { checkedAt }),
    ...(typeof detail === 'string' && { detail }),
  };
}
