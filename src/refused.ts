/** Why this home does not carry a share, as an error. */
import { ShoalError } from './errors.ts';
import { withdrawnOn } from './protocol/withdrawn.ts';

/** A withdrawal is final: another attempt, or another peer, is of no use. @param at Unix seconds */
export function withdrawnError(doing: string, at: number): ShoalError {
  return new ShoalError(
    'refused',
    `cannot ${doing}: ${withdrawnOn(at)}; honest nodes do not give it any more, so ask the sharer`,
  );
}
