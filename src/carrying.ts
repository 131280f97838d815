/** What a home carries for others: room for more of it, and how many others have it. */
import { randomBytes } from 'node:crypto';
import { systemClock } from './clock.ts';
import type { BlockId } from './format/ids.ts';
import type { Home } from './home.ts';
import { LOOK_CHUNKS } from './limits.ts';
import { Looks } from './looks.ts';
import type { ShareRecord } from './catalog.ts';
import type { Candidate, ChunkStore, Crypto, Log, Network } from './ports.ts';
import { isOnlyCarried, makeRoom, type Dropped } from './room.ts';
import { sample, type Sample } from './sample.ts';
import type { Service } from './service.ts';
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
  /** Forgets a share where that is to be dropped still. @throws ShoalError `in-use` */
  readonly forget: (id: BlockId, isStill: (record: ShareRecord) => boolean, signal: AbortSignal) => Promise<void>;
}

export class Carrying {
  readonly #deps: CarryingDeps;
  readonly #looks: Looks | undefined;
  /** Shares that are being got. */
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

  /** All of a share is here since just now. */
  arrived(): void {
    this.#looks?.hurry();
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
