/** What is told of the shares of a home. Read from its catalog alone: to start a node for that would take longer than all the rest. */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../clock.ts';
import { LOOKS_AT_ONCE } from '../limits.ts';
import { inParallel } from '../parallel.ts';
import type { ShareRecord } from '../ports.ts';
import { isHome, openRecords, stateOf, type ShareState } from '../records.ts';
import type { Results, ShareView } from './actions.ts';

/**
 * The shares of a home that nobody holds. Where there is none, none is made.
 * @throws ShoalError `home`, `newer-home`, `denied`, `io`
 */
export async function sharesOf(folder: string): Promise<Results['shares']> {
  if (!(await isHome(folder))) return { shares: [] };
  const { catalog } = await openRecords(folder, { clock: systemClock, random: randomBytes });
  try {
    return { shares: await viewsOf(catalog.list(), record => stateOf(record, false)) };
  } finally {
    catalog.close();
  }
}

/** In the order of `records`. */
export async function viewsOf(
  records: readonly ShareRecord[],
  stateOfRecord: (record: ShareRecord) => Promise<ShareState>,
): Promise<ShareView[]> {
  const views: ShareView[] = [];
  await inParallel(records.entries(), LOOKS_AT_ONCE, async ([n, record]) => {
    views[n] = viewOfRecord(record, await stateOfRecord(record));
  });
  return views;
}

export function viewOfRecord(record: ShareRecord, state: ShareState): ShareView {
  const { id, name, kind, sizeBytes, files, source, root, changedWhy, createdAt, peersServed, bytesUp } = record;
  return {
    id,
    name,
    kind,
    sizeBytes,
    files,
    source,
    ...(root === undefined ? {} : { path: root }),
    state,
    ...(changedWhy === undefined ? {} : { detail: changedWhy }),
    createdAt,
    peersServed,
    bytesUp,
  };
}
