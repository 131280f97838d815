/** The files and folders of a share while they are fetched: inside the part folder, under names that the target can hold. */
import { strict as assert } from 'node:assert';
import { isShoalError, ShoalError } from '../errors.ts';
import type { Manifest } from '../format/manifest.ts';
import { MAX_ENTRIES, MAX_OPEN_FILES } from '../limits.ts';
import { Gate, inParallel } from '../parallel.ts';
import type { Directory, EntryStat, OpenFile } from '../ports.ts';
import { HandleCache } from './handles.ts';
import { makeUnlessThere } from './part.ts';
import { alternativeName, foldName, harmlessName, portableName, showName } from './names.ts';

/** The name inside the part folder. */
export const OUTPUT = 'output';

const OPEN_FOLDERS = 16;
const AT_ONCE = 8;
/** With the folders, those that are just being opened or closed, and the few that the sink holds. */
const OPEN_FILES = MAX_OPEN_FILES - OPEN_FOLDERS - 3 * AT_ONCE;
/** Files of one folder that are created in one go. */
const BATCH = 512;
/** Names tried before we give up. */
const MAX_NAMES = 1000;

/** An entry, or a folder above entries, that got another name than the manifest says. Both are paths within the share. */
export interface Renamed {
  readonly path: string;
  readonly as: string;
}

/** A folder whose files and folders are being created or found again. */
interface Frame {
  readonly path: string;
  /** Nothing was in it before. Then whatever stands in the way of a name is an entry of this share. */
  readonly fresh: boolean;
  /** What entries of this share have already: names as given, names made comparable, and, unless fresh, identities. */
  readonly names: Set<string>;
  readonly folded: Set<string>;
  readonly identities: Set<string>;
}

/**
 * Creates every selected file (empty) and folder in the part folder, or finds those of an earlier run again; so a name that
 * can't be held is noticed before anything is fetched. What stands there and is no plain file or folder of this share is
 * removed, never followed. The same names come out on every run with the same selection.
 * @throws ShoalError by `fileError`; `bad-name` naming the path when the target can't hold a name, or when there are more
 *   than MAX_ENTRIES folders, which a few bytes of paths can ask for; the reason of `signal`
 */
export async function openOutput(
  part: Directory,
  manifest: Manifest,
  selected: (entry: number) => boolean,
  signal?: AbortSignal,
): Promise<Output> {
  const output = new Output(part, manifest, selected);
  try {
    await output.prepare(signal);
    return output;
  } catch (error) {
    await output.close().catch(() => {});
    throw error;
  }
}

export class Output {
  readonly #part: Directory;
  readonly #manifest: Manifest;
  readonly #selected: Uint8Array;
  /** Files whose length and attributes are right: they were closed by us after they were written last. */
  readonly #settled: Uint8Array;
  /** Only what differs from the manifest: by path of the entry or folder, the last segment of where it is. */
  readonly #names = new Map<string, string>();
  readonly #files: HandleCache<number, OpenFile>;
  readonly #folders: HandleCache<string, Directory>;
  readonly #gate = new Gate(AT_ONCE);
  readonly renamed: Renamed[] = [];

  constructor(part: Directory, manifest: Manifest, selected: (entry: number) => boolean) {
    this.#part = part;
    this.#manifest = manifest;
    this.#selected = Uint8Array.from(manifest.entries, (_, i) => (selected(i) ? 1 : 0));
    this.#settled = new Uint8Array(manifest.entries.length);
    this.#files = new HandleCache(
      OPEN_FILES,
      entry => this.#openFile(entry),
      (entry, file) => this.#settle(entry, file),
    );
    this.#folders = new HandleCache(OPEN_FOLDERS, path => this.#openFolder(path));
    if (manifest.kind === 'file') this.#names.set(this.#entry(0).path, OUTPUT);
  }

  isSelected(entry: number): boolean {
    return this.#selected[entry] === 1;
  }

  /** Where an entry is, relative to the share's root. */
  pathOf(entry: number): string {
    const { path } = this.#entry(entry);
    return this.#manifest.kind === 'file' ? path : this.#actual(path);
  }

  /** Reads bytes of a file; fewer than asked for where it is shorter. */
  read(entry: number, into: Uint8Array, position: number): Promise<number> {
    return this.#gate.run(() => this.#files.use(entry, file => file.read(into, position)));
  }

  write(entry: number, bytes: Uint8Array, position: number): Promise<void> {
    return this.#gate.run(() =>
      this.#files.use(entry, file => {
        this.#settled[entry] = 0;
        return file.write(bytes, position);
      }),
    );
  }

  /** Gives every file its length and attributes, and closes all. */
  async complete(): Promise<void> {
    await this.#files.close();
    await inParallel(this.#unsettled(), AT_ONCE, i =>
      this.#files.use(i, async file => {
        const { size } = this.#entry(i);
        if ((await file.stat()).sizeBytes !== size) await file.truncate(size);
      }),
    );
    await this.close();
  }

  /**
   * Moves every selected file and folder to its place below `target`, durably. Folders that are there are taken.
   * @throws ShoalError `exists` when there is something at a file's place; by `fileError`
   */
  async moveInto(target: Directory): Promise<void> {
    const inTarget = <R>(path: string, work: (folder: Directory) => Promise<R>): Promise<R> =>
      path === '' ? work(target) : folders.use(path, work);
    const folders = new HandleCache<string, Directory>(
      OPEN_FOLDERS,
      path => inTarget(parentOf(path), above => made(above, this.#names.get(path) ?? lastOf(path))),
      (_, folder) => folder.sync(),
    );
    try {
      for (const [i, { path, directory }] of this.#manifest.entries.entries()) {
        if (!this.isSelected(i)) continue;
        const name = this.#names.get(path) ?? lastOf(path);
        if (directory === true) await inTarget(path, () => Promise.resolve());
        else await inTarget(parentOf(path), to => this.#in(parentOf(path), from => from.move(name, to, name)));
      }
    } finally {
      await folders.close();
      await this.close();
    }
    await target.sync();
  }

  /** Makes all of it durable. Nothing else in the part folder is opened: closing the lock's file would free the lock. */
  async sync(): Promise<void> {
    const output =
      this.#manifest.kind === 'file' ? await this.#part.open(OUTPUT, 'write') : await this.#part.enter(OUTPUT);
    try {
      await ('syncAll' in output ? output.syncAll() : output.sync());
    } finally {
      await output.close();
    }
    await this.#part.sync();
  }

  async close(): Promise<void> {
    try {
      await this.#files.close();
    } finally {
      await this.#folders.close();
    }
  }

  /** See `openOutput`. */
  async prepare(signal?: AbortSignal): Promise<void> {
    this.#refuseTooManyFolders();
    if (this.#manifest.kind === 'file') {
      await claim(this.#part, newFrame('', false), OUTPUT, { size: this.#entry(0).size });
      return;
    }
    const { fresh } = await claim(this.#part, newFrame('', false), OUTPUT, 'folder');
    const frames = [newFrame('', fresh)];
    let batch: number[] = [];
    const finishBatch = async (): Promise<void> => {
      const due = batch;
      batch = [];
      await this.#claimFiles(topOf(frames), due);
    };
    for (const [i, entry] of this.#manifest.entries.entries()) {
      if (!this.isSelected(i)) continue;
      signal?.throwIfAborted();
      const folder = folderOf(entry);
      if (topOf(frames).path !== folder) {
        await finishBatch();
        await this.#goTo(frames, folder, signal);
      }
      if (entry.directory === true) continue;
      const frame = topOf(frames);
      const folded = foldName(lastOf(entry.path));
      // Twins are created one after the other, so that it does not hang on chance which of them gets the name.
      if (batch.length >= BATCH || frame.folded.has(folded)) await finishBatch();
      frame.folded.add(folded);
      batch.push(i);
    }
    await finishBatch();
    for (let frame = frames.pop(); frame !== undefined; frame = frames.pop()) await this.#leave(frame);
  }

  /** Entries are sorted, so what the folder of one does not have in common with that of the one before it is new. */
  #refuseTooManyFolders(): void {
    let folders = 0;
    let before: string[] = [];
    for (const [i, entry] of this.#manifest.entries.entries()) {
      const path = folderOf(entry);
      if (!this.isSelected(i) || path === '') continue;
      const segments = path.split('/');
      const inCommon = segments.findIndex((segment, n) => segment !== before[n]);
      if (inCommon >= 0) folders += segments.length - inCommon;
      before = segments;
      if (folders > MAX_ENTRIES)
        throw new ShoalError(
          'bad-name',
          `cannot make the folders of this share: its names ask for more than ${MAX_ENTRIES}; fetch parts of it with --only`,
        );
    }
  }

  /** Leaves the folders that `path` is not in, and makes or finds those on the way to it. Entries are sorted: none is entered twice. */
  async #goTo(frames: Frame[], path: string, signal: AbortSignal | undefined): Promise<void> {
    for (let frame = topOf(frames); !isWithin(path, frame.path); frame = topOf(frames)) {
      frames.pop();
      await this.#leave(frame);
    }
    for (let frame = topOf(frames); frame.path !== path; frame = topOf(frames)) {
      signal?.throwIfAborted();
      const end = path.indexOf('/', frame.path === '' ? 0 : frame.path.length + 1);
      const next = end < 0 ? path : path.slice(0, end);
      frame.folded.add(foldName(lastOf(next)));
      const claimed = await this.#folders.use(frame.path, folder => claim(folder, frame, lastOf(next), 'folder'));
      this.#rename(next, claimed.name);
      frames.push(newFrame(next, claimed.fresh));
    }
  }

  async #claimFiles(frame: Frame, entries: readonly number[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#folders.use(frame.path, folder =>
      inParallel(entries, AT_ONCE, async i => {
        const { path, size } = this.#entry(i);
        const { name } = await claim(folder, frame, lastOf(path), { size });
        this.#rename(path, name);
      }),
    );
  }

  /** Removes what an earlier run, or somebody, left in a folder and is not of this share. */
  async #leave(frame: Frame): Promise<void> {
    if (frame.fresh) return;
    await this.#folders.use(frame.path, async folder => {
      for (const { name } of await folder.list()) {
        if (frame.names.has(name)) continue;
        // A file system may give names back in another form than it took them.
        const found = await folder.stat(name);
        if (found !== undefined && !frame.identities.has(found.identity)) await folder.remove(name);
      }
    });
  }

  #rename(path: string, name: string): void {
    if (name === lastOf(path)) return;
    this.#names.set(path, name);
    this.renamed.push({ path, as: this.#actual(path) });
  }

  /** `path` with each segment as it is on disk. */
  #actual(path: string): string {
    if (this.#names.size === 0) return path;
    const segments = path.split('/');
    return segments.map((segment, i) => this.#names.get(segments.slice(0, i + 1).join('/')) ?? segment).join('/');
  }

  async #openFile(entry: number): Promise<OpenFile> {
    const { path } = this.#entry(entry);
    return await this.#in(parentOf(path), folder => folder.open(this.#names.get(path) ?? lastOf(path), 'write'));
  }

  async #openFolder(path: string): Promise<Directory> {
    if (path === '') return await this.#part.enter(OUTPUT);
    return await this.#in(parentOf(path), folder => folder.enter(this.#names.get(path) ?? lastOf(path)));
  }

  /** Works in a folder of the share; a file lies in the part folder itself. */
  #in<R>(path: string, work: (folder: Directory) => Promise<R>): Promise<R> {
    return this.#manifest.kind === 'file' ? work(this.#part) : this.#folders.use(path, work);
  }

  /** A file that is closed has got its last byte, for all we know; if it is written again, this is done again. */
  async #settle(entry: number, file: OpenFile): Promise<void> {
    if (this.#settled[entry] === 1) return;
    const { executable, modified } = this.#entry(entry);
    if (executable !== undefined || modified !== undefined) {
      await file.setAttributes({
        ...(executable !== undefined && { executable }),
        ...(modified !== undefined && { modifiedSeconds: modified }),
      });
    }
    this.#settled[entry] = 1;
  }

  *#unsettled(): Iterable<number> {
    for (const [i, entry] of this.#manifest.entries.entries()) {
      if (this.isSelected(i) && entry.directory !== true && this.#settled[i] === 0) yield i;
    }
  }

  #entry(entry: number): Manifest['entries'][number] {
    const found = this.#manifest.entries[entry];
    assert(found !== undefined, 'an entry of the manifest');
    return found;
  }
}

/**
 * Creates a file or folder under the name wanted, or under another where an entry of this share has that already, or the
 * file system refuses it; takes what an earlier run has made.
 */
async function claim(
  folder: Directory,
  frame: Frame,
  wanted: string,
  what: 'folder' | { size: number },
): Promise<{ name: string; fresh: boolean }> {
  const first = harmlessName(process.platform === 'win32' ? portableName(wanted) : wanted);
  try {
    return await claimNamed(folder, frame, first, what);
  } catch (error) {
    if (!isShoalError(error, 'bad-name') || portableName(first) === first) throw error;
    return await claimNamed(folder, frame, portableName(first), what);
  }
}

async function claimNamed(
  folder: Directory,
  frame: Frame,
  wanted: string,
  what: 'folder' | { size: number },
): Promise<{ name: string; fresh: boolean }> {
  for (let n = 1; n <= MAX_NAMES; n++) {
    const name = n === 1 ? wanted : alternativeName(wanted, n);
    const found = frame.fresh ? undefined : await folder.stat(name);
    if (found !== undefined) {
      if (frame.identities.has(found.identity)) continue;
      if (canBeTaken(found, what)) {
        frame.identities.add(found.identity);
        frame.names.add(name);
        if (what !== 'folder' && found.sizeBytes > what.size) await cut(folder, name, what.size);
        return { name, fresh: false };
      }
      await folder.remove(name);
    }
    try {
      await add(folder, frame, name, what);
      frame.names.add(name);
      return { name, fresh: true };
    } catch (error) {
      if (!isShoalError(error, 'exists')) throw error;
    }
  }
  throw new ShoalError('exists', `cannot create "${showName(wanted)}": ${MAX_NAMES} names like it are taken`);
}

function canBeTaken(found: EntryStat, what: 'folder' | { size: number }): boolean {
  return found.ours && (what === 'folder' ? found.kind === 'directory' : found.kind === 'file' && found.links === 1);
}

async function cut(folder: Directory, name: string, size: number): Promise<void> {
  const file = await folder.open(name, 'write');
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
}

async function add(folder: Directory, frame: Frame, name: string, what: 'folder' | { size: number }): Promise<void> {
  if (what === 'folder') {
    await folder.make(name, { shared: true });
    const made = frame.fresh ? undefined : await folder.stat(name);
    if (made !== undefined) frame.identities.add(made.identity);
    return;
  }
  const file = await folder.create(name);
  try {
    if (!frame.fresh) frame.identities.add((await file.stat()).identity);
  } finally {
    await file.close();
  }
}

/** A folder that is there already, or is made. */
async function made(above: Directory, name: string): Promise<Directory> {
  await makeUnlessThere(above, name, { shared: true });
  return await above.enter(name);
}

function topOf(frames: readonly Frame[]): Frame {
  const frame = frames.at(-1);
  assert(frame !== undefined, 'the root is never left');
  return frame;
}

function newFrame(path: string, fresh: boolean): Frame {
  return { path, fresh, names: new Set(), folded: new Set(), identities: new Set() };
}

/** The innermost folder that is made for an entry. */
function folderOf({ path, directory }: Manifest['entries'][number]): string {
  return directory === true ? path : parentOf(path);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether `path` is the folder `folder` or below it; the root is ''. */
function isWithin(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`);
}
