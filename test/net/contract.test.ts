import { createNetwork } from '../../src/net/node.ts';
import type { Network } from '../../src/ports.ts';
import { networkContract } from '../contract/network.ts';
import { simNetwork } from '../sim/network.ts';
import { loopbackNode } from './harness.ts';

networkContract('The network in memory', async () => {
  const network = simNetwork(1);
  return [network.node('near'), network.node('far'), network.node('third')];
});

networkContract('The network in memory with delays', async () => {
  const network = simNetwork(2);
  const nodes = [network.node('near'), network.node('far'), network.node('third')] as const;
  for (const from of nodes) for (const to of nodes) network.fault(from, to, { maxDelayTurns: 3 });
  return nodes;
});

networkContract('libp2p on loopback', async (): Promise<readonly [Network, Network, Network]> => {
  const third = await createNetwork(loopbackNode({ dht: 'server' }));
  const [near, far] = await Promise.all([
    createNetwork(loopbackNode({ bootstrap: third.addresses(), dht: 'client' })),
    createNetwork(loopbackNode({ bootstrap: third.addresses(), dht: 'client' })),
  ]);
  return [near, far, third];
});
