/**
 * Channels on which a relay waits for a request. To open one costs a stranger nothing, and a node has only so many: while
 * there are too many, the oldest of the address prefix that has most gives way, so that a crowd keeps out only itself.
 */
import { ShoalError } from '../src/errors.ts';
import { MAX_WAITING_CHANNELS } from '../src/limits.ts';
import type { Channel, Clock, Frame } from '../src/ports.ts';
import { within } from '../src/within.ts';
import { prefixesOf } from './prefixes.ts';

export class Waiting {
  readonly #clock: Clock;
  readonly #most: number;
  /** By prefix, the oldest first. */
  readonly #channels = new Map<string, Set<Channel>>();
  #count = 0;

  constructor(clock: Clock, most = MAX_WAITING_CHANNELS) {
    this.#clock = clock;
    this.#most = most;
  }

  /**
   * The first message of a channel, and those behind it; undefined where the other side has closed it.
   * @param ms how long that is waited for
   * @throws ShoalError `protocol` where it does not come in time; as `frames` does
   */
  async first(
    channel: Channel,
    ms: number,
  ): Promise<{ readonly first: Frame; readonly rest: AsyncIterator<Frame> } | undefined> {
    const rest = channel.frames()[Symbol.asyncIterator]();
    const prefix = prefixesOf(channel.address).near;
    this.#add(prefix, channel);
    try {
      const next = await within(this.#clock, ms, rest.next());
      if (next === undefined) throw new ShoalError('protocol', 'cannot answer: nothing was asked for in time');
      return next.done === true ? undefined : { first: next.value, rest };
    } finally {
      this.#remove(prefix, channel);
    }
  }

  #add(prefix: string, channel: Channel): void {
    const ofPrefix = this.#channels.get(prefix) ?? new Set();
    this.#channels.set(prefix, ofPrefix.add(channel));
    this.#count++;
    if (this.#count > this.#most) this.#giveWay();
  }

  #remove(prefix: string, channel: Channel): void {
    const ofPrefix = this.#channels.get(prefix);
    if (ofPrefix?.delete(channel) !== true) return;
    this.#count--;
    if (ofPrefix.size === 0) this.#channels.delete(prefix);
  }

  #giveWay(): void {
    const [prefix, channels] = [...this.#channels].reduce((most, one) => (one[1].size > most[1].size ? one : most));
    const [oldest] = channels;
    if (oldest === undefined) return;
    this.#remove(prefix, oldest);
    oldest.abort(new ShoalError('unavailable', 'too many others wait, too'));
  }
}
