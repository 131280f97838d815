/** Asks a relay for a reservation: the one message that a client of circuit relay v2 sends besides dialling. */
import type { Connection, Stream } from '@libp2p/interface';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { reader } from 'protons-runtime';
import { Uint8ArrayList } from 'uint8arraylist';
import { ShoalError } from '../errors.ts';
import { MAX_RESERVED_ADDRESSES, MAX_RESERVATION_BYTES } from '../limits.ts';
import type { Reservation } from '../ports.ts';
import { peerOf, placeOf } from './gater.ts';

const HOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/hop';

/** What a relay has granted. */
export interface Granted {
  /** Unix seconds, by the relay's clock. */
  readonly until: number;
  /** Under which the relay can be reached, each ending in its peer id; the one that it was reached under is the first. */
  readonly addresses: readonly Multiaddr[];
  readonly limits: Reservation['limits'];
}

/**
 * Reserves, or renews a reservation, over a direct connection to the relay.
 * @throws ShoalError `protocol` for an answer that is none, `refused`; what the stream throws; the signal's reason
 */
export async function askForReservation(connection: Connection, signal: AbortSignal): Promise<Granted> {
  const stream = await connection.newStream(HOP_PROTOCOL, { signal });
  const onAbort = (): void => stream.abort(signal.reason as Error);
  signal.addEventListener('abort', onAbort);
  try {
    stream.send(RESERVE);
    const answer = readAnswer(await readMessage(stream));
    await stream.close({ signal });
    return grantedBy(answer, connection.remoteAddr);
  } catch (error) {
    stream.abort(error as Error);
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** With its length before it: a message of type 0 and nothing else. */
const RESERVE = Uint8Array.of(2, 0x08, 0);

/** The first message of a stream, without the length before it. */
async function readMessage(stream: Stream): Promise<Uint8Array> {
  const read = new Uint8ArrayList();
  for await (const bytes of stream) {
    read.append(bytes);
    const head = lengthOf(read);
    if (head !== undefined && head.sizeBytes > MAX_RESERVATION_BYTES) break;
    if (head !== undefined && read.length >= head.at + head.sizeBytes)
      return read.subarray(head.at, head.at + head.sizeBytes);
    if (read.length > 2 * MAX_RESERVATION_BYTES) break;
  }
  throw new ShoalError('protocol', 'the relay gave no answer of a size that is allowed');
}

/** The varint at the beginning; undefined while it is not there as a whole. */
function lengthOf(read: Uint8ArrayList): { readonly at: number; readonly sizeBytes: number } | undefined {
  let sizeBytes = 0;
  for (let at = 0; at < Math.min(read.length, 5); at++) {
    const byte = read.get(at);
    sizeBytes += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { at: at + 1, sizeBytes };
  }
  return read.length < 5 ? undefined : { at: 5, sizeBytes: Infinity };
}

/** Of a HopMessage (circuit relay v2, Protobuf), what an answer to RESERVE has. */
interface Answer {
  type?: number;
  status?: number;
  until?: number;
  addresses: Uint8Array[];
  seconds?: number;
  bytes?: number;
}

const STATUS_TYPE = 2;
const OK = 100;
const REFUSALS: Readonly<Record<number, string>> = {
  200: 'refuses a reservation',
  201: 'has no place left, or none for who asks so much',
  202: 'does not let this node reserve',
  400: 'did not understand the request',
  401: 'did not expect the request',
};

function readAnswer(bytes: Uint8Array): Answer {
  try {
    return fieldsOf(bytes);
  } catch (cause) {
    throw new ShoalError('protocol', 'the relay gave an answer that can not be read', { cause });
  }
}

function fieldsOf(bytes: Uint8Array): Answer {
  const input = reader(bytes);
  const answer: Answer = { addresses: [] };
  /** Reads the fields up to a place by what `known` has for their numbers, and leaves out the others. */
  const fields = (end: number, known: Readonly<Record<number, () => void>>): void => {
    while (input.pos < end) {
      const tag = input.uint32();
      const read = known[tag >>> 3];
      if (read === undefined) input.skipType(tag & 7);
      else read();
    }
  };
  fields(input.len, {
    1: () => (answer.type = input.uint32()),
    3: () =>
      fields(input.uint32() + input.pos, {
        1: () => (answer.until = input.uint64Number()),
        2: () => answer.addresses.push(input.bytes()),
      }),
    4: () =>
      fields(input.uint32() + input.pos, {
        1: () => (answer.seconds = input.uint32()),
        2: () => (answer.bytes = input.uint64Number()),
      }),
    5: () => (answer.status = input.uint32()),
  });
  return answer;
}

function grantedBy({ type, status = 0, until, addresses, seconds, bytes }: Answer, reached: Multiaddr): Granted {
  if (type !== STATUS_TYPE) throw new ShoalError('protocol', 'the relay answered with something else than a status');
  if (status !== OK) throw new ShoalError('refused', `the relay ${REFUSALS[status] ?? `answers with ${status}`}`);
  if (until === undefined || !Number.isSafeInteger(until))
    throw new ShoalError('protocol', 'the relay does not say until when the reservation is good');
  const limits = { ...(bytes ? { bytes } : {}), ...(seconds ? { seconds } : {}) };
  return {
    until,
    addresses: usableOf(addresses, reached),
    limits: Object.keys(limits).length === 0 ? undefined : limits,
  };
}

/** Addresses that a relay tells of itself: those that reach at least as far as the one that it was reached under. */
function usableOf(told: readonly Uint8Array[], reached: Multiaddr): Multiaddr[] {
  const relay = peerOf(reached);
  const usable = new Map([[reached.toString(), reached]]);
  for (const bytes of told.slice(0, 4 * MAX_RESERVED_ADDRESSES)) {
    const address = readAddress(bytes, relay);
    if (address === undefined || address.getComponents().some(({ name }) => name === 'p2p-circuit')) continue;
    const isAsFar = ['public', 'name', placeOf(reached)].includes(placeOf(address));
    if (isAsFar && usable.size < MAX_RESERVED_ADDRESSES) usable.set(address.toString(), address);
  }
  return [...usable.values()];
}

/** With the relay's peer id at its end; undefined where it is another's, or can not be read. */
function readAddress(bytes: Uint8Array, relay: string | undefined): Multiaddr | undefined {
  try {
    const address = multiaddr(bytes);
    const whose = peerOf(address);
    if (whose === undefined) return address.encapsulate(`/p2p/${relay}`);
    return whose === relay ? address : undefined;
  } catch {
    return undefined;
  }
}
