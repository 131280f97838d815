/** The Network port over libp2p: TCP and WebSockets, noise or TLS, yamux, and what discovery.ts needs. */
import { noise } from '@chainsafe/libp2p-noise';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import type { Connection, IdentifyResult, Libp2p, PeerId, Stream } from '@libp2p/interface';
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import type { Multiaddr } from '@multiformats/multiaddr';
import type { LevelDatastore } from 'datastore-level';
import { createLibp2p } from 'libp2p';
import { networkInterfaces } from 'node:os';
import { ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import type { Hint } from '../format/hint.ts';
import { quoted } from '../format/quoted.ts';
import {
  CROWD_CHECK_MS,
  DIAL_TIMEOUT_MS,
  INBOUND_HANDSHAKE_MS,
  MAX_CHANNELS,
  MAX_CHANNELS_PER_PEER,
  MAX_CONNECTIONS,
  MAX_INBOUND_PER_SECOND,
  MAX_PENDING_INBOUND,
  MAX_READ_BUFFER_BYTES,
  MAX_RETRY_MS,
  MAX_STREAM_WINDOW_BYTES,
  MIN_RETRY_MS,
  MOST_RELAY_CONNECTIONS,
  RELAY_KEEP_ALIVE_MS,
  SURVEY_MS,
} from '../limits.ts';
import type { Rates } from '../rate.ts';
import type {
  Candidate,
  Channel,
  Clock,
  ConnectedPeer,
  Log,
  Network,
  NetworkStatus,
  Path,
  RelayPlace,
  Reservation,
  Survey,
} from '../ports.ts';
import { readMultiaddr, targetOf } from './addresses.ts';
import { Circuit, CIRCUIT_PROTOCOLS, THROUGH_RELAYS } from './circuit.ts';
import { closed, connectError, hangUp, listsAtOnce, reasonOf } from './connections.ts';
import type { Mapping, PortMapping } from './port-mapping.ts';
import { Crowd } from './crowd.ts';
import { Discovery } from './discovery.ts';
import type { Hop } from './hop.ts';
import { hopFor, servicesForOthers, type ForOthers } from './for-others.ts';
import { routingTableSize } from './dht.ts';
import { dialDirectly, dialPeer, type Phone } from './dialling.ts';
import { connectionGater, Gater, isRelayed, peerOf } from './gater.ts';
import { Lan } from './lan.ts';
import { lazyTls, lazyWebSockets } from './lazy.ts';
import { Lines } from './lines.ts';
import { listenError } from './listening.ts';
import { noiseCrypto } from './noise-crypto.ts';
import { Reservations } from './reservations.ts';
import { servicesOf, type DhtMode, type Services } from './services.ts';
import { channelOf } from './streams.ts';

export interface NetworkOptions {
  /** The Ed25519 seed of the peer key: 32 bytes. */
  readonly seed: Uint8Array;
  /** Multiaddrs to listen on; by default all interfaces, and a free port. IPv6 may be missing, all others may not. */
  readonly listen?: readonly string[];
  /** Multiaddrs of the nodes that this one starts from. */
  readonly bootstrap: readonly string[];
  /** Whether to look for, and answer, nodes on the local network. */
  readonly mdns: boolean;
  /**
   * A server keeps announcements for others. `auto`: a server where all starting points are in a private network, or once
   * this node has a public address.
   */
  readonly dht: DhtMode;
  /** A folder for what is known about peers and announcements; in memory when absent. */
  readonly datastorePath?: string;
  /** Whether to ask the router of a private network for a port by which others can reach this node. */
  readonly portMapping?: boolean;
  /** Connections that it may have, dialled ones included; MAX_CONNECTIONS when absent. */
  readonly maxConnections?: number;
  /** Limits of all channels together; none when absent. */
  readonly rates?: Rates;
  /** Relays that its user has named: each is asked for every share that is looked for. */
  readonly relays?: () => readonly RelayPlace[];
  /** What this node does for others: only a relay's. */
  readonly forOthers?: ForOthers;
  /** Multiaddrs under which it is reached, where those are others than it listens on. */
  readonly announce?: readonly string[];
  /** Whether addresses inside our own network are dialled whoever told them: for a network of its own. */
  readonly trustsNear?: boolean;
  /** Told of a peer whose last connection has closed. */
  readonly onGone?: (peer: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

const DEFAULT_LISTEN = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'];

/**
 * Starts a node.
 * @throws ShoalError `io` when an address can not be listened on or the datastore not be opened, `usage` for a multiaddr
 *   that can not be read.
 */
export async function createNetwork(options: NetworkOptions): Promise<Network> {
  const listen = (options.listen ?? DEFAULT_LISTEN).map(readMultiaddr);
  const bootstrap = options.bootstrap.map(readMultiaddr);
  const gater = new Gater();
  const lines = new Lines();
  const circuit = new Circuit();
  bootstrap.forEach(address => gater.startFrom(address));
  if (options.trustsNear === true) NEAR.forEach(scope => gater.allowScope(scope));
  const lan = options.mdns ? new Lan(options.clock) : undefined;
  const privateKey = await generateKeyPairFromSeed('Ed25519', options.seed);
  const datastore = await storeAt(options.datastorePath, peerIdFromPrivateKey(privateKey));
  try {
    const libp2p = await createLibp2p<Services>({
      privateKey,
      ...(datastore === undefined ? {} : { datastore }),
      addresses: {
        listen: listen.map(String),
        announce: (options.announce ?? []).map(text => String(readMultiaddr(text))),
      },
      transports: [
        tcp(options.forOthers === undefined ? {} : { listenOpts: { keepAliveInitialDelay: RELAY_KEEP_ALIVE_MS } }),
        await webSocketsFor(listen),
        circuit.transport,
      ],
      connectionEncrypters: [noise({ crypto: noiseCrypto }), lazyTls],
      // initialStreamWindowSize is not ours to choose: both sides must have the same.
      streamMuxers: [() => lines.noting(yamux({ streamOptions: STREAM_OPTIONS })())],
      connectionGater: connectionGater(gater, options.forOthers?.admission),
      connectionManager: {
        // The crowd keeps to the limit; libp2p would refuse who comes last.
        maxConnections: 2 * (options.maxConnections ?? MAX_CONNECTIONS),
        // What a relay takes of one host, its admission says.
        inboundConnectionThreshold: options.forOthers === undefined ? MAX_INBOUND_PER_SECOND : MOST_RELAY_CONNECTIONS,
        // Admission counts a connection before its handshake, by who it is from; libp2p would refuse who comes last.
        maxIncomingPendingConnections:
          options.forOthers === undefined ? MAX_PENDING_INBOUND : (options.maxConnections ?? MAX_CONNECTIONS),
        inboundUpgradeTimeout: INBOUND_HANDSHAKE_MS,
        dialTimeout: DIAL_TIMEOUT_MS,
      },
      // It asks all connections at once whether they live, and ends those that a busy relay is slow to hear.
      connectionMonitor: { enabled: options.forOthers === undefined },
      peerDiscovery: lan === undefined ? [] : [lan.service],
      services: {
        ...servicesOf(options.dht, bootstrap),
        ...(await servicesForOthers(options)),
      },
    });
    listsAtOnce(libp2p);
    const hop = await hopFor(options, {
      ...{ libp2p, privateKey },
      addresses: () => addressesOf(libp2p),
      lineBelow: stream => lines.below(stream),
    });
    return new Libp2pNetwork({ libp2p, gater, lines, circuit, lan, hop }, bootstrap, options, async () =>
      datastore?.close(),
    );
  } catch (error) {
    await datastore?.close();
    throw listenError(error);
  }
}

/** Only who listens on WebSockets loads them when it starts. */
async function webSocketsFor(listen: readonly Multiaddr[]): Promise<typeof lazyWebSockets> {
  if (!listen.some(address => address.getComponents().some(({ name }) => name === 'ws'))) return lazyWebSockets;
  return (await import('./websockets.ts')).webSocketTransport;
}

/** Only the node of a home has a store, and only it loads what that needs. */
async function storeAt(path: string | undefined, self: PeerId): Promise<LevelDatastore | undefined> {
  if (path === undefined) return undefined;
  const { openDatastore } = await import('./datastore.ts').catch(nativePartError);
  return await openDatastore(path, self);
}

/** The store has the one native part of this program. It comes compiled for common machines; others compile it when installing. */
function nativePartError(error: unknown): never {
  if (!(error instanceof Error && error.message.startsWith('No native build was found'))) throw error;
  const machine = `${process.platform} on ${process.arch}`;
  const why = `classic-level has no compiled part for ${machine}; install again with install scripts allowed and a C++ compiler`;
  throw new ShoalError('io', `cannot load the peer store: ${why}`, { cause: error });
}

/** Scopes that strangers may not send us to. */
const NEAR = ['loopback', 'link-local', 'private'] as const;

const STREAM_OPTIONS = { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES, maxReadBufferLength: MAX_READ_BUFFER_BYTES };

/** The parts of a node. */
interface Parts {
  readonly libp2p: Libp2p<Services>;
  readonly gater: Gater;
  readonly lines: Lines;
  readonly circuit: Circuit;
  readonly lan: Lan | undefined;
  readonly hop: Hop | undefined;
}

/** A channel that is open, and what it runs over. */
interface Open {
  readonly stream: Stream;
  readonly connection: Connection;
}

class Libp2pNetwork implements Network {
  readonly self: string;
  readonly #libp2p: Libp2p<Services>;
  readonly #gater: Gater;
  readonly #lan: Lan | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #discovery: Discovery;
  readonly #crowd: Crowd;
  readonly #lines: Lines;
  readonly #circuit: Circuit;
  readonly #phone: Phone;
  readonly #reservations: Reservations;
  readonly #rates: Rates | undefined;
  readonly #maxConnections: number;
  readonly #startingPoints: number;
  readonly #channels = new Map<Channel, Open>();
  readonly #hop: Hop | undefined;
  /** Connections to relays, which are used without a channel. */
  readonly #kept = new WeakSet<object>();
  readonly #stopping = new AbortController();
  readonly #portMapping: Promise<PortMapping> | undefined;
  #mapping: Mapping | undefined;
  readonly #closeStore: () => Promise<void>;
  #stopped: Promise<void> | undefined;

  constructor(
    { libp2p, gater, lines, circuit, lan, hop }: Parts,
    bootstrap: readonly Multiaddr[],
    { clock, log, rates, maxConnections = MAX_CONNECTIONS, portMapping = false, onGone, relays }: NetworkOptions,
    closeStore: () => Promise<void>,
  ) {
    this.self = libp2p.peerId.toString();
    this.#libp2p = libp2p;
    this.#gater = gater;
    this.#lan = lan;
    this.#clock = clock;
    this.#log = log;
    this.#closeStore = closeStore;
    const { dht } = libp2p.services;
    this.#discovery = new Discovery({
      self: this.self,
      ...{ dht, lan, gater, clock, log },
      addresses: () => this.addresses(),
      relays: relays ?? (() => []),
    });
    this.#lines = lines;
    this.#rates = rates;
    this.#maxConnections = maxConnections;
    this.#hop = hop;
    this.#crowd = new Crowd(
      () => libp2p.getConnections(),
      maxConnections,
      connection => this.#kept.has(connection) || (hop?.keeps(connection) ?? false),
    );
    hop?.protocols.forEach(protocol => this.#crowd.counts(protocol));
    libp2p.addEventListener('peer:disconnect', ({ detail }) => onGone?.(detail.toString()));
    this.#circuit = circuit;
    this.#phone = { libp2p, gater, circuit, clock };
    this.#reservations = this.#makeReservations();
    libp2p.addEventListener('connection:open', ({ detail }) => {
      this.#crowd.opened(detail);
      if (detail.direct) this.#takeOver(detail.remotePeer.toString());
    });
    libp2p.addEventListener('peer:identify', ({ detail }) => this.#goDirect(detail));
    void this.#watchCrowd().catch(() => undefined);
    this.#portMapping = portMapping ? this.#mapPort() : undefined;
    this.#startingPoints = bootstrap.length;
    for (const address of bootstrap) {
      if (peerOf(address) !== this.self) void this.#stayConnected(address).catch(() => undefined);
    }
  }

  addresses(): string[] {
    return addressesOf(this.#libp2p).map(String);
  }

  status(): NetworkStatus {
    const { dht } = this.#libp2p.services;
    return {
      connections: this.#libp2p.getConnections().length,
      dhtPeers: dht === undefined ? undefined : routingTableSize(dht),
      startingPoints: this.#startingPoints,
      lanPeers: this.#lan?.size,
      portMapping: this.#mapping !== undefined ? 'mapped' : this.#portMapping !== undefined ? 'none' : 'off',
      reservations: this.reservations(),
      ...(this.#hop === undefined ? {} : { lent: this.#hop.lent }),
      maxConnections: this.#maxConnections,
      ...limitsOf(this.#rates),
    };
  }

  peers(): ConnectedPeer[] {
    return this.#libp2p.getConnections().map(connection => ({
      peer: connection.remotePeer.toString(),
      address: connection.remoteAddr.toString(),
      path: pathOf(connection),
      direction: connection.direction === 'inbound' ? 'in' : 'out',
      since: Math.floor(connection.timeline.open / 1000),
    }));
  }

  reserve({ peer, addresses, greet }: RelayPlace): () => void {
    const targets = addresses.map(text => {
      const [target] = targetOf(String(readMultiaddr(text)), peer);
      if (target === undefined || isRelayed(target))
        throw new ShoalError('usage', `cannot use ${quoted(text)} as the address of a relay: it leads to another peer`);
      return target;
    });
    targets.forEach(target => this.#gater.allow(target));
    return this.#reservations.reserve(peer, targets, greet);
  }

  reservations(): Reservation[] {
    return this.#reservations.list();
  }

  async survey(signal: AbortSignal): Promise<Survey> {
    const ended = AbortSignal.any([signal, AbortSignal.timeout(SURVEY_MS)]);
    const lan = this.#lan;
    const [hears] = await Promise.all([
      lan?.hearsItself(signal),
      lan?.search(() => undefined, ended).catch(() => undefined) ?? this.#clock.sleep(SURVEY_MS, signal),
    ]);
    signal.throwIfAborted();
    const multicast = hears === undefined ? 'off' : hears ? 'heard' : 'unheard';
    return { ...this.status(), multicast };
  }

  async settled(signal: AbortSignal): Promise<void> {
    const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
    const onAbort = (): void => resolve(undefined);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    const mapped = this.#portMapping?.then(mapping => mapping.settled);
    await Promise.race([aborted, Promise.all([mapped, this.#reservations.settled()])]);
    signal.removeEventListener('abort', onAbort);
  }

  async connect(candidate: Candidate, protocol: string, signal: AbortSignal): Promise<Channel> {
    const limited = AbortSignal.any([signal, this.#stopping.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
    try {
      this.#crowd.counts(protocol);
      for (;;) {
        const connection = await this.#dial(candidate, THROUGH_RELAYS.has(protocol), limited);
        const stream = await openStream(connection, protocol, limited);
        if (connection.direct || !this.#hasDirect(candidate.peer)) return this.#channel(stream, connection);
        stream.abort(new Error('a direct connection has opened meanwhile'));
      }
    } catch (error) {
      throw connectError(error, candidate.peer, protocol, signal.aborted || this.#stopping.signal.aborted);
    }
  }

  async serve(protocol: string, handler: (channel: Channel) => Promise<void>): Promise<void> {
    const runOnLimitedConnection = THROUGH_RELAYS.has(protocol);
    const answer = async (stream: Stream, connection: Connection): Promise<void> => {
      if (!connection.direct && !runOnLimitedConnection) {
        stream.abort(new Error('this protocol is not spoken through relays'));
        return;
      }
      if (this.#isFull(connection)) {
        stream.abort(new Error('too many channels are open'));
        return;
      }
      const channel = this.#channel(stream, connection);
      try {
        await handler(channel);
      } catch (error) {
        this.#log('debug', 'a channel was aborted', { protocol, reason: (error as Error).message });
        channel.abort(error as Error);
      }
    };
    this.#crowd.counts(protocol);
    await this.#libp2p.handle(protocol, answer, {
      maxInboundStreams: MAX_CHANNELS_PER_PEER,
      maxOutboundStreams: MAX_CHANNELS_PER_PEER,
      runOnLimitedConnection,
    });
  }

  find(
    id: BlockId,
    hints: readonly Hint[],
    signal: AbortSignal,
    onAsked?: (nodes: number) => void,
  ): AsyncIterable<Candidate> {
    return this.#discovery.find(id, hints, signal, onAsked);
  }

  announce(id: BlockId): void {
    this.#discovery.announce(id);
  }

  unannounce(id: BlockId): void {
    this.#discovery.unannounce(id);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#discovery.stop(), this.#portMapping?.then(mapping => mapping.stop()), this.#hop?.stop()]);
    // The other side must not take our end for the end of what was said.
    for (const [channel, { stream }] of this.#channels) {
      if (stream.writeStatus === 'writable') channel.abort(new Error('the node stops'));
    }
    await Promise.all(this.#libp2p.getConnections().map(connection => hangUp(connection)));
    await this.#libp2p.stop();
    this.#libp2p.services.interfaces.forget();
    await this.#closeStore();
  }

  /** An open connection to the candidate; what was not told by strangers is dialled wherever it leads. */
  async #dial({ peer, addresses, via }: Candidate, mayRelay: boolean, signal: AbortSignal): Promise<Connection> {
    const targets = addresses.flatMap(text => targetOf(text, peer));
    if (via !== 'dht') targets.forEach(address => this.#gater.allow(address));
    return await dialPeer(this.#phone, peer, targets, mayRelay, signal);
  }

  #hasDirect(peer: string): boolean {
    const connections = this.#libp2p.getConnections(peerIdFromString(peer));
    return connections.some(({ direct, status }) => direct && status === 'open');
  }

  /** A direct connection has opened: what we have through relays to the same peer ends, and whoever uses it dials again. */
  #takeOver(peer: string): void {
    const left = new Set<Connection>();
    for (const [channel, { stream, connection }] of this.#channels) {
      if (channel.peer !== peer || connection.direct || stream.direction !== 'outbound') continue;
      channel.abort(new Error('a direct connection takes its place'));
      left.add(connection);
    }
    for (const connection of left) this.#leave(connection);
  }

  /** Whom we have dialled through a relay has said where else it is. */
  #goDirect({ connection, listenAddrs, signedPeerRecord }: IdentifyResult): void {
    if (connection.direct || connection.direction !== 'outbound') return;
    const told = [...listenAddrs, ...(signedPeerRecord?.addresses ?? [])];
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
    void dialDirectly(this.#phone, connection, told, signal).catch((error: unknown) =>
      this.#log('debug', 'a peer behind a relay can not be reached directly', { reason: reasonOf(error) }),
    );
  }

  /** Closes a connection that is not needed any more by who calls, unless something else runs over it. */
  #leave(connection: Connection): void {
    const isUsed = [...this.#channels.values()].some(open => open.connection === connection);
    const carries = connection.streams.some(({ protocol }) => CIRCUIT_PROTOCOLS.includes(protocol));
    if (connection.direction === 'outbound' && !isUsed && !carries) void hangUp(connection);
  }

  #makeReservations(): Reservations {
    const around = {
      clock: this.#clock,
      log: this.#log,
      connect: (relay: string, addresses: readonly Multiaddr[], signal: AbortSignal) =>
        this.#dialRelay(relay, addresses, signal),
      leave: (connection: Connection) => {
        this.#kept.delete(connection);
        this.#leave(connection);
      },
      ask: async (connection: Connection, signal: AbortSignal) => {
        const [{ askForReservation }] = await Promise.all([import('./reserving.ts'), this.#circuit.load()]);
        return await askForReservation(connection, signal);
      },
      networks: () =>
        Object.values(networkInterfaces())
          .flatMap(some => some?.map(({ address }) => address) ?? [])
          .join(),
      changed: (relays: readonly string[], addresses: readonly Multiaddr[]) => {
        this.#gater.takeThrough(relays);
        if (this.#stopping.signal.aborted) return;
        this.#circuit.listenAt(addresses);
        this.#discovery.addressesChanged();
      },
    };
    return new Reservations(around, this.#stopping.signal);
  }

  /** A connection of our own to a relay: one that the relay has dialled says nothing of where it can be reached. */
  async #dialRelay(relay: string, addresses: readonly Multiaddr[], signal: AbortSignal): Promise<Connection> {
    const open = this.#libp2p
      .getConnections(peerIdFromString(relay))
      .find(({ direct, direction, status }) => direct && direction === 'outbound' && status === 'open');
    const connection = open ?? (await this.#libp2p.dial([...addresses], { signal, force: true }));
    this.#kept.add(connection);
    return connection;
  }

  /** Only the node of a home needs this, and only it loads it. */
  async #mapPort(): Promise<PortMapping> {
    const { PortMapping } = await import('./port-mapping.ts');
    const { interfaces } = this.#libp2p.services;
    const onMapped = (mapping: Mapping | undefined): void => {
      if (this.#mapping !== undefined) interfaces.unmap(this.#mapping);
      if (mapping !== undefined) interfaces.map(mapping);
      this.#mapping = mapping;
    };
    return new PortMapping({ listening: () => interfaces.listening(), onMapped, clock: this.#clock, log: this.#log });
  }

  #channel(stream: Stream, connection: Connection): Channel {
    const remote = {
      peer: connection.remotePeer.toString(),
      address: connection.remoteAddr.toString(),
      path: pathOf(connection),
    };
    const channel = channelOf(stream, remote, this.#clock, this.#lines.below(stream), this.#rates);
    if (stream.status === 'open') {
      this.#channels.set(channel, { stream, connection });
      stream.addEventListener('close', () => this.#channels.delete(channel), { once: true });
    }
    return channel;
  }

  #isFull(connection: Connection): boolean {
    const peer = connection.remotePeer.toString();
    const ofPeer = [...this.#channels.keys()].filter(channel => channel.peer === peer).length;
    return this.#channels.size >= 2 * MAX_CHANNELS || ofPeer >= 2 * MAX_CHANNELS_PER_PEER;
  }

  async #watchCrowd(): Promise<void> {
    for (;;) {
      await this.#clock.sleep(CROWD_CHECK_MS, this.#stopping.signal);
      this.#crowd.sweep(this.#clock.monotonic());
    }
  }

  /**
   * Keeps a connection to a starting point, for as long as the node runs. One that had no place for us is left alone for
   * longer each time.
   */
  async #stayConnected(address: Multiaddr): Promise<void> {
    const signal = this.#stopping.signal;
    for (let retryMs = MIN_RETRY_MS; ; retryMs = Math.min(2 * retryMs, MAX_RETRY_MS)) {
      try {
        const limited = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
        const connection = await this.#libp2p.dial(address, { signal: limited });
        const openedMs = this.#clock.monotonic();
        await closed(connection, signal);
        if (this.#clock.monotonic() - openedMs > MAX_RETRY_MS) retryMs = MIN_RETRY_MS;
      } catch (error) {
        if (!signal.aborted) this.#log('debug', 'a starting point can not be reached', { reason: reasonOf(error) });
      }
      await this.#clock.sleep(retryMs, signal);
    }
  }
}

/** Under which a node believes it can be reached. */
function addressesOf(libp2p: Libp2p<Services>): Multiaddr[] {
  libp2p.services.interfaces.announce();
  return libp2p.getMultiaddrs();
}

function limitsOf(rates: Rates | undefined): { maxUp?: number; maxDown?: number } {
  const [maxUp, maxDown] = [rates?.up.limit, rates?.down.limit];
  return { ...(maxUp === undefined ? {} : { maxUp }), ...(maxDown === undefined ? {} : { maxDown }) };
}

function pathOf({ direct }: Connection): Path {
  return direct ? 'direct' : 'relay';
}

/** Opens a stream. A connection that does not answer is given up, so that the next attempt makes a new one. */
async function openStream(connection: Connection, protocol: string, signal: AbortSignal): Promise<Stream> {
  try {
    return await connection.newStream(protocol, {
      signal,
      maxOutboundStreams: MAX_CHANNELS_PER_PEER,
      runOnLimitedConnection: THROUGH_RELAYS.has(protocol),
    });
  } catch (error) {
    if ((signal.reason as Error | undefined)?.name === 'TimeoutError') connection.abort(error as Error);
    throw error;
  }
}
