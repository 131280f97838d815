/** Hears withdrawals (docs/protocol.md, Withdrawing): of what this home holds and by its owner they are obeyed, others dropped. */
import { ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { HANG_UP_MS, MAX_HEARD_AT_ONCE, NOTICE_HELLO_MS } from './limits.ts';
import type { Channel, Clock, Network } from './ports.ts';
import { decodeNotice, encodeNoticeMessage, NOTICE_PROTOCOL } from './protocol/notice-messages.ts';
import { checkedWithdrawal, type CheckedWithdrawal } from './protocol/withdrawn.ts';
import { within } from './within.ts';

export interface HearDeps {
  readonly network: Pick<Network, 'serve'>;
  readonly clock: Clock;
  /** Whether this home has, or had, the share or grant: nothing else is looked at. */
  readonly holds: (id: BlockId) => boolean;
  /** Puts a withdrawal in force, for good; resolves once it is. */
  readonly obey: (withdrawal: CheckedWithdrawal) => Promise<void>;
}

/**
 * Hears them on a network until that is stopped.
 * @returns waits a little until who was obeyed has been told that, for before the network is stopped
 */
export async function hearWithdrawals(deps: HearDeps): Promise<() => Promise<unknown>> {
  const answering = new Set<Promise<void>>();
  /** The oldest first. */
  const waiting = new Set<Channel>();
  await deps.network.serve(NOTICE_PROTOCOL, async channel => {
    waiting.add(channel);
    const [oldest] = waiting;
    if (waiting.size > MAX_HEARD_AT_ONCE && oldest !== undefined) {
      waiting.delete(oldest);
      oldest.abort(new ShoalError('unavailable', 'too many others have something to say'));
    }
    try {
      const answer = await hear(deps, channel);
      const answered = answer().finally(() => answering.delete(answered));
      answering.add(answered);
      await answered;
    } finally {
      waiting.delete(channel);
    }
  });
  return () => within(deps.clock, HANG_UP_MS, Promise.allSettled(answering));
}

/** @returns what is to be done about what was heard */
async function hear({ clock, holds, obey }: HearDeps, channel: Channel): Promise<() => Promise<void>> {
  const first = await within(clock, NOTICE_HELLO_MS, channel.frames()[Symbol.asyncIterator]().next());
  if (first === undefined || first.done === true) throw new ShoalError('protocol', 'cannot hear: no notice came');
  const { header, body } = first.value;
  const { statement } = decodeNotice(header, body.length);
  const withdrawal = checkedWithdrawal(statement, body, holds);
  return async () => {
    if (withdrawal !== undefined) await obey(withdrawal);
    await channel.send(encodeNoticeMessage({ type: withdrawal === undefined ? 'dropped' : 'obeyed' }));
    await channel.close();
  };
}
