/** What a home's blocks tell of a share, beside what the catalog knows. */
import { isShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import type { FileKey } from './format/keys.ts';
import { Listing } from './format/listing.ts';
import { pad } from './format/pieces.ts';
import { decodeShareBlock, indexCount } from './format/share-block.ts';
import { readManifest } from './open.ts';
import type { ChunkSource, Crypto } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';

export interface Contents {
  /** Of the data, and how many of them are kept as ciphertext. */
  readonly chunks: number;
  readonly chunksKept: number;
  /** Bytes of all blocks that are kept. */
  readonly diskBytes: number;
  /** Whether the size is hidden, and what the sharer has noted; undefined where the key is not known. */
  readonly padded?: boolean;
  readonly note?: string;
}

/** @returns undefined where share block, index blocks or manifest are not there or damaged  @throws ShoalError `io` */
export async function contentsOf(
  store: ChunkSource,
  crypto: Crypto,
  id: BlockId,
  key: FileKey | undefined,
): Promise<Contents | undefined> {
  try {
    return await readContents(store, crypto, id, key);
  } catch (error) {
    if (isShoalError(error) && !isShoalError(error, 'io')) return undefined;
    throw error;
  }
}

async function readContents(
  store: ChunkSource,
  crypto: Crypto,
  id: BlockId,
  key: FileKey | undefined,
): Promise<Contents> {
  const root = await store.read(id, { kind: 'share' });
  const listing = new Listing(decodeShareBlock(root), (stream, index) =>
    store.read(id, { kind: 'index', stream, index }),
  );
  const have = await store.have(id);
  let [diskBytes, chunksKept] = [root.length, 0];
  for (const stream of ['manifest', 'data'] as const) {
    for (let index = 0; index < indexCount(listing.size(stream)); index++)
      diskBytes += (await store.read(id, { kind: 'index', stream, index })).length;
    const count = listing.count(stream);
    const kept = have === 'all' ? IndexSet.full(count) : new IndexSet(count, have?.[stream]);
    for (const index of kept) diskBytes += listing.chunkLength(stream, index);
    if (stream === 'data') chunksKept = kept.size;
  }
  const contents = { chunks: listing.count('data'), chunksKept, diskBytes };
  if (key === undefined) return contents;
  const { entries, note } = await readManifest(store, crypto, id, key, listing);
  const length = entries.reduce((sum, { size }) => sum + size, 0);
  const padded = listing.size('data') === pad(length);
  return { ...contents, padded, ...(note === undefined ? {} : { note }) };
}
