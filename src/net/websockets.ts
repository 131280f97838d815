/**
 * libp2p's WebSockets, with what they lack. A connection that is aborted says so with a code that no WebSocket takes, and
 * stays open. And what connects to a listener first has to say, by HTTP, that it wants a WebSocket; until then libp2p knows
 * nothing of it, and would wait for it for ever.
 */
import type { Listener, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface';
import { webSockets, type WebSocketsComponents } from '@libp2p/websockets';
import type { Server as HttpServer } from 'node:http';
import type { Server, Socket } from 'node:net';
import { HANG_UP_MS, INBOUND_HANDSHAKE_MS, MAX_PENDING_INBOUND } from '../limits.ts';

/** The transport, to dial and to listen. */
export function webSocketTransport(components: WebSocketsComponents): Transport {
  const transport = webSockets()(components);
  const dial = transport.dial.bind(transport);
  const createListener = transport.createListener.bind(transport);
  return Object.assign(transport, {
    dial: ((address, options) =>
      dial(address, { ...options, upgrader: ending(options.upgrader) })) satisfies typeof dial,
    createListener: (options => {
      const listener = createListener({ ...options, upgrader: ending(options.upgrader) });
      return impatient(listener);
    }) satisfies typeof createListener,
  });
}

/** The upgrader, whose connections take their WebSockets with them. */
function ending(upgrader: Upgrader): Upgrader {
  const upgradeInbound = (connection: MultiaddrConnection, options: Parameters<Upgrader['upgradeInbound']>[1]) => {
    endWith(connection);
    return upgrader.upgradeInbound(connection, options);
  };
  const upgradeOutbound = (connection: MultiaddrConnection, options: Parameters<Upgrader['upgradeOutbound']>[1]) => {
    endWith(connection);
    return upgrader.upgradeOutbound(connection, options);
  };
  return Object.assign(Object.create(upgrader) as Upgrader, { upgradeInbound, upgradeOutbound });
}

/** What a connection has inside: of the package ws where it came from outside, else of Node. */
interface WithWebSocket {
  readonly websocket: { close(): void; terminate?(): void };
}

function endWith(connection: MultiaddrConnection): void {
  // What is inside is not among libp2p's types.
  const { websocket } = connection as unknown as WithWebSocket;
  const end = (): void => (websocket.terminate === undefined ? websocket.close() : websocket.terminate());
  connection.addEventListener(
    'close',
    ({ error }) => {
      // The other side of one that was closed in good order gets some time to say that it has understood.
      if (error !== undefined) end();
      else setTimeout(end, HANG_UP_MS).unref();
    },
    { once: true },
  );
}

/** What a listener has inside: it hands sockets to the HTTP server itself, whose own timeouts do not run then. */
interface WithServers {
  readonly server: Server;
  readonly http?: HttpServer;
}

/** The listener, which hangs up on who does not ask for a WebSocket in time. */
function impatient(listener: Listener): Listener {
  const waiting = new Map<unknown, NodeJS.Timeout>();
  const done = (socket: unknown): void => {
    clearTimeout(waiting.get(socket));
    waiting.delete(socket);
  };
  // Neither are the servers of a listener.
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
  const close = listener.close.bind(listener);
  return Object.assign(listener, {
    listen: (async address => {
      await listen(address);
      // There once it listens.
      (listener as unknown as WithServers).http?.on('upgrade', (_request, socket) => done(socket));
    }) satisfies typeof listen,
    close: (async () => {
      const closed = close();
      for (const socket of waiting.keys()) (socket as Socket).destroy();
      await closed;
    }) satisfies typeof close,
  });
}
