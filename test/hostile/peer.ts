/**
 * A second implementation of docs/protocol.md and docs/format.md, written from these pages: both sides of /shoal/chunks, and
 * shares with whatever in them. It shares no code with what it is let loose on, and keeps no rule that a test wants broken.
 */
import { noise } from '@chainsafe/libp2p-noise';
import { decode, encode } from '@ipld/dag-cbor';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import type { Connection, Libp2p, PeerId, Stream, StreamMessageEvent } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { ed25519 } from '@noble/curves/ed25519.js';
import { createLibp2p } from 'libp2p';
import { CID } from 'multiformats/cid';
import * as Digest from 'multiformats/hashes/digest';
import { createCipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';

export const PROTOCOL = '/shoal/chunks/1.0.0';
export const PIECE = 2 ** 20 - 16;
const MANY = 100_000;

export type Fields = Record<string, unknown>;

/** A message as it was received. */
export interface Message {
  readonly header: Fields;
  readonly body: Uint8Array;
}

/** `uint32(length of header) || uint32(length of body) || header || body` */
export function frame(header: Fields, body: Uint8Array = new Uint8Array()): Uint8Array {
  return rawFrame(encode(header), body);
}

/** A message whose header need not be CBOR, and whose lengths need not be true. */
export function rawFrame(
  header: Uint8Array,
  body: Uint8Array = new Uint8Array(),
  lengths: readonly [number, number] = [header.length, body.length],
): Uint8Array {
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(lengths[0], 0);
  prefix.writeUInt32BE(lengths[1], 4);
  return Buffer.concat([prefix, header, body]);
}

/** One stream, with its messages as they come. Nothing is refused and nothing is bounded. */
export class Wire {
  readonly stream: Stream;
  readonly remote: PeerId;
  /** Everything that arrived, as long as it is little. */
  readonly transcript: Uint8Array[] = [];
  receivedBytes = 0;
  #parts: Uint8Array[] = [];
  #length = 0;
  readonly #messages: Message[] = [];
  #isOver = false;
  readonly #over = Promise.withResolvers<undefined>();
  #wake: () => void = () => undefined;

  constructor(stream: Stream, remote: PeerId) {
    this.stream = stream;
    this.remote = remote;
    stream.maxReadBufferLength = 2 ** 26;
    stream.addEventListener('message', (event: StreamMessageEvent) => this.#arrived(event.data.subarray()));
    stream.addEventListener('close', () => this.#end());
    stream.addEventListener('remoteCloseWrite', () => queueMicrotask(() => this.#end()));
    if (stream.status !== 'open') this.#end();
  }

  /** Resolves when nothing more will come. */
  get over(): Promise<undefined> {
    return this.#over.promise;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Waits until the stream has taken the bytes. False when it has ended. */
  async send(bytes: Uint8Array): Promise<boolean> {
    if (this.stream.status !== 'open' || this.stream.writeStatus !== 'writable') return false;
    try {
      if (this.stream.send(bytes)) return true;
    } catch {
      return false;
    }
    await new Promise<void>(resolve => {
      this.stream.addEventListener('drain', () => resolve(), { once: true });
      this.stream.addEventListener('close', () => resolve(), { once: true });
    });
    return this.stream.status === 'open';
  }

  say(header: Fields, body?: Uint8Array): Promise<boolean> {
    return this.send(frame(header, body));
  }

  /** The next message; undefined when there is none any more. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined || this.#isOver) return message;
      await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }

  async close(): Promise<void> {
    await this.stream.close().catch(() => undefined);
  }

  #arrived(bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    if (this.receivedBytes < 65_536) this.transcript.push(bytes.slice());
    this.#parts.push(bytes.slice());
    this.#length += bytes.length;
    for (;;) {
      if (this.#length < 8) break;
      const prefix = this.#peek(8);
      const [headerBytes, bodyBytes] = [prefix.readUInt32BE(0), prefix.readUInt32BE(4)];
      if (this.#length < 8 + headerBytes + bodyBytes) break;
      const whole = Buffer.concat(this.#parts);
      const end = 8 + headerBytes + bodyBytes;
      this.#messages.push({
        header: decode<Fields>(whole.subarray(8, 8 + headerBytes)),
        body: whole.subarray(8 + headerBytes, end),
      });
      this.#parts = [whole.subarray(end)];
      this.#length -= end;
    }
    this.#wake();
  }

  #peek(count: number): Buffer {
    if ((this.#parts[0]?.length ?? 0) < count) this.#parts = [Buffer.concat(this.#parts)];
    return Buffer.from(this.#parts[0]?.subarray(0, count) ?? []);
  }

  #end(): void {
    this.#isOver = true;
    this.#over.resolve(undefined);
    this.#wake();
  }
}

export interface PeerOptions {
  /** Of its Ed25519 key, where somebody has to sign with that. */
  readonly seed?: Uint8Array;
  readonly from?: string;
  /** A multiaddr; null for none. */
  readonly listen?: string | null;
  /** Whether it tells who connects which protocols it speaks, and answers pings, as who is to be taken for a server of the DHT. */
  readonly isIdentified?: boolean;
}

/** A node of its own, on loopback. */
export class Peer {
  readonly node: Libp2p;

  private constructor(node: Libp2p) {
    this.node = node;
  }

  /** @param from the address that it dials from, where that matters */
  static async start({
    from,
    listen = '/ip4/127.0.0.1/tcp/0',
    seed,
    isIdentified = false,
  }: PeerOptions = {}): Promise<Peer> {
    const node = await createLibp2p<Record<string, unknown>>({
      ...(seed === undefined ? {} : { privateKey: await generateKeyPairFromSeed('Ed25519', seed) }),
      addresses: { listen: listen === null ? [] : [listen] },
      transports: [tcp(from === undefined ? {} : { dialOpts: { localAddress: from } as object })],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false },
      connectionManager: { inboundConnectionThreshold: MANY, maxConnections: MANY },
      services: isIdentified ? { identify: identify(), ping: ping() } : {},
    });
    return new Peer(node);
  }

  /** As it stands in a link. */
  get hint(): string {
    return String(this.node.getMultiaddrs()[0]);
  }

  connect(hint: string): Promise<Connection> {
    return this.node.dial(multiaddr(hint));
  }

  async open(hint: string, protocol = PROTOCOL): Promise<Wire> {
    const connection = await this.connect(hint);
    const stream = await connection.newStream(protocol, { maxOutboundStreams: MANY });
    return new Wire(stream, connection.remotePeer);
  }

  async serve(
    answer: (wire: Wire, connection: Connection) => Promise<void>,
    protocol: string = PROTOCOL,
  ): Promise<void> {
    const handle = (stream: Stream, connection: Connection): Promise<void> =>
      answer(new Wire(stream, connection.remotePeer), connection);
    await this.node.handle(protocol, handle, { maxInboundStreams: MANY, maxOutboundStreams: MANY });
  }

  /** Breaks all connections with a peer, without a word. */
  hangUp(remote: PeerId): void {
    for (const connection of this.node.getConnections(remote)) connection.abort(new Error('gone'));
  }

  /** Breaks all connections that there are. */
  hangUpAll(): void {
    for (const remote of this.node.getPeers()) this.hangUp(remote);
  }

  async stop(): Promise<void> {
    await this.node.stop();
  }
}

// What is said first.

export function today(): number {
  return Math.floor(Date.now() / 86_400_000);
}

/** The binary rendezvous CID (format.md §10). */
export function rendezvous(id: CID, day: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(day);
  return rawCid(sha256('shoal/1/rendezvous', id.multihash.bytes, bytes)).bytes;
}

/** protocol.md, Proof. */
export function proof(id: CID, asker: PeerId, server: PeerId): Uint8Array {
  const hmac = createHmac('sha256', id.multihash.bytes).update('shoal/1/hello');
  return hmac.update(asker.toMultihash().bytes).update(server.toMultihash().bytes).digest();
}

/** An asker's right hello, as it is said to the other end of `wire`. */
export function helloTo(wire: Wire, id: CID, self: PeerId, day = today()): Fields {
  return { type: 'hello', key: rendezvous(id, day), proof: proof(id, self, wire.remote) };
}

/** Whether a message is the hello of somebody who knows `id`. */
export function isHello({ header }: Message, id: CID, wire: Wire, self: PeerId): boolean {
  const keys = [-1, 0, 1].map(offset => Buffer.from(rendezvous(id, today() + offset)));
  const [key, given] = [header['key'], header['proof']];
  return (
    header['type'] === 'hello' &&
    key instanceof Uint8Array &&
    given instanceof Uint8Array &&
    keys.some(known => known.equals(key)) &&
    Buffer.from(proof(id, wire.remote, self)).equals(given)
  );
}

/** The indices of flat ranges. */
export function indicesOf(ranges: unknown): number[] {
  const flat = ranges as number[];
  return flat.flatMap((start, n) =>
    n % 2 === 0 ? Array.from({ length: flat[n + 1] ?? 0 }, (_, offset) => start + offset) : [],
  );
}

// Shares.

export type StreamName = 'manifest' | 'data';

export interface Share {
  readonly id: CID;
  readonly key: Uint8Array;
  readonly root: Uint8Array;
  readonly chunks: Readonly<Record<StreamName, readonly Uint8Array[]>>;
}

/** What a share is made of: plaintext streams with their padding. */
export interface Recipe {
  readonly manifest: Uint8Array;
  readonly data: Uint8Array;
  /** Changes the share block before the commitment is made over it. */
  readonly twist?: (root: Fields) => Fields;
}

/** A share by format.md §3 to §5. What its plaintext and its share block say is not looked at. */
export function makeShare({ manifest, data, twist }: Recipe): Share {
  const key = randomBytes(32);
  return shareOfChunks(key, { manifest: seal(key, 'manifest', manifest), data: seal(key, 'data', data) }, twist);
}

/** A share of chunks that are sealed already. */
export function shareOfChunks(
  key: Uint8Array,
  chunks: Share['chunks'],
  twist: (root: Fields) => Fields = root => root,
): Share {
  const listOf = (sealed: readonly Uint8Array[]): Fields => {
    const size = sealed.reduce((sum, chunk) => sum + chunk.length - 16, 0);
    return { size, chunks: sealed.map(chunk => rawCid(sha256(chunk))) };
  };
  const bare = twist({
    type: 'share',
    version: 1,
    owner: ed25519.getPublicKey(randomBytes(32)),
    manifest: listOf(chunks.manifest),
    data: listOf(chunks.data),
  });
  const root = encode({ ...bare, commitment: commitment(key, bare) });
  return { id: dagCid(root), key, root, chunks };
}

/** A share block's commitment (format.md §3). */
export function commitment(key: Uint8Array, bare: Fields): Uint8Array {
  return createHmac('sha256', derive(key, 'commitment')).update(encode(bare)).digest();
}

/** A share of one file. */
export function shareOfFile(name: string, content: Uint8Array, more: Fields = {}): Share {
  const manifest = { kind: 'file', name, entries: [{ path: name, size: content.length }], ...more };
  return makeShare({ manifest: manifestStream(encode(manifest)), data: padded(content) });
}

/** `uint32(n) || cbor || zeros` (format.md §6) */
export function manifestStream(cbor: Uint8Array, length = cbor.length): Uint8Array {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(length);
  return padded(Buffer.concat([prefix, cbor]));
}

/** A stream with zeros up to `pad(L)` (format.md §4). */
export function padded(stream: Uint8Array): Uint8Array {
  const whole = Buffer.alloc(pad(stream.length));
  whole.set(stream);
  return whole;
}

function pad(length: number): number {
  const L = Math.max(length, 4096);
  const E = Math.floor(Math.log2(L));
  const step = 2 ** (E - (Math.floor(Math.log2(E)) + 1));
  return Math.ceil(L / step) * step;
}

function seal(key: Uint8Array, stream: StreamName, plaintext: Uint8Array): Uint8Array[] {
  const streamKey = derive(key, stream);
  return Array.from({ length: Math.ceil(plaintext.length / PIECE) }, (_, index) => {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(index, 8);
    const cipher = createCipheriv('aes-256-gcm', streamKey, nonce);
    const piece = plaintext.subarray(index * PIECE, (index + 1) * PIECE);
    return Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
  });
}

/** The keys of format.md §3. */
export function derive(key: Uint8Array, label: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, '', `shoal/1/${label}`, 32));
}

export function linkOf({ id, key }: Pick<Share, 'id' | 'key'>, hints: readonly string[]): string {
  return `shoal:${id.toString()}.${Buffer.from(key).toString('base64url')}@${hints.join(',')}`;
}

/** The id that a link names, and its hints. */
export function readLink(link: string): { id: CID; hints: string[] } {
  const [, id, hints] = /^shoal:(\w+)(?:\.[\w-]+)?@(.*)$/.exec(link) ?? [];
  if (id === undefined || hints === undefined) throw new Error('not a link with hints');
  return { id: CID.parse(id), hints: hints.split(',') };
}

/** The digests of a stream's chunks, in hexadecimal, as a share block lists them. */
export function listedIn(root: Uint8Array, stream: StreamName): string[] {
  const list = decode<Record<StreamName, { chunks: CID[] }>>(root)[stream];
  return list.chunks.map(cid => Buffer.from(cid.multihash.digest).toString('hex'));
}

export function sha256(...parts: (Uint8Array | string)[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The id of a share block or grant. */
export function dagCid(block: Uint8Array): CID {
  return CID.createV1(0x71, Digest.create(0x12, sha256(block)));
}

export function rawCid(digest: Uint8Array): CID {
  return CID.createV1(0x55, Digest.create(0x12, digest));
}
