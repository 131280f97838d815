/**
 * The peers of one share as a fetcher knows them: who to dial next, who is given up and why (protocol.md, Finding peers).
 * Decisions only: no I/O, no clock of its own.
 */
import {
  MAX_ACTIVE_PEERS,
  MAX_CANDIDATES,
  MAX_PARALLEL_DIALS,
  MAX_RETRY_MS,
  MIN_RETRY_MS,
  PEER_BYTES_PER_SECOND,
} from '../limits.ts';
import type { Candidate } from '../ports.ts';
import type { WireRefusal } from './messages.ts';

/** Why a peer is not used at the moment, or at all. */
export type Ending =
  | { readonly why: 'unreachable' | 'vanished' | 'lied' | 'broke-protocol'; readonly detail: string }
  | { readonly why: 'refused'; readonly refusal: WireRefusal };

/** Addresses that are remembered of a candidate. */
const MAX_ADDRESSES = 16;
/** A dial that takes so long is likely to lead nowhere: the next candidates do not wait for it. */
const SLOW_DIAL_MS = 2_000;

type State = 'new' | 'dialling' | 'active' | 'waiting' | 'over';

interface Known {
  candidate: Candidate;
  state: State;
  failures: number;
  retryAtMs: number;
  dialledAtMs: number;
  ending: Ending | undefined;
}

export class Swarm {
  readonly #peers = new Map<string, Known>();
  readonly #maxActive: number;

  /** @param maxDown bytes per second for all peers together, where they are limited: fewer share it, so that none seems to stall */
  constructor(maxDown = Infinity) {
    this.#maxActive = Math.max(1, Math.min(MAX_ACTIVE_PEERS, Math.floor(maxDown / PEER_BYTES_PER_SECOND)));
  }

  /**
   * Notes a candidate. One that is known brings fresh addresses, and a new chance at once if it was only out of reach. The
   * addresses known before stay: who told the new ones may be lying.
   */
  found(candidate: Candidate): void {
    const known = this.#peers.get(candidate.peer);
    if (known === undefined) {
      if (this.#peers.size >= MAX_CANDIDATES && !this.#forgetOne()) return;
      const addresses = candidate.addresses.slice(0, MAX_ADDRESSES);
      this.#peers.set(candidate.peer, {
        candidate: { ...candidate, addresses },
        state: 'new',
        failures: 0,
        retryAtMs: 0,
        dialledAtMs: 0,
        ending: undefined,
      });
      return;
    }
    const old = known.candidate.addresses;
    const fresh = candidate.addresses.filter(address => !old.includes(address)).slice(0, MAX_ADDRESSES / 2);
    if (fresh.length === 0) return;
    known.candidate = {
      ...known.candidate,
      addresses: [...old.slice(0, MAX_ADDRESSES - fresh.length), ...fresh],
    };
    if (known.state === 'waiting' && known.ending?.why !== 'refused') known.retryAtMs = 0;
  }

  /** Candidates to dial now; they count as being dialled. */
  toDial(nowMs: number): Candidate[] {
    const { active } = this.counts();
    let quick = 0;
    for (const known of this.#peers.values())
      if (known.state === 'dialling' && nowMs - known.dialledAtMs < SLOW_DIAL_MS) quick++;
    const room =
      active >= this.#maxActive ? 0 : Math.min(MAX_PARALLEL_DIALS - quick, 2 * this.#maxActive - quick - active);
    const ready = this.#ready(nowMs);
    // Who failed least first: a flood of dead providers does not keep the live one waiting.
    ready.sort((a, b) => a.failures - b.failures);
    const chosen = ready.slice(0, Math.max(0, room));
    for (const known of chosen) {
      known.state = 'dialling';
      known.dialledAtMs = nowMs;
    }
    return chosen.map(known => known.candidate);
  }

  /** The peer is at work from now on; false when there are too many already, because several dials ended at once. */
  joined(peer: string): boolean {
    const known = this.#peers.get(peer);
    if (known === undefined || this.counts().active >= 2 * this.#maxActive) return false;
    known.state = 'active';
    known.ending = undefined;
    return true;
  }

  /** The peer has been of use. Joining alone does not count: who joins and leaves again waits longer each time. */
  delivered(peer: string): void {
    const known = this.#peers.get(peer);
    if (known !== undefined) known.failures = 0;
  }

  /** Whether somebody waits to be dialled and all places are taken. */
  isCrowded(nowMs: number): boolean {
    return this.counts().active >= this.#maxActive && this.#ready(nowMs).length > 0;
  }

  /** The peer is not used any more: for a while, or for good where another try can't help. */
  left(peer: string, ending: Ending, nowMs: number): void {
    const known = this.#peers.get(peer);
    if (known === undefined) return;
    known.ending = ending;
    known.failures++;
    known.state = isFinal(ending) ? 'over' : 'waiting';
    const pauseMs = Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** (known.failures - 1));
    const askedMs = ending.why === 'refused' ? (ending.refusal.retryAfter ?? 0) * 1000 : 0;
    known.retryAtMs = nowMs + Math.max(pauseMs, Math.min(askedMs, MAX_RETRY_MS));
  }

  /** `untried` are those that have not been reached or given up even once. */
  counts(): { readonly active: number; readonly dialling: number; readonly untried: number; readonly known: number } {
    let [active, dialling, untried] = [0, 0, 0];
    for (const known of this.#peers.values()) {
      if (known.state === 'active') active++;
      if (known.state === 'dialling') dialling++;
      if (known.state === 'new' || (known.state === 'dialling' && known.ending === undefined)) untried++;
    }
    return { active, dialling, untried, known: this.#peers.size };
  }

  /** How every peer that is not used ended, for the report at the end. */
  endings(): { readonly peer: string; readonly ending: Ending }[] {
    return [...this.#peers].flatMap(([peer, known]) =>
      known.ending === undefined ? [] : [{ peer, ending: known.ending }],
    );
  }

  #ready(nowMs: number): Known[] {
    return [...this.#peers.values()].filter(
      known => known.state === 'new' || (known.state === 'waiting' && known.retryAtMs <= nowMs),
    );
  }

  /** Makes room by forgetting one that is of no use; a liar is remembered as long as possible. */
  #forgetOne(): boolean {
    for (const useless of ['unreachable', 'vanished', 'refused', 'broke-protocol', 'lied'] as const) {
      for (const [peer, { state, ending }] of this.#peers) {
        if ((state === 'waiting' || state === 'over') && ending?.why === useless) return this.#peers.delete(peer);
      }
    }
    return false;
  }
}

/** Whether asking the same peer again can't help. */
function isFinal(ending: Ending): boolean {
  if (ending.why === 'lied' || ending.why === 'broke-protocol') return true;
  return ending.why === 'refused' && ['blocked', 'withdrawn', 'expired', 'changed'].includes(ending.refusal.reason);
}
