/**
 * Writing a fetched share. Everything goes into a part folder beside the final name, which only this user can enter:
 *
 *     .shoal-<tag>.part/output     the file, or the folder with all in it
 *     .shoal-<tag>.part/journal    which chunks were written
 *     .shoal-<tag>.part/replaced   what stood at the final name, while it is being replaced
 *
 * The final name gets the output by one rename, after all of it was made durable. So at any moment there is nothing at the
 * final name, or what was there before, or all of the share; when something is replaced that can't be replaced by one
 * rename (a folder), there may for a moment be nothing, and what was there comes back when the part folder is opened next.
 * What is added to a folder that stands gets its names there file by file, each by one rename that replaces nothing.
 * A part folder is used by one process at a time; the caller sees to it.
 */
import { strict as assert } from 'node:assert';
import { isShoalError, ShoalError } from '../errors.ts';
import type { Layout } from '../format/layout.ts';
import type { Manifest } from '../format/manifest.ts';
import { chunkCount, pieceLength } from '../format/pieces.ts';
import type { Directory, EntryStat } from '../ports.ts';
import type { Journal } from './journal.ts';
import { openJournal } from './journal.ts';
import { alternativeName } from './names.ts';
import type { Output, Renamed } from './output.ts';
import { openOutput, OUTPUT } from './output.ts';
import { makeUnlessThere, partName, removePart } from './part.ts';
import { inParallel } from '../parallel.ts';

export type { Renamed } from './output.ts';

const REPLACED = 'replaced';
/** Which file or folder that is, written before it gets there. */
const RECORD = 'replacing';
/** Runs of one piece that are read or written at once. */
const RUNS_AT_ONCE = 4;

export interface SinkOptions {
  /** Where the final name will be; stays the caller's to close. */
  readonly parent: Directory;
  /** Names the part folder: letters, digits and hyphens. The same share to the same place has the same tag. */
  readonly tag: string;
  readonly finalName: string;
  readonly manifest: Manifest;
  /** Of the manifest's sizes. */
  readonly layout: Layout;
  /** Bytes of the data stream with its padding. */
  readonly streamSize: number;
  /** Which entries are written; all where not given. Of a file there is only one. */
  readonly selected?: ((entry: number) => boolean) | undefined;
  /** Where a folder stands that they are added to, file by file: at the final name, or `parent` itself. */
  readonly addTo?: 'final' | 'parent' | undefined;
}

/**
 * Opens the part folder of a fetch, made anew or left by an earlier one, with all selected files and folders in it.
 * @throws ShoalError `denied` when something that is not ours stands in the part folder's place; `bad-name`; by `fileError`; the reason of `signal`
 */
export async function openSink(options: SinkOptions, signal?: AbortSignal): Promise<Sink> {
  const { parent, manifest, streamSize } = options;
  const name = partName(options.tag);
  await makeUnlessThere(parent, name);
  const part = await parent.enter(name);
  let output: Output | undefined;
  try {
    const putBack = await undoReplacing(parent, part, options);
    output = await openOutput(part, manifest, options.selected ?? ((): boolean => true), signal);
    const journal = await openJournal(part, chunkCount(streamSize));
    return new Sink(options, part, output, journal, putBack);
  } catch (error) {
    await output?.close();
    await part.close();
    throw error;
  }
}

/**
 * Ends what a crash or kill within `finish` left half done. What was to be replaced comes back; if its name was taken
 * meanwhile, under a name like it, which is returned.
 */
async function undoReplacing(
  parent: Directory,
  part: Directory,
  { tag, finalName }: Pick<SinkOptions, 'tag' | 'finalName'>,
): Promise<string | undefined> {
  const final = await parent.stat(finalName);
  let output = await part.stat(OUTPUT);
  const replaced = await part.stat(REPLACED);
  // A file that is moved has both names for a moment.
  if (isSame(output, final)) {
    await part.remove(OUTPUT);
    output = undefined;
  }
  if (replaced === undefined) return undefined;
  if (isSame(replaced, final) || (final !== undefined && output === undefined)) {
    await part.remove(REPLACED);
    return undefined;
  }
  if ((await recordedIn(part)) !== inodeOf(replaced))
    throw new ShoalError(
      'denied',
      `cannot go on: "${REPLACED}" in the part folder "${partName(tag)}" was not put there by this program; look at it, and move the part folder away`,
    );
  for (let n = 1; ; n++) {
    const name = n === 1 ? finalName : alternativeName(finalName, n);
    try {
      await part.move(REPLACED, parent, name);
    } catch (error) {
      if (isShoalError(error, 'exists') && n < 1000) continue;
      throw error;
    }
    await parent.sync();
    await part.sync();
    return n === 1 ? undefined : name;
  }
}

/** Without the number of the device, which the next start of the machine may change. */
function inodeOf({ identity }: EntryStat): string {
  return identity.slice(identity.lastIndexOf('-') + 1);
}

async function record(part: Directory, what: EntryStat): Promise<void> {
  await part.remove(RECORD);
  const file = await part.create(RECORD);
  try {
    await file.write(Buffer.from(inodeOf(what)), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await part.sync();
}

async function recordedIn(part: Directory): Promise<string | undefined> {
  if ((await part.stat(RECORD)) === undefined) return undefined;
  const file = await part.open(RECORD, 'read');
  try {
    const bytes = new Uint8Array(32);
    return Buffer.from(bytes.subarray(0, await file.read(bytes, 0))).toString('utf8');
  } finally {
    await file.close();
  }
}

function isSame(a: EntryStat | undefined, b: EntryStat | undefined): boolean {
  return a !== undefined && a.identity === b?.identity;
}

export class Sink {
  readonly #options: SinkOptions;
  readonly #part: Directory;
  readonly #output: Output;
  readonly #journal: Journal;
  /** Under which name what was to be replaced was put back, where its own was taken; for the user to know. */
  readonly putBack: string | undefined;
  #isClosed = false;

  constructor(options: SinkOptions, part: Directory, output: Output, journal: Journal, putBack: string | undefined) {
    this.#options = options;
    this.#part = part;
    this.#output = output;
    this.#journal = journal;
    this.putBack = putBack;
  }

  /** Entries, and folders above entries, that got another name because the target can't hold theirs or keep it apart. */
  get renamed(): readonly Renamed[] {
    return this.#output.renamed;
  }

  /** The path of an entry, relative to the final name of a folder; of a file its path in the manifest. */
  pathOf(entry: number): string {
    return this.#output.pathOf(entry);
  }

  /** The chunks that an earlier run says it has written, ascending. Not to be believed: see `read`. */
  claimed(): number[] {
    return this.#journal.claimed();
  }

  /**
   * Piece `index` as it is on disk, its padding included; undefined where a part of it is missing or not selected. What is
   * right about it the caller finds out by sealing it again.
   */
  async read(index: number): Promise<{ content: Uint8Array } | undefined> {
    const { runs } = this.#piece(index);
    if (runs.some(run => !this.#output.isSelected(run.entry))) return undefined;
    const content = new Uint8Array(pieceLength(this.#options.streamSize, index));
    let complete = true;
    await inParallel(placed(runs), RUNS_AT_ONCE, async ({ entry, offset, begin, end }) => {
      const length = await this.#output.read(entry, content.subarray(begin, end), offset);
      if (length < end - begin) complete = false;
    });
    return complete ? { content } : undefined;
  }

  /**
   * Writes the bytes of piece `index` to where they belong; those of entries that are not selected are passed over. Several
   * pieces may be written at once.
   * @throws ShoalError by `fileError`
   */
  async write(index: number, plaintext: Uint8Array): Promise<void> {
    const { runs } = this.#piece(index);
    assert(plaintext.length === pieceLength(this.#options.streamSize, index), 'a whole piece');
    await inParallel(placed(runs), RUNS_AT_ONCE, async ({ entry, offset, begin, end }) => {
      if (this.#output.isSelected(entry)) await this.#output.write(entry, plaintext.subarray(begin, end), offset);
    }).catch(this.#sayWhatStays);
  }

  /** Notes in the journal that piece `index` was written, for a later run. */
  record(index: number): Promise<void> {
    return this.#journal.record(index).catch(this.#sayWhatStays);
  }

  flushJournal(): Promise<void> {
    return this.#journal.flush().catch(this.#sayWhatStays);
  }

  /**
   * Gives what was written its final name. All selected pieces are written. After a failure everything is still there, and
   * `finish` may be called again, or `close`, or `discard`.
   * @throws ShoalError `exists` when there is something at the final name and it is not to be replaced; by `fileError`
   */
  async finish({ replace }: { replace: boolean }): Promise<void> {
    const { parent, addTo } = this.#options;
    await this.#output
      .complete()
      .then(() => this.#output.sync())
      .catch(this.#sayWhatStays);
    if (addTo === undefined) await this.#giveFinalName(replace);
    else await this.#addTo(addTo);
    await parent.sync();
    // The output stands. What can't be removed now is removed by the next run to this place.
    await this.#remove().catch((error: unknown) => {
      if (!isShoalError(error)) throw error;
    });
  }

  /** What was moved before a failure stays there; a later run goes on with the rest. */
  async #addTo(where: 'final' | 'parent'): Promise<void> {
    const { parent, finalName } = this.#options;
    const folder = where === 'parent' ? parent : await parent.enter(finalName);
    try {
      await this.#output.moveInto(folder);
    } finally {
      if (folder !== parent) await folder.close();
    }
  }

  async #giveFinalName(replace: boolean): Promise<void> {
    const { parent, finalName } = this.#options;
    const old = replace ? await parent.stat(finalName) : undefined;
    const over = old !== undefined && old.kind !== 'directory' && this.#options.manifest.kind === 'file';
    if (old !== undefined && !over) await this.#setAside(old);
    try {
      await this.#part.move(OUTPUT, parent, finalName, over);
    } catch (error) {
      if (old !== undefined && !over) await this.#part.move(REPLACED, parent, finalName).catch(() => {});
      throw error;
    }
  }

  /** Ends for now; what was written stays for a later run. Nothing to do after `finish` or `discard`. */
  async close(): Promise<void> {
    try {
      await this.#output.close();
    } finally {
      await this.#letGo();
    }
  }

  /** Ends, and removes what was written. What was to be replaced and could not be put back is not removed: this fails then. */
  async discard(): Promise<void> {
    await this.#output.close();
    if ((await this.#part.stat(REPLACED)) !== undefined) {
      await undoReplacing(this.#options.parent, this.#part, this.#options);
    }
    await this.#remove();
  }

  /** A full disk is no reason to begin anew, and who makes room may take what is here for rubbish. */
  readonly #sayWhatStays = (error: unknown): never => {
    if (!isShoalError(error, 'disk-full')) throw error;
    const stays = `what was fetched stays in "${partName(this.#options.tag)}", and it goes on from there`;
    throw new ShoalError('disk-full', `${error.message}; ${stays}`, { cause: error });
  };

  /** The part folder's own name becomes durable before, or what is set aside could be lost with it. */
  async #setAside(old: EntryStat): Promise<void> {
    const { parent, finalName } = this.#options;
    await record(this.#part, old);
    await parent.sync();
    await parent.move(finalName, this.#part, REPLACED);
  }

  async #remove(): Promise<void> {
    await this.#letGo();
    await removePart(this.#options.parent, this.#options.tag);
    await this.#options.parent.sync();
  }

  async #letGo(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.#journal.close();
    } finally {
      await this.#part.close();
    }
  }

  #piece(index: number): ReturnType<Layout['piece']> {
    return this.#options.layout.piece(index, this.#options.streamSize);
  }
}

/** Runs of a piece with where they begin and end in it. */
function* placed(
  runs: ReturnType<Layout['piece']>['runs'],
): Iterable<{ entry: number; offset: number; begin: number; end: number }> {
  let begin = 0;
  for (const { entry, offset, length } of runs) {
    yield { entry, offset, begin, end: begin + length };
    begin += length;
  }
}
