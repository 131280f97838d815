/**
 * A limit of bytes per second that many share: a bucket of tokens. Who waits is served in turn, a slice each time, so that
 * a little is not kept waiting behind a lot; and what passes is spread evenly over the time.
 */
import { MAX_SLICE_BYTES, MIN_SLICE_BYTES, RATE_BURST_MS, SLICE_MS } from './limits.ts';
import type { Clock } from './ports.ts';

/** The limits of a node, each for all its channels together. */
export interface Rates {
  readonly up: Rate;
  readonly down: Rate;
}

interface Waiter {
  readonly bytes: number;
  readonly pass: (bytes: number) => void;
}

export class Rate {
  readonly #clock: Clock;
  /** Bytes per second; undefined where there is no limit. */
  readonly limit: number | undefined;
  /** Those who must not wait long, and the others; each waits with one slice, so there are as many as there are channels. */
  readonly #urgent: Waiter[] = [];
  readonly #waiting: Waiter[] = [];
  /** From when on the next slice may pass, by the monotonic clock; what passed before has been paid for by then. */
  #freeMs = -Infinity;
  #isServing = false;

  /** @param limit bytes per second; none when absent */
  constructor(clock: Clock, limit?: number) {
    this.#clock = clock;
    this.limit = limit;
  }

  /**
   * Resolves to how many of `bytes` may pass now: at least one, at most a slice, and all of them where there is no limit.
   * @param urgent goes before what is not
   * @throws the signal's reason
   */
  take(bytes: number, signal: AbortSignal, urgent = false): Promise<number> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const queue = urgent ? this.#urgent : this.#waiting;
      const waiter: Waiter = {
        bytes,
        pass: passed => {
          signal.removeEventListener('abort', giveUp);
          resolve(passed);
        },
      };
      const giveUp = (): void => {
        queue.splice(queue.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      queue.push(waiter);
      if (!this.#isServing) void this.#serve();
    });
  }

  /** Lets those who wait pass, one after the other, until nobody does. */
  async #serve(): Promise<void> {
    this.#isServing = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const waitMs = this.limit === undefined ? 0 : this.#freeMs - this.#clock.monotonic();
      if (waitMs > 0) await this.#clock.sleep(waitMs);
      else this.#pass(next);
    }
    this.#isServing = false;
  }

  #next(): Waiter | undefined {
    return this.#urgent[0] ?? this.#waiting[0];
  }

  #pass(next: Waiter): void {
    (next === this.#urgent[0] ? this.#urgent : this.#waiting).shift();
    const { bytes } = next;
    if (this.limit === undefined) {
      next.pass(bytes);
      return;
    }
    const slice = Math.round(Math.min(MAX_SLICE_BYTES, Math.max(MIN_SLICE_BYTES, (this.limit * SLICE_MS) / 1000)));
    const passed = Math.min(bytes, slice);
    // Time in which nothing passed is made up for a little only.
    const fromMs = Math.max(this.#freeMs, this.#clock.monotonic() - RATE_BURST_MS);
    this.#freeMs = fromMs + (1000 * passed) / this.limit;
    next.pass(passed);
  }
}
