import { expect } from 'chai';
import type { PeerInfo } from '@libp2p/interface';
import { EventTypes, MessageType, type QueryEvent } from '@libp2p/kad-dht';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import type { CID } from 'multiformats/cid';
import { parseHint } from '../../src/format/hint.ts';
import { dayOf, idOf, rendezvous } from '../../src/format/ids.ts';
import { LOOKUP_INTERVAL_MS, MIN_RETRY_MS, NETWORK_CHECK_MS, REANNOUNCE_MS } from '../../src/limits.ts';
import type { Dht } from '../../src/net/dht.ts';
import { Discovery } from '../../src/net/discovery.ts';
import { Gater } from '../../src/net/gater.ts';
import type { Candidate } from '../../src/ports.ts';
import { ManualClock } from './harness.ts';

const SELF = '12D3KooWK98A5qKRAA9qZccvoJLvcLu68PCFZLNfdd81iQLvHj6W';
const PEER = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo';
const ID = idOf(new Uint8Array(32).fill(1));
const DAY_MS = 86_400_000;
/** Ten hours into a day. */
const NOW = 20_000 * DAY_MS + 10 * 3_600_000;
const PATH = { index: 0, queued: 0, running: 0, total: 0 };

/** A DHT that notes what it is asked, and answers as it is told. */
class FakeDht implements Dht {
  readonly asked: string[] = [];
  readonly provided: string[] = [];
  readonly cancelled: string[] = [];
  routingTable = { size: 1 };
  mode: 'client' | 'server' = 'client';
  providers: PeerInfo[] = [];
  fails = false;
  readonly #changed = new EventTarget();

  getMode(): 'client' | 'server' {
    return this.mode;
  }

  async *findProviders(key: CID): AsyncGenerator<QueryEvent> {
    this.#note(this.asked, key);
    if (this.fails) throw new Error('the DHT fails');
    const from = peerIdFromString(PEER);
    const message = { messageName: MessageType.GET_PROVIDERS, messageType: MessageType.GET_PROVIDERS };
    const answer = { ...message, from, closer: [], providers: [], path: PATH };
    yield { name: 'PEER_RESPONSE', type: EventTypes.PEER_RESPONSE, ...answer };
    yield { name: 'PROVIDER', type: EventTypes.PROVIDER, from, providers: this.providers, path: PATH };
  }

  async *provide(key: CID): AsyncGenerator<QueryEvent> {
    this.#note(this.provided, key);
    if (this.fails) throw new Error('the DHT fails');
    for (let peers = 0; peers < this.routingTable.size; peers++) {
      const message = { messageName: MessageType.ADD_PROVIDER, messageType: MessageType.ADD_PROVIDER };
      const answer = { ...message, from: peerIdFromString(PEER), closer: [], providers: [], path: PATH };
      yield { name: 'PEER_RESPONSE', type: EventTypes.PEER_RESPONSE, ...answer };
    }
  }

  async cancelReprovide(key: CID): Promise<void> {
    this.#note(this.cancelled, key);
  }

  #note(list: string[], key: CID): void {
    list.push(key.toString());
    this.#changed.dispatchEvent(new Event('note'));
  }

  /** Resolves when `list` has `count` entries. */
  async until(list: readonly string[], count: number): Promise<void> {
    while (list.length < count) {
      await new Promise(resolve => this.#changed.addEventListener('note', resolve, { once: true }));
    }
  }
}

describe('Discovery', () => {
  let clock: ManualClock;
  let dht: FakeDht;
  let gater: Gater;
  let addresses: string[];
  let discovery: Discovery;

  beforeEach(() => {
    clock = new ManualClock(NOW);
    dht = new FakeDht();
    gater = new Gater();
    addresses = ['/ip4/1.2.3.4/tcp/1'];
    discovery = new Discovery({
      self: SELF,
      ...{ dht, gater, clock },
      lan: undefined,
      log: () => undefined,
      relays: () => [],
      addresses: () => addresses,
    });
  });

  afterEach(async () => {
    await discovery.stop();
    expect(clock.sleeping).to.equal(0);
  });

  const keys = (...days: number[]) => days.map(day => rendezvous(ID, dayOf(NOW / 1000) + day).toString());

  /** Sleepers beside the watch over the network. */
  const asleep = (count: number) => clock.until(count + 1);

  describe('announcing', () => {
    it('announces under the keys of today and tomorrow', async () => {
      discovery.announce(ID);
      await dht.until(dht.provided, 2);
      expect(dht.provided).to.have.members(keys(0, 1));
    });

    it('announces a share once, however often it is told', async () => {
      discovery.announce(ID);
      discovery.announce(ID);
      await asleep(1);
      expect(dht.provided.length).to.equal(2);
    });

    it('waits for somebody to tell, and asks again soon', async () => {
      dht.routingTable.size = 0;
      discovery.announce(ID);
      await asleep(1);
      expect(dht.provided).to.deep.equal([]);
      dht.routingTable.size = 1;
      clock.advance(MIN_RETRY_MS);
      await dht.until(dht.provided, 2);
    });

    it('as a server keeps its own announcement where it knows nobody, and announces again once it knows somebody', async () => {
      dht.mode = 'server';
      dht.routingTable.size = 0;
      discovery.announce(ID);
      await asleep(1);
      expect(dht.provided.length).to.equal(2);
      clock.advance(MIN_RETRY_MS);
      await asleep(1);
      expect(dht.provided.length).to.equal(2);
      dht.routingTable.size = 1;
      clock.advance(2 * MIN_RETRY_MS);
      await dht.until(dht.provided, 4);
    });

    it('tries again after a failure', async () => {
      dht.fails = true;
      discovery.announce(ID);
      await asleep(1);
      dht.fails = false;
      clock.advance(MIN_RETRY_MS);
      await dht.until(dht.provided, 4);
      expect(dht.provided).to.have.members([...keys(0, 1), ...keys(0, 1)]);
    });

    it('announces again before that lapses', async () => {
      discovery.announce(ID);
      await asleep(1);
      clock.advance(REANNOUNCE_MS - 1);
      expect(dht.provided.length).to.equal(2);
      clock.advance(1);
      await dht.until(dht.provided, 4);
    });

    it('moves to new keys with the day and gives up the old', async () => {
      discovery.announce(ID);
      await asleep(1);
      const newDay = 14 * 3_600_000;
      for (let passed = 0; passed < newDay; passed += REANNOUNCE_MS) {
        const announced = dht.provided.length;
        clock.advance(Math.min(REANNOUNCE_MS, newDay - passed));
        await dht.until(dht.provided, announced + 2);
        await asleep(1);
      }
      expect(dht.provided.slice(-2)).to.have.members(keys(1, 2));
      expect(dht.cancelled).to.deep.equal(keys(0));
    });

    it('announces again when the addresses of this node have changed', async () => {
      discovery.announce(ID);
      await asleep(1);
      addresses = ['/ip4/1.2.3.5/tcp/1'];
      clock.advance(NETWORK_CHECK_MS);
      await dht.until(dht.provided, 4);
    });

    it('announces again at once where it is told that they have changed', async () => {
      discovery.announce(ID);
      await asleep(1);
      addresses = ['/ip4/1.2.3.6/tcp/1'];
      discovery.addressesChanged();
      await dht.until(dht.provided, 4);
    });

    it('stops announcing, also what is kept by the DHT itself', async () => {
      discovery.announce(ID);
      await asleep(1);
      discovery.unannounce(ID);
      await dht.until(dht.cancelled, 2);
      expect(dht.cancelled).to.have.members(keys(0, 1));
      clock.advance(2 * DAY_MS);
      expect(dht.provided.length).to.equal(2);
    });
  });

  describe('finding', () => {
    const info = (peer: string, ...texts: string[]): PeerInfo => ({
      id: peerIdFromString(peer),
      multiaddrs: texts.map(text => multiaddr(text)),
    });

    const first = async (...hints: string[]): Promise<Candidate | undefined> => {
      const parsed = hints.map(parseHint);
      for await (const candidate of discovery.find(ID, parsed, new AbortController().signal)) return candidate;
      return undefined;
    };

    it('asks under the keys of yesterday, today and tomorrow, and again until the signal', async () => {
      const ended = new AbortController();
      const search = discovery.find(ID, [], ended.signal);
      const next = search.next();
      await asleep(1);
      expect(dht.asked).to.have.members(keys(-1, 0, 1));
      clock.advance(LOOKUP_INTERVAL_MS);
      await dht.until(dht.asked, 6);
      await asleep(1);
      ended.abort();
      expect((await next).done).to.equal(true);
    });

    it('gives a provider with its addresses, each ending in its peer id', async () => {
      dht.providers = [info(SELF, '/ip4/1.2.3.4/tcp/9'), info(PEER, '/ip4/1.2.3.4/tcp/1')];
      expect(await first()).to.deep.equal({ peer: PEER, addresses: [`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`], via: 'dht' });
    });

    it('tells how many nodes have answered, each of them counted once', async () => {
      dht.providers = [info(PEER, '/ip4/1.2.3.4/tcp/1')];
      const asked: number[] = [];
      const ended = new AbortController();
      const candidates = discovery.find(ID, [], ended.signal, nodes => asked.push(nodes));
      while (asked.length < 3) await candidates.next();
      ended.abort();
      expect(asked.slice(0, 3), 'one node, under three keys').to.deep.equal([1, 1, 1]);
    });

    it('gives no address of our own network that a stranger told', async () => {
      dht.providers = [info(PEER, '/ip4/127.0.0.1/tcp/1', '/ip4/192.168.1.1/tcp/1', '/ip4/1.2.3.4/tcp/1')];
      expect((await first())?.addresses).to.deep.equal([`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`]);
    });

    it('gives it when we started from there', async () => {
      gater.startFrom(multiaddr('/ip4/192.168.1.9/tcp/1'));
      dht.providers = [info(PEER, '/ip4/127.0.0.1/tcp/1', '/ip4/192.168.1.1/tcp/1')];
      expect((await first())?.addresses).to.deep.equal([`/ip4/192.168.1.1/tcp/1/p2p/${PEER}`]);
    });

    it('gives a provider without addresses: the network may know it', async () => {
      dht.providers = [info(PEER)];
      expect(await first()).to.deep.equal({ peer: PEER, addresses: [], via: 'dht' });
    });

    it('goes on when a look-up fails', async () => {
      dht.fails = true;
      dht.providers = [info(PEER)];
      const found = first();
      await asleep(1);
      dht.fails = false;
      clock.advance(LOOKUP_INTERVAL_MS);
      expect((await found)?.peer).to.equal(PEER);
    });

    it('gives the peers of hints at once, each with all its addresses, and lets them be dialled', async () => {
      dht.fails = true;
      const texts = [`/ip4/10.0.0.1/tcp/1/p2p/${PEER}`, `/ip4/10.0.0.2/tcp/1/p2p/${PEER}`];
      expect(await first(...texts, 'relay.example.org')).to.deep.equal({ peer: PEER, addresses: texts, via: 'hint' });
      expect(texts.every(text => gater.allows(multiaddr(text)))).to.equal(true);
    });

    it('does not give itself', async () => {
      const ended = new AbortController();
      const search = discovery.find(ID, [parseHint(`/ip4/10.0.0.1/tcp/1/p2p/${SELF}`)], ended.signal);
      const next = search.next();
      await asleep(1);
      ended.abort();
      expect((await next).done).to.equal(true);
    });
  });
});
