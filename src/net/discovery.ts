/** Finding who has a share, and being found: link hints, the local network and the DHT, all at once (docs/protocol.md). */
import type { PeerInfo } from '@libp2p/interface';
import type { KadDHT } from '@libp2p/kad-dht';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { dayOf, rendezvous, type BlockId } from '../format/ids.ts';
import type { Hint } from '../format/hint.ts';
import {
  DHT_QUERY_TIMEOUT_MS,
  LOOKUP_INTERVAL_MS,
  MAX_CANDIDATES,
  MAX_CLOCK_DRIFT_MS,
  MAX_PARALLEL_ANNOUNCEMENTS,
  MAX_RETRY_MS,
  MIN_RETRY_MS,
  NETWORK_CHECK_MS,
  REANNOUNCE_MS,
} from '../limits.ts';
import type { Candidate, Clock, Log } from '../ports.ts';
import type { Gater } from './gater.ts';
import type { Lan } from './lan.ts';

/** What is used of kad-dht. */
export type Dht = Pick<KadDHT, 'findProviders' | 'provide' | 'cancelReprovide' | 'getMode'> & {
  /** In every instance, though not in kad-dht's own type. */
  readonly routingTable?: { readonly size: number };
};

/** What discovery works with; without `dht` or `lan` those ways are not taken. */
export interface Surroundings {
  /** This node's peer id. */
  readonly self: string;
  readonly dht: Dht | undefined;
  readonly lan: Lan | undefined;
  readonly gater: Gater;
  readonly clock: Clock;
  readonly log: Log;
  /** The addresses under which this node can be reached now. */
  addresses(): string[];
}

export class Discovery {
  readonly #around: Surroundings;
  readonly #stopped = new AbortController();
  readonly #announced = new Map<BlockId, AbortController>();
  /** Naps that a change of the network ends. */
  readonly #naps = new Set<AbortController>();
  readonly #running = new Set<Promise<void>>();
  readonly #turns: Turns = new Turns(MAX_PARALLEL_ANNOUNCEMENTS);

  constructor(around: Surroundings) {
    this.#around = around;
    this.#run(this.#stopped.signal, () => this.#noticeChanges());
  }

  /** Announcements on the way end; what others were told lapses by itself. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.allSettled(this.#running);
  }

  /** See ports.ts. When one way fails, the others go on. */
  async *find(
    id: BlockId,
    hints: readonly Hint[],
    signal: AbortSignal,
    onAsked?: (nodes: number) => void,
  ): AsyncGenerator<Candidate, void> {
    const ended = new AbortController();
    const until = AbortSignal.any([signal, this.#stopped.signal, ended.signal]);
    const found = new Found(until);
    this.#fromHints(hints, found);
    this.#run(until, () => this.#fromLan(found, until));
    this.#run(until, () => this.#fromDht(id, found, onAsked, until));
    try {
      yield* found.candidates();
    } finally {
      ended.abort();
    }
  }

  announce(id: BlockId): void {
    if (this.#announced.has(id) || this.#around.dht === undefined) return;
    const ended = new AbortController();
    this.#announced.set(id, ended);
    const { dht } = this.#around;
    const until = AbortSignal.any([ended.signal, this.#stopped.signal]);
    this.#run(until, () => this.#keepAnnounced(dht, id, until));
  }

  unannounce(id: BlockId): void {
    this.#announced.get(id)?.abort();
    this.#announced.delete(id);
  }

  #fromHints(hints: readonly Hint[], found: Found): void {
    const byPeer = new Map<string, string[]>();
    for (const hint of hints) {
      if (hint.kind !== 'multiaddr' || hint.peer === this.#around.self) continue;
      this.#around.gater.startFrom(multiaddr(hint.text));
      byPeer.set(hint.peer, [...(byPeer.get(hint.peer) ?? []), hint.text]);
    }
    byPeer.forEach((addresses, peer) => found.add({ peer, addresses, via: 'hint' }));
  }

  async #fromLan(found: Found, signal: AbortSignal): Promise<void> {
    const { lan, gater, self } = this.#around;
    await lan?.search(({ peer, addresses }) => {
      if (peer === self) return;
      addresses.forEach(address => gater.allowNeighbour(address));
      const usable = addresses.filter(address => gater.allows(address)).map(String);
      if (usable.length > 0) found.add({ peer, addresses: usable, via: 'mdns' });
    }, signal);
  }

  async #fromDht(
    id: BlockId,
    found: Found,
    onAsked: ((nodes: number) => void) | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { dht, clock } = this.#around;
    if (dht === undefined) return;
    const asked = new Set<string>();
    const onAnswer = (node: string): void => {
      if (asked.size < MAX_CANDIDATES) asked.add(node);
      onAsked?.(asked.size);
    };
    // At first often: this node may know nobody yet, and who shares may have begun a moment ago.
    for (let retryMs = MIN_RETRY_MS; ; retryMs = Math.min(2 * retryMs, LOOKUP_INTERVAL_MS)) {
      const today = dayOf(clock.now() / 1000);
      await Promise.all([today, today + 1, today - 1].map(day => this.#lookUp(dht, id, day, found, onAnswer, signal)));
      await clock.sleep(retryMs, signal);
    }
  }

  /** One look-up under one key. A failure is an empty answer: it is asked again. */
  async #lookUp(
    dht: Dht,
    id: BlockId,
    day: number,
    found: Found,
    onAnswer: (node: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(DHT_QUERY_TIMEOUT_MS)]);
    try {
      for await (const event of dht.findProviders(rendezvous(id, day), { signal: limited })) {
        if (event.name === 'PROVIDER') event.providers.forEach(provider => this.#provides(provider, found));
        if (event.name === 'PEER_RESPONSE') onAnswer(event.from.toString());
      }
    } catch (error) {
      if (!signal.aborted) this.#around.log('debug', 'a DHT look-up failed', { reason: (error as Error).message });
    }
  }

  /** A provider told by strangers: of its addresses, those that may be dialled. Without any told, the network may know it. */
  #provides(provider: PeerInfo, found: Found): void {
    const peer = provider.id.toString();
    if (peer === this.#around.self) return;
    const usable = provider.multiaddrs.filter(address => this.#around.gater.allows(address));
    if (usable.length === 0 && provider.multiaddrs.length > 0) return;
    found.add({ peer, addresses: usable.map(address => withPeer(address, peer)), via: 'dht' });
  }

  async #keepAnnounced(dht: Dht, id: BlockId, signal: AbortSignal): Promise<void> {
    let days: number[] = [];
    try {
      for (let retryMs = MIN_RETRY_MS; ;) {
        const today = dayOf(this.#around.clock.now() / 1000);
        const wanted = [today, today + 1];
        await this.#withdraw(
          dht,
          id,
          days.filter(day => !wanted.includes(day)),
        );
        days = wanted;
        const told = await Promise.all(days.map(day => this.#turns.take(() => this.#provide(dht, id, day, signal))));
        const done = told.every(peers => peers > 0);
        this.#around.log('debug', done ? 'announced a share' : 'nobody took an announcement yet', {
          peers: Math.min(...told),
        });
        await this.#nap(done ? this.#untilAnnouncedAgain() : retryMs, signal);
        retryMs = done ? MIN_RETRY_MS : Math.min(2 * retryMs, MAX_RETRY_MS);
      }
    } finally {
      // kad-dht would go on announcing what it once was told to.
      if (!this.#stopped.signal.aborted) await this.#withdraw(dht, id, days);
    }
  }

  #untilAnnouncedAgain(): number {
    const now = this.#around.clock.now();
    const nextDay = (dayOf(now / 1000) + 1) * 86_400_000;
    return Math.min(REANNOUNCE_MS, nextDay - now);
  }

  /** Announces under the key of one day; returns how many peers took it. With nobody to tell a client does not even try. */
  async #provide(dht: Dht, id: BlockId, day: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    if (dht.getMode() === 'client' && routingTableSize(dht) === 0) return 0;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(DHT_QUERY_TIMEOUT_MS)]);
    let peers = 0;
    try {
      for await (const event of dht.provide(rendezvous(id, day), { signal: limited })) {
        if (event.name === 'PEER_RESPONSE' && event.messageName === 'ADD_PROVIDER') peers++;
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#around.log('debug', 'an announcement failed', { reason: (error as Error).message });
    }
    return peers;
  }

  async #withdraw(dht: Dht, id: BlockId, days: readonly number[]): Promise<void> {
    await Promise.all(days.map(day => dht.cancelReprovide(rendezvous(id, day))));
  }

  /** After a change of addresses, or when the machine slept, everything is announced again at once. */
  async #noticeChanges(): Promise<void> {
    const { clock } = this.#around;
    const look = () => ({ addresses: this.#around.addresses().join(), driftMs: clock.now() - clock.monotonic() });
    for (let before = look(); ;) {
      await clock.sleep(NETWORK_CHECK_MS, this.#stopped.signal);
      const now = look();
      const moved = now.addresses !== before.addresses || Math.abs(now.driftMs - before.driftMs) > MAX_CLOCK_DRIFT_MS;
      if (moved) this.#naps.forEach(nap => nap.abort());
      before = now;
    }
  }

  /** Sleeps until the time is over or the network changed. */
  async #nap(ms: number, signal: AbortSignal): Promise<void> {
    const nap = new AbortController();
    this.#naps.add(nap);
    try {
      await this.#around.clock.sleep(ms, AbortSignal.any([signal, nap.signal]));
    } catch (error) {
      signal.throwIfAborted();
      if (!nap.signal.aborted) throw error;
    } finally {
      this.#naps.delete(nap);
    }
  }

  /** Work that ends with its signal, and that stop() waits for. */
  #run(signal: AbortSignal, work: () => Promise<void>): void {
    const running = work().catch((error: unknown) => {
      if (signal.aborted) return;
      this.#around.log('warn', 'looking for peers or announcing ended early', { reason: (error as Error).message });
    });
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }
}

function withPeer(address: Multiaddr, peer: string): string {
  const text = address.toString();
  return text.endsWith(`/p2p/${peer}`) ? text : `${text}/p2p/${peer}`;
}

/** How many DHT servers this node knows. */
export function routingTableSize(dht: Dht): number {
  return dht.routingTable?.size ?? 0;
}

/** Candidates on their way from all the ways of finding to who asked, until the signal; those it can't take in time are dropped. */
class Found {
  readonly #signal: AbortSignal;
  #queue: Candidate[] = [];
  #wake: () => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(candidate: Candidate): void {
    if (this.#queue.length >= MAX_CANDIDATES) return;
    this.#queue.push(candidate);
    this.#wake();
  }

  async *candidates(): AsyncGenerator<Candidate, void> {
    const wake = () => this.#wake();
    this.#signal.addEventListener('abort', wake);
    try {
      while (!this.#signal.aborted) {
        const next = this.#queue.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>(resolve => (this.#wake = resolve));
      }
    } finally {
      this.#signal.removeEventListener('abort', wake);
    }
  }
}

/** At most so many of the given pieces of work run at once; the others wait for their turn. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>(resolve => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
