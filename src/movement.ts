import { MOVED_BYTES, NOBODY_FOUND_NOTICE_MS } from './limits.ts';

/** For how long nothing has moved in a download. All times are in ms of a clock that only goes forward. */
export class Movement {
  #movedMs: number;
  #saidMs: number;
  #unnoticedBytes = 0;

  constructor(nowMs: number) {
    this.#movedMs = this.#saidMs = nowMs;
  }

  moved(nowMs: number): void {
    this.#movedMs = nowMs;
    this.#unnoticedBytes = 0;
  }

  /** Notes bytes of a block that is not complete: that moves only once there are MOVED_BYTES of them. */
  received(bytes: number, nowMs: number): void {
    this.#unnoticedBytes += bytes;
    if (this.#unnoticedBytes >= MOVED_BYTES) this.moved(nowMs);
  }

  stillMs(nowMs: number): number {
    return nowMs - this.#movedMs;
  }

  /** Whether it is time to say what is waited for, which then counts as said. */
  isToBeSaid(nowMs: number): boolean {
    if (nowMs - Math.max(this.#movedMs, this.#saidMs) < NOBODY_FOUND_NOTICE_MS) return false;
    this.#saidMs = nowMs;
    return true;
  }
}
