/**
 * Whether the short steps on a file system are done in the calling thread. On a local disk they take microseconds, and
 * handing each to another thread costs several times that; on a slow one, or over a network, each waits, and should not let
 * the whole program wait with it.
 */
import { SLOW_STEP_MS } from '../limits.ts';

const SMOOTHING = 0.1;

export class Pace {
  #averageMs = 0;

  get isSlow(): boolean {
    return this.#averageMs > SLOW_STEP_MS;
  }

  /** Does a step: in this thread as `here`, or, once steps have turned out to be slow, as `elsewhere`. */
  async step<T>(here: () => T, elsewhere: () => Promise<T>): Promise<T> {
    if (this.isSlow) return await elsewhere();
    const begunMs = performance.now();
    try {
      return here();
    } finally {
      this.#averageMs += SMOOTHING * (performance.now() - begunMs - this.#averageMs);
    }
  }
}
