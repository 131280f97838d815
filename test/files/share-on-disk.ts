/** A share made up for tests of the sink: its manifest, and its data stream piece by piece. */
import { Layout } from '../../src/format/layout.ts';
import type { Manifest } from '../../src/format/manifest.ts';
import { chunkCount, pad, pieceLength } from '../../src/format/pieces.ts';
import { PIECE_BYTES } from '../../src/limits.ts';

export interface MadeUpShare {
  readonly manifest: Manifest;
  readonly layout: Layout;
  readonly streamSize: number;
  readonly pieces: number;
  piece(index: number): Uint8Array;
  /** By path of the entry. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

export interface MadeUpEntry {
  readonly path: string;
  /** Bytes of content, or 'directory'. */
  readonly size: number | 'directory';
  readonly executable?: true;
  readonly modified?: number;
}

/** Entries are sorted here. */
export function makeUpShare(kind: 'file' | 'folder', name: string, given: readonly MadeUpEntry[]): MadeUpShare {
  const sorted = given.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const contents = new Map<string, Uint8Array>();
  const entries = sorted.map(({ path, size, ...attributes }, i) => {
    if (size === 'directory') return { path, size: 0, directory: true as const };
    const content = new Uint8Array(size);
    // No two files, and no two places in one, look the same.
    for (let at = 0; at < size; at++) content[at] = 1 + ((at * 31 + (at >>> 8) * 17 + i * 101) % 255);
    contents.set(path, content);
    return { path, size, ...attributes };
  });
  const stream = Buffer.concat(entries.map(entry => contents.get(entry.path) ?? new Uint8Array(0)));
  const streamSize = pad(stream.length);
  const padded = new Uint8Array(streamSize);
  padded.set(stream);
  return {
    manifest: { kind, name, entries },
    layout: new Layout(entries.map(entry => entry.size)),
    streamSize,
    pieces: chunkCount(streamSize),
    piece: index => padded.slice(index * PIECE_BYTES, index * PIECE_BYTES + pieceLength(streamSize, index)),
    contents,
  };
}
