/**
 * The messages of `/shoal/chunks/1.0.0` (protocol.md): a small canonical dag-cbor header each, bytes of blocks behind it.
 *
 * Goals: every message means one thing, is bounded, and is checked completely before any of it is used.
 * Non-goals: extension in place; what is not listed here ends the channel, and a newer protocol has a newer name.
 */
import { ShoalError } from '../errors.ts';
import {
  arrayField,
  bytesField,
  decode,
  fieldsOf,
  flagField,
  textField,
  uintField,
  type Fields,
} from '../format/canonical.ts';
import { CID_BYTES, DIGEST_BYTES } from '../format/ids.ts';
import { MAX_BLOCK_BYTES, MAX_NOTE_BYTES } from '../limits.ts';
import type { Refusal, StreamName } from '../ports.ts';
import { encodeHeader, guarded, typeOf, unknownType } from './headers.ts';
import { checkRanges, type Ranges } from './ranges.ts';

export const CHUNKS_PROTOCOL = '/shoal/chunks/1.0.0';

/** What a server has: everything, or these chunks of each stream. */
export type Have = 'all' | { readonly manifest: Ranges; readonly data: Ranges };

/** Which blocks a message is about. */
export interface Blocks {
  readonly kind: 'chunk' | 'index';
  readonly stream: StreamName;
  readonly ranges: Ranges;
}

/** From who wants a share. */
export type AskerMessage =
  /** The first message: the binary rendezvous CID of the id for a day, and the proof of knowing the id. */
  | { readonly type: 'hello'; readonly key: Uint8Array; readonly proof: Uint8Array }
  | ({ readonly type: 'get' } & Blocks)
  | ({ readonly type: 'cancel' } & Blocks)
  /** The asker is done; `complete` when it has all it wanted. */
  | { readonly type: 'bye'; readonly complete?: true };

/** From who serves it. */
export type ServerMessage =
  /** Before the hello, where a grant was asked for: the body is the grant block, and the hello is about the share that it names. */
  | { readonly type: 'grant' }
  /** The answer to a hello; the body is the share block, the server's own proof. `credit` is in bytes. */
  | { readonly type: 'hello'; readonly have: Have; readonly credit: number }
  | ({ readonly type: 'refuse' } & WireRefusal)
  /** One block; the body is its bytes. */
  | { readonly type: 'block'; readonly kind: 'chunk' | 'index'; readonly stream: StreamName; readonly index: number }
  /** Blocks that were asked for and can't be given. */
  | ({ readonly type: 'lacks' } & Blocks)
  /** Chunks that the server gained. */
  | { readonly type: 'have'; readonly stream: StreamName; readonly ranges: Ranges };

/** A refusal on the wire; `unknown` also answers a wrong proof. `retryAfter` is in seconds. */
export interface WireRefusal {
  readonly reason: Refusal['reason'] | 'unknown';
  readonly detail?: string;
  readonly until?: number;
  readonly retryAfter?: number;
  /** With `withdrawn`: the owner's signed statement; the body is the block that it names. */
  readonly statement?: Uint8Array;
}

const REFUSALS: readonly WireRefusal['reason'][] = [
  'unknown',
  'blocked',
  'withdrawn',
  'expired',
  'changed',
  'busy',
  'over-quota',
];

/** The header of a message. */
export function encodeMessage(message: AskerMessage | ServerMessage): Uint8Array {
  return encodeHeader(message);
}

/** @throws ShoalError `protocol` */
export function decodeAskerMessage(header: Uint8Array, bodyBytes: number): AskerMessage {
  return guarded(() => {
    if (bodyBytes !== 0) throw new ShoalError('protocol', 'cannot read message: who asks sends no bytes behind it');
    const value = decode(header, 'message');
    switch (typeOf(value)) {
      case 'hello': {
        const fields = fieldsOf(value, 'hello', ['type', 'key', 'proof']);
        return {
          type: 'hello',
          key: bytesField(fields, 'key', 'hello', CID_BYTES),
          proof: bytesField(fields, 'proof', 'hello', DIGEST_BYTES),
        };
      }
      case 'get':
        return { type: 'get', ...blocksOf(value, 'get') };
      case 'cancel':
        return { type: 'cancel', ...blocksOf(value, 'cancel') };
      case 'bye': {
        const complete = flagField(fieldsOf(value, 'bye', ['type'], ['complete']), 'complete', 'bye');
        return complete === true ? { type: 'bye', complete } : { type: 'bye' };
      }
      default:
        throw unknownType();
    }
  });
}

const WITH_BODY: readonly ServerMessage['type'][] = ['grant', 'hello', 'block', 'refuse'];

/** @throws ShoalError `protocol` */
export function decodeServerMessage(header: Uint8Array, bodyBytes: number): ServerMessage {
  return guarded(() => {
    const value = decode(header, 'message');
    const type = typeOf(value);
    if (bodyBytes > MAX_BLOCK_BYTES || (bodyBytes !== 0 && !WITH_BODY.some(one => one === type))) {
      throw new ShoalError('protocol', `cannot read message: ${bodyBytes} bytes behind it are too many`);
    }
    switch (type) {
      case 'hello': {
        const fields = fieldsOf(value, 'hello', ['type', 'have', 'credit']);
        return { type: 'hello', have: haveOf(fields['have']), credit: uintField(fields, 'credit', 'hello') };
      }
      case 'grant':
        fieldsOf(value, 'grant', ['type']);
        return { type };
      case 'refuse': {
        const fields = fieldsOf(value, 'refuse', ['type', 'reason'], ['detail', 'until', 'retryAfter', 'statement']);
        if ('statement' in fields !== bodyBytes > 0)
          throw new ShoalError('protocol', 'cannot read message: a statement and the block that it names go together');
        return { type: 'refuse', ...refusalOf(fields) };
      }
      case 'block': {
        const fields = fieldsOf(value, 'block', ['type', 'kind', 'stream', 'index']);
        return {
          type: 'block',
          kind: kindOf(fields),
          stream: streamOf(fields),
          index: uintField(fields, 'index', 'block'),
        };
      }
      case 'lacks':
        return { type: 'lacks', ...blocksOf(value, 'lacks') };
      case 'have': {
        const fields = fieldsOf(value, 'have', ['type', 'stream', 'ranges']);
        return { type: 'have', stream: streamOf(fields), ranges: rangesField(fields) };
      }
      default:
        throw unknownType();
    }
  });
}

function blocksOf(value: unknown, what: string): Blocks {
  const fields = fieldsOf(value, what, ['type', 'kind', 'stream', 'ranges']);
  return { kind: kindOf(fields), stream: streamOf(fields), ranges: rangesField(fields) };
}

function kindOf(fields: Fields): 'chunk' | 'index' {
  const kind = textField(fields, 'kind', 'message');
  if (kind !== 'chunk' && kind !== 'index')
    throw new ShoalError('protocol', 'cannot read message: it asks for an unknown kind of block');
  return kind;
}

function streamOf(fields: Fields): StreamName {
  const stream = textField(fields, 'stream', 'message');
  if (stream !== 'manifest' && stream !== 'data')
    throw new ShoalError('protocol', 'cannot read message: it names an unknown stream');
  return stream;
}

/** Ranges checked for their form; the reader holds them against the share's own counts. */
function rangesField(fields: Fields): Ranges {
  return checkRanges(arrayField(fields, 'ranges', 'message'), Number.MAX_SAFE_INTEGER);
}

function haveOf(value: unknown): Have {
  if (value === 'all') return 'all';
  const fields = fieldsOf(value, 'hello', ['manifest', 'data']);
  const rangesOf = (stream: StreamName): Ranges =>
    checkRanges(arrayField(fields, stream, 'hello'), Number.MAX_SAFE_INTEGER);
  return { manifest: rangesOf('manifest'), data: rangesOf('data') };
}

function refusalOf(fields: Fields): WireRefusal {
  const reason = REFUSALS.find(known => known === fields['reason']);
  if (reason === undefined)
    throw new ShoalError('protocol', 'cannot read message: the reason of the refusal is unknown');
  const refusal: { -readonly [key in keyof WireRefusal]: WireRefusal[key] } = { reason };
  if ('detail' in fields) {
    refusal.detail = textField(fields, 'detail', 'refuse');
    if (refusal.detail.length > MAX_NOTE_BYTES)
      throw new ShoalError('protocol', 'cannot read message: the detail of the refusal is too long');
  }
  if ('until' in fields) refusal.until = uintField(fields, 'until', 'refuse');
  if ('statement' in fields) refusal.statement = bytesField(fields, 'statement', 'refuse');
  if ('retryAfter' in fields) refusal.retryAfter = uintField(fields, 'retryAfter', 'refuse');
  return refusal;
}
