/** Clocks of one test that can be set while processes run by them. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Sandbox, StartOptions } from './harness.ts';

const PRELOAD = fileURLToPath(new URL('./moved-clock.ts', import.meta.url));

export class MovedClock {
  readonly #file: string;
  #aheadMs = 0;

  private constructor(file: string) {
    this.#file = file;
  }

  /** One that says that it is `iso` now, and goes on from there. */
  static async at(box: Sandbox, name: string, iso: string): Promise<MovedClock> {
    const clock = new MovedClock(box.path(`${name}.clock`));
    await clock.set(iso);
    return clock;
  }

  /** Sets it, also for the processes that run. */
  async set(iso: string): Promise<void> {
    this.#aheadMs = Date.parse(iso) - Date.now();
    await writeFile(this.#file, String(this.#aheadMs));
  }

  /** What it says. */
  now(): number {
    return Date.now() + this.#aheadMs;
  }

  /** Has a process run by it. */
  get options(): Required<Pick<StartOptions, 'env'>> {
    const flags = `--import=${PRELOAD} --disable-warning=ExperimentalWarning`;
    return { env: { MOVED_CLOCK_FILE: this.#file, NODE_OPTIONS: flags, TZ: 'UTC' } };
  }
}
