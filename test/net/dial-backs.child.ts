/** Run in a network namespace with two public addresses: asks a relay to dial addresses, and prints what it answers. */
import { noise } from '@chainsafe/libp2p-noise';
import type { Connection } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { reader, writer } from 'protons-runtime';
import { readMessage } from '../../src/net/hop-messages.ts';
import { createNetwork } from '../../src/net/node.ts';
import type { Admission } from '../../src/protocol/admission.ts';
import { loopbackNode } from './harness.ts';

const admission: Admission = {
  admit: () => ({ release: () => undefined }),
  spend: () => undefined,
  quotasOf: () => {
    throw new Error('nothing here has a quota');
  },
};
const relay = await createNetwork(
  loopbackNode({ listen: ['/ip4/1.2.3.4/tcp/4001'], forOthers: { admission, circuit: false, autonat: true } }),
);
const asker = await createLibp2p({
  addresses: { listen: ['/ip4/5.6.7.8/tcp/4001', '/ip4/127.0.0.1/tcp/4002'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
});
const connection = await asker.dial(multiaddr(relay.addresses()[0]));
const dialled: string[] = [];
asker.addEventListener('connection:open', ({ detail }) => {
  if (detail.direction === 'inbound') dialled.push('yes');
});
const answers: Record<string, number | undefined> = {};
for (const address of [
  '/ip4/5.6.7.8/tcp/4001',
  '/ip4/5.6.7.8/tcp/4009',
  '/ip4/5.6.7.9/tcp/4001',
  '/ip4/127.0.0.1/tcp/4002',
  '/dns4/localhost/tcp/4002',
]) {
  answers[address] = await ask(connection, address);
}
console.log(JSON.stringify({ answers, dialled: dialled.length, stillOpen: connection.status === 'open' }));
await asker.stop();
await relay.stop();

/** The status of the answer (libp2p's AutoNAT v1). */
async function ask(to: Connection, address: string): Promise<number | undefined> {
  const stream = await to.newStream('/libp2p/autonat/1.0.0');
  const peer = writer().uint32(10).bytes(asker.peerId.toMultihash().bytes).uint32(18).bytes(multiaddr(address).bytes);
  const dial = writer().uint32(10).bytes(peer.finish()).finish();
  stream.send(writer().bytes(writer().uint32(8).uint32(0).uint32(18).bytes(dial).finish()).finish());
  const answer = reader(await readMessage(stream, AbortSignal.timeout(10_000)));
  await stream.close();
  let status: number | undefined;
  while (answer.pos < answer.len) {
    if (answer.uint32() >>> 3 !== 3) {
      answer.skip();
      continue;
    }
    const response = reader(answer.bytes());
    while (response.pos < response.len) {
      const tag = response.uint32();
      if (tag >>> 3 === 1) status = response.uint32();
      else response.skipType(tag & 7);
    }
  }
  return status;
}
