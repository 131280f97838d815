/** Fetching from honest sharers, and from peers that vanish, stall, lie, refuse or talk nonsense. */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { ShoalError, type ErrorCode } from '../../src/errors.ts';
import {
  CREDIT_BYTES,
  MAX_ACTIVE_PEERS,
  MAX_BLOCK_BYTES,
  MAX_STALL_MS,
  PIECE_BYTES,
  REFUSED_GRACE_MS,
} from '../../src/limits.ts';
import type { Refusal } from '../../src/ports.ts';
import type { ServerMessage } from '../../src/protocol/messages.ts';
import { indicesOf } from '../../src/protocol/ranges.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { expectSame, makeLargeShare, makeShare, withdrawalOf, type TestShare } from '../contract/chunk-source.ts';
import { Forgetful } from '../sim/forgetful.ts';
import { faultySource } from '../sim/faulty-source.ts';
import {
  actor,
  blockOf,
  fetchAll,
  hear,
  newWorld,
  outputOf,
  say,
  seeder,
  startFetch,
  storeOf,
  turncoat,
  untilEnd,
  type Fetching,
  type World,
} from './world.ts';

const SMALL = { 'a.txt': randomBytes(1000), 'b/c.bin': randomBytes(10) };
const LARGE = {
  'a.bin': randomBytes(PIECE_BYTES + 5),
  'b.bin': randomBytes(4 * PIECE_BYTES),
  'c.txt': randomBytes(77),
};

describe('fetch', () => {
  let small: TestShare;
  let large: TestShare;
  let world: World;

  before(async () => {
    small = await makeShare('small', SMALL);
    large = await makeShare('large', LARGE);
  });
  beforeEach(() => {
    world = newWorld();
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(`      seed ${world.seed}`);
  });

  function expectComplete({ disk }: Pick<Fetching, 'disk'>, name: string, files: Record<string, Uint8Array>): void {
    const output = outputOf(disk);
    expect(Object.keys(output).sort()).to.deep.equal(
      Object.keys(files)
        .map(path => `${name}/${path}`)
        .sort(),
    );
    for (const [path, bytes] of Object.entries(files)) expectSame(output[`${name}/${path}`]!, bytes);
  }

  function expectNothingLeft({ node }: Pick<Fetching, 'node'>): void {
    expect(world.clock.sleepers, 'sleepers').to.equal(0);
    expect(node.open.size, 'open channels').to.equal(0);
  }

  describe('from honest peers', () => {
    it('gets a folder from one, byte for byte, and tells it when it has all', async () => {
      const { served } = await seeder(world, 'sharer', large.id, await storeOf(large));
      const fetching = await fetchAll(world, large);
      expectComplete(fetching, 'large', LARGE);
      expect(fetching.fetched?.sources.map(({ via }) => via)).to.deep.equal(['dht']);
      expect(served.map(({ event }) => event).filter(event => event !== 'sent')).to.deep.equal([
        'joined',
        'complete',
        'left',
      ]);
      expectNothingLeft(fetching);
    });

    it('gets a part from each of four', async () => {
      const fetcher = world.network.node('fetcher');
      // More than the credit of one peer.
      const files = { it: new Uint8Array(4 * CREDIT_BYTES) };
      const wide = await makeShare('wide', files);
      for (const name of ['s1', 's2', 's3', 's4']) {
        const { node } = await seeder(world, name, wide.id, await storeOf(wide));
        world.network.fault(node, fetcher, { delayMs: 50 });
      }
      const fetching = await fetchAll(world, wide, { node: fetcher });
      expectComplete(fetching, 'wide', files);
      expect(fetching.fetched!.sources.length).to.equal(4);
    });

    it('puts together what two incomplete ones have', async () => {
      const half = (parity: number) => (name: string) =>
        !name.startsWith('chunk data') || Number(name.split(' ')[2]) % 2 === parity;
      await seeder(world, 'even', large.id, await storeOf(large, half(0)));
      await seeder(world, 'odd', large.id, await storeOf(large, half(1)));
      expectComplete(await fetchAll(world, large), 'large', LARGE);
    });

    it('goes on when messages come late and in bursts', async () => {
      const { node } = await seeder(world, 'slow', large.id, await storeOf(large));
      const fetcher = world.network.node('fetcher');
      world.network.fault(node, fetcher, { maxDelayTurns: 8, delayMs: 300 });
      expectComplete(await fetchAll(world, large, { node: fetcher }), 'large', LARGE);
    });

    it('finds a sharer that comes later', async () => {
      const fetching = startFetch(world, small);
      await world.clock.advance(120_000);
      await seeder(world, 'late', small.id, await storeOf(small));
      await world.clock.run(fetching.outcome);
      expectComplete(fetching, 'small', SMALL);
    });

    it('takes what its own home has, and only the rest from others', async () => {
      const local = await storeOf(large, name => !name.startsWith('chunk data') || name < 'chunk data 3');
      await seeder(world, 'sharer', large.id, await storeOf(large));
      const fetching = await fetchAll(world, large, { local });
      expectComplete(fetching, 'large', LARGE);
      expect(fetching.fetched?.sources.map(({ via }) => via)).to.include('local');
    });

    it('works in its own home without a network at all', async () => {
      const fetching = await fetchAll(world, large, { local: await storeOf(large) });
      expectComplete(fetching, 'large', LARGE);
      expectNothingLeft(fetching);
    });

    it('gets index blocks where a share has them, and checks them', async () => {
      const huge = await makeLargeShare(2049, [0, 2048]);
      await seeder(world, 'sharer', huge.id, await storeOf(huge));
      // Its chunks are random bytes: they match their CIDs and open under no key.
      const { failure } = await fetchAll(world, huge, { timeoutMs: 10_000 });
      expect(failure?.code).to.be.oneOf(['corrupt', 'unavailable']);
    });
  });

  describe('a selection', () => {
    it('writes the selected files only, and asks for their chunks only', async () => {
      const source = faultySource(await storeOf(large), {});
      await seeder(world, 'sharer', large.id, source);
      const fetching = await fetchAll(world, large, { only: path => path === 'c.txt' });
      expect(Object.keys(outputOf(fetching.disk))).to.deep.equal(['large/c.txt']);
      expectSame(outputOf(fetching.disk)['large/c.txt']!, LARGE['c.txt']);
      expect(source.asked.filter(at => at.kind === 'chunk' && at.stream === 'data')).to.deep.equal([
        { kind: 'chunk', stream: 'data', index: 5 },
      ]);
      expect(fetching.fetched).to.include({ files: 1, sizeBytes: 77 });
    });

    it('that matches nothing is a mistake of the caller', async () => {
      await seeder(world, 'sharer', small.id, await storeOf(small));
      const fetching = await fetchAll(world, small, { only: () => false });
      expect(fetching.failure?.code).to.equal('usage');
      expectNothingLeft(fetching);
    });
  });

  describe('after an earlier run', () => {
    async function interrupted(disk: Forgetful, store = memoryStore()): Promise<void> {
      const { node } = await seeder(world, 'sharer', large.id, await storeOf(large));
      const first = world.network.node('first');
      // Hello, the manifest and two chunks.
      world.network.fault(node, first, { stallAt: 4 });
      const fetching = startFetch(world, large, { node: first, disk, store });
      await world.clock.advance(3000);
      fetching.stop.abort();
      const failure = await world.clock.run(fetching.outcome.catch((error: unknown) => error));
      expect(failure).to.include({ code: 'interrupted' });
      expect(outputOf(disk)).to.deep.equal({});
      expectNothingLeft(fetching);
      await node.stop();
    }

    it('asks only for what is missing', async () => {
      const [disk, store] = [new Forgetful(), memoryStore()];
      await interrupted(disk, store);
      const source = faultySource(await storeOf(large), {});
      await seeder(world, 'second', large.id, source);
      const fetching = await fetchAll(world, large, { disk, store });
      expectComplete(fetching, 'large', LARGE);
      expect(source.asked.map(at => (at.kind === 'chunk' ? `${at.stream} ${at.index}` : at.kind)).sort()).to.deep.equal(
        ['data 2', 'data 3', 'data 4', 'data 5', 'share'],
      );
      expect(fetching.events.find(({ event }) => event === 'resumed')).to.deep.include({ bytes: 2 * PIECE_BYTES });
    });

    it('tells what it does here before it asks for anything', async () => {
      const [disk, store] = [new Forgetful(), memoryStore()];
      await interrupted(disk, store);
      await seeder(world, 'second', large.id, await storeOf(large));
      const { events } = await fetchAll(world, large, { disk, store });
      const first = events.findIndex(({ event }) => event === 'progress');
      const told = events.slice(0, first).filter(({ event }) => event === 'preparing' || event === 'resumed');
      expect(told).to.deep.equal([
        { event: 'preparing', step: 'make' },
        { event: 'preparing', step: 'verify' },
        { event: 'preparing', step: 'ready' },
        { event: 'resumed', bytes: 2 * PIECE_BYTES },
      ]);
    });

    it('gets again what its journal claims and is not so', async () => {
      const [disk, store] = [new Forgetful(), memoryStore()];
      await interrupted(disk, store);
      const part = await disk.root().enter('.shoal-test.part');
      const journal = await part.open('journal', 'write');
      // All chunks that there are, and some that there are not.
      await journal.write(Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 200].flatMap(index => [0, 0, 0, index])), 0);
      await journal.close();
      const output = await part.enter('output');
      const file = await output.open('a.bin', 'write');
      await file.write(Uint8Array.of(1), 10);
      await file.write(Uint8Array.of(1, 2, 3), PIECE_BYTES);
      await file.close();
      await output.close();
      await part.close();
      const source = faultySource(await storeOf(large), {});
      await seeder(world, 'second', large.id, source);
      expectComplete(await fetchAll(world, large, { disk, store }), 'large', LARGE);
    });
  });

  describe('from peers of bad will', () => {
    it('completes from the honest one of three, when one lies and one stalls', async () => {
      const liar = faultySource(await storeOf(large), { of: at => (at.kind === 'share' ? undefined : 'corrupt') });
      const lying = await seeder(world, 'liar', large.id, liar);
      const stalling = await turncoat(world, 'staller', large, () => Promise.resolve());
      await seeder(world, 'honest', large.id, await storeOf(large));
      const fetching = await fetchAll(world, large);
      expectComplete(fetching, 'large', LARGE);
      expect(fetching.fetched?.sources).to.have.length(1);
      expect(fetching.events.filter(({ event }) => event === 'lost')).to.deep.include({
        event: 'lost',
        peer: lying.node.self,
        why: 'sent wrong bytes',
      });
      expect(stalling.heard).to.include('get');
      expect(lying.served.filter(({ event }) => event === 'joined')).to.have.length(1);
      expectNothingLeft(fetching);
    });

    it('asks a liar nothing more after its first wrong byte', async () => {
      let gets = 0;
      let wrongAt = 0;
      const liar = await turncoat(world, 'liar', large, async (channel, { kind, stream, ranges }) => {
        gets++;
        for (const index of indicesOf(ranges)) {
          const bytes = blockOf(large, `${kind} ${stream} ${index}`).slice();
          if (stream === 'data') {
            bytes[5]! ^= 1;
            wrongAt ||= gets;
          }
          await say(channel, { type: 'block', kind, stream, index }, bytes);
          if (wrongAt > 0) return;
        }
      });
      const fetching = startFetch(world, large);
      await world.clock.advance(300_000);
      // More is asked while the block is still being checked.
      const mostGets = wrongAt + 1;
      expect(gets).to.be.at.most(mostGets);
      expect(liar.heard.filter(type => type === 'hello')).to.have.length(1);
      await seeder(world, 'honest', large.id, await storeOf(large));
      await world.clock.run(fetching.outcome);
      expectComplete(fetching, 'large', LARGE);
      expect(gets).to.be.at.most(mostGets);
    });

    for (const [name, break_] of [
      ['a wrong share block', { type: 'hello', have: 'all', credit: CREDIT_BYTES }],
      ['no credit', { type: 'hello', have: 'all', credit: 0 }],
      ['credit for less than a block', { type: 'hello', have: 'all', credit: MAX_BLOCK_BYTES - 1 }],
      [
        'ranges beyond the share',
        { type: 'hello', have: { manifest: [0, 1], data: [0, 2 ** 52] }, credit: CREDIT_BYTES },
      ],
      ['ranges that overlap', { type: 'hello', have: { manifest: [0, 1, 0, 1], data: [] }, credit: CREDIT_BYTES }],
      ['a block before hello', { type: 'block', kind: 'chunk', stream: 'data', index: 0 }],
      ['a message of the asker', { type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 1] }],
    ] as const) {
      it(`gives up a peer that answers hello with ${name}, for good`, async () => {
        let hellos = 0;
        await actor(world, 'bad', small.id, async (channel, frames) => {
          hellos++;
          await hear(frames);
          const body = name === 'a wrong share block' ? blockOf(large, 'share') : blockOf(small, 'share');
          await say(channel, break_, body);
          await untilEnd(frames);
        });
        const fetching = startFetch(world, small);
        await world.clock.advance(100_000);
        expect(hellos).to.equal(1);
        await seeder(world, 'honest', small.id, await storeOf(small));
        await world.clock.run(fetching.outcome);
        expectComplete(fetching, 'small', SMALL);
        expectNothingLeft(fetching);
      });
    }

    it('does not ask for more than its own limit, however large the credit', async () => {
      let asked = 0;
      const server = await turncoat(
        world,
        'generous',
        large,
        async (_, { ranges }) => {
          asked += [...indicesOf(ranges)].length;
        },
        { credit: Number.MAX_SAFE_INTEGER, have: { manifest: [], data: [0, 6] } },
      );
      const local = await storeOf(large, name => !name.startsWith('chunk data'));
      const fetching = startFetch(world, large, { local });
      await world.clock.advance(2000);
      expect(server.heard).to.include('get');
      expect(asked * MAX_BLOCK_BYTES).to.be.at.most(CREDIT_BYTES);
      fetching.stop.abort();
      await world.clock.run(fetching.outcome.catch(() => undefined));
      expectNothingLeft(fetching);
    });

    const answers: Record<string, (share: TestShare, index: number) => [ServerMessage, Uint8Array?][]> = {
      'a short block': (share, index) => [[block(index), blockOf(share, `chunk data ${index}`).subarray(1)]],
      'an empty block': (_, index) => [[block(index)]],
      'a block with a byte more': (share, index) => [
        [block(index), Buffer.concat([blockOf(share, `chunk data ${index}`).subarray(0, 9999), Buffer.alloc(1)])],
      ],
      'another block than it was asked for': (share, index) => [
        [block(index + 1), blockOf(share, `chunk data ${index}`)],
      ],
      'a block that does not exist': () => [[block(2 ** 40), new Uint8Array(16)]],
      'a block of the other stream': (share, index) => [
        [
          { type: 'block', kind: 'chunk', stream: 'manifest', index: 0 },
          blockOf(share, `chunk data ${index}`).subarray(),
        ],
      ],
      'an index block': () => [[{ type: 'block', kind: 'index', stream: 'data', index: 0 }, new Uint8Array(9)]],
      'a block twice': (share, index) => [
        [block(index), blockOf(share, `chunk data ${index}`)],
        [block(index), blockOf(share, `chunk data ${index}`)],
      ],
      'a second hello': share => [
        [{ type: 'hello', have: 'all', credit: CREDIT_BYTES }, blockOf(share, 'share')] as [ServerMessage, Uint8Array],
      ],
      'ranges beyond the share that it lacks': () => [
        [{ type: 'lacks', kind: 'chunk', stream: 'data', ranges: [0, 2 ** 50] }],
      ],
      'ranges beyond the share that it gained': () => [[{ type: 'have', stream: 'data', ranges: [100, 1] }]],
      'bytes behind a message that has none': () => [
        [{ type: 'lacks', kind: 'chunk', stream: 'data', ranges: [0, 1] }, new Uint8Array(7)],
      ],
    };
    function block(index: number): ServerMessage {
      return { type: 'block', kind: 'chunk', stream: 'data', index };
    }
    for (const [name, answer] of Object.entries(answers)) {
      it(`gives up a peer that sends ${name}, and gets all elsewhere`, async () => {
        // No message can hold more than a full chunk.
        const [share, files] = name === 'a block with a byte more' ? [small, SMALL] : [large, LARGE];
        const bad = await turncoat(world, 'bad', share, async (channel, { kind, stream, ranges }) => {
          if (stream === 'manifest') {
            await say(channel, { type: 'block', kind, stream, index: 0 }, blockOf(share, 'chunk manifest 0'));
            return;
          }
          for (const [message, body] of answer(share, ranges[0]!)) await say(channel, message, body);
        });
        const fetching = startFetch(world, share);
        await world.clock.advance(50_000);
        expect(bad.heard.filter(type => type === 'hello')).to.have.length(1);
        await seeder(world, 'honest', share.id, await storeOf(share));
        await world.clock.run(fetching.outcome);
        expectComplete(fetching, share === small ? 'small' : 'large', files);
        expectNothingLeft(fetching);
      });
    }

    it('gets all elsewhere from a peer that lacks everything that it promised', async () => {
      const bad = await turncoat(world, 'bad', large, (channel, get) => say(channel, { ...get, type: 'lacks' }));
      const fetching = startFetch(world, large);
      await world.clock.advance(20_000);
      const gets = bad.heard.filter(type => type === 'get').length;
      expect(gets, 'asked for each block at most once').to.be.at.most(large.blocks.length);
      await seeder(world, 'honest', large.id, await storeOf(large));
      await world.clock.run(fetching.outcome);
      expectComplete(fetching, 'large', LARGE);
    });

    it('reports that nobody has it, when everybody who knows the share lacks it', async () => {
      await seeder(world, 'empty', large.id, await storeOf(large, name => name !== 'chunk data 3'));
      const fetching = await fetchAll(world, large, { timeoutMs: 30_000 });
      expect(fetching.failure?.code).to.equal('unavailable');
      expect(fetching.failure?.message).to.contain('nobody at hand has 1 of the 1 chunks');
      expect(outputOf(fetching.disk)).to.deep.equal({});
      expectNothingLeft(fetching);
    });

    it('answers garbage at any message with giving up the peer', async () => {
      for (let at = 0; at < 4; at++) {
        world = newWorld();
        let sent = 0;
        let hellos = 0;
        await actor(world, 'garbage', small.id, async (channel, frames) => {
          for (let message = await hear(frames); message !== undefined; message = await hear(frames)) {
            if (message.type === 'hello') hellos++;
            if (message.type === 'bye') {
              await channel.close();
              return;
            }
            if (sent++ >= at) {
              await channel.send(randomBytes(40), randomBytes(9));
            } else if (message.type === 'hello') {
              await say(channel, { type: 'hello', have: 'all', credit: CREDIT_BYTES }, blockOf(small, 'share'));
            } else if (message.type === 'get') {
              const { kind, stream } = message;
              await say(channel, { type: 'block', kind, stream, index: 0 }, blockOf(small, `${kind} ${stream} 0`));
            }
          }
        });
        const fetching = startFetch(world, small);
        await world.clock.advance(60_000);
        if (at < 3) expect(hellos, `garbage as answer ${at}`).to.equal(1);
        await seeder(world, 'honest', small.id, await storeOf(small));
        await world.clock.run(fetching.outcome);
        expectComplete(fetching, 'small', SMALL);
        expectNothingLeft(fetching);
      }
    });

    it('completes wherever the connection is lost, from the same peer', async () => {
      for (const direction of ['there', 'back'] as const) {
        for (let at = 0; at < 6; at++) {
          world = newWorld();
          const { node } = await seeder(world, 'flaky', small.id, await storeOf(small));
          const fetcher = world.network.node('fetcher');
          const [from, to] = direction === 'there' ? [fetcher, node] : [node, fetcher];
          world.network.fault(from, to, { dropAt: at });
          const fetching = startFetch(world, small, { node: fetcher });
          await world.clock.advance(100);
          world.network.fault(from, to, {});
          await world.clock.run(fetching.outcome);
          expectComplete(fetching, 'small', SMALL);
          expectNothingLeft(fetching);
        }
      }
    });

    it('takes a little from each connection, when every one is lost after some messages', async () => {
      const { node, served } = await seeder(world, 'flaky', large.id, await storeOf(large));
      const fetcher = world.network.node('fetcher');
      world.network.fault(node, fetcher, { dropAt: 2 });
      const fetching = await fetchAll(world, large, { node: fetcher });
      expectComplete(fetching, 'large', LARGE);
      expect(served.filter(({ event }) => event === 'joined').length).to.be.greaterThan(3);
    });

    it('is not kept by peers that accept and stall, though they take all places', async () => {
      for (let n = 0; n < 2 * MAX_ACTIVE_PEERS; n++)
        await turncoat(world, `staller ${n}`, large, () => Promise.resolve());
      const fetching = startFetch(world, large);
      await world.clock.advance(3000);
      await seeder(world, 'honest', large.id, await storeOf(large));
      await world.clock.run(fetching.outcome, MAX_STALL_MS);
      expectComplete(fetching, 'large', LARGE);
      expectNothingLeft(fetching);
    });

    it('is not kept by peers that have nothing, though they take all places', async () => {
      for (let n = 0; n < 2 * MAX_ACTIVE_PEERS; n++)
        await seeder(world, `empty ${n}`, large.id, await storeOf(large, name => !name.startsWith('chunk')));
      const fetching = startFetch(world, large);
      await world.clock.advance(3000);
      await seeder(world, 'honest', large.id, await storeOf(large));
      await world.clock.run(fetching.outcome, MAX_STALL_MS);
      expectComplete(fetching, 'large', LARGE);
    });

    it('is not kept by a peer that sends a byte now and then', async () => {
      await turncoat(world, 'trickle', small, async (channel, { kind, stream }) => {
        for (let n = 0; n < 1000; n++) {
          await world.clock.sleep(900);
          await say(channel, { type: 'have', stream, ranges: [] });
          if (kind === 'index') return;
        }
      });
      const fetching = startFetch(world, small);
      await world.clock.advance(1000);
      await seeder(world, 'honest', small.id, await storeOf(small));
      await world.clock.run(fetching.outcome, 20_000);
      expectComplete(fetching, 'small', SMALL);
    });

    it('gives up in time when the only peer sends a byte now and then', async () => {
      await turncoat(world, 'trickle', small, async (channel, { stream }) => {
        for (;;) {
          await world.clock.sleep(900);
          await say(channel, { type: 'have', stream, ranges: [] });
        }
      });
      const { failure } = await fetchAll(world, small, { timeoutMs: 60_000 });
      expect(failure?.code).to.equal('unavailable');
    });

    it('finds the live one among fifty that refuse the connection, within seconds', async () => {
      const fetcher = world.network.node('fetcher');
      for (let n = 0; n < 50; n++) {
        const { node } = await seeder(world, `dead ${n}`, small.id, await storeOf(small));
        world.network.fault(fetcher, node, { refuse: true });
      }
      await seeder(world, 'live', small.id, await storeOf(small));
      const fetching = startFetch(world, small, { node: fetcher });
      await world.clock.run(fetching.outcome, 2000);
      expectComplete(fetching, 'small', SMALL);
    });

    it('finds the live one among fifty that never answer, within seconds', async () => {
      const fetcher = world.network.node('fetcher');
      for (let n = 0; n < 50; n++) {
        const { node } = await seeder(world, `dead ${n}`, small.id, await storeOf(small));
        world.network.fault(fetcher, node, { hang: true });
      }
      await seeder(world, 'live', small.id, await storeOf(small));
      const fetching = startFetch(world, small, { node: fetcher });
      await world.clock.run(fetching.outcome, 12_000);
      expectComplete(fetching, 'small', SMALL);
      expectNothingLeft(fetching);
    });
  });

  describe('a fetch of what has expired', () => {
    const HOUR = 3600;
    let expires: number;
    let ending: TestShare;
    beforeEach(async () => {
      expires = Math.ceil(world.clock.now() / 1000 / HOUR) * HOUR + HOUR;
      ending = await makeShare('ending', SMALL, { expires });
    });
    const pass = (): Promise<void> => world.clock.advance(expires * 1000 + 1000 - world.clock.now());

    it('opens it where its blocks are here already', async () => {
      const local = await storeOf(ending);
      await pass();
      const fetching = await fetchAll(world, ending, { local });
      expect(fetching.failure).to.equal(undefined);
      expectComplete(fetching, 'ending', SMALL);
    });

    it('goes on with what an earlier run has left, as far as that is all', async () => {
      const { node } = await seeder(world, 'sharer', ending.id, await storeOf(ending));
      const disk = new Forgetful();
      const store = memoryStore();
      const full = await fetchAll(world, ending, { disk, store });
      expectComplete(full, 'ending', SMALL);
      await pass();
      await node.stop();
      const again = await fetchAll(world, ending, {
        local: await storeOf(ending),
        store,
        force: true,
        disk: new Forgetful(),
      });
      expectComplete(again, 'ending', SMALL);
    });

    it('asks all the same, and says that a clock is wrong where by its own it is not over', async () => {
      const until = expires;
      (await seeder(world, 'ahead', ending.id, await storeOf(ending))).refusal = { reason: 'expired', until };
      const { failure } = await fetchAll(world, ending);
      expect(failure).to.include({ code: 'refused' });
      expect(failure?.message).to.match(
        /by the clock of this machine it has [12] hours? left: this clock is behind, or theirs/,
      );
      await pass();
      const later = await fetchAll(world, ending, { node: world.network.node('later') });
      expect(later.failure?.message).to.equal(
        'cannot fetch: everyone who knows the share refuses it (expired); ask the sharer',
      );
    });

    it('believes the share block about its end, where it has that, and not who refuses', async () => {
      (await seeder(world, 'ahead', ending.id, await storeOf(ending))).refusal = { reason: 'expired' };
      const store = await storeOf(ending, at => at === 'share');
      const { failure } = await fetchAll(world, ending, { store });
      expect(failure?.message).to.include('this clock is behind, or theirs are ahead');
      const other = newWorld();
      const endless = await makeShare('endless', SMALL);
      const lying = await seeder(other, 'liar', endless.id, await storeOf(endless));
      lying.refusal = { reason: 'expired', until: 2 ** 50 };
      const known = await storeOf(endless, at => at === 'share');
      const of = await fetchAll(other, endless, { store: known });
      expect(of.failure?.message).to.include('refuses it (expired); ask the sharer');
    });

    it('writes nothing where who fetches refuses to have it', async () => {
      await seeder(world, 'sharer', ending.id, await storeOf(ending));
      const check = (block: { readonly expires?: number }): void => {
        expect(block.expires).to.equal(expires);
        throw new ShoalError('refused', 'not to be kept');
      };
      const fetching = await fetchAll(world, ending, { check });
      expect(fetching.failure?.message).to.equal('not to be kept');
      expect(fetching.disk.contents().size).to.equal(0);
    });
  });

  describe('a fetch that is refused', () => {
    for (const [reason, code] of [
      ['blocked', 'refused'],
      ['expired', 'refused'],
      ['changed', 'changed'],
    ] as const satisfies readonly (readonly [string, ErrorCode])[]) {
      it(`by everyone with "${reason}" ends as ${code}, when others had time to turn up`, async () => {
        for (const name of ['one', 'two']) {
          (await seeder(world, name, small.id, await storeOf(small))).refusal = { reason };
        }
        const startMs = world.clock.monotonic();
        const fetching = await fetchAll(world, small);
        expect(fetching.failure?.code).to.equal(code);
        expect(world.clock.monotonic() - startMs).to.be.within(REFUSED_GRACE_MS, 2 * REFUSED_GRACE_MS);
        expect(fetching.disk.contents().size).to.equal(0);
        expectNothingLeft(fetching);
      });
    }

    it('by one who shows that its owner has withdrawn it ends at once, while another gives it still', async () => {
      const [store, heard] = [await storeOf(small), [] as unknown[]];
      const giving = await seeder(world, 'giving', small.id, { ...store, read: (...at) => slowly(store.read(...at)) });
      (await seeder(world, 'obedient', small.id, store)).refusal = {
        reason: 'withdrawn',
        withdrawal: withdrawalOf(small),
      };
      const fetching = await fetchAll(world, small, { onWithdrawn: withdrawal => heard.push(withdrawal.id) });
      expect(fetching.failure?.code).to.equal('refused');
      expect(fetching.failure?.message).to.include('withdrawn by the sharer on 2023-11-14');
      expect(world.clock.monotonic()).to.be.lessThan(REFUSED_GRACE_MS);
      expect(heard).to.deep.equal([small.id]);
      expect(giving.served.some(({ event }) => event === 'complete')).to.equal(false);
      expect(fetching.node.open.size).to.equal(0);

      async function slowly<T>(block: Promise<T>): Promise<T> {
        await world.clock.sleep(2 * REFUSED_GRACE_MS);
        return await block;
      }
    });

    const unproven: Record<string, (small: TestShare, other: TestShare) => Refusal> = {
      'without a statement': () => ({ reason: 'withdrawn' }),
      'about another share': (_small, other) => ({ reason: 'withdrawn', withdrawal: withdrawalOf(other) }),
      'signed by another owner': (share, other) => ({
        reason: 'withdrawn',
        withdrawal: withdrawalOf({ ...share, ownerSeed: other.ownerSeed }),
      }),
      'with a block of another share': (share, other) => ({
        reason: 'withdrawn',
        withdrawal: { ...withdrawalOf(share), block: withdrawalOf(other).block },
      }),
    };
    for (const [how, refusalOf] of Object.entries(unproven)) {
      it(`by a peer that says "withdrawn" ${how} goes on looking, as if it did not know the share`, async () => {
        const other = await makeShare('other', SMALL);
        (await seeder(world, 'liar', small.id, await storeOf(small))).refusal = refusalOf(small, other);
        const { failure } = await fetchAll(world, small, { timeoutMs: 20_000 });
        expect(failure?.code).to.equal('not-found');
      });
    }

    for (const [reason, code] of [
      ['blocked', 'refused'],
      ['changed', 'changed'],
    ] as const)
      it(`by everyone with "${reason}" ends as ${code} at a timeout too, though others were not tried yet`, async () => {
        const fetcher = world.network.node('fetcher');
        const { node } = await seeder(world, 'untried', small.id, await storeOf(small));
        world.network.fault(fetcher, node, { hang: true });
        (await seeder(world, 'refuser', small.id, await storeOf(small))).refusal = { reason };
        const startMs = world.clock.monotonic();
        const { failure } = await fetchAll(world, small, { node: fetcher, timeoutMs: 3000 });
        expect(failure?.code).to.equal(code);
        expect(world.clock.monotonic() - startMs).to.be.within(3000, REFUSED_GRACE_MS);
      });

    it('ends as refused also when some others are dead or know nothing of it', async () => {
      const fetcher = world.network.node('fetcher');
      for (let n = 0; n < 20; n++) {
        const { node, server } = await seeder(world, `other ${n}`, small.id, await storeOf(small));
        if (n % 2 === 0) world.network.fault(fetcher, node, { refuse: true });
        else server.remove(small.id);
        node.announce(small.id);
      }
      (await seeder(world, 'refuser', small.id, await storeOf(small))).refusal = { reason: 'blocked' };
      const fetching = startFetch(world, small, { node: fetcher });
      const failure = await world.clock.run(
        fetching.outcome.catch((error: unknown) => error),
        30_000,
      );
      expect(failure).to.include({ code: 'refused' });
    });

    it('goes on with one that serves', async () => {
      (await seeder(world, 'refuser', small.id, await storeOf(small))).refusal = { reason: 'blocked' };
      const fetching = startFetch(world, small);
      await world.clock.advance(2000);
      await seeder(world, 'honest', small.id, await storeOf(small));
      await world.clock.run(fetching.outcome);
      expectComplete(fetching, 'small', SMALL);
    });

    it('waits for one that is busy, though another refuses for good', async () => {
      (await seeder(world, 'refuser', small.id, await storeOf(small))).refusal = { reason: 'blocked' };
      const busy = await seeder(world, 'busy', small.id, await storeOf(small));
      busy.refusal = { reason: 'busy' };
      const fetching = startFetch(world, small);
      await world.clock.advance(60_000);
      busy.refusal = undefined;
      await world.clock.run(fetching.outcome);
      expectComplete(fetching, 'small', SMALL);
    });

    it('for a while by all who have it ends as unavailable, at its timeout', async () => {
      (await seeder(world, 'busy', small.id, await storeOf(small))).refusal = { reason: 'over-quota' };
      const { failure } = await fetchAll(world, small, { timeoutMs: 60_000 });
      expect(failure?.code).to.equal('unavailable');
      (await seeder(world, 'refuser', small.id, await storeOf(small))).refusal = { reason: 'changed' };
      const again = await fetchAll(world, small, { timeoutMs: 60_000 });
      expect(again.failure?.code, 'though another refuses for good').to.equal('unavailable');
    });

    it('in the middle goes on elsewhere', async () => {
      const first = await turncoat(world, 'refuser', large, async (channel, { kind, stream }) => {
        if (stream === 'manifest')
          await say(channel, { type: 'block', kind, stream, index: 0 }, blockOf(large, 'chunk manifest 0'));
        else await say(channel, { type: 'refuse', reason: 'withdrawn' });
      });
      const fetching = startFetch(world, large);
      await world.clock.advance(1000);
      expect(first.open.size, 'a refused channel is closed').to.equal(0);
      await seeder(world, 'honest', large.id, await storeOf(large));
      await world.clock.run(fetching.outcome);
      expectComplete(fetching, 'large', LARGE);
    });
  });

  describe('a timeout', () => {
    it('when nobody was found ends as not-found, and not before', async () => {
      const startMs = world.clock.monotonic();
      const fetching = await fetchAll(world, small, { timeoutMs: 60_000 });
      expect(fetching.failure?.code).to.equal('not-found');
      expect(world.clock.monotonic() - startMs).to.be.within(60_000, 61_000);
      expect(fetching.events.filter(({ event }) => event === 'waiting').length).to.be.greaterThan(2);
      expectNothingLeft(fetching);
    });

    it('when only strangers were found ends as not-found', async () => {
      const { node, server } = await seeder(world, 'stranger', small.id, await storeOf(small));
      server.remove(small.id);
      node.announce(small.id);
      const { failure } = await fetchAll(world, small, { timeoutMs: 60_000 });
      expect(failure?.code).to.equal('not-found');
    });

    it('when the only peer went away ends as unavailable', async () => {
      const { node } = await seeder(world, 'sharer', large.id, await storeOf(large));
      const fetcher = world.network.node('fetcher');
      world.network.fault(node, fetcher, { stallAt: 3 });
      const fetching = startFetch(world, large, { node: fetcher, timeoutMs: 20_000 });
      await world.clock.advance(2000);
      await node.stop();
      const failure = await world.clock.run(fetching.outcome.catch((error: unknown) => error));
      expect(failure).to.include({ code: 'unavailable' });
      expectNothingLeft(fetching);
    });

    it('does not come while a peer only comes and goes, nor is it put off by that', async () => {
      await actor(world, 'door', small.id, async (channel, frames) => {
        await hear(frames);
        await say(
          channel,
          { type: 'hello', have: { manifest: [], data: [] }, credit: CREDIT_BYTES },
          blockOf(small, 'share'),
        );
        await channel.close();
      });
      const { failure } = await fetchAll(world, small, { timeoutMs: 60_000 });
      expect(failure?.code).to.equal('unavailable');
    });
  });

  describe('when it is stopped', () => {
    it('at any moment leaves nothing running and nothing at the final place', async () => {
      for (let turns = 0; turns < 60; turns++) {
        world = newWorld();
        await seeder(world, 'sharer', large.id, await storeOf(large));
        await turncoat(world, 'staller', large, () => Promise.resolve());
        const fetching = startFetch(world, large);
        for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve));
        fetching.stop.abort();
        const failure = await world.clock.run(fetching.outcome.catch((error: unknown) => error));
        if (!(failure instanceof Error)) break;
        expect(failure, `after ${turns} turns`).to.include({ code: 'interrupted' });
        expect(outputOf(fetching.disk)).to.deep.equal({});
        expectNothingLeft(fetching);
        expect(fetching.disk.open, 'open files').to.equal(0);
      }
    });

    it('before it began is told so', async () => {
      const fetching = startFetch(world, small);
      fetching.stop.abort();
      expect(await world.clock.run(fetching.outcome.catch((error: unknown) => error))).to.include({
        code: 'interrupted',
      });
      expectNothingLeft(fetching);
    });

    it('ends soon after the last byte, though a peer never closes its side', async () => {
      await seeder(world, 'honest', small.id, await storeOf(small));
      await actor(world, 'clinging', small.id, async (channel, frames) => {
        await hear(frames);
        await say(channel, { type: 'hello', have: 'all', credit: CREDIT_BYTES }, blockOf(small, 'share'));
        await new Promise(() => undefined);
      });
      const fetching = startFetch(world, small);
      await world.clock.run(fetching.outcome, 10_000);
      expectComplete(fetching, 'small', SMALL);
      expectNothingLeft(fetching);
    });
  });

  describe('that can not write', () => {
    it('ends with what the disk says, and leaves nothing running', async () => {
      await seeder(world, 'sharer', large.id, await storeOf(large));
      const disk = new Forgetful();
      const fetching = startFetch(world, large, {
        disk,
        crypto: {
          ...world.crypto,
          open: (...given) => {
            if (given[1] === 3) disk.full = true;
            return world.crypto.open(...given);
          },
        },
      });
      const failure = await world.clock.run(fetching.outcome.catch((error: unknown) => error));
      expect(failure).to.include({ code: 'disk-full' });
      expect(outputOf(disk)).to.deep.equal({});
      expect(disk.open).to.equal(0);
      expectNothingLeft(fetching);
    });
  });
});
