/**
 * A peer that only reserves a place at a relay, made by hand of TCP, multistream-select, noise and yamux: a whole node would
 * cost more than the relay that is measured. It answers what the relay asks of it (identify, ping) and knows nothing else.
 */
import { noise } from '@chainsafe/libp2p-noise';
import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys';
import type { ComponentLogger, Connection, Logger, MessageStream, Stream, Upgrader } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { reader, writer } from 'protons-runtime';
import { HOP_PROTOCOL, readMessage, STATUS, STOP_PROTOCOL } from '../../src/net/hop-messages.ts';

/** One connection to a relay. */
export interface Visit {
  /** What the relay answered: STATUS of hop-messages.ts. */
  readonly status: number;
  /** Resolves when the connection is over, whoever ends it. */
  readonly ended: Promise<void>;
  /** Hangs up, and waits for that. */
  end(): Promise<void>;
}

/** Longer than a busy relay takes for all steps of one visit. */
const VISIT_MS = 60_000;

/**
 * Connects to the relay at a multiaddr as a new peer, and asks for a reservation.
 * @param localAddress the IPv4 address that it comes from
 * @throws Error where it is hung up on, or answered otherwise than by these protocols
 */
export async function visit(relay: string, localAddress: string): Promise<Visit> {
  // The socket ends with its signal at any time, so that one must not come of itself once all is well.
  const late = new AbortController();
  const { signal } = late;
  const timer = setTimeout(() => late.abort(new Error('the relay has not answered for long')), VISIT_MS);
  const privateKey = await generateKeyPair('Ed25519');
  const muxers = new Map([[yamuxFactory.protocol, yamuxFactory]]);
  // Noise asks an upgrader for the names of muxers, and for nothing else of it.
  const upgrader = { getStreamMuxers: () => muxers } as unknown as Upgrader;
  const encrypter = noise()({ peerId: peerIdFromPrivateKey(privateKey), privateKey, logger: SILENT, upgrader });

  let line: MessageStream | undefined;
  try {
    line = await dial(relay, localAddress, signal);
    const ended = closeOf(line);
    await propose(line, encrypter.protocol, signal);
    const { connection, streamMuxer } = await encrypter.secureOutbound(line, { signal });
    if (streamMuxer === undefined) throw new Error('the relay has no muxer in common');
    const muxer = streamMuxer.createStreamMuxer(connection);
    const own = publicKeyToProtobuf(privateKey.publicKey);
    muxer.addEventListener('stream', ({ detail }) => {
      answer(detail, own).catch((error: unknown) => detail.abort(error as Error));
    });
    const status = await reserve(await muxer.createStream({ signal }), signal);
    const open = line;
    const end = async (): Promise<void> => {
      await open.close({ signal: AbortSignal.timeout(VISIT_MS) });
      await ended;
    };
    return { status, ended, end };
  } catch (error) {
    line?.abort(error as Error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function closeOf(line: MessageStream): Promise<void> {
  return new Promise(resolve => line.addEventListener('close', () => resolve(), { once: true }));
}

const yamuxFactory = yamux()();
const transport = tcp();

/** A TCP connection as libp2p's parts want it, that nothing was agreed on yet. */
async function dial(relay: string, localAddress: string, signal: AbortSignal): Promise<MessageStream> {
  // The transport hands what it has dialled to an upgrader, and gives back what that makes of it: here the line itself.
  const asItIs = { upgradeOutbound: (line: unknown) => Promise.resolve(line as Connection) } as unknown as Upgrader;
  const options = { signal, upgrader: asItIs, localAddress };
  return (await transport({ logger: SILENT }).dial(multiaddr(relay), options)) as unknown as MessageStream;
}

/** A reservation's status. */
async function reserve(stream: Stream, signal: AbortSignal): Promise<number> {
  await propose(stream, HOP_PROTOCOL, signal);
  stream.send(RESERVE);
  const input = reader(await readMessage(stream, signal));
  let status = 0;
  while (input.pos < input.len) {
    const tag = input.uint32();
    if (tag === STATUS_TAG) status = input.uint32();
    else input.skipType(tag & 7);
  }
  await stream.close({ signal });
  return status;
}

/** A message whose type, the first field, is RESERVE. */
const RESERVE = Uint8Array.of(2, 0x08, 0);
/** Field 5, a varint. */
const STATUS_TAG = 5 << 3;

export function isReserved({ status }: Visit): boolean {
  return status === STATUS.ok;
}

const MULTISTREAM = '/multistream/1.0.0';
const IDENTIFY = '/ipfs/id/1.0.0';
const PING = '/ipfs/ping/1.0.0';

/** multistream-select, for who opens: the only protocol that is wanted. */
async function propose(line: MessageStream, protocol: string, signal: AbortSignal): Promise<void> {
  line.send(lineOf(MULTISTREAM, protocol));
  for (const expected of [MULTISTREAM, protocol]) {
    const got = await nextLine(line, signal);
    if (got !== expected) throw new Error(`the relay answered ${got} to ${protocol}`);
  }
}

/** Answers a stream that the relay has opened. */
async function answer(stream: Stream, publicKey: Uint8Array): Promise<void> {
  const signal = AbortSignal.timeout(VISIT_MS);
  if ((await nextLine(stream, signal)) !== MULTISTREAM) throw new Error('this is not multistream-select');
  stream.send(lineOf(MULTISTREAM));
  const protocol = await nextLine(stream, signal);
  if (protocol === IDENTIFY) {
    stream.send(lineOf(protocol));
    stream.send(identity(publicKey));
  } else if (protocol === PING) {
    stream.send(lineOf(protocol));
    stream.addEventListener('message', ({ data }) => stream.send(data));
    await new Promise<void>(resolve => stream.addEventListener('end', () => resolve(), { once: true }));
  } else {
    stream.send(lineOf('na'));
  }
  await stream.close({ signal });
}

/** What a node says of itself, without a signed record of addresses: it has none. */
function identity(publicKey: Uint8Array): Uint8Array {
  const out = writer().fork();
  out.uint32((1 << 3) | 2).bytes(publicKey);
  for (const protocol of [IDENTIFY, PING, STOP_PROTOCOL]) out.uint32((3 << 3) | 2).string(protocol);
  return out
    .uint32((6 << 3) | 2)
    .string('shoal-bench')
    .ldelim()
    .finish();
}

function lineOf(...texts: string[]): Uint8Array {
  const out = writer();
  for (const text of texts) out.string(`${text}\n`);
  return out.finish();
}

async function nextLine(line: MessageStream, signal: AbortSignal): Promise<string> {
  // Of a stream it uses what any line has, too.
  const bytes = await readMessage(line as Stream, signal);
  return Buffer.from(bytes).toString('utf8').trimEnd();
}

const silent: Logger = Object.assign(() => undefined, {
  error: () => undefined,
  trace: () => undefined,
  enabled: false,
  newScope: () => silent,
});
const SILENT: ComponentLogger = { forComponent: () => silent };
