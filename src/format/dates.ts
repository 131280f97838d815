/** Points in time as people read them. */

/** A point in time of this place, to the minute: `2026-03-01 14:05`. `unixSeconds` may be before 1970. */
export function formatDate(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  // What others have signed may be any number.
  if (Number.isNaN(date.getTime())) return 'an unknown time';
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** `3 hours`, of a time in milliseconds that may be negative. */
export function hoursText(ms: number): string {
  const hours = Math.round(Math.abs(ms) / 3_600_000);
  if (hours === 0) return 'less than an hour';
  return `${hours} hour${hours === 1 ? '' : 's'}`;
}
