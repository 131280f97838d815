/** Being found in the DHT: keeps shares announced under the keys of today and tomorrow (docs/protocol.md). */
import { dayOf, rendezvous, type BlockId } from '../format/ids.ts';
import {
  DHT_QUERY_TIMEOUT_MS,
  MAX_ALONE_CHECK_MS,
  MAX_PARALLEL_ANNOUNCEMENTS,
  MAX_RETRY_MS,
  MIN_RETRY_MS,
  REANNOUNCE_MS,
} from '../limits.ts';
import { inParallel } from '../parallel.ts';
import type { Clock, Log } from '../ports.ts';
import { routingTableSize, type Dht } from './dht.ts';

/** How the announcement of a share stands. */
interface Announced {
  /** Those that it was announced under last. */
  days: readonly number[];
  /** When it is to be announced the next time, by the monotonic clock. */
  dueMs: number;
  retryMs: number;
  /** While it is being announced: ends that. */
  busy: AbortController | undefined;
  /** What is being said is outdated already. */
  isOutdated: boolean;
}

/** One loop for all shares: a node of a thousand does nothing as long as none is due, or as there is nobody to tell. */
export class Announcer {
  readonly #dht: Dht;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #shares = new Map<BlockId, Announced>();
  #nap = new AbortController();
  /** How long it waits where nobody is known. */
  #aloneMs = MIN_RETRY_MS;

  constructor(dht: Dht, clock: Clock, log: Log) {
    this.#dht = dht;
    this.#clock = clock;
    this.#log = log;
  }

  announce(id: BlockId): void {
    if (this.#shares.has(id)) return;
    this.#shares.set(id, { days: [], dueMs: 0, retryMs: MIN_RETRY_MS, busy: undefined, isOutdated: false });
    this.#nap.abort();
  }

  /** kad-dht would go on announcing what it once was told to. */
  async unannounce(id: BlockId): Promise<void> {
    const announced = this.#shares.get(id);
    this.#shares.delete(id);
    // What is on the way is withdrawn when it ends.
    if (announced?.busy !== undefined) announced.busy.abort();
    else if (announced !== undefined) await this.#withdraw(id, announced.days);
  }

  /** Announces everything again at once: addresses have changed, or the machine slept. */
  again(): void {
    for (const announced of this.#shares.values()) {
      announced.dueMs = 0;
      announced.isOutdated = announced.busy !== undefined;
    }
    this.#nap.abort();
  }

  /** Until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      this.#nap = new AbortController();
      const isAlone = routingTableSize(this.#dht) === 0;
      await inParallel(this.#due(isAlone), MAX_PARALLEL_ANNOUNCEMENTS, id => this.#tell(id, signal));
      const aloneMs = this.#aloneMs;
      this.#aloneMs = isAlone ? Math.min(2 * aloneMs, MAX_ALONE_CHECK_MS) : MIN_RETRY_MS;
      await this.#sleep(isAlone ? aloneMs : this.#untilDue(), signal);
    }
  }

  /** Where nobody is known, a client does not even try, and a server keeps each announcement once a day. */
  #due(isAlone: boolean): BlockId[] {
    if (isAlone && this.#dht.getMode() === 'client') return [];
    const [now, today] = [this.#clock.monotonic(), this.#today()];
    const due = [...this.#shares].filter(([, { dueMs, days }]) => dueMs <= now && !(isAlone && days[0] === today));
    return due.map(([id]) => id);
  }

  #untilDue(): number {
    let nextMs = Infinity;
    for (const { dueMs } of this.#shares.values()) nextMs = Math.min(nextMs, dueMs);
    return Math.max(0, Math.min(REANNOUNCE_MS, nextMs - this.#clock.monotonic()));
  }

  async #tell(id: BlockId, stop: AbortSignal): Promise<void> {
    const announced = this.#shares.get(id);
    if (announced === undefined) return;
    const busy = new AbortController();
    const signal = AbortSignal.any([stop, busy.signal]);
    announced.busy = busy;
    try {
      const today = this.#today();
      const wanted = [today, today + 1];
      const old = announced.days.filter(day => !wanted.includes(day));
      announced.days = wanted;
      await this.#withdraw(id, old);
      const told = await Promise.all(wanted.map(day => this.#provide(id, day, signal)));
      const isTold = told.every(peers => peers > 0);
      this.#log('debug', isTold ? 'announced a share' : 'nobody took an announcement yet', {
        peers: Math.min(...told),
      });
      const pauseMs = isTold ? this.#untilAgain() : announced.retryMs;
      announced.dueMs = announced.isOutdated ? 0 : this.#clock.monotonic() + pauseMs;
      announced.isOutdated = false;
      announced.retryMs = isTold ? MIN_RETRY_MS : Math.min(2 * announced.retryMs, MAX_RETRY_MS);
    } catch (error) {
      stop.throwIfAborted();
      if (!busy.signal.aborted) throw error;
    } finally {
      announced.busy = undefined;
      if (busy.signal.aborted && !stop.aborted) await this.#withdraw(id, announced.days);
    }
  }

  #today(): number {
    return dayOf(this.#clock.now() / 1000);
  }

  #untilAgain(): number {
    return Math.min(REANNOUNCE_MS, (this.#today() + 1) * 86_400_000 - this.#clock.now());
  }

  /** Announces under the key of one day; returns how many peers took it. */
  async #provide(id: BlockId, day: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const limited = AbortSignal.any([signal, AbortSignal.timeout(DHT_QUERY_TIMEOUT_MS)]);
    let peers = 0;
    try {
      for await (const event of this.#dht.provide(rendezvous(id, day), { signal: limited })) {
        if (event.name === 'PEER_RESPONSE' && event.messageName === 'ADD_PROVIDER') peers++;
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#log('debug', 'an announcement failed', { reason: (error as Error).message });
    }
    return peers;
  }

  async #withdraw(id: BlockId, days: readonly number[]): Promise<void> {
    await Promise.all(days.map(day => this.#dht.cancelReprovide(rendezvous(id, day))));
  }

  /** Until the time is over, or something new is due. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const nap = this.#nap;
    try {
      await this.#clock.sleep(ms, AbortSignal.any([signal, nap.signal]));
    } catch (error) {
      signal.throwIfAborted();
      if (!nap.signal.aborted) throw error;
      this.#aloneMs = MIN_RETRY_MS;
    }
  }
}
