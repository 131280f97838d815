/** Making a home again from its backup: all of it, or nothing (docs/decisions/0022). */
import { readdir, realpath, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { BackupDeps } from './backup.ts';
import { fileError, isShoalError, ShoalError } from './errors.ts';
import { openDirectory } from './files/directory.ts';
import { makeFolders } from './files/folders.ts';
import { showName } from './files/names.ts';
import { claimPart, makeUnlessThere, partName, removePart, tagOf } from './files/part.ts';
import type { AgeSecrets } from './format/age.ts';
import { openBackup, SEAL_HEAD_BYTES, sealedTo } from './format/backup-seal.ts';
import { ABOUT, BACKUP, BLOCKS, CATALOG, checkAbout, placeIn, SECRET } from './format/backup.ts';
import { malformed } from './format/canonical.ts';
import { readTar, type TarEntry } from './format/tar.ts';
import type { Directory } from './ports.ts';
import { statesOf } from './records.ts';
import { catalogProblem, openCatalog } from './store/catalog.ts';
import { loadSecret } from './store/secret.ts';

/** What was restored. */
export interface Restored {
  readonly shares: number;
  /** Those that can't be served as they are: their files are not where they were, or their blocks were not in the backup. */
  readonly missing: number;
  /** Transfers that were not done. They are paused: what a backup says is not carried out unasked. */
  readonly waiting: number;
}

/** Asked once it is known what the backup was sealed to, and that there is a place for what is in it. */
export type AskSecrets = (needed: 'passphrase' | 'recipients') => Promise<AgeSecrets>;

/**
 * Makes the home in `folder`, an absolute path at which nothing or an empty folder is, from the bytes of a backup. Until all
 * is there, checked and durable, it is in a folder beside; what a run that was killed has left the next one removes.
 * @throws ShoalError `exists` where something is there; `wrong-key`, `usage`, `malformed`, `corrupt` as `openBackup`;
 *   `malformed` where it holds what no backup has; `unsupported`, `newer-home` where a newer program made it; `home` where its
 *   parts do not belong together; `in-use`; by `fileError`; the signal's reason
 */
export async function restoreHome(
  folder: string,
  sealed: AsyncIterable<Uint8Array>,
  askSecrets: AskSecrets,
  deps: BackupDeps,
  signal: AbortSignal,
): Promise<Restored> {
  const home = await freePlace(folder);
  const { head, all } = await withHead(sealed);
  const secrets = await askSecrets(sealedTo(head));
  const opened = await openBackup(all, secrets);
  await makeFolders(dirname(home), 0o700).catch((error: unknown) => {
    throw fileError(error, `make a place for the home "${showName(home)}" (SHOAL_HOME chooses another)`);
  });
  const tag = tagOf('shoal/restore', basename(home));
  const parent = await openDirectory(dirname(home));
  try {
    const inUse = (): ShoalError =>
      new ShoalError('in-use', `cannot restore "${showName(home)}": another process is at it; wait for that`);
    const { part, held } = await claimPart(parent, dirname(home), tag, inUse);
    try {
      await part.remove(DRAFT);
      await part.make(DRAFT);
      const draft = await part.enter(DRAFT);
      try {
        await fill(draft, opened, signal);
        const restored = await checkDraft(join(dirname(home), partName(tag), DRAFT), deps);
        await draft.syncAll();
        await putInPlace(part, parent, home);
        return restored;
      } finally {
        await draft.close();
      }
    } finally {
      await part.close();
      await removePart(parent, tag).finally(() => held.release());
    }
  } finally {
    await parent.close();
  }
}

/** The home, while it is not in its place. */
const DRAFT = 'home';

/** Where the home is to be, without links. @throws ShoalError `exists`, by `fileError` */
async function freePlace(folder: string): Promise<string> {
  const shown = showName(folder);
  try {
    const names = await readdir(folder);
    if (names.length === 0) return await realpath(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return folder;
    throw fileError(error, `restore a home to "${shown}" (SHOAL_HOME chooses another place)`);
  }
  throw new ShoalError(
    'exists',
    `cannot restore a home to "${shown}": something is there already; move that away, or choose another place with SHOAL_HOME`,
  );
}

async function putInPlace(part: Directory, parent: Directory, home: string): Promise<void> {
  const target = await freePlace(home);
  // Only a folder that is empty is removed by this.
  await rmdir(target).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw fileError(error, `put the home in the place of the empty folder "${showName(home)}"`);
  });
  await part.move(DRAFT, parent, basename(home));
  await parent.sync();
}

/** The first bytes, and all of them. */
async function withHead(
  bytes: AsyncIterable<Uint8Array>,
): Promise<{ head: Uint8Array; all: AsyncIterable<Uint8Array> }> {
  const iterator = bytes[Symbol.asyncIterator]();
  let head = new Uint8Array();
  while (head.length < SEAL_HEAD_BYTES) {
    const next = await iterator.next();
    if (next.done === true) break;
    const longer = new Uint8Array(head.length + next.value.length);
    longer.set(head);
    longer.set(next.value, head.length);
    head = longer;
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield head;
    try {
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { head, all: all() };
}

/** Writes what is in a backup into an empty folder. */
async function fill(root: Directory, opened: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  let isFirst = true;
  const missing = new Set([SECRET, CATALOG]);
  for await (const entry of readTar(opened, BACKUP)) {
    signal.throwIfAborted();
    const segments = placeIn(entry.name, entry.sizeBytes);
    if (isFirst !== (entry.name === ABOUT)) throw malformed(BACKUP, 'it does not begin with what it is');
    if (isFirst) checkAbout(await textOf(entry));
    else await put(root, segments, entry, signal);
    isFirst = false;
    missing.delete(entry.name);
  }
  const [absent] = missing;
  if (absent !== undefined) throw malformed(BACKUP, `"${absent}" is not in it`);
}

async function textOf({ content }: TarEntry): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of content) text += decoder.decode(piece, { stream: true });
  return text;
}

async function put(
  folder: Directory,
  [name = '', ...below]: readonly string[],
  entry: TarEntry,
  signal: AbortSignal,
): Promise<void> {
  if (below.length === 0) {
    await putFile(folder, name, entry, signal);
    return;
  }
  await makeUnlessThere(folder, name);
  const inner = await folder.enter(name);
  try {
    await put(inner, below, entry, signal);
  } finally {
    await inner.close();
  }
}

async function putFile(folder: Directory, name: string, entry: TarEntry, signal: AbortSignal): Promise<void> {
  const file = await folder.create(name, { ownerOnly: true }).catch((error: unknown) => {
    if (isShoalError(error, 'exists')) throw malformed(BACKUP, `"${entry.name}" is in it twice`, { cause: error });
    throw error;
  });
  try {
    let position = 0;
    for await (const piece of entry.content) {
      signal.throwIfAborted();
      await file.write(piece, position);
      position += piece.length;
    }
  } finally {
    await file.close();
  }
}

/** That its parts belong together, and this program can use them; pauses its transfers. @param home its folder */
async function checkDraft(home: string, deps: BackupDeps): Promise<Restored> {
  const secret = await loadSecret(home, deps.random);
  const path = join(home, CATALOG);
  const problem = catalogProblem(path);
  if (problem !== undefined)
    throw malformed(BACKUP, `its catalog ${problem}; restore one that was made by "shoal backup"`);
  const catalog = await openCatalog(path, { secret, ...deps });
  try {
    // Files have changed since, and who made the backup is not known for sure: nothing is fetched or overwritten by it.
    catalog.transfers.pauseAll();
    const waiting = catalog.transfers.list().filter(({ state }) => state !== 'done').length;
    const look = { blocks: join(home, BLOCKS), nowSeconds: deps.clock.now() / 1000 };
    const records = catalog.list();
    const standings = await statesOf(records, () => false, look);
    return { shares: records.length, missing: standings.filter(({ state }) => state === 'missing').length, waiting };
  } finally {
    catalog.close();
  }
}
