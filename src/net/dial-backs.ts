/**
 * AutoNAT for others: a relay dials who asks, at an address of the very host that the question came from, so that it learns
 * whether it can be reached. libp2p's service sees to that, and the gater to public addresses. Two things it lacks are here:
 * it has to make a new connection (it would take the one that the question came over, find that its address is another, and
 * close it), and it may not be made to knock at all ports of a host.
 */
import type { AutoNATComponents } from '@libp2p/autonat';
import { MAX_DIAL_BACKS_PER_HOST, MAX_DIAL_BACKS_PER_MINUTE } from '../limits.ts';
import type { Clock } from '../ports.ts';

const MINUTE_MS = 60_000;

type ConnectionManager = AutoNATComponents['connectionManager'];

/** What AutoNAT uses of `manager`. It asks for one address to answer others, and for several where it has a question of its own. */
export function dialingBack(manager: ConnectionManager, clock: Clock): ConnectionManager {
  const dials: { readonly host: string; readonly atMs: number }[] = [];
  const openConnection: ConnectionManager['openConnection'] = async (target, options) => {
    if (Array.isArray(target) || !('getComponents' in target)) return await manager.openConnection(target, options);
    const nowMs = clock.monotonic();
    while (dials[0] !== undefined && dials[0].atMs <= nowMs - MINUTE_MS) dials.shift();
    const host = target.getComponents()[0]?.value ?? '';
    const ofHost = dials.filter(dial => dial.host === host).length;
    if (dials.length >= MAX_DIAL_BACKS_PER_MINUTE || ofHost >= MAX_DIAL_BACKS_PER_HOST) {
      throw new Error('too many dials for others within a minute');
    }
    dials.push({ host, atMs: nowMs });
    return await manager.openConnection(target, { ...options, force: true });
  };
  return Object.assign(Object.create(manager) as ConnectionManager, { openConnection });
}
