/** What a home keeps of a share: noted before its first block is there, checked before it is added, removed when it fails. */
import { ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { chunkCount } from './format/pieces.ts';
import { decodeShareBlock, indexCount } from './format/share-block.ts';
import type { Catalog } from './catalog.ts';
import type { BlockAddress, ChunkSource, ChunkStore } from './ports.ts';

/** A home's stores; whoever writes blocks of a share into them is the only one that does. */
export interface Shelf {
  readonly catalog: Catalog;
  readonly store: ChunkStore;
}

/**
 * To be called before blocks of a share are written, so that what a crash leaves of them is known to be debris.
 * @returns whether they are debris until the share is added. Not so where the home has the share, and where blocks of it are
 *   there that the catalog does not know: it may not be the catalog that they were kept for.
 */
export async function beginKeeping({ catalog, store }: Shelf, id: BlockId): Promise<boolean> {
  if (catalog.get(id) !== undefined) return false;
  if (!catalog.debris().includes(id) && (await store.list()).includes(id)) return false;
  catalog.begin(id);
  return true;
}

/** Removes blocks that are debris. What can not be removed now is removed when the home is held the next time. */
export async function discard({ catalog, store }: Shelf, id: BlockId): Promise<void> {
  try {
    await store.drop(id);
    catalog.clear(id);
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
  }
}

/**
 * Reads what a share is opened by: share block, index blocks and manifest.
 * @param whole whether every other block must be there too; those are not read
 * @throws ShoalError `unavailable` when a block is not there or is damaged; `io`
 */
export async function checkKept(source: ChunkSource, id: BlockId, whole: boolean): Promise<void> {
  const block = decodeShareBlock(await source.read(id, { kind: 'share' }));
  for (const at of openingBlocks(block.manifest.size, block.data.size)) await source.read(id, at);
  if (whole && (await source.have(id)) !== 'all')
    throw new ShoalError(
      'unavailable',
      `cannot keep share ${id}: some of its blocks are not there; fetch or import it again`,
    );
}

/** What a share is opened by, but for its share block. */
export function* openingBlocks(manifestSize: number, dataSize: number): Generator<BlockAddress> {
  for (let index = 0; index < indexCount(manifestSize); index++) yield { kind: 'index', stream: 'manifest', index };
  for (let index = 0; index < indexCount(dataSize); index++) yield { kind: 'index', stream: 'data', index };
  for (let index = 0; index < chunkCount(manifestSize); index++) yield { kind: 'chunk', stream: 'manifest', index };
}
