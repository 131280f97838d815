/**
 * The log of a relay: a JSON object a line on stderr, and where that is a terminal, lines for people. What is logged has
 * neither keys, tokens nor links in it, and from `info` up neither ids nor addresses (src/ports.ts, Log); at `debug`,
 * prefixes of addresses are told apart by tags that mean nothing a day later.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import { pino } from 'pino';
import { escaped, escapedJson } from '../src/format/quoted.ts';
import type { Log } from '../src/ports.ts';

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export interface RelayLog {
  readonly log: Log;
  /** Changes from which level on is logged. */
  readonly setLevel: (level: Level) => void;
}

/** Fields whose values are never written, should one be given. */
const SECRET = ['key', 'token', 'passphrase', 'secret', 'link', 'authorization'];

/**
 * @param least the lowest level that is logged
 * @param format for people also where it is no terminal
 */
export function relayLog(
  least: Level,
  format: 'json' | 'pretty' = 'json',
  out: { write(text: string): unknown; readonly isTTY?: boolean } = process.stderr,
  now: () => number = Date.now,
): RelayLog {
  const line = format === 'pretty' || out.isTTY === true ? lineForPeople : lineForPrograms;
  const logger = pino(
    {
      level: least,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: level => ({ level }) },
      redact: { paths: SECRET, censor: '(secret)' },
      hooks: { streamWrite: line },
    },
    { write: text => void out.write(text) },
  );
  return {
    log: (level, message, fields = {}) => logger[level](fields, message),
    setLevel: level => void (logger.level = level),
  };
}

function lineForPrograms(json: string): string {
  return `${escapedJson(JSON.parse(json))}\n`;
}

function lineForPeople(json: string): string {
  const { level, time, message, ...fields } = JSON.parse(json) as Record<'level' | 'time' | 'message', string>;
  const details = Object.entries(fields).map(([name, value]) => `${name}=${escapedJson(value)}`);
  const loud = level === 'warn' || level === 'error' ? [`${level}:`] : [];
  return `${escaped([clockTime(new Date(time)), ...loud, message, ...details].join(' '))}\n`;
}

function clockTime(time: Date): string {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(n => String(n).padStart(2, '0')).join(':');
}

const DAY_SECONDS = 86_400;
const TAG_CHARS = 12;

/**
 * A function that gives the tag of the prefix that an address is of (/24 of IPv4, /48 of IPv6): the same for all of one
 * prefix on one day (UTC). Without the salt, which is in memory only and forgotten with the day, it can't be undone.
 * `address` is an IP address or a multiaddr that begins with one.
 */
export function prefixTags(random = randomBytes): (address: string, nowSeconds: number) => string {
  let today: { readonly day: number; readonly salt: Uint8Array } | undefined;
  return (address, nowSeconds) => {
    const day = Math.floor(nowSeconds / DAY_SECONDS);
    if (today?.day !== day) today = { day, salt: random(32) };
    return createHmac('sha256', today.salt).update(prefixOf(address)).digest('base64url').slice(0, TAG_CHARS);
  };
}

/** The tags of this process. */
export const prefixTag = prefixTags();

/** All that is no address has one prefix. */
function prefixOf(address: string): string {
  const ip = /^(?:\/ip6zone\/[^/]+)?\/ip[46]\/([^/]+)/.exec(address)?.[1] ?? address;
  const plain = ip.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
  if (isIPv4(plain)) return plain.split('.').slice(0, 3).join('.');
  return isIPv6(plain) ? groupsOf(plain).slice(0, 3).join(':') : '';
}

/** The eight groups of an IPv6 address, without zeros in front. */
function groupsOf(address: string): string[] {
  // An IPv4 address at the end takes two groups; what it says does not matter for a prefix.
  const [head = '', tail] = address.replace(/[^:]+\.[^:]+$/, '0:0').split('::');
  const groups = (text: string): string[] =>
    text === '' ? [] : text.split(':').map(group => parseInt(group, 16).toString(16));
  const [first, last] = [groups(head), groups(tail ?? '')];
  return [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last];
}
