/** Finding who has a share, and being found: link hints, the local network and the DHT, all at once (docs/protocol.md). */
import type { PeerInfo } from '@libp2p/interface';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { dayOf, rendezvous, type BlockId } from '../format/ids.ts';
import type { Hint } from '../format/hint.ts';
import {
  DHT_QUERY_TIMEOUT_MS,
  LOOKUP_INTERVAL_MS,
  MAX_CANDIDATES,
  MAX_CLOCK_DRIFT_MS,
  MAX_TOLD_PROVIDERS,
  MIN_RETRY_MS,
  NETWORK_CHECK_MS,
} from '../limits.ts';
import type { Candidate, Clock, Log, RelayPlace } from '../ports.ts';
import { Announcer } from './announcing.ts';
import type { Dht } from './dht.ts';
import type { Gater } from './gater.ts';
import type { Lan } from './lan.ts';

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
  /** Relays that are asked for every share. */
  relays(): readonly RelayPlace[];
}

export class Discovery {
  readonly #around: Surroundings;
  readonly #stopped = new AbortController();
  #announcer: Announcer | undefined;
  readonly #running = new Set<Promise<void>>();
  /** Ended when there is something to notice. */
  #nap = new AbortController();

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
    this.#fromRelays(found);
    for (const hint of hints)
      if (hint.kind === 'relay') this.#run(until, () => this.#fromRelayHint(hint.text, found, until));
    this.#run(until, () => this.#fromLan(found, until));
    this.#run(until, () => this.#fromDht(id, found, onAsked, until));
    try {
      yield* found.candidates();
    } finally {
      ended.abort();
    }
  }

  announce(id: BlockId): void {
    const { dht, clock, log } = this.#around;
    if (dht === undefined) return;
    if (this.#announcer === undefined) {
      const announcer = new Announcer(dht, clock, log);
      this.#announcer = announcer;
      this.#run(this.#stopped.signal, () => announcer.run(this.#stopped.signal));
    }
    this.#announcer.announce(id);
  }

  unannounce(id: BlockId): void {
    this.#run(this.#stopped.signal, async () => this.#announcer?.unannounce(id));
  }

  /** This node's addresses may have changed: that is looked at now. */
  addressesChanged(): void {
    this.#nap.abort();
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

  /** What the user has named is dialled wherever it leads. */
  #fromRelays(found: Found): void {
    for (const { peer, addresses } of this.#around.relays()) {
      if (peer === this.#around.self) continue;
      addresses.forEach(address => this.#around.gater.allow(multiaddr(address)));
      found.add({ peer, addresses: addresses.map(address => withPeer(multiaddr(address), peer)), via: 'relay' });
    }
  }

  /** A relay that a link names by its host tells where it is. It is a stranger's word, as are the addresses that it tells. */
  async #fromRelayHint(relay: string, found: Found, signal: AbortSignal): Promise<void> {
    const { gater, log, self } = this.#around;
    try {
      const { fetchRelayInfo } = await import('./relay-info.ts');
      const { peer, addresses } = await fetchRelayInfo(relay, { stranger: true, signal });
      const usable = addresses.filter(address => gater.allows(multiaddr(address)));
      if (peer !== self && usable.length > 0) found.add({ peer, addresses: usable, via: 'relay' });
    } catch (error) {
      if (!signal.aborted)
        log('debug', 'a relay that a link names was not found', { reason: (error as Error).message });
    }
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
        if (event.name === 'PROVIDER')
          event.providers.slice(0, MAX_TOLD_PROVIDERS).forEach(provider => this.#provides(provider, found));
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

  /** After a change of addresses, or when the machine slept, everything is announced again at once. */
  async #noticeChanges(): Promise<void> {
    const { clock } = this.#around;
    const look = () => ({ addresses: this.#around.addresses().join(), driftMs: clock.now() - clock.monotonic() });
    for (let before = look(); ;) {
      this.#nap = new AbortController();
      await clock
        .sleep(NETWORK_CHECK_MS, AbortSignal.any([this.#stopped.signal, this.#nap.signal]))
        .catch(() => undefined);
      this.#stopped.signal.throwIfAborted();
      const now = look();
      const moved = now.addresses !== before.addresses || Math.abs(now.driftMs - before.driftMs) > MAX_CLOCK_DRIFT_MS;
      if (moved) this.#announcer?.again();
      before = now;
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
