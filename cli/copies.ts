/** What people see of the copies of a share at relays. */
import type { ActionEvent, ShareView } from '../src/daemon/actions.ts';
import { count, formatDate } from './units.ts';

type CopyEvent = Extract<ActionEvent, { event: 'copy' }>;

/** A step worth a line; the rest is progress. */
export function copyLine({
  state,
  name,
  until,
  sampled,
  why = 'it did not say why',
  forGood,
}: CopyEvent): string | undefined {
  switch (state) {
    case 'stored': {
      const checked =
        sampled === undefined ? '' : `; what was fetched back from it is right (${count(sampled, 'chunk')})`;
      return `stored at ${name} until ${formatDate(until ?? 0)}${checked}`;
    }
    case 'failed':
      return forGood === true
        ? `not stored at ${name}: ${why}`
        : `not stored at ${name} yet: ${why}; it is tried again`;
    default:
      return undefined;
  }
}

/** In a table: at how many relays it is, and until when for certain. */
export function storedAt(copies: ShareView['copies']): string {
  const stored = copies.filter(({ state, checkedAt }) => state === 'stored' && checkedAt !== undefined);
  const until = Math.max(0, ...stored.map(copy => copy.until ?? 0));
  const wanted = copies.length === stored.length ? '' : ` of ${copies.length}`;
  if (stored.length === 0) return copies.length === 0 ? '' : `0${wanted}`;
  return `${stored.length}${wanted}, until ${formatDate(until).slice(0, DATE_CHARS)}`;
}

/** The day, without the time. */
const DATE_CHARS = 10;
