/** The address prefixes that are counted together: whoever has one address of such a prefix usually has all of it. */

export interface Prefixes {
  /** An IPv4 /24 or IPv6 /48, in a form of its own. */
  readonly near: string;
  /** The IPv6 /32 around it. */
  readonly wide?: string;
}

/** Of what has no IP address: names, other transports, and what can't be read. */
const OTHERS: Prefixes = { near: 'other' };

/**
 * The prefixes of a multiaddr. IPv4 in IPv6 counts as IPv4; an address through a relay (`…/p2p-circuit`) as that of the relay.
 * @param address as text; what can't be read shares one prefix with all else that has none
 */
export function prefixesOf(address: string): Prefixes {
  const [, kind, host = ''] = /^(?:\/ip6zone\/[^/]+)?\/(ip4|ip6)\/([^/]+)/.exec(address) ?? [];
  if (kind === 'ip4') return ofIp4(host.split('.').map(Number));
  const groups = kind === 'ip6' ? groupsOf(host) : undefined;
  if (groups === undefined) return OTHERS;
  const [high = 0, low = 0] = groups.slice(6);
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff)
    return ofIp4([high >> 8, high & 0xff, low >> 8, low & 0xff]);
  const hex = groups.map(group => group.toString(16).padStart(4, '0')).join('');
  return { near: `6:${hex.slice(0, 12)}`, wide: `6:${hex.slice(0, 8)}` };
}

function ofIp4(bytes: readonly number[]): Prefixes {
  const isRight = bytes.length === 4 && bytes.every(byte => Number.isInteger(byte) && byte >= 0 && byte <= 255);
  return isRight ? { near: `4:${bytes.slice(0, 3).join('.')}` } : OTHERS;
}

/** The eight groups of an IPv6 address (RFC 4291 §2.2); undefined where it is none. */
function groupsOf(text: string): number[] | undefined {
  const halves = text.split('::').map(half => (half === '' ? [] : half.split(':').flatMap(groupsIn)));
  const [head = [], tail] = halves;
  const missing = 8 - head.length - (tail?.length ?? 0);
  const isWhole = tail === undefined ? missing === 0 : missing >= 1;
  if (halves.length > 2 || !isWhole) return undefined;
  const groups = [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
  return groups.every(group => group >= 0) ? groups : undefined;
}

/** One group, or the two that a dotted IPv4 address makes; NaN where it is neither. */
function groupsIn(part: string): number[] {
  if (/^[0-9a-f]{1,4}$/i.test(part)) return [parseInt(part, 16)];
  const bytes = part.split('.').map(byte => (/^[0-9]{1,3}$/.test(byte) ? Number(byte) : NaN));
  const [a = NaN, b = NaN, c = NaN, d = NaN] = bytes;
  return bytes.length === 4 && bytes.every(byte => byte <= 255) ? [a * 256 + b, c * 256 + d] : [NaN];
}
