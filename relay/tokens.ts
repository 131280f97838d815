/**
 * Invite tokens: what a relay has promised to whoever holds one, as a text. They are signed by the relay's own key, and good
 * there only. A token is a secret: who has it, is let in.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { bytesField, decodeTyped, encode, fieldsOf, textField, uintField } from '../src/format/canonical.ts';
import { isShoalError, ShoalError } from '../src/errors.ts';
import { MAX_TOKEN_CHARS } from '../src/limits.ts';

/** What a token says. */
export interface Token {
  /** 16 hex digits; tells tokens of one relay apart, and is no secret. */
  readonly id: string;
  /** What all holders together may store, in bytes, and for how long, in seconds; as the relay has it for all tokens where absent. */
  readonly storedBytes?: number;
  readonly leaseSeconds?: number;
  /** Unix seconds: from then on it is worth nothing. */
  readonly until: number;
}

const PREFIX = 'shoaltoken.';
export const TOKEN_ID_BYTES = 8;
const TOKEN_ID = /^[0-9a-f]{16}$/;
const SIGNATURE_BYTES = 64;
/** In front of what is signed, so that no signature over anything else is one of a token. */
const DOMAIN = 'shoal/1/token';

/** Signs a token. @param seed of the relay's Ed25519 key: 32 bytes */
export function tokenText(token: Token, seed: Uint8Array): string {
  const signature = ed25519.sign(signedBytes(token), seed);
  return PREFIX + Buffer.from(encode({ ...bodyOf(token), signature })).toString('base64url');
}

/**
 * Reads a token that the relay itself has signed; whether it still holds, its list and the clock know.
 * @param publicKey of the relay: 32 bytes
 * @throws ShoalError `malformed` for what is no token; `unsupported`; `wrong-key` where another relay, or nobody, signed it
 */
export function readToken(text: string, publicKey: Uint8Array): Token {
  const { token, signature } = parseToken(text);
  // RFC 8032, strict: canonical encodings only, no key of small order.
  if (ed25519.verify(signature, signedBytes(token), publicKey, { zip215: false })) return token;
  throw new ShoalError(
    'wrong-key',
    'cannot accept the token: this relay has not signed it; it is of another relay, or forged',
  );
}

/** The relay's public key: 32 bytes. */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  return ed25519.getPublicKey(seed);
}

/** The id in a text, which may be a token or an id; undefined where it is neither. Nothing is verified. */
export function tokenIdIn(text: string): string | undefined {
  if (TOKEN_ID.test(text)) return text;
  try {
    return parseToken(text).token.id;
  } catch (error) {
    if (isShoalError(error)) return undefined;
    throw error;
  }
}

/** `text` without what could be a token. */
export function withoutTokens(text: string): string {
  return text.replaceAll(/shoaltoken\.[\w-]*…?/gi, 'TOKEN');
}

/** @throws ShoalError `malformed`, `unsupported` */
function parseToken(text: string): { readonly token: Token; readonly signature: Uint8Array } {
  const what = 'token';
  if (text.length > MAX_TOKEN_CHARS) throw unreadable('it is too long');
  const code = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : undefined;
  if (code === undefined) throw unreadable(`it does not begin with "${PREFIX}"; copy all of it`);
  const bytes = Buffer.from(code, 'base64url');
  if (bytes.toString('base64url') !== code) throw unreadable('a character in it does not belong there; copy all of it');
  const optional = ['storedBytes', 'leaseSeconds'];
  const required = ['type', 'version', 'id', 'until', 'signature'];
  const fields = fieldsOf(decodeTyped(Uint8Array.from(bytes), what, 'token'), what, required, optional);
  const id = textField(fields, 'id', what);
  if (!TOKEN_ID.test(id)) throw unreadable('its id is none');
  const quota = (key: string): object => (key in fields ? { [key]: uintField(fields, key, what) } : {});
  const token = { id, until: uintField(fields, 'until', what), ...quota('storedBytes'), ...quota('leaseSeconds') };
  return { token, signature: bytesField(fields, 'signature', what, SIGNATURE_BYTES) };
}

function unreadable(why: string): ShoalError {
  return new ShoalError('malformed', `cannot read the token: ${why}`);
}

function bodyOf({ id, until, storedBytes, leaseSeconds }: Token): Record<string, unknown> {
  return {
    type: 'token',
    version: 1,
    id,
    until,
    ...(storedBytes === undefined ? {} : { storedBytes }),
    ...(leaseSeconds === undefined ? {} : { leaseSeconds }),
  };
}

function signedBytes(token: Token): Uint8Array {
  return Buffer.concat([Buffer.from(DOMAIN), encode(bodyOf(token))]);
}
