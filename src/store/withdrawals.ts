/** The WithdrawalList port on SQLite: what was withdrawn, for good, and who has been told of it. */
import type { NoticeRecord, WithdrawalList, WithdrawalRecord } from '../catalog.ts';
import { countIn, idIn, oneOf, textsIn, type Row } from './rows.ts';
import type { Table } from './transfers.ts';

/** @param atOnce all that it changes, or nothing */
export function withdrawalList(table: Table, atOnce: (act: () => void) => void): WithdrawalList {
  const select = (rest: string, ...values: string[]): WithdrawalRecord[] =>
    table
      .all(`SELECT id, share, statement, block, at, own FROM withdrawals ${rest}`, ...values)
      .flatMap(row => withdrawalIn(row) ?? []);
  return {
    ids: () => table.all('SELECT id FROM withdrawals').flatMap(({ id }) => idIn(id) ?? []),
    get: id => select('WHERE id = ?', id)[0],
    own: () => select('WHERE own = 1 ORDER BY at, rowid'),
    add: ({ id, share, statement, block, at, isOwn }) =>
      atOnce(() => {
        table.run(
          'INSERT OR IGNORE INTO withdrawals (id, share, statement, block, at, own) VALUES (?, ?, ?, ?, ?, ?)',
          id,
          share,
          statement,
          block,
          at,
          Number(isOwn),
        );
        table.run(`UPDATE shares SET state = 'withdrawn' WHERE id = ?`, id);
        // Those of a share stay as long as the share: who comes through one is told why it is not given.
        table.run('DELETE FROM grants WHERE id = ?', id);
      }),
    notices: id =>
      table
        .all('SELECT id, peer, addresses, is_relay, state, at, detail FROM notices WHERE id = ? ORDER BY rowid', id)
        .flatMap(row => noticeIn(row) ?? []),
    putNotice: ({ id, peer, addresses, isRelay, state, at, detail }) =>
      table.run(
        `INSERT INTO notices (id, peer, addresses, is_relay, state, at, detail) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id, peer) DO UPDATE SET addresses = excluded.addresses, is_relay = excluded.is_relay,
           state = excluded.state, at = excluded.at, detail = excluded.detail`,
        id,
        peer,
        JSON.stringify(addresses),
        Number(isRelay),
        state,
        at,
        detail ?? null,
      ),
  };
}

/** undefined for a row that this program can't have written. */
function withdrawalIn(row: Row): WithdrawalRecord | undefined {
  const { statement, block } = row;
  const [id, share, at] = [idIn(row['id']), idIn(row['share']), countIn(row['at'])];
  if (id === undefined || share === undefined || at === undefined) return undefined;
  if (!(statement instanceof Uint8Array) || !(block instanceof Uint8Array)) return undefined;
  return { id, share, statement, block, at, isOwn: countIn(row['own']) === 1 };
}

function noticeIn(row: Row): NoticeRecord | undefined {
  const { peer, detail } = row;
  const [id, addresses, at] = [idIn(row['id']), textsIn(row['addresses']), countIn(row['at'])];
  const state = oneOf(row['state'], ['pending', 'obeyed', 'dropped']);
  if (id === undefined || typeof peer !== 'string' || addresses === undefined) return undefined;
  if (state === undefined || at === undefined) return undefined;
  const isRelay = countIn(row['is_relay']) === 1;
  return { id, peer, addresses, isRelay, state, at, ...(typeof detail === 'string' && { detail }) };
}
