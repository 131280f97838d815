/**
 * The messages of `/shoal/notice/1.0.0` (docs/protocol.md): the owner's withdrawal, delivered to who holds what it names.
 * One notice a channel.
 */
import { ShoalError } from '../errors.ts';
import { bytesField, decode, fieldsOf } from '../format/canonical.ts';
import { MAX_BLOCK_BYTES } from '../limits.ts';
import { encodeHeader, guarded, typeOf, unknownType } from './headers.ts';

export const NOTICE_PROTOCOL = '/shoal/notice/1.0.0';

/** The signed withdrawal; the body is the block that it names. */
export interface Notice {
  readonly type: 'withdrawal';
  readonly statement: Uint8Array;
}

/** `obeyed`: what it names is not served here any more; `dropped`: it was not held here, or the statement does not hold. */
export interface NoticeAnswer {
  readonly type: 'obeyed' | 'dropped';
}

export function encodeNoticeMessage(message: Notice | NoticeAnswer): Uint8Array {
  return encodeHeader(message);
}

/** @throws ShoalError `protocol` */
export function decodeNotice(header: Uint8Array, bodyBytes: number): Notice {
  return guarded(() => {
    const value = decode(header, 'message');
    if (typeOf(value) !== 'withdrawal') throw unknownType();
    if (bodyBytes === 0 || bodyBytes > MAX_BLOCK_BYTES)
      throw new ShoalError('protocol', 'cannot read message: the block that a withdrawal names stands behind it');
    const fields = fieldsOf(value, 'withdrawal', ['type', 'statement']);
    return { type: 'withdrawal', statement: bytesField(fields, 'statement', 'withdrawal') };
  });
}

/** @throws ShoalError `protocol` */
export function decodeNoticeAnswer(header: Uint8Array, bodyBytes: number): NoticeAnswer {
  return guarded(() => {
    const value = decode(header, 'message');
    const type = typeOf(value);
    if (type !== 'obeyed' && type !== 'dropped') throw unknownType();
    fieldsOf(value, type, ['type']);
    if (bodyBytes !== 0) throw new ShoalError('protocol', 'cannot read message: nothing stands behind an answer');
    return { type };
  });
}
