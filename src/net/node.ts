/** The Network port over libp2p: TCP and WebSockets, noise or TLS, yamux, and what discovery.ts needs. */
import { noise } from '@chainsafe/libp2p-noise';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { identify, type Identify } from '@libp2p/identify';
import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface';
import { kadDHT, passthroughMapper, type KadDHT } from '@libp2p/kad-dht';
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id';
import { ping, type Ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { CODE_P2P, multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import type { LevelDatastore } from 'datastore-level';
import { createLibp2p, type ServiceFactoryMap } from 'libp2p';
import { ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import type { Hint } from '../format/hint.ts';
import { quoted } from '../format/quoted.ts';
import {
  CROWD_CHECK_MS,
  DIAL_TIMEOUT_MS,
  HANG_UP_MS,
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
  SURVEY_MS,
} from '../limits.ts';
import type { Rates } from '../rate.ts';
import type { Candidate, Channel, Clock, ConnectedPeer, Log, Network, NetworkStatus, Survey } from '../ports.ts';
import type { Hop } from './hop.ts';
import type { Mapping, PortMapping } from './port-mapping.ts';
import { Crowd } from './crowd.ts';
import { Discovery } from './discovery.ts';
import { routingTableSize } from './dht.ts';
import { hopFor, servicesForOthers, type ForOthers } from './for-others.ts';
import { connectionGater, Gater, placeOf } from './gater.ts';
import { Lan } from './lan.ts';
import { lazyTls, lazyWebSockets } from './lazy.ts';
import { closed, Lines } from './lines.ts';
import { noiseCrypto } from './noise-crypto.ts';
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
  readonly dht: 'off' | 'client' | 'server' | 'auto';
  /** A folder for what is known about peers and announcements; in memory when absent. */
  readonly datastorePath?: string;
  /** Whether to ask the router of a private network for a port by which others can reach this node. */
  readonly portMapping?: boolean;
  /** Connections that it may have, dialled ones included; MAX_CONNECTIONS when absent. */
  readonly maxConnections?: number;
  /** Limits of all channels together; none when absent. */
  readonly rates?: Rates;
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
const DHT_PROTOCOL = '/shoal/kad/1.0.0';

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
      transports: [tcp(), await webSocketsFor(listen)],
      connectionEncrypters: [noise({ crypto: noiseCrypto }), lazyTls],
      // initialStreamWindowSize is not ours to choose: both sides must have the same.
      streamMuxers: [() => lines.noting(yamux({ streamOptions: STREAM_OPTIONS })())],
      connectionGater: connectionGater(gater, options.forOthers?.admission),
      connectionManager: {
        // The crowd keeps to the limit; libp2p would refuse who comes last.
        maxConnections: 2 * (options.maxConnections ?? MAX_CONNECTIONS),
        inboundConnectionThreshold: MAX_INBOUND_PER_SECOND,
        // Admission counts a connection before its handshake, by who it is from; libp2p would refuse who comes last.
        maxIncomingPendingConnections:
          options.forOthers === undefined ? MAX_PENDING_INBOUND : (options.maxConnections ?? MAX_CONNECTIONS),
        inboundUpgradeTimeout: INBOUND_HANDSHAKE_MS,
        dialTimeout: DIAL_TIMEOUT_MS,
      },
      peerDiscovery: lan === undefined ? [] : [lan.service],
      services: {
        ...servicesOf(options.dht, bootstrap),
        ...(await servicesForOthers(options)),
      },
    });
    const hop = await hopFor(options, {
      ...{ libp2p, privateKey },
      addresses: () => addressesOf(libp2p),
      lineBelow: stream => lines.below(stream),
    });
    return new Libp2pNetwork(libp2p, gater, lines, lan, bootstrap, options, async () => datastore?.close(), hop);
  } catch (error) {
    await datastore?.close();
    throw listenError(error);
  }
}

/** Only the node of a home has a store, and only it loads what that needs. */
async function storeAt(path: string | undefined, self: PeerId): Promise<LevelDatastore | undefined> {
  if (path === undefined) return undefined;
  const { openDatastore } = await import('./datastore.ts').catch(nativePartError);
  return await openDatastore(path, self);
}

/** Only who listens on WebSockets loads them when it starts. */
async function webSocketsFor(listen: readonly Multiaddr[]): Promise<typeof lazyWebSockets> {
  if (!listen.some(address => address.getComponents().some(({ name }) => name === 'ws'))) return lazyWebSockets;
  return (await import('./websockets.ts')).webSocketTransport;
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

interface Services extends Record<string, unknown> {
  readonly identify: Identify;
  readonly ping: Ping;
  readonly interfaces: Interfaces;
  readonly dht?: KadDHT;
  readonly autonat?: unknown;
}

interface Interfaces {
  /** What is listened on, of each interface. */
  listening(): Multiaddr[];
  /** Adds an address under which others reach this node through a router, or takes it back. */
  map(mapping: Mapping): void;
  unmap(mapping: Mapping): void;
  /** Lets libp2p announce the public addresses of this machine's own interfaces, which it otherwise keeps to itself. */
  announce(): void;
  /** Ends libp2p's wait before it notes that the listeners have closed, which would keep the process for a second. */
  forget(): void;
}

interface WithPendingUpdate {
  readonly _updatePeerStoreAddresses?: { readonly stop?: () => void };
}

function servicesOf(mode: NetworkOptions['dht'], bootstrap: readonly Multiaddr[]): ServiceFactoryMap<Services> {
  return {
    identify: identify(),
    ping: ping(),
    interfaces: ({ addressManager, transportManager }) => ({
      listening: () => transportManager.getAddrs(),
      map: ({ host, port, externalHost, externalPort }) => {
        addressManager.addPublicAddressMapping(host, port, externalHost, externalPort, 'tcp');
        addressManager.confirmObservedAddr(multiaddr(`/ip4/${externalHost}/tcp/${externalPort}`), {
          type: 'ip-mapping',
        });
      },
      unmap: ({ host, port, externalHost, externalPort }) =>
        addressManager.removePublicAddressMapping(host, port, externalHost, externalPort, 'tcp'),
      announce: () =>
        transportManager
          .getAddrs()
          .filter(address => placeOf(address) === 'public')
          .forEach(address => addressManager.confirmObservedAddr(address, { type: 'transport' })),
      forget: () => (addressManager as WithPendingUpdate)._updatePeerStoreAddresses?.stop?.(),
    }),
    ...(mode === 'off' ? {} : { dht: kadDHT({ ...DHT_OPTIONS, ...clientMode(mode, bootstrap) }) }),
  };
}

const DHT_OPTIONS = {
  protocol: DHT_PROTOCOL,
  // The gater decides whom we dial; a private network has private addresses only.
  peerInfoMapper: passthroughMapper,
  // Otherwise everything waits for ever for a first peer.
  allowQueryWithZeroPeers: true,
} as const;

/** Without `clientMode` kad-dht becomes a server once the node has a public address. */
function clientMode(mode: 'client' | 'server' | 'auto', bootstrap: readonly Multiaddr[]): { clientMode?: boolean } {
  if (mode !== 'auto') return { clientMode: mode === 'client' };
  const near = bootstrap.length > 0 && bootstrap.every(address => !['public', 'name'].includes(placeOf(address)));
  return near ? { clientMode: false } : {};
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
  readonly #rates: Rates | undefined;
  readonly #maxConnections: number;
  readonly #startingPoints: number;
  readonly #channels = new Map<Channel, Stream>();
  readonly #stopping = new AbortController();
  readonly #portMapping: Promise<PortMapping> | undefined;
  #mapping: Mapping | undefined;
  readonly #closeStore: () => Promise<void>;
  readonly #hop: Hop | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    libp2p: Libp2p<Services>,
    gater: Gater,
    lines: Lines,
    lan: Lan | undefined,
    bootstrap: readonly Multiaddr[],
    { clock, log, rates, maxConnections = MAX_CONNECTIONS, portMapping = false, onGone }: NetworkOptions,
    closeStore: () => Promise<void>,
    hop: Hop | undefined,
  ) {
    this.self = libp2p.peerId.toString();
    this.#libp2p = libp2p;
    this.#gater = gater;
    this.#lan = lan;
    this.#clock = clock;
    this.#log = log;
    this.#closeStore = closeStore;
    this.#hop = hop;
    const { dht } = libp2p.services;
    this.#discovery = new Discovery({
      self: this.self,
      ...{ dht, lan, gater, clock, log },
      addresses: () => this.addresses(),
    });
    this.#lines = lines;
    this.#rates = rates;
    this.#maxConnections = maxConnections;
    this.#crowd = new Crowd(
      () => libp2p.getConnections(),
      maxConnections,
      connection => hop?.keeps(connection) ?? false,
    );
    hop?.protocols.forEach(protocol => this.#crowd.counts(protocol));
    libp2p.addEventListener('peer:disconnect', ({ detail }) => onGone?.(detail.toString()));
    libp2p.addEventListener('connection:open', ({ detail }) => this.#crowd.opened(detail));
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
      maxConnections: this.#maxConnections,
      ...limitsOf(this.#rates),
      ...(this.#hop === undefined ? {} : { lent: this.#hop.lent }),
    };
  }

  peers(): ConnectedPeer[] {
    return this.#libp2p.getConnections().map(({ remotePeer, remoteAddr, direction, timeline }) => ({
      peer: remotePeer.toString(),
      address: remoteAddr.toString(),
      direction: direction === 'inbound' ? 'in' : 'out',
      since: Math.floor(timeline.open / 1000),
    }));
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
    await Promise.race([aborted, this.#portMapping?.then(mapping => mapping.settled)]);
    signal.removeEventListener('abort', onAbort);
  }

  async connect(candidate: Candidate, protocol: string, signal: AbortSignal): Promise<Channel> {
    const limited = AbortSignal.any([signal, this.#stopping.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
    try {
      this.#crowd.counts(protocol);
      const connection = await this.#dial(candidate, limited);
      const stream = await openStream(connection, protocol, limited);
      return this.#channel(stream, connection);
    } catch (error) {
      throw connectError(error, candidate.peer, protocol, signal.aborted || this.#stopping.signal.aborted);
    }
  }

  async serve(protocol: string, handler: (channel: Channel) => Promise<void>): Promise<void> {
    const answer = async (stream: Stream, connection: Connection): Promise<void> => {
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
    for (const [channel, stream] of this.#channels) {
      if (stream.writeStatus === 'writable') channel.abort(new Error('the node stops'));
    }
    await Promise.all(this.#libp2p.getConnections().map(connection => hangUp(connection)));
    await this.#libp2p.stop();
    this.#libp2p.services.interfaces.forget();
    await this.#closeStore();
  }

  /** An open connection to the candidate; what was not told by strangers is dialled wherever it leads. */
  async #dial({ peer, addresses, via }: Candidate, signal: AbortSignal): Promise<Connection> {
    const targets = addresses.flatMap(text => targetOf(text, peer));
    if (via !== 'dht') targets.forEach(address => this.#gater.allow(address));
    const [open] = this.#libp2p.getConnections(peerIdFromString(peer)).filter(each => each.status === 'open');
    return open ?? this.#libp2p.dial(targets.length > 0 ? targets : peerIdFromString(peer), { signal });
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
    const remote = { peer: connection.remotePeer.toString(), address: connection.remoteAddr.toString() };
    const channel = channelOf(stream, remote, this.#clock, this.#lines.below(stream), this.#rates);
    if (stream.status === 'open') {
      this.#channels.set(channel, stream);
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

/** @throws ShoalError `usage` */
function readMultiaddr(text: string): Multiaddr {
  try {
    return multiaddr(text);
  } catch (cause) {
    throw new ShoalError(
      'usage',
      `cannot use ${quoted(text)} as an address: it is not a multiaddr like /ip4/192.0.2.1/tcp/4001`,
      { cause },
    );
  }
}

/** The peer id that a multiaddr ends in. */
function peerOf(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(part => part.code === CODE_P2P)?.value;
}

/** An address of `peer` as it can be dialled; nothing when it is another's or can not be read. */
function targetOf(text: string, peer: string): Multiaddr[] {
  try {
    const address = multiaddr(text);
    const target = peerOf(address) === undefined ? address.encapsulate(`/p2p/${peer}`) : address;
    return peerOf(target) === peer ? [target] : [];
  } catch {
    return [];
  }
}

/** Opens a stream. A connection that does not answer is given up, so that the next attempt makes a new one. */
async function openStream(connection: Connection, protocol: string, signal: AbortSignal): Promise<Stream> {
  try {
    return await connection.newStream(protocol, { signal, maxOutboundStreams: MAX_CHANNELS_PER_PEER });
  } catch (error) {
    if ((signal.reason as Error | undefined)?.name === 'TimeoutError') connection.abort(error as Error);
    throw error;
  }
}

/** Closes a connection. libp2p's own close waits in vain when the other side closes at the same moment. */
async function hangUp(connection: Connection): Promise<void> {
  const over = closed(connection, AbortSignal.timeout(HANG_UP_MS));
  await Promise.race([over, connection.close()]).catch((error: unknown) => connection.abort(error as Error));
}

function connectError(error: unknown, peer: string, protocol: string, interrupted: boolean): ShoalError {
  const cause = { cause: error };
  if (interrupted) return new ShoalError('interrupted', `stopped connecting to peer ${peer}`, cause);
  if ((error as Error).name === 'UnsupportedProtocolError') {
    return new ShoalError('protocol', `cannot open a channel to peer ${peer}: it does not speak ${protocol}`, cause);
  }
  return new ShoalError('not-found', `cannot reach peer ${peer}: ${reasonOf(error)}`, cause);
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(reasonOf))].join('; ');
  return (error as Error).message;
}

/** libp2p says which addresses failed in lines of the message only. */
function listenError(error: unknown): unknown {
  if ((error as Error).name !== 'UnsupportedListenAddressesError') return error;
  const failed = (error as Error).message.matchAll(/^ {2}(\/\S+): (.*)$/gm);
  const reasons = [...failed].map(([, address, reason = '']) => {
    if (reason.includes('EADDRINUSE')) return `${address} (another program uses the port)`;
    if (reason.includes('EADDRNOTAVAIL')) return `${address} (this machine has no such address)`;
    if (reason.includes('EACCES')) return `${address} (the port is for the administrator only)`;
    return `${address} (${reason === '' ? 'no transport for such an address' : reason})`;
  });
  const next = 'choose another address or port, by --listen, --port or in the configuration';
  return new ShoalError('io', `cannot listen on ${reasons.join(', ')}; ${next}`, { cause: error });
}
