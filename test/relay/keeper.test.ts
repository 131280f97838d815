import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Keeper, type KeeperDeps, type KeeperEvent } from '../../relay/keeper.ts';
import { Leases } from '../../relay/leases.ts';
import { ShoalError } from '../../src/errors.ts';
import { encodeGrant } from '../../src/format/grant.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { parseHint } from '../../src/format/hint.ts';
import { ciphertextBytes, ownerOf } from '../../src/format/share-block.ts';
import { encodeStatement, signStatement } from '../../src/format/statement.ts';
import { RELAY_SPARE_BYTES } from '../../src/limits.ts';
import type { Candidate, ChunkStore } from '../../src/ports.ts';
import type { Admission, Quotas } from '../../src/protocol/admission.ts';
import { encodeNoticeMessage, NOTICE_PROTOCOL } from '../../src/protocol/notice-messages.ts';
import { peerBytes } from '../../src/protocol/proof.ts';
import { encodeStoreMessage, STORE_PROTOCOL } from '../../src/protocol/store-messages.ts';
import { decode } from '../../src/format/canonical.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { renew, upload, type Stored } from '../../src/upload.ts';
import { blockOf, makeShare, withdrawalOf, type TestShare } from '../contract/chunk-source.ts';
import { failureOf } from '../contract/crypto.ts';
import type { SimNode } from '../sim/network.ts';
import { fetchAll, greet, outputOf, newWorld, seeder, storeOf, type Seeder, type World } from '../verbs/world.ts';

const DAY = 86_400;
const MB = 1_000_000;

describe('a relay that keeps shares', () => {
  let world: World;
  let folder: string;
  let share: TestShare;
  let content: Uint8Array;
  let relay: SimNode;
  let store: ChunkStore;
  let leases: Leases;
  let keeper: Keeper;
  let quotas: Quotas;
  let denied: string | undefined;
  let lent: number;
  let freeBytes: number;
  let capacityBytes: number;
  let events: KeeperEvent[];
  let sharer: Seeder;
  let place: Candidate;

  before(async () => {
    content = randomBytes(3_500_000);
    share = await makeShare('film', { film: content });
  });
  beforeEach(async () => {
    world = newWorld();
    folder = mkdtempSync(join(tmpdir(), 'shoal-keeper-'));
    [denied, lent, freeBytes, capacityBytes, events] = [undefined, 0, 100 * RELAY_SPARE_BYTES, 1000 * MB, []];
    quotas = {
      account: 'prefix:00',
      tier: 'anonymous',
      reservationSeconds: 3600,
      circuitBytes: MB,
      circuitSeconds: 60,
      leases: 3,
      storedBytes: 10 * MB,
      leaseSeconds: 7 * DAY,
    };
    relay = world.network.node('relay');
    store = memoryStore();
    leases = await Leases.open(join(folder, 'records.sqlite'), store, world.clock);
    await start();
    sharer = await seeder(world, 'sharer', share.id, await storeOf(share));
    place = { peer: relay.self, addresses: relay.addresses(), via: 'hint' };
  });
  afterEach(async () => {
    await world.clock.run(keeper.stop());
    leases.close();
    rmSync(folder, { recursive: true });
  });

  async function start(more: Partial<KeeperDeps> = {}): Promise<void> {
    const admission: Admission = {
      admit: () => {
        if (denied !== undefined) return { denied, of: 'relay' as const, retryAfterSeconds: 7 };
        lent++;
        return { release: () => lent-- };
      },
      spend: () => (denied === undefined ? undefined : { denied, of: 'relay' as const, retryAfterSeconds: 7 }),
      quotasOf: () => quotas,
    };
    keeper = await Keeper.start({
      ...{ network: relay, leases, store, crypto: world.crypto, admission, seed: relay.seed, clock: world.clock },
      log: () => undefined,
      mostLeases: () => 100,
      capacityBytes: () => capacityBytes,
      freeBytes: () => Promise.resolve(freeBytes),
      steadyClockMs: 3600_000,
      onEvent: event => events.push(event),
      ...more,
    });
  }

  const nowSeconds = (): number => Math.floor(world.clock.now() / 1000);
  const never = new AbortController().signal;
  const request = (one = share, until = nowSeconds() + DAY) => ({
    relay: place,
    id: one.id,
    block: blockOf(one),
    until,
  });
  const deps = (from = sharer.node) => ({ network: from, clock: world.clock });

  async function uploaded(one = share, until?: number, from = sharer.node): Promise<Stored> {
    return await world.clock.run(upload(deps(from), request(one, until), () => undefined, never));
  }

  /** Of an upload that fails. */
  async function refused(one = share, until?: number, from = sharer.node): Promise<ShoalError> {
    const failure = await failureOf(uploaded(one, until, from));
    if (failure instanceof ShoalError) return failure;
    throw failure;
  }

  /** Says one thing with code of its own, and gives the header of the answer. */
  async function say(protocol: string, header: Uint8Array, body: Uint8Array): Promise<unknown> {
    const channel = await sharer.node.connect(place, protocol, never);
    await channel.send(header, body);
    for await (const { header: answer } of channel.frames()) return decode(answer, 'answer');
    return undefined;
  }

  const notice = ({ statement, block }: ReturnType<typeof withdrawalOf>): Promise<unknown> =>
    world.clock.run(say(NOTICE_PROTOCOL, encodeNoticeMessage({ type: 'withdrawal', statement }), block));

  const grantFor = (one: TestShare, expires?: number) =>
    encodeGrant({
      share: one.id,
      owner: one.listing.block.owner,
      sealed: randomBytes(300),
      ...(expires === undefined ? {} : { expires }),
    });

  const keepGrant = (bytes: Uint8Array): Promise<unknown> =>
    world.clock.run(say(STORE_PROTOCOL, encodeStoreMessage({ type: 'grant' }), bytes));

  it('takes a share, and gives it to who fetches it when the sharer has gone', async () => {
    const until = nowSeconds() + DAY;
    const { until: promised } = await uploaded(share, until);
    expect(promised).to.equal(until);
    expect(lent).to.equal(0);
    await sharer.node.stop();
    expect(outputOf((await fetchAll(world, share)).disk)).to.deep.equal({ film: Uint8Array.from(content) });
    expect(events).to.deep.include({ event: 'upload', result: 'kept' });
  });

  it('is no delivery for who shares: the upload ends without saying that all has come', async () => {
    await uploaded();
    expect(sharer.served.map(({ event }) => event)).not.to.include('complete');
  });

  it('promises no more time than it gives, nor than the share has', async () => {
    const { until } = await uploaded(share, nowSeconds() + 30 * DAY);
    expect(until).to.equal(nowSeconds() + 7 * DAY);
  });

  it('answers with the same promise who asks for what it has', async () => {
    const { until } = await uploaded();
    await world.clock.advance(5000);
    const sent = sharer.served.length;
    expect((await uploaded(share, nowSeconds() + 3 * DAY)).until).to.equal(until);
    expect(sharer.served.length).to.equal(sent);
  });

  it('goes on with an upload that was cut off, and asks for nothing twice', async () => {
    world.network.fault(sharer.node, relay, { stallAt: 4 });
    const stop = new AbortController();
    const cut = failureOf(upload(deps(), request(), () => undefined, stop.signal));
    await world.clock.advance(3000);
    stop.abort();
    await world.clock.run(cut);
    await world.clock.advance(3000);
    expect(leases.get(share.id)?.state).to.equal('begun');
    const before = sharer.served.reduce((sum, { bytes }) => sum + bytes, 0);
    world.network.fault(sharer.node, relay, {});
    await uploaded();
    const all = sharer.served.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(before).to.be.greaterThan(0);
    expect(all).to.be.lessThan(before + ciphertextBytes(share.listing.block));
  });

  it('says no before a block moves, naming the limit', async () => {
    denied = '4 uploads per address prefix';
    expect((await refused()).message)
      .to.include('4 uploads per address prefix')
      .and.include('7 s');
    denied = undefined;
    quotas = { ...quotas, storedBytes: 2 * MB };
    expect((await refused()).message).to.include('2000000 bytes');
    quotas = { ...quotas, storedBytes: 10 * MB, leases: 0 };
    expect((await refused()).message).to.include('0 leases');
    quotas = { ...quotas, leases: 3 };
    capacityBytes = MB;
    expect((await refused()).message).to.include('full');
    capacityBytes = 1000 * MB;
    freeBytes = RELAY_SPARE_BYTES + MB;
    expect((await refused()).message).to.include('disk');
    expect(sharer.served).to.deep.equal([]);
    expect(leases.get(share.id)).to.equal(undefined);
    expect(lent).to.equal(0);
  });

  it('refuses what has run out, and what is no share block', async () => {
    expect((await refused(share, nowSeconds() - 1)).code).to.equal('refused');
    const junk = { ...request(), block: Uint8Array.from(randomBytes(500)) };
    const answer = await world.clock.run(
      say(STORE_PROTOCOL, encodeStoreMessage({ type: 'ask', until: junk.until }), junk.block),
    );
    expect(answer).to.include({ type: 'refuse', reason: 'invalid' });
  });

  it('keeps a share no longer than its lease, and removes it once its clock has run evenly', async () => {
    await start({ steadyClockMs: 60_000 });
    await uploaded(share, nowSeconds() + 600);
    await world.clock.advance(599_000);
    expect(await store.have(share.id)).to.equal('all');
    await world.clock.advance(120_000);
    expect(leases.get(share.id)).to.equal(undefined);
    expect(await store.have(share.id)).to.equal(undefined);
    expect(events).to.deep.include({ event: 'expiry' });
  });

  it('serves again what seemed to have run out while its clock was wrong', async () => {
    await uploaded(share, nowSeconds() + 600);
    const right = world.clock.now.bind(world.clock);
    world.clock.now = () => right() + 30 * DAY * 1000;
    await world.clock.advance(30_000);
    expect(keeper.serves(share.id)).to.equal(false);
    world.clock.now = right;
    await world.clock.advance(30_000);
    expect(keeper.serves(share.id)).to.equal(true);
    expect(await store.have(share.id)).to.equal('all');
  });

  it('renews for the owner, to a later end', async () => {
    const { until } = await uploaded();
    const ownerSeed = share.ownerSeed;
    const renewed = await world.clock.run(renew(deps(), { ...request(share, until + DAY), ownerSeed }, never));
    expect(renewed?.until).to.equal(until + DAY);
    expect(leases.get(share.id)?.until).to.equal(until + DAY);
  });

  it('says that it has not got what is to be renewed', async () => {
    const renewal = { ...request(share, nowSeconds() + DAY), ownerSeed: share.ownerSeed };
    expect(await world.clock.run(renew(deps(), renewal, never))).to.equal(undefined);
  });

  describe('refuses a renewal', () => {
    const sign = (change: { relay?: Uint8Array; until?: number; seed?: Uint8Array }): Uint8Array =>
      encodeStatement(
        signStatement(
          {
            type: 'renewal',
            id: share.id,
            relay: change.relay ?? peerBytes(relay.self),
            until: change.until ?? nowSeconds() + 2 * DAY,
          },
          change.seed ?? share.ownerSeed,
        ),
      );
    const cases: Record<string, () => Uint8Array> = {
      'of somebody else': () => sign({ seed: randomBytes(32) }),
      'for another relay': () => sign({ relay: peerBytes(sharer.node.self) }),
      'to an earlier end': () => sign({ until: nowSeconds() + 60 }),
      'that is damaged': () => sign({}).map((byte, n) => (n === 40 ? byte ^ 1 : byte)),
    };
    for (const [what, statement] of Object.entries(cases))
      it(what, async () => {
        const { until } = await uploaded();
        const answer = await world.clock.run(say(STORE_PROTOCOL, encodeStoreMessage({ type: 'renew' }), statement()));
        expect(answer).to.include({ type: 'refuse' });
        expect(leases.get(share.id)?.until).to.equal(until);
      });
  });

  it('obeys the owner who withdraws: nothing is kept or given, and who asks is shown why', async () => {
    await uploaded();
    expect(await notice(withdrawalOf(share))).to.deep.equal({ type: 'obeyed' });
    expect(await store.have(share.id)).to.equal(undefined);
    await sharer.node.stop();
    const { failure } = await fetchAll(world, share, { hints: relay.addresses().map(parseHint) });
    expect(failure?.code).to.equal('refused');
    expect(failure?.message).to.include('withdrawn');
    const again = await seeder(world, 'again', share.id, await storeOf(share));
    expect((await refused(share, undefined, again.node)).message).to.include('withdrawn');
  });

  it('stops an upload that is withdrawn meanwhile', async () => {
    world.network.fault(sharer.node, relay, { stallAt: 3 });
    const uploading = failureOf(upload(deps(), request(), () => undefined, never));
    await world.clock.advance(5000);
    expect(keeper.uploads).to.equal(1);
    const other = await seeder(world, 'other', share.id, await storeOf(share));
    sharer = other;
    expect(await notice(withdrawalOf(share))).to.deep.equal({ type: 'obeyed' });
    expect(await store.have(share.id)).to.equal(undefined);
    expect(keeper.uploads).to.equal(0);
    await world.clock.run(uploading);
  });

  /** A store in which what was read is given out when it is let. */
  function held(): { store: ChunkStore; reading: Promise<undefined>; go: () => void } {
    const [reading, go] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const read: ChunkStore['read'] = async (...args) => {
      const bytes = await store.read(...args);
      reading.resolve(undefined);
      await go.promise;
      return bytes;
    };
    return { store: { ...store, read }, reading: reading.promise, go: () => go.resolve(undefined) };
  }

  it('gives no receipt for a renewal while which the lease ends', async () => {
    const { until } = await uploaded();
    const slow = held();
    await start({ store: slow.store });
    const renewal = { ...request(share, until + DAY), ownerSeed: share.ownerSeed };
    const renewing = world.clock.run(renew(deps(), renewal, never));
    await slow.reading;
    await leases.end(share.id);
    slow.go();
    expect(await renewing).to.equal(undefined);
  });

  it('gives no receipt for a renewal while which the share is withdrawn', async () => {
    const { until } = await uploaded();
    const slow = held();
    await start({ store: slow.store });
    const renewal = { ...request(share, until + DAY), ownerSeed: share.ownerSeed };
    const renewing = failureOf(world.clock.run(renew(deps(), renewal, never)));
    await slow.reading;
    expect(await notice(withdrawalOf(share))).to.deep.equal({ type: 'obeyed' });
    slow.go();
    expect(await renewing).to.include({ code: 'refused' });
  });

  it('says that it obeys only once that is on record, also to who says it twice', async () => {
    await uploaded();
    const drop = Promise.withResolvers<undefined>();
    const slow = {
      ...store,
      drop: async (id: BlockId) => {
        await drop.promise;
        await store.drop(id);
      },
    };
    leases.close();
    leases = await Leases.open(join(folder, 'records.sqlite'), slow, world.clock);
    await start({ store: slow });
    const told: unknown[] = [];
    const both = [1, 2].map(() => notice(withdrawalOf(share)).then(answer => told.push(answer)));
    await world.clock.advance(5000);
    expect(told).to.deep.equal([]);
    drop.resolve(undefined);
    await Promise.all(both);
    expect(told).to.deep.equal([{ type: 'obeyed' }, { type: 'obeyed' }]);
    expect(await store.have(share.id)).to.equal(undefined);
  });

  it('gives no receipt for a share that is withdrawn while its blocks are made durable', async () => {
    const [syncing, go] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const slow = {
      ...store,
      sync: async (id: BlockId) => {
        syncing.resolve(undefined);
        await go.promise;
        await store.sync(id);
      },
    };
    leases.close();
    leases = await Leases.open(join(folder, 'records.sqlite'), slow, world.clock);
    await start({ store: slow });
    const uploading = refused();
    await syncing.promise;
    const obeyed = notice(withdrawalOf(share));
    await world.clock.advance(100);
    go.resolve(undefined);
    expect((await uploading).message).to.include('withdrawn');
    expect(await obeyed).to.deep.equal({ type: 'obeyed' });
    expect(await store.have(share.id)).to.equal(undefined);
  });

  describe('drops a withdrawal', () => {
    let other: TestShare;
    before(async () => (other = await makeShare('other', { other: randomBytes(20) })));
    const cases: Record<string, () => ReturnType<typeof withdrawalOf>> = {
      'by somebody else': () => withdrawalOf({ ...share, ownerSeed: other.ownerSeed }),
      'with another block': () => ({ ...withdrawalOf(share), block: blockOf(other) }),
      'of what it does not hold': () => withdrawalOf(other),
      'that is none': () => ({ ...withdrawalOf(share), statement: randomBytes(100) }),
    };
    for (const [what, withdrawal] of Object.entries(cases))
      it(what, async () => {
        await uploaded();
        expect(await notice(withdrawal())).to.deep.equal({ type: 'dropped' });
        expect(await store.have(share.id)).to.equal('all');
      });
  });

  it('keeps grants beside their share, and gives both to who asks by a grant id', async () => {
    await uploaded();
    const grant = grantFor(share);
    expect(await keepGrant(grant.bytes)).to.deep.equal({ type: 'stored' });
    await sharer.node.stop();
    const fetcher = world.network.node('by grant');
    const { frames } = await greet(world, fetcher, relay, grant.id);
    const types: unknown[] = [];
    const bodies: Uint8Array[] = [];
    for await (const { header, body } of { [Symbol.asyncIterator]: () => frames }) {
      types.push((decode(header, 'answer') as { type: unknown }).type);
      bodies.push(Uint8Array.from(body));
      if (types.length === 2) break;
    }
    expect(types).to.deep.equal(['grant', 'hello']);
    expect(bodies).to.deep.equal([grant.bytes, Uint8Array.from(blockOf(share))]);
  });

  it('refuses a grant for what it does not keep, one that has expired, and too many of one share', async () => {
    expect(await keepGrant(grantFor(share).bytes)).to.include({ type: 'refuse', reason: 'unknown' });
    await uploaded();
    expect(await keepGrant(grantFor(share, 3600).bytes)).to.include({ type: 'refuse', reason: 'expired' });
    for (let n = 0; n < 64; n++) expect(await keepGrant(grantFor(share).bytes)).to.include({ type: 'stored' });
    expect(await keepGrant(grantFor(share).bytes)).to.include({ type: 'refuse', reason: 'over-limit' });
  });

  describe('among strangers who leave grants of their own making', () => {
    const REFUSED = { type: 'refuse', reason: 'over-limit' };
    const by = (account: string): void => {
      quotas = { ...quotas, account };
    };
    /** How many of `count` are kept. */
    const leave = async (count: number): Promise<number> => {
      let stored = 0;
      for (let n = 0; n < count; n++)
        if (((await keepGrant(grantFor(share).bytes)) as { type: string }).type === 'stored') stored++;
      return stored;
    };
    beforeEach(async () => {
      await uploaded();
    });

    it('keeps few of each and of all, and has all places of the owner left', async () => {
      by('prefix:01');
      expect(await leave(6)).to.equal(4);
      expect(await keepGrant(grantFor(share).bytes)).to.include({ ...REFUSED, detail: '4 grants of one share' });
      for (const account of ['prefix:02', 'prefix:03', 'prefix:04']) {
        by(account);
        expect(await leave(4)).to.equal(4);
      }
      by('prefix:05');
      expect(await keepGrant(grantFor(share).bytes)).to.include(REFUSED);
      by('prefix:00');
      expect(await leave(65)).to.equal(64);
    });

    it('has no place for strangers taken by the grants of the owner', async () => {
      expect(await leave(64)).to.equal(64);
      by('prefix:01');
      expect(await leave(1)).to.equal(1);
    });

    it('says again that it keeps one, to whoever leaves it, and counts it once', async () => {
      const { bytes } = grantFor(share);
      await keepGrant(bytes);
      const { bytes: before } = leases.holding();
      [freeBytes, capacityBytes] = [0, 0];
      quotas = { ...quotas, account: 'prefix:01', storedBytes: 0 };
      expect(await keepGrant(bytes)).to.deep.equal({ type: 'stored' });
      expect(leases.holding().bytes).to.equal(before);
      expect(events.filter(({ event }) => event === 'grant').length).to.equal(1);
    });

    it('counts them, and what shows that they were withdrawn, for who left them, up to what that one may have', async () => {
      const owned = leases.holding('prefix:00').bytes;
      quotas = { ...quotas, account: 'prefix:01', storedBytes: 2_000 };
      let withdrawn = 0;
      for (; withdrawn < 20; withdrawn++) {
        const ownerSeed = randomBytes(32);
        const owner = ownerOf(ownerSeed);
        const { id, bytes } = encodeGrant({ share: share.id, owner, sealed: randomBytes(300) });
        if (((await keepGrant(bytes)) as { type: string }).type !== 'stored') break;
        const statement = encodeStatement(signStatement({ type: 'withdrawal', id, at: nowSeconds() }, ownerSeed));
        expect(await notice({ statement, block: bytes })).to.deep.equal({ type: 'obeyed' });
      }
      expect(withdrawn).to.be.within(1, 5);
      expect(leases.withdrawn().length).to.equal(withdrawn);
      expect(leases.holding('prefix:01').bytes).to.be.within(1_000, 2_500);
      expect(leases.holding('prefix:00').bytes).to.equal(owned);
      expect(await keepGrant(grantFor(share).bytes)).to.include(REFUSED);
      by('prefix:02');
      expect(await leave(1)).to.equal(1);
    });

    it('keeps none beyond what the relay may store, on a full disk, or of who has too much under way', async () => {
      const { bytes } = grantFor(share);
      capacityBytes = leases.holding().bytes + bytes.length - 1;
      expect(await keepGrant(bytes)).to.include({ type: 'refuse', reason: 'full', detail: 'the relay is full' });
      capacityBytes = 1000 * MB;
      freeBytes = RELAY_SPARE_BYTES + bytes.length - 1;
      expect(await keepGrant(bytes)).to.include({ type: 'refuse', reason: 'full' });
      freeBytes = 100 * RELAY_SPARE_BYTES;
      denied = '4 uploads at once per address prefix';
      expect(await keepGrant(bytes)).to.include({ ...REFUSED, detail: denied, retryAfter: 7 });
      denied = undefined;
      expect(leases.grantsOf(share.id)).to.deep.equal([]);
      expect(await keepGrant(bytes)).to.deep.equal({ type: 'stored' });
      expect(lent).to.equal(0);
    });
  });

  it('tells who fetches when its limit is reached', async () => {
    await uploaded();
    await sharer.node.stop();
    denied = '1 GB served per day';
    const { failure } = await fetchAll(world, share, { timeoutMs: 20_000 });
    expect(failure?.code).to.equal('unavailable');
    expect(failure?.message).to.include('over-quota');
  });

  it('serves what it kept before it was started again', async () => {
    await uploaded();
    await world.clock.run(keeper.stop());
    await start();
    await sharer.node.stop();
    expect(outputOf((await fetchAll(world, share)).disk)).to.deep.equal({ film: Uint8Array.from(content) });
  });

  it('believes no receipt of another relay, for another share or for less', async () => {
    const [liar] = [world.network.node('liar')];
    const good = {
      type: 'receipt',
      id: share.id,
      size: ciphertextBytes(share.listing.block),
      at: nowSeconds(),
    } as const;
    const at = { until: nowSeconds() + DAY, relay: peerBytes(liar.self) };
    const receipts = [
      signStatement({ ...good, ...at, relay: peerBytes(relay.self) }, relay.seed),
      signStatement({ ...good, ...at, size: good.size - 1 }, liar.seed),
      signStatement({ ...good, ...at }, relay.seed),
      signStatement({ ...good, ...at, until: nowSeconds() - 1 }, liar.seed),
    ];
    let next = 0;
    await liar.serve(STORE_PROTOCOL, async channel => {
      await channel.frames()[Symbol.asyncIterator]().next();
      await channel.send(encodeStoreMessage({ type: 'receipt' }), encodeStatement(receipts[next++]!));
      await channel.close();
    });
    place = { peer: liar.self, addresses: liar.addresses(), via: 'hint' };
    while (next < receipts.length) expect((await refused()).code).to.equal('protocol');
  });

  describe('what has an end', () => {
    const HOUR = 3600;
    let ending: TestShare;
    let expires: number;
    let other: Seeder;
    beforeEach(async () => {
      expires = Math.ceil((nowSeconds() + HOUR) / HOUR) * HOUR;
      ending = await makeShare('until then', { 'until then': randomBytes(2_000_000) }, { expires });
      other = await seeder(world, 'other sharer', ending.id, await storeOf(ending));
    });

    /** What is answered to who asks by an id and can prove that it knows it. */
    async function answerFor(id: BlockId): Promise<Record<string, unknown>> {
      const { channel, frames } = await world.clock.run(greet(world, world.network.node('asker'), relay, id));
      const next = await world.clock.run(frames.next());
      channel.abort(new Error('that is all'));
      return next.done === true ? {} : (decode(next.value.header, 'answer') as Record<string, unknown>);
    }

    it('is kept no longer, refused as expired from that moment on, and so after another start', async () => {
      expect((await uploaded(ending, nowSeconds() + 30 * DAY, other.node)).until).to.equal(expires);
      await world.clock.advance(expires * 1000 - world.clock.now() - 1);
      expect(await answerFor(ending.id)).to.include({ type: 'hello' });
      await world.clock.advance(1);
      const refusal = { type: 'refuse', reason: 'expired', until: expires };
      expect(await answerFor(ending.id)).to.deep.equal(refusal);
      await world.clock.advance(30 * 60_000);
      expect(await answerFor(ending.id), 'while it is swept').to.deep.equal(refusal);
      await world.clock.run(keeper.stop());
      await start();
      expect(await answerFor(ending.id), 'after another start').to.deep.equal(refusal);
      await other.node.stop();
      const hints = relay.addresses().map(parseHint);
      const reading = { timeoutMs: 20_000, node: world.network.node('reader') };
      expect((await fetchAll(world, ending, { ...reading, hints })).failure?.code).to.equal('refused');
      const { failure } = await fetchAll(world, ending, reading);
      expect(failure?.code, 'it is not announced').to.equal('not-found');
      expect(await store.have(ending.id), 'it may be the clock').to.equal('all');
      await world.clock.advance(65 * 60_000);
      expect(await store.have(ending.id)).to.equal(undefined);
      expect((await refused(ending, nowSeconds() + DAY)).message).to.include('expired');
    });

    it('goes with its lease where that ends earlier', async () => {
      const later = await makeShare('later', { later: randomBytes(9000) }, { expires: expires + 30 * DAY });
      const { node } = await seeder(world, 'third sharer', later.id, await storeOf(later));
      await uploaded(later, nowSeconds() + 600, node);
      await world.clock.advance(30 * 60_000);
      expect(await store.have(later.id)).to.equal('all');
      await world.clock.advance(35 * 60_000);
      expect(await store.have(later.id)).to.equal(undefined);
    });

    it('is served again where its clock had only jumped', async () => {
      await uploaded(ending, nowSeconds() + 30 * DAY, other.node);
      const right = world.clock.now.bind(world.clock);
      world.clock.now = () => right() + 2 * HOUR * 1000;
      await world.clock.advance(30_000);
      expect(await answerFor(ending.id)).to.include({ reason: 'expired' });
      world.clock.now = right;
      await world.clock.advance(30_000);
      expect(await answerFor(ending.id)).to.include({ type: 'hello' });
      await other.node.stop();
      const { disk } = await fetchAll(world, ending);
      expect(Object.keys(outputOf(disk))).to.deep.equal(['until then']);
    });

    it('is a grant that ends before its share: refused at once, and its share is not', async () => {
      await uploaded();
      const grant = grantFor(share, expires);
      expect(await keepGrant(grant.bytes)).to.deep.equal({ type: 'stored' });
      await world.clock.advance(expires * 1000 - world.clock.now() - 1);
      expect(await answerFor(grant.id)).to.include({ type: 'grant' });
      await world.clock.advance(1);
      expect(await answerFor(grant.id)).to.deep.equal({ type: 'refuse', reason: 'expired', until: expires });
      await world.clock.advance(60_000);
      expect(await answerFor(grant.id)).to.include({ reason: 'expired' });
      expect(await answerFor(share.id)).to.include({ type: 'hello' });
    });
  });
});
