import { strict as assert } from 'node:assert';
import * as fs from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { promisify } from 'node:util';
import { fileError } from '../errors.ts';
import { Gate } from '../parallel.ts';
import type { EntryKind, EntryStat, OpenFile } from '../ports.ts';

const [read, write, truncate] = [promisify(fs.read), promisify(fs.write), promisify(fs.ftruncate)];
const [sync, close] = [promisify(fs.fsync), promisify(fs.close)];

/** The OpenFile port over a descriptor, which belongs to it. Short steps are done in the calling thread. */
export class NodeFile implements OpenFile {
  readonly #descriptor: number;
  readonly #shown: string;
  readonly #isOurs: (found: BigIntStats) => boolean;
  /** The system writes a file by one at a time; who waits for it would burn time on a processor. */
  readonly #writing = new Gate(1);
  /** Steps under way: the descriptor's number must not be reused below them. */
  #busy = 0;
  #closed = false;
  #idle: (() => void) | undefined;

  constructor(descriptor: number, shown: string, isOurs: (found: BigIntStats) => boolean) {
    this.#descriptor = descriptor;
    this.#shown = shown;
    this.#isOurs = isOurs;
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
    return this.#do('write', descriptor =>
      this.#writing.run(async () => {
        for (let done = 0; done < bytes.length;) {
          const { bytesWritten } = await write(descriptor, bytes, done, bytes.length - done, position + done);
          done += bytesWritten;
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
      return entryStat(found, this.#isOurs(found));
    });
  }

  setAttributes(attributes: { executable?: boolean; modifiedSeconds?: number }): Promise<void> {
    return this.#do('set the attributes of', async descriptor => {
      if (attributes.executable !== undefined && process.platform !== 'win32') {
        const mode = fs.fstatSync(descriptor).mode & 0o777;
        // Who may read it may run it.
        fs.fchmodSync(descriptor, attributes.executable ? mode | ((mode & 0o444) >> 2) : mode & ~0o111);
      }
      if (attributes.modifiedSeconds !== undefined) {
        // As a Date, since Node takes a negative number for now.
        fs.futimesSync(descriptor, new Date(), new Date(attributes.modifiedSeconds * 1000));
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
    try {
      await close(this.#descriptor);
    } catch (error) {
      throw fileError(error, `close "${this.#shown}"`);
    }
  }

  async #do<T>(tried: string, step: (descriptor: number) => Promise<T>): Promise<T> {
    assert(!this.#closed, 'the file is open');
    this.#busy += 1;
    try {
      return await step(this.#descriptor);
    } catch (error) {
      throw fileError(error, `${tried} "${this.#shown}"`);
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
