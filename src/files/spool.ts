/**
 * What came from stdin to be shared, kept in the home: one folder per run, for its user only.
 *
 * The process that writes a run has it locked until a share is made of it. From the moment on that this begins, the run has a
 * mark with the id of the share, and goes with its blocks. A run that has no mark, and that no process has locked, is what a
 * crash left. What is marked with an id that a catalog knows nothing of stays: it may be of another catalog.
 */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileError, isShoalError, ShoalError } from '../errors.ts';
import { parseId, type BlockId } from '../format/ids.ts';
import { openDirectory } from './directory.ts';
import { lock, type Lock } from './lock.ts';
import { showName } from './names.ts';

const CONTENT = 'content';
const LOCK = 'lock';
const MARK = 'share';
const RUN_BYTES = 8;
const RUN = /^[0-9a-f]{16}$/;
/** In front of the name of a run that is being removed. */
const REMOVED = 'removed-';

/** What came, while no share is made of it. */
export interface Spooled {
  /** Absolute, without links. */
  readonly path: string;
  /** Leaves it to the share that is made of it; where there is none, removes it. */
  close(): Promise<void>;
}

/**
 * Takes in all that `input` gives, durably.
 * @param home its folder, which must exist
 * @param onBytes told how many bytes have come so far
 * @throws ShoalError `not-shareable` when nothing comes, `disk-full`, `denied`, `io`; the signal's reason. Nothing is kept then.
 */
export async function spool(
  home: string,
  input: Readable,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Spooled> {
  const run = await newRun(await spoolFolder(home));
  let closing: Promise<void> | undefined;
  const spooled = { path: join(run.path, CONTENT), close: () => (closing ??= closeRun(run)) };
  try {
    await takeIn(spooled.path, input, onBytes, signal);
    for (const folder of [run.path, dirname(run.path), home]) await syncFolder(folder);
    return spooled;
  } catch (error) {
    // Nobody else knows of it.
    await removeRun(run.path).finally(() => run.held.release());
    throw error;
  }
}

/** The folder of all runs of a home, without links; it need not exist. */
export async function spoolFolder(home: string): Promise<string> {
  return join(await realpath(home), 'spool');
}

/** Whether `path` is what a run has taken in. @param folder of all runs */
export function isSpooled(folder: string, path: string): boolean {
  const run = dirname(path);
  return dirname(run) === folder && RUN.test(basename(run)) && basename(path) === CONTENT;
}

/** Gives a run to the share that is being made of it. @throws ShoalError `io` when it has gone, or belongs to another */
export async function giveToShare(path: string, id: BlockId): Promise<void> {
  if (!(await mark(dirname(path), id)))
    throw new ShoalError(
      'io',
      `cannot share "${showName(path)}": who took it in has given it up, or it is shared already`,
    );
}

/** Removes what was taken in for a share, unless the process that did so still has it: that one removes it then. */
export async function dropSpooled(folder: string, id: BlockId): Promise<void> {
  for (const run of await runsIn(folder)) {
    if ((await ownerOf(run)) !== id) continue;
    await rm(join(run, MARK), { force: true });
    await removeUnused(run);
  }
}

/** Removes what crashes have left. */
export async function sweepSpool(folder: string): Promise<void> {
  for (const name of await namesIn(folder))
    if (name.startsWith(REMOVED)) await rm(join(folder, name), { recursive: true, force: true });
  for (const run of await runsIn(folder)) await removeUnused(run);
}

interface Run {
  readonly path: string;
  readonly held: Lock;
}

/** A run's folder, locked. One that is swept away before it could be locked was not ours yet. */
async function newRun(folder: string): Promise<Run> {
  try {
    for (;;) {
      const path = join(folder, randomBytes(RUN_BYTES).toString('hex'));
      await mkdir(path, { recursive: true, mode: 0o700 });
      const held = await lock(join(path, LOCK)).catch(async (error: unknown) => {
        if (await isThere(path)) throw error;
        return undefined;
      });
      if (held !== undefined && (await isThere(join(path, LOCK)))) return { path, held };
      held?.release();
    }
  } catch (error) {
    throw fileError(error, `make a folder in "${showName(folder)}"`);
  }
}

async function takeIn(
  path: string,
  input: Readable,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const trying = `keep what comes from stdin in "${showName(path)}"`;
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    throw fileError(error, trying);
  });
  // A read of a terminal or pipe can't be cancelled; the stream can be ended, and nobody else reads it.
  const stop = (): unknown => input.destroy();
  signal.addEventListener('abort', stop, { once: true });
  let bytes = 0;
  try {
    signal.throwIfAborted();
    for await (const chunk of input as AsyncIterable<Uint8Array | string>) {
      signal.throwIfAborted();
      const part = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      await file.appendFile(part).catch((error: unknown) => {
        throw fileError(error, trying);
      });
      onBytes((bytes += part.length));
    }
    signal.throwIfAborted();
    if (bytes === 0)
      throw new ShoalError(
        'not-shareable',
        'cannot share stdin: nothing came; see what the program in front of it says',
      );
    await file.sync();
  } catch (error) {
    signal.throwIfAborted();
    throw fileError(error, 'read stdin to its end');
  } finally {
    signal.removeEventListener('abort', stop);
    await file.close();
  }
}

/** Whoever marks a run first has it: the share that is made of it, or who gives it up. */
async function closeRun({ path, held }: Run): Promise<void> {
  try {
    const isOurs = await mark(path, '').catch(async (error: unknown) => {
      // A share could not have marked it either.
      if (isShoalError(error, 'disk-full')) return (await ownerOf(path)) === undefined;
      throw error;
    });
    if (isOurs) await removeRun(path);
  } finally {
    held.release();
  }
}

async function removeUnused(run: string): Promise<void> {
  if ((await ownerOf(run)) !== undefined) return;
  const held = await lock(join(run, LOCK));
  if (held === undefined) return;
  try {
    // It may have been given to a share before it was let go of.
    if ((await ownerOf(run)) === undefined) await removeRun(run);
  } finally {
    held.release();
  }
}

/** It gets another name first: who waits for its lock finds it whole or not at all. */
async function removeRun(run: string): Promise<void> {
  const removed = join(dirname(run), REMOVED + basename(run));
  try {
    await rename(run, removed);
    await rm(removed, { recursive: true, force: true });
  } catch (error) {
    throw fileError(error, `remove "${showName(run)}"`);
  }
}

/** Writes a mark, whole or not at all; false where the run has one, or is not there. */
async function mark(run: string, text: string): Promise<boolean> {
  if (!(await isThere(run))) return false;
  const folder = await openDirectory(run);
  const name = `${MARK}-${randomBytes(RUN_BYTES).toString('hex')}`;
  try {
    const file = await folder.create(name);
    try {
      await file.write(Buffer.from(text), 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await folder.move(name, folder, MARK);
    await folder.sync();
    return true;
  } catch (error) {
    if (!isShoalError(error, 'exists')) throw error;
    await folder.remove(name);
    return false;
  } finally {
    await folder.close();
  }
}

/** The share that a run belongs to; undefined where there is none. */
async function ownerOf(run: string): Promise<BlockId | undefined> {
  try {
    return parseId(await readFile(join(run, MARK), 'utf8'));
  } catch (error) {
    const isNone = isShoalError(error) || (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isNone) return undefined;
    throw fileError(error, `look into "${showName(run)}"`);
  }
}

async function runsIn(folder: string): Promise<string[]> {
  return (await namesIn(folder)).filter(name => RUN.test(name)).map(name => join(folder, name));
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileError(error, `look into "${showName(folder)}"`);
  });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await openDirectory(path);
  await folder.sync().finally(() => folder.close());
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
