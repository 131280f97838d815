/**
 * The messages of `/shoal/store/1.0.0` (docs/protocol.md): a share is to be kept by a relay under a lease. One request a
 * channel. Blocks do not travel here: the relay gets them from who asks by `/shoal/chunks/1.0.0`, like anybody who wants a
 * share, so that an upload resumes, is checked and is held to a credit just like a fetch.
 */
import { ShoalError } from '../errors.ts';
import { decode, fieldsOf, textField, uintField, type Fields } from '../format/canonical.ts';
import { MAX_BLOCK_BYTES, MAX_NOTE_BYTES } from '../limits.ts';
import { encodeHeader, guarded, typeOf, unknownType } from './headers.ts';

export const STORE_PROTOCOL = '/shoal/store/1.0.0';

/** From who wants something kept. */
export type StoreRequest =
  /** Keep a share until then (Unix seconds); the body is its share block. */
  | { readonly type: 'ask'; readonly until: number }
  /** Keep it longer; the body is the owner's renewal. */
  | { readonly type: 'renew' }
  /** Keep a grant as long as its share; the body is the grant block. */
  | { readonly type: 'grant' };

/** From the relay. */
export type StoreAnswer =
  /** To `ask`: the share would be kept until then, and is being fetched from who asked. */
  | { readonly type: 'accept'; readonly until: number }
  /** Now and then while that is done: bytes of chunks that are there. */
  | { readonly type: 'moved'; readonly bytes: number }
  /** To `ask` in the end, and to `renew`; the body is the signed receipt. */
  | { readonly type: 'receipt' }
  /** To `grant`. */
  | { readonly type: 'stored' }
  | ({ readonly type: 'refuse' } & StoreRefusal);

/** Why a relay does not keep something, or not for so long. `retryAfter` is in seconds. */
export interface StoreRefusal {
  readonly reason: (typeof STORE_REFUSALS)[number];
  readonly detail?: string;
  readonly retryAfter?: number;
}

export const STORE_REFUSALS = [
  /** A limit of the relay, or of who asks. */
  'over-limit',
  /** Its disk fills. */
  'full',
  /** The same is being kept for somebody else just now. */
  'busy',
  'expired',
  'withdrawn',
  'blocked',
  /** What came is no share block, grant or statement that it could keep or obey. */
  'invalid',
  /** What a renewal or grant is for is not kept here. */
  'unknown',
  /** The blocks did not all come. */
  'incomplete',
] as const;

export function encodeStoreMessage(message: StoreRequest | StoreAnswer): Uint8Array {
  return encodeHeader(message);
}

/** @throws ShoalError `protocol` */
export function decodeStoreRequest(header: Uint8Array, bodyBytes: number): StoreRequest {
  return guarded(() => {
    const value = decode(header, 'message');
    checkBody(bodyBytes, true);
    switch (typeOf(value)) {
      case 'ask':
        return { type: 'ask', until: uintField(fieldsOf(value, 'ask', ['type', 'until']), 'until', 'ask') };
      case 'renew':
        fieldsOf(value, 'renew', ['type']);
        return { type: 'renew' };
      case 'grant':
        fieldsOf(value, 'grant', ['type']);
        return { type: 'grant' };
      default:
        throw unknownType();
    }
  });
}

/** @throws ShoalError `protocol` */
export function decodeStoreAnswer(header: Uint8Array, bodyBytes: number): StoreAnswer {
  return guarded(() => {
    const value = decode(header, 'message');
    const type = typeOf(value);
    checkBody(bodyBytes, type === 'receipt');
    switch (type) {
      case 'accept':
        return { type, until: uintField(fieldsOf(value, 'accept', ['type', 'until']), 'until', 'accept') };
      case 'moved':
        return { type, bytes: uintField(fieldsOf(value, 'moved', ['type', 'bytes']), 'bytes', 'moved') };
      case 'receipt':
      case 'stored':
        fieldsOf(value, type, ['type']);
        return { type };
      case 'refuse':
        return { type, ...refusalOf(fieldsOf(value, 'refuse', ['type', 'reason'], ['detail', 'retryAfter'])) };
      default:
        throw unknownType();
    }
  });
}

function refusalOf(fields: Fields): StoreRefusal {
  const reason = STORE_REFUSALS.find(known => known === fields['reason']);
  if (reason === undefined)
    throw new ShoalError('protocol', 'cannot read message: the reason of the refusal is unknown');
  const detail = 'detail' in fields ? textField(fields, 'detail', 'refuse') : undefined;
  if (detail !== undefined && detail.length > MAX_NOTE_BYTES)
    throw new ShoalError('protocol', 'cannot read message: the detail of the refusal is too long');
  return {
    reason,
    ...(detail === undefined ? {} : { detail }),
    ...('retryAfter' in fields ? { retryAfter: uintField(fields, 'retryAfter', 'refuse') } : {}),
  };
}

/** Bytes of a block or a statement stand behind a message that is about one, and behind no other. */
function checkBody(bodyBytes: number, isWanted: boolean): void {
  if (bodyBytes > MAX_BLOCK_BYTES || bodyBytes > 0 !== isWanted)
    throw new ShoalError('protocol', `cannot read message: ${bodyBytes} bytes behind it are not what belongs there`);
}
