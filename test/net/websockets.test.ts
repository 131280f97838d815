import { expect } from 'chai';
import { noise } from '@chainsafe/libp2p-noise';
import type { Connection, Libp2p } from '@libp2p/interface';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { once } from 'node:events';
import { webSocketTransport } from '../../src/net/websockets.ts';

describe('webSocketTransport', () => {
  const nodes: Libp2p[] = [];

  const start = async (listen: string[]): Promise<Libp2p> => {
    const node = await createLibp2p({
      addresses: { listen },
      transports: [webSocketTransport],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    nodes.push(node);
    return node;
  };

  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.stop();
  });

  const ends: Record<string, (connection: Connection) => unknown> = {
    closed: connection => connection.close(),
    aborted: connection => connection.abort(new Error('enough')),
  };
  for (const [how, end] of Object.entries(ends)) {
    for (const side of ['dialled', 'was dialled'] as const) {
      it(`takes the WebSocket with a connection that is ${how} by who ${side}`, async function () {
        // Without that, the muxer sees after ten seconds that nothing answers.
        this.timeout(5_000);
        const listener = await start(['/ip4/127.0.0.1/tcp/0/ws']);
        const dialler = await start([]);
        const opened = once(listener, 'connection:open') as Promise<[CustomEvent<Connection>]>;
        const out = await dialler.dial(listener.getMultiaddrs());
        const [{ detail: into }] = await opened;
        const [here, there] = side === 'dialled' ? [out, into] : [into, out];
        const over = once(there, 'close');
        await end(here);
        await over;
        expect(there.status).not.to.equal('open');
      });
    }
  }
});
