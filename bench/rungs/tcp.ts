/** Rung: bytes over a bare TCP socket between two processes; the sender waits until the receiver has had all of them. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { measureSelf, rungOptions } from '../harness.ts';

const { size, to } = rungOptions('to');
await (to === undefined ? receive() : send(Number(to)));

async function receive(): Promise<void> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  console.log((server.address() as AddressInfo).port);
  const [socket] = (await once(server, 'connection')) as [Socket];
  await measureSelf('TCP/receive', size, async () => {
    let received = 0;
    socket.on('data', bytes => (received += bytes.length));
    await once(socket, 'end');
    if (received !== size) throw new Error(`received ${String(received)} of ${String(size)} bytes`);
    socket.end();
  });
  server.close();
}

async function send(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const piece = randomBytes(2 ** 20);
  await measureSelf('TCP/send', size, async () => {
    for (let sent = 0; sent < size; sent += piece.length) {
      if (!socket.write(piece.subarray(0, size - sent))) await once(socket, 'drain');
    }
    socket.end();
    await once(socket.resume(), 'end');
  });
}
