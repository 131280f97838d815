/**
 * The Crypto port on worker threads, which read, seal, open and hash whole batches themselves. Memory moves between the
 * threads and is not copied. How many calls are under way at once, and with that the queue, is the caller's to bound.
 */
import { strict as assert } from 'node:assert';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fileKey } from '../format/keys.ts';
import { takeSpare } from '../memory.ts';
import type { Piscina } from 'piscina';
import { ShoalError } from '../errors.ts';
import {
  IDLE_WORKER_MS,
  MAX_WORKERS,
  MIN_POOL_BYTES,
  MIN_WORKERS_FOR_ONE,
  PIECES_PER_TASK,
  SLOW_SEAL_MS,
} from '../limits.ts';
import { Pace } from '../pace.ts';
import type { Crypto, PieceToSeal, SealedPiece } from '../ports.ts';
import { nodeCrypto, pieceBytes } from './node.ts';
import type { Outcome, Task } from './pool-worker.ts';

// Compiled or not, the worker is of the same kind as this file.
const WORKER = fileURLToPath(new URL(`./pool-worker${extname(import.meta.url)}`, import.meta.url));

/**
 * The Crypto port on up to `workers` threads. The first MIN_POOL_BYTES are worked on in the calling thread: who has only
 * little to do starts no threads. So are single blocks where there are fewer than MIN_WORKERS_FOR_ONE, unless reading turns
 * out to be slow. Idle threads end by themselves and do not keep the process alive.
 */
export function poolCrypto(workers: number = Math.min(availableParallelism(), MAX_WORKERS)): Crypto {
  const here = nodeCrypto();
  let askedBytes = 0;
  const pace = new Pace(SLOW_SEAL_MS);
  let pool: Promise<Piscina<Task, Outcome>> | undefined;

  const isLittle = (bytes: number) => (askedBytes += bytes) <= MIN_POOL_BYTES;

  async function run(task: Task, transferList: ArrayBuffer[], signal: AbortSignal | undefined): Promise<Outcome> {
    signal?.throwIfAborted();
    pool ??= startPool(workers);
    const outcome = await (await pool).run(task, { transferList });
    // A task takes milliseconds: it is let end, rather than a thread killed and started anew.
    signal?.throwIfAborted();
    if (outcome.kind === 'failed') throw new ShoalError(outcome.code, outcome.message, { cause: outcome.cause });
    return outcome;
  }

  async function sealBatch(
    key: Uint8Array,
    pieces: readonly PieceToSeal[],
    keep: boolean,
    signal: AbortSignal | undefined,
  ): Promise<SealedPiece[]> {
    const owned = pieces.map(ownPiece);
    const memory = owned.flatMap(({ content }) => (content instanceof Uint8Array ? [memoryOf(content)] : []));
    const lent = keep ? takeSpare(pieces.length) : [];
    const task = { kind: 'seal', key: ownBytes(key), pieces: owned, keep, spare: lent } as const;
    const outcome = await run(task, [...memory, ...lent], signal);
    assert(outcome.kind === 'sealed');
    return outcome.pieces;
  }

  return {
    async seal(key, pieces, keep, signal) {
      const sealThere = async (): Promise<SealedPiece[]> => {
        const batches: Promise<SealedPiece[]>[] = [];
        for (let at = 0; at < pieces.length; at += PIECES_PER_TASK) {
          batches.push(sealBatch(key, pieces.slice(at, at + PIECES_PER_TASK), keep, signal));
        }
        return (await Promise.all(batches)).flat();
      };
      const isOne = pieces.length === 1 && workers < MIN_WORKERS_FOR_ONE;
      if (!isLittle(pieces.reduce((sum, piece) => sum + pieceBytes(piece), 0)) && !isOne) return sealThere();
      return pace.step(() => here.seal(key, pieces, keep, signal), sealThere);
    },

    async open(key, index, chunk, digest, signal) {
      if (workers < MIN_WORKERS_FOR_ONE || isLittle(chunk.length)) return here.open(key, index, chunk, digest, signal);
      const owned = isWhole(chunk) ? chunk : ownBytes(chunk);
      const task = { kind: 'open', key: ownBytes(key), index, chunk: owned, digest: ownBytes(digest) } as const;
      const outcome = await run(task, [memoryOf(owned)], signal);
      assert(outcome.kind === 'opened');
      return outcome.piece;
    },

    // Hashing a block takes less time than handing it over and waiting, and the caller keeps its bytes.
    verify: (bytes, digest) => here.verify(bytes, digest),

    async sealGrant(key, grant, to) {
      // All that is slow, and keeps a thread from anything else for a second, is a passphrase.
      if (!('passphrase' in to)) return here.sealGrant(key, grant, to);
      const owned = { ...grant, owner: ownBytes(grant.owner) };
      const task = { kind: 'grant', key: fileKey(ownBytes(key)), grant: owned, to } as const;
      const outcome = await run(task, [], undefined);
      assert(outcome.kind === 'granted');
      return outcome.grant;
    },

    async close() {
      const ending = pool;
      pool = undefined;
      await (await ending)?.destroy();
    },
  };
}

async function startPool(workers: number): Promise<Piscina<Task, Outcome>> {
  const { Piscina } = await import('piscina');
  return new Piscina({
    filename: WORKER,
    minThreads: 0,
    maxThreads: workers,
    idleTimeout: IDLE_WORKER_MS,
    recordTiming: false,
    // A task leaves little behind; without a limit each worker's nursery grows to 16 MiB and more before it is swept.
    resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 24 },
  });
}

/** A copy that shares no memory: a view that goes to another thread takes all of the memory below it along, other secrets too. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

function ownPiece(piece: PieceToSeal): PieceToSeal {
  return piece.content instanceof Uint8Array ? { ...piece, content: ownBytes(piece.content) } : piece;
}

function isWhole(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
}

function memoryOf(bytes: Uint8Array): ArrayBuffer {
  assert(bytes.buffer instanceof ArrayBuffer);
  return bytes.buffer;
}
