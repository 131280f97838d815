/** What a worker thread of the pool does: the same as the calling thread would, with whole batches, and moves the results. */
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { isShoalError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { Grant } from '../format/grant.ts';
import type { AgeRecipients } from '../format/age.ts';
import type { Digest } from '../format/ids.ts';
import type { FileKey } from '../format/keys.ts';
import type { PieceToSeal, SealedPiece } from '../ports.ts';
import { newMemory, nodeCrypto, sealPieces } from './node.ts';

export type Task =
  | {
      readonly kind: 'seal';
      readonly key: Uint8Array;
      readonly pieces: readonly PieceToSeal[];
      readonly keep: boolean;
      /** Memory for chunks, as far as there is. */ readonly spare: ArrayBuffer[];
    }
  | {
      readonly kind: 'open';
      readonly key: Uint8Array;
      readonly index: number;
      readonly chunk: Uint8Array;
      readonly digest: Digest;
    }
  | {
      readonly kind: 'grant';
      readonly key: FileKey;
      readonly grant: Omit<Grant, 'sealed'>;
      readonly to: AgeRecipients;
    };

/** A ShoalError does not survive the way between threads, so that it travels as a value. */
export type Outcome =
  | { readonly kind: 'sealed'; readonly pieces: SealedPiece[] }
  | { readonly kind: 'opened'; readonly piece: Uint8Array }
  | { readonly kind: 'granted'; readonly grant: Grant }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string; readonly cause: unknown };

const crypto = nodeCrypto();

/** Does one task. What is returned is moved, not copied. */
export default async function work(task: Task): Promise<unknown> {
  try {
    const outcome = await perform(task);
    return move({
      get [transferableSymbol]() {
        return memoryOf(outcome);
      },
      get [valueSymbol]() {
        return outcome;
      },
    });
  } catch (error) {
    if (!isShoalError(error)) throw error;
    return { kind: 'failed', code: error.code, message: error.message, cause: error.cause } satisfies Outcome;
  }
}

async function perform(task: Task): Promise<Outcome> {
  if (task.kind === 'seal') {
    const memory = (bytes: number) => task.spare.pop() ?? newMemory(bytes);
    return { kind: 'sealed', pieces: await sealPieces(task.key, task.pieces, task.keep ? memory : undefined) };
  }
  if (task.kind === 'grant') return { kind: 'granted', grant: await crypto.sealGrant(task.key, task.grant, task.to) };
  return { kind: 'opened', piece: await crypto.open(task.key, task.index, task.chunk, task.digest) };
}

function memoryOf(outcome: Outcome): ArrayBufferLike[] {
  if (outcome.kind === 'opened') return [outcome.piece.buffer];
  if (outcome.kind === 'sealed')
    return outcome.pieces.flatMap(({ chunk }) => (chunk === undefined ? [] : [chunk.buffer]));
  return [];
}
