/** How many complete copies there are elsewhere of what a home carries: looked at now and then, as long as somebody holds it. */
import type { Catalog, ShareRecord } from './catalog.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { parseHint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import { LOOK_CHECK_MS, LOOK_RENEWAL_MS, LOOK_START_MS } from './limits.ts';
import type { Log } from './ports.ts';
import { candidateOf } from './relay-name.ts';
import { isOnlyCarried } from './room.ts';
import { verify, type VerifyDeps } from './verify.ts';

export interface LooksDeps extends VerifyDeps {
  readonly catalog: Pick<Catalog, 'list' | 'get' | 'copies' | 'relays' | 'noteCopies'>;
  readonly log: Log;
}

export class Looks {
  readonly #deps: LooksDeps;
  readonly #stopping = new AbortController();
  /** Those under way. */
  readonly #looks = new Map<BlockId, Promise<number>>();
  #nap = new AbortController();
  readonly #running: Promise<void>;

  constructor(deps: LooksDeps) {
    this.#deps = deps;
    this.#running = this.#watch().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted)
        deps.log('error', 'copies elsewhere are not looked for any more', { reason: (error as Error).message });
    });
  }

  /**
   * Counts who has all of a share and has shown some of it, with relays that have signed for it, and notes that.
   * @throws ShoalError `interrupted` when the node stops; the signal's reason
   */
  async look(id: BlockId, signal: AbortSignal): Promise<number> {
    let look = this.#looks.get(id);
    if (look === undefined) {
      look = this.#count(id).finally(() => this.#looks.delete(id));
      this.#looks.set(id, look);
    }
    const copies = await look;
    signal.throwIfAborted();
    return copies;
  }

  /** Something is carried since just now. */
  hurry(): void {
    this.#nap.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new ShoalError('interrupted', 'the node stops'));
    await Promise.allSettled([this.#running, ...this.#looks.values()]);
  }

  async #count(id: BlockId): Promise<number> {
    const { catalog, clock } = this.#deps;
    const relays = new Map(catalog.relays.list().map(relay => [relay.peer, relay]));
    const stored = catalog.copies
      .list(id)
      .filter(
        ({ state, checkedAt, until = 0 }) =>
          state === 'stored' && checkedAt !== undefined && until * 1000 > clock.now(),
      );
    const known = stored.flatMap(({ relay }) => {
      const record = relays.get(relay);
      return record === undefined ? [] : [{ ...candidateOf(record), via: 'relay' as const }];
    });
    const hints = (catalog.get(id)?.hints ?? []).map(parseHint);
    const holders = await verify(this.#deps, { id, hints, known }, () => undefined, this.#stopping.signal);
    const complete = holders.filter(({ problem }) => problem === undefined).map(({ peer }) => peer);
    // A relay that could not be reached has still signed for it.
    const unreached = holders.filter(({ problem, has }) => problem !== undefined && has === undefined);
    const signed = stored.filter(({ relay }) => unreached.some(({ peer }) => peer === relay)).map(({ relay }) => relay);
    const copies = new Set([...complete, ...signed]).size;
    catalog.noteCopies(id, copies, Math.floor(clock.now() / 1000));
    return copies;
  }

  async #watch(): Promise<void> {
    // Who has just come to a network has met nobody yet.
    await this.#sleep(LOOK_START_MS);
    for (;;) {
      this.#nap = new AbortController();
      for (const { id } of this.#deps.catalog.list().filter(record => this.#isDue(record))) {
        this.#stopping.signal.throwIfAborted();
        try {
          await this.look(id, this.#stopping.signal);
        } catch (error) {
          if (!isShoalError(error) || this.#stopping.signal.aborted) throw error;
          this.#deps.log('warn', 'can not look how many copies there are elsewhere', { reason: error.message });
        }
      }
      await this.#sleep(LOOK_CHECK_MS);
    }
  }

  #isDue(record: ShareRecord): boolean {
    const { state, lookedAt = 0 } = record;
    return isOnlyCarried(record) && state === 'ready' && lookedAt * 1000 < this.#deps.clock.now() - LOOK_RENEWAL_MS;
  }

  async #sleep(ms: number): Promise<void> {
    const nap = AbortSignal.any([this.#nap.signal, this.#stopping.signal]);
    await this.#deps.clock.sleep(ms, nap).catch(() => undefined);
    this.#stopping.signal.throwIfAborted();
  }
}
