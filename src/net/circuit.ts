/**
 * The transport for connections through relays (circuit relay v2), and going direct from there (DCUtR). Both are loaded with
 * the first use. Reservations are ours (reservations.ts): libp2p's store of them looks for relays by itself, gives one up for
 * good that could not be dialled once, and can't release a single one; here it never makes any.
 */
import type { CircuitRelayTransportComponents } from '@libp2p/circuit-relay-v2';
import type { DCUtRServiceComponents } from '@libp2p/dcutr';
import {
  start,
  stop,
  transportSymbol,
  TypedEventEmitter,
  type Connection,
  type Listener,
  type ListenerEvents,
  type Transport,
} from '@libp2p/interface';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { CHUNKS_PROTOCOL } from '../protocol/messages.ts';
import { NOTICE_PROTOCOL } from '../protocol/notice-messages.ts';
import { isRelayed } from './gater.ts';

type Components = CircuitRelayTransportComponents & DCUtRServiceComponents;

/** What a node listens on to be reached through relays: wherever it has reserved. */
const CIRCUIT_LISTEN = '/p2p-circuit';

/**
 * Our own protocols that may be spoken through a relay, which lends its line to strangers: fetching has to get through, and a
 * notice to who can't be reached otherwise.
 */
export const THROUGH_RELAYS: ReadonlySet<string> = new Set([CHUNKS_PROTOCOL, NOTICE_PROTOCOL]);

/** Streams of these carry connections of others, or of this node to others. */
export const CIRCUIT_PROTOCOLS: readonly string[] = [
  '/libp2p/circuit/relay/0.2.0/hop',
  '/libp2p/circuit/relay/0.2.0/stop',
];

export class Circuit {
  readonly #listener = new CircuitListener();
  #components: Components | undefined;
  #loading: Promise<Transport> | undefined;
  #parts: readonly unknown[] = [];

  /** For libp2p. */
  readonly transport = (components: Components): Transport => {
    this.#components = components;
    const ownAddress = (addresses: Multiaddr[]): Multiaddr[] =>
      addresses.filter(address => address.toString() === CIRCUIT_LISTEN);
    const parts = {
      [Symbol.toStringTag]: '@libp2p/circuit-relay-v2-transport',
      [transportSymbol]: true as const,
      dialFilter: (addresses: Multiaddr[]) => addresses.filter(isRelayed),
      // Nothing else: the transport that is loaded would reserve at every relay through which somebody comes.
      listenFilter: ownAddress,
      dial: async (...dialling: Parameters<Transport['dial']>): Promise<Connection> =>
        (await this.load()).dial(...dialling),
      createListener: () => this.#listener,
      start: () => undefined,
      stop: () => stop(...this.#parts),
    };
    return parts;
  };

  /** Answers relays, and peers that would go direct, from now on. */
  load(): Promise<Transport> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /** A new connection through a relay, also where there are others to the same peer; the caller has asked the gater. */
  async dial(address: Multiaddr, signal: AbortSignal): Promise<Connection> {
    const { upgrader } = this.#started;
    return (await this.load()).dial(address, { signal, upgrader });
  }

  /** Says by which addresses, all through relays, this node can be reached now. */
  listenAt(addresses: readonly Multiaddr[]): void {
    const { addressManager } = this.#started;
    for (const address of addresses) addressManager.confirmObservedAddr(address, { type: 'transport' });
    this.#listener.change(addresses);
  }

  get #started(): Components {
    if (this.#components === undefined) throw new Error('relays are used before the node has started');
    return this.#components;
  }

  async #load(): Promise<Transport> {
    const components = this.#started;
    const [{ circuitRelayTransport }, { dcutr }] = await Promise.all([
      import('@libp2p/circuit-relay-v2'),
      import('@libp2p/dcutr'),
    ]);
    const transport = circuitRelayTransport()(components);
    this.#parts = [transport, dcutr()(components)];
    await start(...this.#parts);
    // Not from the beginning: with one address that can be listened on, libp2p forgives others that can't.
    await components.transportManager.listen([multiaddr(CIRCUIT_LISTEN)]);
    return transport;
  }
}

class CircuitListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  #addresses: readonly Multiaddr[] = [];

  change(addresses: readonly Multiaddr[]): void {
    this.#addresses = addresses;
    this.safeDispatchEvent('listening');
  }

  async listen(): Promise<void> {}

  getAddrs(): Multiaddr[] {
    return [...this.#addresses];
  }

  updateAnnounceAddrs(): void {}

  async close(): Promise<void> {
    this.#addresses = [];
    this.safeDispatchEvent('close');
  }
}
