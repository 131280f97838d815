/** Whether somebody who says that a share or grant was withdrawn can show it (format.md §9, docs/protocol.md). */
import { ShoalError } from '../errors.ts';
import { peekHeader } from '../format/canonical.ts';
import { decodeGrant } from '../format/grant.ts';
import type { BlockId } from '../format/ids.ts';
import { decodeStatement, verifyOwnerStatement } from '../format/statement.ts';
import type { WireRefusal } from './messages.ts';

/** A withdrawal that holds: the owner of the block has signed it, and the block is what it names. */
export interface CheckedWithdrawal {
  /** Of the share or grant. */
  readonly id: BlockId;
  /** The share itself, or the one that the grant names. */
  readonly share: BlockId;
  /** When its owner says it was made; Unix seconds. */
  readonly at: number;
  readonly statement: Uint8Array;
  readonly block: Uint8Array;
}

/**
 * The withdrawal that a statement and a block are; undefined where they are none, or about something else than is asked for.
 * @param isMeant of an id; asked first, since a signature takes a millisecond and strangers may send any number of them
 */
export function checkedWithdrawal(
  statement: Uint8Array,
  block: Uint8Array,
  isMeant: (id: BlockId) => boolean,
): CheckedWithdrawal | undefined {
  try {
    const withdrawal = decodeStatement(statement, 'withdrawal');
    const { id, at } = withdrawal;
    if (!isMeant(id) || !verifyOwnerStatement(withdrawal, block)) return undefined;
    const share = peekHeader(block).type === 'grant' ? decodeGrant(block).share : id;
    return { id, share, at, statement, block };
  } catch (error) {
    if (error instanceof ShoalError) return undefined;
    throw error;
  }
}

/** A refusal as it is to be believed. */
export interface Believed {
  readonly refusal: WireRefusal;
  /** With the reason `withdrawn` only, and then always. */
  readonly withdrawal?: CheckedWithdrawal;
}

/**
 * A withdrawal is believed only with the owner's statement about `id`; without, it is as if the other side did not know the
 * share.
 * @param block that came with it
 */
export function believed(refusal: WireRefusal, id: BlockId, block: Uint8Array): Believed {
  if (refusal.reason !== 'withdrawn') return { refusal };
  const withdrawal = checkedWithdrawal(refusal.statement ?? new Uint8Array(), block, named => named === id);
  return withdrawal === undefined ? { refusal: { reason: 'unknown' } } : { refusal, withdrawal };
}

/** The end of a sentence about what was withdrawn. @param at Unix seconds, which only inform, and may be any number */
export function withdrawnOn(at: number): string {
  const date = new Date(at * 1000);
  const year = date.getUTCFullYear();
  return year >= 1970 && year <= 9999
    ? `withdrawn by the sharer on ${date.toISOString().slice(0, DATE_CHARS)}`
    : 'withdrawn by the sharer, with a date that can not be';
}

/** YYYY-MM-DD. */
const DATE_CHARS = 10;
