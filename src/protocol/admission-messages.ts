/**
 * The messages of `/shoal/admission/1.0.0` (protocol.md): who asks presents a token, and the relay says what that gives.
 * One message each way; a header of canonical dag-cbor, and nothing behind it.
 */
import { ShoalError } from '../errors.ts';
import { decode, fieldsOf, textField, uintField, type Fields } from '../format/canonical.ts';
import { MAX_REFUSAL_CHARS, MAX_TOKEN_CHARS } from '../limits.ts';
import type { Quotas } from './admission.ts';
import { encodeHeader, guarded, typeOf, unknownType } from './headers.ts';

export const ADMISSION_PROTOCOL = '/shoal/admission/1.0.0';

/** A token that is presented, as text: a secret. */
export interface Presented {
  readonly type: 'present';
  readonly token: string;
}

/** What holders of the token have from now on. */
export interface Admitted extends Pick<Quotas, 'tier' | 'storedBytes' | 'leaseSeconds'> {
  readonly type: 'admitted';
  /** When the token expires, in unix seconds. */
  readonly until: number;
}

/** Why the token is not accepted. */
export interface AdmissionRefusal {
  readonly type: 'refuse';
  readonly reason: 'bad-token' | 'expired' | 'revoked' | 'busy';
  /** For people. */
  readonly detail?: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

const TIERS: readonly Admitted['tier'][] = ['anonymous', 'token', 'operator'];
const REASONS: readonly AdmissionRefusal['reason'][] = ['bad-token', 'expired', 'revoked', 'busy'];

export function encodeAdmission(message: Presented | Admitted | AdmissionRefusal): Uint8Array {
  return encodeHeader(message);
}

/** From who asks. @throws ShoalError `protocol` */
export function decodePresented(header: Uint8Array, bodyBytes: number): Presented {
  return guarded(() => {
    const value = valueOf(header, bodyBytes);
    if (typeOf(value) !== 'present') throw unknownType();
    const fields = fieldsOf(value, 'present', ['type', 'token']);
    return { type: 'present', token: shortText(fields, 'token', 'present', MAX_TOKEN_CHARS) };
  });
}

/** From a relay. @throws ShoalError `protocol` */
export function decodeAdmissionAnswer(header: Uint8Array, bodyBytes: number): Admitted | AdmissionRefusal {
  return guarded(() => {
    const value = valueOf(header, bodyBytes);
    switch (typeOf(value)) {
      case 'admitted': {
        const fields = fieldsOf(value, 'admitted', ['type', 'tier', 'until', 'storedBytes', 'leaseSeconds']);
        const uint = (key: string): number => uintField(fields, key, 'admitted');
        const tier = oneOf(fields, 'tier', TIERS);
        const [until, storedBytes, leaseSeconds] = [uint('until'), uint('storedBytes'), uint('leaseSeconds')];
        return { type: 'admitted', tier, until, storedBytes, leaseSeconds };
      }
      case 'refuse': {
        const fields = fieldsOf(value, 'refuse', ['type', 'reason'], ['detail', 'retryAfter']);
        return {
          type: 'refuse',
          reason: oneOf(fields, 'reason', REASONS),
          ...('detail' in fields ? { detail: shortText(fields, 'detail', 'refuse', MAX_REFUSAL_CHARS) } : {}),
          ...('retryAfter' in fields ? { retryAfter: uintField(fields, 'retryAfter', 'refuse') } : {}),
        };
      }
      default:
        throw unknownType();
    }
  });
}

function valueOf(header: Uint8Array, bodyBytes: number): unknown {
  if (bodyBytes !== 0)
    throw new ShoalError('protocol', `cannot read message: ${bodyBytes} bytes behind it are too many`);
  return decode(header, 'message');
}

function shortText(fields: Fields, key: string, what: string, maxChars: number): string {
  const text = textField(fields, key, what);
  if (text.length <= maxChars) return text;
  throw new ShoalError(
    'protocol',
    `cannot read message: its ${key} has ${text.length} characters, and at most ${maxChars} may be`,
  );
}

function oneOf<T extends string>(fields: Fields, key: string, known: readonly T[]): T {
  const found = known.find(one => one === fields[key]);
  if (found !== undefined) return found;
  throw new ShoalError('protocol', `cannot read message: its ${key} is unknown; the other side may be a newer program`);
}
