/** Links as text (format.md §8). */
import { ShoalError } from '../errors.ts';
import { MAX_LINK_CHARS, MAX_LINK_HINTS } from '../limits.ts';
import { parseHint, type Hint } from './hint.ts';
import { base64url } from 'multiformats/bases/base64';
import { idProblem, parseId, type BlockId } from './ids.ts';
import { FILE_KEY_BYTES, fileKey, type FileKey } from './keys.ts';

/** A read link where it has a key; a carry link, or the link of a grant, where it has none. */
export interface Link {
  readonly id: BlockId;
  readonly key?: FileKey;
  readonly hints: readonly Hint[];
  /** Of a web link; also the first of the hints then. */
  readonly origin?: string;
}

const SCHEME = 'shoal:';
const KEY_CHARS = 43;

/**
 * Reads a link as people paste it: white space and angle brackets around it do not matter.
 * @throws ShoalError `bad-link` that names what is wrong, and never shows the key
 */
export function parseLink(pasted: string): Link {
  const text = unwrapped(pasted);
  if (text === '') throw bad('it is empty');
  if (text.length > MAX_LINK_CHARS) throw bad(`it has ${text.length} characters, at most ${MAX_LINK_CHARS} are allowed`);
  if (text.startsWith(SCHEME)) return parseBody(text.slice(SCHEME.length));
  if (/^https?:\/\//.test(text)) return parseWeb(text);
  throw bad('it begins neither with "shoal:" nor with "https://"; copy all of it');
}

function unwrapped(text: string): string {
  const trimmed = text.trim();
  return trimmed.startsWith('<') && trimmed.endsWith('>') ? trimmed.slice(1, -1).trim() : trimmed;
}

function parseWeb(text: string): Link {
  const hash = text.indexOf('/#');
  if (hash < 0) throw bad('it is a web address without "/#" and what follows it; copy all of it');
  const origin = text.slice(0, hash);
  let url;
  try {
    url = new URL(origin);
  } catch (cause) {
    throw new ShoalError('bad-link', 'cannot read link: the web address in front of "/#" is not valid', { cause });
  }
  if (url.origin !== origin) throw bad('in front of "/#" there may only be the name of a server');
  const isLoopback = ['localhost', '[::1]'].includes(url.hostname) || /^127(\.\d{1,3}){3}$/.test(url.hostname);
  if (url.protocol !== 'https:' && !isLoopback) throw bad('a web link needs https');
  const link = parseBody(text.slice(hash + 2));
  const own: Hint = { kind: 'relay', text: url.host, host: url.hostname, ...(url.port === '' ? {} : { port: Number(url.port) }) };
  return { ...link, origin, hints: [own, ...link.hints] };
}

function parseBody(body: string): Link {
  const at = body.indexOf('@');
  const main = at < 0 ? body : body.slice(0, at);
  const hints = at < 0 ? [] : parseHints(body.slice(at + 1));
  const dot = main.indexOf('.');
  const idText = dot < 0 ? main : main.slice(0, dot);
  const problem = idProblem(idText);
  if (problem !== undefined) throw bad(problem);
  const id = parseId(idText);
  if (dot < 0) return { id, hints };
  return { id, key: parseKey(main.slice(dot + 1)), hints };
}

function parseKey(text: string): FileKey {
  if (text === '') throw bad('its key is missing: nothing follows the dot');
  const wrong = text.search(/[^A-Za-z0-9_-]/);
  if (wrong >= 0) throw bad(`character ${wrong + 1} of its key can not stand in a key`);
  if (text.length < KEY_CHARS) throw bad(`it is cut short: its key has ${text.length} of ${KEY_CHARS} characters`);
  if (text.length > KEY_CHARS) throw bad(`its key has ${text.length} characters instead of ${KEY_CHARS}`);
  const bytes = decodeKey(text);
  if (bytes === undefined) throw bad('the last character of its key is wrong');
  return fileKey(bytes);
}

/** Undefined where unused low bits are not zero. */
function decodeKey(text: string): Uint8Array | undefined {
  try {
    const bytes = base64url.baseDecode(text);
    return bytes.length === FILE_KEY_BYTES && base64url.baseEncode(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}

function parseHints(text: string): Hint[] {
  const hints = text.split(',');
  if (hints.length > MAX_LINK_HINTS) throw bad(`it has ${hints.length} hints, at most ${MAX_LINK_HINTS} are allowed`);
  if (hints.includes('')) throw bad('a hint behind the @ is empty');
  return hints.map(parseHint);
}

/** The `shoal:` form of a link. */
export function formatLink(link: Pick<Link, 'id' | 'key' | 'hints'>): string {
  const key = link.key === undefined ? '' : `.${base64url.baseEncode(link.key)}`;
  const hints = link.hints.length === 0 ? '' : `@${link.hints.map(hint => hint.text).join(',')}`;
  return `${SCHEME}${link.id}${key}${hints}`;
}

function bad(why: string): ShoalError {
  return new ShoalError('bad-link', `cannot read link: ${why}`);
}
