/**
 * Leaves a share at a relay: `--file PATH --to ADDRESS --home FOLDER`. Encrypts first, and prints one line of JSON each when
 * that is done, when the relay has said that it takes the share, and, with a link that leads to the relay alone, when it has
 * given its receipt.
 */
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/clock.ts';
import { formatLink } from '../../src/format/link.ts';
import { parseHint } from '../../src/format/hint.ts';
import { fileKey } from '../../src/format/keys.ts';
import { ShoalNode } from '../../src/node.ts';
import { upload } from '../../src/upload.ts';
import { LOOPBACK, NEVER, SHARE_OPTIONS } from '../rungs/built.ts';

const LEASE_SECONDS = 86_400;

const { values } = parseArgs({
  options: {
    file: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    home: { type: 'string', default: '' },
  },
});
const relay = parseHint(values.to);
if (relay.kind !== 'multiaddr') throw new TypeError('--to takes a multiaddr');
const node = await ShoalNode.start({ home: values.home, network: LOOPBACK, holds: true, log: () => undefined });
const { home, network } = node;
if (home === undefined || network === undefined) throw new Error('the node has a home and a network');
const request = { ...SHARE_OPTIONS, pad: false, paths: [values.file], spooled: false };
const { id, key } = await node.share(request, () => undefined, NEVER);
node.service.serve(id);
const block = await home.store.read(id, { kind: 'share' });
console.log(JSON.stringify({ event: 'shared' }));
await upload(
  { network, clock: systemClock },
  {
    relay: { peer: relay.peer, addresses: [values.to], via: 'hint' },
    id,
    block,
    until: Math.floor(systemClock.now() / 1000) + LEASE_SECONDS,
  },
  ({ event }) => event === 'accepted' && console.log(JSON.stringify({ event })),
  NEVER,
);
console.log(JSON.stringify({ event: 'stored', link: formatLink({ id, key: fileKey(key), hints: [relay] }) }));
await node.stop();
