import { strict as assert } from 'node:assert';
import * as fs from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { promisify } from 'node:util';
import { fileError } from '../errors.ts';
import { Gate } from '../parallel.ts';
import { SMALL_WRITE_BYTES } from '../limits.ts';
import type { EntryKind, EntryStat, OpenFile } from '../ports.ts';
import type { Pace } from '../pace.ts';

const [read, write, truncate] = [promisify(fs.read), promisify(fs.write), promisify(fs.ftruncate)];
const [sync, close] = [promisify(fs.fsync), promisify(fs.close)];
const [setMode, setTimes] = [promisify(fs.fchmod), promisify(fs.futimes)];

export interface NodeFileOptions {
  /** Belongs to the file from now on. */
  readonly descriptor: number;
  readonly pace: Pace;
  /** Its path in messages. */
  readonly shown: string;
  readonly isOurs: (found: BigIntStats) => boolean;
}

/** The OpenFile port over a descriptor. */
export class NodeFile implements OpenFile {
  readonly #options: NodeFileOptions;
  /** The system writes a file by one at a time; who waits for it would burn time on a processor. */
  readonly #writing = new Gate(1);
  /** Steps under way: the descriptor's number must not be reused below them. */
  #busy = 0;
  #hasMuchToWrite = false;
  #closed = false;
  #idle: (() => void) | undefined;

  constructor(options: NodeFileOptions) {
    this.#options = options;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#do('read', async descriptor => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await read(descriptor, into, done, into.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    const isMuch = bytes.length > SMALL_WRITE_BYTES;
    if (isMuch) this.#hasMuchToWrite = true;
    return this.#do('write', descriptor =>
      this.#writing.run(async () => {
        for (let done = 0; done < bytes.length;) {
          const rest = [bytes, done, bytes.length - done, position + done] as const;
          const elsewhere = async () => (await write(descriptor, ...rest)).bytesWritten;
          done += isMuch ? await elsewhere() : await this.#step(() => fs.writeSync(descriptor, ...rest), elsewhere);
        }
      }),
    );
  }

  truncate(length: number): Promise<void> {
    return this.#do('set the length of', descriptor => truncate(descriptor, length));
  }

  stat(): Promise<EntryStat> {
    return this.#do('look at', async descriptor => {
      const found = fs.fstatSync(descriptor, { bigint: true });
      return entryStat(found, this.#options.isOurs(found));
    });
  }

  setAttributes(attributes: { executable?: boolean; modifiedSeconds?: number }): Promise<void> {
    return this.#do('set the attributes of', async descriptor => {
      if (attributes.executable !== undefined && process.platform !== 'win32') {
        const before = fs.fstatSync(descriptor).mode & 0o777;
        // Who may read it may run it.
        const mode = attributes.executable ? before | ((before & 0o444) >> 2) : before & ~0o111;
        await this.#step(
          () => fs.fchmodSync(descriptor, mode),
          () => setMode(descriptor, mode),
        );
      }
      if (attributes.modifiedSeconds !== undefined) {
        // As a Date, since Node takes a negative number for now.
        const times = [new Date(), new Date(attributes.modifiedSeconds * 1000)] as const;
        await this.#step(
          () => fs.futimesSync(descriptor, ...times),
          () => setTimes(descriptor, ...times),
        );
      }
    });
  }

  sync(): Promise<void> {
    return this.#do('make durable', descriptor => sync(descriptor));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy > 0) await new Promise<void>(resolve => (this.#idle = resolve));
    const { descriptor, shown } = this.#options;
    try {
      if (this.#hasMuchToWrite) await close(descriptor);
      else
        await this.#step(
          () => fs.closeSync(descriptor),
          () => close(descriptor),
        );
    } catch (error) {
      throw fileError(error, `close "${shown}"`);
    }
  }

  #step<T>(here: () => T, elsewhere: () => Promise<T>): Promise<T> {
    return this.#options.pace.step(here, elsewhere);
  }

  async #do<T>(tried: string, step: (descriptor: number) => Promise<T>): Promise<T> {
    assert(!this.#closed, 'the file is open');
    this.#busy += 1;
    try {
      return await step(this.#options.descriptor);
    } catch (error) {
      throw fileError(error, `${tried} "${this.#options.shown}"`);
    } finally {
      this.#busy -= 1;
      if (this.#busy === 0) this.#idle?.();
    }
  }
}

export function entryStat(found: BigIntStats, ours: boolean): EntryStat {
  return {
    kind: kindOf(found),
    sizeBytes: Number(found.size),
    links: Number(found.nlink),
    identity: identityOf(found),
    ours,
  };
}

export function kindOf(found: Pick<Dirent, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): EntryKind {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  return found.isSymbolicLink() ? 'link' : 'other';
}

export function identityOf(found: BigIntStats): string {
  return `${found.dev}-${found.ino}`;
}
