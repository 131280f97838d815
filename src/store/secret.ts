/**
 * The home's secret: 32 random bytes in a file that only its user can read. The key that wraps the catalog's secrets, the
 * owner keys of all shares and the home's peer key come from it.
 */
import { hkdfSync } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ShoalError, fileError } from '../errors.ts';
import { showName } from '../files/names.ts';
import type { RandomBytes } from '../ports.ts';

export const SECRET_FILE = 'secret';
const SECRET_BYTES = 32;
const HEADER = 'shoal home secret 1: whoever reads the next line can read and withdraw all shares of this home';
const PATTERN = new RegExp(`^${HEADER}\n([0-9a-f]{${2 * SECRET_BYTES}})\n$`);
/** More than the file ever has; what is longer is something else. */
const MAX_FILE_BYTES = 1024;

/**
 * Reads the secret of the home in the folder `home`, which exists; the first time, it is made.
 * @returns 32 bytes
 * @throws ShoalError `home` when others can read the file, or when it is something else; `denied`, `disk-full`, `io`
 */
export async function loadSecret(home: string, random: RandomBytes): Promise<Uint8Array> {
  const path = join(home, SECRET_FILE);
  try {
    return (await readSecret(path)) ?? (await makeSecret(home, path, random));
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

/** The seed of the owner key that belongs to a share's random salt: 32 bytes. */
export function ownerSeed(secret: Uint8Array, salt: Uint8Array): Uint8Array {
  return derive(secret, 'owner', salt);
}

function derive(secret: Uint8Array, purpose: string, salt: Uint8Array = new Uint8Array()): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, `shoal/home/${purpose}`, 32));
}

async function readSecret(path: string): Promise<Uint8Array | undefined> {
  const file = await openToRead(path);
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES) throw unusable(path, 'it is something else');
    if (process.platform !== 'win32' && (stat.mode & 0o077) !== 0) {
      throw unusable(path, `others may read it; if they did not, run: chmod 600 '${showName(path)}'`);
    }
    const [, hex] = PATTERN.exec(await file.readFile('utf8')) ?? [];
    if (hex === undefined) throw unusable(path, 'it is damaged; restore it from a backup, or start with another home');
    return Uint8Array.from(Buffer.from(hex, 'hex'));
  } finally {
    await file.close();
  }
}

/** undefined where there is none. */
async function openToRead(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes the file under a name of its own first: at its final name it is complete and durable, or not there. */
async function makeSecret(home: string, path: string, random: RandomBytes): Promise<Uint8Array> {
  const secret = Buffer.from(random(SECRET_BYTES));
  const draft = `${path}.${Buffer.from(random(8)).toString('hex')}.new`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${HEADER}\n${secret.toString('hex')}\n`);
    await file.sync();
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // Another process was quicker: its secret is the home's.
    const theirs = await readSecret(path);
    if (theirs !== undefined) return theirs;
    throw error;
  } finally {
    await file.close();
    await unlink(draft);
  }
  await syncFolder(home);
  return Uint8Array.from(secret);
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // folders can not be opened there
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unusable(path: string, why: string): ShoalError {
  return new ShoalError('home', `cannot use the home's secret "${showName(path)}": ${why}`);
}
