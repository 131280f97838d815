/**
 * WebSockets to listen on, too. What connects there first has to say, by HTTP, that it wants one; until then libp2p knows
 * nothing of it, and would wait for it for ever.
 */
import type { Listener, Transport } from '@libp2p/interface';
import { webSockets, type WebSocketsComponents } from '@libp2p/websockets';
import type { Server as HttpServer } from 'node:http';
import type { Server, Socket } from 'node:net';
import { INBOUND_HANDSHAKE_MS, MAX_PENDING_INBOUND } from '../limits.ts';

/** The transport, whose listeners hang up on who does not ask for a WebSocket in time. */
export function listeningWebSockets(components: WebSocketsComponents): Transport {
  const transport = webSockets()(components);
  const createListener = transport.createListener.bind(transport);
  transport.createListener = options => impatient(createListener(options));
  return transport;
}

/** What a listener of libp2p's has inside: it hands sockets to the HTTP server by hand, whose own timeouts do not run then. */
interface WithServers {
  readonly server: Server;
  readonly http?: HttpServer;
}

function impatient(listener: Listener): Listener {
  const waiting = new Map<unknown, NodeJS.Timeout>();
  const done = (socket: unknown): void => {
    clearTimeout(waiting.get(socket));
    waiting.delete(socket);
  };
  const { server } = listener as unknown as WithServers;
  server.prependListener('connection', (socket: Socket) => {
    socket.on('error', () => socket.destroy());
    if (waiting.size >= MAX_PENDING_INBOUND) {
      socket.destroy();
      return;
    }
    waiting.set(
      socket,
      setTimeout(() => socket.destroy(), INBOUND_HANDSHAKE_MS),
    );
    socket.once('close', () => done(socket));
  });
  const listen = listener.listen.bind(listener);
  listener.listen = async address => {
    await listen(address);
    (listener as unknown as WithServers).http?.on('upgrade', (_request, socket) => done(socket));
  };
  const close = listener.close.bind(listener);
  listener.close = async () => {
    const closed = close();
    for (const socket of waiting.keys()) (socket as Socket).destroy();
    await closed;
  };
  return listener;
}
