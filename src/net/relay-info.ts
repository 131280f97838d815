/**
 * Asks a relay for what it tells of itself. Whose word the address is matters: what the user gave may lead anywhere; what
 * stands in a link is a stranger's, and must not make this machine knock at its own doors or its neighbours'. So names are
 * looked up here, and what is dialled is the very addresses that were looked at.
 */
import type { LookupAddress } from 'node:dns';
import { lookup as lookUp } from 'node:dns/promises';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';
import { isShoalError, ShoalError } from '../errors.ts';
import { quoted } from '../format/quoted.ts';
import { MAX_RELAY_INFO_BYTES, RELAY_INFO_TIMEOUT_MS } from '../limits.ts';
import { readRelayInfo, RELAY_INFO_PATH, type RelayInfo } from '../protocol/relay-info.ts';
import { placeOf, type Place } from './gater.ts';

export interface RelayInfoOptions {
  /** The address is a stranger's word, as that of a link: it is only followed to public addresses. */
  readonly stranger: boolean;
  readonly signal?: AbortSignal;
  /** Certificates (PEM) of authorities that are trusted, in place of the system's. */
  readonly authorities?: string;
  readonly timeoutMs?: number;
  /** Told what the relay takes the time to be, in Unix seconds, where it says that. */
  readonly onDate?: (unixSeconds: number) => void;
  /** All addresses of a name. */
  readonly resolve?: (name: string) => Promise<readonly LookupAddress[]>;
}

/**
 * @param relay `host`, `host:port`, or an origin. It is asked over HTTPS; over HTTP only at addresses of this machine's own
 * @throws ShoalError `usage` when `relay` is no such thing; `not-found` when nobody answers there, or it is not for a
 *   stranger to name; `unavailable` when it has no time; `protocol`, `unsupported` when what answers is no relay's document;
 *   `interrupted`
 */
export async function fetchRelayInfo(relay: string, options: RelayInfoOptions): Promise<RelayInfo> {
  const { stranger, signal, authorities, timeoutMs = RELAY_INFO_TIMEOUT_MS, resolve = resolveName } = options;
  const origin = originOf(relay);
  const asked: Asked = { relay, stranger, plain: origin.protocol === 'http:', resolve };
  const host = hostOf(origin);
  if (isIP(host) !== 0) checkAddress(host, asked);
  const late = AbortSignal.timeout(timeoutMs);
  const request: Request = {
    // A connection of its own, to addresses that were looked at for this request.
    agent: false,
    lookup: lookupFor(asked),
    headers: { accept: 'application/json', 'user-agent': 'shoal' },
    signal: signal === undefined ? late : AbortSignal.any([signal, late]),
    ...(authorities === undefined ? {} : { ca: authorities }),
  };
  try {
    const response = await answerTo(new URL(RELAY_INFO_PATH, origin), request);
    try {
      checkAnswer(response, asked);
      const document = documentOf(await bodyOf(response, asked), asked);
      const info = readRelayInfo(document, nameOf(asked));
      const dateMs = Date.parse(response.headers.date ?? '');
      if (!Number.isNaN(dateMs)) options.onDate?.(dateMs / 1000);
      return info;
    } finally {
      response.destroy();
    }
  } catch (error) {
    if (signal?.aborted) throw new ShoalError('interrupted', `stopped asking ${nameOf(asked)}`, { cause: error });
    if (late.aborted) throw notFound(asked, `it did not answer within ${timeoutMs / 1000} s; try again later`, error);
    throw failureOf(error, asked);
  }
}

type Request = RequestOptions & { readonly ca?: string };

/** Who is asked, and what that allows. */
interface Asked {
  /** As it was given. */
  readonly relay: string;
  readonly stranger: boolean;
  /** Over HTTP. */
  readonly plain: boolean;
  readonly resolve: (name: string) => Promise<readonly LookupAddress[]>;
}

function originOf(relay: string): URL {
  const hasScheme = /^https?:\/\//i.test(relay);
  const text = hasScheme ? relay : `https://${relay}`;
  const wrong = (why: string): ShoalError => {
    // What stands before an "@" may be a password.
    const shown = quoted(relay.replace(/^.*@/s, '…@'));
    const how = 'give it like relay.example.org or relay.example.org:8443';
    return new ShoalError('usage', `cannot ask the relay ${shown}: ${why}; ${how}`);
  };
  if (!URL.canParse(text) || /[\s\\]/.test(relay)) throw wrong('it is neither host:port nor an origin');
  const url = new URL(text);
  if (url.href !== `${url.origin}/`) throw wrong('there is more in it than a host and a port');
  const own = isOwn(hostOf(url));
  if (hasScheme && url.protocol === 'http:' && !own)
    throw wrong(
      'http:// is only for addresses of this machine itself, since anyone on the way could change what is read',
    );
  // There is nobody on the way, and no certificate for such names.
  return !hasScheme && own ? new URL(`http://${relay}`) : url;
}

function isOwn(host: string): boolean {
  return host === 'localhost' || (isIP(host) !== 0 && placeOfIp(host) === 'loopback');
}

/** Without the brackets of an IPv6 address. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

function placeOfIp(address: string): Place {
  const plain = address.replace(/%.*$/, '');
  return placeOf(multiaddr(`/ip${isIP(plain) === 6 ? 6 : 4}/${plain}`));
}

/** @throws ShoalError `not-found` when `address` is not to be dialled */
function checkAddress(address: string, asked: Asked): void {
  const place = placeOfIp(address);
  if (place === 'never') throw notFound(asked, 'it leads to an address at which nobody can be; is the name right?');
  if (asked.plain && place !== 'loopback')
    throw notFound(asked, 'its name leads to another machine, which is not asked over http://; give it with https://');
  if (asked.stranger && place !== 'public')
    throw notFound(
      asked,
      'it leads into a network that is not public, where links of others do not lead this program; if you trust it, give the relay yourself',
    );
}

/** Looks a name up, and refuses it as a whole where one of its addresses is not to be dialled. */
function lookupFor(asked: Asked): LookupFunction {
  return (name, { all }, callback) => {
    const look = async (): Promise<readonly [LookupAddress, ...LookupAddress[]]> => {
      const [first, ...others] = await asked.resolve(name);
      if (first === undefined) throw notFound(asked, 'its name leads nowhere; is it right?');
      for (const { address } of [first, ...others]) checkAddress(address, asked);
      return [first, ...others];
    };
    look().then(
      found => (all === true ? callback(null, [...found]) : callback(null, found[0].address, found[0].family)),
      (error: unknown) => callback(error as Error, ''),
    );
  };
}

function resolveName(name: string): Promise<LookupAddress[]> {
  return lookUp(name, { all: true });
}

/** The head of the answer. */
async function answerTo(url: URL, request: Request): Promise<IncomingMessage> {
  const asking = url.protocol === 'http:' ? httpRequest(url, request) : httpsRequest(url, request);
  asking.end();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  // What goes wrong from here on, who reads the body is told.
  asking.on('error', () => undefined);
  return response;
}

/** @throws ShoalError when there is no document to be read behind this head */
function checkAnswer({ statusCode = 0, headers }: IncomingMessage, asked: Asked): void {
  if (statusCode === 429 || statusCode === 503) {
    const seconds = /^\d{1,5}$/.exec(headers['retry-after'] ?? '')?.[0];
    const when = seconds === undefined ? 'later' : `in ${seconds} s`;
    throw new ShoalError('unavailable', `cannot ask ${nameOf(asked)}: it has no time now; try again ${when}`);
  }
  if (statusCode >= 300 && statusCode < 400)
    throw notARelay(asked, 'it sends to another address, which is not followed');
  if (statusCode !== 200) throw notARelay(asked, `it answers with the status ${statusCode}`);
  const type = (headers['content-type'] ?? '').replace(/;.*$/s, '').trim().toLowerCase();
  if (type !== 'application/json') throw notARelay(asked, 'it answers with something else than JSON');
  if ((headers['content-encoding'] ?? 'identity') !== 'identity')
    throw notARelay(asked, 'it answers in an encoding that it was not asked for');
  if (Number(headers['content-length'] ?? 0) > MAX_RELAY_INFO_BYTES) throw tooLong(asked);
}

async function bodyOf(response: IncomingMessage, asked: Asked): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of response as AsyncIterable<Uint8Array>) {
    sizeBytes += piece.length;
    if (sizeBytes > MAX_RELAY_INFO_BYTES) throw tooLong(asked);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function documentOf(body: Uint8Array, asked: Asked): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw notARelay(asked, 'what it answers with is no JSON', cause);
  }
}

function tooLong(asked: Asked): ShoalError {
  return notARelay(asked, `it answers with more than ${MAX_RELAY_INFO_BYTES} bytes`);
}

function failureOf(error: unknown, asked: Asked): ShoalError {
  if (isShoalError(error)) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOTFOUND':
    case 'ENODATA':
      return notFound(asked, 'there is no such name; is it right?', error);
    case 'EAI_AGAIN':
      return notFound(asked, 'its name can not be looked up now; is this machine online?', error);
    case 'ECONNREFUSED':
      return notFound(asked, 'nobody listens there; is the port right, and does the relay run?', error);
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return notFound(asked, 'no way leads there; is this machine online?', error);
    case 'ECONNRESET':
    case 'EPIPE':
      return notFound(asked, 'it hung up before it had answered; try again later', error);
    case 'ETIMEDOUT':
      return notFound(asked, 'nobody answers there; is the port right, and does the relay run?', error);
  }
  if (/CERT|SELF_SIGNED|ISSUER|VERIFY/.test(code))
    return new ShoalError(
      'protocol',
      `cannot ask ${nameOf(asked)}: its certificate can not be trusted (${code}); ask its operator, and do look whether this machine's clock is right`,
      { cause: error },
    );
  if (/^(EPROTO$|ERR_SSL_|ERR_TLS_)/.test(code)) return notARelay(asked, 'it does not speak TLS as it should', error);
  if (code.startsWith('HPE_')) return notARelay(asked, 'it does not speak HTTP as it should', error);
  return notFound(asked, `asking failed (${code || 'for an unknown reason'}); try again later`, error);
}

function nameOf({ relay }: Asked): string {
  return `the relay ${quoted(relay)}`;
}

function notFound(asked: Asked, why: string, cause?: unknown): ShoalError {
  return new ShoalError('not-found', `cannot ask ${nameOf(asked)}: ${why}`, { cause });
}

function notARelay(asked: Asked, why: string, cause?: unknown): ShoalError {
  return new ShoalError('protocol', `cannot ask ${nameOf(asked)}: ${why}; is it the address of a relay?`, { cause });
}
