/** Link in, verified plaintext out. */
import { rightPieces, type OpenedShare } from './check.ts';
import { blamingTheMaker, type CarryEvent } from './carry.ts';
import { Download, type Accept, type OpeningDeps, type DownloadEvent } from './download.ts';
import type { SourceSummary } from './source.ts';
import { ShoalError } from './errors.ts';
import { streamKey } from './format/keys.ts';
import type { Link } from './format/link.ts';
import type { Manifest } from './format/manifest.ts';
import { giveMemory } from './memory.ts';
import { pieceLength } from './format/pieces.ts';
import type { ShareBlock } from './format/share-block.ts';
import { NAMES_SHOWN } from './limits.ts';
import { keyOf, openPiece, openShare } from './open.ts';
import type { Destination, Sink } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';
import { missingFrom, wantedOf, type Wanted } from './wanted.ts';

export interface FetchRequest {
  readonly link: Link;
  readonly destination: Destination;
  /** Which entries of a folder are wanted, by their paths; all when absent. */
  readonly only?: (path: string) => boolean;
  /** Replace what stands at the final place. */
  readonly force: boolean;
  /** Give up when nothing has moved for so long. */
  readonly timeoutMs?: number;
  /** Looks at the share block before the output is begun; what it throws ends the fetch. */
  readonly check?: (block: ShareBlock) => void;
}

export type FetchEvent =
  | DownloadEvent
  | CarryEvent
  | {
      readonly event: 'opened';
      readonly kind: 'file' | 'folder';
      readonly name: string;
      readonly sizeBytes: number;
      readonly files: number;
      readonly note?: string;
    }
  | { readonly event: 'preparing'; readonly step: Preparing }
  | { readonly event: 'renamed'; readonly path: string; readonly as: string }
  | { readonly event: 'put-back'; readonly as: string }
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
  deps: OpeningDeps,
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
    request.check?.(share.listing.block);
    const wanted = wantedOf(share, request.only);
    onEvent(openedEvent(share.manifest, wanted));
    if (request.force) await refuseToDelete(destination, share.manifest, request.only);
    const isWanted = wanted.selected ?? ((): boolean => true);
    const standing = request.force ? undefined : await destination.standing(share.manifest, isWanted);
    let missing: Wanted | undefined = wanted;
    if (standing !== undefined) {
      onEvent({ event: 'preparing', step: 'compare' });
      missing = await missingFrom(deps.crypto, download, share, wanted, standing, signal);
      if (missing === undefined) {
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
    }
    const { layout, selected } = missing;
    const content = { manifest: share.manifest, layout, streamSize: share.listing.size('data'), selected };
    onEvent({ event: 'preparing', step: 'make' });
    const sink = await destination.open({ ...content, standing }, signal);
    try {
      if (sink.putBack !== undefined) onEvent({ event: 'put-back', as: sink.putBack });
      for (const renamed of sink.renamed) onEvent({ event: 'renamed', ...renamed });
      await fill(deps, download, share, missing, sink, destination.window, onEvent, signal);
      onEvent({ event: 'finishing' });
      await sink.finish({ replace: request.force });
    } finally {
      await sink.close();
    }
    isComplete = true;
    return {
      ...wanted.summary,
      manifest: share.manifest,
      path: standing?.root ?? destination.pathOf(share.manifest),
      alreadyThere: false,
      renamed: sink.renamed.length > 0,
      sources: download.summary(),
    };
  } finally {
    await download.close(isComplete);
  }
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
  deps: OpeningDeps,
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
    const plaintext = await openPiece(deps.crypto, share, dataKey, wanted.layout, index, chunk, over);
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
  deps: OpeningDeps,
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
