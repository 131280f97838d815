import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Keeper } from '../../relay/keeper.ts';
import { Leases } from '../../relay/leases.ts';
import { clockDifference } from '../../src/clocks.ts';
import { Copies, type CopyEvent } from '../../src/copies.ts';
import { ShoalError } from '../../src/errors.ts';
import { RELAY_SPARE_BYTES } from '../../src/limits.ts';
import type { Catalog, RelayRecord } from '../../src/catalog.ts';
import type { ChunkStore, Clock } from '../../src/ports.ts';
import type { Admission } from '../../src/protocol/admission.ts';
import { sample, type Sample } from '../../src/sample.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { verify } from '../../src/verify.ts';
import { someRecord } from '../contract/catalog.ts';
import { makeShare, type TestShare } from '../contract/chunk-source.ts';
import { failureOf } from '../contract/crypto.ts';
import type { SimNode } from '../sim/network.ts';
import { newWorld, seeder, storeOf, type Seeder, type World } from './world.ts';

describe('copies of shares at relays', () => {
  let world: World;
  let folder: string;
  let film: TestShare;
  let share: TestShare;
  let relay: SimNode;
  let kept: ChunkStore;
  let leases: Leases;
  let keeper: Keeper;
  let denied: string | undefined;
  let leaseSeconds: number;
  let sharer: Seeder;
  let catalog: Catalog;
  let record: RelayRecord;
  let copies: Copies;
  let events: CopyEvent[];
  let served: number;
  let presented: string[];

  before(async () => {
    film = await makeShare('film', { film: randomBytes(40_000_000) });
  });
  beforeEach(async () => {
    world = newWorld();
    share = film;
    folder = mkdtempSync(join(tmpdir(), 'shoal-copies-'));
    [denied, leaseSeconds, events, served, presented] = [undefined, 10_000, [], 0, []];
    relay = world.network.node('relay');
    kept = memoryStore();
    leases = await Leases.open(join(folder, 'leases.sqlite'), kept, world.clock);
    keeper = await startKeeper();
    sharer = await seeder(world, 'sharer', share.id, await storeOf(share));
    const opened = await openCatalog(join(folder, 'catalog.sqlite'), {
      secret: randomBytes(32),
      random: randomBytes,
      clock: world.clock,
    });
    catalog = Object.assign(opened, { ownerSeedOf: () => share.ownerSeed });
    catalog.add(
      {
        ...{ id: share.id, kind: 'file', name: 'film', sizeBytes: 1, files: 1, source: 'copy', hints: [] },
        ...{ createdAt: 1_700_000_000, serveAlways: false },
      },
      {},
    );
    record = { peer: relay.self, addresses: relay.addresses(), name: 'the relay', always: true, addedAt: 1 };
    catalog.relays.put(record);
    copies = startCopies();
  });
  afterEach(async () => {
    await world.clock.run(Promise.all([copies.stop(), keeper.stop()]));
    leases.close();
    catalog.close();
    rmSync(folder, { recursive: true });
  });

  async function startKeeper(clock: Clock = world.clock): Promise<Keeper> {
    const admission: Admission = {
      admit: () =>
        denied === undefined ? { release: () => undefined } : { denied, of: 'relay', retryAfterSeconds: 7 },
      spend: () => undefined,
      quotasOf: () => ({
        ...{ account: 'prefix:00', tier: 'anonymous', reservationSeconds: 3600, circuitBytes: 1, circuitSeconds: 1 },
        ...{ leases: 10, storedBytes: 1e9, leaseSeconds },
      }),
    };
    return await Keeper.start({
      ...{ network: relay, leases, store: kept, crypto: world.crypto, admission, seed: relay.seed },
      ...{ clock, log: () => undefined, mostLeases: () => 100, capacityBytes: () => 1e9 },
      freeBytes: () => Promise.resolve(100 * RELAY_SPARE_BYTES),
    });
  }

  const sampled = (from = relay): Promise<Sample> =>
    sample(
      {
        ...{ network: world.network.node('stranger'), crypto: world.crypto, clock: world.clock, random: randomBytes },
        store: memoryStore(),
      },
      { id: share.id, from: { peer: from.self, addresses: from.addresses(), via: 'hint' } },
      new AbortController().signal,
    );

  function startCopies(): Copies {
    const started = new Copies({
      lend: (_id, work) => work(sharer.node),
      catalog,
      source: {
        have: () => Promise.resolve('all'),
        read: async (_id, at) => (await storeOf(share)).read(share.id, at),
      },
      clock: world.clock,
      serve: () => {
        served++;
        return () => served--;
      },
      present: (_relay, token) => Promise.resolve(presented.push(token)),
      sample: () => sampled(),
    });
    started.onEvent(event => events.push(event));
    return started;
  }

  /** Until a copy has come to an end, good or bad. */
  async function next(state: 'stored' | 'failed'): Promise<CopyEvent> {
    const reached = new Promise<CopyEvent>(resolve => {
      const off = copies.onEvent(event => {
        if (event.state !== state) return;
        off();
        resolve(event);
      });
    });
    return await world.clock.run(reached, 100_000_000);
  }

  const wanted = (): void => copies.want(share.id, [record]);
  const copy = () => catalog.copies.list(share.id)[0];

  it('are made, checked from outside, and noted with the receipt', async () => {
    wanted();
    const stored = await next('stored');
    expect(stored).to.include({ name: 'the relay', sampled: 30 });
    expect(copy()).to.include({ state: 'stored', relay: relay.self });
    expect(copy()?.checkedAt).to.be.a('number');
    expect(copy()?.receipt).to.be.instanceOf(Uint8Array);
    expect(events.map(({ state }) => state).filter((state, n, all) => state !== all[n - 1])).to.deep.equal([
      'uploading',
      'checking',
      'stored',
    ]);
    expect(served).to.equal(0);
  });

  it('are renewed when less than half of their time is left, without another upload', async () => {
    wanted();
    await next('stored');
    const before = copy()?.until ?? 0;
    const bytes = sharer.served.reduce((sum, event) => sum + event.bytes, 0);
    await next('stored');
    expect(copy()?.until).to.be.greaterThan(before);
    expect(world.clock.now() / 1000).to.be.within(before - 5000, before - 4900);
    expect(sharer.served.reduce((sum, event) => sum + event.bytes, 0)).to.equal(bytes);
  });

  it('are tried again later where a relay does not take them, and it is said why', async () => {
    denied = '0 uploads';
    wanted();
    const failed = await next('failed');
    expect(failed).to.have.property('why').that.includes('0 uploads');
    expect(copy()).to.include({ state: 'wanted' });
    expect(copy()?.detail).to.include('0 uploads');
    denied = undefined;
    await next('stored');
    expect(copy()).not.to.have.property('detail');
  });

  it('are not asked for again and again where a relay refuses them for good', async () => {
    await world.clock.run(keeper.stop());
    leases.begin({ id: share.id, account: 'prefix:00', sizeBytes: 1 });
    await leases.withdraw(share.id, { statement: new Uint8Array(1), block: new Uint8Array(1) });
    keeper = await startKeeper();
    wanted();
    expect(await next('failed')).to.deep.include({ state: 'failed', forGood: true });
    const failures = (): number => events.filter(({ state }) => state === 'failed').length;
    const before = failures();
    await world.clock.advance(9 * 60_000);
    expect(failures()).to.equal(before);
  });

  it('are gone on with by who holds the home the next time', async () => {
    denied = '0 uploads';
    wanted();
    await next('failed');
    await world.clock.run(copies.stop());
    denied = undefined;
    copies = startCopies();
    await next('stored');
  });

  it('are uploaded again where the relay has lost its lease', async () => {
    wanted();
    await next('stored');
    await leases.end(share.id);
    await next('stored');
    expect(await kept.have(share.id)).to.equal('all');
  });

  it('do not count where the relay gives something else than it has signed for', async () => {
    const rotten = share.blocks.filter(({ at }) => at.kind === 'chunk' && at.stream === 'data').slice(0, 20);
    const read = kept.read.bind(kept);
    kept.read = async (id, at, signal) => {
      const isRotten = rotten.some(block => JSON.stringify(block.at) === JSON.stringify({ ...at }));
      const bytes = await read(id, at, signal);
      return isRotten ? bytes.map((byte, n) => (n === 9 ? byte ^ 1 : byte)) : bytes;
    };
    wanted();
    const failed = await next('failed');
    expect(failed).to.have.property('why').that.includes('can not be fetched from it');
    expect(copy()?.checkedAt).to.equal(undefined);
  });

  it('show a token to the relay first, where there is one', async () => {
    catalog.relays.put(record, 'the token');
    wanted();
    await next('stored');
    expect(presented).to.deep.equal(['the token']);
  });

  it('are forgotten with their share', async () => {
    wanted();
    await next('stored');
    catalog.remove(share.id);
    expect(catalog.copies.list()).to.deep.equal([]);
  });

  describe('are verified', () => {
    const verified = (known = [relay]) =>
      world.clock.run(
        verify(
          {
            network: world.network.node('verifier'),
            clock: world.clock,
            sample: (id, from, signal) =>
              sample(
                {
                  ...{ network: world.network.node('verifier'), crypto: world.crypto, clock: world.clock },
                  ...{ random: randomBytes, store: memoryStore() },
                },
                { id, from },
                signal,
              ),
          },
          {
            id: share.id,
            hints: [],
            known: known.map(node => ({ peer: node.self, addresses: node.addresses(), via: 'relay' as const })),
          },
          () => undefined,
          new AbortController().signal,
        ),
      );

    it('by asking all who are found: each has all, or some, or nothing that it can show', async () => {
      wanted();
      await next('stored');
      const some = await storeOf(share, at => !at.startsWith('chunk data 3'));
      const partial = await seeder(world, 'partial', share.id, some);
      const silent = world.network.node('silent');
      const holders = await verified([relay, silent]);
      const of = (node: SimNode) => holders.find(({ peer }) => peer === node.self);
      const chunks = share.listing.count('data');
      expect(of(relay)).to.include({ via: 'relay', chunks, has: chunks, sampled: 30 });
      expect(of(relay)).not.to.have.property('problem');
      expect(of(sharer.node)).to.include({ chunks, has: chunks, sampled: 30 });
      expect(of(partial.node)?.problem).to.match(/lacks 11 chunks/);
      expect(of(silent)?.problem).to.be.a('string');
    });

    it('until whoever asked has enough of it', async () => {
      const stop = new AbortController();
      const verifying = verify(
        { network: world.network.node('verifier'), clock: world.clock, sample: () => sampled() },
        { id: share.id, hints: [], known: [] },
        () => undefined,
        stop.signal,
      );
      stop.abort(new ShoalError('interrupted', 'enough'));
      expect(await failureOf(world.clock.run(verifying))).to.include({ code: 'interrupted' });
    });
  });

  it('are left alone once they last to the end of their share, and never asked for after that', async () => {
    const hour = 3600;
    const expires = Math.ceil(world.clock.now() / 1000 / hour) * hour + 5 * hour;
    const ending = await makeShare('until then', { 'until then': randomBytes(9000) }, { expires });
    const { node } = await seeder(world, 'other sharer', ending.id, await storeOf(ending));
    await world.clock.run(copies.stop());
    [sharer, share] = [{ ...sharer, node }, ending];
    catalog.add({ ...someRecord({ id: ending.id, source: 'copy', expires }) }, {});
    leaseSeconds = 30 * 86_400;
    copies = startCopies();
    wanted();
    await next('stored');
    expect(copy()?.until).to.equal(expires);
    const before = events.length;
    await world.clock.advance(10 * hour * 1000);
    expect(events.slice(before)).to.deep.equal([]);
    catalog.copies.remove(ending.id, relay.self);
    wanted();
    await world.clock.advance(hour * 1000);
    expect(events.slice(before), 'after its end').to.deep.equal([]);
  });

  it('show when the clock of their relay differs from ours by more than an hour', async () => {
    wanted();
    await next('stored');
    expect(clockDifference(catalog, world.clock)).to.equal(undefined);
    const ours = world.clock;
    const theirs = Object.assign(Object.create(ours) as typeof ours, { now: () => ours.now() + 3 * 3_600_000 });
    await ours.run(keeper.stop());
    leases.close();
    leases = await Leases.open(join(folder, 'others.sqlite'), kept, theirs);
    keeper = await startKeeper(theirs);
    await next('stored');
    expect(clockDifference(catalog, world.clock)).to.include({ relay: 'the relay' });
    expect(Math.round((clockDifference(catalog, world.clock)?.aheadMs ?? 0) / 3_600_000)).to.equal(-3);
  });
});
