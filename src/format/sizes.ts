/** Sizes as people read and type them. */
import { ShoalError } from '../errors.ts';
import { quoted } from './quoted.ts';

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Bytes in decimal units, as disks and networks are sold: `999 B`, `1.2 MB`, `34 GB`. */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  const digits = unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
  return `${digits} ${BYTE_UNITS[unit] ?? ''}`;
}

const TYPED_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** A size as it is typed, in bytes: `100 GB`, `1.5 GiB`, `0 B`. @throws ShoalError `usage` */
export function parseBytes(text: string): number {
  const [, value = '', unit = ''] = /^([0-9]+(?:\.[0-9]+)?) ?((?:k|[KMGT]i|[MGT])?B)$/.exec(text) ?? [];
  const bytes = Math.round(Number(value) * (TYPED_UNITS[unit] ?? NaN));
  if (value !== '' && Number.isSafeInteger(bytes)) return bytes;
  throw new ShoalError('usage', `cannot read the size ${quoted(text)}: write it like 500 MB, 100 GB or 1.5 GiB`);
}
