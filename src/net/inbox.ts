import { ShoalError } from '../errors.ts';
import { FRAME_OVERHEAD_BYTES, MAX_UNREAD_BYTES } from '../limits.ts';
import type { Frame } from '../ports.ts';

/** Messages that have arrived and were not taken yet, bounded by MAX_UNREAD_BYTES. */
export class Inbox {
  #frames: Frame[] = [];
  #unreadBytes = 0;
  #taken = false;
  #dropping = false;
  #over: { readonly error?: ShoalError } | undefined;
  #wake: () => void = () => undefined;

  /** Counts a message before memory is given to it. @throws ShoalError `protocol` when too much has not been taken. */
  reserve(bytes: number): void {
    this.#unreadBytes += bytes + FRAME_OVERHEAD_BYTES;
    if (this.#unreadBytes <= MAX_UNREAD_BYTES) return;
    throw new ShoalError('protocol', `more than ${MAX_UNREAD_BYTES} bytes arrived that nobody has asked for or taken`);
  }

  /** Adds a message whose bytes were reserved. */
  put(frame: Frame): void {
    if (this.#dropping || this.#over !== undefined) return this.#release(frame);
    this.#frames.push(frame);
    this.#wake();
  }

  /** Nothing more will come, and nothing is missing. */
  end(): void {
    this.#over ??= {};
    this.#wake();
  }

  /** Nothing more will come: who reads is told `error`, after what had arrived, unless that is to be dropped. */
  fail(error: ShoalError, drop = false): void {
    if (drop) this.#drop();
    if (drop || this.#over === undefined) this.#over = { error };
    this.#wake();
  }

  frames(): AsyncGenerator<Frame, void> {
    if (this.#taken) throw new Error('the messages of a channel can be iterated once');
    this.#taken = true;
    return this.#read();
  }

  async *#read(): AsyncGenerator<Frame, void> {
    try {
      for (;;) {
        const frame = this.#frames.shift();
        if (frame !== undefined) {
          this.#release(frame);
          yield frame;
        } else if (this.#over?.error !== undefined) {
          throw this.#over.error;
        } else if (this.#over !== undefined) {
          return;
        } else {
          await new Promise<void>(resolve => (this.#wake = resolve));
        }
      }
    } finally {
      this.#dropping = true;
      this.#drop();
    }
  }

  #drop(): void {
    this.#frames.forEach(frame => this.#release(frame));
    this.#frames = [];
  }

  #release(frame: Frame): void {
    this.#unreadBytes -= frame.header.length + frame.body.length + FRAME_OVERHEAD_BYTES;
  }
}
