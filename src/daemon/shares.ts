/** What is told of the shares of a home. Read from its catalog alone: to start a node for that would take longer than all the rest. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../clock.ts';
import { nameOf } from '../relay-name.ts';
import { isSpooled, spoolFolder } from '../files/spool.ts';
import type { BlockId } from '../format/ids.ts';
import { pathsOf } from '../format/layout.ts';
import type { NetworkSettings } from '../networks.ts';
import type { Catalog, ShareRecord } from '../catalog.ts';
import type { NetworkStatus } from '../ports.ts';
import { isHome, openRecords, statesOf, type Standing } from '../records.ts';
import { API_VERSION, VERSION } from '../version.ts';
import type { Results, ShareView } from './actions.ts';
import { clockWarning } from './clock-checks.ts';

/**
 * The shares of a home that nobody holds. Where there is none, none is made.
 * @throws ShoalError `home`, `newer-home`, `denied`, `io`
 */
export async function sharesOf(folder: string): Promise<Results['shares']> {
  if (!(await isHome(folder))) return { shares: [] };
  const { catalog } = await openRecords(folder, { clock: systemClock, random: randomBytes });
  try {
    const spool = await spoolFolder(folder);
    const isTakenIn = ({ root }: ShareRecord): boolean => typeof root === 'string' && isSpooled(spool, root);
    const shares = await viewsOf(catalog, catalog.list(), () => false, isTakenIn, join(folder, 'blocks'));
    return { shares, ...warningOf(catalog) };
  } finally {
    catalog.close();
  }
}

/** How a home stands that nobody holds. @param network as it would be held @throws ShoalError as `sharesOf` */
export async function statusOf(folder: string, network: NetworkSettings): Promise<Results['status']> {
  const status = {
    version: VERSION,
    api: API_VERSION,
    pid: process.pid,
    peer: '',
    addresses: [],
    network,
    holds: false,
    since: Math.floor(systemClock.now() / 1000),
    connections: 0,
  };
  if (!(await isHome(folder)))
    return { ...status, shares: { total: 0, serving: 0 }, transfers: { total: 0, running: 0 } };
  const { catalog } = await openRecords(folder, { clock: systemClock, random: randomBytes });
  try {
    const [shares, transfers] = [catalog.count(), catalog.transfers.list().length];
    return { ...status, shares: { total: shares, serving: 0 }, transfers: { total: transfers, running: 0 } };
  } finally {
    catalog.close();
  }
}

/** How the node meets others; what it was given to begin at is among its settings. */
export function meetingOf({ startingPoints: _given, ...meeting }: NetworkStatus) {
  return meeting;
}

/** In the order of `records`. @param blocks the folder in which the home keeps those of its shares */
export async function viewsOf(
  catalog: Pick<Catalog, 'copies' | 'relays'>,
  records: readonly ShareRecord[],
  isServed: (record: ShareRecord) => boolean,
  isSpooledIn: (record: ShareRecord) => boolean,
  blocks: string,
): Promise<ShareView[]> {
  const look = { blocks, nowSeconds: systemClock.now() / 1000 };
  const standings = await statesOf(records, isServed, look);
  const copies = Map.groupBy(copiesOf(catalog), ({ share }) => share);
  return records.map((record, n) =>
    viewOfRecord(record, standings[n] ?? { state: 'idle' }, isSpooledIn(record), copies.get(record.id)),
  );
}

/** What is to be known of the clock by who reads when shares end. */
export function warningOf(catalog: Catalog): Pick<Results['shares'], 'clock'> {
  const clock = catalog.expiries().length === 0 ? undefined : clockWarning(catalog);
  return clock === undefined ? {} : { clock };
}

type Copy = ShareView['copies'][number] & { readonly share: BlockId };

/** The copies of one share, or of all, with the names of their relays. */
export function copiesOf({ copies, relays }: Pick<Catalog, 'copies' | 'relays'>, share?: BlockId): Copy[] {
  const names = new Map(relays.list().map(relay => [relay.peer, nameOf(relay)]));
  return copies
    .list(share)
    .map(({ receipt: _receipt, ...copy }) => ({ ...copy, name: names.get(copy.relay) ?? copy.relay }));
}

/** @param isSpooled the home itself keeps the original, as it came from stdin */
export function viewOfRecord(
  record: ShareRecord,
  standing: Standing,
  isSpooled: boolean,
  copies: readonly Copy[] = [],
): ShareView {
  const { id, name, kind, sizeBytes, files, root, createdAt, peersServed, bytesUp, serveAlways } = record;
  const { downloadsLeft, expires } = record;
  return {
    id,
    name,
    kind,
    sizeBytes,
    files,
    source: isSpooled && record.source === 'original' ? 'spooled' : record.source,
    ...(typeof root === 'string' && !isSpooled ? { path: root } : {}),
    ...(typeof root === 'object' ? { paths: pathsOf(root) } : {}),
    ...standing,
    createdAt,
    peersServed,
    bytesUp,
    always: serveAlways,
    ...(record.copiesElsewhere === undefined ? {} : { copiesElsewhere: record.copiesElsewhere }),
    ...(record.lookedAt === undefined ? {} : { lookedAt: record.lookedAt }),
    ...(downloadsLeft === undefined ? {} : { downloadsLeft }),
    ...(expires === undefined ? {} : { expires }),
    ...(record.freshId === undefined ? {} : { freshId: record.freshId }),
    copies: copies.map(({ share: _share, ...copy }) => copy),
  };
}
