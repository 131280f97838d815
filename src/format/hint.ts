/** Where a link says to look first (format.md §8). Hints are never trusted for content. */
import { multiaddr, type Component } from '@multiformats/multiaddr';
import { base58btc } from 'multiformats/bases/base58';
import { decode as decodeMultihash } from 'multiformats/hashes/digest';
import { ShoalError } from '../errors.ts';
import { quoted } from './quoted.ts';

/** `text` is the hint as it stands in a link; `peer` a peer id as text; `host` a name or IPv4 address in lower case. */
export type Hint =
  | { readonly kind: 'multiaddr'; readonly text: string; readonly peer: string }
  | { readonly kind: 'relay'; readonly text: string; readonly host: string; readonly port?: number };

/**
 * Reads one hint: a multiaddr that ends in /p2p/…, or the host[:port] of a relay.
 * @throws ShoalError `bad-link`
 */
export function parseHint(text: string): Hint {
  if (text === '') throw badHint('it is empty');
  const wrong = /[^A-Za-z0-9/.:_-]/u.exec(text);
  if (wrong) throw badHint(`${quoted(wrong[0])} does not belong in ${quoted(text)}`);
  return text.startsWith('/') ? parseMultiaddr(text) : parseRelay(text);
}

function parseMultiaddr(text: string): Hint {
  let last: Component | undefined;
  try {
    const address = multiaddr(multiaddr(text).bytes);
    last = address.getComponents().at(-1);
    // The library takes any base58 for a peer id.
    if (last?.name === 'p2p' && last.value !== undefined) decodeMultihash(base58btc.baseDecode(last.value));
  } catch (cause) {
    throw badHint(`${quoted(text)} is not a multiaddr`, cause);
  }
  if (last?.name !== 'p2p' || last.value === undefined || text.endsWith('/')) {
    throw badHint(`${quoted(text)} does not end in /p2p/ and a peer id`);
  }
  return { kind: 'multiaddr', text, peer: last.value };
}

function parseRelay(text: string): Hint {
  const [name = '', port, ...more] = text.split(':');
  if (more.length > 0) throw badHint(`${quoted(text)} is not host:port; an IPv6 address is written as a multiaddr`);
  const host = name.toLowerCase();
  if (!isHost(host)) throw badHint(`${quoted(name)} is not the name or the IPv4 address of a host`);
  return port === undefined
    ? { kind: 'relay', text, host }
    : { kind: 'relay', text, host, port: parsePort(port, text) };
}

/** Whether `text` is a multiaddr, of whatever parts. */
export function isMultiaddr(text: string): boolean {
  try {
    return multiaddr(multiaddr(text).bytes).getComponents().length > 0;
  } catch {
    return false;
  }
}

/** Whether `text` is a peer id in its usual form, the one in which peers are compared. */
export function isPeerId(text: string): boolean {
  try {
    const bytes = base58btc.baseDecode(text);
    decodeMultihash(bytes);
    return base58btc.baseEncode(bytes) === text;
  } catch {
    return false;
  }
}

/** @throws ShoalError `bad-link` */
export function parsePort(port: string, text: string): number {
  const number = /^[1-9][0-9]{0,4}$/.test(port) ? Number(port) : 0;
  if (number < 1 || number > 65_535) throw badHint(`${quoted(text)} has a port that is not between 1 and 65535`);
  return number;
}

const MAX_HOST_CHARS = 253;

/** Whether `host`, in lower case, is a DNS name or a dotted IPv4 address. */
export function isHost(host: string): boolean {
  if (host.length > MAX_HOST_CHARS) return false;
  const labels = host.split('.');
  // A name whose last label is a number would be taken for an IPv4 address by whoever resolves it.
  if (/^[0-9]+$/.test(labels.at(-1) ?? '')) return labels.length === 4 && labels.every(isIp4Number);
  return labels.every(label => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
}

function isIp4Number(label: string): boolean {
  return /^(?:0|[1-9][0-9]{0,2})$/.test(label) && Number(label) <= 255;
}

function badHint(why: string, cause?: unknown): ShoalError {
  return new ShoalError('bad-link', `cannot read hint: ${why}`, { cause });
}
