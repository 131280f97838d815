/** A backup of a home: all that can not be made again, in one sealed file (docs/decisions/0022). */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import type { Catalog, ShareRecord } from './catalog.ts';
import { fileError, isShoalError, ShoalError } from './errors.ts';
import { verifier } from './crypto/verify.ts';
import { writeBeside } from './files/beside.ts';
import { openDirectory } from './files/directory.ts';
import { showName } from './files/names.ts';
import { claimPart, partName, removePart, tagOf } from './files/part.ts';
import { isSpooled, spoolFolder } from './files/spool.ts';
import type { AgeRecipients } from './format/age.ts';
import { sealBackup } from './format/backup-seal.ts';
import {
  ABOUT,
  aboutText,
  BLOCKS,
  CATALOG,
  CONFIG,
  IDENTITIES,
  isIdentityFile,
  placeIn,
  SECRET,
} from './format/backup.ts';
import { decodeShareBlock } from './format/share-block.ts';
import { TAR_END, tarHeader, tarPadding } from './format/tar.ts';
import { openingBlocks } from './kept.ts';
import { BACKUP_READ_BYTES } from './limits.ts';
import type { ChunkStore, Clock, Directory, RandomBytes } from './ports.ts';
import { isHome } from './records.ts';
import { nameOf } from './store/block-name.ts';
import { copyCatalog, openCatalog } from './store/catalog.ts';
import { diskStore } from './store/disk.ts';
import { loadSecret } from './store/secret.ts';
import { VERSION } from './version.ts';

export interface BackupDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/** What a backup has, and what it leaves to others. */
export interface BackedUp {
  readonly shares: number;
  /** Of the file. */
  readonly bytes: number;
  /** Shares of which this home keeps the only data, which is not in the backup: encrypted copies, what came from stdin. */
  readonly notInIt: { readonly shares: number; readonly bytes: number };
  /** Shares that could not be served from the restored home, as blocks that tell of them are damaged or gone. */
  readonly damaged: number;
}

/** Takes the bytes of a backup one after the other. */
type Put = (bytes: Uint8Array) => Promise<void>;

/**
 * Writes a backup to a file that only its user can read.
 * @param path absolute
 * @throws ShoalError `usage` where there is no home, or the file would be in it; `exists` unless `replace`; as `backUp`
 */
export async function backUpTo(
  path: string,
  replace: boolean,
  home: string,
  to: AgeRecipients,
  deps: BackupDeps,
  signal: AbortSignal,
): Promise<BackedUp> {
  await mustBeHome(home);
  await mustBeOutside(path, home);
  let done: BackedUp | undefined;
  const write = async (file: Parameters<Parameters<typeof writeBeside>[2]>[0]): Promise<void> => {
    let position = 0;
    done = await backUp(home, to, deps, signal, async bytes => {
      await file.write(bytes, position);
      position += bytes.length;
    });
  };
  await writeBeside(path, replace, write, { ownerOnly: true });
  if (done === undefined) throw new TypeError('a file was written, and nothing into it');
  return done;
}

/**
 * Makes a backup, whoever holds the home: of the catalog it has what that was at one moment.
 * @throws ShoalError `usage` where there is no home, or a recipient is none; `home`, `newer-home` as when it is opened;
 *   `in-use` while another backup is made; by `fileError`; the signal's reason; what `put` throws
 */
export async function backUp(
  home: string,
  to: AgeRecipients,
  deps: BackupDeps,
  signal: AbortSignal,
  put: Put,
): Promise<BackedUp> {
  await mustBeHome(home);
  const folder = await openDirectory(home);
  const tag = tagOf('shoal/backup');
  const inUse = (): ShoalError =>
    new ShoalError('in-use', `cannot back up the home "${showName(home)}": another backup of it is made; wait for it`);
  try {
    const { part, held } = await claimPart(folder, home, tag, inUse);
    try {
      const secret = await loadSecret(home, deps.random);
      await part.remove(CATALOG);
      await (await part.create(CATALOG, { ownerOnly: true })).close();
      const copy = join(home, partName(tag), CATALOG);
      copyCatalog(join(home, CATALOG), copy);
      const catalog = await openCatalog(copy, { secret, ...deps });
      const records = readAndClose(catalog);
      return await seal({ home, folder, part, records }, to, deps, signal, put);
    } finally {
      await part.close();
      await removePart(folder, tag).finally(() => held.release());
    }
  } finally {
    await folder.close();
  }
}

/** Closed, it is one file without a log. */
function readAndClose(catalog: Catalog): ShareRecord[] {
  try {
    return catalog.list();
  } finally {
    catalog.close();
  }
}

/** What a backup is made of. */
interface Parts {
  readonly home: string;
  readonly folder: Directory;
  /** Has the copy of the catalog. */
  readonly part: Directory;
  /** What that says of the shares. */
  readonly records: readonly ShareRecord[];
}

async function seal(
  parts: Parts,
  to: AgeRecipients,
  deps: BackupDeps,
  signal: AbortSignal,
  put: Put,
): Promise<BackedUp> {
  const seconds = Math.floor(deps.clock.now() / 1000);
  const tally = { damaged: 0 };
  let bytes = 0;
  for await (const sealed of await sealBackup(contentOf(parts, deps, seconds, tally), to)) {
    signal.throwIfAborted();
    await put(sealed);
    bytes += sealed.length;
  }
  const spool = await spoolFolder(parts.home);
  const only = parts.records.filter(record => isOnlyHere(record, spool));
  const notInIt = { shares: only.length, bytes: only.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
  return { shares: parts.records.length, bytes, notInIt, damaged: tally.damaged };
}

function isOnlyHere({ state, source, root }: ShareRecord, spool: string): boolean {
  if (state !== 'ready') return false;
  return source === 'copy' || source === 'imported' || (typeof root === 'string' && isSpooled(spool, root));
}

/** The tar file, in the order in which a restore wants it. */
async function* contentOf(
  { folder, part, records }: Parts,
  deps: BackupDeps,
  seconds: number,
  tally: { damaged: number },
): AsyncGenerator<Uint8Array> {
  yield* small(ABOUT, new TextEncoder().encode(aboutText(`shoal ${VERSION}`)), seconds);
  for (const name of [SECRET, CONFIG]) {
    if ((await folder.stat(name)) !== undefined) yield* fileIn(folder, name, name, seconds);
  }
  yield* identitiesIn(folder, seconds);
  yield* fileIn(part, CATALOG, CATALOG, seconds);
  yield* blocksOf(folder, records, deps, seconds, tally);
  yield TAR_END;
}

async function* identitiesIn(folder: Directory, seconds: number): AsyncGenerator<Uint8Array> {
  if ((await folder.stat(IDENTITIES))?.kind !== 'directory') return;
  const identities = await folder.enter(IDENTITIES);
  try {
    const names = (await identities.list()).map(({ name }) => name).filter(isIdentityFile);
    for (const name of names.sort()) yield* fileIn(identities, name, `${IDENTITIES}/${name}`, seconds);
  } finally {
    await identities.close();
  }
}

/** The blocks by which shares are opened whose data is made again from files of the user. */
async function* blocksOf(
  folder: Directory,
  records: readonly ShareRecord[],
  { random }: BackupDeps,
  seconds: number,
  tally: { damaged: number },
): AsyncGenerator<Uint8Array> {
  if ((await folder.stat(BLOCKS))?.kind !== 'directory') return;
  const blocks = await folder.enter(BLOCKS);
  const store = diskStore({ folder: blocks, crypto: verifier(), random });
  try {
    for (const { id, state, source } of records) {
      if (source === 'copy' || source === 'imported' || state === 'withdrawn' || state === 'expired') continue;
      try {
        yield* openingBlocksOf(store, id, seconds);
      } catch (error) {
        // It may have been forgotten since the catalog was copied.
        if (!isShoalError(error, 'unavailable') && !isShoalError(error, 'malformed')) throw error;
        tally.damaged++;
      }
    }
  } finally {
    await store.close();
    await blocks.close();
  }
}

async function* openingBlocksOf(store: ChunkStore, id: ShareRecord['id'], seconds: number): AsyncGenerator<Uint8Array> {
  const first = { kind: 'share' } as const;
  const bytes = await store.read(id, first);
  const { manifest, data } = decodeShareBlock(bytes);
  yield* small(`${BLOCKS}/${id}/${nameOf(first)}`, bytes, seconds);
  for (const at of openingBlocks(manifest.size, data.size))
    yield* small(`${BLOCKS}/${id}/${nameOf(at)}`, await store.read(id, at), seconds);
}

function* small(name: string, content: Uint8Array, seconds: number): Generator<Uint8Array> {
  yield tarHeader(name, content.length, seconds);
  yield content;
  yield tarPadding(content.length);
}

/** A file as it is, whatever its size. @param as its name in the backup */
async function* fileIn(folder: Directory, name: string, as: string, seconds: number): AsyncGenerator<Uint8Array> {
  const file = await folder.open(name, 'read');
  try {
    const { sizeBytes } = await file.stat();
    // What could not be restored is not backed up.
    placeIn(as, sizeBytes);
    yield tarHeader(as, sizeBytes, seconds);
    for (let position = 0; position < sizeBytes;) {
      const piece = new Uint8Array(Math.min(BACKUP_READ_BYTES, sizeBytes - position));
      const length = await file.read(piece, position);
      if (length === 0)
        throw new ShoalError('changed', `cannot back up "${showName(as)}": it was cut short just now; try again`);
      yield piece.subarray(0, length);
      position += length;
    }
    yield tarPadding(sizeBytes);
  } finally {
    await file.close();
  }
}

async function mustBeHome(home: string): Promise<void> {
  if (await isHome(home)) return;
  throw new ShoalError(
    'usage',
    `cannot back up "${showName(home)}": there is no home in it; SHOAL_HOME says where yours is`,
  );
}

/** With the home its backup would be lost, and a name in it may be that of something that the home needs. */
async function mustBeOutside(path: string, home: string): Promise<void> {
  const shown = showName(path);
  const inside = await realpath(home);
  const place = await realpath(dirname(path)).catch((error: unknown) => {
    throw fileError(error, `write "${shown}"`);
  });
  if (`${join(place, basename(path))}${sep}`.startsWith(`${inside}${sep}`))
    throw new ShoalError(
      'usage',
      `cannot write the backup to "${shown}": that is the home itself, or in it, and would be lost with it; choose another place`,
    );
}
