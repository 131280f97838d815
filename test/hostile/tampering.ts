/** What happens to stored blocks, to conversations, to circuits and to answers of the DHT on the way to who fetches. */
import { encode } from '@ipld/dag-cbor';
import type { Stream, StreamMessageEvent } from '@libp2p/interface';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, rename, rm, truncate, writeFile, appendFile, symlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { dhtServer, GET_PROVIDERS, type DhtServer, type Reply, type Told } from './kad.ts';
import { Peer, rawFrame, type Share } from './peer.ts';
import { answer, greet, type Behaviour, type Talk, type Wanted } from './servers.ts';
import { strangers } from './sybils.ts';

/** An attack, and whether who is attacked by it gives the right bytes all the same. */
export interface Attack<T> {
  readonly does: T;
  readonly isHarmless?: true;
}

/** Given the folder with the chunks of the data as files, and a share that is older and as large. */
type OnDisk = (folder: string, older: Share) => Promise<void>;

export const STORE_ATTACKS: Readonly<Record<string, Attack<OnDisk>>> = {
  'two chunks are swapped': {
    does: async folder => {
      await rename(join(folder, '0'), join(folder, 'x'));
      await rename(join(folder, '1'), join(folder, '0'));
      await rename(join(folder, 'x'), join(folder, '1'));
    },
  },
  'all chunks are in another order': {
    does: async folder => {
      for (const [from, to] of ['2x', '12', '01', 'x0'].map(pair => [pair[0]!, pair[1]!] as const))
        await rename(join(folder, from), join(folder, to));
    },
  },
  'a chunk is gone': { does: folder => rm(join(folder, '1')) },
  'a chunk stands in the place of another too': { does: folder => copyFile(join(folder, '0'), join(folder, '1')) },
  "an older share's chunk is back": {
    does: (folder, older) => writeFile(join(folder, '1'), older.chunks.data[1]!),
  },
  "an older share's block and chunks are back": {
    does: async (folder, older) => {
      await writeFile(join(folder, '..', 'share'), older.root);
      for (const [index, chunk] of older.chunks.data.entries()) await writeFile(join(folder, String(index)), chunk);
    },
  },
  'a chunk is cut short': { does: folder => truncate(join(folder, '1'), 1000) },
  'a chunk is empty': { does: folder => truncate(join(folder, '1'), 0) },
  'bytes are behind a chunk': { does: folder => appendFile(join(folder, '2'), randomBytes(100)) },
  'a chunk has other bytes': {
    does: async (folder, { chunks }) => {
      await writeFile(join(folder, '1'), randomBytes(chunks.data[1]!.length));
    },
  },
  'files that are no chunks lie beside them': {
    does: async folder => {
      for (const name of ['3', '4095', '4096', '-1', '01', 'x', '1.tmp', '..x'])
        await writeFile(join(folder, name), randomBytes(1000));
      await mkdir(join(folder, '5'));
      await symlink('/etc/hostname', join(folder, '6'));
    },
    isHarmless: true,
  },
  'a link stands in the place of a chunk': {
    does: async folder => {
      await rm(join(folder, '1'));
      await symlink('/dev/zero', join(folder, '1'));
    },
  },
};

/** Makes the folder of chunks again as it was. */
export async function restore(folder: string, { root, chunks }: Share): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  await Promise.all(names.map(name => rm(join(folder, name), { recursive: true })));
  await writeFile(join(folder, '..', 'share'), root);
  for (const [index, chunk] of chunks.data.entries()) await writeFile(join(folder, String(index)), chunk);
}

/** Is honest about the manifest, and does `then` with each of the data that is asked for. */
function withData(then: (talk: Talk, wanted: Wanted, chunk: Uint8Array) => Promise<unknown>): Behaviour {
  return async talk => {
    await greet(talk, { credit: 4 * 2 ** 20 });
    await answer(talk, (wanted, chunk) =>
      wanted.stream === 'manifest' ? say(talk, wanted, chunk) : then(talk, wanted, chunk),
    );
  };
}

function say({ wire }: Talk, { kind, stream, index }: Wanted, chunk: Uint8Array): Promise<boolean> {
  return wire.say({ type: 'block', kind, stream, index }, chunk);
}

/** @param older a share that is older and as large */
export function peerAttacks(older: Share): Readonly<Record<string, Attack<Behaviour>>> {
  const instead = (change: (chunk: Uint8Array, wanted: Wanted, talk: Talk) => Uint8Array): Behaviour =>
    withData((talk, wanted, chunk) => say(talk, wanted, change(chunk, wanted, talk)));
  return {
    'swaps two chunks': {
      does: instead((chunk, { index }, { share }) => share.chunks.data[[1, 0][index] ?? index] ?? chunk),
    },
    'answers in another order': { does: reversed, isHarmless: true },
    'leaves a chunk out': {
      does: withData(async (talk, wanted, chunk) => wanted.index === 1 || (await say(talk, wanted, chunk))),
    },
    'sends a chunk twice': {
      does: withData(async (talk, wanted, chunk) => {
        await say(talk, wanted, chunk);
        await say(talk, wanted, chunk);
      }),
    },
    "sends an older share's chunk": { does: instead((chunk, { index }) => older.chunks.data[index] ?? chunk) },
    "sends an older share's block": {
      does: async talk => {
        await greet(talk, {}, older.root);
        await answer(talk, (wanted, chunk) => say(talk, wanted, chunk));
      },
    },
    'cuts a chunk short': { does: instead(chunk => chunk.subarray(0, 1000)) },
    'adds bytes to a chunk': {
      does: instead(chunk => Buffer.concat([chunk.subarray(0, 2 ** 20 - 9), Buffer.alloc(9)])),
    },
    'adds messages between chunks': {
      does: withData(async (talk, wanted, chunk) => {
        await talk.wire.send(rawFrame(encode({ type: 'gift' }), randomBytes(50)));
        await say(talk, wanted, chunk);
      }),
    },
    'sends what was not asked for': {
      does: withData(async (talk, wanted, chunk) => {
        await talk.wire.say({ type: 'block', kind: 'chunk', stream: 'data', index: 3 }, chunk);
        await say(talk, wanted, chunk);
      }),
    },
  };
}

/** Waits until all chunks of the data are asked for, and sends the last first: there is no order that must be kept. */
const reversed: Behaviour = async talk => {
  const waiting: (() => Promise<unknown>)[] = [];
  const { data } = talk.share.chunks;
  await withData(async (_talk, wanted, chunk) => {
    waiting.unshift(() => say(talk, wanted, chunk));
    if (waiting.length === data.length) for (const send of waiting) await send();
  })(talk);
};

/** What passes through a circuit, from who is reached to who has asked for it. */
type Passing = (bytes: Buffer, passedBefore: number) => readonly Uint8Array[];

/** Behind the handshake. */
const SOME = 100_000;

export const CIRCUIT_ATTACKS: Readonly<Record<string, Attack<Passing>>> = {
  'passes on what is said': { does: bytes => [bytes], isHarmless: true },
  'flips a bit': {
    does: (bytes, before) => {
      if (before > SOME) bytes[0]! ^= 1;
      return [bytes];
    },
  },
  'swaps halves': {
    does: (bytes, before) =>
      before > SOME ? [bytes.subarray(bytes.length / 2), bytes.subarray(0, bytes.length / 2)] : [bytes],
  },
  'leaves bytes out': { does: (bytes, before) => (before > SOME ? [bytes.subarray(1)] : [bytes]) },
  'says all twice': { does: (bytes, before) => (before > SOME ? [bytes, bytes] : [bytes]) },
  'puts bytes in': { does: (bytes, before) => (before > SOME ? [randomBytes(20), bytes] : [bytes]) },
  'says something else from the beginning': { does: bytes => [randomBytes(bytes.length)] },
  'passes on nothing': { does: () => [] },
};

const HOP = '/libp2p/circuit/relay/0.2.0/hop';
/** `{ type: STATUS, status: OK }` with its length in front. */
const CONNECTED = Uint8Array.of(4, 0x08, 2, 0x28, 100);

/** A relay that answers every request for a circuit by a connection to `port`, and does `passing` with what comes from there. */
export async function circuitRelay(port: number, passing: Passing): Promise<Peer> {
  const relay = await Peer.start();
  const pass = (stream: Stream): void => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    let passed = 0;
    let isAsked = false;
    stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
      if (isAsked) socket.write(data.subarray());
      else stream.send(CONNECTED);
      isAsked = true;
    });
    stream.addEventListener('close', () => socket.destroy());
    socket.on('data', bytes => {
      for (const part of passing(bytes, passed)) if (stream.status === 'open') stream.send(part);
      passed += bytes.length;
    });
    socket.on('close', () => stream.abort(new Error('gone')));
  };
  await relay.node.handle(HOP, pass, { maxInboundStreams: 100, runOnLimitedConnection: true });
  return relay;
}

/** What a server of the DHT says of providers; `right` has the share. */
type Telling = (right: Told, other: Told) => Reply;

export const DHT_ATTACKS: Readonly<Record<string, Attack<Telling>>> = {
  "names another share's provider": { does: (_right, other) => ({ providers: [other] }) },
  'names nobody': { does: () => ({}) },
  'names the provider fifty times': { does: right => ({ providers: Array(50).fill(right) }), isHarmless: true },
  'names the provider where it was once': {
    does: ({ id }) => ({ providers: [{ id, addresses: ['/ip4/127.0.0.1/tcp/1'] }] }),
  },
  'names others at the place of the provider': {
    does: ({ addresses }) => ({ providers: strangers(5).map(({ id }) => ({ id, addresses })) }),
  },
  'names a thousand strangers': { does: () => ({ providers: strangers(200), closer: strangers(200) }) },
  'breaks off within a message': { does: () => Buffer.from('ff01080312', 'hex') },
  'says bytes that are no message': { does: () => Buffer.concat([Buffer.from([100]), randomBytes(100)]) },
  'claims a message of 2 GB': { does: () => Buffer.concat([Buffer.from('ffffffff07', 'hex'), randomBytes(1000)]) },
  'names peers that are none, at addresses that are none': {
    does: () => Buffer.from('1608034a0a0a0301020312030a0b0c42060a0401020304', 'hex'),
  },
  'says nothing': { does: () => undefined },
};

export function tellingServer(telling: Telling, right: Told, other: Told): Promise<DhtServer> {
  return dhtServer(({ type }) => (type === GET_PROVIDERS ? telling(right, other) : {}));
}

/** What is served at the origin of a relay in the place of its information document. */
export const DOCUMENTS: Readonly<Record<string, (peer: string, address: string) => string | Buffer>> = {
  'is no JSON': () => randomBytes(2000),
  'breaks off': (peer, address) => JSON.stringify(documentOf(peer, address)).slice(0, -20),
  'is of a later version': (peer, address) => JSON.stringify({ ...documentOf(peer, address), shoal: 2 }),
  'has addresses of another peer': (_peer, address) =>
    JSON.stringify(documentOf('12D3KooWK98A5qKRAA9qZccvoJLvcLu68PCFZLNfdd81iQLvHj6W', address)),
  'has ten megabytes': (peer, address) =>
    JSON.stringify({ ...documentOf(peer, address), more: 'x'.repeat(10_000_000) }),
  'names nobody': () => '{}',
};

function documentOf(peer: string, address: string): object {
  return {
    shoal: 1,
    ...{ name: 'relay', version: '1', peer, addresses: [address], retention: 'none', lists: [] },
    roles: { dht: true, circuit: true, autonat: true, store: true },
    limits: {
      anonymous: {
        ...{ reservationSeconds: 3600, circuitBytes: 2 ** 27, circuitSeconds: 1800 },
        ...{ leases: 64, storedBytes: 1e9, leaseSeconds: 604_800 },
      },
    },
  };
}
