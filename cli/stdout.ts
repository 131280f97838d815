/** stdout, written whole or with an error. */
import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import type { Output } from './terminal.ts';

const STDOUT = 1;

/**
 * Node's stream for pipes and terminals; for files and devices one of our own. Node's stream for files drops what a short
 * write leaves over, as on a disk that fills up, and for block devices it has none.
 */
export function standardOutput(): NodeJS.WritableStream & Output {
  const found = fstatSync(STDOUT);
  return found.isFIFO() || found.isSocket() || isatty(STDOUT) ? process.stdout : new DescriptorStream(STDOUT);
}

/** Writes in the calling thread, so that nothing is left to be written when the process ends. */
class DescriptorStream extends Writable {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    super();
    this.#descriptor = descriptor;
  }

  override _write(bytes: Uint8Array, _: BufferEncoding, done: (error?: Error) => void): void {
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(this.#descriptor, bytes, written);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  }
}
