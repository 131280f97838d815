/**
 * Ends what has an end, for as long as somebody holds the home: by the clock it is not served or announced any more, which can
 * be undone; what this home keeps of it as ciphertext goes once the clock has run evenly for an hour past the end, for good.
 */
import type { Catalog } from './catalog.ts';
import { isShoalError, ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { CLOCK_DIFFERENCE_MS, CLOCK_NOTE_MS, EXPIRY_CHECK_MS, STEADY_CLOCK_MS } from './limits.ts';
import type { Clock, Log } from './ports.ts';
import { Steady } from './steady.ts';

export interface ExpiringDeps {
  readonly catalog: Pick<Catalog, 'expiries' | 'get' | 'markExpired'>;
  readonly clock: Clock;
  readonly log: Log;
  /** By the clock it has ended: it is not to be served or announced. */
  readonly onOver: (id: BlockId) => void;
  /** It has ended, and that can be believed: who serves it need not wait for the clock to be set right. */
  readonly onEnded: (id: BlockId) => void;
  /** The clock was wrong: it has not ended after all. */
  readonly onBack: (id: BlockId) => void;
  /** The shares of which there is ciphertext. */
  readonly kept: () => Promise<readonly BlockId[]>;
  /** Removes the ciphertext of a share that is marked as expired, and nothing else. @throws ShoalError */
  readonly drop: (id: BlockId, signal: AbortSignal) => Promise<void>;
  /** The clock has jumped by more than an hour, ahead or (negative) back. */
  readonly onJump: (jumpMs: number) => void;
}

/** A jump of the clock, and when that was seen, by the monotonic clock. */
interface Jump {
  readonly jumpMs: number;
  readonly seenMs: number;
}

export class Expiring {
  readonly #deps: ExpiringDeps;
  readonly #steady: Steady;
  readonly #stopping = new AbortController();
  /** What is over by the clock; true where that has been told as its end. */
  readonly #over = new Map<BlockId, boolean>();
  /** What is marked and of which nothing is left here. */
  readonly #gone = new Set<BlockId>();
  #jump: Jump | undefined;
  readonly #running: Promise<void>;

  constructor(deps: ExpiringDeps) {
    this.#deps = deps;
    this.#steady = new Steady(deps.clock);
    this.#running = this.#watch().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted)
        deps.log('error', 'shares do not end by themselves any more', { reason: (error as Error).message });
    });
  }

  /** Milliseconds by which the clock has jumped of late, ahead or (negative) back; undefined where it has not by more than an hour. */
  get jumpMs(): number | undefined {
    const isRecent = this.#jump !== undefined && this.#deps.clock.monotonic() - this.#jump.seenMs < CLOCK_NOTE_MS;
    return isRecent ? this.#jump?.jumpMs : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new ShoalError('interrupted', 'the node stops'));
    await this.#running;
  }

  async #watch(): Promise<void> {
    const { clock } = this.#deps;
    const { signal } = this.#stopping;
    for (;;) await clock.sleep(await this.#look(), signal);
  }

  /** @returns milliseconds until the next look */
  async #look(): Promise<number> {
    const { catalog, clock } = this.#deps;
    const { evenMs, jumpMs } = this.#steady.look();
    if (Math.abs(jumpMs) > CLOCK_DIFFERENCE_MS) this.#noteJump(jumpMs);
    const nowMs = clock.now();
    let nextMs = EXPIRY_CHECK_MS;
    const over = new Set<BlockId>();
    const removable: BlockId[] = [];
    await this.#unlessFailing(async () => {
      for (const { id, expires, isOver } of catalog.expiries()) {
        const agoMs = isOver ? Infinity : nowMs - expires * 1000;
        if (agoMs < 0) {
          nextMs = Math.min(nextMs, -agoMs);
          continue;
        }
        over.add(id);
        this.#end(id, isOver || evenMs >= Math.min(agoMs, STEADY_CLOCK_MS));
        if (isOver || Math.min(evenMs, agoMs) >= STEADY_CLOCK_MS) removable.push(id);
      }
      for (const id of this.#over.keys()) if (!over.has(id)) this.#undo(id);
      await this.#remove(removable.filter(id => !this.#gone.has(id)));
    });
    return Math.max(1, Math.ceil(nextMs));
  }

  /** @param isBelieved the clock ran evenly when it passed the end, or has for long enough since */
  #end(id: BlockId, isBelieved: boolean): void {
    const told = this.#over.get(id);
    if (told === undefined) this.#deps.onOver(id);
    if (isBelieved && told !== true) this.#deps.onEnded(id);
    this.#over.set(id, told === true || isBelieved);
  }

  /** The clock was wrong, or it is not known here any more. */
  #undo(id: BlockId): void {
    this.#over.delete(id);
    this.#gone.delete(id);
    this.#deps.onBack(id);
  }

  /** Marks shares, and removes their ciphertext: in this order, so that a crash in between leaves what the next look removes. */
  async #remove(ids: readonly BlockId[]): Promise<void> {
    const { catalog, drop, kept } = this.#deps;
    if (ids.length === 0) return;
    const there = new Set(await kept());
    for (const id of ids)
      await this.#unlessFailing(async () => {
        // A grant is nothing but a block of the catalog.
        if (catalog.get(id) !== undefined) {
          catalog.markExpired(id);
          if (there.has(id)) await drop(id, this.#stopping.signal);
        }
        this.#gone.add(id);
      });
  }

  /** Does what may fail now, as on a disk that is full, and is done again at the next look. */
  async #unlessFailing(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#stopping.signal.aborted || !isShoalError(error)) throw error;
      this.#deps.log('warn', 'can not end what has expired now; it is tried again', { reason: error.message });
    }
  }

  #noteJump(jumpMs: number): void {
    const { clock, log, onJump } = this.#deps;
    this.#jump = { jumpMs, seenMs: clock.monotonic() };
    const hours = Math.round(Math.abs(jumpMs) / 3_600_000);
    log('warn', 'the clock has jumped; where the machine slept, that is as it should be', {
      direction: jumpMs > 0 ? 'ahead' : 'back',
      hours,
    });
    onJump(jumpMs);
  }
}
