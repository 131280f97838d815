/** Part folders, beside what is being made, which one process at a time can use. What one that was killed has left goes to the next. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isShoalError, type ShoalError } from '../errors.ts';
import { PART_PATIENCE_MS } from '../limits.ts';
import type { Directory } from '../ports.ts';
import { lock, type Lock } from './lock.ts';

const PART_RETRY_MS = 100;

export async function makeUnlessThere(parent: Directory, name: string): Promise<void> {
  await parent.make(name).catch((error: unknown) => {
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
  name: string,
  inUse: () => ShoalError,
): Promise<{ part: Directory; held: Lock }> {
  const until = performance.now() + PART_PATIENCE_MS;
  do {
    const claimed = await tryToClaim(parent, path, name);
    if (claimed !== undefined) return claimed;
    await sleep(PART_RETRY_MS);
  } while (performance.now() < until);
  throw inUse();
}

/** undefined while another holds the lock, and when who held it has removed the folder in the meantime. */
export async function tryToClaim(
  parent: Directory,
  path: string,
  name: string,
): Promise<{ part: Directory; held: Lock } | undefined> {
  await makeUnlessThere(parent, name);
  const seen = await parent.stat(name);
  const isInPlace = async (): Promise<boolean> => (await parent.stat(name))?.identity === seen?.identity;
  let part: Directory | undefined;
  let held: Lock | undefined;
  try {
    part = await parent.enter(name);
    held = await lock(join(path, name, 'lock'));
    if (held !== undefined && (await isInPlace())) return { part, held };
  } catch (error) {
    if (await isInPlace()) {
      await part?.close();
      throw error;
    }
  }
  held?.release();
  await part?.close();
  return undefined;
}
