/** Link in, names and sizes out: no data is fetched. */
import { Download, type OpeningDeps, type DownloadEvent } from './download.ts';
import type { Link } from './format/link.ts';
import type { Manifest } from './format/manifest.ts';
import { keyOf, openShare } from './open.ts';
import type { ChunkStore } from './ports.ts';

export interface ListRequest {
  readonly link: Link;
  readonly timeoutMs?: number;
  /** For the blocks that are needed to read the names. */
  readonly store: ChunkStore;
}

/** @throws ShoalError as `fetch` does, but for what writing files can throw */
export async function list(
  deps: OpeningDeps,
  request: ListRequest,
  onEvent: (event: DownloadEvent) => void,
  signal: AbortSignal,
): Promise<Manifest> {
  const { link, store, timeoutMs } = request;
  const key = keyOf(link);
  const download = new Download(deps, {
    id: link.id,
    hints: link.hints,
    signal,
    onEvent,
    timeoutMs,
  });
  try {
    const { manifest } = await openShare(download, store, deps.crypto, link.id, key);
    return manifest;
  } finally {
    await download.close(false);
  }
}
