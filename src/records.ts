/** What a home knows of its shares, without what it needs to serve them: its folder, its catalog, and how each share stands. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, isShoalError, ShoalError } from './errors.ts';
import { makeFolders } from './files/folders.ts';
import { showName } from './files/names.ts';
import type { Root } from './format/layout.ts';
import type { Catalog, ShareRecord } from './catalog.ts';
import type { Clock, RandomBytes } from './ports.ts';
import { openCatalog } from './store/catalog.ts';
import { goneOf, isGoneNow } from './store/gone.ts';
import { LOOKS_AT_ONCE } from './limits.ts';
import { inParallel } from './parallel.ts';
import { loadSecret, SECRET_FILE } from './store/secret.ts';

/** A home's catalog, and the secret that opens it. */
export interface Records {
  readonly secret: Uint8Array;
  readonly catalog: Catalog;
}

/**
 * Opens the catalog of a home; folder, secret and catalog are made where there are none.
 * @throws ShoalError `home` when it can't be used, saying why and what to do; `newer-home`; `denied`, `io`
 */
export async function openRecords(folder: string, deps: { clock: Clock; random: RandomBytes }): Promise<Records> {
  await makeHomeFolder(folder);
  const secret = await loadSecret(folder, deps.random);
  return { secret, catalog: await openCatalog(join(folder, 'catalog.sqlite'), { secret, ...deps }) };
}

/**
 * Whether there is a home in `folder`, so that opening it makes nothing new.
 * @throws ShoalError `home` when none could be there, as by `makeHomeFolder`; `denied`, `io`
 */
export async function isHome(folder: string): Promise<boolean> {
  if (!(await isHomeFolder(folder))) return false;
  try {
    return (await stat(join(folder, SECRET_FILE))).isFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileError(error, `look into the home folder "${showName(folder)}"`);
  }
}

/**
 * Makes the folder of a home where there is none, for its user only.
 * @throws ShoalError `home` when something else is there, or others may write to it: they could put files of theirs in the
 *   place of ours; by `fileError`
 */
export async function makeHomeFolder(folder: string): Promise<void> {
  if (await isHomeFolder(folder)) return;
  await makeFolders(folder, 0o700).catch((error: unknown) => {
    throw fileError(error, `make the home folder "${showName(folder)}" (SHOAL_HOME chooses another)`);
  });
}

/** Whether the folder is there. @throws ShoalError `home`, `denied`, `io` */
async function isHomeFolder(folder: string): Promise<boolean> {
  const shown = showName(folder);
  const found = await stat(folder).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return code;
    throw fileError(error, `look at the home folder "${shown}" (SHOAL_HOME chooses another)`);
  });
  if (found === 'ENOENT') return false;
  if (found === 'ENOTDIR' || !found.isDirectory())
    throw new ShoalError(
      'home',
      `cannot use "${shown}" as the home: something on its path is not a folder; SHOAL_HOME chooses another`,
    );
  if (process.platform === 'win32' || (found.mode & 0o022) === 0) return true;
  throw new ShoalError(
    'home',
    `cannot use the home folder "${shown}": others may write to it; if they did not, run: chmod 700 '${shown}'`,
  );
}

/** What a share looks like from here. */
export type ShareState = 'serving' | 'idle' | 'changed' | 'missing' | 'delivered' | 'expired' | 'withdrawn';

/** How a share stands, and why, where there is something to say. */
export interface Standing {
  readonly state: ShareState;
  readonly detail?: string;
}

/** What the states of shares are told by. */
export interface Look {
  /** The folder in which the home keeps the blocks of its shares. */
  readonly blocks: string;
  /** Unix seconds. */
  readonly nowSeconds: number;
}

export async function stateOf(record: ShareRecord, isServed: boolean, look: Look): Promise<Standing> {
  const standing = stateNow(record, isServed, look);
  const root = neededBy(record, look.blocks);
  if (standing !== undefined || root === undefined) return standing ?? present(isServed);
  const detail = isKept(record) ? BLOCKS_MISSING : await whyMissing(root);
  return detail === undefined ? present(isServed) : { state: 'missing', detail };
}

/** How each of many stands: without waiting, as far as the disk is quick, since waiting takes longer than looking. */
export async function statesOf(
  records: readonly ShareRecord[],
  isServed: (record: ShareRecord) => boolean,
  look: Look,
): Promise<Standing[]> {
  const standings = records.map(record => stateNow(record, isServed(record), look));
  const open = [...records.keys()].filter(n => standings[n] === undefined);
  await inParallel(open, LOOKS_AT_ONCE, async n => {
    const record = records[n];
    if (record !== undefined) standings[n] = await stateOf(record, isServed(record), look);
  });
  return standings.map(standing => standing ?? present(false));
}

/** undefined where files have to be looked at for longer. */
function stateNow(record: ShareRecord, isServed: boolean, { blocks, nowSeconds }: Look): Standing | undefined {
  const { state, changedWhy, downloadsLeft, expires = Infinity } = record;
  if (state === 'withdrawn') return { state };
  if (state === 'expired' || expires <= nowSeconds) return { state: 'expired' };
  if (state === 'changed') return { state, ...(changedWhy === undefined ? {} : { detail: changedWhy }) };
  if (downloadsLeft === 0) return { state: 'delivered' };
  const root = neededBy(record, blocks);
  if (root === undefined) return present(isServed);
  return isGoneNow(root) === false ? present(isServed) : undefined;
}

/** Whether all of its ciphertext is kept. */
function isKept({ source }: ShareRecord): boolean {
  return source === 'copy' || source === 'imported';
}

const BLOCKS_MISSING =
  'its encrypted blocks are not in this home; "shoal seed LINK" with its link gets them from who has them';

/** What has to be there for a share to be served: its files, or the first of the blocks that are kept. */
function neededBy(record: ShareRecord, blocks: string): Root | undefined {
  if (!isKept(record)) return record.root;
  // Of one that was withdrawn or has expired there are none any more.
  return record.state === 'ready' ? join(blocks, record.id, 'share') : undefined;
}

function present(isServed: boolean): Standing {
  return { state: isServed ? 'serving' : 'idle' };
}

/** undefined where all is there. */
async function whyMissing(root: Root): Promise<string | undefined> {
  try {
    const gone = await goneOf(root);
    return gone === undefined ? undefined : `"${showName(gone)}" is not there`;
  } catch (error) {
    if (isShoalError(error)) return error.message;
    throw error;
  }
}
