/** Servers of the DHT that answer as they like: Kademlia's messages on the independent implementation in peer.ts. */
import type { Stream, StreamMessageEvent } from '@libp2p/interface';
import { ed25519 } from '@noble/curves/ed25519.js';
import { multiaddr } from '@multiformats/multiaddr';
import { createHash } from 'node:crypto';
import { Peer, type PeerOptions } from './peer.ts';

const KAD = '/shoal/kad/1.0.0';
export const ADD_PROVIDER = 2;
export const GET_PROVIDERS = 3;
const CLOSER_FIELD = 8;
const PROVIDER_FIELD = 9;
/** Of an Ed25519 peer id, in front of the public key. */
export const PEER_PREFIX = Buffer.from('002408011220', 'hex');

/** Somebody of whom a message tells. */
export interface Told {
  /** A binary peer id. */
  readonly id: Uint8Array;
  /** Multiaddrs as text. */
  readonly addresses: readonly string[];
}

/** What a server of the DHT is asked. */
export interface Query {
  readonly type: number;
  /** The multihash of a rendezvous key, or a binary peer id. */
  readonly key: Uint8Array;
}

/** Bytes are sent as they are, nothing at all where there are none. */
export type Reply =
  { readonly closer?: readonly Told[]; readonly providers?: readonly Told[] } | Uint8Array | undefined;

/** A server of the DHT that runs in this process. */
export interface DhtServer {
  readonly peer: Peer;
  readonly told: Told;
  readonly hint: string;
  /** Questions for providers so far. */
  readonly asked: () => number;
}

/** @param options with a `seed`, from which its place in the DHT follows */
export async function dhtServer(reply: (query: Query) => Reply, options: PeerOptions = {}): Promise<DhtServer> {
  const peer = await Peer.start({ ...options, isIdentified: true });
  let asked = 0;
  const answer = (stream: Stream): void => {
    let received = Buffer.alloc(0);
    stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
      received = Buffer.concat([received, data.subarray()]);
      for (;;) {
        const message = firstOf(received);
        if (message === undefined) return;
        received = received.subarray(message.end);
        const query = queryIn(message.body);
        if (query.type === GET_PROVIDERS) asked++;
        const said = reply(query);
        if (said !== undefined && stream.status === 'open') stream.send(messageOf(query, said));
      }
    });
  };
  await peer.node.handle(KAD, answer, { maxInboundStreams: 1000, maxOutboundStreams: 1000 });
  return { peer, told: toldOf(peer), hint: peer.hint, asked: () => asked };
}

/** As others tell of a peer. */
export function toldOf(peer: Peer): Told {
  return { id: peer.node.peerId.toMultihash().bytes, addresses: [peer.hint.replace(/\/p2p\/.*/, '')] };
}

/** Tells a server of the DHT that somebody has a share, as that one does it itself. */
export async function announce(by: Peer, server: string, key: Uint8Array): Promise<void> {
  const connection = await by.connect(server);
  const stream = await connection.newStream(KAD);
  const { id, addresses } = toldOf(by);
  stream.send(messageOf({ type: ADD_PROVIDER, key }, { providers: [{ id, addresses }] }));
  await stream.close();
}

/** Seeds of peers whose places in the DHT share so many first bits with that of `key`: about 2^bits tries for each. */
export function seedsNear(key: Uint8Array, bits: number, count: number): Uint8Array[] {
  const target = prefixOf(sha256(key), bits);
  const seeds: Uint8Array[] = [];
  for (let n = 0; seeds.length < count; n++) {
    const seed = sha256(Buffer.concat([key, Buffer.from(String(n))]));
    const peer = Buffer.concat([PEER_PREFIX, ed25519.getPublicKey(seed)]);
    if (prefixOf(sha256(peer), bits) === target) seeds.push(seed);
  }
  return seeds;
}

/** The multihash of a rendezvous key (format.md §10), by which the DHT knows it. */
export function keyOf(rendezvous: Uint8Array): Uint8Array {
  // A CID of version 1 and codec raw is these two bytes and the multihash.
  return rendezvous.subarray(2);
}

function prefixOf(hash: Buffer, bits: number): number {
  return hash.readUInt32BE(0) >>> (32 - bits);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function messageOf({ type, key }: Query, said: Exclude<Reply, undefined>): Uint8Array {
  if (said instanceof Uint8Array) return said;
  const { closer = [], providers = [] } = said;
  const body = Buffer.concat([
    Buffer.from([0x08, type]),
    field(2, key),
    ...closer.map(one => field(CLOSER_FIELD, peerMessage(one))),
    ...providers.map(one => field(PROVIDER_FIELD, peerMessage(one))),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

function peerMessage({ id, addresses }: Told): Buffer {
  return Buffer.concat([field(1, id), ...addresses.map(address => field(2, multiaddr(address).bytes))]);
}

function field(index: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint((index << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** A number and where it ends; undefined where the bytes are not all there. */
function numberAt(bytes: Buffer, from: number): [value: number, end: number] | undefined {
  let value = 0;
  for (let at = from, scale = 1; at < bytes.length; at++, scale *= 128) {
    value += ((bytes[at] ?? 0) & 0x7f) * scale;
    if ((bytes[at] ?? 0) < 0x80) return [value, at + 1];
  }
  return undefined;
}

/** The first message of a stream, and where it ends. */
function firstOf(bytes: Buffer): { body: Buffer; end: number } | undefined {
  const [length, at] = numberAt(bytes, 0) ?? [Infinity, 0];
  return bytes.length < at + length ? undefined : { body: bytes.subarray(at, at + length), end: at + length };
}

function queryIn(message: Buffer): Query {
  let [type, key] = [0, new Uint8Array()];
  for (let at = 0; at < message.length;) {
    const [tag, next] = numberAt(message, at) ?? [0, message.length];
    const [value, end] = numberAt(message, next) ?? [0, message.length];
    const isBytes = (tag & 7) === 2;
    if (tag >> 3 === 1) type = value;
    if (tag >> 3 === 2) key = Uint8Array.from(message.subarray(end, end + value));
    at = isBytes ? end + value : end;
  }
  return { type, key };
}
