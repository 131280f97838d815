/** The manifest: names, sizes and order of what a share holds (format.md §6). */
import { ShoalError } from '../errors.ts';
import {
  MAX_ENTRIES,
  MAX_MANIFEST_BYTES,
  MAX_MODIFIED_SECONDS,
  MAX_NOTE_BYTES,
  MAX_PATH_BYTES,
  MAX_SEGMENT_BYTES,
} from '../limits.ts';
import {
  arrayField,
  decode,
  encode,
  fieldsOf,
  flagField,
  intField,
  malformed,
  textField,
  uintField,
} from './canonical.ts';
import { isZero, pad } from './pieces.ts';
import { quoted } from './quoted.ts';
import type { ShareBlock } from './share-block.ts';

export interface ManifestEntry {
  /** Relative, `/` between segments. Of a share of kind `file` its name. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly executable?: true;
  /** Unix seconds. */
  readonly modified?: number;
  /** An empty folder. */
  readonly directory?: true;
}

export interface Manifest {
  readonly kind: 'file' | 'folder';
  readonly name: string;
  readonly entries: readonly ManifestEntry[];
  readonly note?: string;
}

const WHAT = 'manifest';
const LENGTH_BYTES = 4;
/** Itself, its four members and six values per entry at most, `extra` not counted. */
const MAX_VALUES = 5 + 6 * MAX_ENTRIES;
const utf8 = new TextEncoder();

/**
 * The plaintext of the manifest stream: length, canonical CBOR, padding.
 * @throws ShoalError `not-shareable` when a reader would reject it
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const problem = manifestProblem(manifest);
  if (problem !== undefined) throw new ShoalError('not-shareable', `cannot encode manifest: ${problem}`);
  const { kind, name, entries, note } = manifest;
  const cbor = encode({ kind, name, entries: entries.map(defined), ...(note === undefined ? {} : { note }) });
  if (cbor.length > MAX_MANIFEST_BYTES) {
    const why = `its names take ${cbor.length} bytes, and ${MAX_MANIFEST_BYTES} are the most; share fewer files at once`;
    throw new ShoalError('not-shareable', `cannot share ${quoted(name)}: ${why}`);
  }
  const stream = new Uint8Array(pad(LENGTH_BYTES + cbor.length));
  new DataView(stream.buffer).setUint32(0, cbor.length);
  stream.set(cbor, LENGTH_BYTES);
  return stream;
}

function defined(entry: ManifestEntry): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
}

/**
 * Reads a manifest stream and holds it against its share block.
 * @throws ShoalError `malformed` for anything that format.md §6 does not allow
 */
export function decodeManifest(stream: Uint8Array, block: ShareBlock): Manifest {
  if (stream.length < LENGTH_BYTES) throw malformed(WHAT, `its stream has only ${stream.length} bytes`);
  const length = new DataView(stream.buffer, stream.byteOffset).getUint32(0);
  if (length > MAX_MANIFEST_BYTES || LENGTH_BYTES + length > stream.length) {
    throw malformed(WHAT, `its length of ${length} bytes goes beyond its stream`);
  }
  if (stream.length !== block.manifest.size || stream.length !== pad(LENGTH_BYTES + length)) {
    throw malformed(WHAT, `its stream of ${stream.length} bytes is not what ${length} bytes are padded to`);
  }
  if (!isZero(stream.subarray(LENGTH_BYTES + length))) throw malformed(WHAT, 'its padding is not zero');
  const manifest = decodeCbor(stream.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
  const problem = manifestProblem(manifest);
  if (problem !== undefined) throw malformed(WHAT, problem);
  const total = manifest.entries.reduce((sum, entry) => sum + entry.size, 0);
  if (block.data.size !== total && block.data.size !== pad(total)) {
    throw malformed(WHAT, `its entries have ${total} bytes, the data stream ${block.data.size}`);
  }
  return manifest;
}

/** Checks keys and types; what the values say is `manifestProblem`'s matter. */
function decodeCbor(cbor: Uint8Array): Manifest {
  const value = decode(cbor, WHAT, { skip: 'extra', maxValues: MAX_VALUES });
  const fields = fieldsOf(value, WHAT, ['kind', 'name', 'entries'], ['note']);
  const kind = textField(fields, 'kind', WHAT);
  if (kind !== 'file' && kind !== 'folder') throw malformed(WHAT, `its kind is ${quoted(kind)}`);
  return {
    kind,
    name: textField(fields, 'name', WHAT),
    entries: arrayField(fields, 'entries', WHAT).map(decodeEntry),
    ...('note' in fields ? { note: textField(fields, 'note', WHAT) } : {}),
  };
}

function decodeEntry(value: unknown, n: number): ManifestEntry {
  const what = `${WHAT}, entry ${n}`;
  const fields = fieldsOf(value, what, ['path', 'size'], ['executable', 'modified', 'directory']);
  const entry: { -readonly [key in keyof ManifestEntry]: ManifestEntry[key] } = {
    path: textField(fields, 'path', what),
    size: uintField(fields, 'size', what),
  };
  if (flagField(fields, 'executable', what) === true) entry.executable = true;
  if (flagField(fields, 'directory', what) === true) entry.directory = true;
  if ('modified' in fields) entry.modified = intField(fields, 'modified', what);
  return entry;
}

/** The first rule of format.md §6 that a manifest breaks, as a sentence; undefined when it keeps them all. */
function manifestProblem({ kind, name, entries, note }: Manifest): string | undefined {
  const nameProblem = segmentProblem(name);
  if (nameProblem !== undefined) return `its name ${quoted(name)} ${nameProblem}`;
  if (note !== undefined && isLonger(note, MAX_NOTE_BYTES)) return `its note is longer than ${MAX_NOTE_BYTES} bytes`;
  if (entries.length > MAX_ENTRIES) return `it has ${entries.length} entries, at most ${MAX_ENTRIES} are allowed`;
  let total = 0;
  for (const [n, entry] of entries.entries()) {
    const problem = entryProblem(entry);
    if (problem !== undefined) return `entry ${n}, ${quoted(entry.path)}, ${problem}`;
    total += entry.size;
  }
  if (!Number.isSafeInteger(total)) return 'its sizes add up to more than can be counted';
  return kind === 'file' ? fileProblem(name, entries) : orderProblem(entries);
}

function entryProblem({ path, size, directory, modified }: ManifestEntry): string | undefined {
  if (directory === true && size !== 0) return 'is a folder with a size';
  if (modified !== undefined && Math.abs(modified) > MAX_MODIFIED_SECONDS)
    return `has a time out of range, ${modified}`;
  return pathProblem(path);
}

function fileProblem(name: string, entries: readonly ManifestEntry[]): string | undefined {
  const [entry] = entries;
  if (entry === undefined || entries.length !== 1) return `it is of a file and has ${entries.length} entries`;
  if (entry.path !== name) return `it is of a file ${quoted(name)} and its entry is ${quoted(entry.path)}`;
  if (entry.directory === true) return 'it is of a file and its entry is a folder';
  return undefined;
}

/**
 * What breaks the order of a folder: sorted by the bytes of the paths, no path twice, none below another. One pass: in this
 * order everything that begins with a path follows it, though not at once ("a", "a.b", "a/c"). So those that the present one
 * begins with are kept, each a beginning of the next. Only the last can be a parent unnoticed: where a shorter one ends, the
 * present path goes on as the last one does, and that has been checked.
 */
function orderProblem(entries: readonly ManifestEntry[]): string | undefined {
  const beginnings: string[] = [];
  let previous: string | undefined;
  for (const [n, { path }] of entries.entries()) {
    const order = previous === undefined ? -1 : comparePaths(previous, path);
    if (order === 0) return `entries ${n - 1} and ${n} have the same path ${quoted(path)}`;
    if (order > 0) return `entry ${n}, ${quoted(path)}, is not in order`;
    previous = path;
    while (beginnings.length > 0 && !path.startsWith(beginnings.at(-1)!)) beginnings.pop();
    const last = beginnings.at(-1);
    if (last !== undefined && path[last.length] === '/') {
      return `${quoted(last)} is an entry and the parent of entry ${n}, ${quoted(path)}`;
    }
    beginnings.push(path);
  }
  return undefined;
}

/** The order of entries in a folder: by the bytes of their paths in UTF-8. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = utf8Rank(a.charCodeAt(i)) - utf8Rank(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Surrogates stand for what comes behind all other characters in UTF-8, and before some in UTF-16. */
function utf8Rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** What is wrong with a path, to go behind it in a sentence; undefined when it is fine. */
export function pathProblem(path: string): string | undefined {
  if (path === '') return 'is empty';
  if (path.startsWith('/')) return 'is an absolute path';
  if (isLonger(path, MAX_PATH_BYTES)) return `is longer than ${MAX_PATH_BYTES} bytes`;
  for (const segment of path.split('/')) {
    const problem = segmentProblem(segment);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** What is wrong with the name of a share, likewise. */
export function shareNameProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name === '.' || name === '..') return 'stands for a folder itself, or for the one above';
  if (isLonger(name, MAX_SEGMENT_BYTES))
    return `has ${utf8.encode(name).length} bytes, and at most ${MAX_SEGMENT_BYTES} are possible`;
  return segmentProblem(name);
}

/** What is wrong with one segment of a path, or with a share's name. */
export function segmentProblem(segment: string): string | undefined {
  if (segment === '') return 'has an empty segment';
  if (segment === '.' || segment === '..') return `has a segment "${segment}"`;
  if (segment.includes('/')) return 'has a slash';
  if (segment.includes('\\')) return 'has a backslash';
  if (CONTROL.test(segment)) return 'has a control character';
  if (!segment.isWellFormed()) return 'is not valid Unicode';
  if (isLonger(segment, MAX_SEGMENT_BYTES)) return `has a segment longer than ${MAX_SEGMENT_BYTES} bytes`;
  return undefined;
}

/** Whether `text` has more than `limit` bytes in UTF-8. A unit of UTF-16 is never more than three. */
function isLonger(text: string, limit: number): boolean {
  return text.length * 3 > limit && utf8.encode(text).length > limit;
}
