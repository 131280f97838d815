/** Holds local files against a share: are they what it names? */
import { isShoalError } from './errors.ts';
import { sameBytes } from './format/ids.ts';
import { streamKey, type FileKey } from './format/keys.ts';
import type { Place } from './format/layout.ts';
import type { Listing } from './format/listing.ts';
import type { Manifest } from './format/manifest.ts';
import { PIECES_PER_TASK, TASKS_AHEAD } from './limits.ts';
import { inParallel } from './parallel.ts';
import type { Crypto, PieceToSeal } from './ports.ts';

/** A share that was opened: what its key and blocks tell. */
export interface OpenedShare {
  readonly key: FileKey;
  readonly listing: Listing;
  readonly manifest: Manifest;
}

/**
 * Which of the given pieces, sealed again, are the chunks that the share lists. Reads nothing that is not asked for.
 * @param content gives a piece as it is at hand, or undefined where (part of) it is missing
 * @returns the indices that are right, in no order
 */
export async function rightPieces(
  crypto: Pick<Crypto, 'seal'>,
  share: OpenedShare,
  indices: Iterable<number>,
  content: (index: number) => Promise<Pick<PieceToSeal, 'content' | 'zeros'> | undefined>,
  signal: AbortSignal,
): Promise<number[]> {
  const right: number[] = [];
  const key = streamKey(share.key, 'data');
  await inParallel(batches(indices), TASKS_AHEAD, async batch => {
    signal.throwIfAborted();
    const pieces: PieceToSeal[] = [];
    for (const index of batch) {
      const piece = await content(index);
      if (piece !== undefined) pieces.push({ index, ...piece });
    }
    const sealed = await sealedOrNot(crypto, key, pieces, signal);
    for (const [n, { index }] of pieces.entries()) {
      const digest = sealed[n]?.digest;
      if (digest !== undefined && sameBytes(digest, await share.listing.digest('data', index))) right.push(index);
    }
  });
  return right;
}

/** A key that hides nothing: what is sealed with it is hashed, compared and dropped. */
const NO_KEY = new Uint8Array(32);

/** Whether a file has these bytes at this place. */
export async function holds(
  crypto: Pick<Crypto, 'seal'>,
  place: Place,
  expected: Uint8Array,
  signal: AbortSignal,
): Promise<boolean> {
  const pieces = [[place], expected].map(content => ({ index: 0, content, zeros: 0 }));
  try {
    const [found, wanted] = await crypto.seal(NO_KEY, pieces, false, signal);
    return found !== undefined && wanted !== undefined && sameBytes(found.digest, wanted.digest);
  } catch (error) {
    if (isShoalError(error, 'changed') || isShoalError(error, 'unavailable')) return false;
    throw error;
  }
}

/** A file that is missing, or shorter than it should be, is not an error here. One of several pieces hides what the others are. */
async function sealedOrNot(
  crypto: Pick<Crypto, 'seal'>,
  key: Uint8Array,
  pieces: PieceToSeal[],
  signal: AbortSignal,
): Promise<({ digest: Uint8Array } | undefined)[]> {
  try {
    return await crypto.seal(key, pieces, false, signal);
  } catch (error) {
    if (!isShoalError(error) || isShoalError(error, 'interrupted')) throw error;
    if (pieces.length === 1) return [undefined];
    const single = await Promise.all(pieces.map(piece => sealedOrNot(crypto, key, [piece], signal)));
    return single.flat();
  }
}

function* batches(indices: Iterable<number>): Generator<number[]> {
  let batch: number[] = [];
  for (const index of indices) {
    batch.push(index);
    if (batch.length < PIECES_PER_TASK) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
