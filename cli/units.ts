/** Times, counts and rates as people read and type them. */
import { ShoalError } from '../src/errors.ts';
import { quoted } from '../src/format/quoted.ts';
import { MIN_BYTES_PER_SECOND } from '../src/limits.ts';

export { formatDate } from '../src/format/dates.ts';

/** Seconds in two units at most: `0:07`, `12:34`, `3 h 05 min`, `2 d 4 h`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24];
  const minutes = Math.floor(whole / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${String(minutes).padStart(2, '0')} min`;
  return `${minutes}:${String(whole % 60).padStart(2, '0')}`;
}

/** `1 file`, `2 files`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** A number of things, from 1 on, as it is typed. @throws ShoalError `usage` */
export function parseCount(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new ShoalError('usage', `cannot read the number ${quoted(text)}: write a whole one, from 1 on`);
}

const RATE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/**
 * A rate as it is typed, in bytes per second: `500 kB/s`, `2 MiB/s`; Infinity for `unlimited`. What could as well mean bits, or
 * is no rate, is refused with what it could be.
 * @throws ShoalError `usage`
 */
export function parseRate(text: string): number {
  if (text === 'unlimited') return Infinity;
  const [, value = '', unit = ''] = /^([0-9]+(?:\.[0-9]+)?) ?((?:k|[KMG]i|[MG])?B)\/s$/.exec(text) ?? [];
  const bytesPerSecond = Math.round(Number(value) * (RATE_UNITS[unit] ?? NaN));
  if (bytesPerSecond >= MIN_BYTES_PER_SECOND && Number.isSafeInteger(bytesPerSecond)) return bytesPerSecond;
  if (bytesPerSecond >= 1 && bytesPerSecond < MIN_BYTES_PER_SECOND)
    throw new ShoalError(
      'usage',
      `the rate ${quoted(text)} is too low: the least is ${formatRate(MIN_BYTES_PER_SECOND)}; write "unlimited" for no limit`,
    );
  throw new ShoalError('usage', `cannot read the rate ${quoted(text)}: ${rateHint(text)}`);
}

/** What someone who typed `text` may have meant. */
function rateHint(text: string): string {
  const [, value = '', prefix = '', unit = ''] =
    /^\s*([0-9]+(?:\.[0-9]+)?)\s*([kmg]i?)?(b|bytes?|bits?)?(?:\/s|\/sec|ps)?\s*$/i.exec(text) ?? [];
  if (value === '') return 'write it like "5 MB/s" or "500 kB/s", or "unlimited"';
  const isBinary = prefix.length === 2;
  const letter = isBinary ? prefix[0]?.toUpperCase() : prefix.toLowerCase() === 'k' ? 'k' : prefix.toUpperCase();
  const scale = `${letter ?? ''}${isBinary ? 'i' : ''}B`;
  const bytesPerSecond = Number(value) * (RATE_UNITS[scale] ?? 1);
  if (bytesPerSecond < 1) return 'nothing would move; write "unlimited" for no limit';
  if (bytesPerSecond > Number.MAX_SAFE_INTEGER) return 'no line is so fast; write "unlimited" for no limit';
  const bytes = `"${value} ${scale}/s"`;
  const bits = `"${formatRate(bytesPerSecond / 8)}"`;
  if (/^bit/i.test(unit) || (unit === 'b' && /[KMG]/.test(prefix))) return `it is given in bytes; that is ${bits}`;
  if (unit === '' && prefix === '') return `it has no unit; is it "${value} kB/s" or "${value} MB/s"?`;
  if (unit.startsWith('b') && !/^bytes?$/.test(unit)) return `write ${bytes}, or ${bits} where bits are meant`;
  return `write ${bytes}`;
}

/** In the largest decimal unit of which it is at least one. */
function formatRate(bytesPerSecond: number): string {
  const unit = ['GB', 'MB', 'kB'].find(name => bytesPerSecond >= (RATE_UNITS[name] ?? 0)) ?? 'B';
  return `${Number((bytesPerSecond / (RATE_UNITS[unit] ?? 1)).toFixed(3))} ${unit}/s`;
}
