/** Who is told of a withdrawal, by whom it is obeyed, and what strangers learn by it: nothing. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Catalog, RelayRecord } from '../../src/catalog.ts';
import { Deliveries, type NoticeEvent } from '../../src/deliveries.ts';
import { hearWithdrawals } from '../../src/hear.ts';
import { digestOf, type BlockId } from '../../src/format/ids.ts';
import { CREDIT_BYTES, NOTICE_HELLO_MS, NOTICE_PATIENCE_MS } from '../../src/limits.ts';
import { notify } from '../../src/notify.ts';
import { encodeNoticeMessage, NOTICE_PROTOCOL } from '../../src/protocol/notice-messages.ts';
import { checkedWithdrawal, withdrawnOn, type CheckedWithdrawal } from '../../src/protocol/withdrawn.ts';
import type { Channel, Frame } from '../../src/ports.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { blockOf as shareBlockOf, makeShare, withdrawalOf, type TestShare } from '../contract/chunk-source.ts';
import { failureOf } from '../contract/crypto.ts';
import type { SimNode } from '../sim/network.ts';
import { actor, hear, newWorld, say, seeder, storeOf, untilEnd, type World } from './world.ts';

const never = new AbortController().signal;
const DAY_MS = 86_400_000;

describe('a withdrawal', () => {
  let world: World;
  let folder: string;
  let share: TestShare;
  let other: TestShare;
  let catalog: Catalog;
  let deliveries: Deliveries | undefined;
  let events: NoticeEvent[];
  let withdrawal: CheckedWithdrawal;

  before(async () => {
    share = await makeShare('film', { film: randomBytes(10_000) });
    other = await makeShare('other', { other: randomBytes(20) });
  });
  beforeEach(async () => {
    world = newWorld();
    folder = mkdtempSync(join(tmpdir(), 'shoal-withdraw-'));
    [events, deliveries] = [[], undefined];
    const secrets = { secret: randomBytes(32), random: randomBytes, clock: world.clock };
    catalog = await openCatalog(join(folder, 'catalog.sqlite'), secrets);
    catalog.add(
      {
        ...{ id: share.id, kind: 'file', name: 'film', sizeBytes: 1, files: 1, source: 'original', hints: [] },
        ...{ createdAt: 1_700_000_000, serveAlways: false },
      },
      {},
    );
    withdrawal = { ...withdrawalOf(share), id: share.id, share: share.id, at: world.clock.now() / 1000 };
  });
  afterEach(async () => {
    if (deliveries !== undefined) await world.clock.run(deliveries.stop());
    catalog.close();
    rmSync(folder, { recursive: true });
  });

  /** A home that has a share, gives it, and hears of withdrawals. */
  async function holder(name: string, of = share): Promise<{ node: SimNode; obeyed: BlockId[] }> {
    const seeding = await seeder(world, name, of.id, await storeOf(of));
    const obeyed: BlockId[] = [];
    await hearWithdrawals({
      network: seeding.node,
      clock: world.clock,
      holds: id => id === of.id,
      obey: heard => {
        obeyed.push(heard.id);
        seeding.refusal = { reason: 'withdrawn', withdrawal: heard };
        return Promise.resolve();
      },
    });
    return { node: seeding.node, obeyed };
  }

  function relayOf(node: SimNode, leaseDays = 10): RelayRecord {
    const record = { peer: node.self, addresses: node.addresses(), name: 'the relay', always: true, addedAt: 1 };
    catalog.relays.put(record);
    const until = Math.floor(world.clock.now() / 1000) + leaseDays * 86_400;
    catalog.copies.put({ share: share.id, relay: node.self, state: 'stored', until, receipt: new Uint8Array(1) });
    return record;
  }

  function startTelling(node = world.network.node('sharer')): Deliveries {
    const started = new Deliveries({
      lend: (_share, work) => work(node),
      catalog,
      clock: world.clock,
      isSelf: () => false,
    });
    started.onEvent(event => events.push(event));
    deliveries = started;
    return started;
  }

  const record = (): void => catalog.withdrawals.add({ ...withdrawal, isOwn: true });
  const states = (): (readonly [string, string])[] =>
    catalog.withdrawals.notices(share.id).map(({ peer, state }) => [peer, state] as const);
  const round = (telling: Deliveries): Promise<void> => world.clock.run(telling.round(share.id, never));
  const told = (node: SimNode, { statement, block } = withdrawal): Promise<string> =>
    world.clock.run(
      notify(
        { network: world.network.node('teller'), clock: world.clock },
        { peer: node.self, addresses: node.addresses(), via: 'hint' },
        { statement, block },
        never,
      ),
    );

  it('is delivered to relays that keep the share, and to who is found and shows that it has it', async () => {
    const [relay, found] = [await holder('relay'), await holder('found')];
    const record = relayOf(relay.node);
    const telling = startTelling();
    const keepers = telling.keepersOf(share.id, share.id);
    expect(keepers.map(({ peer }) => peer)).to.deep.equal([record.peer]);
    catalog.withdrawals.add({ ...withdrawal, isOwn: true });
    telling.begin({ ...withdrawal, isOwn: true }, keepers, []);
    await round(telling);
    expect([relay.obeyed, found.obeyed]).to.deep.equal([[share.id], [share.id]]);
    expect(states()).to.have.deep.members([
      [relay.node.self, 'obeyed'],
      [found.node.self, 'obeyed'],
    ]);
    expect(events.map(({ name, state }) => [name, state])).to.deep.include(['the relay', 'obeyed']);
    expect(catalog.copies.list(share.id), 'the relay keeps it no more').to.deep.equal([]);
  });

  it('tells a stranger that announced itself under its key neither id nor block, whatever that answers', async () => {
    const frames: Frame[] = [];
    const noticed: string[] = [];
    const answers: Record<string, (channel: Channel) => Promise<void>> = {
      'the block of another share': channel =>
        say(channel, { type: 'hello', have: 'all', credit: CREDIT_BYTES }, shareBlockOf(other)),
      'no block': channel => say(channel, { type: 'hello', have: 'all', credit: CREDIT_BYTES }),
      'another grant': channel => say(channel, { type: 'grant' }, shareBlockOf(other)),
      'withdrawn, without a proof': channel => say(channel, { type: 'refuse', reason: 'withdrawn' }),
      'withdrawn, of another share': channel => {
        const { statement, block } = withdrawalOf(other);
        return say(channel, { type: 'refuse', reason: 'withdrawn', statement }, block);
      },
      changed: channel => say(channel, { type: 'refuse', reason: 'changed' }),
      nothing: () => Promise.resolve(),
    };
    for (const [name, answer] of Object.entries(answers)) {
      const stranger = await actor(world, name, share.id, async (channel, heard) => {
        const first = await heard.next();
        if (first.done !== true) frames.push(first.value);
        await answer(channel);
        frames.push(...(await untilEnd(heard)));
      });
      await stranger.serve(NOTICE_PROTOCOL, async channel => {
        noticed.push(name);
        frames.push(...(await untilEnd(channel.frames()[Symbol.asyncIterator]())));
      });
    }
    const found = await holder('found');
    const telling = startTelling();
    record();
    await round(telling);
    expect(found.obeyed, 'others are told meanwhile').to.deep.equal([share.id]);
    expect(noticed).to.deep.equal([]);
    expect(states()).to.deep.equal([[found.node.self, 'obeyed']]);
    expect(frames.length).to.be.at.least(Object.keys(answers).length);
    for (const { header, body } of frames) {
      expect(body.length, 'no block, nor anything else').to.equal(0);
      expect(Buffer.from(header).includes(Buffer.from(digestOf(share.id)))).to.equal(false);
    }
  });

  it('counts as confirmed by who shows the statement itself, and is not sent there', async () => {
    const obedient = await seeder(world, 'obedient', share.id, await storeOf(share));
    obedient.refusal = { reason: 'withdrawn', withdrawal };
    const telling = startTelling();
    record();
    await round(telling);
    expect(states()).to.deep.equal([[obedient.node.self, 'obeyed']]);
  });

  it('is told again and again to a relay that can not be reached, until its lease has ended', async () => {
    const relay = await holder('relay');
    relayOf(relay.node);
    const sharer = world.network.node('sharer');
    world.network.fault(sharer, relay.node, { refuse: true });
    const telling = startTelling(sharer);
    record();
    await round(telling);
    expect(states()).to.deep.equal([[relay.node.self, 'pending']]);
    const [notice] = catalog.withdrawals.notices(share.id);
    expect(notice?.detail).to.include('cannot reach peer');
    const tries = (): number => events.filter(({ state }) => state === 'telling').length;
    await world.clock.advance(DAY_MS);
    expect(tries()).to.be.within(20, 60);
    world.network.fault(sharer, relay.node, {});
    await world.clock.advance(2 * 3600_000);
    expect(states()).to.deep.equal([[relay.node.self, 'obeyed']]);
    const after = tries();
    await world.clock.advance(DAY_MS);
    expect(tries()).to.equal(after);
  });

  it('is given up at a relay whose lease has ended', async () => {
    const relay = await holder('relay');
    relayOf(relay.node, 1);
    const sharer = world.network.node('sharer');
    world.network.fault(sharer, relay.node, { refuse: true });
    startTelling(sharer);
    record();
    await world.clock.advance(DAY_MS);
    const tries = events.length;
    expect(tries).to.be.greaterThan(10);
    await world.clock.advance(DAY_MS);
    expect(events.length).to.equal(tries);
  });

  it('reaches who turns up days later, and is gone on with by who holds the home the next time', async () => {
    const first = startTelling();
    record();
    await round(first);
    await world.clock.run(first.stop());
    startTelling(world.network.node('sharer again'));
    await world.clock.advance(3 * DAY_MS);
    const late = await holder('late');
    await world.clock.advance(DAY_MS);
    expect(late.obeyed).to.deep.equal([share.id]);
    expect(states()).to.deep.equal([[late.node.self, 'obeyed']]);
  });

  it('notes of those who were being given it only who confirms', async () => {
    const [keeping, reading] = [await holder('keeping'), world.network.node('reading')];
    keeping.node.unannounce(share.id);
    const telling = startTelling();
    record();
    telling.begin({ ...withdrawal, isOwn: true }, [], [keeping.node.self, reading.self]);
    await round(telling);
    expect(keeping.obeyed).to.deep.equal([share.id]);
    expect(states()).to.deep.equal([[keeping.node.self, 'obeyed']]);
  });

  it('by somebody else is not told by this home', async () => {
    const found = await holder('found');
    const telling = startTelling();
    catalog.withdrawals.add({ ...withdrawal, isOwn: false });
    await round(telling);
    await world.clock.advance(DAY_MS);
    expect(found.obeyed).to.deep.equal([]);
  });

  describe('that is heard', () => {
    const forgeries: Record<string, () => { statement: Uint8Array; block: Uint8Array }> = {
      'by somebody else': () => withdrawalOf({ ...share, ownerSeed: other.ownerSeed }),
      'with the block of another share': () => ({ ...withdrawal, block: shareBlockOf(other) }),
      'about another share': () => withdrawalOf(other),
      "with another share's statement": () => ({ ...withdrawalOf(other), block: withdrawal.block }),
      'that is none': () => ({ ...withdrawal, statement: randomBytes(80) }),
      'with a wrong bit': () => ({
        ...withdrawal,
        statement: withdrawal.statement.map((byte, n) => (n === withdrawal.statement.length - 70 ? byte ^ 1 : byte)),
      }),
    };
    for (const [what, forged] of Object.entries(forgeries))
      it(`${what} is dropped`, async () => {
        const hearing = await holder('hearing');
        expect(await told(hearing.node, { ...withdrawal, ...forged() })).to.equal('dropped');
        expect(hearing.obeyed).to.deep.equal([]);
      });

    it('from the owner is obeyed, and again when it is said again', async () => {
      const hearing = await holder('hearing');
      expect(await told(hearing.node)).to.equal('obeyed');
      expect(await told(hearing.node)).to.equal('obeyed');
    });

    it('of what is not held is dropped before its signature is looked at', () => {
      const { statement, block } = withdrawal;
      expect(checkedWithdrawal(statement, block, () => false)).to.equal(undefined);
      expect(checkedWithdrawal(statement, block, id => id === share.id)?.id).to.equal(share.id);
    });

    it('is not waited for for ever', async () => {
      const hearing = await holder('hearing');
      const mute = world.network.node('mute');
      const to = { peer: hearing.node.self, addresses: hearing.node.addresses(), via: 'hint' } as const;
      const channel = await mute.connect(to, NOTICE_PROTOCOL, never);
      const ended = untilEnd(channel.frames()[Symbol.asyncIterator]());
      await world.clock.advance(NOTICE_HELLO_MS);
      expect(await ended).to.deep.equal([]);
    });
  });

  it('is not waited for for ever where the other side does not answer, or answers something else', async () => {
    const silent = world.network.node('silent');
    await silent.serve(NOTICE_PROTOCOL, async channel => {
      await untilEnd(channel.frames()[Symbol.asyncIterator]());
    });
    const startMs = world.clock.monotonic();
    expect(await failureOf(told(silent))).to.include({ code: 'unavailable' });
    expect(world.clock.monotonic() - startMs).to.be.at.most(NOTICE_PATIENCE_MS);
    const odd = world.network.node('odd');
    await odd.serve(NOTICE_PROTOCOL, async channel => {
      await hear(channel.frames()[Symbol.asyncIterator]());
      await channel.send(encodeNoticeMessage({ type: 'obeyed' }), new Uint8Array(3));
    });
    expect(await failureOf(told(odd))).to.include({ code: 'protocol' });
  });

  it('is dated by its owner, who may say anything', () => {
    expect(withdrawnOn(1_796_040_000)).to.equal('withdrawn by the sharer on 2026-11-30');
    for (const at of [Number.MAX_SAFE_INTEGER, 2 ** 42])
      expect(withdrawnOn(at)).to.equal('withdrawn by the sharer, with a date that can not be');
  });
});
