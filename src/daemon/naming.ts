/** Which share of a home a text names: by its id, the beginning of one, or a link. */
import type { GrantRecord, ShareRecord } from '../catalog.ts';
import { ShoalError } from '../errors.ts';
import { parseId, type BlockId } from '../format/ids.ts';
import { parseLink } from '../format/link.ts';
import { quoted } from '../format/quoted.ts';
import type { ShoalNode } from '../node.ts';

/** @throws ShoalError `usage`, `bad-link`, `unknown-share` */
export function findShare(node: ShoalNode, text: string): ShareRecord {
  const prefix = prefixIn(text);
  return onlyOne(sharesNamed(node, prefix), prefix);
}

/** The grant of this home that a text names, where it names no share. @throws ShoalError `usage`, `bad-link` */
export function findGrant({ home }: ShoalNode, text: string): GrantRecord | undefined {
  const prefix = prefixIn(text);
  if (home === undefined || home.catalog.findByPrefix(prefix).length > 0) return undefined;
  const [grant, ...others] = home.catalog.grants.findByPrefix(prefix);
  return others.length === 0 ? grant : undefined;
}

/** By the beginnings of their ids, or of those of their grants. */
function sharesNamed({ home }: ShoalNode, prefix: string): ShareRecord[] {
  if (home === undefined) return [];
  const { grants } = home.catalog;
  const named = grants.findByPrefix(prefix).flatMap(({ share }) => home.catalog.get(share) ?? []);
  const all = new Map([...home.catalog.findByPrefix(prefix), ...named].map(record => [record.id, record]));
  return [...all.values()];
}

/** The only one of those whose id begins like that. @throws ShoalError `unknown-share`; `usage` where there are more */
export function onlyOne<T>(matches: readonly T[], prefix: string): T {
  const [match] = matches;
  if (match === undefined) throw unknownShare(prefix);
  if (matches.length > 1)
    throw new ShoalError(
      'usage',
      `cannot tell which share is meant: the ids of ${matches.length} begin with "${prefix}"; give more of it`,
    );
  return match;
}

/** An id, or the beginning of one, of a share or grant. @throws ShoalError `usage`, `bad-link` */
export function prefixIn(text: string): BlockId | string {
  const trimmed = text.trim();
  if (trimmed === '')
    throw new ShoalError('usage', 'cannot tell which share is meant: no id is given; "shoal shares" lists them');
  if (/^b[a-z2-7]*$/.test(trimmed)) return trimmed;
  return trimmed.includes(':') ? parseLink(trimmed).id : parseId(trimmed);
}

export function unknownShare(id: string): ShoalError {
  return new ShoalError('unknown-share', `this home has no share ${quoted(id)}; "shoal shares" lists those it has`);
}
