/** Whether a peer has what it says: random chunks of a share are fetched from it alone, as a reader would fetch them. */
import { blamingTheMaker, getListing } from './carry.ts';
import { Download, type DownloadDeps } from './download.ts';
import { isShoalError, ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import type { Listing } from './format/listing.ts';
import { SAMPLE_CHUNKS, SAMPLE_PATIENCE_MS } from './limits.ts';
import { onlyPeer } from './only-peer.ts';
import type { Ending } from './protocol/swarm.ts';
import type { Step } from './search.ts';
import type { Candidate, ChunkStore, Clock, Crypto, Network, RandomBytes } from './ports.ts';

export interface SampleDeps {
  /** One that was not connected to the peer before shows what a stranger would get. */
  readonly network: Network;
  readonly crypto: Pick<Crypto, 'verify'>;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Takes the blocks that tell what the share consists of, and has nothing of the share yet. */
  readonly store: ChunkStore;
  readonly onWithdrawn?: DownloadDeps['onWithdrawn'];
}

export interface Sample {
  /** Chunks of the data: what there are, what the peer says it has, and what was fetched and right. */
  readonly chunks: number;
  readonly has: number;
  readonly sampled: number;
}

/**
 * Fetches share block, index blocks and manifest of a share, and some random chunks of its data, all of them where there are
 * few. Chunks that the peer does not say it has are not asked for.
 * @throws ShoalError `unavailable` when something does not come or is wrong, saying what; `interrupted`
 */
export async function sample(
  deps: SampleDeps,
  { id, from, most = SAMPLE_CHUNKS }: { readonly id: BlockId; readonly from: Candidate; readonly most?: number },
  signal: AbortSignal,
): Promise<Sample> {
  const { network, crypto, clock, random, store, onWithdrawn } = deps;
  const over = new AbortController();
  let problem: string | undefined;
  let attempts = 0;
  const onStep = (step: Step): void => {
    if (step.step === 'lacks') problem = 'it lacks chunks that it said it has';
    else if (step.step === 'ended') problem = problemOf(step.ending, step.detail);
    else return;
    // There is nobody else who could have it.
    if (step.step === 'lacks' || isOver(step.ending, ++attempts)) over.abort();
  };
  const download = new Download(
    { network: onlyPeer(network, from), crypto, clock, onStep, onWithdrawn },
    {
      ...{ id, hints: [], timeoutMs: SAMPLE_PATIENCE_MS, onEvent: () => undefined },
      signal: AbortSignal.any([signal, over.signal]),
    },
  );
  try {
    const listing = await blamingTheMaker(() => getListing(download, store, crypto, id));
    const chunks = listing.count('data');
    const has = download.chunksAt('data').get(from.peer) ?? 0;
    if (has < chunks) return { chunks, has, sampled: 0 };
    const indices = someOf(chunks, most, random);
    await download.blocks({ kind: 'chunk', stream: 'data', indices }, (index, bytes) =>
      checkChunk(crypto, listing, index, bytes),
    );
    return { chunks, has, sampled: indices.length };
  } catch (error) {
    if (problem === undefined || signal.aborted || !isShoalError(error)) throw error;
    throw new ShoalError('unavailable', problem, { cause: error });
  } finally {
    await download.close(false);
  }
}

/** Whether another attempt would be of no use: who is busy may have time soon, and a direct connection may take over once. */
function isOver(ending: Ending, attempts: number): boolean {
  if (ending.why === 'refused') return ending.refusal.reason !== 'busy';
  return ending.why !== 'vanished' || attempts > 1;
}

function problemOf(ending: Ending, detail: string): string {
  if (ending.why === 'unreachable') return detail;
  if (ending.why !== 'refused') return `what it has can not be fetched from it: it ${ending.detail}`;
  const { reason } = ending.refusal;
  return reason === 'unknown' ? 'it does not have the share' : `it does not give the share: ${reason}`;
}

async function checkChunk(
  crypto: Pick<Crypto, 'verify'>,
  listing: Listing,
  index: number,
  bytes: Uint8Array,
): Promise<void> {
  await crypto.verify(bytes, await listing.digest('data', index));
}

/** Different numbers below `count`, in random order: so many, or all where there are fewer. */
function someOf(count: number, most: number, random: RandomBytes): number[] {
  if (count <= most) return Array.from({ length: count }, (_, index) => index);
  const chosen = new Set<number>();
  while (chosen.size < most) {
    const view = new DataView(Uint8Array.from(random(8)).buffer);
    // Of 2^53 numbers; that they do not divide evenly does not matter here.
    chosen.add((view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)) % count);
  }
  return [...chosen];
}
