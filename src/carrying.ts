/** What a home carries for others: room for more of it, and how many others have it. */
import { randomBytes } from 'node:crypto';
import { systemClock } from './clock.ts';
import type { OpeningDeps } from './download.ts';
import { ShoalError } from './errors.ts';
import { refuseOver } from './expired.ts';
import type { FetchEvent } from './fetch.ts';
import { parseHint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import { fileKey } from './format/keys.ts';
import type { Link } from './format/link.ts';
import type { Home } from './home.ts';
import { LOOK_CHUNKS } from './limits.ts';
import { Looks } from './looks.ts';
import type { ShareRecord } from './catalog.ts';
import type { Candidate, ChunkStore, Crypto, Log, Network } from './ports.ts';
import type { Standing } from './records.ts';
import { isOnlyCarried, makeRoom, type Dropped } from './room.ts';
import { sample, type Sample } from './sample.ts';
import { seed, type SeedDeps } from './seed.ts';
import type { Service } from './service.ts';
import type { SourceSummary } from './source.ts';
import { memoryStore } from './store/memory.ts';

export interface CarryingDeps {
  readonly home: Home;
  /** Absent where nobody can be asked. */
  readonly network: Network | undefined;
  readonly service: Service;
  /** Whether this process holds the home: only then copies elsewhere are looked for. */
  readonly holds: boolean;
  readonly crypto: Pick<Crypto, 'verify'>;
  readonly log: Log;
  /** Does `work` on a share while nothing else is at work on it, and gives up soon where something is. @throws ShoalError `in-use` */
  readonly alone: <T>(id: BlockId, signal: AbortSignal, work: () => Promise<T>) => Promise<T>;
  /** … and waits as long as it takes. */
  readonly inTurn: <T>(id: BlockId, signal: AbortSignal, work: () => Promise<T>) => Promise<T>;
  /** Where blocks come from. */
  readonly sources: () => OpeningDeps;
  readonly stateOf: (record: ShareRecord) => Promise<Standing>;
  /** Told that a share that is got is in the catalog. */
  readonly onKnown: (id: BlockId) => void;
  /** Forgets a share where that is to be dropped still. @throws ShoalError `in-use` */
  readonly forget: (id: BlockId, isStill: (record: ShareRecord) => boolean, signal: AbortSignal) => Promise<void>;
}

export class Carrying {
  readonly #deps: CarryingDeps;
  readonly #looks: Looks | undefined;
  /** Shares that a seed is getting. */
  readonly #seeding = new Set<BlockId>();
  /** Shares that have room reserved. */
  readonly #coming = new Set<BlockId>();
  readonly #listeners = new Set<(dropped: Dropped) => void>();

  constructor(deps: CarryingDeps) {
    this.#deps = deps;
    const { home, network, holds, log } = deps;
    if (holds && network !== undefined)
      this.#looks = new Looks({
        network,
        catalog: home.catalog,
        clock: systemClock,
        log,
        sample: (id, from, signal) => this.#sample(network, id, from, signal),
      });
    home.store.makeRoom = (neededBytes, wanted, signal) => this.#makeRoom(neededBytes, wanted, signal);
  }

  /** Keeps room for a share that is being got until the returned function is called. @throws ShoalError `disk-full` */
  async reserve(id: BlockId, totalBytes: number, signal: AbortSignal): Promise<() => void> {
    this.#coming.add(id);
    try {
      const release = await this.#deps.home.store.reserve(id, totalBytes, signal);
      return () => {
        release();
        this.#coming.delete(id);
      };
    } catch (error) {
      this.#coming.delete(id);
      throw error;
    }
  }

  /**
   * Gets the ciphertext of a share into this home. Another seed of the same share is waited for, after which the rest is little or
   * nothing.
   * @returns who gave how much; nobody where the home has the share already
   * @throws ShoalError `usage` when the home has it from files that are not as they were; `refused` where it was withdrawn or has
   *   expired; `in-use`; as `seed` does
   */
  async seed(
    link: Link,
    timeoutMs: number | undefined,
    onEvent: (event: FetchEvent) => void,
    onKnown: () => void,
    signal: AbortSignal,
  ): Promise<readonly SourceSummary[]> {
    const { id } = link;
    this.refuseEnded(id);
    const work = async (): Promise<readonly SourceSummary[]> => {
      this.#seeding.add(id);
      try {
        return await this.#seedAlone(link, timeoutMs, onEvent, onKnown, signal);
      } finally {
        this.#seeding.delete(id);
      }
    };
    if (!this.#seeding.has(id)) return await this.#deps.alone(id, signal, work);
    onEvent({ event: 'waiting', why: 'another command of this home gets it at the moment' });
    return await this.#deps.inTurn(id, signal, work);
  }

  /** @throws ShoalError `refused` for what nobody is to serve any more */
  refuseEnded(id: BlockId): void {
    const { home } = this.#deps;
    home.refuseWithdrawn(id, 'seed the share');
    refuseOver(home, id, 'carry the share', systemClock);
  }

  async #seedAlone(
    { id, key, hints }: Link,
    timeoutMs: number | undefined,
    onEvent: (event: FetchEvent) => void,
    onKnown: () => void,
    signal: AbortSignal,
  ): Promise<readonly SourceSummary[]> {
    const { home, sources } = this.#deps;
    const { catalog, store } = home;
    const record = catalog.get(id);
    if (record !== undefined && record.source !== 'imported' && !(await this.#lacksItsCopy(record))) {
      await this.#refuseUnlessWhole(record);
      onKnown();
      return [];
    }
    const known = catalog.keyOf(id);
    const request = {
      id,
      // What was known of it is not forgotten when it is asked for by its id alone.
      key: key ?? (known === undefined ? undefined : fileKey(known)),
      hints: hints.length > 0 ? hints : (record?.hints ?? []).map(parseHint),
      timeoutMs,
      onKnown: () => {
        home.forgetSources();
        this.#deps.onKnown(id);
        onKnown();
      },
    };
    const reserve: SeedDeps['reserve'] = (share, bytes, stop) => this.reserve(share, bytes, stop);
    const got = await seed({ ...sources(), catalog, store, reserve }, request, onEvent, signal);
    this.#looks?.hurry();
    return got;
  }

  /** Whether a copy is not there any more, as in a home that was restored from its backup. */
  async #lacksItsCopy(record: ShareRecord): Promise<boolean> {
    return record.source === 'copy' && (await this.#deps.stateOf(record)).state === 'missing';
  }

  async #refuseUnlessWhole(record: ShareRecord): Promise<void> {
    const { state } = await this.#deps.stateOf(record);
    if (state !== 'changed' && state !== 'missing') return;
    throw new ShoalError(
      'usage',
      `cannot seed share ${record.id}: this home has it from files of its own, which are ${state}; run "shoal forget ${record.id}" first, and seed it then`,
    );
  }

  /** Told of each share that was dropped to make room. */
  onDropped(listener: (dropped: Dropped) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    await this.#looks?.stop();
  }

  async #makeRoom(neededBytes: number, wanted: BlockId, signal: AbortSignal): Promise<void> {
    const { home, forget, log } = this.#deps;
    const looks = this.#looks;
    const isAskedFor = (id: BlockId): boolean => this.#coming.has(id) || this.#deps.service.isAskedFor(id);
    await makeRoom(
      {
        catalog: home.catalog,
        clock: systemClock,
        bytesOf: id => home.store.bytesOf(id),
        isAskedFor,
        look: looks === undefined ? undefined : (id, stop) => looks.look(id, stop),
        drop: (id, stop) => forget(id, record => isOnlyCarried(record) && !isAskedFor(record.id), stop),
        onDropped: dropped => {
          const { bytes, copiesElsewhere } = dropped;
          log('info', 'dropped a share that was carried, to make room', { bytes, copiesElsewhere });
          for (const listener of this.#listeners) listener(dropped);
        },
      },
      neededBytes,
      wanted,
      signal,
    );
  }

  /** Fetches some chunks from a peer. What the share consists of is known here, and need not come again. */
  async #sample(network: Network, id: BlockId, from: Candidate, signal: AbortSignal): Promise<Sample> {
    const { crypto, home } = this.#deps;
    const memory = memoryStore();
    const isWhole = (await home.store.have(id)) === 'all';
    // The share block is asked for all the same: the peer is to show that it knows the share.
    const store: ChunkStore = !isWhole
      ? memory
      : {
          ...memory,
          have: share => home.store.have(share),
          read: (share, at, stop) => (at.kind === 'share' ? memory : home.store).read(share, at, stop),
        };
    const deps = { network, crypto, clock: systemClock, random: randomBytes, store };
    return await sample(deps, { id, from, most: LOOK_CHUNKS }, signal);
  }
}
