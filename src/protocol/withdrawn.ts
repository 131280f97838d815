/** Whether somebody who says that a share was withdrawn can show it (format.md §9, docs/protocol.md). */
import { ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import { decodeStatement, verifyOwnerStatement } from '../format/statement.ts';
import type { WireRefusal } from './messages.ts';

/**
 * A refusal as it is to be believed: a withdrawal only with the owner's statement about `id`; without, it is as if the other
 * side did not know the share.
 * @param block that came with it
 */
export function believed(refusal: WireRefusal, id: BlockId, block: Uint8Array): WireRefusal {
  if (refusal.reason !== 'withdrawn') return refusal;
  try {
    const statement = decodeStatement(refusal.statement ?? new Uint8Array(), 'withdrawal');
    if (statement.id === id && verifyOwnerStatement(statement, block)) return refusal;
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
  }
  return { reason: 'unknown' };
}
