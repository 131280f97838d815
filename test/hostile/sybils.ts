/** A crowd of DHT servers whose places were chosen: all around one rendezvous key. */
import { ed25519 } from '@noble/curves/ed25519.js';
import { randomBytes } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { dhtServer, PEER_PREFIX, seedsNear, type DhtServer, type Query, type Reply, type Told } from './kad.ts';
import type { Peer, PeerOptions } from './peer.ts';

const SYBILS = 20;
/** Each of some dozen honest servers shares four or five bits with a key by chance; this takes a second of computing. */
const BITS = 10;

/** What each of them says; `others` are all of them. */
export type Saying = (query: Query, others: readonly Told[]) => Reply;

export interface Sybils {
  readonly hints: readonly string[];
  readonly peers: readonly Peer[];
  /** Questions for providers so far. */
  readonly asked: () => number;
  stop(): Promise<void>;
}

/** Seeds for all of them, which takes seconds. @param key the multihash of the rendezvous key */
export function sybilSeeds(key: Uint8Array): Uint8Array[] {
  return seedsNear(key, BITS, SYBILS);
}

export async function startSybils(
  seeds: readonly Uint8Array[],
  saying: Saying,
  options: PeerOptions = {},
): Promise<Sybils> {
  const others: Told[] = [];
  const servers: DhtServer[] = [];
  for (const seed of seeds) servers.push(await dhtServer(query => saying(query, others), { ...options, seed }));
  others.push(...servers.map(({ told }) => told));
  return {
    hints: servers.map(({ hint }) => hint),
    peers: servers.map(({ peer }) => peer),
    asked: () => servers.reduce((sum, { asked }) => sum + asked(), 0),
    stop: async () => {
      await Promise.all(servers.map(({ peer }) => peer.stop()));
    },
  };
}

/** Peers that nobody has met, at an address where nobody is. */
export function strangers(count: number, port = 1): Told[] {
  return Array.from({ length: count }, () => ({
    id: Buffer.concat([PEER_PREFIX, ed25519.getPublicKey(randomBytes(32))]),
    addresses: [`/ip4/127.0.0.1/tcp/${port}`],
  }));
}

/** Takes connections and never says a word. */
export async function silentPort(): Promise<{ port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('this listens at no port');
  const stop = async (): Promise<void> => {
    sockets.forEach(socket => socket.destroy());
    await new Promise(resolve => server.close(resolve));
  };
  return { port: address.port, stop };
}
