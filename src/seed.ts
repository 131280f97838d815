/** A link in, a share's ciphertext kept in the home: what is carried is the same kind of thing as what is imported. */
import { blamingTheMaker, getData, getListing } from './carry.ts';
import { Download, type OpeningDeps } from './download.ts';
import type { SourceSummary } from './source.ts';
import type { FetchEvent } from './fetch.ts';
import { refuseExpired } from './expired.ts';
import { checkCommitment } from './format/commitment.ts';
import type { Hint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import type { FileKey } from './format/keys.ts';
import type { Listing } from './format/listing.ts';
import type { Manifest } from './format/manifest.ts';
import { ciphertextBytes, type ShareBlock } from './format/share-block.ts';
import { beginKeeping, discard, type Shelf } from './kept.ts';
import { readManifest } from './open.ts';
import type { NewShareRecord } from './catalog.ts';
import type { QuotaStore } from './ports.ts';

/** What this home has already is in its store; as a source it is not asked. */
export interface SeedDeps extends OpeningDeps, Shelf {
  /** Keeps room for all of it. */
  readonly reserve: QuotaStore['reserve'];
}

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
 * @throws ShoalError `disk-full` before anything but the share block was asked for, where it does not fit; `refused` where it has
 *   expired; else as `fetch`, but for what writing the output can throw. Once the catalog has the share, what was got
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
  let release: (() => void) | undefined;
  const check = async (block: ShareBlock): Promise<void> => {
    if (key !== undefined) checkCommitment(key, block);
    refuseExpired('carry the share', block.expires, deps.clock);
    release = await deps.reserve(id, ciphertextBytes(block), signal);
  };
  try {
    const listing = await blamingTheMaker(() => getListing(download, store, crypto, id, check));
    const manifest = key === undefined ? undefined : await readManifest(store, crypto, id, key, listing);
    await store.sync(id);
    const record = recordOf(deps, request, listing, manifest);
    const { kind, name, sizeBytes, files } = record;
    const note = manifest?.note;
    onEvent({ event: 'opened', kind, name, sizeBytes, files, ...(note === undefined ? {} : { note }) });
    catalog.add(record, key === undefined ? {} : { key });
    request.onKnown();
    await blamingTheMaker(() => getData(deps, download, id, listing, onEvent, signal));
    onEvent({ event: 'finishing' });
    await store.sync(id);
    isComplete = true;
    return download.summary();
  } finally {
    await download.close(isComplete);
    release?.();
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
  const { expires } = listing.block;
  return {
    id,
    kind: manifest?.kind ?? 'file',
    name: manifest?.name ?? '',
    // Of what can't be read, all that is known is what is carried.
    sizeBytes:
      manifest === undefined ? ciphertextBytes(listing.block) : entries.reduce((sum, { size }) => sum + size, 0),
    files: entries.filter(({ directory }) => directory !== true).length,
    source: 'imported',
    hints: hints.map(({ text }) => text),
    createdAt: catalog.get(id)?.createdAt ?? Math.floor(clock.now() / 1000),
    serveAlways: catalog.get(id)?.serveAlways ?? false,
    ...(expires === undefined ? {} : { expires }),
  };
}
