/** Link in, verified plaintext out. */
import { rightPieces, type OpenedShare } from './check.ts';
import { Download, type Accept, type DownloadDeps, type DownloadEvent, type SourceSummary } from './download.ts';
import { ShoalError } from './errors.ts';
import { streamKey } from './format/keys.ts';
import { Layout, placesOf } from './format/layout.ts';
import type { Link } from './format/link.ts';
import type { Manifest } from './format/manifest.ts';
import { giveMemory } from './memory.ts';
import { isZero, pieceLength } from './format/pieces.ts';
import { NAMES_SHOWN } from './limits.ts';
import { blamingTheMaker, keyOf, openShare, wrongLength } from './open.ts';
import type { Destination, PieceToSeal, Sink } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';

export interface FetchRequest {
  readonly link: Link;
  readonly destination: Destination;
  /** Which entries of a folder are wanted, by their paths; all when absent. */
  readonly only?: (path: string) => boolean;
  /** Replace what stands at the final place. */
  readonly force: boolean;
  /** Give up when nothing has moved for so long. */
  readonly timeoutMs?: number;
}

export type FetchEvent =
  | DownloadEvent
  | {
      readonly event: 'opened';
      readonly kind: 'file' | 'folder';
      readonly name: string;
      readonly sizeBytes: number;
      readonly files: number;
      readonly note?: string;
    }
  | { readonly event: 'preparing'; readonly step: Preparing }
  | { readonly event: 'resumed'; readonly bytes: number }
  | { readonly event: 'renamed'; readonly path: string; readonly as: string }
  | { readonly event: 'put-back'; readonly as: string }
  | { readonly event: 'progress'; readonly doneBytes: number; readonly totalBytes: number; readonly peers: number }
  | { readonly event: 'finishing' };

/**
 * What is done here before anything is asked for, and can take long: what stands at the place is compared, files and folders
 * are made, what an earlier run has left is verified; then it is ready.
 */
export type Preparing = 'compare' | 'make' | 'verify' | 'ready';

export interface Fetched {
  readonly manifest: Manifest;
  readonly path: string;
  /** Of the entries that were wanted. */
  readonly sizeBytes: number;
  readonly files: number;
  /** It stood there, complete and right. */
  readonly alreadyThere: boolean;
  /** Whether some entries got other names than they have in the share. */
  readonly renamed: boolean;
  readonly sources: readonly SourceSummary[];
}

/**
 * Gets a share, or goes on with one that was interrupted. Nothing unverified is written, and nothing incomplete ever stands
 * at the final place.
 * @throws ShoalError `key-missing`, `wrong-key`, `malformed`, `unsupported`, `corrupt`; `not-found`, `unavailable`, `refused`,
 *   `changed`; `exists`, `disk-full`, `denied`, `bad-name`, `io`, `in-use`; `interrupted`. What was fetched stays for the
 *   next run.
 */
export async function fetch(
  deps: DownloadDeps,
  request: FetchRequest,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<Fetched> {
  const { link, destination } = request;
  const key = keyOf(link);
  const download = new Download(deps, {
    id: link.id,
    hints: link.hints,
    signal,
    onEvent,
    timeoutMs: request.timeoutMs,
  });
  let isComplete = false;
  try {
    const share = await openShare(download, destination.store, deps.crypto, link.id, key);
    const wanted = wantedOf(share, request.only);
    onEvent(openedEvent(share.manifest, wanted));
    if (request.force) await refuseToDelete(destination, share.manifest, request.only);
    const standing = request.force ? undefined : await destination.standing(share.manifest);
    if (standing !== undefined) {
      onEvent({ event: 'preparing', step: 'compare' });
      await checkStanding(deps, share, wanted, standing, signal);
      await destination.discard();
      return {
        ...wanted.summary,
        manifest: share.manifest,
        path: standing.root,
        alreadyThere: true,
        renamed: false,
        sources: [],
      };
    }
    const { layout, selected } = wanted;
    const content = { manifest: share.manifest, layout, streamSize: share.listing.size('data'), selected };
    onEvent({ event: 'preparing', step: 'make' });
    const sink = await destination.open(content, signal);
    try {
      if (sink.putBack !== undefined) onEvent({ event: 'put-back', as: sink.putBack });
      for (const renamed of sink.renamed) onEvent({ event: 'renamed', ...renamed });
      await fill(deps, download, share, wanted, sink, destination.window, onEvent, signal);
      onEvent({ event: 'finishing' });
      await sink.finish({ replace: request.force });
    } finally {
      await sink.close();
    }
    isComplete = true;
    return {
      ...wanted.summary,
      manifest: share.manifest,
      path: destination.pathOf(share.manifest),
      alreadyThere: false,
      renamed: sink.renamed.length > 0,
      sources: download.summary(),
    };
  } finally {
    await download.close(isComplete);
  }
}

/** The part of a share that is to be fetched. */
export interface Wanted {
  readonly layout: Layout;
  /** Pieces of the data stream. */
  readonly pieces: IndexSet;
  readonly selected?: (entry: number) => boolean;
  readonly summary: { readonly sizeBytes: number; readonly files: number };
}

/** @throws ShoalError `usage` when nothing is */
export function wantedOf({ manifest, listing }: OpenedShare, only: FetchRequest['only']): Wanted {
  const { entries } = manifest;
  const layout = new Layout(entries.map(entry => entry.size));
  const count = listing.count('data');
  const chosen = only === undefined ? entries : entries.filter(entry => only(entry.path));
  if (only !== undefined && chosen.length === 0)
    throw new ShoalError('usage', 'cannot fetch: nothing in the share matches --only; see its names with "shoal ls"');
  const summary = {
    sizeBytes: chosen.reduce((sum, entry) => sum + entry.size, 0),
    files: chosen.filter(entry => entry.directory !== true).length,
  };
  if (only === undefined) return { layout, pieces: IndexSet.full(count), summary };
  const pieces = new IndexSet(count);
  entries.forEach((entry, n) => {
    if (!only(entry.path)) return;
    const { first, count: length } = layout.chunksOf(n);
    if (length > 0) pieces.addRanges([first, length]);
  });
  return { layout, pieces, summary, selected: n => only(entries[n]?.path ?? '') };
}

/** @throws ShoalError `exists` unless what stands there is exactly what would be fetched */
export async function checkStanding(
  deps: Pick<DownloadDeps, 'crypto'>,
  share: OpenedShare,
  wanted: Wanted,
  standing: { readonly root: string; readonly plausible: boolean },
  signal: AbortSignal,
): Promise<void> {
  const { manifest, listing } = share;
  const at = (index: number): Pick<PieceToSeal, 'content' | 'zeros'> => {
    const { places, zeros } = placesOf(standing.root, manifest, wanted.layout, index, listing.size('data'));
    return { content: places, zeros };
  };
  if (standing.plausible && wanted.selected === undefined) {
    const right = await rightPieces(deps.crypto, share, wanted.pieces, index => Promise.resolve(at(index)), signal);
    if (right.length === wanted.pieces.size) return;
  }
  throw new ShoalError(
    'exists',
    `cannot fetch to "${standing.root}": something else is there already; choose another place with --output, or replace it with --force`,
  );
}

/** What the user puts into a folder beside the entries of a share is not for us to delete. @throws ShoalError `exists` */
export async function refuseToDelete(
  destination: Pick<Destination, 'strangers' | 'pathOf'>,
  manifest: Manifest,
  only: FetchRequest['only'] = () => true,
): Promise<void> {
  const strangers = await destination.strangers(manifest, only);
  if (strangers.length === 0) return;
  const what =
    strangers.length === 1
      ? `"${strangers.join()}" in it is not fetched and would be deleted; move it away`
      : `files in it that are not fetched would be deleted (${listed(strangers)}); move them away`;
  throw new ShoalError(
    'exists',
    `cannot replace "${destination.pathOf(manifest)}": ${what}, or choose another place with --output`,
  );
}

/** The first of some names. */
function listed(names: readonly string[]): string {
  return `${names.slice(0, NAMES_SHOWN).join(', ')}${names.length > NAMES_SHOWN ? ' …' : ''}`;
}

/** Gets the pieces that are not there yet: verified, opened and written as they arrive. */
async function fill(
  deps: DownloadDeps,
  download: Download,
  share: OpenedShare,
  wanted: Wanted,
  sink: Sink,
  window: number | undefined,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { listing } = share;
  const dataKey = streamKey(share.key, 'data');
  const lengthOf = (index: number): number => pieceLength(listing.size('data'), index);
  if (sink.claimed().length > 0) onEvent({ event: 'preparing', step: 'verify' });
  const missing = await missingPieces(deps, share, wanted, sink, signal);
  onEvent({ event: 'preparing', step: 'ready' });
  const totalBytes = sumOf(wanted.pieces, lengthOf);
  let doneBytes = totalBytes - sumOf(missing, lengthOf);
  if (doneBytes > 0) onEvent({ event: 'resumed', bytes: doneBytes });
  const indices = { kind: 'chunk', stream: 'data', indices: missing, window } as const;
  const take: Accept = async (index, chunk, over) => {
    const plaintext = await deps.crypto.open(dataKey, index, chunk, await listing.digest('data', index), over);
    if (plaintext.length !== lengthOf(index)) throw wrongLength('data', index, plaintext.length, lengthOf(index));
    const { zeros } = wanted.layout.piece(index, listing.size('data'));
    if (!isZero(plaintext.subarray(plaintext.length - zeros)))
      throw new ShoalError('malformed', `cannot open piece ${index} of the data: its padding is not zero`);
    await sink.write(index, plaintext, over);
    await sink.record(index);
    giveMemory(plaintext);
    doneBytes += lengthOf(index);
    onEvent({ event: 'progress', doneBytes, totalBytes, peers: download.peers });
  };
  await blamingTheMaker(() => download.blocks(indices, take));
}

/** What an earlier run says it has written is sealed again and compared with its CID before it is believed. */
async function missingPieces(
  deps: DownloadDeps,
  share: OpenedShare,
  wanted: Wanted,
  sink: Sink,
  signal: AbortSignal,
): Promise<IndexSet> {
  const missing = new IndexSet(wanted.pieces.limit);
  for (const index of wanted.pieces) missing.add(index);
  const claimed = sink.claimed().filter(index => missing.has(index));
  const pieceAt = async (index: number): Promise<{ content: Uint8Array; zeros: number } | undefined> => {
    const piece = await sink.read(index);
    return piece === undefined ? undefined : { content: piece.content, zeros: 0 };
  };
  for (const index of await rightPieces(deps.crypto, share, claimed, pieceAt, signal)) missing.delete(index);
  return missing;
}

function sumOf(indices: Iterable<number>, lengthOf: (index: number) => number): number {
  let sum = 0;
  for (const index of indices) sum += lengthOf(index);
  return sum;
}

function openedEvent(manifest: Manifest, wanted: Wanted): FetchEvent {
  const { kind, name, note } = manifest;
  return { event: 'opened', kind, name, ...wanted.summary, ...(note === undefined ? {} : { note }) };
}
