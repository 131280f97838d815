/** Several chunk sources as one. */
import { isShoalError } from '../errors.ts';
import type { ChunkSource, Holdings } from '../ports.ts';
import { notThere } from './memory.ts';

/**
 * Asks `sources` in their order. It has what the first one that has all has; else what the first one that has anything
 * says. A block comes from the first one that has it; one that says `changed` ends the matter for the share.
 */
export function anyOf(sources: Iterable<ChunkSource>): ChunkSource {
  return {
    async have(share) {
      let some: Holdings | undefined;
      for (const source of sources) {
        const holdings = await source.have(share);
        if (holdings === 'all') return holdings;
        some ??= holdings;
      }
      return some;
    },

    async read(share, at, signal) {
      let failure: unknown = notThere(share, at);
      for (const source of sources) {
        try {
          return await source.read(share, at, signal);
        } catch (error) {
          if (!isShoalError(error, 'unavailable')) throw error;
          failure = error;
        }
      }
      throw failure;
    },
  };
}
