/** What every Network must do. Adapters call this from a test of their own. */
import { expect } from 'chai';
import { isShoalError, type ErrorCode } from '../../src/errors.ts';
import { parseHint } from '../../src/format/hint.ts';
import { idOf } from '../../src/format/ids.ts';
import { MAX_BLOCK_BYTES, MAX_HEADER_BYTES, MAX_UNREAD_BYTES } from '../../src/limits.ts';
import type { Candidate, Channel, Frame, Network } from '../../src/ports.ts';

const PROTOCOL = '/test/contract/1';
const ID = idOf(new Uint8Array(32).fill(1));
const OTHER_ID = idOf(new Uint8Array(32).fill(2));

/** `make` starts three nodes that can reach each other and find what the others announce. */
export function networkContract(name: string, make: () => Promise<readonly [Network, Network, Network]>): void {
  describe(`${name} as a Network`, () => {
    let nodes: readonly [Network, Network, Network];
    let near: Network;
    let far: Network;

    beforeEach(async () => {
      nodes = await make();
      [near, far] = nodes;
    });

    afterEach(() => Promise.all(nodes.map(node => node.stop())));

    const toFar = (): Candidate => ({ peer: far.self, addresses: far.addresses(), via: 'hint' });
    const connect = (protocol = PROTOCOL): Promise<Channel> =>
      near.connect(toFar(), protocol, new AbortController().signal);

    /** A channel from both ends; the far end's handler returns when the test says so. */
    const channels = async (): Promise<[Channel, Channel]> => {
      const accepted = Promise.withResolvers<Channel>();
      await far.serve(PROTOCOL, async channel => accepted.resolve(channel));
      return Promise.all([connect(), accepted.promise]);
    };

    it('carries messages both ways, in order, from empty ones to the largest', async () => {
      await far.serve(PROTOCOL, async channel => {
        for await (const { header, body } of channel.frames()) await channel.send(header, body);
        await channel.close();
      });
      const channel = await connect();
      const messages: Frame[] = [
        { header: bytes(1, 1), body: bytes(0) },
        { header: bytes(0), body: bytes(0) },
        { header: bytes(MAX_HEADER_BYTES, 2), body: bytes(3, 3) },
        { header: bytes(20, 4), body: bytes(MAX_BLOCK_BYTES, 5) },
        { header: bytes(20, 6), body: bytes(MAX_BLOCK_BYTES - 1, 7) },
      ];
      const received = collect(channel);
      for (const { header, body } of messages) await channel.send(header, body);
      await channel.close();
      const frames = await received;
      expect(frames.map(sizes)).to.deep.equal(messages.map(sizes));
      frames.forEach((frame, i) => expect(Buffer.compare(frame.body, messages[i]?.body ?? bytes(0))).to.equal(0));
      expect(channel.receivedBytes).to.be.at.least(2 * MAX_BLOCK_BYTES);
    });

    it('says who is at the other end', async () => {
      const [there, here] = await channels();
      expect(there.peer).to.equal(far.self);
      expect(here.peer).to.equal(near.self);
      expect(there.address).to.match(/^\/ip4\//);
      expect([there.path, here.path]).to.deep.equal(['direct', 'direct']);
      expect(near.peers().find(({ peer }) => peer === far.self)?.path).to.equal('direct');
    });

    it('gives each body memory that belongs to nothing else', async () => {
      const [there, here] = await channels();
      const sent = bytes(1000, 1);
      await there.send(bytes(1), sent);
      await there.close();
      const [frame] = await collect(here);
      expect([frame?.body.byteOffset, frame?.body.buffer.byteLength]).to.deep.equal([0, 1000]);
      expect(sent.length).to.equal(1000);
    });

    it('lets a side go on sending when the other has closed', async () => {
      const [there, here] = await channels();
      await there.close();
      expect(await collect(here)).to.deep.equal([]);
      await here.send(bytes(1, 9));
      await here.close();
      expect((await collect(there)).map(frame => frame.header)).to.deep.equal([bytes(1, 9)]);
    });

    it('sends nothing on a channel that it has closed', async () => {
      const [there] = await channels();
      await there.close();
      await expectRejection(there.send(bytes(1)), 'unavailable');
    });

    it('fails both sides of a channel that one of them aborts', async () => {
      const [there, here] = await channels();
      const reading = [collect(there), collect(here)];
      there.abort(new Error('enough'));
      await Promise.all(reading.map(side => expectRejection(side, 'unavailable')));
      await expectRejection(there.send(bytes(1)), 'unavailable');
      await expectRejection(here.send(bytes(1)), 'unavailable');
    });

    it('aborts a channel whose handler throws', async () => {
      await far.serve(PROTOCOL, () => Promise.reject(new Error('broken handler')));
      await expectRejection(collect(await connect()), 'unavailable');
    });

    it('aborts a channel on which more arrives than is taken', async () => {
      const [there, here] = await channels();
      const flood = async (): Promise<void> => {
        for (let sent = 0; sent <= 3 * MAX_UNREAD_BYTES; sent += MAX_BLOCK_BYTES)
          await there.send(bytes(1), bytes(MAX_BLOCK_BYTES));
      };
      await expectRejection(flood(), 'unavailable');
      await expectRejection(collect(here), 'protocol');
    });

    it('refuses to send what the protocol does not allow', async () => {
      const [there] = await channels();
      const tooLong = async (): Promise<void> => there.send(bytes(1), bytes(MAX_BLOCK_BYTES + 1));
      expect(await tooLong().catch((error: unknown) => error)).to.be.instanceOf(RangeError);
    });

    it('says when a peer does not speak a protocol', () => expectRejection(connect('/test/unknown/1'), 'protocol'));

    it('says when a peer can not be reached', async () => {
      await far.stop();
      await expectRejection(connect(), 'not-found');
    });

    it('does not take one peer for another', async () => {
      const stranger = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo';
      const addresses = far.addresses().map(address => address.replace(far.self, stranger));
      await far.serve(PROTOCOL, channel => channel.close());
      const connecting = near.connect(
        { peer: stranger, addresses, via: 'hint' },
        PROTOCOL,
        new AbortController().signal,
      );
      await expectRejection(connecting, 'not-found');
    });

    it('stops connecting when it is told to', () =>
      expectRejection(near.connect(toFar(), PROTOCOL, AbortSignal.abort()), 'interrupted'));

    it('fails, and does not just end, the channels of a node that stops', async () => {
      const [there, here] = await channels();
      const failing = [there, here].map(side => expectRejection(collect(side), 'unavailable'));
      await far.stop();
      await Promise.all(failing);
    });

    it('finds whom a hint names', async () => {
      const hint = parseHint(far.addresses()[0] ?? '');
      const [found] = await find(near, [hint], candidate => candidate.via === 'hint');
      expect(found).to.deep.equal({ peer: far.self, addresses: [hint.text], via: 'hint' });
    });

    it('finds who has announced a share, and can connect to it', async () => {
      await far.serve(PROTOCOL, channel => channel.close());
      far.announce(OTHER_ID);
      far.announce(ID);
      const [found] = await find(near, [], candidate => candidate.peer === far.self);
      expect(found?.via).to.equal('dht');
      if (found === undefined) throw new Error('nobody was found');
      const channel = await near.connect(found, PROTOCOL, new AbortController().signal);
      expect(await collect(channel)).to.deep.equal([]);
      await channel.close();
      far.unannounce(ID);
    });

    it('finds neither itself nor what was not announced, and ends with the signal', async () => {
      near.announce(ID);
      const ended = new AbortController();
      const all: Candidate[] = [];
      const searching = (async () => {
        for await (const candidate of near.find(ID, [], ended.signal)) all.push(candidate);
      })();
      for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve));
      ended.abort();
      await searching;
      expect(all).to.deep.equal([]);
    });

    it('tells of a relay that it was asked to reserve at and can not, until nobody asks for it any more', async () => {
      const relay = { peer: nodes[2].self, addresses: nodes[2].addresses() };
      await nodes[2].stop();
      const before = near.addresses();
      const [release, again] = [near.reserve(relay), near.reserve(relay)];
      await near.settled(new AbortController().signal);
      const [reservation, ...more] = near.reservations();
      expect(more).to.deep.equal([]);
      expect(reservation).to.deep.include({ peer: relay.peer, state: 'trying' });
      expect(reservation?.why).to.be.a('string');
      expect(near.status().reservations).to.deep.equal([reservation]);
      expect(near.addresses()).to.deep.equal(before);
      release();
      release();
      expect(near.reservations().length).to.equal(1);
      again();
      expect(near.reservations()).to.deep.equal([]);
    });

    it('stops twice as well as once', async () => {
      await near.stop();
      await near.stop();
    });
  });
}

/** Looks for ID until a candidate is wanted; gives those that were. */
async function find(
  node: Network,
  hints: Parameters<Network['find']>[1],
  wanted: (candidate: Candidate) => boolean,
): Promise<Candidate[]> {
  for await (const candidate of node.find(ID, hints, new AbortController().signal)) {
    if (wanted(candidate)) return [candidate];
  }
  return [];
}

async function collect(channel: Channel): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of channel.frames()) frames.push(frame);
  return frames;
}

async function expectRejection(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isShoalError(error, code)) throw new Error(`expected a ShoalError ${code}, got ${String(error)}`);
}

function bytes(length: number, value = 0): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function sizes({ header, body }: Frame): [number, number] {
  return [header.length, body.length];
}
