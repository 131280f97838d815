/** Links as text (format.md §8). */
import { base64url } from 'multiformats/bases/base64';
import { ShoalError, isShoalError } from '../errors.ts';
import { MAX_LINK_CHARS, MAX_LINK_HINTS } from '../limits.ts';
import { isHost, parseHint, parsePort, type Hint } from './hint.ts';
import { idProblem, parseId, type BlockId } from './ids.ts';
import { FILE_KEY_BYTES, fileKey, type FileKey } from './keys.ts';
import { quoted } from './quoted.ts';

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
/** What most often helps, at the end of a sentence. */
const COPY_AGAIN = '; copy all of it again';

/** What people and programs put around a link, and no link begins or ends with, besides white space. */
const BEFORE = '<("\'`[{«“‘„';
const BEHIND = '>)"\'`]}»”’.,;!?';

/**
 * Reads a link as people paste it: white space, brackets, quotes and the marks of a sentence around it do not matter.
 * @throws ShoalError `bad-link` that names what is wrong, and never shows the key
 */
export function parseLink(pasted: string): Link {
  const text = unwrapped(pasted);
  if (text === '') throw bad('it is empty');
  if (text.length > MAX_LINK_CHARS)
    throw bad(`it has ${text.length} characters, at most ${MAX_LINK_CHARS} are allowed; give the link alone`);
  if (text.startsWith(SCHEME)) return parseBody(text, SCHEME.length);
  if (/^https?:\/\//.test(text)) return parseWeb(text);
  if (text.toLowerCase().startsWith(SCHEME))
    throw bad('its "shoal:" is not in lower case; write it so, and look whether the rest was changed too');
  if (text.includes(SCHEME)) throw bad('something stands before "shoal:"; leave that out');
  throw bad('it begins neither with "shoal:" nor with "https://"; copy all of it');
}

function unwrapped(text: string): string {
  const isAround = (marks: string, character = 'x'): boolean => marks.includes(character) || /\s/.test(character);
  let start = 0;
  while (isAround(BEFORE, text[start])) start++;
  let end = text.length;
  while (end > start && isAround(BEHIND, text[end - 1])) end--;
  // Behind an id alone a dot may be what is left of a key.
  const isCut = text[end] === '.' && /^[a-z2-7]*$/.test(text.slice(idStart(text, start), end));
  return text.slice(start, isCut ? end + 1 : end);
}

function idStart(text: string, start: number): number {
  const hash = text.indexOf('/#', start);
  return hash < 0 ? start + SCHEME.length : hash + 2;
}

function parseWeb(text: string): Link {
  const hash = text.indexOf('/#');
  if (hash < 0) throw bad('it is a web address without "/#" and what follows it; copy all of it');
  const origin = text.slice(0, hash);
  const link = parseBody(text, hash + 2);
  return { ...link, origin, hints: [originHint(origin), ...link.hints] };
}

/** The server of a web link, as the hint that it is. Its name is held to what can stand in a link. */
function originHint(origin: string): Hint {
  const [, scheme, name, port] = /^(https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]+))?$/.exec(origin) ?? [];
  if (scheme === undefined || name === undefined)
    throw bad('in front of "/#" there may only be the name of a server, in lower case');
  if (!name.startsWith('[') && !isHost(name))
    throw bad(`${quoted(name)} is not the name or the IPv4 address of a server`);
  if (scheme === 'http' && !isLoopback(name)) throw bad('a web link needs https');
  const text = port === undefined ? name : `${name}:${port}`;
  const number = port === undefined ? (scheme === 'http' ? 80 : undefined) : parsePort(port, text);
  return { kind: 'relay', text, host: name, ...(number === undefined ? {} : { port: number }) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(?:\.[0-9]+){3}$/.test(host);
}

/** What is behind the scheme or origin: from `start` on, which errors count positions by. */
function parseBody(text: string, start: number): Link {
  const at = text.indexOf('@', start);
  const main = at < 0 ? text.slice(start) : text.slice(start, at);
  const dot = main.indexOf('.');
  const idText = dot < 0 ? main : main.slice(0, dot);
  const problem = idProblem(idText, start);
  if (problem !== undefined) throw bad(problem + COPY_AGAIN);
  const hints = at < 0 ? [] : parseHints(text.slice(at + 1));
  const id = parseId(idText);
  return dot < 0 ? { id, hints } : { id, key: parseKey(main.slice(dot + 1), start + dot + 1), hints };
}

function parseKey(text: string, start: number): FileKey {
  if (text === '') throw bad(`its key is missing: nothing follows the dot${COPY_AGAIN}`);
  const wrong = text.search(/[^A-Za-z0-9_-]/);
  if (wrong === KEY_CHARS)
    throw bad(`something stands behind its key, from position ${start + wrong + 1} on; leave that out`);
  if (wrong >= 0) throw bad(`the character at position ${start + wrong + 1} does not belong in a key${COPY_AGAIN}`);
  if (text.length < KEY_CHARS)
    throw bad(`it is cut short: its key has ${text.length} of ${KEY_CHARS} characters${COPY_AGAIN}`);
  if (text.length > KEY_CHARS) throw bad(`its key has ${text.length} characters instead of ${KEY_CHARS}${COPY_AGAIN}`);
  const bytes = decodeKey(text);
  if (bytes === undefined) throw bad(`the last character of its key is wrong${COPY_AGAIN}`);
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
  if (hints.includes('')) throw bad(`a hint behind the @ is empty${COPY_AGAIN}`);
  return hints.map((hint, n) => {
    try {
      return parseHint(hint);
    } catch (error) {
      if (!isShoalError(error)) throw error;
      // Neither its text nor the cause: who puts the parts of a link together wrongly has the key there.
      throw bad(`hint ${n + 1} is neither a multiaddr that ends in /p2p/… nor the host[:port] of a relay${COPY_AGAIN}`);
    }
  });
}

/** The `shoal:` form of a link. A relay named by an IPv6 address, which only a web link can have, is left out. */
export function formatLink(link: Pick<Link, 'id' | 'key' | 'hints'>): string {
  const key = link.key === undefined ? '' : `.${base64url.baseEncode(link.key)}`;
  const texts = link.hints.map(hint => hint.text).filter(text => !text.startsWith('['));
  const hints = texts.length === 0 ? '' : `@${texts.slice(0, MAX_LINK_HINTS).join(',')}`;
  return `${SCHEME}${link.id}${key}${hints}`;
}

function bad(why: string): ShoalError {
  return new ShoalError('bad-link', `cannot read link: ${why}`);
}
