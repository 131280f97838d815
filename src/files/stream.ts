/** A single file as it arrives, to a stream that takes bytes in order. */
import { once } from 'node:events';
import { ShoalError } from '../errors.ts';
import { STREAM_WINDOW } from '../limits.ts';
import type { ChunkStore, Destination, Sink, SinkContent } from '../ports.ts';

/** @throws ShoalError `usage` from `open` when the share is a folder */
export function streamDestination(output: NodeJS.WritableStream, store: ChunkStore): Destination {
  return {
    store,
    window: STREAM_WINDOW,
    standing: () => Promise.resolve(undefined),
    strangers: () => Promise.resolve([]),
    pathOf: () => '-',
    open: content => Promise.resolve(streamSink(output, content)),
    discard: () => Promise.resolve(),
  };
}

function streamSink(output: NodeJS.WritableStream, { manifest, layout, streamSize }: SinkContent): Sink {
  if (manifest.kind !== 'file')
    throw new ShoalError('usage', 'cannot write a folder to a stream; give a folder with --output instead of "-"');
  let next = 0;
  let failure: unknown;
  const waiting = new Map<number, () => void>();
  const onError = (error: unknown): void => {
    failure ??= error;
    for (const wake of waiting.values()) wake();
  };
  output.on('error', onError);
  const check = (): void => {
    if (failure !== undefined)
      throw new ShoalError('io', 'cannot write the output: who reads it has gone', { cause: failure });
  };
  return {
    renamed: [],
    claimed: () => [],
    read: () => Promise.resolve(undefined),
    async write(index, plaintext, signal) {
      const wake = (): void => waiting.get(index)?.();
      signal?.addEventListener('abort', wake);
      try {
        while (index !== next && failure === undefined && signal?.aborted !== true)
          await new Promise<void>(resolve => waiting.set(index, resolve));
      } finally {
        waiting.delete(index);
        signal?.removeEventListener('abort', wake);
      }
      signal?.throwIfAborted();
      check();
      const { zeros } = layout.piece(index, streamSize);
      const content = plaintext.subarray(0, plaintext.length - zeros);
      // The stream may keep what it is given for a while; the piece's memory is used again.
      if (content.length > 0 && !output.write(Buffer.from(content)))
        await once(output, 'drain', signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
      check();
      next++;
      waiting.get(next)?.();
    },
    record: () => Promise.resolve(),
    finish: () => {
      check();
      return Promise.resolve();
    },
    close: () => {
      output.off('error', onError);
      return Promise.resolve();
    },
  };
}
