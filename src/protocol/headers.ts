/** What the headers of all protocols have in common: canonical dag-cbor maps with a `type` (docs/protocol.md). */
import { ShoalError } from '../errors.ts';
import { encode, type Fields } from '../format/canonical.ts';

/** A header; undefined entries are left out. */
export function encodeHeader(message: { readonly type: string }): Uint8Array {
  return encode(Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)));
}

/** What breaks the encoding breaks the protocol. */
export function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ShoalError && error.code === 'malformed')
      throw new ShoalError('protocol', error.message, { cause: error });
    throw error;
  }
}

export function typeOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (value as Fields)['type'] : undefined;
}

export function unknownType(): ShoalError {
  return new ShoalError('protocol', 'cannot read message: its type is unknown; the other side may be a newer program');
}
