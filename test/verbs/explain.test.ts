/** The stages of a fetch as they are told in the end: of one that goes well, and of those that end at one of them. */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { Explanation, type Explained, type Stage } from '../../src/explain.ts';
import { parseHint } from '../../src/format/hint.ts';
import { newFileKey } from '../../src/format/keys.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import type { NetworkStatus } from '../../src/ports.ts';
import { makeShare, type TestShare } from '../contract/chunk-source.ts';
import {
  actor,
  fetchAll,
  hear,
  newWorld,
  say,
  seeder,
  storeOf,
  untilEnd,
  type FetchOptions,
  type World,
} from './world.ts';

describe('A fetch that is explained', () => {
  let share: TestShare;
  let world: World;
  before(async () => {
    share = await makeShare('share', { 'a.bin': randomBytes(3 * PIECE_BYTES), 'b.txt': randomBytes(5) });
  });
  beforeEach(() => {
    world = newWorld();
  });

  /** @param status instead of that of the network */
  async function explain(
    options: FetchOptions = {},
    status?: NetworkStatus,
  ): Promise<{ explained: Explained; stage: (name: string) => Stage | undefined }> {
    const node = options.node ?? world.network.node('fetcher');
    const explanation = new Explanation(world.clock, options.hints ?? [], () => status ?? node.status());
    const { fetched, failure } = await fetchAll(world, share, {
      ...options,
      node,
      onStep: step => explanation.onStep(step),
      onEvent: event => explanation.onEvent(event),
    });
    if (fetched !== undefined) explanation.done(fetched.alreadyThere);
    const explained = explanation.stages(failure);
    return { explained, stage: name => explained.stages.find(({ stage }) => stage === name) };
  }

  it('shows every stage, each begun no earlier than the one before it has brought it', async () => {
    const sharer = await seeder(world, 'sharer', share.id, await storeOf(share));
    const hints = sharer.node.addresses().map(parseHint);
    const { explained, stage } = await explain({ hints });
    expect(explained).not.to.have.any.keys('failed', 'next');
    expect(explained.stages.map(({ stage: name, state }) => `${name}: ${state}`)).to.deep.equal([
      'hint: done',
      'mDNS: off',
      'DHT: done',
      'dial: done',
      'proof: done',
      'share block: done',
      'manifest: done',
      'first chunk: done',
      'last chunk: done',
      'on disk: done',
    ]);
    expect(stage('hint')?.outcome).to.equal('1 address, 1 answered');
    expect(stage('DHT')?.outcome).to.match(/^1 node asked, 1 peer after \d+\.\d\d s$/);
    expect(stage('dial')?.outcome).to.equal('1 peer tried, 1 reached');
    expect(stage('proof')?.outcome).to.equal('1 of 1 peer has it');
    expect(stage('share block')?.outcome).to.equal('from a peer');
    const bytes = 3 * PIECE_BYTES + 5;
    expect(stage('manifest')?.outcome).to.equal(`folder, 2 files, ${bytes} bytes`);
    const size = share.listing.size('data');
    expect(stage('last chunk')?.outcome).to.equal(`${size} of ${size} bytes`);
    const straight = explained.stages.slice(3);
    for (const [n, { beganMs = NaN, endedMs = NaN }] of straight.entries()) {
      expect(endedMs).to.be.at.least(beganMs);
      expect(beganMs).to.be.at.least(straight[n - 1]?.beganMs ?? 0);
    }
  });

  it('names what this home gives, and what is not asked', async () => {
    const off = {
      connections: 0,
      lanPeers: undefined,
      dhtPeers: undefined,
      startingPoints: 0,
      portMapping: 'off',
      reservations: [],
      maxConnections: 300,
    } as const;
    const { stage } = await explain({ local: await storeOf(share) }, off);
    expect(stage('hint')).to.deep.equal({ stage: 'hint', state: 'off', outcome: 'the link has none' });
    for (const name of ['mDNS', 'DHT'])
      expect(stage(name)).to.deep.equal({ stage: name, state: 'off', outcome: 'off' });
    expect(stage('dial')).to.deep.equal({ stage: 'dial', state: 'none', outcome: '' });
    expect(stage('share block')?.outcome).to.equal('this home has it');
    expect(stage('on disk')?.state).to.equal('done');
  });

  it('that finds nobody ends with the search, and where to look is said', async () => {
    const off = {
      connections: 0,
      lanPeers: undefined,
      dhtPeers: undefined,
      startingPoints: 0,
      portMapping: 'off',
      reservations: [],
      maxConnections: 300,
    } as const;
    const { explained } = await explain({ timeoutMs: 1000 }, off);
    expect(explained).to.include({ failed: 'search' });
    expect(explained.next).to.match(/--bootstrap/);
    const withDht = await explain({ timeoutMs: 1000 }, { ...off, dhtPeers: 3 });
    expect(withDht.stage('DHT')).to.include({ state: 'failed', outcome: '1 node asked, none had it' });
    expect(withDht.explained.next).to.match(/is "shoal share" still running/);
  });

  it('that reaches nobody ends with dialling, and shows addresses and reasons', async () => {
    const sharer = await seeder(world, 'sharer', share.id, await storeOf(share));
    const node = world.network.node('fetcher');
    world.network.fault(node, sharer.node, { refuse: true });
    const hints = sharer.node.addresses().map(parseHint);
    const { explained, stage } = await explain({ node, hints, timeoutMs: 1000 });
    expect(stage('hint')).to.include({ state: 'open', outcome: '1 address, 0 answered' });
    expect(stage('dial')?.outcome).to.equal('1 peer tried, 0 reached; /ip4/10.0.0.1/tcp/4001: the simulation says no');
    expect(explained.failed).to.equal('dial');
    expect(explained.next).to.match(/router or firewall/);
  });

  it('whose peers do not know the share ends with the proof, and suspects the link and the clock', async () => {
    const stranger = await seeder(
      world,
      'stranger',
      (await makeShare('x', { x: randomBytes(9) })).id,
      await storeOf(share),
    );
    const { explained, stage } = await explain({ hints: stranger.node.addresses().map(parseHint), timeoutMs: 1000 });
    expect(stage('proof')).to.include({ state: 'failed', outcome: '0 of 1 peer have it; 1 does not have it' });
    expect(explained.failed).to.equal('proof');
    expect(explained.next).to.match(/link outdated, or the clock/);
  });

  it('whose peers refuse it, or speak another protocol, says so', async () => {
    const refusing = await actor(world, 'refusing', share.id, async (channel, frames) => {
      await hear(frames);
      await say(channel, { type: 'refuse', reason: 'blocked' });
      await untilEnd(frames);
    });
    const refused = await explain({ hints: refusing.addresses().map(parseHint) });
    expect(refused.stage('proof')?.outcome).to.equal('0 of 1 peer have it; 1 refuses: blocked');
    refusing.unannounce(share.id);
    const silent = world.network.node('silent');
    silent.announce(share.id);
    const other = await explain({ timeoutMs: 1000, node: world.network.node('another') });
    expect(other.stage('dial')?.outcome).to.match(/1 peer tried, 0 reached; .*it does not speak/);
    expect(other.explained.next).to.match(/same version of shoal on both sides/);
  });

  it('with the wrong key ends with the manifest', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const node = world.network.node('fetcher');
    const explanation = new Explanation(world.clock, [], () => node.status());
    const { failure } = await fetchAll(
      world,
      { id: share.id, key: newFileKey(randomBytes) },
      {
        node,
        onStep: step => explanation.onStep(step),
        onEvent: event => explanation.onEvent(event),
      },
    );
    const { failed, next, stages } = explanation.stages(failure);
    expect({ failed, next }).to.deep.equal({ failed: 'manifest', next: undefined });
    expect(stages.find(({ stage }) => stage === 'manifest')?.outcome).to.equal('wrong-key');
  });

  it('that finds its place taken ends on the disk', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const first = await fetchAll(world, share);
    expect(first.failure).to.equal(undefined);
    const { explained } = await explain({ disk: first.disk, node: first.node });
    expect(explained.failed).to.equal('on disk');
    expect(explained.stages.at(-1)).to.include({ state: 'failed', outcome: 'exists' });
  });
});
