/** The relays of a home: which there are, a place at each, and the copies of its shares that they keep. */
import { randomBytes } from 'node:crypto';
import { systemClock } from './clock.ts';
import { compareClocks } from './clocks.ts';
import { Copies } from './copies.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { parseHint, type Hint } from './format/hint.ts';
import { quoted } from './format/quoted.ts';
import type { BlockId } from './format/ids.ts';
import type { Home } from './home.ts';
import { MAX_LINK_HINTS, MAX_RELAY_HINTS } from './limits.ts';
import type { RelayRecord } from './catalog.ts';
import type { Candidate, Log, Network } from './ports.ts';
import { present } from './present.ts';
import type { RelayInfo } from './protocol/relay-info.ts';
import { candidateOf, nameOf } from './relay-name.ts';
import type { CheckedWithdrawal } from './protocol/withdrawn.ts';
import { sample, type Sample } from './sample.ts';
import { memoryStore } from './store/memory.ts';
import type { Service } from './service.ts';

/** What the relays of a home are made of. */
export interface RelaysDeps {
  readonly home: Home;
  /** Absent where the home is only looked at. */
  readonly network: Network | undefined;
  readonly service: Service;
  /** Whether this process holds the home: it has places at relays then, and looks after the copies. */
  readonly holds: boolean;
  /** A network that knows nobody yet. */
  readonly fresh: () => Promise<Network>;
  readonly verify: Parameters<typeof sample>[0]['crypto'];
  readonly log: Log;
  /** Told of a withdrawal that a peer shows in place of chunks. */
  readonly onWithdrawn: (withdrawal: CheckedWithdrawal) => void;
}

export class Relays {
  readonly #deps: RelaysDeps;
  /** Ends the reservations, by the peer ids of the network and the relay. */
  readonly #places = new Map<string, () => void>();
  readonly copies: Copies | undefined;

  constructor(deps: RelaysDeps) {
    this.#deps = deps;
    const { home, network, service, holds, log } = deps;
    if (!holds || network === undefined) return;
    for (const relay of this.list()) this.#reserve(network, relay);
    service.onNetwork(apart => this.list().forEach(relay => this.#reserve(apart, relay)));
    this.copies = new Copies({
      lend: (id, work) => lend(service, network, id, work),
      catalog: home.catalog,
      source: home.source,
      clock: systemClock,
      serve: id => service.serve(id),
      present: (relay, token, signal) => present(network, relay, token, systemClock, signal),
      sample: (id, relay, signal) => this.sample(id, relay, signal),
    });
    this.copies.onEvent(event => {
      if (event.state === 'failed') log('warn', 'a share is not stored at a relay; "shoal shares" says why', {});
    });
  }

  list(): RelayRecord[] {
    return this.#deps.home.catalog.relays.list();
  }

  /**
   * The relay of this home that a text names: its origin, host, name, one of its addresses, or the beginning or end of its peer id.
   * @throws ShoalError `usage` where there is none, or more than one
   */
  find(text: string): RelayRecord {
    const found = this.#known(text);
    const [relay] = found;
    if (relay === undefined)
      throw new ShoalError('usage', `this home has no relay ${quoted(text)}; "shoal relays" lists those it has`);
    if (found.length > 1)
      throw new ShoalError('usage', `cannot tell which relay is meant: ${found.length} are called ${quoted(text)}`);
    return relay;
  }

  /**
   * Adds a relay by its origin or a multiaddr, or takes what is given as new of one that is there.
   * @param always whether it is used for all shares
   * @throws ShoalError `usage` where the text is neither; as `fetchRelayInfo` where it is an origin
   */
  async add(text: string, token: string | undefined, always: boolean, signal: AbortSignal): Promise<RelayRecord> {
    const { home, network } = this.#deps;
    const { peer, addresses, origin, name } = await placeOf(text, this.#onDate(text), signal);
    const before = this.list().find(relay => relay.peer === peer);
    const relay: RelayRecord = {
      peer,
      addresses: [...new Set([...addresses, ...(origin === undefined ? (before?.addresses ?? []) : [])])],
      ...((origin ?? before?.origin) === undefined ? {} : { origin: origin ?? before?.origin }),
      ...((name ?? before?.name) === undefined ? {} : { name: name ?? before?.name }),
      always: always || before?.always === true,
      addedAt: before?.addedAt ?? Math.floor(systemClock.now() / 1000),
    };
    if (token !== undefined) await this.#try(candidateOf(relay), token, signal);
    home.catalog.relays.put(relay, token);
    if (this.copies !== undefined && network !== undefined)
      [network, ...this.#deps.service.apart.values()].forEach(one => this.#reserve(one, relay));
    return relay;
  }

  /** Shows a token to the relay that it is for. @throws ShoalError `refused` where it takes no such token; as `present` */
  async #try(relay: Candidate, token: string, signal: AbortSignal): Promise<void> {
    const network = await this.#deps.fresh();
    try {
      await present(network, relay, token, systemClock, signal);
    } finally {
      await network.stop();
    }
  }

  /** Forgets a relay; what it keeps, it keeps until its leases end. */
  remove(text: string): RelayRecord {
    const relay = this.find(text);
    this.#deps.home.catalog.relays.remove(relay.peer);
    for (const [key, release] of this.#places) {
      if (!key.endsWith(` ${relay.peer}`)) continue;
      release();
      this.#places.delete(key);
    }
    return relay;
  }

  /** What a relay tells of itself; undefined where it is known by its address only. @throws ShoalError as `fetchRelayInfo` */
  async infoOf(relay: RelayRecord, signal: AbortSignal): Promise<RelayInfo | undefined> {
    const { origin } = relay;
    return origin === undefined ? undefined : await infoAt(origin, this.#onDate(nameOf(relay)), signal);
  }

  /** Holds what a relay takes the time to be against our clock. */
  #onDate(name: string): (unixSeconds: number) => void {
    return seconds => compareClocks(this.#deps.home.catalog, name, seconds, systemClock);
  }

  /** The relays that a share goes to: those named, which are remembered, or those that are used for all. */
  async chosen(names: readonly string[] | undefined, signal: AbortSignal): Promise<RelayRecord[]> {
    if (names === undefined) return this.list().filter(({ always }) => always);
    const relays: RelayRecord[] = [];
    for (const name of names) {
      const [known] = this.#known(name);
      relays.push(known ?? (await this.add(name, undefined, false, signal)));
    }
    return relays;
  }

  /** What a link says of where its share is kept. */
  hintsOf(relays: readonly RelayRecord[]): Hint[] {
    return relays.flatMap(hintsOf).slice(0, MAX_LINK_HINTS);
  }

  /** Fetches chunks of a share from one peer over a connection of its own, as a stranger would. */
  async sample(id: BlockId, from: Candidate, signal: AbortSignal): Promise<Sample> {
    const network = await this.#deps.fresh();
    try {
      const deps = {
        network,
        crypto: this.#deps.verify,
        clock: systemClock,
        random: randomBytes,
        store: memoryStore(),
        onWithdrawn: this.#deps.onWithdrawn,
      };
      return await sample(deps, { id, from }, signal);
    } finally {
      await network.stop();
    }
  }

  async stop(): Promise<void> {
    await this.copies?.stop();
    for (const release of this.#places.values()) release();
  }

  #known(text: string): RelayRecord[] {
    const shown = text.trim();
    // Tables show the ends of peer ids.
    const end = shown.replace(/^…/u, '');
    return this.list().filter(
      ({ peer, origin, name, addresses }) =>
        peer === shown ||
        (end.length >= MIN_PEER_CHARS && (peer.startsWith(end) || peer.endsWith(end))) ||
        (origin !== undefined && originOf(shown) === origin) ||
        name === shown ||
        addresses.includes(shown),
    );
  }

  #reserve(network: Network, relay: RelayRecord): void {
    const { peer, addresses } = relay;
    const greet = async (signal: AbortSignal): Promise<unknown> => {
      // A token that both show would link a network that is to be apart with that of the home.
      const isHomes = network === this.#deps.network;
      const token = isHomes ? this.#deps.home.catalog.relays.tokenOf(peer) : undefined;
      return token === undefined ? undefined : await present(network, candidateOf(relay), token, systemClock, signal);
    };
    const key = `${network.self} ${peer}`;
    this.#places.get(key)?.();
    try {
      this.#places.set(key, network.reserve({ peer, addresses, greet }));
    } catch (error) {
      if (!isShoalError(error)) throw error;
      this.#deps.log('warn', 'there will be no place at a relay', { reason: error.message });
    }
  }
}

/** Does `work` over the network under whose peer id a share is known: one of its own is served meanwhile. */
async function lend<T>(
  service: Service,
  network: Network,
  id: BlockId,
  work: (network: Network) => Promise<T>,
): Promise<T> {
  if (!service.isApart(id)) return await work(network);
  const end = service.serve(id);
  try {
    return await work(await service.apartNetworkOf(id));
  } finally {
    end();
  }
}

/** As much of a peer id as tells a few of them apart; more than one that fits are told. */
const MIN_PEER_CHARS = 8;

interface Place {
  readonly peer: string;
  readonly addresses: readonly string[];
  readonly origin?: string;
  readonly name?: string;
}

async function placeOf(text: string, onDate: (seconds: number) => void, signal: AbortSignal): Promise<Place> {
  const trimmed = text.trim();
  const peer = peerIn(trimmed);
  if (peer !== undefined) return { peer, addresses: [trimmed] };
  const origin = originOf(trimmed);
  if (origin === undefined)
    throw new ShoalError(
      'usage',
      `cannot use ${quoted(trimmed)} as a relay: it is neither an origin like https://relay.example nor a multiaddr that ends in /p2p/ and a peer id`,
    );
  const { peer: self, addresses, name } = await infoAt(origin, onDate, signal);
  return { peer: self, addresses, origin, name };
}

/** Of a multiaddr that can be dialled as it is; undefined for anything else. */
function peerIn(text: string): string | undefined {
  try {
    const hint = parseHint(text);
    return hint.kind === 'multiaddr' ? hint.peer : undefined;
  } catch (error) {
    if (!isShoalError(error)) throw error;
    return undefined;
  }
}

async function infoAt(origin: string, onDate: (unixSeconds: number) => void, signal: AbortSignal): Promise<RelayInfo> {
  const { fetchRelayInfo } = await import('./net/relay-info.ts');
  return await fetchRelayInfo(origin, { stranger: false, signal, onDate });
}

/** An origin as it is kept, of `host`, `host:port` or a URL of the relay's; undefined where it is none of these. */
function originOf(text: string): string | undefined {
  const isUrl = /^https?:\/\//i.test(text);
  if (!isUrl && !/^[A-Za-z0-9.[\]:_-]+$/.test(text)) return undefined;
  try {
    const url = new URL(isUrl ? text : `${isLoopback(text) ? 'http' : 'https'}://${text}`);
    return url.username === '' && url.password === '' ? url.origin : undefined;
  } catch {
    return undefined;
  }
}

function isLoopback(hostPort: string): boolean {
  return /^(127\.[0-9.]+|localhost|\[::1\])(:[0-9]+)?$/i.test(hostPort);
}

/**
 * The host where others may ask it, else addresses of the relay. Who follows a link does not ask hosts of its own network for
 * strangers (relay-info.ts).
 */
function hintsOf({ origin, addresses, peer }: RelayRecord): Hint[] {
  if (origin?.startsWith('https://') === true) return [parseHint(origin.slice('https://'.length))];
  const full = addresses.map(address => (address.endsWith(`/p2p/${peer}`) ? address : `${address}/p2p/${peer}`));
  return full.slice(0, MAX_RELAY_HINTS).map(parseHint);
}
