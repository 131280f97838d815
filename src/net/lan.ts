/** Peers on the local network: libp2p's mDNS, asked more often while something is being looked for. */
import { randomUUID } from 'node:crypto';
import type { PeerDiscovery, PeerInfo } from '@libp2p/interface';
import { mdns, type MulticastDNSComponents } from '@libp2p/mdns';
import type { Multiaddr } from '@multiformats/multiaddr';
import { LAN_EAGER_MS, LAN_QUERY_MS, MAX_LAN_PEERS, MAX_LAN_QUERY_MS } from '../limits.ts';
import type { Clock } from '../ports.ts';

/** What the local network told: a peer id as text, and addresses with that peer id at their end. */
export interface Neighbour {
  readonly peer: string;
  readonly addresses: readonly Multiaddr[];
}

/** A question that does not come back within this time is not heard. */
const ECHO_MS = 1_000;
/** Nodes that are not ours answer to other names. */
const SERVICE = '_shoal._udp.local';

export class Lan {
  readonly #clock: Clock;
  readonly #neighbours = new Map<string, Neighbour>();
  readonly #listeners = new Set<(neighbour: Neighbour) => void>();
  #discovery: PeerDiscovery | undefined;
  #askedAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#neighbours.size;
  }

  /** For libp2p's `peerDiscovery`. Its own event says a peer once only; this listens to every answer. */
  readonly service = (components: MulticastDNSComponents): PeerDiscovery => {
    const discovery = mdns({ serviceTag: SERVICE, interval: MAX_LAN_QUERY_MS })(components);
    discovery.addEventListener('peer', event => this.#heard(event.detail));
    this.#discovery = discovery;
    return discovery;
  };

  /** Tells `listener` of all peers that are known, and of each that answers until the signal; asks for answers meanwhile. */
  async search(listener: (neighbour: Neighbour) => void, signal: AbortSignal): Promise<void> {
    this.#neighbours.forEach(neighbour => listener(neighbour));
    this.#listeners.add(listener);
    try {
      const startedAt = this.#clock.monotonic();
      for (let pauseMs = LAN_QUERY_MS; ;) {
        this.#ask();
        await this.#clock.sleep(pauseMs, signal);
        if (this.#clock.monotonic() - startedAt >= LAN_EAGER_MS) pauseMs = Math.min(2 * pauseMs, MAX_LAN_QUERY_MS);
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /** Whether a question to the local network is heard by who asked it; firewalls often let nothing of the kind pass. */
  async hearsItself(signal: AbortSignal): Promise<boolean> {
    const asked = `${randomUUID()}.${SERVICE}`;
    const heard = Promise.withResolvers<boolean>();
    const listener = ({ questions = [] }: MulticastQuery): void => {
      if (questions.some(({ name }) => name === asked)) heard.resolve(true);
    };
    if (!isQueryable(this.#discovery)) return false;
    const { mdns } = this.#discovery;
    mdns?.on('query', listener);
    mdns?.query({ questions: [{ name: asked, type: 'PTR' }] });
    try {
      return await Promise.race([heard.promise, this.#clock.sleep(ECHO_MS, signal).then(() => false)]);
    } finally {
      mdns?.off('query', listener);
    }
  }

  /** Several searches at once ask together no more often than one. */
  #ask(): void {
    const now = this.#clock.monotonic();
    if (now - this.#askedAt < LAN_QUERY_MS / 2 || !isQueryable(this.#discovery)) return;
    this.#askedAt = now;
    this.#discovery.mdns?.query({ questions: [{ name: SERVICE, type: 'PTR' }] });
  }

  #heard(info: PeerInfo): void {
    const peer = info.id.toString();
    const neighbour = { peer, addresses: info.multiaddrs.map(address => address.encapsulate(`/p2p/${peer}`)) };
    this.#neighbours.delete(peer);
    this.#neighbours.set(peer, neighbour);
    const oldest = this.#neighbours.keys().next();
    if (this.#neighbours.size > MAX_LAN_PEERS && !oldest.done) this.#neighbours.delete(oldest.value);
    this.#listeners.forEach(listener => listener(neighbour));
  }
}

/** libp2p's mDNS has its socket in a public property that its type does not show. */
interface Queryable {
  mdns?: {
    query(query: MulticastQuery): void;
    on(event: 'query', listener: (query: MulticastQuery) => void): void;
    off(event: 'query', listener: (query: MulticastQuery) => void): void;
  };
}

interface MulticastQuery {
  readonly questions?: readonly { readonly name: string; readonly type: string }[];
}

function isQueryable(discovery: PeerDiscovery | undefined): discovery is PeerDiscovery & Queryable {
  return discovery !== undefined && 'mdns' in discovery;
}
