/** A link in, a share's ciphertext kept in the home: what is carried is the same kind of thing as what is imported. */
import { Download, type DownloadDeps, type SourceSummary } from './download.ts';
import { isShoalError } from './errors.ts';
import type { FetchEvent } from './fetch.ts';
import type { Hint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import type { FileKey } from './format/keys.ts';
import type { Listing } from './format/listing.ts';
import type { Manifest } from './format/manifest.ts';
import { pieceLength } from './format/pieces.ts';
import { beginKeeping, discard, type Shelf } from './kept.ts';
import { blamingTheMaker, getListing, readManifest } from './open.ts';
import type { ChunkStore, NewShareRecord } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';

/** What this home has already is in its store; as a source it is not asked. */
export interface SeedDeps extends DownloadDeps, Shelf {}

export interface SeedRequest {
  readonly id: BlockId;
  /** Without it nothing is known of the share but its blocks. */
  readonly key: FileKey | undefined;
  readonly hints: readonly Hint[];
  /** Give up when nothing has moved for so long. */
  readonly timeoutMs?: number;
  /** The share is in the catalog by now: what there is of it can be served. */
  readonly onKnown: () => void;
}

/**
 * Gets all blocks of a share into the home, verified; nothing is opened but its names. What an earlier run got is checked
 * and not got again.
 * @returns who gave how much
 * @throws ShoalError as `fetch`, but for what writing the output can throw. Once the catalog has the share, what was got
 *   stays for the next run; before, nothing is kept.
 */
export async function seed(
  deps: SeedDeps,
  request: SeedRequest,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<readonly SourceSummary[]> {
  const { catalog, store, crypto } = deps;
  const { id, key, hints, timeoutMs } = request;
  const isDebris = await beginKeeping(deps, id);
  const download = new Download({ ...deps, local: undefined }, { id, hints, signal, onEvent, timeoutMs });
  let isComplete = false;
  try {
    const listing = await blamingTheMaker(() => getListing(download, store, crypto, id, key));
    const manifest = key === undefined ? undefined : await readManifest(store, crypto, id, key, listing);
    await store.sync(id);
    const record = recordOf(deps, request, listing, manifest);
    const { kind, name, sizeBytes, files } = record;
    const note = manifest?.note;
    onEvent({ event: 'opened', kind, name, sizeBytes, files, ...(note === undefined ? {} : { note }) });
    catalog.add(record, key === undefined ? {} : { key });
    request.onKnown();
    await getData(deps, download, id, listing, onEvent, signal);
    onEvent({ event: 'finishing' });
    await store.sync(id);
    isComplete = true;
    return download.summary();
  } finally {
    await download.close(isComplete);
    if (isDebris && catalog.get(id) === undefined) await discard(deps, id);
  }
}

function recordOf(
  { catalog, clock }: SeedDeps,
  { id, hints }: SeedRequest,
  listing: Listing,
  manifest: Manifest | undefined,
): NewShareRecord {
  const entries = manifest?.entries ?? [];
  return {
    id,
    kind: manifest?.kind ?? 'file',
    name: manifest?.name ?? '',
    sizeBytes: manifest === undefined ? listing.size('data') : entries.reduce((sum, { size }) => sum + size, 0),
    files: entries.filter(({ directory }) => directory !== true).length,
    source: 'imported',
    hints: hints.map(({ text }) => text),
    createdAt: catalog.get(id)?.createdAt ?? Math.floor(clock.now() / 1000),
    serveAlways: catalog.get(id)?.serveAlways ?? false,
  };
}

async function getData(
  { store, crypto }: SeedDeps,
  download: Download,
  id: BlockId,
  listing: Listing,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const lengthOf = (index: number): number => pieceLength(listing.size('data'), index);
  const totalBytes = listing.size('data');
  const missing = await missingChunks(store, id, listing, signal);
  let doneBytes = [...missing].reduce((left, index) => left - lengthOf(index), totalBytes);
  if (doneBytes > 0) onEvent({ event: 'resumed', bytes: doneBytes });
  await download.blocks({ kind: 'chunk', stream: 'data', indices: missing }, async (index, chunk) => {
    await crypto.verify(chunk, await listing.digest('data', index));
    await store.write(id, { kind: 'chunk', stream: 'data', index }, chunk);
    doneBytes += lengthOf(index);
    onEvent({ event: 'progress', doneBytes, totalBytes, peers: download.peers });
  });
}

/**
 * The data chunks that the store has not got. Of a share that is not complete each is read, as what a crash left may be
 * damaged; one that is complete is believed to be, and who asks for a damaged chunk does not get it.
 */
async function missingChunks(store: ChunkStore, id: BlockId, listing: Listing, signal: AbortSignal): Promise<IndexSet> {
  const have = await store.have(id);
  const count = listing.count('data');
  if (have === 'all') return new IndexSet(count);
  const missing = IndexSet.full(count);
  for (const index of new IndexSet(count, have?.data)) {
    try {
      await store.read(id, { kind: 'chunk', stream: 'data', index }, signal);
      missing.delete(index);
    } catch (error) {
      if (!isShoalError(error, 'unavailable')) throw error;
    }
  }
  return missing;
}
