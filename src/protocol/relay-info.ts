/**
 * What a relay tells of itself at `/.well-known/shoal/relay.json`: who runs it, where it is, what it does and how much of
 * it one may have. The document comes from a stranger: all of it is checked here. Keys that are not known are passed over,
 * since newer relays may have more to tell.
 */
import { ShoalError } from '../errors.ts';
import { parseHint } from '../format/hint.ts';
import { escaped, quoted } from '../format/quoted.ts';
import {
  MAX_RELAY_ADDRESS_CHARS,
  MAX_RELAY_ADDRESSES,
  MAX_RELAY_LINE_CHARS,
  MAX_RELAY_LISTS,
  MAX_RELAY_TEXT_CHARS,
} from '../limits.ts';
import type { Quotas } from './admission.ts';

/** Where the document is at a relay's origin. */
export const RELAY_INFO_PATH = '/.well-known/shoal/relay.json';

const ROLES = ['dht', 'circuit', 'autonat', 'store'] as const;
const TIERS = ['anonymous', 'token', 'operator'] as const satisfies readonly Quotas['tier'][];
const LIMITS = [
  'reservationSeconds',
  'circuitBytes',
  'circuitSeconds',
  'leases',
  'storedBytes',
  'leaseSeconds',
] as const satisfies readonly (keyof Quotas)[];

/** What one who asks may have, in bytes, seconds and numbers of leases (ports.ts, Quotas). */
export type TierLimits = Readonly<Record<(typeof LIMITS)[number], number>>;

export interface RelayInfo {
  /** The version of this document. */
  readonly shoal: 1;
  readonly name: string;
  readonly operator?: string;
  readonly contact?: string;
  /** The terms of use, or where they are. */
  readonly terms?: string;
  /** Of the relay's program. */
  readonly version: string;
  /** Peer id as text. */
  readonly peer: string;
  /** Multiaddrs as text, each ending in /p2p/ and `peer`; one at least where it was read. */
  readonly addresses: readonly string[];
  readonly roles: Readonly<Record<(typeof ROLES)[number], boolean>>;
  /** The tiers that there are for who asks; one at least. */
  readonly limits: Readonly<Partial<Record<Quotas['tier'], TierLimits>>>;
  /** What is kept of who asks, and for how long, in words. */
  readonly retention: string;
  /** The lists of refusals that the relay follows, by name or address. */
  readonly lists: readonly string[];
}

/**
 * Checks a document. Texts come back escaped, so that they can be shown.
 * @param who tells it, for messages
 * @throws ShoalError `protocol` for one that is not a relay's, `unsupported` for one of another version
 */
export function readRelayInfo(document: unknown, who = 'the relay'): RelayInfo {
  const tried = `cannot read what ${who} tells of itself`;
  try {
    const fields = objectOf(document, 'the document');
    const { shoal: version } = fields;
    if (typeof version !== 'number')
      throw new Wrong('"shoal"', 'it is no number, so that this is no document of a relay');
    if (version === 1) return infoOf(fields);
    throw new ShoalError(
      'unsupported',
      `${tried}: it is version ${version}, and this program knows 1; is there a newer one?`,
    );
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    throw new ShoalError('protocol', `${tried}: ${error.message}; its operator has to mend that`, {
      cause: error.cause,
    });
  }
}

/** A field that breaks the rules. */
class Wrong extends Error {
  constructor(what: string, why: string, cause?: unknown) {
    super(`${what}: ${why}`, { cause });
  }
}

type Fields = Readonly<Record<string, unknown>>;

function infoOf(fields: Fields): RelayInfo {
  const peer = peerOf(fields['peer']);
  return {
    shoal: 1,
    name: lineOf(fields, 'name'),
    ...optionalLine(fields, 'operator'),
    ...optionalLine(fields, 'contact'),
    ...optionalLine(fields, 'terms'),
    version: lineOf(fields, 'version'),
    peer,
    addresses: addressesOf(fields['addresses'], peer),
    roles: rolesOf(fields['roles']),
    limits: limitsOf(fields['limits']),
    retention: textOf(fields['retention'], '"retention"', MAX_RELAY_TEXT_CHARS),
    lists: listOf(fields['lists'], '"lists"', MAX_RELAY_LISTS).map((list, index) =>
      textOf(list, `list ${index}`, MAX_RELAY_LINE_CHARS),
    ),
  };
}

/** Without a prototype, so that a key has what stands in the document, or nothing. */
function objectOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Wrong(what, 'it is no object');
  return Object.assign(Object.create(null) as Fields, value);
}

function listOf(value: unknown, what: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new Wrong(what, 'it is no list');
  if (value.length > most) throw new Wrong(what, `it has ${value.length} entries, and ${most} are the most`);
  return value;
}

function textOf(value: unknown, what: string, mostChars: number): string {
  if (typeof value !== 'string') throw new Wrong(what, 'it is no text');
  if (value.trim() === '') throw new Wrong(what, 'it is empty');
  if (value.length > mostChars) throw new Wrong(what, `it has more than ${mostChars} characters`);
  return escaped(value);
}

function lineOf(fields: Fields, key: string): string {
  return textOf(fields[key], `"${key}"`, MAX_RELAY_LINE_CHARS);
}

function optionalLine<K extends string>(fields: Fields, key: K): Partial<Record<K, string>> {
  return fields[key] === undefined ? {} : ({ [key]: lineOf(fields, key) } as Record<K, string>);
}

function peerOf(value: unknown): string {
  const peer = textOf(value, '"peer"', MAX_RELAY_LINE_CHARS);
  // What ends an address is a peer id.
  if (peerAtEnd(`/p2p/${peer}`, '"peer"') !== peer) throw new Wrong('"peer"', `${quoted(peer)} is no peer id`);
  return peer;
}

function addressesOf(value: unknown, peer: string): string[] {
  const addresses = listOf(value, '"addresses"', MAX_RELAY_ADDRESSES);
  if (addresses.length === 0) throw new Wrong('"addresses"', 'there is none');
  return addresses.map((one, index) => {
    const what = `address ${index}`;
    const address = textOf(one, what, MAX_RELAY_ADDRESS_CHARS);
    if (peerAtEnd(address, what) !== peer) throw new Wrong(what, 'it ends in another peer id than the relay has');
    return address;
  });
}

/** The peer id at the end of a multiaddr. */
function peerAtEnd(address: string, what: string): string {
  try {
    const hint = parseHint(address);
    if (hint.kind === 'multiaddr') return hint.peer;
  } catch (cause) {
    throw new Wrong(what, `${quoted(address)} is no multiaddr that ends in /p2p/ and a peer id`, cause);
  }
  throw new Wrong(what, `${quoted(address)} is no multiaddr`);
}

function rolesOf(value: unknown): RelayInfo['roles'] {
  const roles = objectOf(value, '"roles"');
  const told = ROLES.map(role => {
    const has = roles[role];
    if (typeof has !== 'boolean') throw new Wrong(`role "${role}"`, 'it is neither true nor false');
    return [role, has] as const;
  });
  return Object.fromEntries(told) as RelayInfo['roles'];
}

function limitsOf(value: unknown): RelayInfo['limits'] {
  const tiers = objectOf(value, '"limits"');
  const told = TIERS.filter(tier => tiers[tier] !== undefined);
  if (told.length === 0) throw new Wrong('"limits"', `there is none of ${TIERS.join(', ')}`);
  return Object.fromEntries(told.map(tier => [tier, tierOf(tiers[tier], tier)]));
}

function tierOf(value: unknown, tier: string): TierLimits {
  const limits = objectOf(value, `the limits of "${tier}"`);
  const numbers = LIMITS.map(key => {
    const limit = limits[key];
    if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 0)
      throw new Wrong(`limit "${key}" of "${tier}"`, 'it is no whole number from 0 on');
    return [key, limit] as const;
  });
  return Object.fromEntries(numbers) as TierLimits;
}
