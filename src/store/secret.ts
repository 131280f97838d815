/**
 * The home's secret: 32 random bytes in a file that only its user can read. The key that wraps the catalog's secrets, the
 * owner keys of all shares, the home's peer key, and those of shares that have their own come from it.
 */
import { hkdfSync } from 'node:crypto';
import { join } from 'node:path';
import { ShoalError, fileError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import { showName } from '../files/names.ts';
import { makePrivate, readPrivate } from '../files/private.ts';
import type { RandomBytes } from '../ports.ts';

export const SECRET_FILE = 'secret';
const SECRET_BYTES = 32;
const HEADER = 'shoal home secret 1: whoever reads the next line can read and withdraw all shares of this home';
const PATTERN = new RegExp(`^${HEADER}\n([0-9a-f]{${2 * SECRET_BYTES}})\n$`);

/**
 * Reads the secret of the home in the folder `home`, which exists; the first time, it is made.
 * @returns 32 bytes
 * @throws ShoalError `home` when others can read the file, or when it is something else; `denied`, `disk-full`, `io`
 */
export async function loadSecret(home: string, random: RandomBytes): Promise<Uint8Array> {
  const path = join(home, SECRET_FILE);
  try {
    return (await readSecret(path)) ?? (await makeSecret(path, random));
  } catch (error) {
    throw fileError(error, `use the home's secret "${showName(path)}"`);
  }
}

/** The key under which the catalog's secrets are wrapped: 32 bytes. */
export function wrappingKey(secret: Uint8Array): Uint8Array {
  return derive(secret, 'wrap');
}

/** The seed of the Ed25519 key that is the home's peer id: 32 bytes. */
export function peerSeed(secret: Uint8Array): Uint8Array {
  return derive(secret, 'peer');
}

/** The seed of the peer key of one share, which nobody can link with the home's or with those of other shares: 32 bytes. */
export function sharePeerSeed(secret: Uint8Array, id: BlockId): Uint8Array {
  return derive(secret, 'share-peer', new TextEncoder().encode(id));
}

/** The seed of the owner key that belongs to a share's random salt: 32 bytes. */
export function ownerSeed(secret: Uint8Array, salt: Uint8Array): Uint8Array {
  return derive(secret, 'owner', salt);
}

function derive(secret: Uint8Array, purpose: string, salt: Uint8Array = new Uint8Array()): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, `shoal/home/${purpose}`, 32));
}

async function readSecret(path: string): Promise<Uint8Array | undefined> {
  const text = await readPrivate(path, why =>
    why === 'other'
      ? unusable(path, 'it is not a plain file; restore it from a backup, or start with another home')
      : unusable(path, `others may read it; if they did not, run: chmod 600 '${showName(path)}'`),
  );
  if (text === undefined) return undefined;
  const [, hex] = PATTERN.exec(text) ?? [];
  if (hex === undefined) throw unusable(path, 'it is damaged; restore it from a backup, or start with another home');
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

async function makeSecret(path: string, random: RandomBytes): Promise<Uint8Array> {
  const secret = Buffer.from(random(SECRET_BYTES));
  if (await makePrivate(path, `${HEADER}\n${secret.toString('hex')}\n`)) return Uint8Array.from(secret);
  // Another process was quicker: its secret is the home's.
  const theirs = await readSecret(path);
  if (theirs === undefined) throw unusable(path, 'it was removed just now; try again');
  return theirs;
}

function unusable(path: string, why: string): ShoalError {
  return new ShoalError('home', `cannot use the home's secret "${showName(path)}": ${why}`);
}
