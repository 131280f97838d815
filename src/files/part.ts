/** Part folders, beside what is being made, which one process at a time can use. What one that was killed has left goes to the next. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isShoalError, type ShoalError } from '../errors.ts';
import { PART_PATIENCE_MS } from '../limits.ts';
import type { Directory } from '../ports.ts';
import { lock, type Lock } from './lock.ts';

const PART_RETRY_MS = 100;
/** The name of the lock inside a part folder. */
const LOCK = 'lock';

/** A tag that follows from what is being made and where. What it follows from does not show in it. */
export function tagOf(...of: readonly string[]): string {
  return createHash('sha256').update(of.join('\0')).digest('hex').slice(0, 16);
}

/** The name of the part folder of a tag. */
export function partName(tag: string): string {
  assert(/^[A-Za-z0-9-]+$/.test(tag), 'a tag of letters, digits and hyphens');
  return `.shoal-${tag}.part`;
}

export async function makeUnlessThere(
  parent: Directory,
  name: string,
  options: { readonly shared?: boolean } = {},
): Promise<void> {
  await parent.make(name, options).catch((error: unknown) => {
    if (!isShoalError(error, 'exists')) throw error;
  });
}

/**
 * Enters the part folder, made where there is none, as the only one.
 * @param path of `parent`
 * @param inUse what is thrown when another process keeps it
 */
export async function claimPart(
  parent: Directory,
  path: string,
  tag: string,
  inUse: () => ShoalError,
): Promise<{ part: Directory; held: Lock }> {
  const until = performance.now() + PART_PATIENCE_MS;
  do {
    const claimed = await tryToClaim(parent, path, tag);
    if (claimed !== undefined) return claimed;
    await sleep(PART_RETRY_MS);
  } while (performance.now() < until);
  throw inUse();
}

/** Whether a process uses the part folder at `path`, in which nothing is made. */
export async function isPartInUse(part: Directory, path: string): Promise<boolean> {
  if ((await part.stat(LOCK)) === undefined) return false;
  const held = await lock(join(path, LOCK));
  held?.release();
  return held === undefined;
}

/** undefined while another holds the lock, and when who held it has removed the folder in the meantime. */
async function tryToClaim(
  parent: Directory,
  path: string,
  tag: string,
): Promise<{ part: Directory; held: Lock } | undefined> {
  const name = partName(tag);
  await makeUnlessThere(parent, name);
  const seen = await parent.stat(name);
  if (seen === undefined) return undefined;
  const isInPlace = async (): Promise<boolean> => (await parent.stat(name))?.identity === seen.identity;
  let part: Directory | undefined;
  let held: Lock | undefined;
  try {
    part = await parent.enter(name);
    held = await lock(join(path, name, LOCK));
    if (held !== undefined && (await isInPlace())) return { part, held };
  } catch (error) {
    // One that was made since may have got the number of the one that is gone.
    if (!isMissing(error) && (await isInPlace())) {
      await part?.close();
      throw error;
    }
  }
  held?.release();
  await part?.close();
  return undefined;
}

function isMissing(error: unknown): boolean {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/**
 * Removes the part folder of a tag, if there is one, and what a crash in the midst of this has left; nothing of others. The
 * folder gets another name first: who waits for its lock finds it whole or not at all.
 */
export async function removePart(parent: Directory, tag: string): Promise<void> {
  const [part, removed] = [partName(tag), partName(`${tag}-removed`)];
  if ((await parent.stat(removed))?.ours === true) await parent.remove(removed);
  if ((await parent.stat(part))?.ours !== true) return;
  await parent.move(part, parent, removed);
  await parent.remove(removed);
}

/** Removes the part folder of a tag like `removePart`, unless a process uses it. @param path of `parent` */
export async function removeUnusedPart(parent: Directory, path: string, tag: string): Promise<void> {
  if ((await parent.stat(partName(tag))) === undefined) {
    await removePart(parent, tag);
    return;
  }
  const claimed = await tryToClaim(parent, path, tag);
  if (claimed === undefined) return;
  await claimed.part.close();
  await removePart(parent, tag).finally(() => claimed.held.release());
}
