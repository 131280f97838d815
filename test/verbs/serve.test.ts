/** What a server tells to whom, and what it takes from nobody. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { digestOf, rendezvous, dayOf, idOf, multihashOf, type BlockId } from '../../src/format/ids.ts';
import {
  CREDIT_BYTES,
  HELLO_TIMEOUT_MS,
  IDLE_CHANNEL_TIMEOUT_MS,
  MAX_ASKED,
  MAX_BLOCK_BYTES,
  READS_PER_CHANNEL,
  MAX_CHANNELS,
  MAX_CHANNELS_PER_PEER,
  PIECE_BYTES,
  YIELDING_CHANNEL_MS,
} from '../../src/limits.ts';
import type { Frame } from '../../src/ports.ts';
import { decodeServerMessage, type AskerMessage, type ServerMessage } from '../../src/protocol/messages.ts';
import { proofOf } from '../../src/protocol/proof.ts';
import { Server } from '../../src/serve.ts';
import { originalSource } from '../../src/store/original.ts';
import { expectSame, makeShare, type TestShare } from '../contract/chunk-source.ts';
import { quiet } from '../sim/clock.ts';
import { faultySource } from '../sim/faulty-source.ts';
import { actor, blockOf, fetchAll, greet, newWorld, say, seeder, storeOf, untilEnd, type World } from './world.ts';

describe('serve', () => {
  let share: TestShare;
  let world: World;

  before(async () => {
    share = await makeShare('share', { 'a.bin': randomBytes(3 * PIECE_BYTES), 'b.txt': randomBytes(500) });
  });
  beforeEach(() => {
    world = newWorld();
  });

  const get = (...ranges: number[]): AskerMessage => ({ type: 'get', kind: 'chunk', stream: 'data', ranges });

  function read({ header, body }: Frame): ServerMessage {
    return decodeServerMessage(header, body.length);
  }

  async function next(frames: AsyncIterator<Frame>): Promise<{ message: ServerMessage; body: Uint8Array }> {
    const frame = await frames.next();
    if (frame.done === true) throw new Error('the channel was closed');
    return { message: read(frame.value), body: frame.value.body };
  }

  it('answers a right proof with the share block, what it has, and its credit', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const { frames } = await greet(world, world.network.node('asker'), node, share.id);
    const { message, body } = await next(frames);
    expect(message).to.deep.equal({ type: 'hello', have: 'all', credit: CREDIT_BYTES });
    expectSame(body, blockOf(share, 'share'));
  });

  it('says what it has when it has a part', async () => {
    const { node } = await seeder(world, 'part', share.id, await storeOf(share, name => !/data [02]/.test(name)));
    const { frames } = await greet(world, world.network.node('asker'), node, share.id);
    expect((await next(frames)).message).to.deep.include({ have: { manifest: [0, 1], data: [1, 1, 3, 1] } });
  });

  it('knows the rendezvous keys of yesterday, today and tomorrow, and follows the day', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const asker = world.network.node('asker');
    for (let round = 0; round < 2; round++) {
      const today = dayOf(world.clock.now() / 1000);
      for (const [day, type] of [
        [today - 2, 'refuse'],
        [today - 1, 'hello'],
        [today, 'hello'],
        [today + 1, 'hello'],
        [today + 2, 'refuse'],
      ] as const) {
        const { channel, frames } = await greet(world, asker, node, share.id, { key: rendezvous(share.id, day).bytes });
        expect((await next(frames)).message.type).to.equal(type);
        await channel.close();
      }
      await world.clock.advance(3 * 86_400_000);
    }
  });

  it('knows a share that is added, gone and back once the keys of the day are made', async () => {
    const { node, server } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const asker = world.network.node('asker');
    for (const [change, type] of [
      [() => undefined, 'hello'],
      [() => server.remove(share.id), 'refuse'],
      [() => server.add(share.id), 'hello'],
      [() => server.add(share.id), 'hello'],
    ] as const) {
      change();
      const { channel, frames } = await greet(world, asker, node, share.id);
      expect((await next(frames)).message.type).to.equal(type);
      await channel.close();
    }
  });

  it('answers a wrong proof in the same bytes as a share that it does not have', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const asker = world.network.node('asker');
    const other = await makeShare('other', { 'x.txt': randomBytes(9) });
    const answers: Frame[][] = [];
    for (const [id, proof] of [
      [other.id, proofOf(other.id, asker.self, node.self)],
      [share.id, randomBytes(32)],
      [share.id, proofOf(other.id, asker.self, node.self)],
      [share.id, proofOf(share.id, node.self, asker.self)],
      [share.id, proofOf(share.id, world.network.node('third').self, node.self)],
    ] as const) {
      const { channel, frames } = await greet(world, asker, node, id, { proof });
      await channel.close();
      answers.push(await untilEnd(frames));
    }
    expect(read(answers[0]![0]!)).to.deep.equal({ type: 'refuse', reason: 'unknown' });
    for (const answer of answers) expect(answer).to.deep.equal(answers[0]);
  });

  it('serves who came through a grant until that ends, block by block', async () => {
    const node = world.network.node('sharer');
    const grant = { id: idOf(randomBytes(32)), expires: Math.floor(world.clock.now() / 1000) + 60 };
    const server = await Server.start({
      network: node,
      source: await storeOf(share),
      refusals: {
        for: (id, nowSeconds) =>
          id === grant.id && grant.expires <= nowSeconds ? { reason: 'expired', until: grant.expires } : undefined,
      },
      grantOf: id => (id === grant.id ? { share: share.id, bytes: new Uint8Array(9) } : undefined),
      clock: world.clock,
      log: () => undefined,
    });
    server.add(share.id);
    server.add(grant.id);
    const asker = world.network.node('asker');
    const byGrant = await greet(world, asker, node, grant.id);
    const byShare = await greet(world, asker, node, share.id);
    expect((await next(byGrant.frames)).message).to.deep.equal({ type: 'grant' });
    for (const { channel, frames } of [byGrant, byShare]) {
      expect((await next(frames)).message.type).to.equal('hello');
      await say(channel, get(0, 1));
      expect((await next(frames)).message.type).to.equal('block');
    }
    await world.clock.advance(60_000);
    for (const { channel } of [byGrant, byShare]) await say(channel, get(1, 1));
    expect((await next(byGrant.frames)).message).to.deep.equal({
      type: 'refuse',
      reason: 'expired',
      until: grant.expires,
    });
    expect((await next(byShare.frames)).message.type).to.equal('block');
  });

  it('announces nothing that has expired, and does again once the gate lets it', async () => {
    const isFound = async (id: BlockId): Promise<boolean> => {
      const stop = new AbortController();
      const found = world.network.node('looker').find(id, [], stop.signal)[Symbol.asyncIterator]();
      const first = await Promise.race([found.next(), quiet().then(() => undefined)]);
      stop.abort();
      return first !== undefined && first.done !== true;
    };
    const seeding = await seeder(world, 'sharer', share.id, await storeOf(share));
    expect(await isFound(share.id)).to.equal(true);
    seeding.refusal = { reason: 'expired' };
    seeding.server.withhold(share.id);
    expect(await isFound(share.id), 'withheld').to.equal(false);
    seeding.server.add(share.id);
    seeding.server.release(share.id);
    expect(await isFound(share.id), 'added while it is refused').to.equal(false);
    seeding.refusal = undefined;
    seeding.server.release(share.id);
    expect(await isFound(share.id)).to.equal(true);
  });

  it('does not serve, once the gate lets it, what it knew only to refuse it', async () => {
    const seeding = await seeder(world, 'sharer', share.id, await storeOf(share));
    seeding.server.remove(share.id);
    seeding.refusal = { reason: 'expired', until: 3600 };
    seeding.server.refuse(share.id);
    const asker = world.network.node('asker');
    const answer = async (): Promise<unknown> => {
      const { channel, frames } = await greet(world, asker, seeding.node, share.id);
      const { message } = await next(frames);
      await channel.close();
      return message;
    };
    expect(await answer()).to.deep.equal({ type: 'refuse', reason: 'expired', until: 3600 });
    seeding.refusal = undefined;
    seeding.server.release(share.id);
    expect(await answer()).to.deep.equal({ type: 'refuse', reason: 'unknown' });
  });

  it('tells nothing of a refusal to who does not know the id', async () => {
    const seeding = await seeder(world, 'sharer', share.id, await storeOf(share));
    seeding.refusal = { reason: 'withdrawn', detail: 'secret' };
    const asker = world.network.node('asker');
    const { frames } = await greet(world, asker, seeding.node, share.id, { proof: randomBytes(32) });
    expect((await next(frames)).message).to.deep.equal({ type: 'refuse', reason: 'unknown' });
    const known = await greet(world, asker, seeding.node, share.id);
    expect((await next(known.frames)).message).to.deep.equal({ type: 'refuse', reason: 'withdrawn', detail: 'secret' });
  });

  it('lets a peer that knows the rendezvous key only learn neither the id nor a block', async () => {
    const heard: Frame[] = [];
    const spy = await actor(world, 'spy', share.id, async (channel, frames) => {
      const first = await frames.next();
      if (first.done !== true) heard.push(first.value);
      await say(channel, { type: 'refuse', reason: 'unknown' });
      await channel.close();
    });
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    await fetchAll(world, share, { timeoutMs: 60_000 });
    // It passes the proof that it got on to the sharer, and one that it makes up.
    const hello = heard[0]!;
    const proof = hello.header.slice(-32);
    for (const tried of [proof, randomBytes(32)]) {
      const { channel, frames } = await greet(world, spy, node, share.id, { proof: tried });
      await channel.close();
      heard.push(...(await untilEnd(frames)));
    }
    expect(heard.length).to.be.greaterThan(2);
    for (const { header, body } of heard) {
      for (const secret of [digestOf(share.id), multihashOf(share.id), Buffer.from(share.id)].map(bytes =>
        Buffer.from(bytes),
      ))
        expect(Buffer.concat([header, body]).includes(secret)).to.equal(false);
      expect(body.length).to.equal(0);
    }
  });

  it('sends what is asked for, once for each time it is asked', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    for (let round = 0; round < 2; round++) {
      await say(channel, get(0, 1, 3, 1));
      const got = new Map<number, Uint8Array>();
      while (got.size < 2) {
        const { message, body } = await next(frames);
        if (message.type !== 'block') throw new Error(`got ${message.type}`);
        got.set(message.index, body);
      }
      for (const [index, body] of got) expectSame(body, blockOf(share, `chunk data ${index}`));
    }
    await channel.close();
    expect(await untilEnd(frames)).to.deep.equal([]);
  });

  it('says what it lacks, and goes on', async () => {
    const source = faultySource(await storeOf(share), {
      of: at => (at.kind === 'chunk' && at.stream === 'data' && at.index === 1 ? 'break' : undefined),
    });
    const { node } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(1, 1));
    expect((await next(frames)).message).to.deep.equal({
      type: 'lacks',
      kind: 'chunk',
      stream: 'data',
      ranges: [1, 1],
    });
    await say(channel, get(3, 1));
    expect((await next(frames)).message).to.include({ type: 'block', index: 3 });
  });

  it('does not send what was cancelled before its turn', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(0, 4));
    await say(channel, { type: 'cancel', kind: 'chunk', stream: 'data', ranges: [3, 1] });
    await world.clock.advance(1);
    source.release();
    const got: number[] = [];
    for (let n = 0; n < 3; n++) got.push(((await next(frames)).message as { index: number }).index);
    expect(got.sort()).to.deep.equal([0, 1, 2]);
    await channel.close();
    expect(await untilEnd(frames)).to.deep.equal([]);
  });

  it('reads several blocks at once, the fourth only when one has left', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(0, 1));
    await world.clock.advance(1);
    await say(channel, get(1, 3));
    await world.clock.advance(1);
    expect(source.delayed).to.equal(3);
    source.release();
  });

  const broken: Record<string, AskerMessage[]> = {
    'a chunk that does not exist': [get(4, 1)],
    'an index block that does not exist': [{ type: 'get', kind: 'index', stream: 'data', ranges: [0, 1] }],
    'a huge range': [get(0, 2 ** 52)],
    'ranges out of order': [get(2, 1, 0, 1)],
    'more blocks than a message may': [get(0, MAX_ASKED + 1)],
    'hello again': [{ type: 'hello', key: new Uint8Array(36), proof: new Uint8Array(32) }],
    'what only servers say': [{ type: 'lacks', kind: 'chunk', stream: 'data', ranges: [0, 1] } as never],
  };
  for (const [name, messages] of Object.entries(broken)) {
    it(`ends the channel of who asks for or says ${name}`, async () => {
      // A source that gives nothing: what is asked for is owed.
      const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
      const { node, served } = await seeder(world, 'sharer', share.id, source);
      const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
      await next(frames);
      for (const message of messages) await say(channel, message).catch(() => undefined);
      await world.clock.advance(10);
      const failure = await frames.next().then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).to.include({ code: 'unavailable' });
      expect(node.open.size).to.equal(0);
      expect(served.at(-1)).to.include({ event: 'left' });
      expect(world.clock.sleepers).to.equal(0);
    });
  }

  it('counts what is asked again while it waits once', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(0, 3));
    await world.clock.advance(1);
    for (let n = 0; n < 20; n++) await say(channel, get(3, 1));
    await world.clock.advance(1);
    source.release();
    const got: number[] = [];
    for (let n = 0; n < 4; n++) got.push(((await next(frames)).message as { index: number }).index);
    expect(got.sort()).to.deep.equal([0, 1, 2, 3]);
  });

  it('ends the channel of who asks for more than its credit', async () => {
    const wide = await makeShare('wide', { 'w.bin': randomBytes(9 * PIECE_BYTES) });
    const source = faultySource(await storeOf(wide), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node } = await seeder(world, 'sharer', wide.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, wide.id);
    await next(frames);
    const most = CREDIT_BYTES / MAX_BLOCK_BYTES + READS_PER_CHANNEL;
    await say(channel, get(0, most));
    await world.clock.advance(10);
    expect(node.open.size, 'what may have been cancelled is allowed').to.equal(1);
    await say(channel, get(most, 1));
    const failure = await frames.next().catch((error: unknown) => error);
    expect(failure).to.include({ code: 'unavailable' });
    expect(node.open.size).to.equal(0);
  });

  it('ends a channel on which no hello comes', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const asker = world.network.node('asker');
    const candidate = { peer: node.self, addresses: node.addresses(), via: 'hint' } as const;
    await asker.connect(candidate, '/shoal/chunks/1.0.0', new AbortController().signal);
    await world.clock.advance(HELLO_TIMEOUT_MS - 1);
    expect(node.open.size).to.equal(1);
    await world.clock.advance(2);
    expect(node.open.size).to.equal(0);
    expect(world.clock.sleepers).to.equal(0);
  });

  it('ends a channel on which nothing is asked for long, but not while it owes something', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(0, 1));
    await world.clock.advance(3 * IDLE_CHANNEL_TIMEOUT_MS);
    expect(node.open.size).to.equal(1);
    source.release();
    expect((await next(frames)).message.type).to.equal('block');
    await world.clock.advance(2 * IDLE_CHANNEL_TIMEOUT_MS);
    expect(node.open.size).to.equal(0);
    expect(world.clock.sleepers).to.equal(0);
  });

  it('is busy for one channel too many of a peer, and for one too many of all', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    const asker = world.network.node('asker');
    for (let n = 0; n < MAX_CHANNELS_PER_PEER; n++) await next((await greet(world, asker, node, share.id)).frames);
    const one = await greet(world, asker, node, share.id);
    expect((await next(one.frames)).message).to.include({ type: 'refuse', reason: 'busy' });
    await one.channel.close();
    for (let n = MAX_CHANNELS_PER_PEER; n < MAX_CHANNELS; n++)
      await next((await greet(world, world.network.node(`other ${n}`), node, share.id)).frames);
    const last = await greet(world, world.network.node('last'), node, share.id);
    expect((await next(last.frames)).message).to.include({ type: 'refuse', reason: 'busy' });
    await last.channel.close();
    // A place that becomes free is given away again.
    await asker.stop();
    const again = await greet(world, world.network.node('again'), node, share.id);
    expect((await next(again.frames)).message.type).to.equal('hello');
    await node.stop();
  });

  it('gives a new channel the place of the one that has been idle longest, for seconds, and owes nothing', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node } = await seeder(world, 'sharer', share.id, source);
    const opened: Awaited<ReturnType<typeof greet>>[] = [];
    const come = async (): Promise<ServerMessage> => {
      const channel = await greet(world, world.network.node(`asker ${opened.length}`), node, share.id);
      opened.push(channel);
      return (await next(channel.frames)).message;
    };
    while (opened.length < MAX_CHANNELS) await come();
    await say(opened[0]!.channel, get(0, 1));
    await say(opened[1]!.channel, get(0, 1));
    await say(opened[1]!.channel, { type: 'cancel', kind: 'chunk', stream: 'data', ranges: [0, 1] });
    await world.clock.advance(YIELDING_CHANNEL_MS - 1);
    expect(await come()).to.include({ type: 'refuse', reason: 'busy' });
    await say(opened[3]!.channel, get(0, 1));
    await world.clock.advance(1);
    expect((await come()).type).to.equal('hello');
    expect((await come()).type).to.equal('hello');
    const gone = await Promise.all([2, 4].map(n => opened[n]!.frames.next().catch((error: unknown) => error)));
    for (const error of gone) expect(error).to.include({ code: 'unavailable' });
    source.release();
    for (const n of [0, 1, 3]) expect((await next(opened[n]!.frames)).message.type, `${n}`).to.equal('block');
    await node.stop();
  });

  it('says once, and without an id, that a share block can not be read', async () => {
    let isBroken = true;
    const source = faultySource(await storeOf(share), {
      of: at => (at.kind === 'share' && isBroken ? 'break' : undefined),
    });
    const { node, logged } = await seeder(world, 'sharer', share.id, source);
    const ask = async (): Promise<Frame[]> => {
      const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
      await world.clock.advance(1);
      await channel.close();
      return await untilEnd(frames);
    };
    for (let n = 0; n < 2; n++) expect(await ask()).to.deep.equal([]);
    const line = ['warn', 'a share is not served: its share block can not be read', { code: 'io' }];
    expect(logged).to.deep.equal([line]);
    isBroken = false;
    expect(await ask()).to.have.length(1);
    isBroken = true;
    expect(await ask()).to.deep.equal([]);
    expect(logged).to.deep.equal([line, line]);
  });

  it('stops sending a share that is removed, at once', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node, server } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(0, 4));
    await world.clock.advance(1);
    server.remove(share.id);
    source.release();
    expect(await untilEnd(frames)).to.deep.equal([]);
    const again = await greet(world, world.network.node('other'), node, share.id);
    expect((await next(again.frames)).message).to.deep.equal({ type: 'refuse', reason: 'unknown' });
  });

  it('does not serve a share that is removed while its hello is being answered', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'share' ? 'delay' : undefined) });
    const { node, server } = await seeder(world, 'sharer', share.id, source);
    const { frames } = await greet(world, world.network.node('asker'), node, share.id);
    await world.clock.advance(1);
    server.remove(share.id);
    source.release();
    expect(await untilEnd(frames)).to.deep.equal([]);
  });

  it('asks the refusals gate before each block', async () => {
    const seeding = await seeder(world, 'sharer', share.id, await storeOf(share));
    const { channel, frames } = await greet(world, world.network.node('asker'), seeding.node, share.id);
    await next(frames);
    seeding.refusal = { reason: 'withdrawn' };
    await say(channel, get(0, 1));
    expect((await next(frames)).message).to.deep.equal({ type: 'refuse', reason: 'withdrawn' });
    await channel.close();
    expect(await untilEnd(frames)).to.deep.equal([]);
  });

  it('refuses a share whose file has changed, and lets no byte of a chunk that differs leave', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-serve-'));
    try {
      const content = randomBytes(2 * PIECE_BYTES);
      const made = await makeShare('file', { file: content });
      const root = join(folder, 'file');
      await writeFile(root, content);
      const changed: string[] = [];
      const source = originalSource({
        id: made.id,
        key: made.key,
        root,
        manifest: made.manifest,
        listing: made.listing,
        crypto: world.crypto,
        store: await storeOf(made, name => !name.startsWith('chunk data')),
        onChanged: why => {
          changed.push(why);
          seeding.refusal = { reason: 'changed' };
          seeding.server.withhold(made.id);
          return Promise.resolve();
        },
      });
      const seeding = await seeder(world, 'sharer', made.id, source);
      const { channel, frames } = await greet(world, world.network.node('asker'), seeding.node, made.id);
      await next(frames);
      await say(channel, get(0, 1));
      expectSame((await next(frames)).body, blockOf(made, 'chunk data 0'));
      content[PIECE_BYTES + 7]! ^= 1;
      await writeFile(root, content);
      await say(channel, get(1, 1));
      expect(await next(frames)).to.deep.equal({
        message: { type: 'refuse', reason: 'changed' },
        body: new Uint8Array(),
      });
      expect(changed).to.have.length(1);
      await channel.close();
      // Also what has not changed is refused from then on, and said so.
      const { failure } = await fetchAll(world, made, { timeoutMs: 20_000 });
      expect(failure?.code).to.equal('not-found', 'it is not announced any more');
      const later = await greet(world, world.network.node('later'), seeding.node, made.id);
      expect((await next(later.frames)).message).to.deep.equal({ type: 'refuse', reason: 'changed' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('sends nothing any more after good-bye, and does not take the end for a failure', async () => {
    const source = faultySource(await storeOf(share), { of: at => (at.kind === 'chunk' ? 'delay' : undefined) });
    const { node, served } = await seeder(world, 'sharer', share.id, source);
    const { channel, frames } = await greet(world, world.network.node('asker'), node, share.id);
    await next(frames);
    await say(channel, get(0, 4));
    await say(channel, { type: 'bye' });
    await world.clock.advance(1);
    source.release();
    await channel.close();
    expect(await frames.next()).to.deep.equal({ done: true, value: undefined });
    expect(served.map(({ event }) => event)).to.deep.equal(['joined', 'left']);
  });

  it('survives garbage at any point', async () => {
    const { node } = await seeder(world, 'sharer', share.id, await storeOf(share));
    for (let at = 0; at < 3; at++) {
      const asker = world.network.node(`asker ${at}`);
      const { channel, frames } = await greet(world, asker, node, share.id);
      if (at > 0) await next(frames);
      if (at > 1) await say(channel, get(0, 1));
      await channel.send(randomBytes(50), randomBytes(at));
      await untilEnd(frames);
      expect(asker.open.size).to.equal(0);
    }
    expect(node.open.size).to.equal(0);
  });
});
