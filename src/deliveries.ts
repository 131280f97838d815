/**
 * Deliveries of a home's own withdrawals: each peer that has shown that it knows what was withdrawn is told, again and again
 * until it has confirmed that, and others who hold it are looked for, for as long as somebody holds the home.
 */
import type { Catalog, NoticeRecord, RelayRecord, WithdrawalRecord } from './catalog.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { parseHint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import {
  ASKED_LEASE_SECONDS,
  FIRST_ROUND_MS,
  HOLDERS_LOOK_MS,
  MAX_HOLDERS_ASKED,
  MAX_HOLDERS_PAUSE_MS,
  MAX_NOTICE_RETRY_MS,
  MAX_NOTICES,
  MIN_HOLDERS_PAUSE_MS,
  MIN_NOTICE_RETRY_MS,
  NOTICES_AT_ONCE,
  RENEWAL_CHECK_MS,
  TELLING_SECONDS,
  VERIFY_GIVEN_MS,
} from './limits.ts';
import { notify } from './notify.ts';
import { Gate } from './parallel.ts';
import type { Candidate, Clock, Network } from './ports.ts';
import { shownBy } from './prove.ts';
import { candidateOf, nameOf } from './relay-name.ts';

/** What a delivery needs of a network. */
type Way = Pick<Network, 'self' | 'status' | 'find' | 'connect'>;

export interface DeliveriesDeps {
  /** Does `work` over a network on which this home may be met by who knows a share. */
  readonly lend: <T>(share: BlockId, work: (network: Way) => Promise<T>) => Promise<T>;
  readonly catalog: Catalog;
  readonly clock: Clock;
  /** Whether a peer id is one of this home's. */
  readonly isSelf: (peer: string) => boolean;
}

/** How a notice to somebody stands. `name`: of a relay of this home, else the peer id. */
export type NoticeEvent = {
  readonly event: 'notice';
  /** Of the withdrawal. */
  readonly id: BlockId;
  readonly peer: string;
  readonly name: string;
} & (
  | { readonly state: 'telling' }
  | { readonly state: 'obeyed' | 'dropped' }
  /** It is told again. */
  | { readonly state: 'pending'; readonly why: string }
);

/** When something is due, by the monotonic clock, and how long the pause after it is. */
interface Rest {
  readonly dueMs: number;
  readonly pauseMs: number;
}

export class Deliveries {
  readonly #deps: DeliveriesDeps;
  readonly #stopping = new AbortController();
  readonly #gate = new Gate(NOTICES_AT_ONCE);
  /** Notices and looks that are under way. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #rests = new Map<string, Rest>();
  readonly #listeners = new Set<(event: NoticeEvent) => void>();
  #nap = new AbortController();
  readonly #running: Promise<void>;

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps;
    this.#running = this.#watch().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) throw error;
    });
  }

  /** Whom a withdrawal that is about to be made concerns: relays that keep it, by their receipts. Grants leave no trace of it later. */
  keepersOf(id: BlockId, share: BlockId): RelayRecord[] {
    const { copies, grants, relays } = this.#deps.catalog;
    const keeping = new Set(copies.list(share).flatMap(({ relay, state }) => (state === 'stored' ? [relay] : [])));
    const hasIt = ({ peer }: RelayRecord): boolean =>
      keeping.has(peer) && (id === share || !grants.missingAt(peer, share).some(grant => grant.id === id));
    return relays.list().filter(hasIt);
  }

  /**
   * Tells of a withdrawal that is on record, from now on: those given, who have it, and whoever else turns out to.
   * @param visitors whom this home was giving it: they are told once, and only those who confirm it are noted
   */
  begin(withdrawal: WithdrawalRecord, keepers: readonly RelayRecord[], visitors: readonly string[]): void {
    for (const relay of keepers) this.#note(withdrawal, candidateOf(relay), true, { state: 'pending' });
    const known = new Set(keepers.map(({ peer }) => peer));
    for (const peer of visitors.filter(one => !known.has(one)))
      this.#start(`visitor ${withdrawal.id} ${peer}`, () => this.#tellVisitor(withdrawal, peer));
    this.#hurry(withdrawal.id);
  }

  /** Tells at once who is still to be told, and looks for others; resolves when that has been tried, or after FIRST_ROUND_MS. */
  async round(id: BlockId, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    this.#hurry(id);
    const over = new AbortController();
    const late = clock.sleep(FIRST_ROUND_MS, AbortSignal.any([signal, over.signal, this.#stopping.signal]));
    const done = (async (): Promise<void> => {
      // What a look finds is told within it.
      for (;;) {
        const work = [...this.#busy].flatMap(([key, promise]) => (key.split(' ')[1] === id ? [promise] : []));
        if (work.length === 0) return;
        await Promise.all(work);
      }
    })();
    try {
      await Promise.race([done, late]);
    } finally {
      over.abort();
      late.catch(() => undefined);
    }
  }

  onEvent(listener: (event: NoticeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new ShoalError('interrupted', 'the node stops'));
    await Promise.allSettled([this.#running, ...this.#busy.values()]);
  }

  /** Begins at once what is to be done for a withdrawal. */
  #hurry(id: BlockId): void {
    for (const key of this.#rests.keys()) if (key.split(' ')[1] === id) this.#rests.delete(key);
    this.#begin();
    this.#nap.abort();
  }

  async #watch(): Promise<void> {
    const { clock } = this.#deps;
    for (;;) {
      this.#nap = new AbortController();
      const nap = AbortSignal.any([this.#nap.signal, this.#stopping.signal]);
      await clock.sleep(Math.max(1, this.#begin()), nap).catch(() => undefined);
      this.#stopping.signal.throwIfAborted();
    }
  }

  /** Begins what is due. @returns milliseconds until it may be time for something else */
  #begin(): number {
    const { catalog, clock } = this.#deps;
    if (this.#stopping.signal.aborted) return 1;
    let nextMs = RENEWAL_CHECK_MS;
    /** Whether it is begun now; else it is looked after when its time has come. */
    const isDue = (key: string): boolean => {
      if (this.#busy.has(key)) return false;
      const restMs = (this.#rests.get(key)?.dueMs ?? 0) - clock.monotonic();
      if (restMs > 0) nextMs = Math.min(nextMs, restMs);
      return restMs <= 0;
    };
    for (const withdrawal of catalog.withdrawals.own()) {
      this.#noteKeepers(withdrawal);
      for (const notice of catalog.withdrawals.notices(withdrawal.id)) {
        const key = `tell ${withdrawal.id} ${notice.peer}`;
        if (notice.state !== 'pending' || !this.#isWorthTelling(withdrawal, notice) || !isDue(key)) continue;
        this.#start(key, () => this.#gate.run(() => this.#tell(withdrawal, notice)));
      }
      const key = `look ${withdrawal.id}`;
      if (this.#age(withdrawal) < TELLING_SECONDS && isDue(key)) this.#start(key, () => this.#look(withdrawal));
    }
    return nextMs;
  }

  #start(key: string, work: () => Promise<void>): void {
    const done = work()
      .catch((error: unknown) => {
        // A catalog that can't be written to for now: the same is tried again.
        if (!isShoalError(error)) throw error;
        this.#rest(key, MIN_NOTICE_RETRY_MS, MAX_NOTICE_RETRY_MS);
      })
      .finally(() => {
        this.#busy.delete(key);
        this.#nap.abort();
      });
    this.#busy.set(key, done);
  }

  #rest(key: string, minMs: number, maxMs: number): void {
    const pauseMs = this.#rests.get(key)?.pauseMs ?? minMs;
    const dueMs = this.#deps.clock.monotonic() + pauseMs;
    this.#rests.set(key, { dueMs, pauseMs: Math.min(2 * pauseMs, maxMs) });
  }

  /** An upload may have ended just as its share was withdrawn. */
  #noteKeepers(withdrawal: WithdrawalRecord): void {
    const { id, share } = withdrawal;
    if (id !== share) return;
    const noted = new Set(this.#deps.catalog.withdrawals.notices(id).map(({ peer }) => peer));
    for (const relay of this.keepersOf(id, share))
      if (!noted.has(relay.peer)) this.#note(withdrawal, candidateOf(relay), true, { state: 'pending' });
  }

  /** A relay gives back what it keeps when its lease ends; who else has not been met for TELLING_SECONDS is not likely to come back. */
  #isWorthTelling(withdrawal: WithdrawalRecord, { peer, isRelay }: NoticeRecord): boolean {
    if (!isRelay) return this.#age(withdrawal) < TELLING_SECONDS;
    const lease = this.#deps.catalog.copies.list(withdrawal.share).find(({ relay }) => relay === peer);
    // Where the share was forgotten meanwhile, no lease is longer than what is asked for.
    const until = lease?.until ?? withdrawal.at + ASKED_LEASE_SECONDS;
    return until > this.#nowSeconds();
  }

  async #tell(withdrawal: WithdrawalRecord, notice: NoticeRecord): Promise<void> {
    const { peer, addresses, isRelay } = notice;
    const key = `tell ${withdrawal.id} ${peer}`;
    const candidate: Candidate = { peer, addresses, via: 'hint' };
    this.#say(withdrawal.id, peer, { state: 'telling' });
    try {
      const state = await this.#notify(candidate, withdrawal);
      this.#note(withdrawal, candidate, isRelay, { state });
      this.#rests.delete(key);
      // It has said itself that it keeps nothing of it.
      if (isRelay && withdrawal.id === withdrawal.share) this.#deps.catalog.copies.remove(withdrawal.share, peer);
      this.#say(withdrawal.id, peer, { state });
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      if (!isShoalError(error)) throw error;
      this.#rest(key, MIN_NOTICE_RETRY_MS, MAX_NOTICE_RETRY_MS);
      this.#note(withdrawal, candidate, isRelay, { state: 'pending', detail: error.message });
      this.#say(withdrawal.id, peer, { state: 'pending', why: error.message });
    }
  }

  /** Who was being given it has been told on that channel; whether it holds it, it says only here. Who does not is not noted. */
  async #tellVisitor(withdrawal: WithdrawalRecord, peer: string): Promise<void> {
    const candidate: Candidate = { peer, addresses: [], via: 'hint' };
    const told = this.#gate.run(() => this.#notify(candidate, withdrawal));
    const state = await told.catch((error: unknown) => {
      if (!isShoalError(error)) throw error;
      return undefined;
    });
    if (state !== 'obeyed') return;
    this.#note(withdrawal, candidate, false, { state });
    this.#say(withdrawal.id, peer, { state });
  }

  async #notify(candidate: Candidate, withdrawal: WithdrawalRecord): ReturnType<typeof notify> {
    const { lend, clock } = this.#deps;
    return await lend(withdrawal.share, network =>
      notify({ network, clock }, candidate, withdrawal, this.#stopping.signal),
    );
  }

  /** Looks for others who have it, and tells those who have shown that they do. */
  async #look(withdrawal: WithdrawalRecord): Promise<void> {
    this.#rest(`look ${withdrawal.id}`, MIN_HOLDERS_PAUSE_MS, MAX_HOLDERS_PAUSE_MS);
    await this.#deps.lend(withdrawal.share, network => this.#lookOn(network, withdrawal));
  }

  async #lookOn(network: Way, withdrawal: WithdrawalRecord): Promise<void> {
    const { catalog, clock } = this.#deps;
    const { id, share } = withdrawal;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const hints = (catalog.get(share)?.hints ?? []).map(parseHint);
    const { lanPeers, dhtPeers } = network.status();
    const looksAround = lanPeers !== undefined || dhtPeers !== undefined || hints.some(({ kind }) => kind === 'relay');
    const timer = clock.sleep(looksAround ? HOLDERS_LOOK_MS : VERIFY_GIVEN_MS, signal).catch(() => undefined);
    void timer.then(() => over.abort());
    const asked = new Map<string, Promise<void>>();
    const ask = (candidate: Candidate): void => {
      const { peer } = candidate;
      if (peer === network.self || this.#deps.isSelf(peer) || asked.has(peer) || asked.size >= MAX_HOLDERS_ASKED)
        return;
      const notices = catalog.withdrawals.notices(id);
      const before = notices.find(notice => notice.peer === peer)?.state;
      // Who is still to be told is told anyhow.
      if (before === 'pending' || before === 'obeyed' || notices.length >= MAX_NOTICES) return;
      const approach = this.#gate.run(() => this.#approach(network, withdrawal, candidate));
      asked.set(peer, approach);
      approach.catch(() => undefined);
    };
    // A relay of this home may have got it without a receipt that came.
    const relays = new Map(catalog.relays.list().map(relay => [relay.peer, relay]));
    for (const { relay } of catalog.copies.list(share)) {
      const record = relays.get(relay);
      if (record !== undefined) ask({ ...candidateOf(record), via: 'relay' });
    }
    for await (const candidate of network.find(id, hints, signal)) ask(candidate);
    await Promise.all(asked.values());
  }

  /** Whoever announces itself under a rendezvous key may be a stranger: it shows first that it knows what was withdrawn. */
  async #approach(network: Way, withdrawal: WithdrawalRecord, candidate: Candidate): Promise<void> {
    const { peer, addresses } = candidate;
    const isRelay = this.#deps.catalog.relays.list().some(relay => relay.peer === peer);
    try {
      const { clock } = this.#deps;
      const shown = await shownBy({ network, clock }, candidate, withdrawal.id, this.#stopping.signal);
      if (shown === 'nothing') return;
      if (shown === 'holds') {
        this.#note(withdrawal, candidate, isRelay, { state: 'pending' });
        const at = this.#nowSeconds();
        await this.#tell(withdrawal, { id: withdrawal.id, peer, addresses, isRelay, state: 'pending', at });
        return;
      }
      this.#note(withdrawal, candidate, isRelay, { state: 'obeyed' });
      this.#say(withdrawal.id, peer, { state: 'obeyed' });
    } catch (error) {
      // Nobody there, or somebody who talks of something else.
      if (!isShoalError(error) && !this.#stopping.signal.aborted) throw error;
    }
  }

  #note(
    { id }: WithdrawalRecord,
    { peer, addresses }: Candidate,
    isRelay: boolean,
    how: Pick<NoticeRecord, 'state' | 'detail'>,
  ): void {
    this.#deps.catalog.withdrawals.putNotice({ id, peer, addresses, isRelay, at: this.#nowSeconds(), ...how });
  }

  #say(
    id: BlockId,
    peer: string,
    how: { state: 'telling' | 'obeyed' | 'dropped' } | { state: 'pending'; why: string },
  ) {
    const relay = this.#deps.catalog.relays.list().find(one => one.peer === peer);
    const event: NoticeEvent = { event: 'notice', id, peer, name: relay === undefined ? peer : nameOf(relay), ...how };
    for (const listener of this.#listeners) listener(event);
  }

  #age({ at }: WithdrawalRecord): number {
    return this.#nowSeconds() - at;
  }

  #nowSeconds(): number {
    return Math.floor(this.#deps.clock.now() / 1000);
  }
}
