/** The services of libp2p that a node runs, and what of its insides the network needs. */
import { identify, type Identify } from '@libp2p/identify';
import { kadDHT, passthroughMapper, type KadDHT } from '@libp2p/kad-dht';
import { ping, type Ping } from '@libp2p/ping';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import type { ServiceFactoryMap } from 'libp2p';
import { lookingOn } from './dht.ts';
import { isRelayed, placeOf } from './gater.ts';
import type { Mapping } from './port-mapping.ts';

/** How a node takes part in the DHT; see NetworkOptions. */
export type DhtMode = 'off' | 'client' | 'server' | 'auto';

const DHT_PROTOCOL = '/shoal/kad/1.0.0';

export interface Services extends Record<string, unknown> {
  readonly identify: Identify;
  readonly ping: Ping;
  readonly interfaces: Interfaces;
  readonly dht?: KadDHT;
}

interface Interfaces {
  /** What is listened on, of each interface; without what leads through relays. */
  listening(): Multiaddr[];
  /** Adds an address under which others reach this node through a router, or takes it back. */
  map(mapping: Mapping): void;
  unmap(mapping: Mapping): void;
  /** Lets libp2p announce the public addresses of this machine's own interfaces, which it otherwise keeps to itself. */
  announce(): void;
  /** Ends libp2p's wait before it notes that the listeners have closed, which would keep the process for a second. */
  forget(): void;
}

interface WithPendingUpdate {
  readonly _updatePeerStoreAddresses?: { readonly stop?: () => void };
}

/** What runs in a node beside its connections. @param bootstrap the nodes that it starts from */
export function servicesOf(mode: DhtMode, bootstrap: readonly Multiaddr[]): ServiceFactoryMap<Services> {
  return {
    identify: identify(),
    ping: ping(),
    interfaces: ({ addressManager, transportManager }) => ({
      listening: () => transportManager.getAddrs().filter(address => !isRelayed(address)),
      map: ({ host, port, externalHost, externalPort }) => {
        addressManager.addPublicAddressMapping(host, port, externalHost, externalPort, 'tcp');
        addressManager.confirmObservedAddr(multiaddr(`/ip4/${externalHost}/tcp/${externalPort}`), {
          type: 'ip-mapping',
        });
      },
      unmap: ({ host, port, externalHost, externalPort }) =>
        addressManager.removePublicAddressMapping(host, port, externalHost, externalPort, 'tcp'),
      announce: () =>
        transportManager
          .getAddrs()
          .filter(address => placeOf(address) === 'public')
          .forEach(address => addressManager.confirmObservedAddr(address, { type: 'transport' })),
      forget: () => (addressManager as WithPendingUpdate)._updatePeerStoreAddresses?.stop?.(),
    }),
    ...(mode === 'off' ? {} : { dht: components => lookingOn(makeDht(mode, bootstrap)(components)) }),
  };
}

function makeDht(mode: 'client' | 'server' | 'auto', bootstrap: readonly Multiaddr[]): ReturnType<typeof kadDHT> {
  return kadDHT({ ...DHT_OPTIONS, ...clientMode(mode, bootstrap) });
}

const DHT_OPTIONS = {
  protocol: DHT_PROTOCOL,
  // The gater decides whom we dial; a private network has private addresses only.
  peerInfoMapper: passthroughMapper,
  // Otherwise everything waits for ever for a first peer.
  allowQueryWithZeroPeers: true,
} as const;

/** Without `clientMode` kad-dht becomes a server once the node has a public address. */
function clientMode(mode: 'client' | 'server' | 'auto', bootstrap: readonly Multiaddr[]): { clientMode?: boolean } {
  if (mode !== 'auto') return { clientMode: mode === 'client' };
  const near = bootstrap.length > 0 && bootstrap.every(address => !['public', 'name'].includes(placeOf(address)));
  return near ? { clientMode: false } : {};
}
