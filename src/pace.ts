/**
 * Whether steps that are short on a quiet local disk are done in the calling thread: then handing one to another thread costs
 * more than the step. On a slow disk, or over a network, each waits, and should not let the whole program wait with it.
 */
import { SLOW_FOR_MS } from './limits.ts';

/** One step out of many may take long because the machine is busy. */
const SMOOTHING = 0.1;

export class Pace {
  readonly #limitMs: number;
  #averageMs = 0;
  #slowUntilMs = 0;

  /** @param limitMs what a step may take on average */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Does a step: in this thread as `here`, or, for some time after steps have turned out to be slow, as `elsewhere`. */
  async step<T>(here: () => T | Promise<T>, elsewhere: () => Promise<T>): Promise<T> {
    return await (performance.now() < this.#slowUntilMs ? elsewhere() : this.#timed(here));
  }

  /** Does a step in this thread and gives what it returned, in a list of one; undefined while steps are slow. */
  now<T>(here: () => T): [T] | undefined {
    return performance.now() < this.#slowUntilMs ? undefined : [this.#timed(here)];
  }

  #timed<T>(step: () => T): T {
    const begunMs = performance.now();
    try {
      return step();
    } finally {
      this.#took(performance.now() - begunMs);
    }
  }

  #took(ms: number): void {
    this.#averageMs += SMOOTHING * (ms - this.#averageMs);
    if (this.#averageMs <= this.#limitMs) return;
    this.#averageMs = 0;
    this.#slowUntilMs = performance.now() + SLOW_FOR_MS;
  }
}
