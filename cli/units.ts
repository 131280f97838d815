/** Sizes and times as people read and type them. */
import { ShoalError } from '../src/errors.ts';
import { quoted } from '../src/format/quoted.ts';

/** As much of an id as tells shares of one home apart; it can be typed in place of the whole. */
export const SHORT_ID_CHARS = 16;

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Bytes in decimal units, as disks and networks are sold: `999 B`, `1.2 MB`, `34 GB`. */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  const digits = unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
  return `${digits} ${BYTE_UNITS[unit] ?? ''}`;
}

/** Seconds in two units at most: `0:07`, `12:34`, `3 h 05 min`, `2 d 4 h`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24];
  const minutes = Math.floor(whole / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${String(minutes).padStart(2, '0')} min`;
  return `${minutes}:${String(whole % 60).padStart(2, '0')}`;
}

/** A point in time of this place, to the minute: `2026-03-01 14:05`. `unixSeconds` may be before 1970. */
export function formatDate(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** `1 file`, `2 files`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration as it is typed, in milliseconds: `30s`, `1.5h`, `1h30m`; Infinity for `never`.
 * @throws ShoalError `usage`
 */
export function parseDuration(text: string): number {
  if (text === 'never') return Infinity;
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/gy)];
  const ms = parts.reduce((sum, [, value, unit]) => sum + Number(value) * (MS_PER_UNIT[unit ?? ''] ?? 0), 0);
  if (parts.map(([part]) => part).join('') !== text || !(ms >= 1) || !Number.isSafeInteger(Math.round(ms))) {
    throw new ShoalError('usage', `cannot read the duration ${quoted(text)}: write it like 30s, 5m, 1h30m, or never`);
  }
  return Math.round(ms);
}

/** A number of things, from 1 on, as it is typed. @throws ShoalError `usage` */
export function parseCount(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new ShoalError('usage', `cannot read the number ${quoted(text)}: write a whole one, from 1 on`);
}
