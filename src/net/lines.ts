/**
 * The lines below the streams: what a muxer writes to. A stream of yamux writes on whenever the other side gives it window,
 * also while the line takes nothing; then all piles up in the line, where the stream does not show it.
 */
import type { MessageStream, Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface';

/** What is looked at of a line. */
export type Line = Pick<
  MessageStream,
  'writableNeedsDrain' | 'writeBufferLength' | 'addEventListener' | 'removeEventListener'
>;

export class Lines {
  readonly #lines = new Map<StreamMuxer, MessageStream>();

  /** The factory's muxers, each remembered with its line for as long as that is open. */
  noting(factory: StreamMuxerFactory): StreamMuxerFactory {
    return {
      protocol: factory.protocol,
      createStreamMuxer: line => {
        const muxer = factory.createStreamMuxer(line);
        this.#lines.set(muxer, line);
        line.addEventListener('close', () => this.#lines.delete(muxer), { once: true });
        return muxer;
      },
    };
  }

  /** The line that carries `stream`. */
  below(stream: Stream): Line | undefined {
    for (const [muxer, line] of this.#lines) if (muxer.streams.includes(stream)) return line;
    return undefined;
  }
}
