/** A clock that stands still until a test moves it: hours pass in no time, and what sleeps for ever is seen. */
import type { Clock } from '../../src/ports.ts';

export interface SimClock extends Clock {
  /** How many wait for a time to come. */
  readonly sleepers: number;
  /** Lets `ms` pass, and all that wakes meanwhile do what it does. */
  advance(ms: number): Promise<void>;
  /**
   * Lets time pass, from one sleeper's waking to the next, until `work` has ended. Fails when it has not after `limitMs`, or
   * when nothing sleeps and nothing happens any more.
   */
  run<T>(work: Promise<T>, limitMs?: number): Promise<T>;
}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

const START_MS = Date.UTC(2026, 0, 15, 12);
/** Turns of the event loop in which nothing but time can be waited for any more. */
const QUIET_TURNS = 60;
const HOUR_MS = 3600_000;

export function simClock(): SimClock {
  const sleepers = new Set<Sleeper>();
  let elapsedMs = 0;

  const next = (): Sleeper | undefined => {
    let first: Sleeper | undefined;
    for (const sleeper of sleepers) if (first === undefined || sleeper.dueMs < first.dueMs) first = sleeper;
    return first;
  };
  const wakeUntil = async (limitMs: number): Promise<void> => {
    await quiet();
    for (let first = next(); first !== undefined && first.dueMs <= limitMs; first = next()) {
      elapsedMs = Math.max(elapsedMs, first.dueMs);
      sleepers.delete(first);
      first.wake();
      await quiet();
    }
  };

  const clock: SimClock = {
    now: () => START_MS + elapsedMs,
    monotonic: () => elapsedMs,
    get sleepers() {
      return sleepers.size;
    },

    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason as Error);
        const onAbort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason as Error);
        };
        const sleeper: Sleeper = {
          dueMs: elapsedMs + ms,
          wake: () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },

    async advance(ms) {
      const until = elapsedMs + ms;
      await wakeUntil(until);
      elapsedMs = until;
    },

    async run<T>(work: Promise<T>, limitMs = HOUR_MS): Promise<T> {
      const until = elapsedMs + limitMs;
      let ended = false;
      work.then(
        () => (ended = true),
        () => (ended = true),
      );
      for (let idle = 0; !ended; idle++) {
        await quiet(() => ended);
        if (ended) break;
        const first = next();
        // Files are read and written in real time, which is waited for here.
        if (first === undefined && idle > 200) throw new Error('nothing happens, and nothing sleeps');
        if (first === undefined) continue;
        if (first.dueMs > until) throw new Error(`it has not ended after ${limitMs} ms`);
        idle = 0;
        elapsedMs = Math.max(elapsedMs, first.dueMs);
        sleepers.delete(first);
        first.wake();
      }
      return await work;
    },
  };
  return clock;
}

/** Lets all that can go on without time go on. */
export async function quiet(isOver: () => boolean = () => false): Promise<void> {
  for (let turn = 0; turn < QUIET_TURNS && !isOver(); turn++) await new Promise(resolve => setImmediate(resolve));
}
