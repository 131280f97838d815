/**
 * The peers of one share as a fetcher knows them: who to dial next, who is given up and why (protocol.md, Finding peers).
 * Decisions only: no I/O, no clock of its own.
 */
import { MAX_ACTIVE_PEERS, MAX_CANDIDATES, MAX_PARALLEL_DIALS, MAX_RETRY_MS, MIN_RETRY_MS } from '../limits.ts';
import type { Candidate } from '../ports.ts';
import type { WireRefusal } from './messages.ts';

/** Why a peer is not used at the moment, or at all. */
export type Ending =
  | { readonly why: 'unreachable' | 'vanished' | 'lied' | 'broke-protocol'; readonly detail: string }
  | { readonly why: 'refused'; readonly refusal: WireRefusal };

type State = 'new' | 'dialling' | 'active' | 'waiting' | 'over';

interface Known {
  candidate: Candidate;
  state: State;
  failures: number;
  retryAtMs: number;
  ending: Ending | undefined;
}

export class Swarm {
  readonly #peers = new Map<string, Known>();

  /** Notes a candidate. One that is known brings fresh addresses, and a new chance at once if it was only out of reach. */
  found(candidate: Candidate): void {
    const known = this.#peers.get(candidate.peer);
    if (known === undefined) {
      if (this.#peers.size >= MAX_CANDIDATES && !this.#forgetOne()) return;
      this.#peers.set(candidate.peer, { candidate, state: 'new', failures: 0, retryAtMs: 0, ending: undefined });
      return;
    }
    const fresh = candidate.addresses.some(address => !known.candidate.addresses.includes(address));
    if (!fresh) return;
    if (known.state === 'new' || known.state === 'waiting') known.candidate = candidate;
    if (known.state === 'waiting' && known.ending?.why !== 'refused') known.retryAtMs = 0;
  }

  /** Candidates to dial now; they count as being dialled. */
  toDial(nowMs: number): Candidate[] {
    const counts = this.counts();
    let room = Math.min(MAX_PARALLEL_DIALS - counts.dialling, 2 * MAX_ACTIVE_PEERS - counts.dialling - counts.active);
    if (counts.active >= MAX_ACTIVE_PEERS) room = 0;
    const ready = [...this.#peers.values()].filter(
      known => known.state === 'new' || (known.state === 'waiting' && known.retryAtMs <= nowMs),
    );
    // Who failed least first: a flood of dead providers does not keep the live one waiting.
    ready.sort((a, b) => a.failures - b.failures);
    const chosen = ready.slice(0, Math.max(0, room));
    for (const known of chosen) known.state = 'dialling';
    return chosen.map(known => known.candidate);
  }

  joined(peer: string): void {
    const known = this.#peers.get(peer);
    if (known === undefined) return;
    known.state = 'active';
    known.failures = 0;
    known.ending = undefined;
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

  /** When the next candidate becomes ready, if any waits. */
  nextRetryMs(): number | undefined {
    const times = [...this.#peers.values()].filter(known => known.state === 'waiting').map(known => known.retryAtMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  counts(): { readonly active: number; readonly dialling: number; readonly known: number; readonly waiting: number } {
    let [active, dialling, waiting] = [0, 0, 0];
    for (const known of this.#peers.values()) {
      if (known.state === 'active') active++;
      if (known.state === 'dialling') dialling++;
      if (known.state === 'waiting') waiting++;
    }
    return { active, dialling, waiting, known: this.#peers.size };
  }

  /** How every peer that is not used ended, for the report at the end. */
  endings(): { readonly peer: string; readonly ending: Ending }[] {
    return [...this.#peers].flatMap(([peer, known]) =>
      known.ending === undefined ? [] : [{ peer, ending: known.ending }],
    );
  }

  /** Makes room by forgetting one that is of no use; a liar is remembered as long as possible. */
  #forgetOne(): boolean {
    for (const useless of ['unreachable', 'vanished', 'refused'] as const) {
      for (const [peer, known] of this.#peers) {
        if (known.state === 'waiting' && known.ending?.why === useless) return this.#peers.delete(peer);
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
