/**
 * How long the clock has run evenly. A clock that is wrong for a moment comes and goes in jumps; what can't be undone waits
 * until there was none for long enough. What can be undone need not.
 */
import { MAX_CLOCK_DRIFT_MS } from './limits.ts';
import type { Clock } from './ports.ts';

/** How a clock is found. */
export interface Look {
  /** For how long it has run evenly, as far as that was seen. */
  readonly evenMs: number;
  /** By how much it has jumped since the last look, ahead or (negative) back; 0 where it has not. */
  readonly jumpMs: number;
}

export class Steady {
  readonly #clock: Clock;
  #driftMs: number;
  #evenSinceMs: number;

  /** Begins to look now. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#driftMs = this.#drift();
    this.#evenSinceMs = clock.monotonic();
  }

  /** To be called now and then: a clock that jumps ahead and back in between has not jumped. */
  look(): Look {
    const driftMs = this.#drift();
    const jumpMs = driftMs - this.#driftMs;
    const hasJumped = Math.abs(jumpMs) > MAX_CLOCK_DRIFT_MS;
    if (hasJumped) this.#evenSinceMs = this.#clock.monotonic();
    this.#driftMs = driftMs;
    return { evenMs: this.#clock.monotonic() - this.#evenSinceMs, jumpMs: hasJumped ? jumpMs : 0 };
  }

  #drift(): number {
    return this.#clock.now() - this.#clock.monotonic();
  }
}
