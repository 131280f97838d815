/** The names under which stores keep the blocks of a share. */
import type { BlockAddress, StreamName } from '../ports.ts';

/** Chunks per folder: so many names are listed at once. */
const CHUNKS_PER_FOLDER = 4096;

/** Where a block lies below the folder of its share. */
export interface BlockPlace {
  /** The folder in the share's folder; undefined for the share's folder itself. */
  readonly folder: string | undefined;
  readonly name: string;
}

/** `share`, `data-index-3`, and in folders of 4,096 each: `data-0/17`. */
export function placeOf(at: BlockAddress): BlockPlace {
  switch (at.kind) {
    case 'share':
      return { folder: undefined, name: 'share' };
    case 'index':
      return { folder: undefined, name: `${at.stream}-index-${at.index}` };
    case 'chunk':
      return { folder: folderOf(at.stream, Math.floor(at.index / CHUNKS_PER_FOLDER)), name: String(at.index) };
  }
}

/** The block's place as one text. */
export function nameOf(at: BlockAddress): string {
  const { folder, name } = placeOf(at);
  return folder === undefined ? name : `${folder}/${name}`;
}

/** The folders in which chunks of a stream of `chunkCount` chunks lie. */
export function chunkFolders(stream: StreamName, chunkCount: number): string[] {
  return Array.from({ length: Math.ceil(chunkCount / CHUNKS_PER_FOLDER) }, (_, number) => folderOf(stream, number));
}

/** The index that a name in a folder of chunks stands for; undefined for a name that no chunk has. */
export function indexOf(name: string): number | undefined {
  return /^(0|[1-9][0-9]{0,14})$/.test(name) ? Number(name) : undefined;
}

function folderOf(stream: StreamName, number: number): string {
  return `${stream}-${number}`;
}
