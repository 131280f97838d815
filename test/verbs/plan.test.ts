/** What a fetch would do, for places on a real file system; nothing there may change by that. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { fetch } from '../../src/fetch.ts';
import { folderDestination, plannedPlace, type ClosableStore } from '../../src/files/destination.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import { plan, type Plan, type PlanRequest } from '../../src/plan.ts';
import type { Directory, PlannedPlace } from '../../src/ports.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { makeShare, type TestShare } from '../contract/chunk-source.ts';
import { newWorld, seeder, storeOf, type World } from './world.ts';

const FILES = { 'a.bin': randomBytes(3 * PIECE_BYTES), 'sub/b.txt': randomBytes(50) };
const BYTES = 3 * PIECE_BYTES + 50;
const never = new AbortController().signal;

describe('A dry run', () => {
  let folder: string;
  let share: TestShare;
  let world: World;
  before(async () => {
    share = await makeShare('share', FILES);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-plan-'));
    world = newWorld();
    await seeder(world, 'sharer', share.id, await storeOf(share));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Plans a fetch to `output`, and sees to it that nothing in the test's folder changes. */
  async function run(
    output: string,
    request: Partial<PlanRequest> = {},
    changed: Partial<PlannedPlace> = {},
  ): Promise<Plan> {
    const before = await contents();
    const node = world.network.node('fetcher');
    const place = { ...(await plannedPlace({ id: share.id, output })), ...changed };
    const planned = await world.clock.run(
      plan(
        { network: node, crypto: world.crypto, clock: world.clock },
        { link: { id: share.id, key: share.key, hints: [] }, place, store: memoryStore(), force: false, ...request },
        () => undefined,
        never,
      ),
    );
    expect(await contents(), 'nothing is written').to.deep.equal(before);
    expect(node.open.size, 'channels that are left open').to.equal(0);
    return planned;
  }

  async function contents(): Promise<Record<string, string>> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = entries.map(async entry => {
      const path = join(entry.parentPath, entry.name);
      return [path, entry.isFile() ? (await readFile(path)).toString('base64') : 'folder'] as const;
    });
    return Object.fromEntries(await Promise.all(files));
  }

  const storeIn = (blocks: Directory): ClosableStore => ({ store: memoryStore(), close: () => blocks.close() });

  /** Fetches to `output`; stops after so many chunks, where that is given. */
  async function fetchTo(output: string, chunks = Infinity, only?: (path: string) => boolean): Promise<void> {
    const destination = await folderDestination({ id: share.id, output, storeIn });
    const stop = new AbortController();
    let left = chunks;
    const fetching = fetch(
      { network: world.network.node('fetcher'), crypto: world.crypto, clock: world.clock },
      { link: { id: share.id, key: share.key, hints: [] }, destination, force: false, ...(only && { only }) },
      ({ event }) => {
        if (event === 'progress' && --left === 0) stop.abort(new ShoalError('interrupted', 'enough'));
      },
      stop.signal,
    );
    await world.clock.run(
      fetching.then(
        () => undefined,
        () => undefined,
      ),
    );
    await destination.close();
  }

  it('says what would be fetched, where to, from how many, and that there is room', async () => {
    const planned = await run(`${folder}/to/`);
    expect(planned).to.include({
      path: join(folder, 'to', 'share'),
      standing: 'nothing',
      sizeBytes: BYTES,
      files: 2,
      neededBytes: BYTES,
      partBytes: 0,
      peers: 1,
      failure: undefined,
    });
    expect(planned.manifest.name).to.equal('share');
    expect(planned.roomBytes).to.be.greaterThan(BYTES);
    expect(await run(`${folder}/x`, { only: path => path === 'sub/b.txt' })).to.include({
      path: join(folder, 'x'),
      files: 1,
      neededBytes: 50,
    });
  });

  it('counts those who turn up a moment later', async () => {
    await seeder(world, 'second', share.id, await storeOf(share));
    await seeder(world, 'third', share.id, await storeOf(share));
    expect((await run(folder)).peers).to.equal(3);
  });

  it('tells what is there complete and right from something else', async () => {
    await fetchTo(folder);
    expect(await run(folder)).to.include({ standing: 'complete', neededBytes: 0, failure: undefined });
    await writeFile(join(folder, 'share', 'sub', 'b.txt'), randomBytes(50));
    const other = await run(folder);
    expect(other).to.include({ standing: 'other', path: join(folder, 'share') });
    expect(other.failure?.code).to.equal('exists');
    expect(await run(folder, { force: true })).to.include({
      standing: 'other',
      failure: undefined,
      neededBytes: BYTES,
    });
    await writeFile(join(folder, 'share', 'mine.txt'), 'mine');
    const strangers = await run(folder, { force: true });
    expect(strangers.failure?.code).to.equal('exists');
    expect(strangers.failure?.message).to.match(
      /: "mine\.txt" in it is not fetched and would be deleted; move it away,/,
    );
    for (const name of ['m2', 'm3']) await writeFile(join(folder, 'share', name), name);
    const several = (await run(folder, { force: true })).failure?.message;
    expect(several).to.match(/: files in it that are not fetched would be deleted \([^…]*\); move them away,/);
    await writeFile(join(folder, 'share', 'm4'), 'm4');
    const many = (await run(folder, { force: true })).failure?.message;
    expect(many).to.match(/ \([^,]*, [^,]*, [^,]* …\); move them away,/);
  });

  it('tells of what some is there that the rest would be added, and of a selection that it is complete', async () => {
    const only = (path: string): boolean => path === 'sub/b.txt';
    await fetchTo(folder, Infinity, only);
    expect(await run(folder, { only })).to.include({ standing: 'complete', neededBytes: 0, failure: undefined });
    const rest = await run(folder);
    expect(rest).to.include({ standing: 'some', path: join(folder, 'share'), failure: undefined });
    expect(rest.neededBytes).to.equal(3 * PIECE_BYTES);
    await fetchTo(join(folder, 'new'), Infinity, only);
    expect(await run(join(folder, 'new'), { only })).to.include({ standing: 'complete', path: join(folder, 'new') });
    expect(await run(join(folder, 'new'))).to.include({ standing: 'some', path: join(folder, 'new') });
  });

  it('tells how much an earlier run has left', async () => {
    await fetchTo(folder, 2);
    const planned = await run(folder);
    expect(planned).to.include({ standing: 'part', failure: undefined });
    expect(planned.partBytes)
      .to.be.at.least(2 * PIECE_BYTES)
      .and.at.most(BYTES);
    expect(planned.neededBytes).to.equal(BYTES - planned.partBytes);
  });

  it('says that another process fetches there', async () => {
    const held = await folderDestination({ id: share.id, output: folder, storeIn });
    try {
      expect((await run(folder)).failure?.code).to.equal('in-use');
    } finally {
      await held.close();
    }
  });

  it('says that the disk has no room, for how much', async () => {
    const planned = await run(folder, {}, { roomBytes: () => Promise.resolve(BYTES - 1) });
    expect(planned).to.include({ roomBytes: BYTES - 1, neededBytes: BYTES });
    expect(planned.failure?.code).to.equal('disk-full');
    expect(planned.failure?.message).to.match(
      new RegExp(`${BYTES} bytes are still to be written.*room for ${BYTES - 1};`),
    );
    const none = await run(folder, {}, { roomBytes: () => Promise.resolve(0) });
    expect(none.failure?.message).to.match(/: \d+(\.\d)? [kM]B are still to be written, and there is room for 0 B;/);
    expect((await run(folder, {}, { roomBytes: () => Promise.resolve(BYTES) })).failure).to.equal(undefined);
  });

  it('fails as a fetch does where the folder for the output is missing', async () => {
    await mkdir(join(folder, 'there'));
    const outcome: unknown = await run(join(folder, 'missing', 'it')).catch((error: unknown) => error);
    expect(outcome).to.include({ code: 'io' });
    expect((outcome as Error).message).to.contain('there is no folder');
  });
});
