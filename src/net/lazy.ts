/** Parts of libp2p that most runs do not need: imported when a peer asks for them, which makes starting a third faster. */
import { transportSymbol, type ConnectionEncrypter, type Transport } from '@libp2p/interface';
import type { TLSComponents } from '@libp2p/tls';
import type { WebSocketsComponents } from '@libp2p/websockets';

/** TLS 1.3, for peers that do not speak noise. */
export function lazyTls(components: TLSComponents): ConnectionEncrypter {
  const load = once(async () => (await import('@libp2p/tls')).tls()(components));
  return {
    protocol: '/tls/1.0.0',
    secureInbound: async (connection, options) => (await load()).secureInbound(connection, options),
    secureOutbound: async (connection, options) => (await load()).secureOutbound(connection, options),
  };
}

/** WebSockets, to dial only; who listens takes those of websockets.ts. */
export function lazyWebSockets(components: WebSocketsComponents): Transport {
  const load = once(async () => (await import('./websockets.ts')).webSocketTransport(components));
  return {
    [Symbol.toStringTag]: '@libp2p/websockets',
    [transportSymbol]: true,
    dialFilter: addresses =>
      addresses.filter(address => {
        const parts = address.getComponents().map(part => part.name);
        return !parts.includes('p2p-circuit') && (parts.includes('ws') || parts.includes('wss'));
      }),
    listenFilter: () => [],
    dial: async (address, options) => (await load()).dial(address, options),
    createListener: () => {
      throw new Error('this node does not listen on WebSockets');
    },
  };
}

function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => (loading ??= load());
}
