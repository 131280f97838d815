/** CAR files: out of a home, into another, and every vector through both. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../src/clock.ts';
import { ShoalError } from '../../src/errors.ts';
import { exportCar, importCar, type ImportDeps, type Imported } from '../../src/export.ts';
import { carBlock, carHeader } from '../../src/format/car.ts';
import { decodeGrant } from '../../src/format/grant.ts';
import { openGrant } from '../../src/format/grant-seal.ts';
import { identitiesIn } from '../../src/format/identity.ts';
import type { FileKey } from '../../src/format/keys.ts';
import { DAG_CBOR_CODEC, RAW_CODEC, type BlockId } from '../../src/format/ids.ts';
import { parseLink } from '../../src/format/link.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import { Turns } from '../../src/parallel.ts';
import type { Catalog } from '../../src/catalog.ts';
import type { ChunkStore } from '../../src/ports.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { someRecord } from '../contract/catalog.ts';
import { expectSame, makeLargeShare, makeShare, type TestShare } from '../contract/chunk-source.ts';
import { fetchAll, newWorld, outputOf, seeder, startFetch, storeOf } from './world.ts';

const VECTORS = new URL('../vectors/', import.meta.url);
const never = new AbortController().signal;

function hash(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

async function carOf(share: TestShare): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const bytes of exportCar(await storeOf(share), share.id, () => undefined, never)) {
    parts.push(Uint8Array.from(bytes));
  }
  return Buffer.concat(parts);
}

/** Gives a file in portions of odd sizes, as often as it is opened. */
function reader(car: Uint8Array): () => AsyncIterable<Uint8Array> {
  return async function* () {
    for (let at = 0; at < car.length; at += 7919) yield car.subarray(at, at + 7919);
  };
}

let folder: string;
let catalog: Catalog;
/** A catalog for each test of the suite that calls this. */
function useCatalog(): void {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-car-'));
  });
  beforeEach(async () => {
    const options = { secret: randomBytes(32), random: randomBytes, clock: systemClock };
    catalog = await openCatalog(join(folder, `${randomUUID()}.sqlite`), options);
  });
  afterEach(() => catalog.close());
  after(() => rm(folder, { recursive: true }));
}

/** A home of `store` and the test's catalog, in which nobody else does anything. */
function depsOf(store: ChunkStore): ImportDeps {
  return {
    store,
    catalog,
    hash,
    clock: systemClock,
    reserve: () => Promise.resolve(() => undefined),
    alone: (_id, work) => work(),
  };
}

/** A full hour that is so many hours away. */
const inHours = (hours: number): number => Math.ceil(systemClock.now() / 3_600_000 + hours) * 3600;

function importInto(store: ChunkStore, car: Uint8Array): Promise<Imported> {
  return importCar(depsOf(store), reader(car), () => undefined, never);
}

async function failureOf(work: Promise<unknown>): Promise<ShoalError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ShoalError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a CAR file', () => {
  useCatalog();
  const FILES = { 'a.bin': randomBytes(PIECE_BYTES + 100), 'b.txt': randomBytes(50) };
  let share: TestShare;
  let car: Uint8Array;
  before(async () => {
    share = await makeShare('share', FILES);
    car = await carOf(share);
  });

  it('of a share that ends is taken in with that end, and not after it', async () => {
    for (const [expires, isOver] of [
      [inHours(2), false],
      [inHours(-2), true],
    ] as const) {
      const share = await makeShare('ending', { 'a.txt': randomBytes(9) }, { expires });
      const store = memoryStore();
      if (isOver) {
        const error = await failureOf(importInto(store, await carOf(share)));
        expect(error).to.include({ code: 'refused' });
        expect(error.message).to.include('cannot import the share: it has expired');
        expect([await store.list(), catalog.get(share.id)]).to.deep.equal([[], undefined]);
      } else {
        expect(await importInto(store, await carOf(share))).to.include({ complete: true });
        expect(catalog.get(share.id)).to.include({ expires });
      }
    }
  });

  it('goes out, comes in elsewhere, and is fetched from there', async () => {
    const store = memoryStore();
    const imported = await importInto(store, car);
    expect(imported).to.include({ id: share.id, complete: true, known: false, blocks: share.blocks.length });
    const world = newWorld();
    await seeder(world, 'carrier', share.id, store);
    const { disk } = await fetchAll(world, share);
    for (const [path, bytes] of Object.entries(FILES)) expectSame(outputOf(disk)[`share/${path}`]!, bytes);
  });

  it('is the same file when it goes out again', async () => {
    const store = memoryStore();
    await importInto(store, car);
    const parts: Uint8Array[] = [];
    let counted = 0;
    for await (const bytes of exportCar(store, share.id, blocks => (counted = blocks), never)) parts.push(bytes);
    expectSame(Buffer.concat(parts), car);
    expect(counted).to.equal(share.blocks.length);
  });

  it('with index blocks tells how much of a share is missing', async () => {
    const huge = await makeLargeShare(2049, [5]);
    const parts = [carHeader(huge.id)];
    for (const { at, bytes } of huge.blocks)
      parts.push(...carBlock(at.kind === 'chunk' ? RAW_CODEC : DAG_CBOR_CODEC, hash(bytes), bytes));
    const store = memoryStore();
    // The share block comes last here: the order in the file does not matter.
    expect(await importInto(store, Buffer.concat(parts))).to.include({ complete: false });
    expect(await store.have(huge.id)).to.deep.equal({ manifest: [0, 1], data: [5, 1] });
  });

  it('is taken again where a part was missing, and left alone where all is known', async () => {
    const store = memoryStore();
    const last = share.blocks.find(({ at }) => at.kind === 'chunk' && at.stream === 'data' && at.index === 1)!;
    const without = Buffer.from(car).subarray(
      0,
      car.length - carBlock(RAW_CODEC, hash(last.bytes), last.bytes).reduce((sum, { length }) => sum + length, 0),
    );
    expect(await importInto(store, without)).to.include({ complete: false });
    expect(await importInto(store, car)).to.include({ complete: true, known: false });
    catalog.add(someRecord({ id: share.id, source: 'fetched' }), {});
    expect(await importInto(store, car)).to.include({ known: true, complete: true, blocks: 0 });
    const other = memoryStore();
    await importInto(other, car);
    expect(await other.list()).to.deep.equal([]);
    expect(catalog.get(share.id)?.source).to.equal('fetched');
  });

  it('that is cut short anywhere leaves nothing', async () => {
    const small = await carOf(await makeShare('small', { 'x.txt': randomBytes(20_000) }));
    for (let length = 0; length < small.length; length += 1000) {
      const store = memoryStore();
      const failure = await failureOf(importInto(store, small.subarray(0, length)));
      expect(failure.code, `cut at ${length}`).to.be.oneOf(['corrupt', 'unavailable']);
      expect(await store.list(), `cut at ${length}`).to.deep.equal([]);
    }
    expect([...catalog.list(), ...catalog.debris()]).to.deep.equal([]);
  });

  it('with a wrong byte anywhere in a block leaves nothing', async () => {
    const small = await carOf(await makeShare('small', { 'x.txt': randomBytes(3000) }));
    for (let at = 200; at < small.length; at += 499) {
      const wrong = small.slice();
      wrong[at]! ^= 1;
      const store = memoryStore();
      await failureOf(importInto(store, wrong));
      expect(await store.list()).to.deep.equal([]);
    }
  });

  it('keeps what an earlier import brought, when a later one fails', async () => {
    const store = memoryStore();
    await importInto(store, car);
    await failureOf(importInto(store, car.subarray(0, -1)));
    expect(await store.have(share.id)).to.equal('all');
    expect(catalog.debris()).to.deep.equal([]);
  });

  it('keeps blocks that the catalog does not know, when it fails: they may be of another catalog', async () => {
    const store = await storeOf(share);
    await failureOf(importInto(store, car.subarray(0, -1)));
    expect(await store.have(share.id)).to.equal('all');
    expect(catalog.debris()).to.deep.equal([]);
    expect(await importInto(store, car)).to.include({ complete: true });
    expect(catalog.get(share.id)?.source).to.equal('imported');
  });

  it('is noted as begun before its first block is stored, until it is added', async () => {
    const store = memoryStore();
    const noted: boolean[] = [];
    const write: ChunkStore['write'] = async (id, ...rest) => {
      noted.push(catalog.debris().includes(id));
      await store.write(id, ...rest);
    };
    await importInto({ ...store, write }, car);
    expect(new Set(noted)).to.deep.equal(new Set([true]));
    expect(catalog.debris()).to.deep.equal([]);
  });

  it('is not added when its blocks are gone again', async () => {
    const store = memoryStore();
    const failure = await failureOf(importInto({ ...store, sync: id => store.drop(id) }, car));
    expect(failure.code).to.equal('unavailable');
    expect(catalog.list()).to.deep.equal([]);
  });

  it('is imported by one at a time: another one that fails takes nothing away', async () => {
    const turns = new Turns<BlockId>();
    const store = memoryStore();
    const deps: ImportDeps = { ...depsOf(store), alone: (id, work) => turns.run(id, never, work) };
    const ran = await Promise.allSettled(
      [car, car.subarray(0, -1), car].map(bytes => importCar(deps, reader(bytes), () => undefined, never)),
    );
    expect(ran.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
    expect(await store.have(share.id)).to.equal('all');
  });

  it('leaves nothing when it is stopped', async () => {
    const store = memoryStore();
    const stop = new AbortController();
    const stopped = importCar(
      depsOf(store),
      reader(car),
      () => stop.abort(new ShoalError('interrupted', 'stopped')),
      stop.signal,
    );
    expect((await failureOf(stopped)).code).to.equal('interrupted');
    expect(await store.list()).to.deep.equal([]);
  });

  it('does not go out when a block is missing', async () => {
    const store = await storeOf(share, name => name !== 'chunk data 1');
    const exporting = async (): Promise<void> => {
      const parts = exportCar(store, share.id, () => undefined, never);
      while ((await parts.next()).done !== true);
    };
    const failure = await failureOf(exporting());
    expect(failure.code).to.equal('unavailable');
  });
});

interface Row {
  readonly name: string;
  readonly link: string;
  readonly expect: string;
  readonly why: string;
  readonly identity?: string;
  readonly files?: readonly { readonly path: string; readonly sha256: string; readonly directory?: true }[];
}

describe('vectors: import and fetch', () => {
  useCatalog();
  const rows = JSON.parse(readFileSync(new URL('index.json', VECTORS), 'utf8')) as Row[];
  const known = ['name', 'link', 'expect', 'why', 'identity', 'files'];
  const codes = ['ok', 'wrong-key', 'unsupported', 'malformed', 'corrupt', 'unavailable'];

  /** The share that a grant of the catalog leads to, for who has the identities in a file. */
  async function openedBy(file: string, id: BlockId): Promise<{ id: BlockId; key: FileKey } | ShoalError> {
    const grant = decodeGrant(catalog.grants.get(id)?.block ?? new Uint8Array());
    const identities = (await identitiesIn(readFileSync(new URL(file, VECTORS), 'utf8'))).map(({ secret }) => secret);
    try {
      return { id: grant.share, key: await openGrant(grant, { identities }) };
    } catch (error) {
      if (error instanceof ShoalError) return error;
      throw error;
    }
  }

  for (const row of rows) {
    it(`${row.name}: ${row.why}`, async () => {
      expect(Object.keys(row).filter(key => !known.includes(key))).to.deep.equal([]);
      expect(codes).to.include(row.expect);
      const link = parseLink(row.link);
      const store = memoryStore();
      const failures: ShoalError[] = [];
      await importInto(store, readFileSync(new URL(`${row.name}.car`, VECTORS))).catch((error: unknown) => {
        if (!(error instanceof ShoalError)) throw error;
        failures.push(error);
      });
      if (failures.length > 0) {
        expect(failures[0]?.code).to.equal(row.expect);
        expect(await store.list()).to.deep.equal([]);
        return;
      }
      const world = newWorld();
      const opened = row.identity === undefined ? link : await openedBy(row.identity, link.id);
      if (opened instanceof ShoalError) {
        expect(opened.code).to.equal(row.expect);
        return;
      }
      const { id, key } = opened;
      await seeder(world, 'carrier', id, store);
      if (key === undefined) throw new Error('a read link has a key');
      const fetching = startFetch(world, { id, key }, { timeoutMs: 10_000 });
      const failure = await world.clock.run(
        fetching.outcome.then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      const output = outputOf(fetching.disk);
      expect(world.clock.sleepers).to.equal(0);
      if (row.expect !== 'ok') {
        expect(failure).to.include({ name: 'ShoalError', code: row.expect });
        expect(output).to.deep.equal({});
        return;
      }
      expect(failure).to.equal(undefined);
      const files = row.files!.filter(({ directory }) => directory !== true);
      const isFolder = Object.keys(output).some(path => path.includes('/'));
      for (const { path, sha256 } of files) {
        const at = isFolder ? Object.keys(output).find(one => one.endsWith(`/${path}`)) : path;
        expect(Buffer.from(hash(output[at ?? '']!)).toString('hex'), path).to.equal(sha256);
      }
      expect(Object.keys(output)).to.have.length(files.length);
    });
  }

  it('that break the format are refused by a fetch too, when a peer serves them', async () => {
    // A carrier of bad will does not check what it takes: it serves the blocks as they are.
    const row = rows.find(({ name }) => name === 'bad-piece-length')!;
    const link = parseLink(row.link);
    const { decodeShareBlock } = await import('../../src/format/share-block.ts');
    const { blocksOfCar, hex } = await import('../format/open-share.ts');
    const blocks = await blocksOfCar(readFileSync(new URL(`${row.name}.car`, VECTORS)));
    const { digestOf } = await import('../../src/format/ids.ts');
    const root = blocks.get(hex(digestOf(link.id)))!;
    const block = decodeShareBlock(root);
    const store = memoryStore();
    await store.write(link.id, { kind: 'share' }, root);
    for (const stream of ['manifest', 'data'] as const) {
      const digests = block[stream].chunks ?? new Uint8Array();
      for (let index = 0; index < digests.length / 32; index++) {
        const bytes = blocks.get(hex(digests.subarray(index * 32, index * 32 + 32)))!;
        await store.write(link.id, { kind: 'chunk', stream, index }, bytes);
      }
    }
    const world = newWorld();
    await seeder(world, 'carrier', link.id, store);
    const { failure, disk } = await fetchAll(world, { id: link.id, key: link.key! }, { timeoutMs: 10_000 });
    expect(failure?.code).to.equal('malformed');
    expect(failure?.message).to.match(/; .* faulty or hostile, so tell the sharer$/);
    expect(outputOf(disk)).to.deep.equal({});
  });
});
