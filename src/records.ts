/** What a home knows of its shares, without what it needs to serve them: its folder, its catalog, and how each share stands. */
import { lstatSync } from 'node:fs';
import { lstat, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, ShoalError } from './errors.ts';
import { SLOW_LOOK_MS } from './limits.ts';
import { Pace } from './pace.ts';
import type { Catalog, Clock, RandomBytes, ShareRecord } from './ports.ts';
import { openCatalog } from './store/catalog.ts';
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

/** Whether there is a home in `folder`, so that opening it makes nothing new. @throws ShoalError `denied`, `io` */
export async function isHome(folder: string): Promise<boolean> {
  try {
    return (await stat(join(folder, SECRET_FILE))).isFile();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw fileError(error, `look into the home folder "${folder}"`);
  }
}

/**
 * Makes the folder of a home where there is none, for its user only.
 * @throws ShoalError `home` when others may write to one that is there: they could put files of theirs in the place of ours
 */
export async function makeHomeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw fileError(error, `make the home folder "${folder}" (SHOAL_HOME chooses another)`);
  });
  if (process.platform === 'win32' || ((await stat(folder)).mode & 0o022) === 0) return;
  throw new ShoalError(
    'home',
    `cannot use the home folder "${folder}": others may write to it; if they did not, run: chmod 700 '${folder}'`,
  );
}

/** What a share looks like from here. */
export type ShareState = 'serving' | 'idle' | 'changed' | 'missing';

export async function stateOf(record: ShareRecord, isServed: boolean): Promise<ShareState> {
  if (record.state === 'changed') return 'changed';
  const isOnDisk = record.source === 'copy' || record.source === 'imported' || record.root === undefined;
  if (!isOnDisk && !(await isThere(record.root))) return 'missing';
  return isServed ? 'serving' : 'idle';
}

/** On a local disk a look takes less time than handing it to another thread, which counts with ten thousand shares. */
const looks = new Pace(SLOW_LOOK_MS);

async function isThere(path: string): Promise<boolean> {
  try {
    const seen = await looks.step(
      () => lstatSync(path, { throwIfNoEntry: false }),
      () => lstat(path),
    );
    return seen !== undefined;
  } catch {
    return false;
  }
}
