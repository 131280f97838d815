/** What a link without a key names: a share, or a grant, which is asked for in the same way and leads to its share (format.md §8). */
import { Download, type DownloadDeps, type DownloadEvent } from './download.ts';
import { decodeGrant } from './format/grant.ts';
import type { Hint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';

export interface ResolveRequest {
  readonly id: BlockId;
  readonly hints: readonly Hint[];
  /** Give up when nothing has moved for so long. */
  readonly timeoutMs?: number | undefined;
}

/** A share, and the grant that led to it, where one did. */
export interface Resolved {
  readonly share: BlockId;
  readonly grant?: ResolvedGrant;
}

/** A grant block that hashes to its id; who made it, and whether it opens, is not known. */
export interface ResolvedGrant {
  readonly id: BlockId;
  readonly block: Uint8Array;
  /** Unix seconds. */
  readonly expires?: number;
}

/**
 * Asks those who may have it for what an id names.
 * @throws ShoalError `malformed` or `unsupported` for a grant that the format does not allow; `not-found`, `unavailable`, `refused`,
 *   `interrupted`
 */
export async function resolve(
  deps: DownloadDeps,
  { id, hints, timeoutMs }: ResolveRequest,
  onEvent: (event: DownloadEvent) => void,
  signal: AbortSignal,
): Promise<Resolved> {
  const granted = Promise.withResolvers<Uint8Array>();
  const download = new Download(deps, { id, hints, timeoutMs, signal, onEvent, onGrant: granted.resolve });
  try {
    const block = await Promise.race([granted.promise, download.shareBlock().then(() => undefined)]);
    return block === undefined ? { share: id } : grantIn(id, block);
  } finally {
    await download.close(false);
  }
}

/** @param block that hashes to the id @throws ShoalError `malformed`, `unsupported` */
export function grantIn(id: BlockId, block: Uint8Array): Resolved {
  const { share, expires } = decodeGrant(block);
  return { share, grant: { id, block, ...(expires === undefined ? {} : { expires }) } };
}
