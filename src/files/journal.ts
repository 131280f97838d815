/**
 * The journal of a fetch: which chunks were written, four bytes big-endian each, in the order of writing. Room for the next
 * ones is taken ahead and filled with what can't be a chunk, so that a disk that is full still takes the record of what is
 * on it.
 */
import { isShoalError } from '../errors.ts';
import type { Directory, OpenFile } from '../ports.ts';

/** The name inside the part folder. */
const JOURNAL = 'journal';
const RECORD_BYTES = 4;
/** Records held back at most, and for how long: a kill loses no more than these, and they are only fetched again. */
const RECORDS_PER_APPEND = 16;
const HELD_BACK_MS = 1000;
const READ_BYTES = 64 * 1024;
/** Room is taken in such steps, whenever there is no more than AHEAD_BYTES left. */
const STEP_BYTES = 4096;
const AHEAD_BYTES = 1024;
const FILLER = 0xff;

/**
 * Opens the journal in a part folder, or begins one. What it says is a claim to be checked: a tail may be torn, blocks may
 * be lost, and what can't be a chunk is passed over. What stands there and is no plain file of ours is removed.
 * @param count of the chunks of the data stream
 * @throws ShoalError by `fileError`
 */
export async function openJournal(part: Directory, count: number): Promise<Journal> {
  const found = await part.stat(JOURNAL);
  const ours = found?.kind === 'file' && found.links === 1 && found.ours;
  if (found !== undefined && !ours) await part.remove(JOURNAL);
  const file = ours ? await part.open(JOURNAL, 'write') : await part.create(JOURNAL);
  try {
    const journal = new Journal(file, count);
    await journal.load();
    await journal.reserve();
    return journal;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * The chunks that the journal in a part folder names, ascending; nothing is written.
 * @throws ShoalError by `fileError`
 */
export async function readJournal(part: Directory, count: number): Promise<number[]> {
  const found = await part.stat(JOURNAL);
  if (found?.kind !== 'file' || found.links !== 1 || !found.ours) return [];
  const file = await part.open(JOURNAL, 'read');
  try {
    const journal = new Journal(file, count);
    await journal.load();
    return journal.claimed();
  } finally {
    await file.close();
  }
}

export class Journal {
  readonly #file: OpenFile;
  readonly #known: Uint8Array;
  #due: number[] = [];
  /** Bytes that are records, and that are taken. */
  #end = 0;
  #reserved = 0;
  #appending: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(file: OpenFile, count: number) {
    this.#file = file;
    this.#known = new Uint8Array(count);
  }

  /** The chunks that it names, ascending. */
  claimed(): number[] {
    const claimed: number[] = [];
    this.#known.forEach((known, index) => known === 1 && claimed.push(index));
    return claimed;
  }

  /** Notes that a chunk is written. Nothing is noted twice. */
  async record(index: number): Promise<void> {
    if (this.#known[index] === 1) return;
    this.#known[index] = 1;
    this.#due.push(index);
    if (this.#due.length >= RECORDS_PER_APPEND) await this.flush();
    // What can't be written now is tried again with the next ones.
    else this.#timer ??= setTimeout(() => void this.flush().catch(() => undefined), HELD_BACK_MS);
  }

  /** Writes what was held back. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const append = this.#appending.then(() => this.#append());
    this.#appending = append.catch(() => {});
    await append;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } catch (error) {
      // On a full disk the chunks are fetched again.
      if (!isShoalError(error)) throw error;
    } finally {
      await this.#file.close();
    }
  }

  async load(): Promise<void> {
    // Each chunk once, and what a crash may have put between; a longer file is none of ours.
    const most = this.#known.length * RECORD_BYTES * 2 + READ_BYTES;
    const block = new Uint8Array(READ_BYTES);
    const view = new DataView(block.buffer);
    for (let length = block.length; length === block.length && this.#reserved < most;) {
      const at = this.#reserved;
      length = await this.#file.read(block, at);
      this.#reserved += length - (length % RECORD_BYTES);
      for (let record = 0; record + RECORD_BYTES <= length; record += RECORD_BYTES) {
        const index = view.getUint32(record);
        if (index >= this.#known.length) continue;
        this.#known[index] = 1;
        this.#end = at + record + RECORD_BYTES;
      }
    }
  }

  /** Takes room for the records to come. @throws ShoalError by `fileError` */
  async reserve(): Promise<void> {
    if (this.#reserved - this.#end > AHEAD_BYTES) return;
    const room = new Uint8Array(STEP_BYTES).fill(FILLER);
    await this.#file.write(room, this.#reserved);
    this.#reserved += room.length;
  }

  async #append(): Promise<void> {
    const due = this.#due;
    if (due.length === 0) return;
    this.#due = [];
    const bytes = new Uint8Array(due.length * RECORD_BYTES);
    const view = new DataView(bytes.buffer);
    due.forEach((index, i) => view.setUint32(i * RECORD_BYTES, index));
    try {
      await this.#file.write(bytes, this.#end);
      this.#end += bytes.length;
    } catch (error) {
      this.#due = [...due, ...this.#due];
      throw error;
    }
    await this.reserve();
  }
}
