/**
 * Shares from behind a relay: `--file PATH --to ADDRESS --home FOLDER` listens on nothing, and prints a link once it has a
 * reservation, as the command line prints it.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/clock.ts';
import { parseHint } from '../../src/format/hint.ts';
import { createNetwork } from '../../src/net/node.ts';
import { ShoalNode } from '../../src/node.ts';
import { Server } from '../../src/serve.ts';
import { NEVER, SHARE_OPTIONS } from '../rungs/built.ts';

const { values } = parseArgs({
  options: {
    file: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    home: { type: 'string', default: '' },
  },
});
const log = (): void => undefined;
const node = await ShoalNode.start({ home: values.home, holds: false, log });
const { home } = node;
if (home === undefined) throw new Error('the node has a home');
const { id } = await node.share(
  { ...SHARE_OPTIONS, pad: false, paths: [values.file], spooled: false },
  () => undefined,
  NEVER,
);
const network = await createNetwork({
  ...{ seed: randomBytes(32), listen: [], bootstrap: [], mdns: false, dht: 'off', clock: systemClock, log },
});
const server = await Server.start({
  ...{ network, source: home.source, refusals: { for: () => undefined }, clock: systemClock, log },
});
server.add(id);
const peer = values.to.slice(values.to.lastIndexOf('/') + 1);
network.reserve({ peer, addresses: [values.to] });
await network.settled(NEVER);
const [address = ''] = network.addresses();
console.log(JSON.stringify({ event: 'shared', link: node.linkOf(id, [parseHint(address)]) }));
await once(process, 'SIGINT');
await network.stop();
await node.stop();
