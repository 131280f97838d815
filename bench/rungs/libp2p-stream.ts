/**
 * Rung: bytes over one bare libp2p stream (TCP, noise or TLS, yamux) between two processes, in writes of 1 MiB. The
 * sender waits until the receiver has had all of them. `--security noise|tls`.
 */
import { noise } from '@chainsafe/libp2p-noise';
import type { Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { measureSelf, rungOptions } from '../harness.ts';

const PROTOCOL = '/shoal/bench/1.0.0';

const { size, to, security } = rungOptions('to', 'security');
const name = security === 'tls' ? 'TCP+TLS+yamux' : 'TCP+noise+yamux';
const node = await createLibp2p({
  addresses: { listen: to === undefined ? ['/ip4/127.0.0.1/tcp/0'] : [] },
  transports: [tcp()],
  connectionEncrypters: [security === 'tls' ? tls() : noise()],
  streamMuxers: [yamux()],
  connectionMonitor: { enabled: false },
});
await (to === undefined ? receive() : send(to));
await node.stop();

async function receive(): Promise<void> {
  const streams = Promise.withResolvers<Stream>();
  await node.handle(PROTOCOL, stream => {
    streams.resolve(stream);
  });
  console.log(node.getMultiaddrs()[0]?.toString());
  const stream = await streams.promise;
  const closed = once(stream, 'close');
  await measureSelf(`${name}/receive`, size, async () => {
    const complete = Promise.withResolvers<undefined>();
    let received = 0;
    // Event by event: an iterator gives no back-pressure and would be cut off once it fell behind.
    stream.addEventListener('message', ({ data }) => {
      received += data.byteLength;
      if (received >= size) complete.resolve(undefined);
    });
    stream.addEventListener('close', () => {
      complete.reject(new Error(`received ${String(received)} of ${String(size)} bytes`));
    });
    await complete.promise;
    stream.send(new Uint8Array(1));
  });
  // The sender ends the connection, once it has had the answer.
  await closed;
}

async function send(address: string): Promise<void> {
  const stream = await node.dialProtocol(multiaddr(address), PROTOCOL);
  const piece = randomBytes(2 ** 20);
  await measureSelf(`${name}/send`, size, async () => {
    const answered = once(stream, 'message');
    for (let sent = 0; sent < size; sent += piece.length) {
      if (!stream.send(piece.subarray(0, size - sent))) await once(stream, 'drain');
    }
    await answered;
  });
}
