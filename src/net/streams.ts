/**
 * The one file that owns bulk streams: messages over a libp2p stream, with back-pressure in both directions.
 *
 *     message = uint32(length of header) || uint32(length of body) || header || body
 *
 * A libp2p stream gives none to its reader: whatever arrives is dispatched at once, so what is not taken is bounded here,
 * and peers ask for no more than their credit (docs/protocol.md). Its writer gets `false` from send() and then has to wait
 * for `drain`, which may announce room for less than one message.
 *
 * Where bytes per second are limited, bodies pass in slices: written one by one, or read from a stream that is paused
 * meanwhile, so that the other side gets no more window (docs/decisions/0013).
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface';
import { Uint8ArrayList } from 'uint8arraylist';
import { ShoalError } from '../errors.ts';
import {
  CLOSE_LINGER_MS,
  IDLE_CHANNEL_TIMEOUT_MS,
  MAX_BLOCK_BYTES,
  MAX_HEADER_BYTES,
  MAX_READ_BUFFER_BYTES,
  MAX_UNSENT_BYTES,
  STALLED_WRITE_TIMEOUT_MS,
} from '../limits.ts';
import { takeMemory } from '../memory.ts';
import type { Channel, Clock, Frame, Path } from '../ports.ts';
import { Rate, type Rates } from '../rate.ts';
import { Inbox } from './inbox.ts';
import type { Line } from './lines.ts';

/** Who is at the other end: a peer id that the connection has authenticated, and a multiaddr, both as text; and the way there. */
export interface Remote {
  readonly peer: string;
  readonly address: string;
  readonly path: Path;
}

/**
 * A channel over `stream`, which belongs to it from now on. What arrives is read from this call on.
 * The stream keeps the bytes given to `send` until they are encrypted: who sends must not change or transfer them.
 * @param line what carries the stream, where it is known: a send waits for it, whatever window the other side gives
 * @param rates limits that it shares with others; none when absent
 */
export function channelOf(stream: Stream, remote: Remote, clock: Clock, line?: Line, rates?: Rates): Channel {
  return new StreamChannel(stream, remote, clock, line, rates ?? { up: new Rate(clock), down: new Rate(clock) });
}

const PREFIX_BYTES = 8;
const NOTHING = new Uint8Array(0);

class StreamChannel implements Channel {
  readonly peer: string;
  readonly address: string;
  readonly path: Path;
  readonly #stream: Stream;
  readonly #clock: Clock;
  readonly #line: Line | undefined;
  readonly #rates: Rates;
  readonly #inbox = new Inbox();
  readonly #reader = new FrameReader(this.#inbox);
  /** Aborted when the stream is finished, with why; ends everything that waits. */
  readonly #ended = new AbortController();
  /** Settles when all messages given so far are written: keeps them from mixing. */
  #written: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #remoteClosed: boolean;
  #letGo = false;
  #watched = false;
  #reading = false;
  #hasSent = false;
  #receivedBytes = 0;
  readonly #backlog: Uint8Array[] = [];

  constructor(stream: Stream, remote: Remote, clock: Clock, line: Line | undefined, rates: Rates) {
    this.peer = remote.peer;
    this.address = remote.address;
    this.path = remote.path;
    this.#stream = stream;
    this.#clock = clock;
    this.#line = line;
    this.#rates = rates;
    this.#remoteClosed = stream.remoteWriteStatus === 'closed' && stream.status === 'open';
    stream.maxReadBufferLength = MAX_READ_BUFFER_BYTES;
    stream.inactivityTimeout = IDLE_CHANNEL_TIMEOUT_MS;
    stream.addEventListener('message', this.#onMessage);
    stream.addEventListener('remoteCloseWrite', this.#onRemoteClose);
    stream.addEventListener('end', this.#onEnd);
    stream.addEventListener('close', this.#onClose);
    // Events that came before we listened do not come again; the stream dispatches what it holds in a microtask.
    if (stream.readableEnded) queueMicrotask(this.#onEnd);
    if (stream.status !== 'open' && stream.status !== 'closing') queueMicrotask(() => this.#finish(undefined));
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  send(header: Uint8Array, body: Uint8Array = NOTHING): Promise<void> {
    if (header.length > MAX_HEADER_BYTES || body.length > MAX_BLOCK_BYTES) {
      throw new RangeError(`a message of ${header.length} and ${body.length} bytes is larger than the protocol allows`);
    }
    if (this.#closing !== undefined)
      return Promise.reject(this.#error('send to', 'the channel is closed on this side'));
    const sent = this.#written.then(() => this.#write(header, body));
    this.#written = sent.catch(() => undefined);
    return sent;
  }

  frames(): AsyncIterable<Frame> {
    return this.#inbox.frames();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  abort(reason: Error): void {
    if (this.#ended.signal.aborted) return;
    this.#inbox.fail(this.#error('read from', `this side ended it: ${reason.message}`, reason), true);
    this.#finish(reason);
    this.#stream.abort(reason);
  }

  async #write(header: Uint8Array, body: Uint8Array): Promise<void> {
    this.#ended.signal.throwIfAborted();
    // Who waits for the first message, which is the hello, gives up soon.
    const isUrgent = !this.#hasSent;
    this.#hasSent = true;
    const { up } = this.#rates;
    if (up.limit === undefined || body.length === 0) {
      await this.#put(new Uint8ArrayList(headOf(header, body), body), MAX_UNSENT_BYTES);
      return;
    }
    await this.#put(headOf(header, body), 0);
    // Its memory is freed when the last of it has been read.
    const { length } = body;
    for (let at = 0; at < length;) {
      const end = at + (await up.take(length - at, this.#ended.signal, isUrgent));
      // What waits below would leave all at once, later.
      await this.#put(body.subarray(at, end), 0);
      at = end;
    }
  }

  /** Writes, and waits while more than `maxUnsentBytes` are held back below. */
  async #put(bytes: Uint8Array | Uint8ArrayList, maxUnsentBytes: number): Promise<void> {
    try {
      this.#stream.send(bytes);
    } catch (error) {
      throw this.#error('send to', (error as Error).message, error);
    }
    while (isFull(this.#stream, maxUnsentBytes) || isFull(this.#line, maxUnsentBytes)) {
      this.#watch();
      await this.#drain();
      this.#ended.signal.throwIfAborted();
    }
  }

  /** Bytes that wait, in the stream and below it. */
  get #unsentBytes(): number {
    return this.#stream.writeBufferLength + (this.#line?.writeBufferLength ?? 0);
  }

  /** Resolves with the next `drain`, or when the stream ends. A drain that passed before this call does not count. */
  #drain(): Promise<void> {
    return new Promise(resolve => {
      const settle = (): void => {
        this.#stream.removeEventListener('drain', settle);
        this.#line?.removeEventListener('drain', settle);
        this.#ended.signal.removeEventListener('abort', settle);
        resolve();
      };
      if (this.#ended.signal.aborted) resolve();
      this.#stream.addEventListener('drain', settle);
      this.#line?.addEventListener('drain', settle);
      this.#ended.signal.addEventListener('abort', settle);
    });
  }

  /** Ends the channel when what waits to be written has not become less for the time that limits.ts allows. */
  #watch(): void {
    if (this.#watched) return;
    this.#watched = true;
    void this.#abortWhenStalled().catch(() => undefined);
  }

  async #abortWhenStalled(): Promise<void> {
    let waiting = this.#unsentBytes;
    let changed = this.#clock.monotonic();
    while (this.#stream.writableNeedsDrain || isFull(this.#line, MAX_UNSENT_BYTES)) {
      const left = changed + STALLED_WRITE_TIMEOUT_MS - this.#clock.monotonic();
      if (left <= 0) {
        this.abort(this.#error('send to', 'it has stopped reading'));
        return;
      }
      await this.#clock.sleep(left, this.#ended.signal);
      if (this.#unsentBytes === waiting) continue;
      waiting = this.#unsentBytes;
      changed = this.#clock.monotonic();
    }
    this.#watched = false;
  }

  async #close(): Promise<void> {
    await this.#written;
    if (this.#ended.signal.aborted) return;
    this.#watch();
    await this.#stream.close({ signal: this.#ended.signal }).catch(() => undefined);
    void this.#letGoLater().catch(() => undefined);
  }

  /** A stream is free when both sides have closed it; who does not is not waited for. */
  async #letGoLater(): Promise<void> {
    await this.#clock.sleep(CLOSE_LINGER_MS, this.#ended.signal);
    this.#letGo = true;
    this.#stream.abort(new Error('the other side did not close'));
  }

  #onMessage = (event: StreamMessageEvent): void => {
    if (event.data instanceof Uint8Array) this.#backlog.push(event.data);
    else this.#backlog.push(...event.data);
    // A stream in memory may answer from within our own call.
    if (this.#reading) return;
    this.#reading = true;
    if (this.#rates.down.limit === undefined) this.#readAll();
    else void this.#readSlowly();
  };

  #readAll(): void {
    try {
      for (let part = this.#backlog.shift(); part !== undefined; part = this.#backlog.shift()) this.#read(part);
    } catch (error) {
      this.abort(this.#error('read from', (error as Error).message, error));
    } finally {
      this.#reading = false;
    }
  }

  /** As the limit lets it; the stream is paused meanwhile, so that no more comes than the window that the other side has. */
  async #readSlowly(): Promise<void> {
    // Pausing a stream in the midst of its event, or of its resuming, would open the window for good.
    await Promise.resolve();
    try {
      if (this.#stream.readStatus === 'readable') this.#stream.pause();
      for (let part = this.#backlog.shift(); part !== undefined; part = this.#backlog.shift()) {
        while (part.length > 0 && !this.#ended.signal.aborted) {
          const bytes = await this.#slice(part.length);
          this.#read(part.subarray(0, bytes));
          part = part.subarray(bytes);
        }
      }
      this.#reading = false;
      // What came meanwhile is dispatched, and read, by this.
      if (this.#stream.readStatus === 'paused') this.#stream.resume();
    } catch (error) {
      this.#reading = false;
      if (!this.#ended.signal.aborted) this.abort(this.#error('read from', (error as Error).message, error));
    }
    if (this.#reading) return;
    if (this.#stream.readableEnded) this.#onEnd();
    if (this.#stream.status === 'closed') this.#finish(undefined);
  }

  /** How many of `bytes` that are there may be read now; what is no body may always. */
  async #slice(bytes: number): Promise<number> {
    const { bodyLeft, headLeft, isFirst } = this.#reader;
    if (bodyLeft === 0) return Math.min(bytes, headLeft);
    return await this.#rates.down.take(Math.min(bytes, bodyLeft), this.#ended.signal, isFirst);
  }

  #read(part: Uint8Array): void {
    this.#receivedBytes += part.length;
    if (!this.#ended.signal.aborted) this.#reader.read(part);
  }

  #onRemoteClose = (): void => {
    this.#remoteClosed = true;
  };

  /** Nothing more will arrive. Without the other side's close that is a reset, an abort or a lost connection: `close` follows. */
  #onEnd = (): void => {
    if (!this.#remoteClosed || this.#stream.status === 'reset' || this.#stream.status === 'aborted') return;
    if (this.#reading) return;
    if (this.#reader.midFrame) this.abort(this.#error('read from', 'it closed the channel in the middle of a message'));
    else this.#inbox.end();
  };

  #onClose = (event: StreamCloseEvent): void => {
    // What has arrived is read to its end first.
    if (event.error === undefined && this.#reading) return;
    this.#finish(event.error);
  };

  /** The stream is over for both directions. */
  #finish(error: Error | undefined): void {
    if (this.#ended.signal.aborted) return;
    this.#stream.removeEventListener('message', this.#onMessage);
    this.#stream.removeEventListener('remoteCloseWrite', this.#onRemoteClose);
    this.#stream.removeEventListener('end', this.#onEnd);
    this.#stream.removeEventListener('close', this.#onClose);
    if (this.#letGo || (this.#remoteClosed && error === undefined && !this.#reader.midFrame)) this.#inbox.end();
    else this.#inbox.fail(this.#error('read from', error?.message ?? 'the connection was lost', error));
    this.#ended.abort(this.#error('send to', error?.message ?? 'the channel has ended', error));
  }

  #error(verb: string, what: string, cause?: unknown): ShoalError {
    if (cause instanceof ShoalError && cause.code === 'protocol') return cause;
    return new ShoalError('unavailable', `cannot ${verb} peer ${this.peer}: ${what}`, { cause });
  }
}

function isFull(below: Pick<Line, 'writableNeedsDrain' | 'writeBufferLength'> | undefined, most: number): boolean {
  return below?.writableNeedsDrain === true && below.writeBufferLength > most;
}

/** What stands before the body of a message. */
function headOf(header: Uint8Array, body: Uint8Array): Uint8Array {
  const head = new Uint8Array(PREFIX_BYTES + header.length);
  const lengths = new DataView(head.buffer);
  lengths.setUint32(0, header.length);
  lengths.setUint32(4, body.length);
  head.set(header, PREFIX_BYTES);
  return head;
}

/** Cuts bytes, as they come, into messages; each body is copied once, into memory of its own. */
class FrameReader {
  readonly #inbox: Inbox;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  readonly #lengths = new DataView(this.#prefix.buffer);
  #header = NOTHING;
  #body = NOTHING;
  /** Which of the three is being filled, and how far. */
  #into = this.#prefix;
  #filled = 0;
  #isFirst = true;

  constructor(inbox: Inbox) {
    this.#inbox = inbox;
  }

  /** Whether a message has begun and is not complete. */
  get midFrame(): boolean {
    return this.#into !== this.#prefix || this.#filled > 0;
  }

  /** Whether the first message is not complete yet. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  /** Bytes that are missing of a body; 0 before it begins. */
  get bodyLeft(): number {
    return this.#into === this.#body ? this.#body.length - this.#filled : 0;
  }

  /** Bytes that are missing of the part before a body that is being filled. */
  get headLeft(): number {
    return this.#into === this.#body ? 0 : this.#into.length - this.#filled;
  }

  /** @throws ShoalError `protocol` when a message is too long or there is no room for it. */
  read(part: Uint8Array): void {
    for (let at = 0; at < part.length;) {
      const end = Math.min(part.length, at + this.#into.length - this.#filled);
      this.#into.set(part.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
      while (this.#filled === this.#into.length) this.#next();
    }
  }

  #next(): void {
    this.#filled = 0;
    if (this.#into === this.#prefix) {
      this.#begin(this.#lengths.getUint32(0), this.#lengths.getUint32(4));
      this.#into = this.#header;
    } else if (this.#into === this.#header) {
      this.#into = this.#body;
    } else {
      this.#inbox.put({ header: this.#header, body: this.#body });
      this.#into = this.#prefix;
      this.#isFirst = false;
    }
  }

  #begin(headerBytes: number, bodyBytes: number): void {
    if (headerBytes > MAX_HEADER_BYTES || bodyBytes > MAX_BLOCK_BYTES) {
      throw new ShoalError(
        'protocol',
        `a message claims a header of ${headerBytes} and a body of ${bodyBytes} bytes, at most ${MAX_HEADER_BYTES} and ${MAX_BLOCK_BYTES} are allowed`,
      );
    }
    this.#inbox.reserve(headerBytes + bodyBytes);
    this.#header = new Uint8Array(headerBytes);
    this.#body = takeMemory(bodyBytes);
  }
}
