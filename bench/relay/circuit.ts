/**
 * One end of a fetch through a relay's circuit. `--file PATH --to ADDRESS --home FOLDER` shares from behind the relay, and
 * prints a link once it has a reservation; `--link LINK --output PATH` fetches. In between are the verbs of shoal, and
 * libp2p's own client of relays; what is printed is as the command line prints it.
 */
import { noise } from '@chainsafe/libp2p-noise';
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { identify } from '@libp2p/identify';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/clock.ts';
import { poolCrypto } from '../../src/crypto/pool.ts';
import { fetch } from '../../src/fetch.ts';
import { folderDestination } from '../../src/files/destination.ts';
import { parseHint } from '../../src/format/hint.ts';
import { parseLink } from '../../src/format/link.ts';
import { MAX_CONNECTIONS, MAX_READ_BUFFER_BYTES, MAX_STREAM_WINDOW_BYTES } from '../../src/limits.ts';
import { Lines } from '../../src/net/lines.ts';
import { noiseCrypto } from '../../src/net/noise-crypto.ts';
import { channelOf } from '../../src/net/streams.ts';
import { ShoalNode } from '../../src/node.ts';
import type { Candidate, Channel, Network } from '../../src/ports.ts';
import { Server } from '../../src/serve.ts';
import { diskStore } from '../../src/store/disk.ts';
import { NEVER, SHARE_OPTIONS } from '../rungs/built.ts';

const STREAM_OPTIONS = { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES, maxReadBufferLength: MAX_READ_BUFFER_BYTES };

const { values } = parseArgs({
  options: {
    file: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    home: { type: 'string', default: '' },
    link: { type: 'string' },
    output: { type: 'string', default: '' },
  },
});
await (values.link === undefined ? share() : get(values.link));

async function share(): Promise<void> {
  const node = await ShoalNode.start({ home: values.home, holds: false, log: () => undefined });
  const { home } = node;
  if (home === undefined) throw new Error('the node has a home');
  const request = { ...SHARE_OPTIONS, pad: false, paths: [values.file], spooled: false };
  const { id } = await node.share(request, () => undefined, NEVER);
  const { libp2p, network } = await startNetwork([`${values.to}/p2p-circuit`]);
  const server = await Server.start({
    network,
    source: home.source,
    refusals: { for: () => undefined },
    clock: systemClock,
    log: () => undefined,
  });
  server.add(id);
  const [address = ''] = network.addresses();
  console.log(JSON.stringify({ event: 'shared', link: node.linkOf(id, [parseHint(address)]) }));
  await once(process, 'SIGINT');
  await libp2p.stop();
  await node.stop();
}

async function get(text: string): Promise<void> {
  const link = parseLink(text);
  const { libp2p, network } = await startNetwork([]);
  const crypto = poolCrypto();
  const destination = await folderDestination({
    id: link.id,
    output: values.output,
    storeIn: folder => {
      const store = diskStore({ folder, crypto, random: randomBytes });
      return { store, close: () => store.close().then(() => folder.close()) };
    },
  });
  const deps = { network, crypto, clock: systemClock };
  await fetch(
    deps,
    { link, destination, force: false },
    ({ event }) => event === 'opened' && console.log(JSON.stringify({ event })),
    NEVER,
  );
  console.log(JSON.stringify({ event: 'done' }));
  await destination.close();
  await crypto.close();
  await libp2p.stop();
}

/** A node whose channels may go through circuits, and nowhere else. */
async function startNetwork(listen: string[]): Promise<{ libp2p: Libp2p; network: Network }> {
  const lines = new Lines();
  const libp2p = await createLibp2p({
    addresses: { listen },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise({ crypto: noiseCrypto })],
    streamMuxers: [() => lines.noting(yamux({ streamOptions: STREAM_OPTIONS })())],
    services: { identify: identify() },
  });
  while (listen.length > 0 && libp2p.getMultiaddrs().length === 0) await once(libp2p, 'self:peer:update');
  const channel = (stream: Stream, { remotePeer, remoteAddr }: Connection): Channel => {
    const remote = { peer: remotePeer.toString(), address: remoteAddr.toString() };
    return channelOf(stream, remote, systemClock, lines.below(stream));
  };
  const network: Omit<Network, 'peers' | 'survey' | 'settled' | 'stop'> = {
    self: libp2p.peerId.toString(),
    addresses: () => libp2p.getMultiaddrs().map(String),
    status: () => ({
      connections: libp2p.getConnections().length,
      dhtPeers: undefined,
      startingPoints: 0,
      lanPeers: undefined,
      portMapping: 'off',
      maxConnections: MAX_CONNECTIONS,
    }),
    async connect({ addresses }, protocol, signal) {
      const targets = addresses.map(address => multiaddr(address));
      const connection = await libp2p.dial(targets, { signal });
      return channel(await connection.newStream(protocol, { signal, runOnLimitedConnection: true }), connection);
    },
    async serve(protocol, handler) {
      const answer = async (stream: Stream, connection: Connection): Promise<void> => {
        const one = channel(stream, connection);
        await handler(one).catch((error: unknown) => one.abort(error as Error));
      };
      await libp2p.handle(protocol, answer, { runOnLimitedConnection: true });
    },
    async *find(_id, hints) {
      for (const hint of hints) {
        if (hint.kind !== 'multiaddr') continue;
        const found: Candidate = { peer: hint.peer, addresses: [hint.text], via: 'hint' };
        yield await Promise.resolve(found);
      }
    },
    announce: () => undefined,
    unannounce: () => undefined,
  };
  // The verbs use nothing else of it.
  return { libp2p, network: network as Network };
}
