/** A single file as it arrives, to a stream that takes bytes in order. */
import { fileError, ShoalError } from '../errors.ts';
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
    if (failure !== undefined) throw outputError(failure);
  };
  return {
    renamed: [],
    putBack: undefined,
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
      try {
        if (content.length > 0) await put(output, content, signal);
      } catch (error) {
        signal?.throwIfAborted();
        onError(error);
      }
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

/** Resolves when the stream has no more use for the bytes. Rejects when it fails, and when the signal ends the waiting. */
function put(output: NodeJS.WritableStream, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new Error('stopped'));
    signal?.addEventListener('abort', stop);
    output.write(bytes, error => {
      signal?.removeEventListener('abort', stop);
      if (error) reject(error);
      else resolve();
    });
  });
}

function outputError(failure: unknown): ShoalError {
  return (failure as NodeJS.ErrnoException).code === 'EPIPE'
    ? new ShoalError('io', 'cannot write the output: who reads it has gone', { cause: failure })
    : fileError(failure, 'write the output');
}
