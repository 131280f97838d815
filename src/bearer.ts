/**
 * Who may ask an HTTP listener on an address of this machine's own: who has its token, under a name that is this machine's
 * (DNS rebinding), and no page but of origins that are named.
 */
import { sameBytes, sha256 } from './format/ids.ts';

/** Of a request; as Node gives them. */
interface Headers {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
  readonly authorization?: string | undefined;
}

export interface BearerGate {
  /** `host:port`, in lower case, under which the listener may be asked. */
  readonly hosts: readonly string[];
  /** `host:port` of pages that may ask. */
  readonly origins: readonly string[];
  readonly token: string;
  /** What is said to a page that may not ask, and of the token to who has none. */
  readonly pages: string;
  readonly which: string;
}

/** Why a request is refused, with its status; undefined for one that is not. */
export function bearerRefusal(
  { host = '', origin, authorization = '' }: Headers,
  { hosts, origins, token, pages, which }: BearerGate,
): { readonly status: 401 | 403; readonly message: string } | undefined {
  if (!hosts.includes(host.toLowerCase())) return { status: 403, message: 'refused: the host is not this one' };
  if (origin !== undefined && !origins.includes(origin.toLowerCase().replace(/^http:\/\//, '')))
    return { status: 403, message: `refused: ${pages}` };
  const [scheme = '', given = ''] = authorization.split(' ');
  if (scheme.toLowerCase() === 'bearer' && isSame(given, token)) return undefined;
  return { status: 401, message: `refused: give ${which} (Authorization: Bearer)` };
}

const utf8 = new TextEncoder();

/** Compared in a time that does not tell how much of it is right. */
function isSame(given: string, token: string): boolean {
  return sameBytes(sha256(utf8.encode(given)), sha256(utf8.encode(token)));
}
