/** When a share or grant ends, as people type it (format.md §5, §7). */
import { ShoalError } from '../errors.ts';
import { MAX_EXPIRY_SECONDS, MIN_EXPIRY_SECONDS } from '../limits.ts';
import { formatDate } from './dates.ts';
import { quoted } from './quoted.ts';

const SECONDS_PER_HOUR = 3600;
const SECONDS_PER_UNIT: Readonly<Record<string, number>> = { m: 60, h: SECONDS_PER_HOUR, d: 86_400, w: 604_800 };
const DURATION = /^([0-9]+(?:\.[0-9]+)?) ?(m|h|d|w|minutes?|hours?|days?|weeks?)$/;
const DATE =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))? ?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$/i;

/**
 * A time to come as it is typed: how long from now on (`12h`, `7d`, `2w`), a day (`2026-12-24`, which is meant to its end) or a
 * time (`2026-12-24T18:00`, of this place unless a zone stands behind it).
 * @param nowSeconds Unix seconds
 * @returns Unix seconds, rounded up to a full hour
 * @throws ShoalError `usage` for what can not be read, has passed, is too soon or too late, with what was understood
 */
export function parseExpiry(text: string, nowSeconds: number): number {
  const typed = text.trim();
  const isDuration = DURATION.test(typed);
  const end = isDuration ? nowSeconds + secondsOf(typed) : momentOf(typed, text);
  if (isDuration && end - nowSeconds < MIN_EXPIRY_SECONDS)
    throw wrong(text, 'it is too soon; give an hour or more, as in 12h or 7d');
  if (end <= nowSeconds) throw wrong(text, `it means ${formatDate(end)}, which has passed; give a time to come`);
  if (end - nowSeconds > MAX_EXPIRY_SECONDS)
    throw wrong(text, 'it is more than a hundred years away; leave it out for a share that does not end');
  return Math.ceil(end / SECONDS_PER_HOUR) * SECONDS_PER_HOUR;
}

/**
 * Whether something that is about to be made may end then.
 * @param expires Unix seconds
 * @throws ShoalError `usage`
 */
export function checkExpiry(expires: number, nowSeconds: number): void {
  const problem = !Number.isSafeInteger(expires)
    ? 'is no number of seconds'
    : expires % SECONDS_PER_HOUR !== 0
      ? 'is not a full hour'
      : expires <= nowSeconds
        ? 'has passed'
        : expires - nowSeconds > MAX_EXPIRY_SECONDS + SECONDS_PER_HOUR
          ? 'is more than a hundred years away'
          : undefined;
  if (problem !== undefined)
    throw new ShoalError(
      'usage',
      `cannot end at the time ${expires}: it ${problem}; give Unix seconds of a full hour to come`,
    );
}

function secondsOf(typed: string): number {
  const [, value, unit = ''] = DURATION.exec(typed) ?? [];
  return Number(value) * (SECONDS_PER_UNIT[unit.charAt(0)] ?? NaN);
}

/** @throws ShoalError `usage` where it is no time, or none that there is */
function momentOf(typed: string, text: string): number {
  const match = DATE.exec(typed);
  if (match === null)
    throw wrong(text, 'it is neither a duration nor a date; write it like 12h, 7d, 2w, 2026-12-24 or 2026-12-24T18:00');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map(part => Number(part ?? 0));
  const zone = match[7];
  if (!isDay(year, month, day)) throw wrong(text, 'there is no such day; a date is written as year, month and day');
  if (hour > 23 || minute > 59 || second > 59) throw wrong(text, 'there is no such time of day; write it like 18:00');
  if (match[4] === undefined) return new Date(year, month - 1, day + 1).getTime() / 1000;
  if (zone === undefined) return new Date(year, month - 1, day, hour, minute, second).getTime() / 1000;
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - offsetOf(zone, text);
}

function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  return year >= 1000 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

/** Seconds that a zone is ahead of UTC. @throws ShoalError `usage` */
function offsetOf(zone: string, text: string): number {
  if (/^z$/i.test(zone)) return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  if (hours > 14 || minutes > 59) throw wrong(text, 'there is no such zone; write it like +01:00 or Z');
  return (zone.startsWith('-') ? -1 : 1) * (hours * SECONDS_PER_HOUR + minutes * 60);
}

function wrong(text: string, why: string): ShoalError {
  return new ShoalError('usage', `cannot take ${quoted(text)} for the end: ${why}`);
}
