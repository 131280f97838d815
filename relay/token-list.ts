/**
 * The tokens that a relay has issued, with what their maker noted and what was revoked: a small SQLite database in the data
 * folder, which `shoal-relay token` writes and the relay that runs reads. So a revocation holds as soon as it is written.
 * The tokens themselves are not in it.
 */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { isShoalError, ShoalError } from '../src/errors.ts';
import { databaseError, openDatabase } from '../src/files/sqlite.ts';
import { showName } from '../src/files/names.ts';
import { MAX_TOKEN_CHARS, MAX_TOKENS, TOKENS_BUSY_MS } from '../src/limits.ts';
import type { RandomBytes } from '../src/ports.ts';
import { publicKeyOf, readToken, TOKEN_ID_BYTES, tokenText, type Token } from './tokens.ts';

/** A token as it is listed. Times are unix seconds. */
export interface ListedToken extends Token {
  readonly note?: string;
  readonly createdAt: number;
  readonly revokedAt?: number;
}

/** Why a token is not accepted. */
export interface BadToken {
  readonly reason: 'bad-token' | 'expired' | 'revoked';
  readonly detail: string;
}

const VERSION = 1;
const SCHEMA = `CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  until INTEGER NOT NULL,
  stored_bytes INTEGER,
  lease_seconds INTEGER,
  note TEXT,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT`;

export class TokenList {
  readonly #seed: Uint8Array;
  readonly #publicKey: Uint8Array;
  readonly #path: string;
  readonly #database: ReturnType<typeof openDatabase>;

  /**
   * Opens the list in a data folder; made where there is none.
   * @param seed of the relay's Ed25519 key
   * @throws ShoalError `io`; `newer-home` where a newer program wrote it
   */
  constructor(folder: string, seed: Uint8Array) {
    this.#seed = seed;
    this.#publicKey = publicKeyOf(seed);
    this.#path = join(folder, 'tokens.sqlite');
    this.#database = openDatabase(this.#path, { busyTimeoutMs: TOKENS_BUSY_MS });
    try {
      this.#guarded('open', () => this.#prepare());
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Makes a token, whose text is told here and nowhere else. Times are unix seconds. */
  create(wanted: Omit<Token, 'id'> & { readonly note?: string }, nowSeconds: number, random: RandomBytes): string {
    const { note, ...rest } = wanted;
    const token: Token = { ...rest, id: Buffer.from(random(TOKEN_ID_BYTES)).toString('hex') };
    const text = tokenText(token, this.#seed);
    this.#guarded('write', () =>
      this.#within(() => {
        this.#database
          .prepare(
            'DELETE FROM tokens WHERE until < ? AND id NOT IN (SELECT id FROM tokens ORDER BY until DESC LIMIT ?)',
          )
          .run(nowSeconds, MAX_TOKENS - 1);
        const { count } = this.#database.prepare('SELECT count(*) AS count FROM tokens').get() as { count: number };
        if (count >= MAX_TOKENS)
          throw new ShoalError(
            'disk-full',
            `cannot create a token: ${MAX_TOKENS} that still hold are listed; let some expire first`,
          );
        this.#database
          .prepare(
            'INSERT INTO tokens (id, until, stored_bytes, lease_seconds, note, created_at) VALUES (?, ?, ?, ?, ?, ?)',
          )
          .run(token.id, token.until, token.storedBytes ?? null, token.leaseSeconds ?? null, note ?? null, nowSeconds);
      }),
    );
    return text;
  }

  /** In the order in which they were made. */
  list(): ListedToken[] {
    return this.#guarded('read', () =>
      this.#database.prepare('SELECT * FROM tokens ORDER BY created_at, rowid').all().map(listed),
    );
  }

  /** @returns whether there is such a token, revoked before or now */
  revoke(id: string, nowSeconds: number): boolean {
    return this.#guarded('write', () => {
      const { changes } = this.#database
        .prepare('UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?')
        .run(nowSeconds, id);
      return Number(changes) > 0;
    });
  }

  /** A token that is presented, or why it is not accepted. */
  check(text: string, nowSeconds: number): Token | BadToken {
    const token = this.#read(text);
    if ('reason' in token) return token;
    if (token.until <= nowSeconds) return { reason: 'expired', detail: 'it has expired; ask for a new one' };
    return this.isRevoked(token.id) ? { reason: 'revoked', detail: 'the relay has revoked it' } : token;
  }

  /** Also where it is not listed: of a list that was lost, nobody knows what was revoked. */
  isRevoked(id: string): boolean {
    return this.#guarded('read', () => {
      const row = this.#database.prepare('SELECT revoked_at FROM tokens WHERE id = ?').get(id);
      return row?.['revoked_at'] !== null;
    });
  }

  close(): void {
    this.#database.close();
  }

  #read(text: string): Token | BadToken {
    if (text.length > MAX_TOKEN_CHARS) return { reason: 'bad-token', detail: 'it is too long for a token' };
    try {
      return readToken(text, this.#publicKey);
    } catch (error) {
      if (!isShoalError(error)) throw error;
      const detail =
        error.code === 'wrong-key'
          ? 'this relay has not signed it: it is of another relay, or forged'
          : 'it can not be read; copy all of it';
      return { reason: 'bad-token', detail };
    }
  }

  #prepare(): void {
    this.#database.exec('PRAGMA synchronous = FULL');
    if (process.platform !== 'win32') chmodSync(this.#path, 0o600);
    this.#within(() => {
      const version = Number(this.#database.prepare('PRAGMA user_version').get()?.['user_version']);
      if (version > VERSION)
        throw new ShoalError(
          'newer-home',
          `cannot use the list of tokens ${this.#shown}: a newer shoal-relay wrote it; update this one`,
        );
      if (version < VERSION) this.#database.exec(`${SCHEMA}; PRAGMA user_version = ${VERSION}`);
    });
  }

  /** All of it or nothing. */
  #within(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #guarded<T>(tried: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw databaseError(error, `${tried} the list of tokens ${this.#shown}`);
    }
  }

  get #shown(): string {
    return `"${showName(this.#path)}"`;
  }
}

function listed(row: Readonly<Record<string, unknown>>): ListedToken {
  const known: [string, unknown][] = [
    ['id', row['id']],
    ['until', row['until']],
    ['storedBytes', row['stored_bytes']],
    ['leaseSeconds', row['lease_seconds']],
    ['note', row['note']],
    ['createdAt', row['created_at']],
    ['revokedAt', row['revoked_at']],
  ];
  // The table is strict, so that each column is of its type or null.
  return Object.fromEntries(known.filter(([, value]) => value !== null)) as unknown as ListedToken;
}
