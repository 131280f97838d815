/** Ways to a peer: a direct connection wherever there can be one, and else one through a relay. */
import type { Connection, Libp2p, PeerId } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { DIRECT_HEAD_START_MS } from '../limits.ts';
import type { Clock } from '../ports.ts';
import type { Circuit } from './circuit.ts';
import { hangUp } from './connections.ts';
import { isRelayed, peerOf, type Gater } from './gater.ts';

/** What dialling works with. */
export interface Phone {
  readonly libp2p: Pick<Libp2p, 'dial' | 'getConnections' | 'peerStore'>;
  readonly gater: Gater;
  readonly circuit: Circuit;
  readonly clock: Clock;
}

/**
 * An open connection to a peer: a direct one where there is one, or where one of the addresses leads to one soon. Through a
 * relay it is dialled a moment later, or at once where nothing else is left; the direct attempt goes on then, until `signal`.
 * @param targets addresses of the peer, each ending in its peer id; what else is known of it is tried too
 * @param mayRelay whether a connection through a relay is of use
 */
export async function dialPeer(
  phone: Phone,
  peer: string,
  targets: readonly Multiaddr[],
  mayRelay: boolean,
  signal: AbortSignal,
): Promise<Connection> {
  const { libp2p, gater } = phone;
  const id = peerIdFromString(peer);
  const open = libp2p.getConnections(id).filter(({ status }) => status === 'open');
  const straight = open.find(({ direct }) => direct);
  if (straight !== undefined) return straight;
  const through = mayRelay ? open[0] : undefined;
  const isEnough = targets.length > 0 && !targets.some(isRelayed) && through === undefined;
  const all = isEnough ? targets : distinct([...targets, ...(await knownAddresses(phone, id))]);
  const direct = all.filter(address => !isRelayed(address));
  const relayed = mayRelay ? all.filter(address => isRelayed(address) && gater.allows(address)) : [];
  if (relayed.length === 0 && through === undefined) {
    if (direct.length === 0 && targets.length > 0) throw new Error(NO_WAY);
    // Without any address, the DHT may know one.
    const connection = await libp2p.dial(direct.length > 0 ? direct : id, { signal });
    if (!connection.direct && !mayRelay) throw new Error(NO_WAY);
    return connection;
  }
  return await directFirst(phone, direct, () => through, relayed, signal);
}

const NO_WAY = 'none of its addresses may be dialled for this';

async function directFirst(
  { libp2p, circuit, clock }: Phone,
  direct: Multiaddr[],
  through: () => Connection | undefined,
  relayed: readonly Multiaddr[],
  signal: AbortSignal,
): Promise<Connection> {
  const decided = new AbortController();
  const undecided = AbortSignal.any([signal, decided.signal]);
  const dialled = direct.length === 0 ? undefined : libp2p.dial(direct, { signal });
  const headStart = async (): Promise<Connection | undefined> =>
    Promise.race([dialled?.catch(() => undefined), clock.sleep(DIRECT_HEAD_START_MS, undecided).then(() => undefined)]);
  const detour = async (): Promise<Connection> => {
    const straight = dialled === undefined ? undefined : await headStart();
    return straight ?? through() ?? (await dialThrough(circuit, relayed, undecided));
  };
  try {
    return await Promise.any(dialled === undefined ? [detour()] : [dialled, detour()]);
  } finally {
    decided.abort();
  }
}

/** By way of all relays at once, and of each relay by one address after the other. */
async function dialThrough(
  circuit: Circuit,
  addresses: readonly Multiaddr[],
  signal: AbortSignal,
): Promise<Connection> {
  const decided = new AbortController();
  const undecided = AbortSignal.any([signal, decided.signal]);
  const attempts = Map.groupBy(addresses, address => peerOf(address.decapsulate('/p2p-circuit')));
  const dialling = Array.from(attempts.values(), async some => {
    const errors: unknown[] = [];
    for (const address of some) {
      try {
        undecided.throwIfAborted();
        return await circuit.dial(address, undecided);
      } catch (error) {
        errors.push(error);
      }
    }
    throw new AggregateError(errors, 'no address of a relay leads to the peer');
  });
  try {
    const first = await Promise.any(dialling);
    // A second one that was there in the same moment is not needed.
    for (const late of dialling)
      void late.then(other => (other === first ? undefined : hangUp(other))).catch(() => undefined);
    return first;
  } finally {
    decided.abort();
  }
}

/** A direct connection to the peer of one through a relay, at addresses that the peer has told, where they may be dialled. */
export async function dialDirectly(
  { libp2p, gater }: Phone,
  { remotePeer }: Connection,
  told: readonly Multiaddr[],
  signal: AbortSignal,
): Promise<void> {
  if (libp2p.getConnections(remotePeer).some(({ direct, status }) => direct && status === 'open')) return;
  const addresses = distinct(told.flatMap(address => ofPeer(address, remotePeer)));
  const usable = addresses.filter(address => !isRelayed(address) && gater.allows(address));
  if (usable.length > 0) await libp2p.dial(usable, { signal });
}

async function knownAddresses({ libp2p, gater }: Phone, id: PeerId): Promise<Multiaddr[]> {
  try {
    const { addresses } = await libp2p.peerStore.get(id);
    return addresses.flatMap(({ multiaddr: known }) => ofPeer(known, id)).filter(address => gater.allows(address));
  } catch (error) {
    if ((error as Error).name === 'NotFoundError') return [];
    throw error;
  }
}

/** With the peer id at its end; nothing when it is another's. */
function ofPeer(address: Multiaddr, id: PeerId): Multiaddr[] {
  const text = address.toString();
  const end = `/p2p/${id.toString()}`;
  if (text.endsWith(end)) return [address];
  const isOpenEnded = peerOf(address) === undefined || text.endsWith('/p2p-circuit');
  return isOpenEnded ? [multiaddr(text + end)] : [];
}

function distinct(addresses: readonly Multiaddr[]): Multiaddr[] {
  return [...new Map(addresses.map(address => [address.toString(), address])).values()];
}
