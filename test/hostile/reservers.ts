/** Many identities that want a place at a relay (circuit relay v2, its hop side), made cheaply. */
import type { Stream, StreamMessageEvent } from '@libp2p/interface';
import { Peer, type PeerOptions } from './peer.ts';

const HOP = '/libp2p/circuit/relay/0.2.0/hop';
/** A message of two bytes: its type is RESERVE. */
const RESERVE = Uint8Array.of(2, 0x08, 0);
const STATUS_FIELD = 5;
const VARINT = 0;
const BYTES = 2;
const AT_ONCE = 16;

/** Places at once are limited as they are by default; so many connections come within a second in tests. */
export const QUICK = `
[limits]
connections_per_second = 10000
reservations_per_minute = 100000
[limits.prefix]
connections_per_second = 10000
reservations_per_minute = 100000
`;

export const OK = 100;
export const REFUSED = 200;

/** Asks for a reservation: the status of the answer, or why there is none. */
export async function reserve(peer: Peer, relay: string): Promise<number | string> {
  try {
    const connection = await peer.connect(relay);
    const stream = await connection.newStream(HOP);
    const answer = allOf(stream);
    stream.send(RESERVE);
    const status = statusIn(await answer);
    await stream.close();
    return status;
  } catch (error) {
    return (error as Error).message;
  }
}

/** How a crowd fared. */
export interface Crowd {
  /** How many got which answer. */
  readonly answers: Map<number | string, number>;
  /** Those with a reservation, still connected. */
  readonly placed: readonly Peer[];
  leave(): Promise<void>;
}

/** Has so many identities ask, one after the other; who gets nothing leaves again. */
export async function crowd(relay: string, identities: number, options: PeerOptions): Promise<Crowd> {
  const answers = new Map<number | string, number>();
  const placed: Peer[] = [];
  let left = identities;
  const comeIn = async (): Promise<void> => {
    while (left-- > 0) {
      const peer = await Peer.start({ ...options, listen: null });
      const status = await reserve(peer, relay);
      answers.set(status, (answers.get(status) ?? 0) + 1);
      if (status === OK) placed.push(peer);
      else await peer.stop();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, comeIn));
  return {
    answers,
    placed,
    leave: async () => {
      await Promise.all(placed.map(peer => peer.stop()));
    },
  };
}

/** Bytes of one message with its length in front, which has one or two bytes. */
function allOf(stream: Stream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    stream.addEventListener('close', () => reject(new Error('no answer')));
    stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
      received = Buffer.concat([received, data.subarray()]);
      if (received.length < 2) return;
      const [length, at] = varint(received, 0);
      if (received.length >= at + length) resolve(received.subarray(at, at + length));
    });
  });
}

function statusIn(message: Buffer): number | string {
  for (let at = 0; at < message.length;) {
    const [key, next] = varint(message, at);
    const [value, end] = varint(message, next);
    if (key === ((STATUS_FIELD << 3) | VARINT)) return value;
    at = (key & 7) === BYTES ? end + value : end;
  }
  return 'an answer without a status';
}

/** A number and where it ends. */
function varint(bytes: Buffer, from: number): [value: number, end: number] {
  let value = 0;
  for (let at = from, scale = 1; ; at++, scale *= 128) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at + 1];
  }
}
