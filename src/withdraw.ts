/** Withdraws a share or grant of this home, or obeys its owner who has: on record first, then nobody is given it any more. */
import type { Catalog } from './catalog.ts';
import type { Deliveries } from './deliveries.ts';
import { isShoalError, ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { encodeStatement, signStatement } from './format/statement.ts';
import { hearWithdrawals } from './hear.ts';
import type { Turns } from './parallel.ts';
import type { ChunkStore, Clock, Log, Network } from './ports.ts';
import type { CheckedWithdrawal } from './protocol/withdrawn.ts';

/** What is signed: the owner's seed, of 32 bytes, and the block that is withdrawn. */
interface Withdrawable {
  readonly id: BlockId;
  readonly share: BlockId;
  readonly ownerSeed: Uint8Array;
  readonly block: Uint8Array;
}

/**
 * What this home needs to withdraw a share or grant that it has.
 * @throws ShoalError `usage` where it is not the owner; `unavailable` where the share block is damaged
 */
async function withdrawable(
  { catalog, store }: { readonly catalog: Catalog; readonly store: Pick<ChunkStore, 'read'> },
  id: BlockId,
): Promise<Withdrawable> {
  const grant = catalog.grants.get(id);
  const ownerSeed = grant === undefined ? catalog.ownerSeedOf(id) : catalog.grants.ownerSeedOf(id);
  if (ownerSeed === undefined) {
    const what = grant === undefined ? 'share' : 'grant';
    throw new ShoalError(
      'usage',
      `cannot withdraw ${what} ${id}: only who made it can, in the home in which that was; "shoal forget" ends serving it here`,
    );
  }
  if (grant !== undefined) return { id, share: grant.share, ownerSeed, block: grant.block };
  return { id, share: id, ownerSeed, block: await store.read(id, { kind: 'share' }) };
}

/** The owner's withdrawal. @param at Unix seconds */
function signWithdrawal({ id, share, ownerSeed, block }: Withdrawable, at: number): CheckedWithdrawal {
  const statement = encodeStatement(signStatement({ type: 'withdrawal', id, at }, ownerSeed));
  return { id, share, at, statement, block };
}

export interface WithdrawalsDeps {
  /** What a home keeps. `refuseWithdrawn` throws where something was withdrawn, `forgetSources` has its gate know what is on record. */
  readonly home: {
    readonly catalog: Catalog;
    readonly store: Pick<ChunkStore, 'read' | 'drop'>;
    readonly refuseWithdrawn: (id: BlockId, doing: string) => void;
    readonly forgetSources: () => void;
  };
  readonly service: {
    readonly peersOf: (id: BlockId) => readonly string[];
    /** Whether a share, or that of a grant, is served under a peer id of its own. */
    readonly isApart: (id: BlockId) => boolean;
    /** Ends serving and announcing what is on record as withdrawn, and the grants that end with it. */
    readonly endWithdrawn: (id: BlockId, grants: readonly BlockId[]) => void;
  };
  /** Of each share, one at a time writes or removes blocks. */
  readonly turns: Turns<BlockId>;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent where nobody is told, as the home is not held. */
  readonly deliveries: Deliveries | undefined;
}

/** The withdrawals of a home: its own, and those that it obeys. */
export class Withdrawals {
  readonly #deps: WithdrawalsDeps;
  /** What is being fetched or taken in, and ends when that is withdrawn. */
  readonly #atWork = new Set<{ readonly id: BlockId; readonly stop: AbortController }>();

  readonly #obeying = new Set<Promise<void>>();
  #answered: () => Promise<unknown> = () => Promise.resolve();

  constructor(deps: WithdrawalsDeps) {
    this.#deps = deps;
  }

  /** Waits for what has begun to be obeyed: to be called before network and home are closed. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#obeying);
    await this.#answered();
  }

  /**
   * Withdraws a share or grant of this home, which is the first to obey; then others are told.
   * @throws ShoalError as `withdrawable`; `disk-full`, `io` where it can't be put on record: nothing is withdrawn then
   */
  async withdraw(id: BlockId): Promise<void> {
    const { home, service, deliveries, clock } = this.#deps;
    const withdrawal = signWithdrawal(await withdrawable(home, id), Math.floor(clock.now() / 1000));
    const keepers = deliveries?.keepersOf(id, withdrawal.share) ?? [];
    const visitors = service.peersOf(id);
    const obeyed = this.obey(withdrawal, true);
    // To remove blocks takes time, and others are noted before.
    if (home.catalog.withdrawals.get(id) !== undefined)
      deliveries?.begin({ ...withdrawal, isOwn: true }, keepers, visitors);
    await obeyed;
  }

  /**
   * Puts a withdrawal that was checked in force: on record, then in effect at once, also for who is being served; then the
   * ciphertext is removed, with what the home itself took in, and never a file of the user's. What a crash leaves of the last
   * is removed when the home is held the next time.
   */
  async obey(withdrawal: CheckedWithdrawal, isOwn: boolean): Promise<void> {
    const obeying = this.#obey(withdrawal, isOwn).finally(() => this.#obeying.delete(obeying));
    this.#obeying.add(obeying);
    await obeying;
  }

  async #obey(withdrawal: CheckedWithdrawal, isOwn: boolean): Promise<void> {
    const { home, service, turns } = this.#deps;
    const { id, share } = withdrawal;
    const isShare = id === share;
    const grants = isShare ? home.catalog.grants.list(id).map(grant => grant.id) : [];
    home.catalog.withdrawals.add({ ...withdrawal, isOwn });
    home.forgetSources();
    for (const work of this.#atWork) if (work.id === id || grants.includes(work.id)) work.stop.abort();
    service.endWithdrawn(id, grants);
    if (!isShare) return;
    // What was under way of it ends by now.
    await turns.run(id, new AbortController().signal, () => home.store.drop(id));
    home.forgetSources();
  }

  /** Obeys a withdrawal that somebody has shown instead of giving blocks, where this home has what it is about. */
  heed(withdrawal: CheckedWithdrawal): void {
    if (!this.#holds(withdrawal.id)) return;
    this.obey(withdrawal, false).catch((error: unknown) => {
      if (!isShoalError(error)) throw error;
      this.#deps.log('warn', 'a withdrawal that was heard of is not obeyed yet', { reason: error.message });
    });
  }

  /** Obeys what others say on a network, until that is stopped. */
  async hear(network: Pick<Network, 'serve'>): Promise<void> {
    const { clock, service } = this.#deps;
    const obey = (withdrawal: CheckedWithdrawal): Promise<void> => this.obey(withdrawal, false);
    // What is served under a peer id of its own is not known under that of the home.
    const holds = (id: BlockId): boolean => !service.isApart(id) && this.#holds(id);
    this.#answered = await hearWithdrawals({ network, clock, holds, obey });
  }

  /**
   * Does `work` with a share unless that was withdrawn, as far as this home knows, or is meanwhile.
   * @throws ShoalError `refused`; as `work` does
   */
  async unless<T>(
    id: BlockId,
    doing: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { home } = this.#deps;
    home.refuseWithdrawn(id, doing);
    const one = { id, stop: new AbortController() };
    this.#atWork.add(one);
    try {
      return await work(AbortSignal.any([signal, one.stop.signal]));
    } catch (error) {
      if (one.stop.signal.aborted) home.refuseWithdrawn(id, doing);
      throw error;
    } finally {
      this.#atWork.delete(one);
    }
  }

  /** Whether the home has a share or grant, or has known that it was withdrawn. */
  #holds(id: BlockId): boolean {
    const { catalog } = this.#deps.home;
    const hasIt = catalog.get(id) !== undefined || catalog.grants.get(id) !== undefined;
    return hasIt || catalog.withdrawals.get(id) !== undefined;
  }
}
