/**
 * Which block is asked from whom next (protocol.md, Scheduling). Decisions only: no I/O, no clock of its own, the same
 * calls give the same answers.
 *
 * Goals: every peer is kept as busy as its measured rate allows; nothing is asked twice unless who was asked is slow; what
 * is asked and not received stays within the peer's credit. Non-goals: fairness between peers, guessing rates in advance.
 */
import { MAX_STALL_MS, MIN_STALL_MS } from '../limits.ts';
import { IndexSet } from './ranges.ts';

export interface ScheduleOptions {
  /** How many blocks of this kind the share has; indices are below it. */
  readonly count: number;
  readonly wanted: Iterable<number>;
  /** Bytes of a block. */
  readonly lengthOf: (index: number) => number;
  /** Ask only for the first so many blocks that are not settled: for output in order. */
  readonly window?: number;
  /** Bytes per second from all peers together, where we limit them: then it is not their fault that they are slow. */
  readonly maxDown?: number;
}

interface PeerState {
  readonly has: IndexSet;
  complete: boolean;
  readonly creditBytes: number;
  /** Asked and not received: when, in ms. */
  readonly asked: Map<number, number>;
  askedBytes: number;
  /** Asked, then cancelled; may still arrive. */
  readonly cancelled: Set<number>;
  lastArrivalMs: number;
  /** When any byte came, of a block that is not complete too. */
  lastHeardMs: number;
  /** Measured, smoothed; undefined before the first block. */
  msPerByte: number | undefined;
  /** No unasked block that this peer has is below. */
  cursor: number;
}

/** A peer is asked for about so much time's worth of its rate at once, so that a slow one does not sit on much. */
const PIPELINE_MS = 2000;
/** Among so many unasked blocks the rarest is looked for. */
const RAREST_AMONG = 64;
/** A block is asked from a second peer when it took the first so many times what the second would need. */
const PATIENCE = 6;
/** … and from each further one after so many times longer still. */
const MORE_PATIENCE = 4;
const SMOOTHING = 0.25;

export class Schedule {
  readonly #options: ScheduleOptions;
  /** Wanted, and asked from nobody at present. */
  readonly #open: IndexSet;
  /** Wanted, and not yet settled. */
  readonly #unsettled: IndexSet;
  /** Asked from these peers and not received. */
  readonly #underWay = new Map<number, Set<string>>();
  /** How many peers left without giving a block that they were asked for. */
  readonly #letDown = new Map<number, number>();
  /** Received, being checked by the caller. */
  readonly #inCheck = new Set<number>();
  readonly #peers = new Map<string, PeerState>();
  #lowestUnsettled = 0;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#open = new IndexSet(options.count);
    this.#unsettled = new IndexSet(options.count);
    for (const index of options.wanted) if (this.#open.add(index)) this.#unsettled.add(index);
  }

  get done(): boolean {
    return this.#unsettled.size === 0;
  }

  get left(): number {
    return this.#unsettled.size;
  }

  /** Unsettled blocks that no peer at hand has. */
  get nowhere(): number {
    let count = 0;
    const peers = [...this.#peers.values()];
    if (peers.some(peer => peer.complete)) return 0;
    for (const index of this.#unsettled) if (!peers.some(peer => peer.has.has(index))) count++;
    return count;
  }

  addPeer(peer: string, has: 'all' | Iterable<number>, creditBytes: number, nowMs: number): void {
    const set = has === 'all' ? IndexSet.full(this.#options.count) : new IndexSet(this.#options.count);
    if (has !== 'all') for (const index of has) set.add(index);
    this.#peers.set(peer, {
      has: set,
      complete: set.size === set.limit,
      creditBytes,
      asked: new Map(),
      askedBytes: 0,
      cancelled: new Set(),
      lastArrivalMs: nowMs,
      lastHeardMs: nowMs,
      msPerByte: undefined,
      cursor: 0,
    });
  }

  /** What was asked from it is open again. */
  removePeer(peer: string): void {
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    this.#peers.delete(peer);
    for (const index of state.asked.keys()) {
      this.#letDown.set(index, (this.#letDown.get(index) ?? 0) + 1);
      this.#notUnderWay(peer, index);
    }
  }

  gained(peer: string, indices: Iterable<number>): void {
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    for (const index of indices) state.has.add(index);
    state.complete = state.has.size === state.has.limit;
    state.cursor = 0;
  }

  /** The blocks to ask from `peer` now; they count as asked. */
  ask(peer: string, nowMs: number): number[] {
    const state = this.#peers.get(peer);
    if (state === undefined) return [];
    const asks: number[] = [];
    for (;;) {
      const index = this.#pick(peer, state, nowMs);
      if (index === undefined) return asks;
      const length = this.#options.lengthOf(index);
      if (state.askedBytes + length > this.#budget(state) && state.asked.size > 0) return asks;
      if (length > state.creditBytes) return asks;
      this.#open.delete(index);
      state.asked.set(index, nowMs);
      state.askedBytes += length;
      const peers = this.#underWay.get(index);
      if (peers === undefined) this.#underWay.set(index, new Set([peer]));
      else peers.add(peer);
      asks.push(index);
    }
  }

  /**
   * A block came from `peer`. `wanted`: check it, then call `settled` or `rejected`. `late`: another was faster.
   * `unasked`: the peer breaks the protocol.
   */
  arrived(peer: string, index: number, nowMs: number): 'wanted' | 'late' | 'unasked' {
    const state = this.#peers.get(peer);
    if (state === undefined) return 'late';
    const askedAt = state.asked.get(index);
    if (askedAt === undefined) return state.cancelled.delete(index) ? 'late' : 'unasked';
    const length = this.#options.lengthOf(index);
    state.asked.delete(index);
    state.askedBytes -= length;
    const msPerByte = Math.max(0.001, nowMs - Math.max(askedAt, state.lastArrivalMs)) / length;
    state.msPerByte =
      state.msPerByte === undefined ? msPerByte : state.msPerByte + SMOOTHING * (msPerByte - state.msPerByte);
    state.lastArrivalMs = nowMs;
    state.lastHeardMs = nowMs;
    const peers = this.#underWay.get(index);
    peers?.delete(peer);
    if (peers === undefined || this.#inCheck.has(index)) return 'late';
    // Neither open nor asked from this peer. Others that were asked stay in the set, in case the block is rejected.
    this.#inCheck.add(index);
    return 'wanted';
  }

  /** Some bytes came from `peer`, of whatever. */
  heard(peer: string, nowMs: number): void {
    const state = this.#peers.get(peer);
    if (state !== undefined) state.lastHeardMs = nowMs;
  }

  /** The block is checked and kept. Returns who else was asked for it and need not send it. */
  settled(index: number, nowMs: number): string[] {
    this.#inCheck.delete(index);
    this.#unsettled.delete(index);
    this.#open.delete(index);
    this.#letDown.delete(index);
    const others = [...(this.#underWay.get(index) ?? [])];
    this.#underWay.delete(index);
    for (const other of others) {
      const state = this.#peers.get(other);
      const askedAt = state?.asked.get(index);
      if (state === undefined || askedAt === undefined) continue;
      state.asked.delete(index);
      state.askedBytes -= this.#options.lengthOf(index);
      state.cancelled.add(index);
      // It would have taken longer still.
      const msPerByte = (nowMs - Math.max(askedAt, state.lastArrivalMs)) / this.#options.lengthOf(index);
      if (msPerByte > (state.msPerByte ?? 0)) state.msPerByte = msPerByte;
    }
    return others;
  }

  /** The block was wrong: it is open again, unless another peer was asked for it too. */
  rejected(index: number): void {
    this.#inCheck.delete(index);
    if (this.#underWay.get(index)?.size === 0) this.#reopen(index);
  }

  /** `peer` says that it can not give a block that it was asked for. */
  lacked(peer: string, index: number): void {
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.has.delete(index);
    state.complete = false;
    if (!state.asked.delete(index)) return;
    state.askedBytes -= this.#options.lengthOf(index);
    this.#notUnderWay(peer, index);
  }

  /** Peers from which something is awaited and nothing came for the time that their rate makes generous. */
  stalled(nowMs: number): string[] {
    return [...this.#peers].filter(([, state]) => this.#isStalled(state, nowMs)).map(([peer]) => peer);
  }

  /** Peers that have nothing of what is not settled. */
  useless(): string[] {
    const left = [...this.#unsettled];
    return [...this.#peers].filter(([, { has }]) => !left.some(index => has.has(index))).map(([peer]) => peer);
  }

  /** Peers that have been silent so long that they are as good as gone. */
  silent(nowMs: number): string[] {
    return [...this.#peers].filter(([, state]) => waitedMs(state, nowMs) > MAX_STALL_MS).map(([peer]) => peer);
  }

  #isStalled(state: PeerState, nowMs: number): boolean {
    const expectedMs = (state.msPerByte ?? 0) * state.askedBytes;
    return waitedMs(state, nowMs) > Math.min(MAX_STALL_MS, Math.max(MIN_STALL_MS, 2 * expectedMs));
  }

  #budget(state: PeerState): number {
    if (state.msPerByte === undefined) return state.creditBytes;
    return Math.min(state.creditBytes, PIPELINE_MS / state.msPerByte);
  }

  #pick(peer: string, state: PeerState, nowMs: number): number | undefined {
    return this.#pickOpen(peer, state, nowMs) ?? this.#pickSlow(peer, state, nowMs);
  }

  /** In order; rarest first where several peers are incomplete. */
  #pickOpen(peer: string, state: PeerState, nowMs: number): number | undefined {
    const end = this.#windowEnd();
    const incomplete = [...this.#peers.values()].filter(other => !other.complete);
    const candidates = incomplete.length > 1 ? RAREST_AMONG : 1;
    let best: number | undefined;
    let bestHolders = Infinity;
    let [seen, isPassed] = [0, true];
    for (let index = state.cursor; index < end && seen < candidates; index++) {
      if (!this.#open.has(index) || !state.has.has(index)) {
        if (isPassed) state.cursor = index + 1;
        continue;
      }
      isPassed = false;
      if (this.#wouldHoldUp(peer, state, index, nowMs)) continue;
      seen++;
      const holders = candidates === 1 ? 0 : incomplete.reduce((sum, other) => sum + (other.has.has(index) ? 1 : 0), 0);
      if (holders < bestHolders) [best, bestHolders] = [index, holders];
    }
    return best;
  }

  /** Whether, in the time that this peer needs for a block of the window, another one could give the whole window. */
  #wouldHoldUp(peer: string, { msPerByte }: PeerState, index: number, nowMs: number): boolean {
    const { window } = this.#options;
    if (window === undefined || msPerByte === undefined) return false;
    return [...this.#peers].some(([name, other]) => {
      const isFast = other.msPerByte !== undefined && other.msPerByte * window < msPerByte;
      return isFast && name !== peer && other.has.has(index) && !this.#isStalled(other, nowMs);
    });
  }

  /** A block that others were asked for, and are so slow with that this peer would likely be done first. */
  #pickSlow(peer: string, state: PeerState, nowMs: number): number | undefined {
    if (this.#isStalled(state, nowMs)) return undefined;
    const end = this.#windowEnd();
    for (const [index, holders] of this.#underWay) {
      if (holders.has(peer) || this.#inCheck.has(index) || index >= end || !state.has.has(index)) continue;
      const length = this.#options.lengthOf(index);
      const patienceMs = Math.max(
        state.msPerByte === undefined ? MIN_STALL_MS : Math.max(MIN_STALL_MS / 4, PATIENCE * state.msPerByte * length),
        this.#shareMs(length),
      );
      if (this.#areSlow(holders, index, patienceMs, nowMs)) return index;
    }
    return undefined;
  }

  /** What our own limit explains of the time that a block takes: each peer has a share of it only, and blocks asked before. */
  #shareMs(length: number): number {
    const { maxDown } = this.#options;
    return maxDown === undefined ? 0 : (PATIENCE * this.#peers.size * length * 1000) / maxDown;
  }

  /**
   * For each peer that has let us down with a block two are asked at once, so that a crowd of those that never answer is
   * seen through in a few rounds. Of the others each one more lengthens the patience.
   */
  #areSlow(holders: ReadonlySet<string>, index: number, patienceMs: number, nowMs: number): boolean {
    let [lastAskedAt, working, stalled] = [-Infinity, 0, this.#letDown.get(index) ?? 0];
    for (const holder of holders) {
      const state = this.#peers.get(holder);
      if (state === undefined || this.#isStalled(state, nowMs)) {
        stalled++;
        continue;
      }
      lastAskedAt = Math.max(lastAskedAt, state.asked.get(index) ?? -Infinity);
      working++;
    }
    if (working < 2 * stalled) return true;
    return nowMs - lastAskedAt > patienceMs * MORE_PATIENCE ** Math.max(0, working - 1);
  }

  /** One more than the highest index that may be asked for now. */
  #windowEnd(): number {
    if (this.#options.window === undefined) return this.#options.count;
    while (this.#lowestUnsettled < this.#options.count && !this.#unsettled.has(this.#lowestUnsettled))
      this.#lowestUnsettled++;
    return Math.min(this.#options.count, this.#lowestUnsettled + this.#options.window);
  }

  #notUnderWay(peer: string, index: number): void {
    const peers = this.#underWay.get(index);
    if (peers?.delete(peer) === true && peers.size === 0 && !this.#inCheck.has(index)) this.#reopen(index);
  }

  #reopen(index: number): void {
    this.#underWay.delete(index);
    if (!this.#unsettled.has(index)) return;
    this.#open.add(index);
    for (const state of this.#peers.values()) state.cursor = Math.min(state.cursor, index);
  }
}

/** For how long a peer that was asked has sent nothing. */
function waitedMs(state: PeerState, nowMs: number): number {
  let oldest = Infinity;
  for (const askedAt of state.asked.values()) oldest = Math.min(oldest, askedAt);
  return nowMs - Math.max(oldest, state.lastHeardMs);
}
