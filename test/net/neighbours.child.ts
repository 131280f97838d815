/** Run in a network namespace: two processes that know nothing of each other but the local network. Prints what was found. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { idOf } from '../../src/format/ids.ts';
import { createNetwork } from '../../src/net/node.ts';
import { loopbackNode } from './harness.ts';

const network = await createNetwork(loopbackNode({ listen: ['/ip4/10.99.0.1/tcp/0'], mdns: true }));

if (process.argv[2] === 'other') {
  await network.serve('/test/1', channel => channel.close());
  process.send?.(network.self);
  process.on('disconnect', () => void network.stop());
} else {
  const other = fork(import.meta.filename, ['other']);
  const [peer] = (await once(other, 'message')) as [string];
  for await (const candidate of network.find(idOf(new Uint8Array(32)), [], new AbortController().signal)) {
    if (candidate.peer !== peer) continue;
    const channel = await network.connect(candidate, '/test/1', new AbortController().signal);
    console.log(JSON.stringify({ via: candidate.via, connected: channel.peer === peer }));
    await channel.close();
    break;
  }
  other.disconnect();
  await network.stop();
}
