/** Sizes and times as people read and type them. */
import { ShoalError } from '../src/errors.ts';
import { quoted } from '../src/format/quoted.ts';
import { MIN_BYTES_PER_SECOND } from '../src/limits.ts';

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

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/**
 * Bytes per second as they are typed: `500 kB/s`, `5MB/s`, `2.5 MiB`. Bits are refused, and so is what could be either.
 * @throws ShoalError `usage`
 */
export function parseRate(text: string): number {
  const [, value, unit = ''] = /^([0-9]+(?:\.[0-9]+)?) ?([kKMG]i?B|B)(?:\/s)?$/.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(value) * (BYTES_PER_UNIT[unit] ?? NaN));
  if (!Number.isSafeInteger(bytes))
    throw new ShoalError(
      'usage',
      `cannot read the rate ${quoted(text)}: write bytes per second like 500 kB/s, 5 MB/s or 2 MiB/s`,
    );
  if (bytes < MIN_BYTES_PER_SECOND)
    throw new ShoalError(
      'usage',
      `the rate ${quoted(text)} is too low: the least is ${formatBytes(MIN_BYTES_PER_SECOND)}/s`,
    );
  return bytes;
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
