/** A relay of libp2p's own for tests of its clients: on loopback, generous, and the same one again when it is started anew. */
import { noise } from '@chainsafe/libp2p-noise';
import { circuitRelayServer, type CircuitRelayServerInit, type CircuitRelayService } from '@libp2p/circuit-relay-v2';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { identify, type Identify } from '@libp2p/identify';
import type { Libp2p } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { randomBytes } from 'node:crypto';
import type { RelayPlace } from '../../src/ports.ts';

type Reserving = NonNullable<CircuitRelayServerInit['reservations']>;

/** Streams of this stay open for as long as the other side wants. */
export const HELD_PROTOCOL = '/test/held/1';

interface Services extends Record<string, unknown> {
  readonly identify: Identify;
  readonly relay: CircuitRelayService;
  readonly listening: () => string;
}

/** A relay that can be stopped and started again, on the same port and with the same key. */
export class Relay {
  readonly #seed: Uint8Array;
  readonly #reservations: Reserving;
  readonly #host: string;
  #port = 0;
  #node: Libp2p<Services> | undefined;

  private constructor(reservations: Reserving, host: string) {
    this.#host = host;
    this.#seed = randomBytes(32);
    this.#reservations = reservations;
  }

  static async start(reservations: Reserving = {}, host = '127.0.0.1'): Promise<Relay> {
    const relay = new Relay({ applyDefaultLimit: false, ...reservations }, host);
    await relay.start();
    return relay;
  }

  async start(): Promise<void> {
    const listen = [`/ip4/${this.#host}/tcp/${this.#port}`];
    this.#node = await createLibp2p<Services>({
      privateKey: await generateKeyPairFromSeed('Ed25519', this.#seed),
      addresses: { listen },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionManager: { inboundConnectionThreshold: 1000 },
      services: {
        identify: identify(),
        relay: circuitRelayServer({ reservations: this.#reservations }),
        listening:
          ({ transportManager }) =>
          () =>
            transportManager.getAddrs().join(),
      },
    });
    this.#port = Number(/tcp\/([0-9]+)/.exec(this.#node.services.listening())?.[1]);
    await this.#node.handle(HELD_PROTOCOL, () => undefined);
  }

  /** Where it is. */
  get place(): RelayPlace {
    return { peer: this.#running.peerId.toString(), addresses: [this.#address] };
  }

  /** Peers that have a reservation. */
  get reserved(): string[] {
    return [...this.#running.services.relay.reservations.keys()].map(String);
  }

  /** Peers that are connected. */
  get connected(): string[] {
    return this.#running.getConnections().map(({ remotePeer }) => remotePeer.toString());
  }

  /** The address of a peer through this relay. */
  addressOf(peer: string): string {
    return `${this.#address}/p2p-circuit/p2p/${peer}`;
  }

  /** Breaks all connections; those who had them are not told why. */
  cut(): void {
    for (const connection of this.#running.getConnections()) connection.abort(new Error('cut by the test'));
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
    this.#node = undefined;
  }

  get #address(): string {
    return `/ip4/${this.#host}/tcp/${this.#port}/p2p/${this.#running.peerId.toString()}`;
  }

  get #running(): Libp2p<Services> {
    if (this.#node === undefined) throw new Error('the relay does not run');
    return this.#node;
  }
}
