/**
 * Run in a network namespace with public addresses: tells a relay, in every way there is, of addresses inside its own
 * network, at which nobody should ever be knocked. Prints the listeners that were, and what was tried.
 *
 * node told.child.ts FOLDER LAN
 */
import { identify, identifyPush } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { noise } from '@chainsafe/libp2p-noise';
import type { Stream, StreamMessageEvent } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { inAnHour, Owner, ownShare, STORE } from './owners.ts';
import { frame } from './peer.ts';
import { Relay } from './relays.ts';

const KAD = '/shoal/kad/1.0.0';
const AUTONAT = '/libp2p/autonat/1.0.0';
const HOP = '/libp2p/circuit/relay/0.2.0/hop';
const [, , folder = '', lan] = process.argv;
const RELAY = '5.5.5.1';
const ATTACKER = '5.5.5.2';
const OWNER = '5.5.6.3';
const PORT = 4777;
/** What stands behind the port of each: loopback, link-local, private. */
const CANARIES = ['127.0.0.1', '::1', '169.254.7.7', '10.7.7.7'];
/** The same places in other words. */
const ALIASES = [
  '/ip4/0.0.0.0',
  '/ip6/::',
  '/ip6/::ffff:127.0.0.1',
  '/ip6/64:ff9b::7f00:1',
  '/dns4/localhost',
  '/dns6/localhost',
  '/ip4/127.1.2.3',
];

const knocked = new Set<string>();
const servers = ['0.0.0.0', '::'].map(host => {
  const server = createServer(socket => {
    knocked.add(String(socket.localAddress));
    socket.destroy();
  });
  return server.listen({ host, port: PORT, ipv6Only: true });
});
const places = [...CANARIES.map(host => `/ip${host.includes(':') ? 6 : 4}/${host}`), ...ALIASES];
const told = places.map(place => multiaddr(`${place}/tcp/${PORT}`));

const relay = await Relay.start({ home: `${folder}/relay`, isLan: lan === 'lan', listen: [`/ip4/${RELAY}/tcp/4001`] });
const tried: Record<string, number> = { queries: 0 };
/** A peer that says that it is at the canaries, too. */
const attacker = await createLibp2p({
  addresses: { listen: [`/ip4/${ATTACKER}/tcp/0`], appendAnnounce: told.map(String) },
  transports: [tcp({ dialOpts: { localAddress: ATTACKER } as object })],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), push: identifyPush(), ping: ping() },
  connectionGater: { denyDialMultiaddr: () => false },
});
await attacker.handle(KAD, stream => answerKad(stream), { maxInboundStreams: 1000 });
const connection = await attacker.dial(multiaddr(relay.hint));
await sleep(500);

// AutoNAT: dial me there.
const self = attacker.peerId.toMultihash().bytes;
const dial = field(2, field(1, Buffer.concat([field(1, self), ...told.map(({ bytes }) => field(2, bytes))])));
await say(AUTONAT, Buffer.concat([number(1, 0), dial]));
// Hop: connect me to one who is there.
const stranger = await strangerAtCanaries();
await say(HOP, Buffer.concat([number(1, 1), field(2, stranger)]));
// The DHT: I provide this, and am there; who else does?
const key = Buffer.concat([Buffer.from([0x12, 0x20]), Buffer.alloc(32, 7)]);
const me = Buffer.concat([field(1, self), ...told.map(({ bytes }) => field(2, bytes))]);
await say(KAD, Buffer.concat([number(1, 2), field(2, key), field(9, me)]));
for (const type of [3, 4]) {
  const peers = await Promise.all(Array.from({ length: 5 }, strangerAtCanaries));
  await say(KAD, Buffer.concat([number(1, type), field(2, key), ...peers.map(peer => field(8, peer))]));
}

// What it keeps for somebody it announces in the DHT, for which it asks the attacker who else is there.
const owner = await Owner.start({ from: OWNER, listen: null });
await owner.keep(relay.hint, ownShare(5000));
for (let waited = 0; waited < 100 && (tried['queries'] === 0 || (lan === 'lan' && knocked.size === 0)); waited++)
  await sleep(100);

// It is asked to get a share from who is gone, and knows other addresses of that one.
const wire = await attacker.dialProtocol(multiaddr(relay.hint), STORE);
wire.send(frame({ type: 'ask', until: inAnHour() }, ownShare(5000).root));
await sleep(50);
connection.abort(new Error('gone'));
await sleep(1500);
await relay.stands(({ uploads }) => uploads === 0);

const isRunning = relay.isRunning;
await owner.stop();
await attacker.stop();
const { code } = await relay.stop();
for (const server of servers) server.close();
console.log(JSON.stringify({ knocked: [...knocked].sort(), tried, isRunning, code }));

/** Answers whatever the DHT asks with strangers at the canaries. */
async function answerKad(stream: Stream): Promise<void> {
  stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
    const asked = Buffer.from(data.subarray());
    const type = asked[asked.indexOf(0x08) + 1] ?? 4;
    tried['queries'] = (tried['queries'] ?? 0) + 1;
    void Promise.all(Array.from({ length: 8 }, strangerAtCanaries)).then(peers => {
      stream.send(delimited(Buffer.concat([number(1, type), ...peers.map(peer => field(8, peer))])));
    });
  });
}

/** A peer message: an id that nobody has met, and the canaries as its addresses. */
async function strangerAtCanaries(): Promise<Buffer> {
  const id = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toMultihash().bytes;
  return Buffer.concat([field(1, id), ...told.map(({ bytes }) => field(2, bytes))]);
}

/** Says one message on a stream of its own, and gives the relay time to act on it until it answers or does not. */
async function say(protocol: string, message: Uint8Array): Promise<void> {
  const stream = await connection.newStream(protocol);
  const answered = new Promise(resolve => stream.addEventListener('message', resolve, { once: true }));
  stream.send(delimited(message));
  await Promise.race([answered, sleep(700)]);
  tried[protocol] = (tried[protocol] ?? 0) + 1;
  stream.abort(new Error('enough'));
}

function varint(value: number): Buffer {
  return value < 0x80
    ? Buffer.from([value])
    : Buffer.concat([Buffer.from([(value & 0x7f) | 0x80]), varint(value >>> 7)]);
}

function field(index: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint((index << 3) | 2), varint(bytes.length), bytes]);
}

function number(index: number, value: number): Buffer {
  return Buffer.concat([varint(index << 3), varint(value)]);
}

function delimited(message: Uint8Array): Buffer {
  return Buffer.concat([varint(message.length), message]);
}
