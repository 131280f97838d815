/** What a fetch would do now, without writing anything: the same steps as in fetch.ts, up to the first one that writes. */
import { Download, type OpeningDeps } from './download.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { refuseToDelete, type FetchEvent, type FetchRequest } from './fetch.ts';
import type { Manifest } from './format/manifest.ts';
import { formatBytes } from './format/sizes.ts';
import { LOOK_AROUND_MS } from './limits.ts';
import { keyOf, openShare } from './open.ts';
import type { ChunkStore, PlannedPlace } from './ports.ts';
import { missingFrom, wantedOf, type Wanted } from './wanted.ts';

export interface PlanRequest extends Omit<FetchRequest, 'destination'> {
  readonly place: PlannedPlace;
  /** For the blocks that are needed to read the names. */
  readonly store: ChunkStore;
}

export interface Plan {
  readonly manifest: Manifest;
  /** Of the entries that are wanted. */
  readonly sizeBytes: number;
  readonly files: number;
  /** Where it would be put, or is. */
  readonly path: string;
  /** What stands there; `some` is a folder that has some of it, `part` what an earlier run has left beside it. */
  readonly standing: 'nothing' | 'complete' | 'some' | 'other' | 'part';
  /** What the earlier run says it has; a fetch checks that before it goes on. */
  readonly partBytes: number;
  /** What there is still to be written. */
  readonly neededBytes: number;
  readonly roomBytes: number | undefined;
  /** Who could give of it at the moment, this home included. */
  readonly peers: number;
  /** What a fetch would fail with. */
  readonly failure: ShoalError | undefined;
}

/** @throws ShoalError as `fetch` does before it knows the names; what comes later is in the plan */
export async function plan(
  deps: OpeningDeps,
  request: PlanRequest,
  onEvent: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<Plan> {
  const { link, place, store, timeoutMs, only, force } = request;
  const key = keyOf(link);
  const download = new Download(deps, { id: link.id, hints: link.hints, signal, onEvent, timeoutMs });
  try {
    const share = await openShare(download, store, deps.crypto, link.id, key);
    const { manifest, listing } = share;
    const wanted = wantedOf(share, only);
    const planned: Omit<Plan, 'peers'> = {
      manifest,
      ...wanted.summary,
      path: place.pathOf(manifest),
      standing: 'nothing',
      partBytes: 0,
      neededBytes: wanted.summary.sizeBytes,
      roomBytes: undefined,
      failure: undefined,
    };
    // Those who turn up a moment later would take part in a fetch, too.
    await deps.clock.sleep(LOOK_AROUND_MS, signal);
    const { peers } = download;
    const standing = await place.standing(manifest, wanted.selected ?? ((): boolean => true));
    if (standing !== undefined && force) {
      const failure = await failureOf(() => refuseToDelete(place, manifest, only));
      if (failure !== undefined) return { ...planned, standing: 'other', peers, failure };
    }
    const toAddTo = force ? undefined : standing;
    const path = toAddTo?.root ?? planned.path;
    let missing: Wanted | undefined = wanted;
    if (toAddTo !== undefined) {
      try {
        missing = await missingFrom(deps.crypto, download, share, wanted, toAddTo, signal);
      } catch (error) {
        if (!isShoalError(error, 'exists')) throw error;
        return { ...planned, path, standing: 'other', peers, failure: error };
      }
      if (missing === undefined) return { ...planned, path, standing: 'complete', neededBytes: 0, peers };
    }
    const { sizeBytes } = missing.summary;
    let partBytes = 0;
    let roomBytes: number | undefined;
    const failure = await failureOf(async () => {
      roomBytes = await place.roomBytes();
      const streamSize = listing.size('data');
      partBytes = bytesIn(await place.claimed(listing.count('data')), missing, streamSize);
      const neededBytes = sizeBytes - partBytes;
      if (roomBytes < neededBytes)
        throw new ShoalError(
          'disk-full',
          `cannot fetch to "${path}": ${sizes(neededBytes, roomBytes)}; free some, or choose another place with --output`,
        );
    });
    const beside = partBytes > 0 ? 'part' : 'nothing';
    const kind = toAddTo !== undefined ? 'some' : standing !== undefined ? 'other' : beside;
    const neededBytes = sizeBytes - partBytes;
    return { ...planned, path, standing: kind, partBytes, neededBytes, roomBytes, peers, failure };
  } finally {
    await download.close(false);
  }
}

function sizes(neededBytes: number, roomBytes: number): string {
  const [needed, room] = [formatBytes(neededBytes), formatBytes(roomBytes)];
  // Rounded, they may look the same.
  return needed === room
    ? `${neededBytes} bytes are still to be written, and there is room for ${roomBytes}`
    : `${needed} are still to be written, and there is room for ${room}`;
}

/** What `work` fails with; undefined when it does not. Being stopped is none of it. */
async function failureOf(work: () => Promise<void>): Promise<ShoalError | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (!isShoalError(error) || isShoalError(error, 'interrupted')) throw error;
    return error;
  }
}

/** Bytes of wanted files in pieces. */
function bytesIn(pieces: Iterable<number>, { layout, pieces: wanted, selected }: Wanted, streamSize: number): number {
  let bytes = 0;
  for (const index of pieces) {
    if (!wanted.has(index)) continue;
    for (const { entry, length } of layout.piece(index, streamSize).runs) {
      if (selected?.(entry) !== false) bytes += length;
    }
  }
  return bytes;
}
