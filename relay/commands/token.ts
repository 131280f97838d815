/** `shoal-relay token`: invite tokens, made, listed and revoked. */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../../src/clock.ts';
import { ShoalError } from '../../src/errors.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { MAX_RELAY_LINE_CHARS } from '../../src/limits.ts';
import { loadFolder, type Context } from '../context.ts';
import { TokenList, type ListedToken } from '../token-list.ts';
import { tokenIdIn } from '../tokens.ts';

export interface TokenFlags {
  /** Milliseconds. */
  readonly expires: number;
  readonly disk?: number;
  /** Milliseconds. */
  readonly lease?: number;
  readonly note?: string;
}

/** @throws ShoalError `home`, `usage`, `disk-full`, `io` */
export async function createToken(context: Context, flags: TokenFlags): Promise<void> {
  const { expires, disk, lease, note } = flags;
  const nowSeconds = now();
  if (note !== undefined && note.length > MAX_RELAY_LINE_CHARS)
    throw new ShoalError('usage', `cannot create a token: its note has more than ${MAX_RELAY_LINE_CHARS} characters`);
  const wanted = {
    until: nowSeconds + Math.floor(expires / 1000),
    ...(disk === undefined ? {} : { storedBytes: disk }),
    ...(lease === undefined ? {} : { leaseSeconds: Math.floor(lease / 1000) }),
    ...(note === undefined ? {} : { note }),
  };
  const token = await withList(context, list => list.create(wanted, nowSeconds, randomBytes));
  const { output } = context;
  const id = tokenIdIn(token);
  if (output.isJson) {
    output.json({ token, id, ...wanted });
    return;
  }
  output.results([token]);
  output.say(`token ${id}, until ${day(wanted.until)}: whoever has it is let in, and it is not shown again`);
}

/** @throws ShoalError `home`, `usage`, `io` */
export async function listTokens(context: Context): Promise<void> {
  const tokens = await withList(context, list => list.list());
  const { output } = context;
  const nowSeconds = now();
  if (output.isJson) output.json({ tokens: tokens.map(token => ({ ...token, state: stateOf(token, nowSeconds) })) });
  else if (tokens.length === 0) output.say('there are no tokens; "shoal-relay token create" makes one');
  else output.results(tokens.map(token => lineOf(token, nowSeconds)));
}

/** @param text an id, or the token itself @throws ShoalError `usage` where there is none of that id; `home`, `io` */
export async function revokeToken(context: Context, text: string): Promise<void> {
  const id = tokenIdIn(text);
  const isThere = id !== undefined && (await withList(context, list => list.revoke(id, now())));
  // What was typed may be a token, in part.
  if (!isThere) throw new ShoalError('usage', 'there is no such token; "shoal-relay token list" lists those there are');
  const { output } = context;
  if (output.isJson) output.json({ id, revoked: true });
  else output.results([`revoked ${id}`]);
}

async function withList<T>({ place }: Context, work: (list: TokenList) => T): Promise<T> {
  const { path, seed } = await loadFolder(place);
  const list = new TokenList(path, seed);
  try {
    return work(list);
  } finally {
    list.close();
  }
}

function lineOf(token: ListedToken, nowSeconds: number): string {
  const { id, until, storedBytes, leaseSeconds, note } = token;
  const parts = [
    id,
    stateOf(token, nowSeconds).padEnd('expired'.length),
    `until ${day(until)}`,
    ...(storedBytes === undefined ? [] : [`stores ${formatBytes(storedBytes)}`]),
    ...(leaseSeconds === undefined ? [] : [`for ${Number((leaseSeconds / 86_400).toFixed(2))} days`]),
    ...(note === undefined ? [] : [note]),
  ];
  return parts.join('  ');
}

function stateOf({ until, revokedAt }: ListedToken, nowSeconds: number): 'valid' | 'expired' | 'revoked' {
  if (revokedAt !== undefined) return 'revoked';
  return until <= nowSeconds ? 'expired' : 'valid';
}

/** In UTC, as everything about a server. */
function day(unixSeconds: number): string {
  return `${new Date(unixSeconds * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function now(): number {
  return Math.floor(systemClock.now() / 1000);
}
