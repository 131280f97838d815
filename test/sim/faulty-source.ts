/** A twin of any chunk source that drops, delays, corrupts, and lies about what it has, each on request. */
import { ShoalError } from '../../src/errors.ts';
import type { BlockId } from '../../src/format/ids.ts';
import type { BlockAddress, ChunkSource, Holdings } from '../../src/ports.ts';

export type Fault =
  /** Says that it has not got the block. */
  | 'drop'
  /** Fails as a disk does. */
  | 'break'
  /** Flips one bit in the middle. */
  | 'corrupt'
  /** Leaves out the last byte. */
  | 'cut'
  /** Gives the block when `release` is called. */
  | 'delay';

export interface FaultySource extends ChunkSource {
  /** Lets the delayed blocks go, and those that are asked for later. */
  release(): void;
  /** How many reads wait to be released. */
  readonly delayed: number;
  /** Blocks asked for so far. */
  readonly asked: readonly BlockAddress[];
}

export interface Faults {
  /** What goes wrong with a block; nothing where it is undefined. */
  readonly of?: (at: BlockAddress, share: BlockId) => Fault | undefined;
  /** What it says that it has, true or not. */
  readonly have?: Holdings;
}

export function faultySource(source: ChunkSource, faults: Faults): FaultySource {
  const gate = Promise.withResolvers<undefined>();
  const asked: BlockAddress[] = [];
  let delayed = 0;
  return {
    asked,
    get delayed() {
      return delayed;
    },
    release: () => gate.resolve(undefined),

    async have(share) {
      return faults.have ?? (await source.have(share));
    },

    async read(share, at, signal) {
      asked.push(at);
      const bytes = await source.read(share, at, signal);
      switch (faults.of?.(at, share)) {
        case 'drop':
          throw new ShoalError('unavailable', 'cannot read a block: it was dropped on purpose');
        case 'break':
          throw new ShoalError('io', 'cannot read a block: the disk fails on purpose');
        case 'corrupt':
          bytes[bytes.length >> 1]! ^= 1;
          return bytes;
        case 'cut':
          return bytes.slice(0, -1);
        case 'delay':
          delayed++;
          try {
            await untilAborted(gate.promise, signal);
          } finally {
            delayed--;
          }
          return bytes;
        case undefined:
          return bytes;
      }
    },
  };
}

async function untilAborted(wait: Promise<undefined>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal?.reason);
  signal?.addEventListener('abort', abort);
  try {
    await Promise.race([wait, aborted.promise]);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
