/** Delivers a withdrawal to one peer (docs/protocol.md, Withdrawing). */
import { dial } from './dial.ts';
import { ShoalError } from './errors.ts';
import { NOTICE_PATIENCE_MS } from './limits.ts';
import type { Candidate, Clock, Network } from './ports.ts';
import { decodeNoticeAnswer, encodeNoticeMessage, NOTICE_PROTOCOL } from './protocol/notice-messages.ts';
import type { CheckedWithdrawal } from './protocol/withdrawn.ts';
import { within } from './within.ts';

export interface NotifyDeps {
  readonly network: Pick<Network, 'connect'>;
  readonly clock: Clock;
}

/**
 * Tells a peer that something was withdrawn. It learns the id and the block by that, so that only those are told who have
 * shown that they know them.
 * @returns `obeyed` where it does not serve it any more; `dropped` where it did not hold it, or does not believe it
 * @throws ShoalError `not-found` where it is not reached, `unavailable` where it does not answer in NOTICE_PATIENCE_MS,
 *   `protocol` where it takes no notices; `interrupted`
 */
export async function notify(
  { network, clock }: NotifyDeps,
  to: Candidate,
  { statement, block }: Pick<CheckedWithdrawal, 'statement' | 'block'>,
  signal: AbortSignal,
): Promise<'obeyed' | 'dropped'> {
  const channel = await dial(network, clock, to, NOTICE_PROTOCOL, signal);
  const onAbort = (): void => channel.abort(new ShoalError('interrupted', 'stopped on request'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const asked = channel
      .send(encodeNoticeMessage({ type: 'withdrawal', statement }), block)
      .then(() => channel.frames()[Symbol.asyncIterator]().next());
    // Where time is up nobody waits for it any more.
    asked.catch(() => undefined);
    const answer = await within(clock, NOTICE_PATIENCE_MS, asked);
    if (answer === undefined || answer.done === true)
      throw new ShoalError('unavailable', 'it did not answer the notice; it is told again');
    const { type } = decodeNoticeAnswer(answer.value.header, answer.value.body.length);
    await within(clock, NOTICE_PATIENCE_MS, channel.close());
    return type;
  } catch (error) {
    channel.abort(error as Error);
    throw signal.aborted ? new ShoalError('interrupted', 'stopped on request', { cause: error }) : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
