/** The end of a conversation about a share, on the side of who asked. */
import { ShoalError } from './errors.ts';
import { HANG_UP_MS } from './limits.ts';
import type { Channel, Clock } from './ports.ts';
import { encodeMessage } from './protocol/messages.ts';
import { within } from './within.ts';

/**
 * Says good-bye, where there is reason to, and waits a little for the conversation to be `over`.
 * @param farewell whether all that was wanted came; nothing where the download failed
 */
export async function hangUp(
  channel: Channel,
  clock: Clock,
  farewell: { readonly complete: boolean } | undefined,
  over: Promise<unknown>,
): Promise<void> {
  if (farewell === undefined) {
    channel.abort(new ShoalError('interrupted', 'the download has ended'));
    return;
  }
  const bye = encodeMessage(farewell.complete ? { type: 'bye', complete: true } : { type: 'bye' });
  const parted = channel
    .send(bye)
    .then(() => channel.close())
    .then(() => over);
  await abortLate(channel, clock, parted);
}

/** Aborts a channel unless it has `ended` soon: a peer that takes nothing is not waited for. */
export async function abortLate(channel: Channel, clock: Clock, ended: Promise<unknown>): Promise<void> {
  if ((await within(clock, HANG_UP_MS, Promise.allSettled([ended]))) === undefined)
    channel.abort(new ShoalError('interrupted', 'the other side did not close'));
}
