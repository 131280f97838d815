/** Sizes as text for people. */

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Bytes in decimal units, as disks and networks are sold: `999 B`, `1.2 MB`, `34 GB`. */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  const digits = unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
  return `${digits} ${BYTE_UNITS[unit] ?? ''}`;
}
