/** A document as a relay gives it, for tests to serve and to spoil. */
import type { RelayInfo } from '../../src/protocol/relay-info.ts';

export const PEER = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN';
export const OTHER_PEER = '12D3KooWPCEjuLbKRqKFzWpF7KzcnGT8gZ7jQEhPvVgEvKjLs3cr';

export const INFO: RelayInfo = {
  shoal: 1,
  name: 'A relay for tests',
  operator: 'Tests & Co',
  contact: 'mailto:operator@relay.example',
  terms: 'https://relay.example/terms',
  version: '1.2.3',
  peer: PEER,
  addresses: [`/ip4/127.0.0.1/tcp/4001/p2p/${PEER}`, `/dns4/relay.example/tcp/443/tls/ws/p2p/${PEER}`],
  roles: { dht: true, circuit: true, autonat: true, store: true },
  limits: {
    anonymous: {
      reservationSeconds: 3600,
      circuitBytes: 1_000_000,
      circuitSeconds: 600,
      leases: 0,
      storedBytes: 0,
      leaseSeconds: 0,
    },
  },
  retention: 'Addresses are kept in memory for an hour.',
  lists: ['https://lists.example/refused'],
};
