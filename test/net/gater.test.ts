import { expect } from 'chai';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { Gater, connectionGater, placeOf, type Place } from '../../src/net/gater.ts';

const PEER = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo';

const PLACES: Record<Place, string[]> = {
  loopback: [
    '/ip4/127.0.0.1/tcp/1',
    '/ip4/127.255.3.4/tcp/1',
    '/ip6/::1/tcp/1',
    '/ip6/::ffff:127.0.0.1/tcp/1',
    '/ip6/::ffff:7f00:1/tcp/1',
    '/ip6/::ffff:0:7f00:1/tcp/1',
    '/ip6/::7f00:1/tcp/1',
    '/ip6/64:ff9b::7f00:1/tcp/1',
    '/ip6/2002:7f00:1::1/tcp/1',
    '/ip6/2001:0:4136:e378:8000:63bf:80ff:fffe/tcp/1',
    `/ip4/127.0.0.1/tcp/1/p2p/${PEER}/p2p-circuit/p2p/${PEER}`,
  ],
  'link-local': [
    '/ip4/169.254.1.1/tcp/1',
    '/ip6/fe80::1/tcp/1',
    '/ip6/febf::1/tcp/1',
    '/ip6zone/eth0/ip6/fe80::1/tcp/1',
  ],
  private: [
    '/ip4/10.1.2.3/tcp/1',
    '/ip4/172.16.0.1/tcp/1',
    '/ip4/172.31.255.255/tcp/1',
    '/ip4/192.168.0.1/tcp/1/ws',
    '/ip4/100.64.0.1/tcp/1',
    '/ip4/100.127.255.255/tcp/1',
    '/ip4/192.0.2.1/tcp/1',
    '/ip4/198.19.0.1/tcp/1',
    '/ip6/fd00::1/tcp/1',
    '/ip6/fc00::1/tcp/1',
    '/ip6/fec0::1/tcp/1',
    '/ip6/::ffff:10.0.0.1/tcp/1',
    '/ip6/64:ff9b::c0a8:1/tcp/1',
    '/ip6/64:ff9b:1::1/tcp/1',
    '/ip6/2002:c0a8:1::1/tcp/1',
    '/ip6/2001:db8::1/tcp/1',
  ],
  public: [
    '/ip4/1.2.3.4/tcp/1',
    '/ip4/172.15.0.1/tcp/1',
    '/ip4/172.32.0.1/tcp/1',
    '/ip4/100.63.0.1/tcp/1',
    '/ip4/100.128.0.1/tcp/1',
    '/ip4/198.20.0.1/udp/1/quic-v1',
    '/ip6/2a00:1450::1/tcp/1',
    '/ip6/::ffff:1.2.3.4/tcp/1',
    '/ip6/2002:102:304::1/tcp/1',
    `/ip4/1.2.3.4/tcp/1/p2p/${PEER}/p2p-circuit/p2p/${PEER}`,
  ],
  name: ['/dns4/example.org/tcp/443/tls/ws', '/dns/localhost/tcp/1', '/dnsaddr/example.org', '/dns6/example.org/tcp/1'],
  never: [
    '/ip4/0.0.0.0/tcp/1',
    '/ip4/0.1.2.3/tcp/1',
    '/ip4/224.0.0.251/udp/5353',
    '/ip4/255.255.255.255/tcp/1',
    '/ip4/240.0.0.1/tcp/1',
    '/ip6/::/tcp/1',
    '/ip6/ff02::fb/tcp/1',
    '/ip6/::ffff:0.0.0.0/tcp/1',
    '/ip6/::ffff:224.0.0.1/tcp/1',
    '/ip4/1.2.3.4/tcp/0',
    '/ip4/1.2.3.4/udp/0/quic-v1',
    '/dns4/example.org/tcp/0',
    '/unix/%2Ftmp%2Fsocket',
    `/p2p/${PEER}`,
    `/ip4/1.2.3.4/tcp/1/p2p-circuit/p2p/${PEER}`,
    `/ip4/1.2.3.4/tcp/1/p2p/${PEER}/p2p-circuit/ip4/10.0.0.1/tcp/1/p2p/${PEER}`,
    `/ip4/1.2.3.4/tcp/1/p2p/${PEER}/p2p-circuit/p2p/${PEER}/p2p-circuit/p2p/${PEER}`,
  ],
};

describe('placeOf', () => {
  for (const [place, addresses] of Object.entries(PLACES)) {
    for (const address of addresses) {
      it(`finds ${address} to be ${place}`, () => expect(placeOf(multiaddr(address))).to.equal(place));
    }
  }
});

describe('Gater', () => {
  const near = [...PLACES.loopback, ...PLACES['link-local'], ...PLACES.private, ...PLACES.name].map(a => multiaddr(a));

  it('dials public addresses, whoever told them, and none nearer', () => {
    const gater = new Gater();
    expect(PLACES.public.every(address => gater.allows(multiaddr(address)))).to.equal(true);
    expect(near.filter(address => gater.allows(address))).to.deep.equal([]);
  });

  it('dials nothing nearer when all starting points are public or names', () => {
    const gater = new Gater();
    gater.startFrom(multiaddr(`/ip4/1.2.3.4/tcp/4001/p2p/${PEER}`));
    gater.startFrom(multiaddr('/dns4/example.org/tcp/4001'));
    expect(near.filter(address => gater.allows(address))).to.deep.equal([]);
  });

  for (const scope of ['loopback', 'link-local', 'private'] as const) {
    it(`dials ${scope} addresses that strangers told once a starting point is ${scope}, and no others`, () => {
      const gater = new Gater();
      gater.startFrom(multiaddr(PLACES[scope][0]));
      expect(near.filter(a => gater.allows(a)).map(a => a.toString())).to.deep.equal(
        PLACES[scope].map(a => multiaddr(a).toString()),
      );
    });
  }

  it('dials exactly the address that the user gave, with or without a peer id', () => {
    const gater = new Gater();
    gater.allow(multiaddr(`/ip4/10.0.0.1/tcp/4001/p2p/${PEER}`));
    expect(gater.allows(multiaddr('/ip4/10.0.0.1/tcp/4001'))).to.equal(true);
    expect(gater.allows(multiaddr(`/ip4/10.0.0.1/tcp/4001/p2p/${PEER}`))).to.equal(true);
    expect(gater.allows(multiaddr('/ip4/10.0.0.1/tcp/4002'))).to.equal(false);
    expect(gater.allows(multiaddr('/ip4/10.0.0.2/tcp/4001'))).to.equal(false);
  });

  it('dials a name that the user gave, and no other name', () => {
    const gater = new Gater();
    gater.startFrom(multiaddr('/dns4/example.org/tcp/1'));
    expect(gater.allows(multiaddr('/dns4/example.org/tcp/1'))).to.equal(true);
    expect(gater.allows(multiaddr('/dns4/example.com/tcp/1'))).to.equal(false);
  });

  it('never dials the unspecified address, multicast or port 0, whoever gave it', () => {
    const gater = new Gater();
    for (const address of PLACES.never.map(a => multiaddr(a))) {
      gater.startFrom(address);
      gater.allowNeighbour(address);
      expect(gater.allows(address), address.toString()).to.equal(false);
    }
  });

  it('judges an address through a relay by where the relay is, and dials the relay where it dials that', () => {
    const gater = new Gater();
    const through = (relay: string): Multiaddr => multiaddr(`${relay}/p2p/${PEER}/p2p-circuit/p2p/${PEER}`);
    expect(gater.allows(through('/ip4/1.2.3.4/tcp/1'))).to.equal(true);
    expect(gater.allows(through('/ip4/10.0.0.1/tcp/1'))).to.equal(false);
    expect(gater.allows(through('/dns4/example.org/tcp/1'))).to.equal(false);
    gater.allow(through('/ip4/10.0.0.1/tcp/1'));
    expect(gater.allows(through('/ip4/10.0.0.1/tcp/1'))).to.equal(true);
    expect(gater.allows(multiaddr(`/ip4/10.0.0.1/tcp/1/p2p/${PEER}`))).to.equal(true);
    expect(gater.allows(multiaddr('/ip4/10.0.0.1/tcp/2'))).to.equal(false);
  });

  it('takes connections through the relays where this node has reserved, and no others', async () => {
    const gater = new Gater();
    const adapter = connectionGater(gater);
    const relay = peerIdFromString(PEER);
    expect(await adapter.denyInboundRelayedConnection?.(relay, relay)).to.equal(true);
    gater.takeThrough([PEER]);
    expect(await adapter.denyInboundRelayedConnection?.(relay, relay)).to.equal(false);
    gater.takeThrough([]);
    expect(await adapter.denyInboundRelayedConnection?.(relay, relay)).to.equal(true);
  });

  it('forgets the oldest neighbours but never what the user gave', () => {
    const gater = new Gater();
    const given = multiaddr('/ip4/10.0.0.1/tcp/1');
    const oldest = multiaddr('/ip4/10.0.0.2/tcp/1');
    gater.allow(given);
    gater.allowNeighbour(oldest);
    expect(gater.allows(oldest)).to.equal(true);
    for (let port = 1; port <= 4000; port++) gater.allowNeighbour(multiaddr(`/ip4/10.0.0.3/tcp/${port}`));
    expect(gater.allows(oldest)).to.equal(false);
    expect(gater.allows(given)).to.equal(true);
    expect(gater.allows(multiaddr('/ip4/10.0.0.3/tcp/4000'))).to.equal(true);
  });

  it('answers libp2p', async () => {
    const adapter = connectionGater(new Gater());
    expect(await adapter.denyDialMultiaddr?.(multiaddr('/ip4/10.0.0.1/tcp/1'))).to.equal(true);
    expect(await adapter.denyDialMultiaddr?.(multiaddr('/ip4/1.2.3.4/tcp/1'))).to.equal(false);
  });
});
