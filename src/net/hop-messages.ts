/**
 * The messages of circuit relay v2 as a relay reads and writes them: requests over a hop stream, and what it says to the
 * other end over a stop stream. Each is a protobuf behind its length as a varint.
 */
import type { PeerId, PrivateKey, Stream, StreamMessageEvent } from '@libp2p/interface';
import { publicKeyToProtobuf } from '@libp2p/crypto/keys';
import { peerIdFromMultihash } from '@libp2p/peer-id';
import * as Digest from 'multiformats/hashes/digest';
import { reader, writer } from 'protons-runtime';
import { Uint8ArrayList } from 'uint8arraylist';
import { ShoalError } from '../errors.ts';
import { MAX_HOP_BYTES } from '../limits.ts';

export const HOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/hop';
export const STOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/stop';

/** How a request ended. */
export const STATUS = {
  ok: 100,
  reservationRefused: 200,
  resourceLimitExceeded: 201,
  permissionDenied: 202,
  connectionFailed: 203,
  noReservation: 204,
  malformedMessage: 400,
  unexpectedMessage: 401,
} as const;

export type Status = (typeof STATUS)[keyof typeof STATUS];

/** `unexpected`: a message of another kind. */
export type HopRequest =
  { readonly kind: 'reserve' | 'unexpected' } | { readonly kind: 'connect'; readonly to: PeerId };

/** What one circuit may carry, both directions together, and for how long it may last. */
export interface CircuitLimit {
  readonly seconds: number;
  readonly bytes: number;
}

/** What is told of a reservation that was made. */
export interface ReservationNote {
  /** Unix seconds. */
  readonly expires: number;
  /** Multiaddrs of the relay, in bytes. */
  readonly addresses: readonly Uint8Array[];
  /** From `sealVoucher`. */
  readonly voucher: Uint8Array;
}

/** Numbers of the fields; those of a hop message and a stop message differ behind the peer. */
const HOP = { type: 1, peer: 2, reservation: 3, limit: 4, status: 5 } as const;
const STOP = { type: 1, peer: 2, limit: 3, status: 4 } as const;
const HOP_TYPE = { reserve: 0, connect: 1, status: 2 } as const;
const STOP_TYPE = { connect: 0, status: 1 } as const;
const VARINT = 0;
const BYTES = 2;
const MAX_UINT32 = 2 ** 32 - 1;

/** @throws ShoalError `protocol` */
export function decodeHopRequest(bytes: Uint8Array): HopRequest {
  let type: number | undefined;
  let peer: Uint8Array | undefined;
  readFields(bytes, {
    [HOP.type]: value => (type = numberOf(value)),
    [HOP.peer]: value => (peer = bytesOf(value)),
  });
  if (type === undefined) throw malformed('it has no type');
  if (type === HOP_TYPE.reserve) return { kind: 'reserve' };
  if (type !== HOP_TYPE.connect) return { kind: 'unexpected' };
  if (peer === undefined) throw malformed('it names no peer to connect to');
  return { kind: 'connect', to: decodePeer(peer) };
}

/** The answer to a request, with its length in front. */
export function encodeHopStatus(status: Status, note?: ReservationNote, limit?: CircuitLimit): Uint8Array {
  const out = writer().fork();
  out.uint32(tag(HOP.type, VARINT)).uint32(HOP_TYPE.status);
  if (note !== undefined) {
    out.uint32(tag(HOP.reservation, BYTES)).fork();
    out.uint32(tag(1, VARINT)).uint64Number(note.expires);
    for (const address of note.addresses) out.uint32(tag(2, BYTES)).bytes(address);
    out.uint32(tag(3, BYTES)).bytes(note.voucher).ldelim();
  }
  if (limit !== undefined) out.uint32(tag(HOP.limit, BYTES)).bytes(encodeLimit(limit));
  return out.uint32(tag(HOP.status, VARINT)).uint32(status).ldelim().finish();
}

/** Tells the other end of a circuit who is there, with the length in front. */
export function encodeStopConnect(from: PeerId, limit: CircuitLimit): Uint8Array {
  const out = writer().fork();
  out.uint32(tag(STOP.type, VARINT)).uint32(STOP_TYPE.connect);
  out.uint32(tag(STOP.peer, BYTES)).fork();
  out.uint32(tag(1, BYTES)).bytes(from.toMultihash().bytes).ldelim();
  return out.uint32(tag(STOP.limit, BYTES)).bytes(encodeLimit(limit)).ldelim().finish();
}

/** The status that the other end has answered. @throws ShoalError `protocol` */
export function decodeStopStatus(bytes: Uint8Array): number {
  let type: number | undefined;
  let status: number | undefined;
  readFields(bytes, {
    [STOP.type]: value => (type = numberOf(value)),
    [STOP.status]: value => (status = numberOf(value)),
  });
  if (type !== STOP_TYPE.status || status === undefined) throw malformed('it is no answer');
  return status;
}

/** Says, signed, that `peer` may be reached through the relay whose key this is: a voucher in an envelope (libp2p's RFC 2). */
export async function sealVoucher(key: PrivateKey, relay: PeerId, peer: PeerId, expires: number): Promise<Uint8Array> {
  const payload = writer();
  payload.uint32(tag(1, BYTES)).bytes(relay.toMultihash().bytes);
  payload.uint32(tag(2, BYTES)).bytes(peer.toMultihash().bytes);
  const voucher = payload.uint32(tag(3, VARINT)).uint64Number(expires).finish();
  const signed = writer().bytes(VOUCHER_DOMAIN).bytes(VOUCHER_CODEC).bytes(voucher).finish();
  const out = writer();
  out.uint32(tag(1, BYTES)).bytes(publicKeyToProtobuf(key.publicKey));
  out.uint32(tag(2, BYTES)).bytes(VOUCHER_CODEC);
  out.uint32(tag(3, BYTES)).bytes(voucher);
  return out
    .uint32(tag(5, BYTES))
    .bytes(await key.sign(signed))
    .finish();
}

const VOUCHER_DOMAIN = new TextEncoder().encode('libp2p-relay-rsvp');
const VOUCHER_CODEC = Uint8Array.of(0x03, 0x02);

/**
 * The next message of a stream, without its length. What follows it stays in the stream.
 * @throws ShoalError `protocol` when it is too long or cut short; the signal's reason
 */
export function readMessage(stream: Stream, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const received = new Uint8ArrayList();
    const settle = (how: () => void): void => {
      stream.removeEventListener('message', onMessage);
      stream.removeEventListener('end', onEnd);
      stream.removeEventListener('close', onEnd);
      signal.removeEventListener('abort', onAbort);
      how();
    };
    const fail = (error: Error): void => settle(() => reject(error));
    const onAbort = (): void => fail(signal.reason as Error);
    const onEnd = (): void => fail(malformed('the stream ended before it did'));
    const onMessage = ({ data }: StreamMessageEvent): void => {
      received.append(data);
      try {
        const length = lengthOf(received);
        if (length === undefined || received.byteLength < length.ownBytes + length.bytes) return;
        const end = length.ownBytes + length.bytes;
        settle(() => resolve(received.slice(length.ownBytes, end)));
        stream.unshift(received.sublist(end));
      } catch (error) {
        fail(error as Error);
      }
    };
    if (signal.aborted) return fail(signal.reason as Error);
    if (stream.readableEnded || stream.status !== 'open') return onEnd();
    signal.addEventListener('abort', onAbort);
    stream.addEventListener('end', onEnd);
    stream.addEventListener('close', onEnd);
    stream.addEventListener('message', onMessage);
  });
}

/** What the varint in front says; undefined before it is complete. The limit fits into two bytes. */
function lengthOf(received: Uint8ArrayList): { ownBytes: number; bytes: number } | undefined {
  if (received.byteLength === 0) return undefined;
  const first = received.get(0);
  if (first < 0x80) return { ownBytes: 1, bytes: first };
  if (received.byteLength === 1) return undefined;
  const second = received.get(1);
  const bytes = (first & 0x7f) + (second << 7);
  if (second >= 0x80 || bytes > MAX_HOP_BYTES) throw malformed(`it is longer than ${MAX_HOP_BYTES} bytes`);
  return { ownBytes: 2, bytes };
}

type Field = number | Uint8Array;

/** Gives the fields of a protobuf to who wants them, by their numbers; others are checked to be whole. */
function readFields(bytes: Uint8Array, wanted: Readonly<Record<number, (value: Field) => void>>): void {
  try {
    const input = reader(bytes);
    while (input.pos < input.len) {
      const key = input.uint32();
      const [field, type] = [key >>> 3, key & 7];
      const take = wanted[field];
      if (take === undefined) input.skipType(type);
      else if (type === VARINT) take(input.uint32());
      else if (type === BYTES) take(input.bytes());
      else throw malformed('a field has the wrong type');
    }
    if (input.pos !== input.len) throw malformed('it is cut short');
  } catch (error) {
    throw error instanceof ShoalError ? error : malformed('it is not a protobuf', error);
  }
}

function numberOf(value: Field): number {
  if (typeof value !== 'number') throw malformed('a number is none');
  return value;
}

function bytesOf(value: Field): Uint8Array {
  if (typeof value === 'number') throw malformed('a peer is a number');
  return value;
}

/** The peer id of a message about a peer; its addresses are not looked at, since circuits go where there is a connection. */
function decodePeer(bytes: Uint8Array): PeerId {
  let id: Uint8Array | undefined;
  readFields(bytes, { 1: value => (id = bytesOf(value)) });
  if (id === undefined) throw malformed('a peer has no id');
  try {
    return peerIdFromMultihash(Digest.decode(id));
  } catch (error) {
    throw malformed('a peer id can not be read', error);
  }
}

/** Nobody is told less than nothing, which would mean no limit. */
function encodeLimit({ seconds, bytes }: CircuitLimit): Uint8Array {
  const out = writer();
  out.uint32(tag(1, VARINT)).uint32(Math.min(Math.max(1, Math.floor(seconds)), MAX_UINT32));
  return out
    .uint32(tag(2, VARINT))
    .uint64Number(Math.min(Math.max(1, Math.floor(bytes)), Number.MAX_SAFE_INTEGER))
    .finish();
}

function tag(field: number, type: number): number {
  return (field << 3) | type;
}

function malformed(why: string, cause?: unknown): ShoalError {
  return new ShoalError('protocol', `cannot read a message of the relay protocol: ${why}`, { cause });
}
