/**
 * Copies of a home's shares at relays: made when they are wanted, checked from outside before they count, and renewed in time,
 * for as long as somebody holds the home.
 */
import { compareClocks } from './clocks.ts';
import { isShoalError, ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { decodeStatement } from './format/statement.ts';
import {
  ASKED_LEASE_SECONDS,
  COPIES_AT_ONCE,
  MAX_COPY_RETRY_MS,
  MIN_COPY_RETRY_MS,
  RENEWAL_CHECK_MS,
} from './limits.ts';
import { Gate } from './parallel.ts';
import { candidateOf, nameOf } from './relay-name.ts';
import type { Catalog, CopyRecord, GrantRecord, RelayRecord } from './catalog.ts';
import type { Candidate, ChunkSource, Clock, Network } from './ports.ts';
import type { Sample } from './sample.ts';
import { leaveGrant, renew, upload, type UploadEvent } from './upload.ts';

export interface CopiesDeps {
  /** Does something over the network under whose peer id a share is served. */
  readonly lend: <T>(id: BlockId, work: (network: Network) => Promise<T>) => Promise<T>;
  readonly catalog: Catalog;
  /** What this home serves: the relays get it from here. */
  readonly source: ChunkSource;
  readonly clock: Clock;
  /** Serves a share until the returned function is called. */
  readonly serve: (id: BlockId) => () => void;
  /** Shows an invite token to a relay. */
  readonly present: (relay: Candidate, token: string, signal: AbortSignal) => Promise<unknown>;
  /** Fetches chunks of a share from a relay over a connection that there was not before. */
  readonly sample: (id: BlockId, relay: Candidate, signal: AbortSignal) => Promise<Sample>;
}

/** How a copy stands. */
export type CopyEvent = {
  readonly event: 'copy';
  readonly id: BlockId;
  /** Peer id of the relay. */
  readonly relay: string;
  readonly name: string;
} & (
  | { readonly state: 'uploading'; readonly doneBytes: number }
  | { readonly state: 'checking' }
  /** `until` in Unix seconds; `sampled` chunks were fetched from it and right. */
  | { readonly state: 'stored'; readonly until: number; readonly sampled?: number }
  /** `forGood`: the relay has refused it, and will not take it as it is. */
  | { readonly state: 'failed'; readonly why: string; readonly forGood: boolean }
);

type Progress = CopyEvent extends infer E
  ? E extends CopyEvent
    ? Omit<E, 'event' | 'id' | 'relay' | 'name'>
    : never
  : never;

export class Copies {
  readonly #deps: CopiesDeps;
  readonly #stopping = new AbortController();
  readonly #gate = new Gate(COPIES_AT_ONCE);
  /** Copies that are being worked on. */
  readonly #busy = new Map<string, Promise<void>>();
  /** Until when a copy is left alone, by the monotonic clock, and the pause after a failure then. */
  readonly #rests = new Map<string, { readonly dueMs: number; readonly pauseMs: number }>();
  readonly #listeners = new Set<(event: CopyEvent) => void>();
  #nap = new AbortController();
  readonly #running: Promise<void>;

  constructor(deps: CopiesDeps) {
    this.#deps = deps;
    this.#running = this.#watch().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) throw error;
    });
  }

  /** Has a share kept by relays of this home, from now on. @param again whether those that have shown it are to do so again */
  want(id: BlockId, relays: readonly RelayRecord[], again = false): void {
    for (const { peer } of relays) {
      const copy = this.#copyAt(id, peer) ?? { share: id, relay: peer, state: 'wanted' };
      this.#hurry(again || copy.checkedAt === undefined ? unchecked(copy) : copy);
    }
  }

  /** Has the relays that keep a share get its new grants, too. */
  wantGrants(share: BlockId): void {
    for (const copy of this.#deps.catalog.copies.list(share)) this.#hurry(copy);
  }

  /** A relay that was to have a share did not show it: the copy counts no more until it has. */
  doubt(share: BlockId, relay: string, why: string): void {
    const copy = this.#copyAt(share, relay);
    if (copy !== undefined) this.#hurry({ ...unchecked(copy), detail: why });
  }

  /** Uploads again what a relay turned out not to have, once nothing is under way for it: that would note what was before. */
  async again({ share, relay }: CopyRecord, why: string): Promise<CopyEvent> {
    await this.#busy.get(keyOf({ share, relay }));
    const { promise, resolve } = Promise.withResolvers<CopyEvent>();
    const off = this.onEvent(event => {
      if (event.id === share && event.relay === relay && (event.state === 'stored' || event.state === 'failed'))
        resolve(event);
    });
    this.#hurry({ share, relay, state: 'wanted', detail: why });
    return await promise.finally(off);
  }

  onEvent(listener: (event: CopyEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new ShoalError('interrupted', 'the node stops'));
    await Promise.allSettled([this.#running, ...this.#busy.values()]);
  }

  /** Notes how a copy stands, and looks after it at once. */
  #hurry(copy: CopyRecord): void {
    this.#deps.catalog.copies.put(copy);
    this.#rests.delete(keyOf(copy));
    this.#nap.abort();
  }

  #copyAt(share: BlockId, relay: string): CopyRecord | undefined {
    return this.#deps.catalog.copies.list(share).find(copy => copy.relay === relay);
  }

  async #watch(): Promise<void> {
    const { clock } = this.#deps;
    for (;;) {
      this.#nap = new AbortController();
      const nap = AbortSignal.any([this.#nap.signal, this.#stopping.signal]);
      const nextMs = this.#begin();
      await clock.sleep(Math.max(1, nextMs), nap).catch(() => undefined);
      this.#stopping.signal.throwIfAborted();
    }
  }

  /** Begins what is due. @returns milliseconds until it may be time for something else */
  #begin(): number {
    const { catalog, clock } = this.#deps;
    const relays = new Map(catalog.relays.list().map(relay => [relay.peer, relay]));
    const lackGrants = new Set(
      catalog.grants
        .lacking()
        .filter(one => this.#grantsFor(one).length > 0)
        .map(keyOf),
    );
    const ends = new Map(catalog.expiries().map(({ id, expires, isOver }) => [id, isOver ? 0 : expires]));
    // What was withdrawn is neither left at a relay nor kept there any longer.
    const withdrawn = new Set(catalog.withdrawals.ids());
    let nextMs = RENEWAL_CHECK_MS;
    for (const copy of catalog.copies.list()) {
      if (withdrawn.has(copy.share)) continue;
      const [key, relay] = [keyOf(copy), relays.get(copy.relay)];
      const end = ends.get(copy.share) ?? Infinity;
      // What has ended is kept by no relay any more.
      if (relay === undefined || this.#busy.has(key) || end * 1000 <= clock.now()) continue;
      const restMs = (this.#rests.get(key)?.dueMs ?? 0) - clock.monotonic();
      const isAsItShouldBe = copy.checkedAt !== undefined && !lackGrants.has(key);
      const dueMs = Math.max(restMs, isAsItShouldBe ? renewalMs(copy, clock, end) : 0);
      if (dueMs > 0) {
        nextMs = Math.min(nextMs, dueMs);
        continue;
      }
      const work = this.#gate
        .run(() => this.#make(copy, relay, end))
        .finally(() => {
          this.#busy.delete(key);
          this.#nap.abort();
        });
      this.#busy.set(key, work);
    }
    return nextMs;
  }

  /** Renews or uploads, and checks. What fails is tried again later. @param end of the share, in Unix seconds */
  async #make(copy: CopyRecord, relay: RelayRecord, end: number): Promise<void> {
    const { catalog, clock } = this.#deps;
    const tell = (progress: Progress): void => this.#tell(copy, relay, progress);
    const key = keyOf(copy);
    try {
      this.#stopping.signal.throwIfAborted();
      const isDue = renewalMs(copy, clock, end) <= 0;
      const lease = (network: Network): Promise<CopyRecord> => this.#lease(network, copy, relay, tell);
      const stored = isDue ? await this.#deps.lend(copy.share, lease) : copy;
      catalog.copies.put(stored);
      if (isDue && stored.receipt !== undefined)
        compareClocks(catalog, nameOf(relay), decodeStatement(stored.receipt, 'receipt').at, clock);
      await this.#leaveGrants(stored, relay);
      const sampled = stored.checkedAt === undefined ? await this.#check(stored, relay, tell) : undefined;
      // Where the relay's clock is behind, its lease looks as if it were to be renewed at once.
      const restMs = Math.max(MIN_COPY_RETRY_MS, Math.min(RENEWAL_CHECK_MS, renewalMs(stored, clock, end)));
      this.#rests.set(key, { dueMs: clock.monotonic() + restMs, pauseMs: MIN_COPY_RETRY_MS });
      tell({ state: 'stored', until: stored.until ?? 0, ...(sampled === undefined ? {} : { sampled }) });
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      if (!isShoalError(error)) throw error;
      const forGood = isShoalError(error, 'refused');
      const pauseMs = forGood ? MAX_COPY_RETRY_MS : (this.#rests.get(key)?.pauseMs ?? MIN_COPY_RETRY_MS);
      const dueMs = clock.monotonic() + pauseMs;
      this.#rests.set(key, { dueMs, pauseMs: Math.min(2 * pauseMs, MAX_COPY_RETRY_MS) });
      const now = this.#copyAt(copy.share, copy.relay);
      if (now !== undefined) catalog.copies.put({ ...now, detail: error.message });
      tell({ state: 'failed', why: error.message, forGood });
    }
  }

  /** Renews a lease where the relay has the share, else uploads it, which has to be checked then. */
  async #lease(
    network: Network,
    copy: CopyRecord,
    relay: RelayRecord,
    tell: (progress: Progress) => void,
  ): Promise<CopyRecord> {
    const { catalog, source, clock, serve, present } = this.#deps;
    const { signal } = this.#stopping;
    const { share, checkedAt } = copy;
    const candidate = candidateOf(relay);
    // By the token of the home, a relay could tell whose a share is that has a peer id of its own.
    const token = catalog.get(share)?.freshId === true ? undefined : catalog.relays.tokenOf(relay.peer);
    // One that holds no more still leaves what everybody may have.
    if (token !== undefined) await present(candidate, token, signal).catch(unlessRefused);
    const block = await source.read(share, { kind: 'share' });
    const until = Math.floor(clock.now() / 1000) + ASKED_LEASE_SECONDS;
    const request = { relay: candidate, id: share, block, until };
    const isThere = { share, relay: relay.peer, state: 'stored' } as const;
    const ownerSeed = catalog.ownerSeedOf(share);
    if (copy.state === 'stored' && ownerSeed !== undefined) {
      const renewed = await renew({ network, clock }, { ...request, ownerSeed }, signal);
      if (renewed !== undefined) return { ...isThere, ...renewed, ...(checkedAt === undefined ? {} : { checkedAt }) };
    }
    const end = serve(share);
    // What had to be uploaded again had been lost with all that belongs to it.
    catalog.grants.goneFrom(relay.peer, share);
    try {
      tell({ state: 'uploading', doneBytes: 0 });
      const onEvent = (event: UploadEvent): void => {
        if (event.event === 'moved') tell({ state: 'uploading', doneBytes: event.bytes });
      };
      return { ...isThere, ...(await upload({ network, clock }, request, onEvent, signal)) };
    } finally {
      end();
    }
  }

  /** Leaves the grants of a share that the relay has not got yet. */
  async #leaveGrants({ share }: CopyRecord, relay: RelayRecord): Promise<void> {
    const { catalog, clock, lend } = this.#deps;
    const missing = this.#grantsFor({ share, relay: relay.peer });
    if (missing.length === 0) return;
    await lend(share, async network => {
      for (const { id, block } of missing) {
        try {
          await leaveGrant({ network, clock }, candidateOf(relay), block, this.#stopping.signal);
        } catch (error) {
          // The share is kept nevertheless, and the grant is asked for again with the next look.
          if (!isShoalError(error, 'refused') && !isShoalError(error, 'unavailable')) throw error;
          continue;
        }
        catalog.grants.isAt(relay.peer, id);
      }
    });
  }

  /** What a relay lacks of the grants of a share, and would still take. */
  #grantsFor({ share, relay }: Pick<CopyRecord, 'share' | 'relay'>): GrantRecord[] {
    const { catalog, clock } = this.#deps;
    return catalog.grants.missingAt(relay, share).filter(({ expires = Infinity }) => expires * 1000 > clock.now());
  }

  async #check(copy: CopyRecord, relay: RelayRecord, tell: (progress: Progress) => void): Promise<number> {
    tell({ state: 'checking' });
    const sampled = await this.#sampled(copy, relay);
    const checkedAt = Math.floor(this.#deps.clock.now() / 1000);
    this.#deps.catalog.copies.put({ ...unchecked(copy), state: 'stored', checkedAt });
    return sampled;
  }

  /** @throws ShoalError `unavailable` where it has not got what it has signed for; it is uploaded again the next time */
  async #sampled(copy: CopyRecord, relay: RelayRecord): Promise<number> {
    try {
      const { chunks, has, sampled } = await this.#deps.sample(copy.share, candidateOf(relay), this.#stopping.signal);
      if (has === chunks) return sampled;
      throw new ShoalError('unavailable', `it has ${has} of ${chunks} chunks, though it has signed for all of them`);
    } catch (error) {
      if (isShoalError(error, 'unavailable'))
        this.#deps.catalog.copies.put({ share: copy.share, relay: copy.relay, state: 'wanted' });
      throw error;
    }
  }

  #tell({ share: id, relay: peer }: CopyRecord, relay: RelayRecord, progress: Progress): void {
    const event: CopyEvent = { event: 'copy', id, relay: peer, name: nameOf(relay), ...progress };
    for (const listener of this.#listeners) listener(event);
  }
}

/**
 * Milliseconds until less than half of its lease is left; nothing where it is not there. A lease that lasts to the end of its
 * share is the longest that there is.
 * @param end of the share, in Unix seconds
 */
function renewalMs({ state, until = 0, receipt }: CopyRecord, clock: Clock, end: number): number {
  if (state === 'wanted' || receipt === undefined) return 0;
  if (until >= end) return Infinity;
  return ((until + decodeStatement(receipt, 'receipt').at) * 1000) / 2 - clock.now();
}

/** As it was before the relay had shown it. */
function unchecked({ share, relay, state, until, receipt }: CopyRecord): CopyRecord {
  const lease = { ...(until === undefined ? {} : { until }), ...(receipt === undefined ? {} : { receipt }) };
  return { share, relay, state, ...lease };
}

function unlessRefused(error: unknown): void {
  if (!isShoalError(error, 'refused')) throw error;
}

function keyOf({ share, relay }: Pick<CopyRecord, 'share' | 'relay'>): string {
  return `${share} ${relay}`;
}
