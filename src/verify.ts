/** Who has a share, and how much of it: everybody who is found is asked, and made to show some of it. */
import { isShoalError } from './errors.ts';
import type { Hint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import { MAX_PARALLEL_DIALS, MAX_VERIFIED, VERIFY_GIVEN_MS, VERIFY_LOOK_MS } from './limits.ts';
import { Gate } from './parallel.ts';
import type { Candidate, Clock, FoundVia, Network } from './ports.ts';
import type { Sample } from './sample.ts';

export interface VerifyDeps {
  readonly network: Pick<Network, 'find' | 'self' | 'status'>;
  readonly clock: Clock;
  readonly sample: (id: BlockId, from: Candidate, signal: AbortSignal) => Promise<Sample>;
}

export interface VerifyRequest {
  readonly id: BlockId;
  readonly hints: readonly Hint[];
  /** Who is asked in any case. */
  readonly known: readonly Candidate[];
}

/** What one peer has. */
export interface Holder {
  readonly peer: string;
  readonly via: FoundVia;
  /** Nothing of these where it was not reached, or refused. */
  readonly chunks?: number;
  readonly has?: number;
  readonly sampled?: number;
  /** Why it does not count as a copy, where it does not. */
  readonly problem?: string;
}

/**
 * Looks for peers for some seconds, where there is somebody to be asked, and asks each what it has. Who says that it has all gives random chunks.
 * @returns in the order in which they were found
 * @throws ShoalError `interrupted`
 */
export async function verify(
  { network, clock, sample }: VerifyDeps,
  { id, hints, known }: VerifyRequest,
  onHolder: (holder: Holder) => void,
  signal: AbortSignal,
): Promise<Holder[]> {
  const holders: Holder[] = [];
  const asked = new Map<string, Promise<void>>();
  const gate = new Gate(MAX_PARALLEL_DIALS);
  const ask = async (candidate: Candidate): Promise<void> => {
    const holder = await gate.run(() => holderAt(candidate));
    holders.push(holder);
    onHolder(holder);
  };
  const holderAt = async (candidate: Candidate): Promise<Holder> => {
    const { peer, via } = candidate;
    try {
      const { chunks, has, sampled } = await sample(id, candidate, signal);
      return {
        peer,
        via,
        chunks,
        has,
        sampled,
        ...(has < chunks ? { problem: `it lacks ${chunks - has} chunks` } : {}),
      };
    } catch (error) {
      signal.throwIfAborted();
      if (!isShoalError(error)) throw error;
      return { peer, via, problem: error.message };
    }
  };
  const late = new AbortController();
  const { lanPeers, dhtPeers } = network.status();
  const looksAround = lanPeers !== undefined || dhtPeers !== undefined || hints.some(({ kind }) => kind === 'relay');
  const lookMs = looksAround ? VERIFY_LOOK_MS : VERIFY_GIVEN_MS;
  const timer = clock.sleep(lookMs, AbortSignal.any([signal, late.signal])).catch(() => undefined);
  void timer.then(() => late.abort());
  known.forEach(candidate => asked.set(candidate.peer, ask(candidate)));
  for await (const candidate of network.find(id, hints, AbortSignal.any([signal, late.signal]))) {
    if (candidate.peer === network.self || asked.has(candidate.peer) || asked.size >= MAX_VERIFIED) continue;
    asked.set(candidate.peer, ask(candidate));
  }
  await Promise.all(asked.values());
  signal.throwIfAborted();
  return holders;
}
