/** The Catalog port on SQLite: what a home knows of its shares, secrets wrapped. */
import { ShoalError } from '../errors.ts';
import { showName } from '../files/names.ts';
import type { BlockId } from '../format/ids.ts';
import type { Root } from '../format/layout.ts';
import type {
  Catalog,
  ContactList,
  CopyList,
  GrantList,
  WithdrawalList,
  NewShareRecord,
  RelayList,
  ShareRecord,
  TransferList,
} from '../catalog.ts';
import type { Clock, RandomBytes } from '../ports.ts';
import { copyDurable, openDurable, type DatabaseKind, type DurableDatabase } from './database.ts';
import { schemaProblem } from './schema.ts';
import { arrayIn, countIn, idIn, oneOf, textsIn } from './rows.ts';
import { ownerSeed, wrappingKey } from './secret.ts';
import { contactList } from './contacts.ts';
import { grantList } from './grants.ts';
import { copyList, relayList } from './relays.ts';
import { transferList, type Table } from './transfers.ts';
import { withdrawalList } from './withdrawals.ts';
import { unwrap, wrap } from './wrap.ts';

/** Each entry leads from the schema before it to the next one; what was released is never changed again. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE shares (
     id TEXT PRIMARY KEY,
     kind TEXT NOT NULL,
     name TEXT NOT NULL,
     size_bytes INTEGER NOT NULL,
     files INTEGER NOT NULL,
     source TEXT NOT NULL,
     root TEXT,
     fingerprint BLOB,
     hints TEXT NOT NULL,             -- JSON
     created_at INTEGER NOT NULL,     -- Unix seconds
     state TEXT NOT NULL,
     changed_why TEXT,
     bytes_up INTEGER NOT NULL DEFAULT 0,
     peers_served INTEGER NOT NULL DEFAULT 0,
     serve_always INTEGER NOT NULL,
     key BLOB,                        -- wrapped
     owner_salt BLOB                  -- wrapped
   ) STRICT;
   CREATE INDEX shares_by_root ON shares (root);
   CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
   CREATE TABLE secret_check (one INTEGER PRIMARY KEY CHECK (one = 1), wrapped BLOB NOT NULL) STRICT;`,
  // What is not in here nor in shares is not known, and so nothing to be removed: it may be of another catalog.
  `CREATE TABLE debris (id TEXT PRIMARY KEY) STRICT;`,
  `ALTER TABLE shares ADD COLUMN downloads_left INTEGER;
   CREATE TABLE transfers (
     id TEXT PRIMARY KEY,
     share TEXT NOT NULL,
     link BLOB NOT NULL,              -- wrapped
     output TEXT NOT NULL,
     only_globs TEXT NOT NULL,        -- JSON
     force INTEGER NOT NULL,
     keep INTEGER NOT NULL,
     state TEXT NOT NULL,
     detail TEXT,
     name TEXT,
     size_bytes INTEGER,
     path TEXT,
     created_at INTEGER NOT NULL      -- Unix seconds
   ) STRICT;`,
  // A share has a root, or parts, or neither.
  `ALTER TABLE shares ADD COLUMN parts TEXT; -- JSON: pairs of name and path, sorted by name
   ALTER TABLE shares ADD COLUMN note TEXT;
   CREATE INDEX shares_by_parts ON shares (parts);`,
  // How far a transfer is that does not run.
  `ALTER TABLE transfers ADD COLUMN done_bytes INTEGER;`,
  `CREATE TABLE relays (
     peer TEXT PRIMARY KEY,
     addresses TEXT NOT NULL,         -- JSON
     origin TEXT,
     name TEXT,
     always INTEGER NOT NULL,
     added_at INTEGER NOT NULL,       -- Unix seconds
     token BLOB                       -- wrapped
   ) STRICT;
   CREATE TABLE copies (
     share TEXT NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
     relay TEXT NOT NULL REFERENCES relays (peer) ON DELETE CASCADE,
     state TEXT NOT NULL,
     until INTEGER,                   -- Unix seconds, as is checked_at
     receipt BLOB,
     checked_at INTEGER,
     detail TEXT,
     PRIMARY KEY (share, relay)
   ) STRICT;
   CREATE INDEX copies_by_relay ON copies (relay);`,
  `ALTER TABLE shares ADD COLUMN expires INTEGER;           -- Unix seconds, as are all times here
   ALTER TABLE shares ADD COLUMN fresh_id INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE shares ADD COLUMN copies_elsewhere INTEGER;
   ALTER TABLE shares ADD COLUMN looked_at INTEGER;
   CREATE TABLE grants (
     id TEXT PRIMARY KEY,
     share TEXT NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
     block BLOB NOT NULL,
     made_for TEXT NOT NULL,          -- JSON
     created_at INTEGER NOT NULL,
     expires INTEGER,
     owner_salt BLOB                  -- wrapped
   ) STRICT;
   CREATE INDEX grants_by_share ON grants (share);
   CREATE TABLE grants_at_relays (
     grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
     relay TEXT NOT NULL REFERENCES relays (peer) ON DELETE CASCADE,
     PRIMARY KEY (grant_id, relay)
   ) STRICT;
   CREATE TABLE withdrawals (
     id TEXT PRIMARY KEY,
     share TEXT NOT NULL,
     statement BLOB NOT NULL,
     block BLOB NOT NULL,
     at INTEGER NOT NULL,
     own INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE notices (
     id TEXT NOT NULL REFERENCES withdrawals (id),
     peer TEXT NOT NULL,
     addresses TEXT NOT NULL,         -- JSON
     is_relay INTEGER NOT NULL,
     state TEXT NOT NULL,
     at INTEGER NOT NULL,
     detail TEXT,
     PRIMARY KEY (id, peer)
   ) STRICT;
   CREATE TABLE contacts (name TEXT PRIMARY KEY, recipient TEXT NOT NULL, added_at INTEGER NOT NULL) STRICT;`,
];

const COLUMNS = `id, kind, name, size_bytes, files, source, root, parts, fingerprint, note, hints, created_at, state,
  changed_why, bytes_up, peers_served, serve_always, downloads_left, expires, fresh_id, copies_elsewhere, looked_at,
  key IS NOT NULL AS has_key`;

/** What a list tells; JSON has no bytes. */
const LISTED = COLUMNS.split(',')
  .map(column => column.trim())
  .filter(column => !/^fingerprint$| AS /.test(column));

/** Where each of those stands in a row of the list. */
const PLACES = new Map([...LISTED, 'has_key'].map((column, place) => [column, place]));

const KIND: DatabaseKind = {
  migrations: MIGRATIONS,
  making: path => `make the catalog "${showName(path)}"`,
  using: path => `use the catalog "${showName(path)}"`,
  ifDamaged: 'it is damaged or no catalog; restore it from a backup, or move it away to start with an empty one',
  ifNewer: 'update shoal, or use another home',
};

export interface CatalogOptions {
  /** The home's, 32 bytes. */
  readonly secret: Uint8Array;
  readonly random: RandomBytes;
  readonly clock: Clock;
}

/**
 * Opens the catalog at `path`, for this user only; the first time, it is made.
 * @throws ShoalError `newer-home` when a newer program wrote it: nothing is changed then; `home` when it can't be used or
 *   belongs to another secret
 */
export async function openCatalog(path: string, options: CatalogOptions): Promise<Catalog> {
  const database = await openDurable(path, KIND, options.clock);
  try {
    checkSecret(database, path, options);
    return new SqliteCatalog(database, path, options);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Copies the catalog at `path` as it is now to a file that is empty, or not there. @throws ShoalError as `openCatalog` */
export function copyCatalog(path: string, to: string): void {
  copyDurable(path, to, KIND);
}

/**
 * What keeps a file that others may have made from being opened as a catalog, as the end of a sentence; see `schemaProblem`.
 * @throws ShoalError `io`
 */
export function catalogProblem(path: string): string | undefined {
  return schemaProblem(path, KIND);
}

const CHECK_PLACE = 'check';
const CHECKED = new TextEncoder().encode('shoal');

/** What the first opener wraps, all others must be able to unwrap. */
function checkSecret(database: DurableDatabase, path: string, { secret, random }: CatalogOptions): void {
  const key = wrappingKey(secret);
  database.run(
    'INSERT OR IGNORE INTO secret_check (one, wrapped) VALUES (1, ?)',
    wrap(key, CHECKED, CHECK_PLACE, random),
  );
  const wrapped = database.all('SELECT wrapped FROM secret_check')[0]?.['wrapped'];
  if (wrapped instanceof Uint8Array && unwrap(key, wrapped, CHECK_PLACE) !== undefined) return;
  throw new ShoalError(
    'home',
    `cannot use the catalog "${showName(path)}": it belongs to another secret than the one beside it; ` +
      'restore the file "secret" that it was made with, or use another home',
  );
}

class SqliteCatalog implements Catalog {
  readonly transfers: TransferList;
  readonly relays: RelayList;
  readonly copies: CopyList;
  readonly grants: GrantList;
  readonly withdrawals: WithdrawalList;
  readonly contacts: ContactList;
  readonly #database: DurableDatabase;
  readonly #path: string;
  readonly #options: CatalogOptions;
  readonly #wrappingKey: Uint8Array;

  constructor(database: DurableDatabase, path: string, options: CatalogOptions) {
    this.#database = database;
    this.#path = path;
    this.#options = options;
    this.#wrappingKey = wrappingKey(options.secret);
    const table: Table = {
      run: (sql, ...values) => database.run(sql, ...values),
      all: (sql, ...values) => database.all(sql, ...values),
      wrap: (secret, place) => this.#wrap(secret, place),
      unwrap: (wrapped, place) => this.#unwrap(wrapped, place),
    };
    this.transfers = transferList(table);
    this.relays = relayList(table);
    this.copies = copyList(table);
    this.grants = grantList(table, salt => this.ownerSeed(salt));
    this.withdrawals = withdrawalList(table, act => database.atOnce(act));
    this.contacts = contactList(table);
  }

  begin(id: BlockId): void {
    // Not as ?1: node:sqlite can't bind numbered parameters on the oldest Node that this has to run on.
    this.#database.run(
      'INSERT OR IGNORE INTO debris SELECT id FROM (SELECT ? AS id) WHERE id NOT IN (SELECT id FROM shares)',
      id,
    );
  }

  add(record: NewShareRecord, secrets: { readonly key?: Uint8Array; readonly ownerSalt?: Uint8Array }): void {
    this.#database.atOnce(() => {
      this.#put(record, secrets);
      this.#database.run('DELETE FROM debris WHERE id = ?', record.id);
    });
  }

  get(id: BlockId): ShareRecord | undefined {
    const [row] = this.#database.all(`SELECT ${COLUMNS} FROM shares WHERE id = ?`, id);
    if (row === undefined) return undefined;
    const record = recordOf(column => row[column]);
    if (record === undefined) throw this.#damaged(id, 'what it knows of the share');
    return record;
  }

  list(): ShareRecord[] {
    // One long text of values is made and read in a fifth of the time that it takes to get as many rows.
    const values = `json_array(${LISTED.join(', ')}, key IS NOT NULL)`;
    const [row] = this.#database.all(
      `SELECT json_group_array(${values}) AS rows FROM (SELECT * FROM shares ORDER BY created_at, id)`,
    );
    return (arrayIn(row?.['rows']) ?? []).flatMap(
      one => recordOf(column => (one as unknown[])[PLACES.get(column) ?? -1]) ?? [],
    );
  }

  changed(): BlockId[] {
    return this.#database.all(`SELECT id FROM shares WHERE state = 'changed'`).flatMap(row => idIn(row['id']) ?? []);
  }

  count(): number {
    return Number(this.#database.all('SELECT count(*) AS shares FROM shares')[0]?.['shares']);
  }

  findByRoot(root: Root): ShareRecord[] {
    const [column, value] = typeof root === 'string' ? ['root', root] : ['parts', partsText(root)];
    return this.#find(`${column} = ?`, value);
  }

  findByPrefix(prefix: string): ShareRecord[] {
    // The first character after all that an id is made of: so the index of ids is used.
    return this.#find('id >= ? AND id < ?', prefix, `${prefix}{`);
  }

  keyOf(id: BlockId): Uint8Array | undefined {
    return this.#unwrapped(id, 'key');
  }

  ownerSeedOf(id: BlockId): Uint8Array | undefined {
    const salt = this.#unwrapped(id, 'owner_salt');
    return salt && this.ownerSeed(salt);
  }

  ownerSeed(salt: Uint8Array): Uint8Array {
    return ownerSeed(this.#options.secret, salt);
  }

  markChanged(id: BlockId, why: string): void {
    this.#database.run(
      `UPDATE shares SET state = 'changed', changed_why = ? WHERE id = ? AND state = 'ready'`,
      why,
      id,
    );
  }

  markExpired(id: BlockId): void {
    this.#database.run(`UPDATE shares SET state = 'expired' WHERE id = ? AND state != 'withdrawn'`, id);
  }

  expiries(): { readonly id: BlockId; readonly expires: number; readonly isOver: boolean }[] {
    const rows = this.#database.all(
      `SELECT id, expires, state = 'expired' AS is_over FROM shares WHERE expires IS NOT NULL
       UNION ALL SELECT id, expires, 0 FROM grants WHERE expires IS NOT NULL ORDER BY expires`,
    );
    return rows.flatMap(row => {
      const [id, expires] = [idIn(row['id']), countIn(row['expires'])];
      return id === undefined || expires === undefined ? [] : [{ id, expires, isOver: countIn(row['is_over']) === 1 }];
    });
  }

  noteCopies(id: BlockId, copiesElsewhere: number, lookedAt: number): void {
    this.#database.run(
      'UPDATE shares SET copies_elsewhere = ?, looked_at = ? WHERE id = ?',
      copiesElsewhere,
      lookedAt,
      id,
    );
  }

  addTraffic(id: BlockId, bytes: number, peers: number): void {
    this.#database.run(
      'UPDATE shares SET bytes_up = bytes_up + ?, peers_served = peers_served + ? WHERE id = ?',
      bytes,
      peers,
      id,
    );
  }

  serveAs(id: BlockId, { serveAlways, downloadsLeft }: Pick<ShareRecord, 'serveAlways' | 'downloadsLeft'>): void {
    this.#database.run(
      'UPDATE shares SET serve_always = ?, downloads_left = ? WHERE id = ?',
      Number(serveAlways),
      downloadsLeft ?? null,
      id,
    );
  }

  remove(id: BlockId): void {
    this.#database.atOnce(() => {
      this.#database.run('INSERT OR IGNORE INTO debris SELECT id FROM shares WHERE id = ?', id);
      this.#database.run('DELETE FROM shares WHERE id = ?', id);
    });
  }

  debris(): BlockId[] {
    const rows = this.#database.all('SELECT id FROM debris WHERE id NOT IN (SELECT id FROM shares)');
    return rows.flatMap(row => idIn(row['id']) ?? []);
  }

  clear(id: BlockId): void {
    this.#database.run('DELETE FROM debris WHERE id = ?', id);
  }

  setting(name: string): string | undefined {
    const value = this.#database.all('SELECT value FROM settings WHERE name = ?', name)[0]?.['value'];
    return typeof value === 'string' ? value : undefined;
  }

  setSetting(name: string, value: string | undefined): void {
    if (value === undefined) this.#database.run('DELETE FROM settings WHERE name = ?', name);
    else this.#database.run('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', name, value);
  }

  close(): void {
    this.#database.close();
  }

  #find(condition: string, ...values: string[]): ShareRecord[] {
    const rows = this.#database.all(
      `SELECT ${COLUMNS} FROM shares WHERE ${condition} ORDER BY created_at, id`,
      ...values,
    );
    return rows.flatMap(row => recordOf(column => row[column]) ?? []);
  }

  #put(record: NewShareRecord, secrets: { readonly key?: Uint8Array; readonly ownerSalt?: Uint8Array }): void {
    this.#database.run(
      `INSERT INTO shares (id, kind, name, size_bytes, files, source, root, parts, fingerprint, note, hints, created_at,
         state, serve_always, expires, fresh_id, key, owner_salt)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, size_bytes = excluded.size_bytes,
         files = excluded.files, source = excluded.source, root = excluded.root, parts = excluded.parts,
         fingerprint = excluded.fingerprint, note = excluded.note, hints = excluded.hints, created_at = excluded.created_at,
         state = CASE WHEN state IN ('withdrawn', 'expired') THEN state ELSE excluded.state END, changed_why = NULL,
         serve_always = excluded.serve_always, expires = excluded.expires, fresh_id = excluded.fresh_id, key = coalesce(excluded.key, key),
         owner_salt = coalesce(excluded.owner_salt, owner_salt)`,
      record.id,
      record.kind,
      record.name,
      record.sizeBytes,
      record.files,
      record.source,
      typeof record.root === 'string' ? record.root : null,
      typeof record.root === 'object' ? partsText(record.root) : null,
      record.fingerprint ?? null,
      record.note ?? null,
      JSON.stringify(record.hints),
      record.createdAt,
      Number(record.serveAlways),
      record.expires ?? null,
      Number(record.freshId === true),
      this.#wrapped(record.id, 'key', secrets.key),
      this.#wrapped(record.id, 'owner_salt', secrets.ownerSalt),
    );
  }

  #wrapped(id: BlockId, column: 'key' | 'owner_salt', secret: Uint8Array | undefined): Uint8Array | null {
    return secret === undefined ? null : this.#wrap(secret, placeOf(id, column));
  }

  #unwrapped(id: BlockId, column: 'key' | 'owner_salt'): Uint8Array | undefined {
    const wrapped = this.#database.all(`SELECT ${column} AS wrapped FROM shares WHERE id = ?`, id)[0]?.['wrapped'];
    if (wrapped === undefined || wrapped === null) return undefined;
    const secret = this.#unwrap(wrapped, placeOf(id, column));
    if (secret === undefined)
      throw this.#damaged(id, column === 'key' ? 'the key of the share' : 'the owner key of the share');
    return secret;
  }

  #wrap(secret: Uint8Array, place: string): Uint8Array {
    return wrap(this.#wrappingKey, secret, place, this.#options.random);
  }

  #unwrap(wrapped: unknown, place: string): Uint8Array | undefined {
    return wrapped instanceof Uint8Array ? unwrap(this.#wrappingKey, wrapped, place) : undefined;
  }

  #damaged(id: BlockId, what: string): ShoalError {
    return new ShoalError(
      'home',
      `cannot use ${what} ${id} in the catalog "${showName(this.#path)}": it is damaged; forget the share and share it anew`,
    );
  }
}

/** Binds a wrapped secret to its share and column, so that one can't be put in another's place. */
function placeOf(id: BlockId, column: string): string {
  return `${column}/${id}`;
}

/** @param valueOf of a column @returns undefined for a row that this program can't have written */
function recordOf(valueOf: (column: string) => unknown): ShareRecord | undefined {
  const id = idIn(valueOf('id'));
  const kind = oneOf(valueOf('kind'), ['file', 'folder']);
  const source = oneOf(valueOf('source'), ['original', 'copy', 'fetched', 'imported']);
  const state = oneOf(valueOf('state'), ['ready', 'changed', 'withdrawn', 'expired']);
  const [name, fingerprint, note] = [valueOf('name'), valueOf('fingerprint'), valueOf('note')];
  const changedWhy = valueOf('changed_why');
  const root = rootIn(valueOf('root'), valueOf('parts'));
  const hints = textsIn(valueOf('hints'));
  const sizeBytes = countIn(valueOf('size_bytes'));
  const files = countIn(valueOf('files'));
  const createdAt = countIn(valueOf('created_at'));
  const bytesUp = countIn(valueOf('bytes_up'));
  const peersServed = countIn(valueOf('peers_served'));
  const downloadsLeft = countIn(valueOf('downloads_left'));
  if (id === undefined || kind === undefined || source === undefined || state === undefined) return undefined;
  if (root === undefined) return undefined;
  if (typeof name !== 'string' || hints === undefined || sizeBytes === undefined || files === undefined)
    return undefined;
  if (createdAt === undefined || bytesUp === undefined || peersServed === undefined) return undefined;
  const record: { -readonly [F in keyof ShareRecord]: ShareRecord[F] } = {
    id,
    kind,
    name,
    sizeBytes,
    files,
    source,
    hints,
    createdAt,
    state,
    hasKey: countIn(valueOf('has_key')) === 1,
    bytesUp,
    peersServed,
    serveAlways: countIn(valueOf('serve_always')) === 1,
  };
  const [expires, copiesElsewhere] = [countIn(valueOf('expires')), countIn(valueOf('copies_elsewhere'))];
  const lookedAt = countIn(valueOf('looked_at'));
  if (countIn(valueOf('fresh_id')) === 1) record.freshId = true;
  if (expires !== undefined) record.expires = expires;
  if (copiesElsewhere !== undefined) record.copiesElsewhere = copiesElsewhere;
  if (lookedAt !== undefined) record.lookedAt = lookedAt;
  if (root.root !== undefined) record.root = root.root;
  if (typeof note === 'string') record.note = note;
  if (downloadsLeft !== undefined) record.downloadsLeft = downloadsLeft;
  if (fingerprint instanceof Uint8Array) record.fingerprint = fingerprint;
  if (typeof changedWhy === 'string') record.changedWhy = changedWhy;
  return record;
}

/** In the order of names, so that the same paths are the same text. */
function partsText(parts: ReadonlyMap<string, string>): string {
  return JSON.stringify([...parts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What a row says of its root, which may be nothing; undefined where that can't be read. */
function rootIn(root: unknown, parts: unknown): { root?: Root } | undefined {
  if (typeof parts !== 'string') return typeof root === 'string' ? { root } : {};
  const pairs = arrayIn(parts);
  const isPair = (pair: unknown): pair is [string, string] =>
    Array.isArray(pair) && pair.length === 2 && pair.every(text => typeof text === 'string');
  return pairs?.every(isPair) === true ? { root: new Map(pairs) } : undefined;
}
