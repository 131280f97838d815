/** Starts nodes that do all that a node does, stops them, and says after how many milliseconds the process ended by itself. */
import { idOf } from '../../src/format/ids.ts';
import { createNetwork } from '../../src/net/node.ts';
import { loopbackNode } from './harness.ts';

const id = idOf(new Uint8Array(32).fill(1));
const server = await createNetwork(loopbackNode({ dht: 'server' }));
const [near, far] = await Promise.all(
  [1, 2].map(() => createNetwork(loopbackNode({ bootstrap: server.addresses(), dht: 'client' }))),
);
if (near === undefined || far === undefined) throw new Error('no nodes');
await far.serve('/test/1', async channel => {
  for await (const { header } of channel.frames()) await channel.send(header);
});
far.announce(id);
for await (const candidate of near.find(id, [], new AbortController().signal)) {
  const channel = await near.connect(candidate, '/test/1', new AbortController().signal);
  await channel.send(new Uint8Array(10));
  await channel.frames()[Symbol.asyncIterator]().next();
  await channel.close();
  break;
}
for (const node of [near, far, server]) await node.stop();
const stoppedAt = performance.now();
process.on('exit', () => console.log((performance.now() - stoppedAt).toFixed(0)));
