/** What is said where something is not done any more with a share that has expired. */
import { ShoalError } from './errors.ts';
import { formatDate } from './format/dates.ts';
import type { BlockId } from './format/ids.ts';
import type { Clock, Refusal } from './ports.ts';

/**
 * @param doing what is not to be done with it then
 * @param expires of the share, in Unix seconds
 * @throws ShoalError `refused` where that has passed
 */
export function refuseExpired(doing: string, expires: number | undefined, clock: Clock): void {
  if (expires === undefined || expires * 1000 > clock.now()) return;
  throw hasExpired(doing, expires);
}

/** @param expires of the share or grant, in Unix seconds, where that is known */
export function hasExpired(doing: string, expires: number | undefined): ShoalError {
  const when = expires === undefined ? '' : ` (${formatDate(expires)})`;
  return new ShoalError('refused', `cannot ${doing}: it has expired${when}; who has the files can share them anew`);
}

/**
 * @param home whose share it is, where there is one
 * @throws ShoalError `refused` where the share has expired by the clock, or did once and for all
 */
export function refuseOver(
  home: { refusalOf(id: BlockId, nowSeconds: number): Refusal | undefined } | undefined,
  id: BlockId,
  doing: string,
  clock: Pick<Clock, 'now'>,
): void {
  const refusal = home?.refusalOf(id, Math.floor(clock.now() / 1000));
  if (refusal?.reason === 'expired') throw hasExpired(doing, refusal.until);
}
