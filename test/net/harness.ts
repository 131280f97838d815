/** What the network's tests share: clocks, and two libp2p nodes on loopback that open plain streams to each other. */
import { noise } from '@chainsafe/libp2p-noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { createLibp2p } from 'libp2p';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { MAX_READ_BUFFER_BYTES, MAX_STREAM_WINDOW_BYTES } from '../../src/limits.ts';
import type { NetworkOptions } from '../../src/net/node.ts';
import type { Clock } from '../../src/ports.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    sleepFor(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      throw signal?.reason ?? error;
    }),
};

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #now: number;
  #monotonic = 0;
  #sleepers: Sleeper[] = [];
  #changed = new EventTarget();

  constructor(now = 1_800_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const sleeper = { at: this.#monotonic + ms, wake: () => settle(resolve) };
      const settle = (how: () => void): void => {
        signal?.removeEventListener('abort', interrupt);
        this.#sleepers = this.#sleepers.filter(other => other !== sleeper);
        how();
      };
      const interrupt = (): void => settle(() => reject(signal?.reason as Error));
      signal?.addEventListener('abort', interrupt);
      this.#sleepers.push(sleeper);
      this.#changed.dispatchEvent(new Event('sleep'));
    });
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Resolves when at least `count` sleep. */
  async until(count: number): Promise<void> {
    while (this.#sleepers.length < count) await once(this.#changed, 'sleep');
  }

  /** Moves both clocks and wakes who is due. */
  advance(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
    this.#sleepers.filter(sleeper => sleeper.at <= this.#monotonic).forEach(sleeper => sleeper.wake());
  }
}

/** Options of a node that listens on loopback only, under a key of its own. */
export function loopbackNode(options: Partial<NetworkOptions> = {}): NetworkOptions {
  return {
    seed: randomBytes(32),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    mdns: false,
    dht: 'off',
    clock: systemClock,
    log: () => undefined,
    ...options,
  };
}

const PROTOCOL = '/test/1';

/** Two nodes with one connection, over which tests open streams. */
export class Wire {
  readonly #near: Libp2p;
  readonly #far: Libp2p;
  readonly connection: Connection;
  readonly #arrived: Stream[] = [];
  readonly #events = new EventTarget();

  private constructor(near: Libp2p, far: Libp2p, connection: Connection) {
    this.#near = near;
    this.#far = far;
    this.connection = connection;
  }

  static async make(): Promise<Wire> {
    const [near, far] = await Promise.all([plainNode(), plainNode()]);
    const connection = await near.dial(far.getMultiaddrs());
    const wire = new Wire(near, far, connection);
    await far.handle(
      PROTOCOL,
      stream => {
        wire.#arrived.push(stream);
        wire.#events.dispatchEvent(new Event('stream'));
      },
      { maxInboundStreams: 1000, maxOutboundStreams: 1000 },
    );
    return wire;
  }

  /** A new stream, seen from both ends. */
  async stream(): Promise<[Stream, Stream]> {
    const near = await this.connection.newStream(PROTOCOL, { maxOutboundStreams: 1000 });
    for (;;) {
      const far = this.#arrived.shift();
      if (far !== undefined) return [near, far];
      await once(this.#events, 'stream');
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#near.stop(), this.#far.stop()]);
  }
}

function plainNode(): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES, maxReadBufferLength: MAX_READ_BUFFER_BYTES },
      }),
    ],
  });
}
