import { expect } from 'chai';
import {
  MAX_ACTIVE_PEERS,
  MAX_CANDIDATES,
  MAX_PARALLEL_DIALS,
  MAX_RETRY_MS,
  MIN_RETRY_MS,
  PEER_BYTES_PER_SECOND,
} from '../../src/limits.ts';
import type { Candidate } from '../../src/ports.ts';
import type { WireRefusal } from '../../src/protocol/messages.ts';
import { Swarm, type Ending } from '../../src/protocol/swarm.ts';

const candidate = (peer: string, ...addresses: string[]): Candidate => ({
  peer,
  addresses: addresses.length === 0 ? [`/at/${peer}`] : addresses,
  via: 'dht',
});
const unreachable: Ending = { why: 'unreachable', detail: 'can not be reached' };
const vanished: Ending = { why: 'vanished', detail: 'closed' };
const refused = (reason: WireRefusal['reason'], retryAfter?: number): Ending => ({
  why: 'refused',
  refusal: { reason, ...(retryAfter === undefined ? {} : { retryAfter }) },
});
const peersOf = (candidates: Candidate[]): string[] => candidates.map(({ peer }) => peer);

describe('the swarm', () => {
  let swarm: Swarm;
  beforeEach(() => {
    swarm = new Swarm();
  });

  it('dials each candidate once, however often it is found', () => {
    for (let n = 0; n < 3; n++) swarm.found(candidate('a'));
    expect(peersOf(swarm.toDial(0))).to.deep.equal(['a']);
    swarm.found(candidate('a', '/at/elsewhere'));
    expect(swarm.toDial(0)).to.deep.equal([]);
    swarm.joined('a');
    expect(swarm.toDial(1e9)).to.deep.equal([]);
  });

  it('dials so many at once, and does not wait for those that take long', () => {
    for (let n = 0; n < 50; n++) swarm.found(candidate(`dead ${n}`));
    swarm.found(candidate('live'));
    const dialled: string[] = [];
    let nowMs = 0;
    for (; !dialled.includes('live'); nowMs += 500) {
      const batch = peersOf(swarm.toDial(nowMs));
      expect(batch.length).to.be.at.most(MAX_PARALLEL_DIALS);
      dialled.push(...batch);
    }
    expect(nowMs).to.be.at.most(10_000);
    expect(new Set(dialled).size).to.equal(dialled.length);
  });

  it('comes to the live one at once, when a flood of dead ones fails at once', () => {
    for (let n = 0; n < 50; n++) swarm.found(candidate(`dead ${n}`));
    swarm.found(candidate('live'));
    for (let round = 0; round < 5; round++) {
      for (const peer of peersOf(swarm.toDial(0))) {
        if (peer === 'live') return;
        swarm.left(peer, unreachable, 0);
      }
    }
    throw new Error('it was not dialled');
  });

  it('tries again after pauses that double up to a limit, whoever joins and leaves', () => {
    swarm.found(candidate('a'));
    let nowMs = 0;
    const pauses: number[] = [];
    for (let n = 0; n < 10; n++) {
      const start = nowMs;
      while (swarm.toDial(nowMs).length === 0) nowMs += 100;
      pauses.push(nowMs - start);
      if (n % 2 === 0) expect(swarm.joined('a')).to.equal(true);
      swarm.left('a', vanished, nowMs);
    }
    expect(pauses.slice(0, 4)).to.deep.equal([0, MIN_RETRY_MS, 2 * MIN_RETRY_MS, 4 * MIN_RETRY_MS]);
    expect(pauses.at(-1)).to.equal(MAX_RETRY_MS);
  });

  it('forgives failures to who delivers', () => {
    swarm.found(candidate('a'));
    for (let n = 0; n < 5; n++) {
      swarm.toDial(n * 1e6);
      swarm.left('a', vanished, n * 1e6);
    }
    swarm.toDial(1e7);
    swarm.joined('a');
    swarm.delivered('a');
    swarm.left('a', vanished, 1e7);
    expect(peersOf(swarm.toDial(1e7 + MIN_RETRY_MS))).to.deep.equal(['a']);
  });

  it('tries those first that failed least', () => {
    for (const peer of ['often', 'once']) swarm.found(candidate(peer));
    swarm.toDial(0);
    swarm.left('once', unreachable, 0);
    swarm.left('often', unreachable, 0);
    swarm.toDial(1e6);
    swarm.left('often', unreachable, 1e6);
    swarm.left('once', vanished, 1e6);
    swarm.toDial(2e6);
    swarm.joined('once');
    swarm.delivered('once');
    swarm.left('once', vanished, 2e6);
    swarm.left('often', unreachable, 2e6);
    swarm.found(candidate('new'));
    expect(peersOf(swarm.toDial(3e6))).to.deep.equal(['new', 'once', 'often']);
  });

  for (const ending of [
    { why: 'lied', detail: 'sent wrong bytes' },
    { why: 'broke-protocol', detail: 'garbage' },
    refused('blocked'),
    refused('withdrawn'),
    refused('expired'),
    refused('changed'),
  ] as const satisfies readonly Ending[]) {
    it(`gives up for good who ${ending.why === 'refused' ? `refused: ${ending.refusal.reason}` : ending.why}, new addresses or not`, () => {
      swarm.found(candidate('a'));
      swarm.toDial(0);
      swarm.joined('a');
      swarm.left('a', ending, 0);
      swarm.found(candidate('a', '/at/new'));
      expect(swarm.toDial(1e12)).to.deep.equal([]);
      expect(swarm.endings()).to.deep.equal([{ peer: 'a', ending }]);
    });
  }

  for (const reason of ['unknown', 'busy', 'over-quota'] as const) {
    it(`tries again who refused: ${reason}, not before it asked to, and within limits`, () => {
      swarm.found(candidate('a'));
      swarm.toDial(0);
      swarm.left('a', refused(reason, 5), 0);
      expect(swarm.toDial(4999)).to.deep.equal([]);
      expect(peersOf(swarm.toDial(5000))).to.deep.equal(['a']);
      swarm.left('a', refused(reason, 1e9), 5000);
      expect(peersOf(swarm.toDial(5000 + MAX_RETRY_MS))).to.deep.equal(['a']);
    });
  }

  it('tries again at once who was out of reach, when a new address is found, but not who refused', () => {
    swarm.found(candidate('gone'));
    swarm.found(candidate('busy'));
    swarm.toDial(0);
    swarm.left('gone', unreachable, 0);
    swarm.left('busy', refused('busy', 20), 0);
    swarm.found(candidate('gone', '/at/new'));
    swarm.found(candidate('busy', '/at/new'));
    expect(peersOf(swarm.toDial(1))).to.deep.equal(['gone']);
  });

  it('keeps the addresses that it knows, whatever others are told of later', () => {
    swarm.found({ peer: 'a', addresses: ['/at/home'], via: 'hint' });
    for (let n = 0; n < 100; n++) swarm.found(candidate('a', `/at/nowhere/${n}`));
    const [dialled] = swarm.toDial(0);
    expect(dialled?.via).to.equal('hint');
    expect(dialled?.addresses).to.include('/at/home');
    expect(dialled?.addresses.length).to.be.at.most(16);
    expect(dialled?.addresses).to.include('/at/nowhere/99');
  });

  it('takes no more than its places, and says when others wait for one', () => {
    for (let n = 0; n < 100; n++) swarm.found(candidate(`p${n}`));
    let nowMs = 0;
    let joined = 0;
    for (let round = 0; round < 20; round++, nowMs += 3000)
      for (const peer of peersOf(swarm.toDial(nowMs))) if (swarm.joined(peer)) joined++;
    expect(joined).to.be.within(MAX_ACTIVE_PEERS, 2 * MAX_ACTIVE_PEERS);
    expect(swarm.counts().active).to.equal(joined);
    expect(swarm.isCrowded(nowMs)).to.equal(true);
  });

  it('does not join more than twice its places, though many dials end at once', () => {
    for (let n = 0; n < 100; n++) swarm.found(candidate(`p${n}`));
    const dialled: string[] = [];
    for (let nowMs = 0; nowMs < 20_000; nowMs += 2000) dialled.push(...peersOf(swarm.toDial(nowMs)));
    expect(dialled.length).to.be.greaterThan(2 * MAX_ACTIVE_PEERS);
    expect(dialled.filter(peer => swarm.joined(peer))).to.have.length(2 * MAX_ACTIVE_PEERS);
  });

  it('remembers so many and no more, and makes room by forgetting the useless ones', () => {
    for (let n = 0; n < 2 * MAX_CANDIDATES; n++) swarm.found(candidate(`p${n}`));
    expect(swarm.counts().known).to.equal(MAX_CANDIDATES);
    // All are tried; whatever they are, a new one finds a place.
    const endings: Ending[] = [{ why: 'lied', detail: '' }, refused('blocked'), { why: 'broke-protocol', detail: '' }];
    for (let n = 0; n < MAX_CANDIDATES;) {
      for (const peer of peersOf(swarm.toDial(0))) swarm.left(peer, endings[n++ % endings.length]!, 0);
    }
    swarm.found(candidate('honest'));
    expect(swarm.counts().known).to.equal(MAX_CANDIDATES);
    expect(peersOf(swarm.toDial(0))).to.deep.equal(['honest']);
  });

  it('remembers a liar longer than others', () => {
    swarm.found(candidate('liar'));
    swarm.toDial(0);
    swarm.left('liar', { why: 'lied', detail: '' }, 0);
    for (let n = 0; n < 3 * MAX_CANDIDATES; n++) {
      swarm.found(candidate(`p${n}`));
      for (const peer of peersOf(swarm.toDial(n))) swarm.left(peer, unreachable, n);
    }
    swarm.found(candidate('liar'));
    expect(peersOf(swarm.toDial(1e9))).not.to.include('liar');
  });

  it('ignores what is said of peers that it does not know', () => {
    expect(swarm.joined('x')).to.equal(false);
    swarm.left('x', vanished, 0);
    swarm.delivered('x');
    expect(swarm.counts()).to.deep.equal({ active: 0, dialling: 0, untried: 0, known: 0 });
  });

  it('has few peers at work where what they may send is limited', () => {
    for (const [maxDown, most] of [
      [undefined, MAX_ACTIVE_PEERS],
      [1e9, MAX_ACTIVE_PEERS],
      [3 * PEER_BYTES_PER_SECOND, 3],
      [1, 1],
    ] as const) {
      const swarm = new Swarm(maxDown);
      for (let n = 0; n < 3 * MAX_ACTIVE_PEERS; n++) swarm.found(candidate(`peer ${n}`));
      const joined = (): number => swarm.toDial(0).filter(({ peer }) => swarm.joined(peer)).length;
      let all = 0;
      for (let more = joined(); more > 0; more = joined()) all += more;
      expect(all, String(maxDown)).to.be.within(most, 2 * most);
    }
  });
});
