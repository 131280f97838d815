/** The token of the API over TCP: a file in the home that only its user can read, made when it is first needed. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import { showName } from '../files/names.ts';

const TOKEN_FILE = 'api-token';
const TOKEN_BYTES = 32;
const PATTERN = /^[A-Za-z0-9_-]{43}\n$/;
const TRIES = 2;

export interface Token {
  readonly token: string;
  /** Where it is, for people. */
  readonly path: string;
}

/** @throws ShoalError `home` when others can read the file, or when it is something else; `denied`, `disk-full`, `io` */
export async function loadToken(home: string): Promise<Token> {
  const path = join(home, TOKEN_FILE);
  try {
    for (let n = 0; n < TRIES; n++) {
      const token = await readToken(path);
      if (token !== undefined) return { token, path };
      await makeToken(home, path);
    }
    throw unusable(path, 'it comes and goes');
  } catch (error) {
    throw fileError(error, `use the token of the API "${showName(path)}"`);
  }
}

/** undefined where there is none. */
async function readToken(path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  const file = await open(path, flags).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat();
    if (process.platform !== 'win32' && (stat.mode & 0o077) !== 0) throw unusable(path, 'others may read it');
    const text = stat.isFile() && stat.size < 100 ? await file.readFile('utf8') : '';
    if (!PATTERN.test(text)) throw unusable(path, 'it holds no token');
    return text.trim();
  } finally {
    await file.close();
  }
}

/** Two at once agree on one: the first to give the file its name has made it. */
async function makeToken(home: string, path: string): Promise<void> {
  const beside = join(home, `${TOKEN_FILE}.${randomBytes(6).toString('hex')}`);
  const file = await open(beside, 'wx', 0o600);
  try {
    await file.writeFile(`${randomBytes(TOKEN_BYTES).toString('base64url')}\n`);
    await file.sync();
    await link(beside, path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  } finally {
    await file.close();
    await rm(beside, { force: true });
  }
}

function unusable(path: string, why: string): ShoalError {
  return new ShoalError(
    'home',
    `cannot use the token of the API "${showName(path)}": ${why}; remove the file for a new token, then start the daemon again`,
  );
}
