/**
 * A file system in memory that forgets what was not made durable, and that can be stopped at any operation.
 *
 * Bytes, lengths and attributes of a file are durable after `sync` of the file or `syncAll` of a folder above it; names
 * (created, moved, removed) after `sync` of the folder that holds them or `syncAll`. What is not durable may be found or
 * not after a crash, each name and each page of 4 KiB by itself; but what one name went through is found up to some point
 * in time, a rename is found at both ends or at none, and the old name of a linked file does not go before the new one comes.
 */
import { strict as assert } from 'node:assert';
import { fileError, ShoalError } from '../../src/errors.ts';
import { showName } from '../../src/files/names.ts';
import type { Directory, EntryKind, EntryStat, OpenFile } from '../../src/ports.ts';

const PAGE_BYTES = 4096;

/** Thrown by the operation at which a Forgetful was told to stop, and by all after it. No file system throws it. */
export class Crash extends Error {
  constructor() {
    super('the power went away');
    this.name = 'Crash';
  }
}

interface Attributes {
  readonly executable: boolean;
  readonly modifiedSeconds: number | undefined;
}

interface FileNode {
  readonly kind: 'file';
  readonly id: number;
  links: number;
  content: Uint8Array;
  attributes: Attributes;
  durable: { content: Uint8Array; attributes: Attributes };
}

interface FolderNode {
  readonly kind: 'directory';
  readonly id: number;
  names: Map<string, Entry>;
  durable: Map<string, Entry>;
}

interface OtherNode {
  readonly kind: 'link' | 'other';
  readonly id: number;
  links: number;
}

type Node = FileNode | FolderNode | OtherNode;
interface Entry {
  readonly name: string;
  readonly node: Node;
}
interface Slot {
  readonly folder: FolderNode;
  readonly key: string;
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

/** A step in the names of folders that is found whole after a crash or not at all; `needs` is one that comes first. */
interface Change {
  readonly slots: readonly Slot[];
  readonly needs?: Change | undefined;
}

export interface ForgetfulOptions {
  /** What names become to be compared: say lower case, for a file system that does not keep cases apart. */
  readonly fold?: (name: string) => string;
}

export class Forgetful {
  readonly #options: ForgetfulOptions;
  readonly #root: FolderNode;
  #pending: Change[] = [];
  #nextId = 1;
  #crashAt: { operation: number; when: 'before' | 'after' } | undefined;
  #crashed = false;
  /** Operations that change something or make it durable, so far. */
  operations = 0;
  /** Files and folders that are held open, now and at most. */
  open = 0;
  mostOpen = 0;
  /** Whether the disk takes nothing more. */
  full = false;

  constructor(options: ForgetfulOptions = {}) {
    this.#options = options;
    this.#root = this.#newFolder();
  }

  /** The top folder, opened. */
  root(): Directory {
    return new ForgetfulDirectory(this, this.#root, '');
  }

  /** Has the `operation`-th operation from now on (from 1) stop everything, before or after it had its effect. */
  crashAfter(operation: number, when: 'before' | 'after' = 'after'): void {
    this.#crashAt = { operation: this.operations + operation, when };
  }

  /**
   * The file system as it may be found after the power went away now. `least` finds only what was durable, `most` all that
   * was done; a number seeds a choice in between. This one is left as it is.
   */
  crash(seed: number | 'least' | 'most'): Forgetful {
    const random = typeof seed === 'number' ? randomFrom(seed) : undefined;
    const kept = (): boolean => (random === undefined ? seed === 'most' : random() < 0.5);
    const found = new Forgetful(this.#options);
    const names = new Map<FolderNode, Map<string, Entry>>();
    const namesOf = (folder: FolderNode): Map<string, Entry> => {
      const known = names.get(folder) ?? new Map(folder.durable);
      names.set(folder, known);
      return known;
    };
    const applied = new Set<Change>();
    const pending = new Set(this.#pending);
    for (const change of this.#pending) {
      const ready =
        (change.needs === undefined || !pending.has(change.needs) || applied.has(change.needs)) &&
        change.slots.every(slot => namesOf(slot.folder).get(slot.key)?.node === slot.before?.node);
      if (!ready || !kept()) continue;
      applied.add(change);
      for (const slot of change.slots) setSlot(namesOf(slot.folder), slot);
    }
    found.#nextId = this.#nextId;
    const copies = new Map<Node, Node>();
    const copy = (node: Node): Node => {
      let made = copies.get(node);
      if (made === undefined) {
        made =
          node.kind === 'directory'
            ? found.#newFolder()
            : node.kind === 'file'
              ? found.#foundFile(node, random, kept)
              : found.#newOther(node.kind);
        // A file is the same one after a crash.
        Object.assign(made, { id: node.id });
        copies.set(node, made);
        if (node.kind === 'directory') fill(node, made as FolderNode);
      }
      if (made.kind !== 'directory') made.links += 1;
      return made;
    };
    const fill = (from: FolderNode, into: FolderNode): void => {
      for (const [key, entry] of namesOf(from)) into.names.set(key, { name: entry.name, node: copy(entry.node) });
      into.durable = new Map(into.names);
    };
    fill(this.#root, found.#root);
    return found;
  }

  /** Plants what the port itself can not make, at a path below the root. All of it is durable at once. */
  plant(path: string, what: 'link' | 'other' | { hardLinkTo: string }): void {
    const segments = path.split('/');
    const name = segments.pop()!;
    const folder = this.#resolve(segments);
    assert(folder.kind === 'directory');
    const node = typeof what === 'object' ? this.#resolve(what.hardLinkTo.split('/')) : this.#newOther(what);
    assert(node.kind !== 'directory');
    node.links += 1;
    folder.names.set(this.key(name), { name, node });
    folder.durable.set(this.key(name), { name, node });
  }

  /** Everything there is: paths, with a folder's ending in '/', and the contents of files. */
  contents(): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>();
    const walk = (folder: FolderNode, prefix: string): void => {
      for (const { name, node } of folder.names.values()) {
        if (node.kind === 'directory') {
          found.set(`${prefix}${name}/`, new Uint8Array(0));
          walk(node, `${prefix}${name}/`);
        } else found.set(prefix + name, node.kind === 'file' ? node.content : new Uint8Array(0));
      }
    };
    walk(this.#root, '');
    return found;
  }

  attributes(path: string): Attributes {
    const node = this.#resolve(path.split('/'));
    assert(node.kind === 'file');
    return node.attributes;
  }

  // What follows is for the files and folders of this file system.

  key(name: string): string {
    return this.#options.fold?.(name) ?? name;
  }

  /** A step that only looks. */
  look(): void {
    if (this.#crashed) throw new Crash();
  }

  /** A step that changes something or makes it durable. */
  mutate<T>(effect: () => T): T {
    this.look();
    this.operations += 1;
    const at = this.#crashAt?.operation === this.operations ? this.#crashAt.when : undefined;
    if (at !== undefined) this.#crashed = true;
    if (at === 'before') throw new Crash();
    const result = effect();
    if (at === 'after') throw new Crash();
    return result;
  }

  change(slots: readonly Slot[], needs?: Change): Change {
    const change = { slots, needs };
    for (const slot of slots) setSlot(slot.folder.names, slot);
    this.#pending.push(change);
    return change;
  }

  /** Makes every change of the names in `folder` durable, with those that came before at the other names they touch. */
  syncNames(folder: FolderNode): void {
    const touched = new Map<FolderNode, Set<string>>();
    const due = new Set<Change>();
    for (const change of this.#pending.toReversed()) {
      const wanted =
        [...due].some(later => later.needs === change) ||
        change.slots.some(slot => slot.folder === folder || touched.get(slot.folder)?.has(slot.key) === true);
      if (!wanted) continue;
      due.add(change);
      for (const slot of change.slots) touched.set(slot.folder, (touched.get(slot.folder) ?? new Set()).add(slot.key));
    }
    this.#pending = this.#pending.filter(change => {
      if (due.has(change)) for (const slot of change.slots) setSlot(slot.folder.durable, slot);
      return !due.has(change);
    });
  }

  syncBelow(folder: FolderNode): void {
    for (const { node } of folder.names.values()) {
      if (node.kind === 'directory') this.syncBelow(node);
      if (node.kind === 'file') syncFile(node);
    }
    this.syncNames(folder);
  }

  newFile(): FileNode {
    const attributes = { executable: false, modifiedSeconds: undefined };
    const durable = { content: new Uint8Array(0), attributes };
    return { kind: 'file', id: this.#nextId++, links: 0, content: new Uint8Array(0), attributes, durable };
  }

  newFolder(): FolderNode {
    return this.#newFolder();
  }

  held(by: 1 | -1): void {
    this.open += by;
    this.mostOpen = Math.max(this.open, this.mostOpen);
  }

  #newFolder(): FolderNode {
    return { kind: 'directory', id: this.#nextId++, names: new Map(), durable: new Map() };
  }

  #newOther(kind: 'link' | 'other'): OtherNode {
    return { kind, id: this.#nextId++, links: 0 };
  }

  #foundFile(node: FileNode, random: (() => number) | undefined, kept: () => boolean): FileNode {
    const old = node.durable.content;
    const [least, most] = [old.length, node.content.length].toSorted((a, b) => a - b) as [number, number];
    const between = random !== undefined && kept() ? least + Math.floor(random() * (most - least + 1)) : undefined;
    const content = new Uint8Array(between ?? (kept() ? node.content.length : old.length));
    for (let at = 0; at < content.length; at += PAGE_BYTES) {
      const source = kept() ? node.content : old;
      content.set(source.subarray(at, Math.min(at + PAGE_BYTES, content.length)), Math.min(at, content.length));
    }
    const attributes = kept() ? node.attributes : node.durable.attributes;
    return {
      kind: 'file',
      id: this.#nextId++,
      links: 0,
      content,
      attributes,
      durable: { content: content.slice(), attributes },
    };
  }

  #resolve(segments: string[]): Node {
    let node: Node = this.#root;
    for (const segment of segments) {
      assert(node.kind === 'directory');
      const entry: Entry | undefined = node.names.get(this.key(segment));
      assert(entry !== undefined, segment);
      node = entry.node;
    }
    return node;
  }
}

class ForgetfulDirectory implements Directory {
  readonly #disk: Forgetful;
  readonly #node: FolderNode;
  readonly #path: string;
  #closed = false;

  constructor(disk: Forgetful, node: FolderNode, path: string) {
    this.#disk = disk;
    this.#node = node;
    this.#path = path;
    disk.held(1);
  }

  create(name: string): Promise<OpenFile> {
    return this.#at(name, 'create', (key, path) =>
      this.#disk.mutate(() => {
        if (this.#node.names.has(key)) throw errno('EEXIST');
        if (this.#disk.full) throw errno('ENOSPC');
        const node = this.#disk.newFile();
        node.links = 1;
        this.#disk.change([{ folder: this.#node, key, before: undefined, after: { name, node } }]);
        return new ForgetfulFile(this.#disk, node, path, 'write');
      }),
    );
  }

  open(name: string, mode: 'read' | 'write'): Promise<OpenFile> {
    return this.#at(name, 'open', (key, path) => {
      const { node } = this.#found(key);
      if (node.kind !== 'file' || node.links !== 1)
        throw new ShoalError('denied', `cannot use "${path}": not a file of ours`);
      return new ForgetfulFile(this.#disk, node, path, mode);
    });
  }

  make(name: string): Promise<void> {
    return this.#at(name, 'create the folder', key =>
      this.#disk.mutate(() => {
        if (this.#node.names.has(key)) throw errno('EEXIST');
        if (this.#disk.full) throw errno('ENOSPC');
        this.#disk.change([
          { folder: this.#node, key, before: undefined, after: { name, node: this.#disk.newFolder() } },
        ]);
      }),
    );
  }

  enter(name: string): Promise<Directory> {
    return this.#at(name, 'open the folder', (key, path) => {
      const { node } = this.#found(key);
      if (node.kind !== 'directory') throw new ShoalError('denied', `cannot use "${path}": it is not a folder`);
      return new ForgetfulDirectory(this.#disk, node, path);
    });
  }

  list(): Promise<{ name: string; kind: EntryKind }[]> {
    return this.#step('list', this.#path, () =>
      Array.from(this.#node.names.values(), entry => ({ name: entry.name, kind: entry.node.kind })),
    );
  }

  stat(name: string): Promise<EntryStat | undefined> {
    return this.#at(name, 'look at', key => {
      const entry = this.#node.names.get(key);
      return entry && statOf(entry.node);
    });
  }

  move(name: string, to: Directory, toName: string, replace = false): Promise<void> {
    assert(to instanceof ForgetfulDirectory);
    return this.#at(name, 'move', key => {
      const moved = this.#found(key);
      const target = { folder: to.#node, key: this.#disk.key(toName), after: { name: toName, node: moved.node } };
      const gone: Slot = { folder: this.#node, key, before: moved, after: undefined };
      const before = to.#node.names.get(target.key);
      if (before !== undefined && (!replace || before.node.kind === 'directory' || moved.node.kind === 'directory'))
        throw errno('EEXIST');
      if (replace || moved.node.kind !== 'file') {
        this.#disk.mutate(() => {
          if (before !== undefined && before.node.kind !== 'directory') before.node.links -= 1;
          this.#disk.change([{ ...target, before }, gone]);
        });
        return;
      }
      const node = moved.node;
      const linked = this.#disk.mutate(() => {
        node.links += 1;
        return this.#disk.change([{ ...target, before }]);
      });
      this.#disk.mutate(() => {
        node.links -= 1;
        this.#disk.change([gone], linked);
      });
    });
  }

  remove(name: string): Promise<void> {
    return this.#at(name, 'remove', key => {
      if (this.#node.names.has(key)) this.#remove(this.#node, key);
    });
  }

  #remove(folder: FolderNode, key: string): void {
    const before = folder.names.get(key)!;
    const { node } = before;
    if (node.kind === 'directory') for (const inner of [...node.names.keys()]) this.#remove(node, inner);
    this.#disk.mutate(() => {
      if (node.kind !== 'directory') node.links -= 1;
      this.#disk.change([{ folder, key, before, after: undefined }]);
    });
  }

  sync(): Promise<void> {
    return this.#step('make durable', this.#path, () => this.#disk.mutate(() => this.#disk.syncNames(this.#node)));
  }

  syncAll(): Promise<void> {
    return this.#step('make durable', this.#path, () => this.#disk.mutate(() => this.#disk.syncBelow(this.#node)));
  }

  close(): Promise<void> {
    if (!this.#closed) this.#disk.held(-1);
    this.#closed = true;
    return Promise.resolve();
  }

  #found(key: string): Entry {
    const entry = this.#node.names.get(key);
    if (entry === undefined) throw errno('ENOENT');
    return entry;
  }

  async #at<T>(name: string, tried: string, step: (key: string, path: string) => T): Promise<T> {
    assert(
      name !== '' && name !== '.' && name !== '..' && name.isWellFormed() && !/[/\0]/.test(name),
      'a name of one segment',
    );
    const path = `${this.#path}/${showName(name)}`;
    return await this.#step(tried, path, () => step(this.#disk.key(name), path));
  }

  #step<T>(tried: string, path: string, step: () => T): Promise<T> {
    assert(!this.#closed, 'the folder is open');
    return run(this.#disk, `${tried} "${path}"`, step);
  }
}

class ForgetfulFile implements OpenFile {
  readonly #disk: Forgetful;
  readonly #node: FileNode;
  readonly #path: string;
  readonly #mode: 'read' | 'write';
  #closed = false;

  constructor(disk: Forgetful, node: FileNode, path: string, mode: 'read' | 'write') {
    this.#disk = disk;
    this.#node = node;
    this.#path = path;
    this.#mode = mode;
    disk.held(1);
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#step('read', () => {
      const found = this.#node.content.subarray(position, position + into.length);
      into.set(found);
      return found.length;
    });
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.#change('write', () => {
      if (this.#disk.full) throw errno('ENOSPC');
      const grown = new Uint8Array(Math.max(this.#node.content.length, position + bytes.length));
      grown.set(this.#node.content);
      grown.set(bytes, position);
      this.#node.content = grown;
      this.#node.attributes = { ...this.#node.attributes, modifiedSeconds: undefined };
    });
  }

  truncate(length: number): Promise<void> {
    return this.#change('set the length of', () => {
      const content = new Uint8Array(length);
      content.set(this.#node.content.subarray(0, length));
      this.#node.content = content;
    });
  }

  stat(): Promise<EntryStat> {
    return this.#step('look at', () => statOf(this.#node));
  }

  setAttributes(attributes: { executable?: boolean; modifiedSeconds?: number }): Promise<void> {
    return this.#change('set the attributes of', () => {
      this.#node.attributes = { ...this.#node.attributes, ...attributes };
    });
  }

  sync(): Promise<void> {
    return this.#step('make durable', () => this.#disk.mutate(() => syncFile(this.#node)));
  }

  close(): Promise<void> {
    assert(!this.#closed, 'a file is closed once');
    this.#closed = true;
    this.#disk.held(-1);
    return Promise.resolve();
  }

  #change(tried: string, effect: () => void): Promise<void> {
    return this.#step(tried, () => {
      if (this.#mode !== 'write') throw errno('EBADF');
      this.#disk.mutate(effect);
    });
  }

  #step<T>(tried: string, step: () => T): Promise<T> {
    assert(!this.#closed, 'the file is open');
    return run(this.#disk, `${tried} "${this.#path}"`, step);
  }
}

async function run<T>(disk: Forgetful, tried: string, step: () => T): Promise<T> {
  await Promise.resolve();
  try {
    disk.look();
    return step();
  } catch (error) {
    throw error instanceof Crash ? error : fileError(error, tried);
  }
}

function setSlot(names: Map<string, Entry>, slot: Slot): void {
  if (slot.after === undefined) names.delete(slot.key);
  else names.set(slot.key, slot.after);
}

function syncFile(node: FileNode): void {
  node.durable = { content: node.content.slice(), attributes: node.attributes };
}

function statOf(node: Node): EntryStat {
  return {
    kind: node.kind,
    sizeBytes: node.kind === 'file' ? node.content.length : 0,
    links: node.kind === 'directory' ? 1 : node.links,
    identity: String(node.id),
    ours: true,
  };
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Mulberry32: numbers from 0 up to 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
