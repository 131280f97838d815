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
  /** Those that have said nothing yet, the oldest first. */
  const waiting = new Set<Channel>();
  await deps.network.serve(NOTICE_PROTOCOL, async channel => {
    waiting.add(channel);
    const leaving = waiting.size > MAX_HEARD_AT_ONCE ? mostPressing(waiting) : undefined;
    if (leaving !== undefined) {
      waiting.delete(leaving);
      leaving.abort(new ShoalError('unavailable', 'too many others have something to say'));
    }
    try {
      const answer = await hear(deps, channel);
      waiting.delete(channel);
      const answered = answer().finally(() => answering.delete(answered));
      answering.add(answered);
      await answered;
    } finally {
      waiting.delete(channel);
    }
  });
  return () => within(deps.clock, HANG_UP_MS, Promise.allSettled(answering));
}

/** The oldest channel of the peer that has most of them, and of several such, of those whose address has most. */
function mostPressing(waiting: ReadonlySet<Channel>): Channel | undefined {
  const hostOf = ({ address }: Channel): string => address.split('/').slice(1, 3).join();
  const byPeer = Map.groupBy(waiting, ({ peer }) => peer);
  const byHost = Map.groupBy(waiting, hostOf);
  const press = (channel: Channel): number =>
    (byPeer.get(channel.peer)?.length ?? 0) * MAX_HEARD_AT_ONCE * 2 + (byHost.get(hostOf(channel))?.length ?? 0);
  return [...waiting].reduce<Channel | undefined>(
    (most, channel) => (most === undefined || press(channel) > press(most) ? channel : most),
    undefined,
  );
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
