import { expect } from 'chai';
import type { WireRefusal } from '../../src/protocol/messages.ts';
import { Swarm, type Ending } from '../../src/protocol/swarm.ts';
import { searchSoFar } from '../../src/search.ts';

const HINT = /; is the link outdated, or the clock of a machine wrong\?$/;
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

describe('The words of a search', () => {
  it('say how many were asked, one and several', () => {
    const asked = (lanPeers: number, dhtPeers: number): string =>
      searchSoFar(new Swarm(), { connections: 0, lanPeers, dhtPeers, portMapping: 'off', maxConnections: 300 });
    expect(asked(0, 1)).to.contain('asked 0 peers on the local network and the DHT (1 node); 0 known, 0 being called');
    expect(asked(1, 2)).to.contain('asked 1 peer on the local network and the DHT (2 nodes);');
    expect(searchSoFar(new Swarm(), undefined)).to.contain('asked this home only;');
  });

  it('say what came of it, the same together', () => {
    const swarm = swarmOf(refused('unknown'), unreachable, refused('busy'), unreachable, refused('changed'));
    expect(searchSoFar(swarm, undefined)).to.contain(
      '5 known, 0 being called (1 does not have it; 2 can not be reached; 1 refuses: busy; 1 refuses: changed)',
    );
    const several = swarmOf(refused('unknown'), refused('unknown'), refused('busy'), refused('busy'));
    expect(searchSoFar(several, undefined)).to.contain('(2 do not have it; 2 refuse: busy)');
  });

  it('name the link and the clock where a peer does not know the share, and only there', () => {
    expect(searchSoFar(swarmOf(unreachable, refused('unknown')), undefined)).to.match(HINT);
    for (const swarm of [swarmOf(), swarmOf(unreachable, refused('busy'))]) {
      expect(searchSoFar(swarm, undefined)).not.to.match(HINT);
    }
  });
});
