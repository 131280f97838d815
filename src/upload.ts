/** Has a relay keep a share under a lease, and keep it longer (docs/protocol.md, Leaving a share at a relay). */
import { ShoalError } from './errors.ts';
import { sameBytes, type BlockId } from './format/ids.ts';
import { ciphertextBytes, decodeShareBlock } from './format/share-block.ts';
import {
  decodeStatement,
  encodeStatement,
  signStatement,
  verifyReceipt,
  type Receipt,
  type Signed,
} from './format/statement.ts';
import { STORE_PATIENCE_MS } from './limits.ts';
import type { Candidate, Clock, Frame, Network } from './ports.ts';
import { guarded } from './protocol/headers.ts';
import { peerBytes } from './protocol/proof.ts';
import {
  decodeStoreAnswer,
  encodeStoreMessage,
  STORE_PROTOCOL,
  type StoreAnswer,
  type StoreRefusal,
  type StoreRequest,
} from './protocol/store-messages.ts';
import { within } from './within.ts';

export interface UploadDeps {
  readonly network: Pick<Network, 'connect'>;
  readonly clock: Clock;
}

export interface UploadRequest {
  readonly relay: Candidate;
  readonly id: BlockId;
  /** The bytes of the share block. */
  readonly block: Uint8Array;
  /** Unix seconds. A relay may agree to less. */
  readonly until: number;
}

export type UploadEvent =
  { readonly event: 'accepted'; readonly until: number } | { readonly event: 'moved'; readonly bytes: number };

/** A receipt that was checked: the relay's, for this share. */
export interface Stored {
  readonly until: number;
  /** As it came: proof of what was promised. */
  readonly receipt: Uint8Array;
}

/**
 * Leaves a share at a relay, which fetches from this node what it lacks: the share has to be served meanwhile.
 * @throws ShoalError `refused` where the relay does not take it, `unavailable` where it does not now; `not-found` where it is not reached; `protocol`
 *   where it is none, or its receipt does not hold; `unavailable`, `interrupted`
 */
export async function upload(
  deps: UploadDeps,
  request: UploadRequest,
  onEvent: (event: UploadEvent) => void,
  signal: AbortSignal,
): Promise<Stored> {
  const { relay, id, block, until } = request;
  const expected = { id, size: ciphertextBytes(decodeShareBlock(block)), relay };
  return await asked(deps, relay, { type: 'ask', until }, block, signal, async next => {
    for (;;) {
      const { answer, body } = await next();
      if (answer.type === 'receipt') return checkedReceipt(body, expected, deps.clock);
      if (answer.type === 'accept') onEvent({ event: 'accepted', until: answer.until });
      else if (answer.type === 'moved') onEvent({ event: 'moved', bytes: answer.bytes });
      else throw unexpected(answer);
    }
  });
}

/**
 * Has the lease of a share end later.
 * @param request `ownerSeed`: of the share's owner key, 32 bytes
 * @returns undefined where the relay has not got the share (any more)
 * @throws ShoalError as `upload`
 */
export async function renew(
  deps: UploadDeps,
  request: UploadRequest & { readonly ownerSeed: Uint8Array },
  signal: AbortSignal,
): Promise<Stored | undefined> {
  const { relay, id, block, until, ownerSeed } = request;
  const renewal = signStatement({ type: 'renewal', id, relay: peerBytes(relay.peer), until }, ownerSeed);
  const expected = { id, size: ciphertextBytes(decodeShareBlock(block)), relay };
  try {
    return await asked(deps, relay, { type: 'renew' }, encodeStatement(renewal), signal, async next => {
      const { answer, body } = await next();
      if (answer.type !== 'receipt') throw unexpected(answer);
      return checkedReceipt(body, expected, deps.clock);
    });
  } catch (error) {
    if (error instanceof Refused && error.reason === 'unknown') return undefined;
    throw error;
  }
}

/**
 * Leaves a grant beside its share, which the relay keeps.
 * @param block the bytes of the grant
 * @throws ShoalError as `upload`
 */
export async function leaveGrant(
  deps: UploadDeps,
  relay: Candidate,
  block: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  await asked(deps, relay, { type: 'grant' }, block, signal, async next => {
    const { answer } = await next();
    if (answer.type !== 'stored') throw unexpected(answer);
  });
}

type Next = () => Promise<{ answer: Exclude<StoreAnswer, { type: 'refuse' }>; body: Uint8Array }>;

/** One request on a channel of its own. */
async function asked<T>(
  { network, clock }: UploadDeps,
  relay: Candidate,
  request: StoreRequest,
  body: Uint8Array,
  signal: AbortSignal,
  converse: (next: Next) => Promise<T>,
): Promise<T> {
  const channel = await network.connect(relay, STORE_PROTOCOL, signal);
  const onAbort = (): void => channel.abort(new ShoalError('interrupted', 'stopped on request'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await channel.send(encodeStoreMessage(request), body);
    const frames = channel.frames()[Symbol.asyncIterator]();
    const result = await converse(() => nextAnswer(clock, frames));
    // What was said is said; that the other side closes late is no failure.
    await channel.close().catch(() => undefined);
    return result;
  } catch (error) {
    channel.abort(error as Error);
    throw signal.aborted ? new ShoalError('interrupted', 'stopped on request', { cause: error }) : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function nextAnswer(clock: Clock, frames: AsyncIterator<Frame>): ReturnType<Next> {
  const next = await within(clock, STORE_PATIENCE_MS, frames.next());
  if (next === undefined) throw new ShoalError('unavailable', 'the relay does not answer any more; try again later');
  if (next.done === true) throw new ShoalError('unavailable', 'the relay closed the connection; try again later');
  const { header, body } = next.value;
  const answer = decodeStoreAnswer(header, body.length);
  if (answer.type !== 'refuse') return { answer, body };
  const { reason, detail, retryAfter } = answer;
  const why = detail === undefined ? reason : `${reason} (${detail})`;
  const later = retryAfter === undefined ? '' : `; it may be asked again in ${retryAfter} s`;
  throw new Refused(reason, `the relay does not keep the share: ${why}${later}`);
}

const FOR_GOOD: readonly StoreRefusal['reason'][] = ['blocked', 'withdrawn', 'expired', 'invalid'];

class Refused extends ShoalError {
  readonly reason: StoreRefusal['reason'];

  constructor(reason: StoreRefusal['reason'], message: string) {
    super(FOR_GOOD.includes(reason) ? 'refused' : 'unavailable', message);
    this.reason = reason;
  }
}

/** @throws ShoalError `protocol` where it is not this relay's receipt for all of this share */
function checkedReceipt(
  bytes: Uint8Array,
  { id, size, relay }: Pick<Receipt, 'id' | 'size'> & { readonly relay: Candidate },
  clock: Clock,
): Stored {
  const receipt = guarded((): Signed<Receipt> => decodeStatement(bytes, 'receipt'));
  const isIts = sameBytes(receipt.relay, peerBytes(relay.peer)) && verifyReceipt(receipt);
  if (!isIts || receipt.id !== id || receipt.size !== size)
    throw new ShoalError('protocol', "the relay's receipt does not hold: it is not signed by it for this share");
  if (receipt.until * 1000 <= clock.now())
    throw new ShoalError('protocol', "the relay's receipt is for a time that has passed; is a clock wrong?");
  return { until: receipt.until, receipt: bytes };
}

function unexpected({ type }: StoreAnswer): ShoalError {
  return new ShoalError('protocol', `the relay's answer "${type}" is not one to what it was asked`);
}
