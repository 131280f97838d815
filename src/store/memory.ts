/** A chunk store in memory: for what is too small or too short-lived for a disk, and for tests. */
import { ShoalError } from '../errors.ts';
import { decodeShareBlock, indexCount } from '../format/share-block.ts';
import { chunkCount } from '../format/pieces.ts';
import type { BlockId } from '../format/ids.ts';
import type { BlockAddress, ChunkStore, StreamName } from '../ports.ts';
import { rangesOf } from '../protocol/ranges.ts';
import { nameOf } from './block-name.ts';

/** Keeps copies, and gives copies out: who writes or reads may do with its bytes as it likes. */
export function memoryStore(): ChunkStore {
  const shares = new Map<BlockId, Map<string, Uint8Array>>();
  return {
    async have(share) {
      const blocks = shares.get(share);
      const root = blocks?.get(nameOf({ kind: 'share' }));
      if (blocks === undefined || root === undefined) return undefined;
      const block = decodeShareBlock(root);
      const present = (kind: 'chunk' | 'index', stream: StreamName, count: number): number[] =>
        Array.from({ length: count }, (_, index) => index).filter(index => blocks.has(nameOf({ kind, stream, index })));
      const streams = (['manifest', 'data'] as const).map(stream => {
        const { size } = block[stream];
        const chunks = present('chunk', stream, chunkCount(size));
        return {
          chunks,
          isComplete: chunks.length === chunkCount(size),
          isListed: present('index', stream, indexCount(size)).length === indexCount(size),
        };
      });
      if (!streams.every(({ isListed }) => isListed)) return undefined;
      if (streams.every(({ isComplete }) => isComplete)) return 'all';
      const [manifest, data] = streams.map(({ chunks }) => rangesOf(chunks));
      return { manifest: manifest ?? [], data: data ?? [] };
    },

    async read(share, at, signal) {
      signal?.throwIfAborted();
      const bytes = shares.get(share)?.get(nameOf(at));
      if (bytes === undefined) throw notThere(share, at);
      return bytes.slice();
    },

    async write(share, at, bytes) {
      const blocks = shares.get(share) ?? new Map<string, Uint8Array>();
      shares.set(share, blocks);
      blocks.set(nameOf(at), Uint8Array.from(bytes));
    },

    async sync() {},

    async drop(share) {
      shares.delete(share);
    },

    async list() {
      return [...shares.keys()];
    },
  };
}

/** What a store says of a block that it has not got. */
export function notThere(share: BlockId, at: BlockAddress, options?: { why?: string; cause?: unknown }): ShoalError {
  const why = options?.why ?? 'it is not there';
  return new ShoalError('unavailable', `cannot read block ${nameOf(at)} of share ${share}: ${why}`, {
    cause: options?.cause,
  });
}
