/** Carrying shares: what is got stays, is served by then, and is forgotten whole. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import type { FetchEvent } from '../../src/fetch.ts';
import { newFileKey, type FileKey } from '../../src/format/keys.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import type { Catalog } from '../../src/catalog.ts';
import type { ChunkStore, QuotaStore } from '../../src/ports.ts';
import { indicesOf } from '../../src/protocol/ranges.ts';
import { seed } from '../../src/seed.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { chunkAt, expectSame, makeShare, type TestShare } from '../contract/chunk-source.ts';
import { blockOf, fetchAll, newWorld, outputOf, say, seeder, storeOf, turncoat, type World } from './world.ts';

const FILES = { 'a.bin': randomBytes(4 * PIECE_BYTES), 'b.txt': randomBytes(50) };
const never = new AbortController().signal;

describe('seed', () => {
  let folder: string;
  let share: TestShare;
  let world: World;
  let catalog: Catalog;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-seed-'));
    share = await makeShare('share', FILES);
  });
  beforeEach(async () => {
    world = newWorld();
    const options = { secret: randomBytes(32), random: randomBytes, clock: world.clock };
    catalog = await openCatalog(join(folder, `${randomUUID()}.sqlite`), options);
  });
  afterEach(() => catalog.close());
  after(() => rm(folder, { recursive: true }));

  interface Run {
    readonly store?: ChunkStore;
    readonly reserve?: QuotaStore['reserve'];
    readonly key?: FileKey | undefined;
    readonly onKnown?: () => void;
    readonly signal?: AbortSignal;
  }

  /** Seeds into the test's catalog, to its end. */
  async function run(options: Run = {}): Promise<{ events: FetchEvent[]; failure: ShoalError | undefined }> {
    const {
      store = memoryStore(),
      reserve = () => Promise.resolve(() => undefined),
      onKnown = () => undefined,
      signal = never,
    } = options;
    const key = 'key' in options ? options.key : share.key;
    const events: FetchEvent[] = [];
    const seeding = seed(
      { network: world.network.node('carrier'), crypto: world.crypto, clock: world.clock, catalog, store, reserve },
      { id: share.id, key, hints: [], timeoutMs: 1000, onKnown },
      event => events.push(event),
      signal,
    );
    const failure = await world.clock.run(
      seeding.then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof ShoalError) return error;
          throw error;
        },
      ),
    );
    return { events, failure };
  }

  it('gets every block, and notes the share with its key like one that was imported', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const store = memoryStore();
    const { events, failure } = await run({ store });
    expect(failure).to.equal(undefined);
    expect(await store.have(share.id)).to.equal('all');
    for (const { at, bytes } of share.blocks) expectSame(await store.read(share.id, at), bytes);
    expect(catalog.get(share.id)).to.deep.include({ source: 'imported', name: 'share', kind: 'folder', files: 2 });
    expect(catalog.get(share.id)?.root).to.equal(undefined);
    expectSame(catalog.keyOf(share.id)!, share.key);
    expect(catalog.debris()).to.deep.equal([]);
    const size = share.listing.size('data');
    expect(events.findLast(({ event }) => event === 'progress')).to.include({ doneBytes: size, totalBytes: size });
  });

  it('without a key gets the same blocks, and no name', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const store = memoryStore();
    const { failure } = await run({ store, key: undefined });
    expect(failure).to.equal(undefined);
    expect(await store.have(share.id)).to.equal('all');
    expect(catalog.get(share.id)).to.include({ name: '', files: 0, hasKey: false });
  });

  it('with a wrong key keeps nothing', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const store = memoryStore();
    const { failure } = await run({ store, key: newFileKey(randomBytes) });
    expect(failure?.code).to.equal('wrong-key');
    expect(catalog.get(share.id)).to.equal(undefined);
    expect(await store.list()).to.deep.equal([]);
    expect(catalog.debris()).to.deep.equal([]);
  });

  it('keeps what it got when it is stopped, and gets the rest and what was damaged meanwhile the next time', async () => {
    const sharer = await seeder(world, 'sharer', share.id, await storeOf(share, at => !/^chunk data [23]$/.test(at)));
    const store = memoryStore();
    const { failure } = await run({ store });
    expect(failure?.code, 'two chunks are nowhere').to.equal('unavailable');
    expect(await store.have(share.id)).to.deep.include({ data: [0, 2, 4, 1] });
    expect(catalog.get(share.id)?.source, 'it can be forgotten').to.equal('imported');
    sharer.node.unannounce(share.id);

    await seeder(world, 'whole', share.id, await storeOf(share));
    // As a crash may leave one: there, and not what it should be; a store says that of it when it is read.
    const damaged: ChunkStore = {
      ...store,
      have: id => store.have(id),
      list: () => store.list(),
      drop: id => store.drop(id),
      sync: id => store.sync(id),
      write: (id, at, bytes) => (rewritten.push(JSON.stringify(at)), store.write(id, at, bytes)),
      read: (id, at) =>
        JSON.stringify(at) === JSON.stringify(chunkAt('data', 1)) && rewritten.length === 0
          ? Promise.reject(new ShoalError('unavailable', 'it was damaged'))
          : store.read(id, at),
    };
    const rewritten: string[] = [];
    const again = await run({ store: damaged });
    expect(again.failure).to.equal(undefined);
    expect(rewritten.sort()).to.deep.equal([1, 2, 3].map(index => JSON.stringify(chunkAt('data', index))));
    const lengths = [0, 4].map(index => share.listing.chunkLength('data', index) - 16);
    expect(again.events.find(({ event }) => event === 'resumed')).to.include({ bytes: lengths[0]! + lengths[1]! });
    expect(await store.have(share.id)).to.equal('all');
  });

  it('serves what it has while it is not complete', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share, at => at !== 'chunk data 3'));
    const store = memoryStore();
    await run({ store });
    const third = newWorld();
    await seeder(third, 'carrier', share.id, store);
    await seeder(third, 'other', share.id, await storeOf(share, at => !/^chunk data [012]$/.test(at)));
    const { disk, fetched } = await fetchAll(third, share);
    expect(fetched?.sources.map(({ bytes }) => bytes > 0)).to.deep.equal([true, true]);
    expectSame(outputOf(disk)['share/a.bin']!, FILES['a.bin']);
  });

  it('is known, with what belongs to it, before its first chunk is asked for', async () => {
    const known: string[] = [];
    const asked: string[] = [];
    await turncoat(world, 'sharer', share, async (channel, get) => {
      for (const index of indicesOf(get.ranges)) {
        if (get.stream === 'data') asked.push(known.join());
        const { kind, stream } = get;
        await say(channel, { type: 'block', kind, stream, index }, blockOf(share, `${kind} ${stream} ${index}`));
      }
    });
    const { failure } = await run({ onKnown: () => known.push(catalog.get(share.id)?.name ?? '') });
    expect(failure).to.equal(undefined);
    expect(new Set(asked)).to.deep.equal(new Set(['share']));
  });

  it('does not take a wrong chunk', async () => {
    await turncoat(world, 'liar', share, async (channel, get) => {
      for (const index of indicesOf(get.ranges)) {
        const { kind, stream } = get;
        const right = blockOf(share, `${kind} ${stream} ${index}`);
        const bytes = stream === 'data' && index === 1 ? Uint8Array.from(right, byte => byte ^ 1) : right;
        await say(channel, { type: 'block', kind, stream, index }, bytes);
      }
    });
    const store = memoryStore();
    const { failure } = await run({ store });
    expect(failure?.code).to.equal('unavailable');
    const have = await store.have(share.id);
    expect(have === 'all' || have === undefined ? have : [...indicesOf(have.data)]).not.to.include(1);
  });

  it('notes when it ends, and takes nothing of what has ended', async () => {
    const expires = Math.ceil(world.clock.now() / 1000 / 3600) * 3600 + 3600;
    share = await makeShare('ending', FILES, { expires });
    await seeder(world, 'sharer', share.id, await storeOf(share));
    expect((await run()).failure).to.equal(undefined);
    expect(catalog.get(share.id)).to.include({ source: 'imported', expires });
    catalog.remove(share.id);
    catalog.clear(share.id);
    await world.clock.advance(expires * 1000 - world.clock.now());
    const store = memoryStore();
    const { failure } = await run({ store });
    expect(failure).to.include({ code: 'refused' });
    expect(failure?.message).to.match(
      /^cannot carry the share: it has expired \(\d{4}-\d\d-\d\d \d\d:\d\d\); who has the files/,
    );
    expect([catalog.get(share.id), await store.list(), catalog.debris()]).to.deep.equal([undefined, [], []]);
  });
});
