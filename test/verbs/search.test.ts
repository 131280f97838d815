import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import type { WireRefusal } from '../../src/protocol/messages.ts';
import { Swarm, type Ending } from '../../src/protocol/swarm.ts';
import { endingOf, searchSoFar, type SearchPlaces } from '../../src/search.ts';

const HINT =
  /; it may not be shared any more \(.*\); if it is, is the link outdated, or the clock of a machine wrong\?$/;
const unreachable: Ending = { why: 'unreachable', detail: 'can not be reached' };
const refused = (reason: WireRefusal['reason']): Ending => ({ why: 'refused', refusal: { reason } });

/** Peers with whom it ended so. */
function swarmOf(...endings: Ending[]): Swarm {
  const swarm = new Swarm();
  for (const [n, ending] of endings.entries()) {
    swarm.found({ peer: `peer ${n}`, addresses: [`/at/${n}`], via: 'hint' });
    swarm.left(`peer ${n}`, ending, 0);
  }
  return swarm;
}

/** A link without an address, and no network. */
const alone = { hints: 0, status: undefined };
const places = (hints: number, lanPeers?: number, dhtPeers?: number, startingPoints = 0): SearchPlaces => ({
  hints,
  status: {
    connections: 0,
    lanPeers,
    dhtPeers,
    startingPoints,
    portMapping: 'off',
    reservations: [],
    maxConnections: 300,
  },
});

describe('The words of a search', () => {
  it('say how many were asked, one and several, and name only what was asked', () => {
    const asked = (...at: Parameters<typeof places>): string => searchSoFar(new Swarm(), places(...at));
    expect(asked(0, 0, 1)).to.contain(
      'asked 0 peers on the local network and the DHT (1 node); 0 known, 0 being called',
    );
    expect(asked(0, 1, 2)).to.contain('asked 1 peer on the local network and the DHT (2 nodes);');
    expect(asked(1, 0, 0)).to.contain(
      'asked 1 address in the link, 0 peers on the local network and the DHT (0 nodes);',
    );
    expect(asked(2)).to.contain('asked 2 addresses in the link; ');
    expect(asked(0, 3)).to.contain('asked 3 peers on the local network; ');
    expect(asked(0)).to.contain(
      'asked nobody, as the link has no address, and the local network and the DHT are off; 0 known',
    );
    expect(searchSoFar(new Swarm(), alone)).to.match(/asked this home only; 0 known, 0 being called$/);
  });

  it('say what came of it, the same together', () => {
    const swarm = swarmOf(refused('unknown'), unreachable, refused('busy'), unreachable, refused('changed'));
    expect(searchSoFar(swarm, alone)).to.contain(
      '5 known, 0 being called (1 does not have it; 2 can not be reached; 1 refuses: busy; 1 refuses: changed)',
    );
    const several = swarmOf(refused('unknown'), refused('unknown'), refused('busy'), refused('busy'));
    expect(searchSoFar(several, alone)).to.contain('(2 do not have it; 2 refuse: busy)');
  });

  it('say that it may be shared no more, and name the link and the clock, where a peer does not know the share, and only there', () => {
    expect(searchSoFar(swarmOf(unreachable, refused('unknown')), alone)).to.match(HINT);
    for (const swarm of [swarmOf(), swarmOf(unreachable, refused('busy'))]) {
      expect(searchSoFar(swarm, alone)).not.to.match(HINT);
    }
  });

  it('end with what can be done, by what was found and where was looked', () => {
    const step = (swarm: Swarm, ...at: Parameters<typeof places>): string =>
      /being called(?: \(.*\))?(.*)$/.exec(searchSoFar(swarm, places(...at)))?.[1] ?? 'nothing';
    expect(step(new Swarm(), 0), 'nowhere to look').to.match(
      /^; leave out --dht off \(SHOAL_DHT, network\.dht\) and give a starting point with --bootstrap, or ask for/,
    );
    expect(step(new Swarm(), 0, undefined, undefined, 1), 'a starting point and no DHT').to.match(
      /^; leave out --dht off \(SHOAL_DHT, network\.dht\), or ask for a link with an address/,
    );
    expect(step(new Swarm(), 0, undefined, 0, 1), 'a starting point that leads nowhere').to.match(
      /^; look whether the starting point that was given \(--bootstrap\) can be reached, or ask for/,
    );
    expect(step(new Swarm(), 0, 0, 0), 'no node of the DHT').to.match(
      /^; is "shoal share" still running .*\? Beyond the local network, give a starting point with --bootstrap/,
    );
    expect(step(new Swarm(), 0, 0, 7), 'a DHT').to.equal('; is "shoal share" still running where it was shared?');
    expect(step(swarmOf(unreachable), 1), 'out of reach').to.match(/running .*\? If so, a router or firewall may keep/);
    expect(step(swarmOf(endingOf(new ShoalError('protocol', 'x'), false)), 1), 'another program').to.equal(
      '; use the same version of shoal on both sides',
    );
    expect(step(swarmOf(refused('busy')), 1), 'busy').to.equal('');
  });
});
