/**
 * The age identities of a home, by which its user reads what was granted: a file each in its folder `identities`, for its user
 * only. One that is sealed with a passphrase has its recipient beside it, so that it can be listed while it is locked.
 */
import { lstat, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileError, isShoalError, ShoalError } from './errors.ts';
import { makeFolders } from './files/folders.ts';
import { lock, type Lock } from './files/lock.ts';
import { showName } from './files/names.ts';
import { makePrivate, readPrivateBytes } from './files/private.ts';
import { identitiesIn, identityText, isSealed, sealText, unsealText, type Identity } from './format/identity.ts';
import { quoted } from './format/quoted.ts';
import { kindOf, type RecipientKind } from './format/recipient.ts';
import { HOLDER_RETRY_MS, MAX_IDENTITY_FILE_BYTES, MAX_IDENTITY_NAME_CHARS, PART_PATIENCE_MS } from './limits.ts';
import { makeHomeFolder } from './records.ts';

const FOLDER = 'identities';
const PLAIN = '.txt';
const SEALED = '.age';
const RECIPIENT = '.pub';

/** A file with identities. */
export interface KeyFile {
  /** Of an identity of the home; absent for a file elsewhere. */
  readonly name?: string;
  readonly path: string;
  /** What the identities in it are, where they are not sealed. */
  readonly identities: readonly Identity[];
  /** The age file that it is, where a passphrase opens it. */
  readonly sealed?: Uint8Array;
  /** Of what is sealed, where the home knows it. */
  readonly recipient?: string;
  readonly kind?: RecipientKind;
  /** Why it can't be used, as a whole message. */
  readonly problem?: ShoalError;
  /** Whether others than its user may read it, which one of the home would not be used then. */
  readonly isOpen: boolean;
}

/**
 * Keeps a new identity in the home, under a name that is free.
 * @param passphrase that it is sealed with; in the clear where absent
 * @param nowSeconds Unix seconds
 * @returns where it is
 * @throws ShoalError `usage` for a name that no file should have, `exists`, `in-use`; `home` as by `makeHomeFolder`; `disk-full`,
 *   `denied`, `io`
 */
export async function keepIdentity(
  home: string,
  name: string,
  identity: Identity,
  passphrase: string | undefined,
  nowSeconds: number,
): Promise<string> {
  checkName(name);
  const folder = await makeFolder(home);
  // What takes a second is not done in vain; that it is so still is looked at under the lock.
  await refuseTaken(folder, name);
  const text = await fileText(identity, passphrase, nowSeconds);
  const held = await lockFolder(folder, name);
  try {
    await refuseTaken(folder, name);
    const path = join(folder, name + (passphrase === undefined ? PLAIN : SEALED));
    if (passphrase !== undefined) await writeRecipient(join(folder, name + RECIPIENT), identity.recipient);
    await write(path, text);
    return path;
  } finally {
    held.release();
  }
}

/**
 * Writes a new identity to a file elsewhere.
 * @throws ShoalError `exists`, `disk-full`, `denied`, `io`
 */
export async function writeIdentity(
  path: string,
  identity: Identity,
  passphrase: string | undefined,
  nowSeconds: number,
): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined) throw taken(path);
  await write(path, await fileText(identity, passphrase, nowSeconds));
}

/**
 * The identities of the home by name, also those that are locked and those that can't be used. None where there is no home.
 * @throws ShoalError `home` where others may put files of theirs there; `denied`, `io`
 */
export async function keyFilesOf(home: string): Promise<KeyFile[]> {
  const folder = join(home, FOLDER);
  if (!(await isThere(folder))) return [];
  const files = (await readdir(folder).catch(failed(`list "${showName(folder)}"`))).sort();
  const found: KeyFile[] = [];
  for (const file of files) {
    const name = file.slice(0, -PLAIN.length);
    if (name !== '' && (file.endsWith(PLAIN) || file.endsWith(SEALED)))
      found.push({ ...(await usable(join(folder, file))), name });
  }
  return await Promise.all(found.map(withRecipient));
}

/**
 * The file of identities at a path that its user has named.
 * @throws ShoalError `usage` where it is none, `malformed`, `denied`, `io`
 */
export async function keyFileAt(path: string): Promise<KeyFile> {
  const tried = failed(`read the ${shown(path)}`);
  // It may be a link, or a pipe from a program that keeps secrets.
  const file = await open(path).catch(tried);
  try {
    const { mode } = await file.stat().catch(tried);
    const isOpen = process.platform !== 'win32' && (mode & 0o077) !== 0;
    return { ...(await contentOf(path, await readMost(file, path).catch(tried))), isOpen };
  } finally {
    await file.close();
  }
}

/**
 * The identities in a file that a passphrase opens. That costs about a second of computing, or as much as it asks for.
 * @throws ShoalError `wrong-key` where the passphrase is another, `malformed`, `usage`
 */
export async function unlock({ path, sealed }: KeyFile, passphrase: string): Promise<readonly Identity[]> {
  if (sealed === undefined) throw new Error('only what is sealed is unlocked');
  return await identitiesOf(path, await unsealText(sealed, passphrase, shown(path)));
}

async function readMost(file: FileHandle, path: string): Promise<Uint8Array> {
  const bytes = Buffer.alloc(MAX_IDENTITY_FILE_BYTES + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
    length += bytesRead;
    if (length > MAX_IDENTITY_FILE_BYTES) throw unusable(path, 'it is too large for one');
    if (bytesRead === 0) return bytes.subarray(0, length);
  }
}

async function usable(path: string): Promise<KeyFile> {
  try {
    return await readOwn(path);
  } catch (error) {
    if (!isShoalError(error)) throw error;
    return { path, identities: [], problem: error, isOpen: false };
  }
}

async function readOwn(path: string): Promise<KeyFile> {
  const bytes = await readPrivateBytes(
    path,
    why =>
      why === 'other'
        ? unusable(path, 'it is not a plain file, or too large for one')
        : unusable(path, `others may read it; if they did not, run: chmod 600 '${showName(path)}'`),
    MAX_IDENTITY_FILE_BYTES,
  ).catch(failed(`read the ${shown(path)}`));
  if (bytes === undefined) throw unusable(path, 'it is not there any more');
  return { ...(await contentOf(path, bytes)), isOpen: false };
}

async function contentOf(path: string, bytes: Uint8Array): Promise<Omit<KeyFile, 'isOpen'>> {
  if (isSealed(bytes)) return { path, identities: [], sealed: bytes };
  return { path, identities: await identitiesOf(path, new TextDecoder().decode(bytes)) };
}

async function identitiesOf(path: string, text: string): Promise<readonly Identity[]> {
  const identities = await identitiesIn(text).catch((error: unknown) => {
    throw isShoalError(error) ? unusable(path, error.message) : error;
  });
  if (identities.length === 0) throw unusable(path, 'no identity is in it; restore it from a backup');
  return identities;
}

/** What is beside a file that is sealed. Where that is lost or damaged, it can be opened all the same. */
async function withRecipient(file: KeyFile): Promise<KeyFile> {
  const [only, ...others] = file.identities;
  if (only !== undefined) return others.length === 0 ? { ...file, recipient: only.recipient, kind: only.kind } : file;
  if (file.sealed === undefined) return file;
  const path = file.path.slice(0, -SEALED.length) + RECIPIENT;
  const bytes = await readPrivateBytes(path, () => undefined, MAX_IDENTITY_FILE_BYTES).catch(() => undefined);
  try {
    const recipient = new TextDecoder().decode(bytes).trim();
    return { ...file, recipient, kind: kindOf(recipient) };
  } catch {
    return file;
  }
}

function checkName(name: string): void {
  if (/^[a-z0-9][a-z0-9._-]*$/i.test(name) && name.length <= MAX_IDENTITY_NAME_CHARS) return;
  throw new ShoalError(
    'usage',
    `cannot name an identity ${quoted(name)}: a name has up to ${MAX_IDENTITY_NAME_CHARS} letters without accents, digits and "._-", and begins with a letter or digit`,
  );
}

async function fileText(identity: Identity, passphrase: string | undefined, nowSeconds: number): Promise<string> {
  const text = identityText(identity, nowSeconds);
  return passphrase === undefined ? text : await sealText(text, passphrase);
}

async function makeFolder(home: string): Promise<string> {
  await makeHomeFolder(home);
  const folder = join(home, FOLDER);
  if (!(await isThere(folder))) await makeFolders(folder, 0o700).catch(failed(`make the folder "${showName(folder)}"`));
  return folder;
}

/** @throws ShoalError `home` where something else is there, or others may write to it */
async function isThere(folder: string): Promise<boolean> {
  const found = await stat(folder).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw fileError(error, `look at the folder "${showName(folder)}"`);
  });
  if (found === undefined) return false;
  const refused = (why: string): ShoalError =>
    new ShoalError('home', `cannot use the folder "${showName(folder)}": ${why}`);
  if (!found.isDirectory()) throw refused('it is not a folder; remove what is there');
  if (process.platform !== 'win32' && (found.mode & 0o022) !== 0)
    throw refused(`others may write to it; if they did not, run: chmod 700 '${showName(folder)}'`);
  return true;
}

/** The name is free where no identity has it: a recipient alone is what a process has left that was killed. */
async function refuseTaken(folder: string, name: string): Promise<void> {
  for (const ending of [PLAIN, SEALED]) {
    const path = join(folder, name + ending);
    if ((await lstat(path).catch(() => undefined)) === undefined) continue;
    throw new ShoalError(
      'exists',
      `cannot make the identity ${quoted(name)}: this home has one of that name, which is not replaced, since what was granted to it could not be read any more; choose another name with --name`,
    );
  }
}

async function writeRecipient(path: string, recipient: string): Promise<void> {
  await unlink(path).catch(() => undefined);
  await write(path, `${recipient}\n`);
}

async function write(path: string, text: string): Promise<void> {
  const isMade = await makePrivate(path, text).catch(failed(`write "${showName(path)}"`));
  if (!isMade) throw taken(path);
}

/** To look for the name and to take it is the matter of milliseconds. */
async function lockFolder(folder: string, name: string): Promise<Lock> {
  const until = performance.now() + PART_PATIENCE_MS;
  for (;;) {
    const held = await lock(join(folder, 'lock'));
    if (held !== undefined) return held;
    if (performance.now() > until)
      throw new ShoalError(
        'in-use',
        `cannot make the identity ${quoted(name)}: another process is at it; wait for it, or end it`,
      );
    await sleep(HOLDER_RETRY_MS);
  }
}

function taken(path: string): ShoalError {
  return new ShoalError(
    'exists',
    `cannot write "${showName(path)}": it exists already, and is not replaced; choose another place`,
  );
}

function shown(path: string): string {
  return `identity file "${showName(path)}"`;
}

function unusable(path: string, why: string): ShoalError {
  return new ShoalError('usage', `cannot use the identity file "${showName(path)}": ${why}`);
}

function failed(tried: string): (error: unknown) => never {
  return error => {
    throw fileError(error, tried);
  };
}
