/**
 * Two streams made one: what arrives at either is sent to the other, with back-pressure. Who sends faster than the other
 * side reads is paused, so that a relay holds no more than a window of each.
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface';
import type { Uint8ArrayList } from 'uint8arraylist';
import { CIRCUIT_UNSENT_BYTES, CIRCUIT_WINDOW_BYTES } from '../limits.ts';
import type { Line } from './lines.ts';

/** One end of a circuit. */
export interface End {
  readonly stream: Stream;
  /** What carries the stream, where it is known. */
  readonly line: Line | undefined;
}

/**
 * Passes bytes between two streams, and their ends, until both have ended. Both streams are over afterwards.
 * @param take told how many bytes are about to pass, and says how many of them may; with fewer than all, the circuit ends
 * @throws the signal's reason, what `take` has thrown, or Error when the limit is reached or either stream fails; both are
 *   aborted then
 */
export async function splice(a: End, b: End, take: (bytes: number) => number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  try {
    for (const { stream } of [a, b]) (stream as WithWindow).maxStreamWindowSize = CIRCUIT_WINDOW_BYTES;
    await Promise.all([carry(a, b, take, until), carry(b, a, take, until)]);
  } catch (error) {
    over.abort(error);
    for (const { stream } of [a, b]) stream.abort(error as Error);
    throw error;
  }
}

/** The window of a stream of yamux grows up to this; it is to be set for all streams of a connection only. */
interface WithWindow {
  maxStreamWindowSize?: number;
}

/** One direction, to its end. */
async function carry(from: End, to: End, take: (bytes: number) => number, signal: AbortSignal): Promise<void> {
  const arrivals = new Arrivals(from.stream);
  const lost = watch(to.stream);
  const ended = AbortSignal.any([signal, lost.signal]);
  try {
    for (;;) {
      const part = await arrivals.next(ended);
      if (part === undefined) break;
      const bytes = take(part.byteLength);
      to.stream.send(bytes < part.byteLength ? part.subarray(0, bytes) : part);
      if (bytes < part.byteLength) throw new Error('the circuit has carried what it may');
      if (isFull(to)) await drain(from.stream, to, ended);
    }
    lost.forget();
    await to.stream.close({ signal });
  } finally {
    arrivals.stop();
    lost.forget();
  }
}

function isFull({ stream, line }: End): boolean {
  return [stream, line].some(
    each => each?.writableNeedsDrain === true && each.writeBufferLength > CIRCUIT_UNSENT_BYTES,
  );
}

/** Resolves when `to` has room again; `from` is paused meanwhile. @throws the signal's reason */
async function drain(from: Stream, to: End, signal: AbortSignal): Promise<void> {
  if (from.readStatus === 'readable') from.pause();
  while (isFull(to)) await drained(to, signal);
  // A stream that has ended meanwhile still holds what came before.
  if (from.readStatus === 'paused') from.resume();
}

/** Resolves with the next `drain` of the stream or its line. @throws the signal's reason */
function drained({ stream, line }: End, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      stream.removeEventListener('drain', settle);
      line?.removeEventListener('drain', settle);
      signal.removeEventListener('abort', settle);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    if (signal.aborted) return settle();
    stream.addEventListener('drain', settle);
    line?.addEventListener('drain', settle);
    signal.addEventListener('abort', settle);
  });
}

/** A signal that is aborted when the stream is over, until that is expected. */
function watch(stream: Stream): { signal: AbortSignal; forget: () => void } {
  const lost = new AbortController();
  const onClose = ({ error }: StreamCloseEvent): void => lost.abort(error ?? lostError());
  stream.addEventListener('close', onClose);
  if (stream.status !== 'open') lost.abort(lostError());
  return { signal: lost.signal, forget: () => stream.removeEventListener('close', onClose) };
}

/** What arrives at a stream, in order, for one who takes it bit by bit. */
class Arrivals {
  readonly #stream: Stream;
  readonly #parts: (Uint8Array | Uint8ArrayList)[] = [];
  #remoteClosed: boolean;
  #ended = false;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(stream: Stream) {
    this.#stream = stream;
    this.#remoteClosed = stream.remoteWriteStatus === 'closed' && stream.status === 'open';
    this.#ended = this.#remoteClosed && stream.readableEnded;
    if (stream.status !== 'open') this.#failure = lostError();
    stream.addEventListener('message', this.#onMessage);
    stream.addEventListener('remoteCloseWrite', this.#onRemoteClose);
    stream.addEventListener('end', this.#onEnd);
    stream.addEventListener('close', this.#onClose);
  }

  /** The next part; undefined at the end, which the other side has said. @throws Error when the stream fails; the signal's reason */
  async next(signal: AbortSignal): Promise<Uint8Array | Uint8ArrayList | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const part = this.#parts.shift();
      if (part !== undefined) return part;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#wake = () => resolve(undefined);
      signal.addEventListener('abort', this.#wake, { once: true });
      await promise;
      signal.removeEventListener('abort', this.#wake);
    }
  }

  stop(): void {
    this.#stream.removeEventListener('message', this.#onMessage);
    this.#stream.removeEventListener('remoteCloseWrite', this.#onRemoteClose);
    this.#stream.removeEventListener('end', this.#onEnd);
    this.#stream.removeEventListener('close', this.#onClose);
  }

  #onMessage = ({ data }: StreamMessageEvent): void => {
    this.#parts.push(data);
    this.#wake();
  };

  #onRemoteClose = (): void => {
    this.#remoteClosed = true;
  };

  /** Nothing more will arrive: what was said to be all, or else `close` tells why. */
  #onEnd = (): void => {
    if (!this.#remoteClosed || this.#stream.status === 'reset' || this.#stream.status === 'aborted') return;
    this.#ended = true;
    this.#wake();
  };

  #onClose = ({ error }: StreamCloseEvent): void => {
    if (error === undefined && this.#remoteClosed) return;
    this.#failure = error ?? lostError();
    this.#wake();
  };
}

function lostError(): Error {
  return new Error('the other side is gone');
}
