/**
 * Run in a network namespace with addresses that count as public: a node reads through a relay from one that listens on
 * nothing, which then dials the reader, as that can be reached. Prints the ways that were taken.
 */
import { CHUNKS_PROTOCOL } from '../../src/protocol/messages.ts';
import { createNetwork } from '../../src/net/node.ts';
import { loopbackNode } from './harness.ts';
import { Relay } from './relay.ts';

const never = new AbortController().signal;
const relay = await Relay.start({}, '45.0.0.1');
const home = await createNetwork(loopbackNode({ listen: [] }));
const reader = await createNetwork(loopbackNode({ listen: ['/ip4/45.0.0.2/tcp/0'] }));
await home.serve(CHUNKS_PROTOCOL, async channel => {
  for await (const { header } of channel.frames()) await channel.send(header);
});
home.reserve(relay.place);
await home.settled(never);
const candidate = { peer: home.self, addresses: home.addresses(), via: 'hint' } as const;
const first = await reader.connect(candidate, CHUNKS_PROTOCOL, never);
try {
  for await (const frame of first.frames()) throw new Error(`unasked for: ${frame.header.length} bytes`);
} catch {
  // A direct connection takes its place.
}
const then = await reader.connect(candidate, CHUNKS_PROTOCOL, never);
const dialledBy = reader.peers().find(({ peer, path }) => peer === home.self && path === 'direct')?.direction;
console.log(JSON.stringify({ first: first.path, then: then.path, dialledBy }));
await Promise.all([home.stop(), reader.stop()]);
await relay.stop();
