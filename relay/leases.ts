/**
 * What a relay has promised to keep: leases in SQLite, ciphertext in a chunk store, a folder per share id.
 *
 * A crash at any point loses no lease for which a receipt was given, and leaves nothing that no lease holds: a row is there
 * before the first block and is `kept` only once all blocks are durable; a row goes before its blocks do. What a crash
 * leaves in between is told from the rest by the rows alone, and removed when the relay starts.
 */
import type { BlockId } from '../src/format/ids.ts';
import { UNFINISHED_UPLOAD_MS } from '../src/limits.ts';
import type { ChunkStore, Clock } from '../src/ports.ts';
import { openDurable, type DatabaseKind, type DurableDatabase } from '../src/store/database.ts';
import { countIn, idIn, oneOf, type Row } from '../src/store/rows.ts';

/** One share that is kept, or is being uploaded. Times are Unix seconds. */
export interface Lease {
  readonly id: BlockId;
  /** Who is counted together (ports.ts, Quotas). */
  readonly account: string;
  readonly state: 'begun' | 'kept';
  /** Of its chunks. */
  readonly sizeBytes: number;
  readonly until: number;
  /** When the share itself ends, where it does. */
  readonly expires?: number;
}

export interface Withdrawn {
  readonly statement: Uint8Array;
  readonly block: Uint8Array;
}

/** How much there is. */
export interface Holding {
  readonly leases: number;
  readonly bytes: number;
}

const KIND: DatabaseKind = {
  migrations: [
    `CREATE TABLE leases (
       id TEXT PRIMARY KEY,
       account TEXT NOT NULL,
       state TEXT NOT NULL,
       size_bytes INTEGER NOT NULL,
       until INTEGER NOT NULL,          -- Unix seconds; of one that is begun, when it is given up
       expires INTEGER,                 -- Unix seconds
       CHECK (state IN ('begun', 'kept'))
     ) STRICT;
     CREATE INDEX leases_by_account ON leases (account);
     CREATE INDEX leases_by_until ON leases (until);
     CREATE TABLE grants (
       id TEXT PRIMARY KEY,
       share TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
       block BLOB NOT NULL,
       expires INTEGER                  -- Unix seconds
     ) STRICT;
     CREATE INDEX grants_by_share ON grants (share);
     CREATE INDEX grants_by_expires ON grants (expires);
     CREATE TABLE withdrawals (
       id TEXT PRIMARY KEY,
       account TEXT NOT NULL,           -- whose lease or grant it was
       statement BLOB NOT NULL,
       block BLOB NOT NULL
     ) STRICT;
     CREATE INDEX withdrawals_by_account ON withdrawals (account);`,
    // Before this, grants counted as of who has the lease, whoever had left them.
    `ALTER TABLE grants RENAME TO grants_before;
     CREATE TABLE grants (
       id TEXT PRIMARY KEY,
       share TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
       account TEXT NOT NULL,           -- who left it
       block BLOB NOT NULL,
       expires INTEGER                  -- Unix seconds
     ) STRICT;
     INSERT INTO grants (id, share, account, block, expires)
       SELECT grants_before.id, share, account, block, grants_before.expires
       FROM grants_before JOIN leases ON leases.id = share;
     DROP TABLE grants_before;
     CREATE INDEX grants_by_share ON grants (share);
     CREATE INDEX grants_by_account ON grants (account);
     CREATE INDEX grants_by_expires ON grants (expires);`,
  ],
  making: path => `make the relay's records "${path}"`,
  using: path => `use the relay's records "${path}"`,
  ifDamaged: 'they are damaged; restore them from a backup, or move them and the folder "chunks" away to start empty',
  ifNewer: 'update shoal, or give this relay another data folder',
};

/** A grant to be kept beside its share. */
export interface LeftGrant {
  readonly id: BlockId;
  readonly share: BlockId;
  /** Who left it, and for whom it is counted. */
  readonly account: string;
  readonly block: Uint8Array;
  /** Unix seconds. */
  readonly expires?: number;
}

export class Leases {
  readonly #database: DurableDatabase;
  readonly #store: ChunkStore;
  readonly #clock: Clock;

  private constructor(database: DurableDatabase, store: ChunkStore, clock: Clock) {
    this.#database = database;
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Opens the records at `path`, and removes of `store` what no lease holds. No block is read.
   * @throws ShoalError `home`, `newer-home`, `io`
   */
  static async open(path: string, store: ChunkStore, clock: Clock): Promise<Leases> {
    const leases = new Leases(await openDurable(path, KIND, clock), store, clock);
    try {
      await leases.#reclaim();
      return leases;
    } catch (error) {
      leases.close();
      throw error;
    }
  }

  get(id: BlockId): Lease | undefined {
    return this.#select('WHERE id = ?', id)[0];
  }

  /** The ids of what is kept, shares and grants. */
  kept(): BlockId[] {
    const rows = this.#database.all(`SELECT id FROM leases WHERE state = 'kept' UNION ALL SELECT id FROM grants`);
    return rows.flatMap(({ id }) => idIn(id) ?? []);
  }

  /** The ids of what was withdrawn. */
  withdrawn(): BlockId[] {
    return this.#database.all('SELECT id FROM withdrawals').flatMap(({ id }) => idIn(id) ?? []);
  }

  /**
   * Of one account, or of all: leases, unfinished uploads included, and bytes that are promised to be kept: chunks, grants,
   * and what shows that something was withdrawn. A grant is of who left it, whoever has the lease of its share.
   */
  holding(account?: string): Holding {
    const [all, values] = account === undefined ? ['1', []] : ['account = ?', [account, account, account]];
    const [row] = this.#database.all(
      `SELECT count(*) AS leases, coalesce(sum(size_bytes), 0)
         + (SELECT coalesce(sum(length(block)), 0) FROM grants WHERE ${all})
         + (SELECT coalesce(sum(length(block) + length(statement)), 0) FROM withdrawals WHERE ${all}) AS bytes
       FROM leases WHERE ${all}`,
      ...values,
    );
    return { leases: countIn(row?.['leases']) ?? 0, bytes: countIn(row?.['bytes']) ?? 0 };
  }

  /** Notes that a share is about to be uploaded. Who began before and did not end it is replaced. */
  begin({ id, account, sizeBytes, expires }: Omit<Lease, 'state' | 'until'>): void {
    const giveUp = Math.ceil((this.#clock.now() + UNFINISHED_UPLOAD_MS) / 1000);
    this.#database.run(
      `INSERT INTO leases (id, account, state, size_bytes, until, expires) VALUES (?, ?, 'begun', ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET account = excluded.account, until = excluded.until WHERE state = 'begun'`,
      id,
      account,
      sizeBytes,
      giveUp,
      expires ?? null,
    );
  }

  /** Makes the blocks of a share durable, and then the promise to keep them. @throws ShoalError by `store` */
  async keep(id: BlockId, until: number): Promise<void> {
    await this.#store.sync(id);
    this.#database.run(`UPDATE leases SET state = 'kept', until = ? WHERE id = ?`, until, id);
  }

  /** Has a lease end later. */
  extend(id: BlockId, until: number): void {
    this.#database.run(`UPDATE leases SET until = max(until, ?) WHERE id = ? AND state = 'kept'`, until, id);
  }

  /** Ends a lease, with the grants that name its share, and then removes its blocks. */
  async end(id: BlockId): Promise<void> {
    this.#database.run('DELETE FROM leases WHERE id = ?', id);
    await this.#store.drop(id);
  }

  /** What has to end by now: leases that have run out, uploads that were not finished, and grants. */
  over(): { readonly leases: readonly BlockId[]; readonly grants: readonly BlockId[] } {
    const now = Math.floor(this.#clock.now() / 1000);
    const grants = this.#database.all('SELECT id FROM grants WHERE expires <= ?', now);
    return { leases: this.#select('WHERE until <= ?', now).map(({ id }) => id), grants: idsIn(grants) };
  }

  /** Keeps a grant under the lease of its share. */
  addGrant({ id, share, account, block, expires }: LeftGrant): void {
    this.#database.run(
      'INSERT OR IGNORE INTO grants (id, share, account, block, expires) VALUES (?, ?, ?, ?, ?)',
      id,
      share,
      account,
      block,
      expires ?? null,
    );
  }

  endGrant(id: BlockId): void {
    this.#database.run('DELETE FROM grants WHERE id = ?', id);
  }

  /** When a share or grant that is kept here ends by itself, whatever its lease says; undefined where it does not. */
  expiresOf(id: BlockId): number | undefined {
    const [row] = this.#database.all(
      `SELECT expires FROM leases WHERE id = ? AND expires IS NOT NULL
       UNION ALL SELECT expires FROM grants WHERE id = ? AND expires IS NOT NULL`,
      id,
      id,
    );
    return countIn(row?.['expires']);
  }

  grantOf(id: BlockId): { readonly share: BlockId; readonly bytes: Uint8Array } | undefined {
    const [row] = this.#database.all('SELECT share, block FROM grants WHERE id = ?', id);
    const share = idIn(row?.['share']);
    const bytes = row?.['block'];
    return share !== undefined && bytes instanceof Uint8Array ? { share, bytes } : undefined;
  }

  /** The grants that name a share. */
  grantsOf(share: BlockId): BlockId[] {
    return idsIn(this.#database.all('SELECT id FROM grants WHERE share = ?', share));
  }

  /** How many grants that name a share `account` has left, and how many all have that don't have its lease. */
  countGrants(share: BlockId, account: string): { readonly ofAccount: number; readonly ofStrangers: number } {
    const [row] = this.#database.all(
      `SELECT count(*) FILTER (WHERE grants.account = ?) AS of_account,
         count(*) FILTER (WHERE grants.account <> leases.account) AS of_strangers
       FROM grants JOIN leases ON leases.id = share WHERE share = ?`,
      account,
      share,
    );
    return { ofAccount: countIn(row?.['of_account']) ?? 0, ofStrangers: countIn(row?.['of_strangers']) ?? 0 };
  }

  /** Notes for good that a share or grant was withdrawn, counted for who had it kept, and ends what is kept of it. */
  async withdraw(id: BlockId, { statement, block }: Withdrawn): Promise<void> {
    this.#database.atOnce(() => {
      this.#database.run(
        `INSERT OR IGNORE INTO withdrawals (id, account, statement, block)
         SELECT ?, account, ?, ?
         FROM (SELECT account FROM leases WHERE id = ? UNION ALL SELECT account FROM grants WHERE id = ?)`,
        ...[id, statement, block, id, id],
      );
      this.#database.run('DELETE FROM leases WHERE id = ?', id);
      this.#database.run('DELETE FROM grants WHERE id = ?', id);
    });
    await this.#store.drop(id);
  }

  withdrawalOf(id: BlockId): Withdrawn | undefined {
    const [row] = this.#database.all('SELECT statement, block FROM withdrawals WHERE id = ?', id);
    const [statement, block] = [row?.['statement'], row?.['block']];
    return statement instanceof Uint8Array && block instanceof Uint8Array ? { statement, block } : undefined;
  }

  close(): void {
    this.#database.close();
  }

  /** Removes the blocks that a crash left between a lease's end and theirs, and those that were never anybody's. */
  async #reclaim(): Promise<void> {
    for (const id of await this.#store.list()) if (this.get(id) === undefined) await this.#store.drop(id);
  }

  #select(where: string, ...values: (string | number)[]): Lease[] {
    const rows = this.#database.all(
      `SELECT id, account, state, size_bytes, until, expires FROM leases ${where}`,
      ...values,
    );
    return rows.flatMap(row => leaseIn(row) ?? []);
  }
}

function idsIn(rows: readonly Row[]): BlockId[] {
  return rows.flatMap(({ id }) => idIn(id) ?? []);
}

/** @returns undefined for a row that this program can't have written */
function leaseIn(row: Row): Lease | undefined {
  const [id, account] = [idIn(row['id']), row['account']];
  const state = oneOf(row['state'], ['begun', 'kept']);
  const [sizeBytes, until] = [countIn(row['size_bytes']), countIn(row['until'])];
  if (id === undefined || typeof account !== 'string' || state === undefined) return undefined;
  if (sizeBytes === undefined || until === undefined) return undefined;
  const expires = countIn(row['expires']);
  return { id, account, state, sizeBytes, until, ...(expires === undefined ? {} : { expires }) };
}
