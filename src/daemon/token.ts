/** The token of the API over TCP: a file in the home that only its user can read, made when it is first needed. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import { showName } from '../files/names.ts';
import { makePrivate, readPrivate } from '../files/private.ts';

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
      // Two at once agree on one: the first to give the file its name has made it.
      await makePrivate(path, `${randomBytes(TOKEN_BYTES).toString('base64url')}\n`);
    }
    throw unusable(path, 'it comes and goes');
  } catch (error) {
    throw fileError(error, `use the token of the API "${showName(path)}"`);
  }
}

/** undefined where there is none. */
async function readToken(path: string): Promise<string | undefined> {
  const noToken = 'it holds no token';
  const text = await readPrivate(path, why => unusable(path, why === 'other' ? noToken : 'others may read it'));
  if (text === undefined) return undefined;
  if (!PATTERN.test(text)) throw unusable(path, noToken);
  return text.trim();
}

function unusable(path: string, why: string): ShoalError {
  return new ShoalError(
    'home',
    `cannot use the token of the API "${showName(path)}": ${why}; remove the file for a new token, then start the daemon again`,
  );
}
