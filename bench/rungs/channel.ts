/**
 * Rung: bytes as messages of 1 MiB over one channel of our network (TCP, noise, yamux) between two processes; the
 * receiver takes the messages and drops them. The sender waits until the receiver has had all of them.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { MAX_BLOCK_BYTES } from '../../src/limits.ts';
import { createNetwork } from '../../src/net/node.ts';
import type { Channel, Clock } from '../../src/ports.ts';
import { measureSelf, rungOptions } from '../harness.ts';

const PROTOCOL = '/shoal/bench-channel/1.0.0';
const HEADER = new Uint8Array(20);

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleepFor(ms, undefined, signal === undefined ? {} : { signal }),
};

const { size, to } = rungOptions('to');
const network = await createNetwork({
  seed: randomBytes(32),
  listen: to === undefined ? ['/ip4/127.0.0.1/tcp/0'] : [],
  bootstrap: [],
  mdns: false,
  dht: 'off',
  clock,
  log: () => undefined,
});
await (to === undefined ? receive() : send(to));
await network.stop();

async function receive(): Promise<void> {
  const channels = Promise.withResolvers<Channel>();
  await network.serve(PROTOCOL, async channel => {
    channels.resolve(channel);
  });
  console.log(network.addresses()[0]);
  const channel = await channels.promise;
  await measureSelf('channel/receive', size, async () => {
    let received = 0;
    for await (const { body } of channel.frames()) received += body.length;
    if (received !== size) throw new Error(`received ${String(received)} of ${String(size)} bytes`);
  });
  await channel.close();
}

async function send(address: string): Promise<void> {
  const peer = address.split('/p2p/')[1] ?? '';
  const candidate = { peer, addresses: [address], via: 'hint' } as const;
  const channel = await network.connect(candidate, PROTOCOL, new AbortController().signal);
  const piece = randomBytes(MAX_BLOCK_BYTES);
  await measureSelf('channel/send', size, async () => {
    for (let sent = 0; sent < size; sent += piece.length) await channel.send(HEADER, piece.subarray(0, size - sent));
    await channel.close();
    // The receiver closes in turn when it has had everything.
    for await (const frame of channel.frames())
      throw new Error(`unexpected message of ${String(frame.body.length)} bytes`);
  });
}
