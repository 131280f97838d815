/** Whether a peer shows that it knows a share or grant, before it is told anything that only who knows it may learn. */
import { dial } from './dial.ts';
import { sameBytes, dayOf, digestOf, rendezvous, sha256, type BlockId } from './format/ids.ts';
import { HELLO_TIMEOUT_MS } from './limits.ts';
import type { Candidate, Channel, Clock, Network } from './ports.ts';
import { CHUNKS_PROTOCOL, decodeServerMessage, encodeMessage } from './protocol/messages.ts';
import { proofOf } from './protocol/proof.ts';
import { believed } from './protocol/withdrawn.ts';
import { within } from './within.ts';

/** `holds` it; has `withdrawn` it, and shows the statement; or shows nothing. */
export type Shown = 'holds' | 'withdrawn' | 'nothing';

/**
 * Says hello for an id, with our own proof, which tells a stranger nothing. The proof of the other side is the block whose
 * hash is the id, or the owner's withdrawal of it. That it refuses for another reason, which anybody can say, is none.
 * @throws ShoalError as `dial`; `unavailable`, `protocol`; `interrupted`
 */
export async function shownBy(
  { network, clock }: { readonly network: Pick<Network, 'connect' | 'self'>; readonly clock: Clock },
  candidate: Candidate,
  id: BlockId,
  signal: AbortSignal,
): Promise<Shown> {
  const channel = await dial(network, clock, candidate, CHUNKS_PROTOCOL, signal);
  const onAbort = (): void => channel.abort(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const shown = await within(clock, HELLO_TIMEOUT_MS, answerTo(channel, network.self, clock, id));
    if (shown !== undefined) {
      await within(clock, HELLO_TIMEOUT_MS, part(channel));
      return shown;
    }
    channel.abort(new Error('it did not answer'));
    return 'nothing';
  } catch (error) {
    channel.abort(error as Error);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function answerTo(channel: Channel, self: string, clock: Clock, id: BlockId): Promise<Shown> {
  const key = rendezvous(id, dayOf(clock.now() / 1000)).bytes;
  await channel.send(encodeMessage({ type: 'hello', key, proof: proofOf(id, self, channel.peer) }));
  const first = await channel.frames()[Symbol.asyncIterator]().next();
  if (first.done === true) return 'nothing';
  const { header, body } = first.value;
  const message = decodeServerMessage(header, body.length);
  if (message.type === 'refuse') return believed(message, id, body).withdrawal === undefined ? 'nothing' : 'withdrawn';
  const isBlock = message.type === 'hello' || message.type === 'grant';
  return isBlock && sameBytes(sha256(body), digestOf(id)) ? 'holds' : 'nothing';
}

async function part(channel: Channel): Promise<void> {
  // What was asked is answered; that the other side has closed already is no failure.
  await channel.send(encodeMessage({ type: 'bye' })).catch(() => undefined);
  await channel.close().catch(() => undefined);
}
