/**
 * Makes room for what a command of this home wants to keep: what is only carried for others goes, where others have all of it
 * (docs/decisions/0023).
 */
import { isShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { LOOK_AGE_MS, LOOKS_BEFORE_DROP_AT_ONCE } from './limits.ts';
import { inParallel } from './parallel.ts';
import type { Catalog, ShareRecord } from './catalog.ts';
import type { Clock } from './ports.ts';

export interface RoomDeps {
  readonly catalog: Pick<Catalog, 'list' | 'get'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly bytesOf: (id: BlockId) => Promise<number>;
  /** Whether it is being got, or a command that runs asks for it to be served. */
  readonly isAskedFor: (id: BlockId) => boolean;
  /** Counts the complete copies elsewhere, and notes them; absent where there is no network to ask. */
  readonly look: ((id: BlockId, signal: AbortSignal) => Promise<number>) | undefined;
  /** Ends serving a share and removes all of it. @throws ShoalError `in-use` */
  readonly drop: (id: BlockId, signal: AbortSignal) => Promise<void>;
  readonly onDropped: (dropped: Dropped) => void;
}

/** A share that was forgotten so that another one has room. */
export interface Dropped {
  readonly id: BlockId;
  readonly bytes: number;
  /** Complete copies elsewhere when that was looked at last. */
  readonly copiesElsewhere: number;
}

/** Frees at least so many bytes, or nothing. @param wanted the share that needs them */
export async function makeRoom(
  deps: RoomDeps,
  neededBytes: number,
  wanted: BlockId,
  signal: AbortSignal,
): Promise<void> {
  const { catalog, clock, look, drop, onDropped } = deps;
  const busy = new Set<BlockId>([wanted]);
  const carried = (): ShareRecord[] =>
    catalog.list().filter(record => isOnlyCarried(record) && !busy.has(record.id) && !deps.isAskedFor(record.id));
  const isOld = ({ lookedAt = 0 }: ShareRecord): boolean => lookedAt * 1000 < clock.now() - LOOK_AGE_MS;
  const looked = new Set<BlockId>();
  const lookAt = async ({ id }: ShareRecord): Promise<void> => {
    await look?.(id, signal);
    looked.add(id);
  };
  // The only other copy may go by the same thought at the same time: that there is one was just seen, or it does not count.
  const isKnown = (record: ShareRecord): boolean =>
    looked.has(record.id) || ((record.copiesElsewhere ?? 0) > 1 && !isOld(record));
  if (look !== undefined) await inParallel(carried().filter(isOld), LOOKS_BEFORE_DROP_AT_ONCE, lookAt);
  for (let freedBytes = 0; freedBytes < neededBytes;) {
    const plan = await planDrops(
      deps,
      look === undefined ? carried().filter(isKnown) : carried(),
      neededBytes - freedBytes,
    );
    const doubtful = plan.find(record => !isKnown(record));
    if (plan.length === 0) return;
    if (doubtful !== undefined && look !== undefined) {
      await lookAt(doubtful);
      continue;
    }
    for (const { id, copiesElsewhere = 0 } of plan) {
      const bytes = await deps.bytesOf(id);
      try {
        await drop(id, signal);
      } catch (error) {
        if (!isShoalError(error, 'in-use')) throw error;
        busy.add(id);
        continue;
      }
      freedBytes += bytes;
      onDropped({ id, bytes, copiesElsewhere });
    }
  }
}

/** Whether nobody here can read it or has made it. */
export function isOnlyCarried({ source, hasKey }: Pick<ShareRecord, 'source' | 'hasKey'>): boolean {
  return source === 'imported' && !hasKey;
}

/** Those of which others have most copies first, and of these the ones that were asked for least; none without a known copy. */
function dropOrder(records: readonly ShareRecord[]): ShareRecord[] {
  return records
    .filter(({ copiesElsewhere = 0 }) => copiesElsewhere > 0)
    .sort(
      (a, b) =>
        (b.copiesElsewhere ?? 0) - (a.copiesElsewhere ?? 0) || a.bytesUp - b.bytesUp || a.createdAt - b.createdAt,
    );
}

/** The first of the order that have so many bytes together; none where all have fewer. */
async function planDrops(
  { bytesOf }: Pick<RoomDeps, 'bytesOf'>,
  records: readonly ShareRecord[],
  neededBytes: number,
): Promise<ShareRecord[]> {
  const plan: ShareRecord[] = [];
  let bytes = 0;
  for (const record of dropOrder(records)) {
    const own = await bytesOf(record.id);
    if (own === 0) continue;
    plan.push(record);
    if ((bytes += own) >= neededBytes) return plan;
  }
  return [];
}
