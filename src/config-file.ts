/**
 * The file that holds a program's configuration: read with care, and replaced as a whole. Who changes it holds a lock beside
 * it, so that no change of another is lost; a link that stands in its place stays, and what it leads to is replaced.
 */
import { constants } from 'node:fs';
import { open, readFile, realpath, lstat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError, ShoalError } from './errors.ts';
import { openDirectory } from './files/directory.ts';
import { makeFolders } from './files/folders.ts';
import { showName } from './files/names.ts';
import { claimPart, partName, removePart, tagOf } from './files/part.ts';
import { MAX_CONFIG_BYTES } from './limits.ts';
import type { Directory } from './ports.ts';

/** The text in the file that is being made. */
const NEW = 'new.toml';
/** An edit: the text that is edited, and the one that it began with. */
const DRAFT = 'config.toml';
const BEGUN_WITH = 'begun-with';

/**
 * The text of the file at `path`, which may be reached through links; undefined where there is none.
 * @throws ShoalError `denied` where others may write to it, since who can may lead this node to peers of theirs, or open it to
 *   others; `usage` where it is no text or too long; `io`
 */
export async function readConfigFile(path: string): Promise<string | undefined> {
  return await readText(path, mode => {
    if (process.platform === 'win32' || (mode & 0o022) === 0) return;
    const remedy = `if they did not, run: chmod go-w '${showName(path)}'`;
    throw new ShoalError('denied', `cannot use ${named(path)}: others may write to it; ${remedy}`);
  });
}

/**
 * Replaces the file by what `change` makes of its text, durably or not at all; keeps its permissions. Where `change` returns
 * the same text or undefined, nothing is written. A new file is for its user only, as its folder is where that has to be made.
 * @param change is given undefined where there is no file; what it throws is thrown
 * @throws ShoalError `in-use` while another process changes it; as `readConfigFile`; `disk-full`
 */
export async function changeConfigFile(
  path: string,
  change: (text: string | undefined) => string | undefined,
): Promise<void> {
  const target = await targetOf(path);
  await inPart(target, 'change', async ({ part, path: partPath, parent }) => {
    const before = await readConfigFile(target);
    const after = change(before);
    if (after === undefined || after === before) return;
    await part.remove(NEW);
    const owner = before === undefined ? undefined : await lstat(target);
    await write(join(partPath, NEW), after, owner);
    await part.move(NEW, parent, basename(target), true);
    await parent.sync();
  });
}

export interface Edit {
  /** What to begin with where there is no file. */
  readonly template: string;
  /** Whether to drop what an earlier edit has left. */
  readonly anew: boolean;
  /** Lets someone edit the file at `path`. @param isLeft whether it holds what an earlier edit has left */
  readonly run: (path: string, isLeft: boolean) => Promise<void>;
  /** Throws where a text is wrong. @param path where the text is kept then */
  readonly check: (text: string, path: string) => void;
}

/**
 * Lets someone edit the text of the file, and puts it in its place when it is right. What is not right, or could not be put in
 * place, is kept for the next edit.
 * @returns whether the file was changed
 * @throws ShoalError `in-use` while another edit is open, or where the file was changed meanwhile; what `run` and `check` throw
 */
export async function editConfigFile(path: string, { template, anew, run, check }: Edit): Promise<boolean> {
  const target = await targetOf(path);
  return await inPart(target, 'edit', async ({ part, path: partPath, keep }) => {
    const [draft, begun] = [join(partPath, DRAFT), join(partPath, BEGUN_WITH)];
    const now = await readConfigFile(target);
    const isLeft = !anew && (await part.stat(DRAFT)) !== undefined && (await part.stat(BEGUN_WITH)) !== undefined;
    if (!isLeft) {
      await part.remove(DRAFT);
      await part.remove(BEGUN_WITH);
      await write(begun, now ?? template);
      await write(draft, now ?? template);
    }
    const before = await readFile(begun, 'utf8');
    // From here on there may be something that took work.
    keep(true);
    try {
      await run(draft, isLeft);
    } finally {
      if ((await readText(draft).catch(() => undefined)) === before) keep(false);
    }
    const edited = await readText(draft);
    if (edited === undefined || (edited === before && now !== undefined)) {
      keep(false);
      return false;
    }
    keep(true);
    check(edited, draft);
    let theirs: string | undefined;
    try {
      await changeConfigFile(target, text => {
        if ((text ?? template) === before) return edited;
        theirs = text ?? template;
        const next = `compare it with "${showName(draft)}", which has your text; the next edit goes on with that`;
        throw new ShoalError('in-use', `cannot change ${named(target)}: another has changed it meanwhile; ${next}`);
      });
    } catch (error) {
      if (theirs !== undefined) {
        await part.remove(BEGUN_WITH);
        await write(begun, theirs);
      }
      throw error;
    }
    keep(false);
    return true;
  });
}

interface Part {
  readonly parent: Directory;
  readonly part: Directory;
  /** Of the part folder. */
  readonly path: string;
  /** Whether the part folder stays when the work has ended. */
  readonly keep: (keep: boolean) => void;
}

/** Works in a part folder beside `target`, as the only one. */
async function inPart<T>(target: string, what: 'change' | 'edit', work: (part: Part) => Promise<T>): Promise<T> {
  const folder = dirname(target);
  await makeFolders(folder, 0o700).catch((error: unknown) => {
    throw fileError(error, `make the folder "${showName(folder)}"`);
  });
  const parent = await openDirectory(folder);
  try {
    const tag = tagOf(`shoal/config/${what}`, basename(target));
    const inUse = (): ShoalError =>
      new ShoalError('in-use', `cannot ${what} ${named(target)}: another process is at it; wait for it, or end it`);
    const { part, held } = await claimPart(parent, folder, tag, inUse);
    let isKept = false;
    try {
      return await work({ parent, part, path: join(folder, partName(tag)), keep: keep => (isKept = keep) });
    } finally {
      await part.close();
      await (isKept ? Promise.resolve() : removePart(parent, tag)).finally(() => held.release());
    }
  } finally {
    await parent.close();
  }
}

/** Where a link in place of the file leads to. */
async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(error, `look for ${named(path)}`);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isSymbolicLink() !== true) return path;
    throw new ShoalError(
      'denied',
      `cannot use ${named(path)}: it is a link to what is not there; remove it, or make that`,
    );
  }
}

/** A new file, durable but for its name; with the permissions of another, and where this process may, its owner. */
async function write(
  path: string,
  text: string,
  like?: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    if (like !== undefined) {
      const own = await file.stat();
      // To give a file to others is for root; who changes the group may have the set-bits taken away, so that comes first.
      if (own.uid !== like.uid || own.gid !== like.gid) await file.chown(like.uid, like.gid).catch(() => undefined);
      await file.chmod(like.mode & 0o777);
    }
    await file.sync();
  } catch (error) {
    throw fileError(error, `write "${showName(path)}"`);
  } finally {
    await file.close();
  }
}

/** @param checkMode throws where its permissions are not as they should be */
async function readText(
  path: string,
  checkMode: (mode: number) => void = () => undefined,
): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const found = await file.stat();
    if (!found.isFile())
      throw new ShoalError('usage', `cannot use ${named(path)}: it is not a file; replace or remove it`);
    checkMode(found.mode);
    const bytes = Buffer.alloc(MAX_CONFIG_BYTES + 1);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    if (bytesRead > MAX_CONFIG_BYTES)
      throw new ShoalError(
        'usage',
        `cannot use ${named(path)}: it is longer than ${MAX_CONFIG_BYTES} bytes; replace or remove it`,
      );
    return decoded(bytes.subarray(0, bytesRead), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(error, `read ${named(path)}`);
  } finally {
    await file?.close();
  }
}

function decoded(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new ShoalError('usage', `cannot use ${named(path)}: it is not text in UTF-8; replace or remove it`, {
      cause: error,
    });
  }
}

function named(path: string): string {
  return `the configuration file "${showName(path)}"`;
}
