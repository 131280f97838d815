/** Where the entries of a manifest lie in the data stream (format.md §6): one after the other, with nothing between them. */
import { PIECE_BYTES } from '../limits.ts';
import { pieceLength } from './pieces.ts';

/** Bytes of one entry. `entry` is its number in the manifest, `offset` counts from its first byte. */
export interface Run {
  readonly entry: number;
  readonly offset: number;
  readonly length: number;
}

/** What piece `i` consists of: the runs in order, and `zeros` bytes of padding behind them. */
export interface PieceLayout {
  readonly runs: readonly Run[];
  readonly zeros: number;
}

/** The places of entries in a data stream, for entries of the given sizes in bytes. */
export class Layout {
  /** Bytes of all entries: the stream without padding. */
  readonly totalBytes: number;
  /** Where each entry begins, and where the last one ends. */
  readonly #starts: Float64Array;

  constructor(sizes: readonly number[]) {
    this.#starts = new Float64Array(sizes.length + 1);
    let position = 0;
    sizes.forEach((size, i) => {
      position += size;
      this.#starts[i + 1] = position;
    });
    if (!Number.isSafeInteger(position)) throw new RangeError('the sizes add up to more than 2^53 − 1 bytes');
    this.totalBytes = position;
  }

  /** What piece `i` of the data stream of `streamSize` bytes holds. Entries without bytes are in no piece. */
  piece(i: number, streamSize: number): PieceLayout {
    const begin = i * PIECE_BYTES;
    const end = begin + pieceLength(streamSize, i);
    const runs: Run[] = [];
    let position = begin;
    for (let entry = this.#entryAt(begin); position < end && position < this.totalBytes; entry++) {
      const offset = position - this.#start(entry);
      const length = Math.min(this.#start(entry + 1), end) - position;
      if (length > 0) runs.push({ entry, offset, length });
      position += length;
    }
    return { runs, zeros: end - position };
  }

  /** The chunks that hold bytes of an entry. */
  chunksOf(entry: number): { first: number; count: number } {
    const begin = this.#start(entry);
    const end = this.#start(entry + 1);
    const first = Math.floor(begin / PIECE_BYTES);
    return { first, count: end === begin ? 0 : Math.ceil(end / PIECE_BYTES) - first };
  }

  /** The last entry that begins at or before `position`. */
  #entryAt(position: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#start(middle) <= position) low = middle;
      else high = middle;
    }
    return low;
  }

  #start(entry: number): number {
    return this.#starts[entry]!;
  }
}

/** A run with the path of its file. */
export interface Place extends Run {
  readonly path: string;
}

/**
 * Where the files of a share are: the absolute path of its file or folder; or, of a folder that was put together from several
 * paths, the absolute path of what stands in it under each name.
 */
export type Root = string | ReadonlyMap<string, string>;

/** The absolute paths that a root consists of. */
export function pathsOf(root: Root): string[] {
  return typeof root === 'string' ? [root] : [...root.values()];
}

/**
 * Where piece `i` of a data stream lies in files below `root`, in order, and its padding. Paths are taken as they are, by
 * plain concatenation (format.md §6).
 */
export function placesOf(
  root: Root,
  { kind, entries }: { readonly kind: 'file' | 'folder'; readonly entries: readonly { readonly path: string }[] },
  layout: Layout,
  i: number,
  streamSize: number,
): { places: Place[]; zeros: number } {
  const { runs, zeros } = layout.piece(i, streamSize);
  const places = runs.map(run => {
    const path = entries[run.entry]?.path;
    if (path === undefined) throw new Error('the layout is of other files');
    return { ...run, path: fileAt(root, kind, path) };
  });
  return { places, zeros };
}

/** The absolute path of the file that an entry's path stands for. */
export function fileAt(root: Root, kind: 'file' | 'folder', path: string): string {
  if (typeof root === 'string') return kind === 'file' ? root : `${root}/${path}`;
  const end = path.indexOf('/');
  const name = end < 0 ? path : path.slice(0, end);
  const top = root.get(name);
  if (top === undefined) throw new Error('the entries are of another root');
  return top + path.slice(name.length);
}
