/** Where a fetch puts what it gets: to a stream in order, and to folders of a real file system. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { type ClosableStore, folderDestination } from '../../src/files/destination.ts';
import { streamDestination } from '../../src/files/stream.ts';
import { fileKey } from '../../src/format/keys.ts';
import { encodeManifest } from '../../src/format/manifest.ts';
import { PIECE_BYTES, STREAM_WINDOW } from '../../src/limits.ts';
import type { Directory } from '../../src/ports.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { expectSame, makeShare, type TestShare } from '../contract/chunk-source.ts';
import { sealShare } from '../format/open-share.ts';
import {
  blockOf,
  fetchAll,
  newWorld,
  say,
  seeder,
  startFetch,
  storeOf,
  turncoat,
  type FetchOptions,
  type World,
} from './world.ts';

/** Takes what is written, and says that it is full each time until it has been drained. */
class Slow extends Writable {
  readonly parts: Uint8Array[] = [];
  gate: Promise<void> = Promise.resolve();

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: (error?: Error) => void): void {
    this.parts.push(Uint8Array.from(chunk));
    void this.gate.then(() => setImmediate(done));
  }
}

/** Fails as the system says it. */
function failing(code: string): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error(code), { code })) });
}

describe('fetch to a stream', () => {
  const CONTENT = randomBytes(20 * PIECE_BYTES + 3);
  let share: TestShare;
  let world: World;
  before(async () => {
    share = await makeShare('file', { file: CONTENT });
  });
  beforeEach(() => {
    world = newWorld();
  });

  const from = (seed: number): ((limit: number) => number) => {
    let state = seed;
    return limit => (state = (state * 48_271) % 2_147_483_647) % limit;
  };

  it('writes all in order, whatever the order in which it comes', async () => {
    const random = from(world.seed || 1);
    const highest: number[] = [];
    await turncoat(world, 'shuffler', share, async (channel, { kind, stream, ranges }) => {
      const indices = Array.from({ length: ranges.length / 2 }, (_, n) => n * 2).flatMap(n =>
        Array.from({ length: ranges[n + 1]! }, (_, k) => ranges[n]! + k),
      );
      if (stream === 'data') highest.push(Math.max(...indices));
      for (; indices.length > 0;) {
        const [index] = indices.splice(random(indices.length), 1);
        await say(
          channel,
          { type: 'block', kind, stream, index: index! },
          blockOf(share, `${kind} ${stream} ${index}`),
        );
      }
    });
    await seeder(world, 'honest', share.id, await storeOf(share));
    const output = new Slow();
    const { failure } = await fetchAll(world, share, { destination: streamDestination(output, memoryStore()) });
    expect(failure).to.equal(undefined);
    expectSame(Buffer.concat(output.parts), CONTENT);
    expect(output.listenerCount('error') + output.listenerCount('drain')).to.equal(0);
    expect(highest[0]).to.be.below(STREAM_WINDOW);
  });

  it('does not warn of listeners that pile up', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    try {
      await seeder(world, 'honest', share.id, await storeOf(share));
      await fetchAll(world, share, { destination: streamDestination(new Slow(), memoryStore()) });
      expect(warnings).to.deep.equal([]);
    } finally {
      process.off('warning', onWarning);
    }
  });

  it('ends when it is stopped while who reads does not read', async () => {
    await seeder(world, 'honest', share.id, await storeOf(share));
    const output = new Slow();
    output.gate = new Promise(() => undefined);
    const fetching = startFetch(world, share, { destination: streamDestination(output, memoryStore()) });
    await world.clock.advance(5000);
    expect(output.parts).to.have.length(1);
    fetching.stop.abort();
    const failure = await world.clock.run(fetching.outcome.catch((error: unknown) => error));
    expect(failure).to.include({ code: 'interrupted' });
    expect(world.clock.sleepers).to.equal(0);
    expect(fetching.node.open.size).to.equal(0);
  });

  it('ends when it gives up while pieces wait for one that nobody has', async () => {
    await seeder(world, 'partial', share.id, await storeOf(share, name => name !== 'chunk data 2'));
    const output = new Slow();
    const destination = streamDestination(output, memoryStore());
    const { failure } = await fetchAll(world, share, { destination, timeoutMs: 30_000 });
    expect(failure?.code).to.equal('unavailable');
    expectSame(Buffer.concat(output.parts), CONTENT.subarray(0, 2 * PIECE_BYTES));
    expect(world.clock.sleepers).to.equal(0);
  });

  it('ends when who reads has gone', async () => {
    await seeder(world, 'honest', share.id, await storeOf(share));
    const { failure } = await fetchAll(world, share, {
      destination: streamDestination(failing('EPIPE'), memoryStore()),
    });
    expect(failure?.code).to.equal('io');
    expect(failure?.message).to.equal('cannot write the output: who reads it has gone');
    expect(world.clock.sleepers).to.equal(0);
  });

  it('says that the disk is full where the output is a file on it', async () => {
    await seeder(world, 'honest', share.id, await storeOf(share));
    const { failure } = await fetchAll(world, share, {
      destination: streamDestination(failing('ENOSPC'), memoryStore()),
    });
    expect(failure?.code).to.equal('disk-full');
    expect(world.clock.sleepers).to.equal(0);
  });

  it('is not done before the last byte was taken', async () => {
    const small = await makeShare('file', { file: randomBytes(3) });
    await seeder(world, 'honest', small.id, await storeOf(small));
    let take = (): void => undefined;
    const output = new Writable({ write: (_chunk, _encoding, done) => void (take = done) });
    const fetching = startFetch(world, small, { destination: streamDestination(output, memoryStore()) });
    let isDone = false;
    void fetching.outcome.then(() => (isDone = true));
    await world.clock.advance(5000);
    expect(isDone).to.equal(false);
    take();
    await world.clock.run(fetching.outcome);
  });

  it('is for a file only', async () => {
    const folder = await makeShare('folder', { 'a.txt': randomBytes(3), 'b.txt': randomBytes(3) });
    await seeder(world, 'honest', folder.id, await storeOf(folder));
    const destination = streamDestination(new Slow(), memoryStore());
    expect((await fetchAll(world, folder, { destination })).failure?.code).to.equal('usage');
  });
});

describe('fetch to a folder', () => {
  const FILES = { 'a.bin': randomBytes(2 * PIECE_BYTES), 'sub/b.txt': randomBytes(10) };
  let share: TestShare;
  let world: World;
  let folder: string;
  before(async () => {
    share = await makeShare('share', FILES);
  });
  beforeEach(async () => {
    world = newWorld();
    folder = await mkdtemp(join(tmpdir(), 'shoal-output-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const storeIn = (where: Directory): ClosableStore => ({ store: memoryStore(), close: () => where.close() });

  async function fetchTo(
    output: string,
    more: Pick<FetchOptions, 'force' | 'only' | 'onEvent'> & { of?: TestShare } = {},
  ): ReturnType<typeof fetchAll> {
    const { of = share, ...request } = more;
    const destination = await folderDestination({ id: of.id, output, storeIn });
    try {
      return await fetchAll(world, of, { destination, ...request });
    } finally {
      await destination.close();
    }
  }

  it('puts it there, and only that', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const { fetched } = await fetchTo(folder);
    expect(fetched).to.include({ path: join(folder, 'share'), alreadyThere: false });
    expectSame(await readFile(join(folder, 'share', 'a.bin')), FILES['a.bin']);
    expect(await readdir(folder)).to.deep.equal(['share']);
  });

  it('notices that it is there already, and gets nothing of it again', async () => {
    const { served } = await seeder(world, 'sharer', share.id, await storeOf(share));
    await fetchTo(folder);
    const before = served.filter(({ event }) => event === 'sent').length;
    const { fetched } = await fetchTo(folder);
    expect(fetched).to.include({ alreadyThere: true, path: join(folder, 'share') });
    expect(served.filter(({ event }) => event === 'sent').length - before, 'the manifest only').to.equal(1);
    expect(await readdir(folder)).to.deep.equal(['share']);
  });

  it('does not touch something else that stands there, unless it is forced', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    await fetchTo(folder);
    const changed = Buffer.from(FILES['a.bin']);
    changed[7]! ^= 1;
    await writeFile(join(folder, 'share', 'a.bin'), changed);
    expect((await fetchTo(folder)).failure?.code).to.equal('exists');
    expectSame(await readFile(join(folder, 'share', 'a.bin')), changed);
    expect(await readdir(folder)).to.deep.equal(['share']);
    expect((await fetchTo(folder, { force: true })).failure).to.equal(undefined);
    expectSame(await readFile(join(folder, 'share', 'a.bin')), FILES['a.bin']);
    await rm(join(folder, 'share'), { recursive: true });
    await mkdir(join(folder, 'share'));
    expect((await fetchTo(folder)).failure?.code).to.equal('exists');
    expect(await readdir(join(folder, 'share'))).to.deep.equal([]);
  });

  it('deletes nothing of the user that lies in a folder it is to replace', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    await fetchTo(folder);
    await mkdir(join(folder, 'share', 'mine'));
    await writeFile(join(folder, 'share', 'mine', 'notes'), 'precious');
    const { failure } = await fetchTo(folder, { force: true });
    expect(failure?.code).to.equal('exists');
    expect(failure?.message).to.include('mine/notes');
    expect(await readFile(join(folder, 'share', 'mine', 'notes'), 'utf8')).to.equal('precious');
    await rm(join(folder, 'share', 'mine'), { recursive: true });
    const only = (path: string): boolean => path === 'a.bin';
    expect((await fetchTo(folder, { force: true, only })).failure?.code, 'what was fetched before').to.equal('exists');
    expect((await fetchTo(folder, { force: true })).failure).to.equal(undefined);
  });

  describe('of a selection', () => {
    const BIG = 2 * PIECE_BYTES + 100;
    const HOLIDAY = {
      'a.pdf': randomBytes(BIG),
      'b.pdf': randomBytes(700),
      'notes.txt': randomBytes(BIG),
      'sub/c.pdf': randomBytes(3000),
    };
    let holiday: TestShare;
    before(async () => {
      holiday = await makeShare('holiday', HOLIDAY);
    });
    beforeEach(async () => {
      await seeder(world, 'sharer', holiday.id, await storeOf(holiday));
    });

    const notes = (path: string): boolean => path === 'notes.txt';
    const pdfs = (path: string): boolean => path.endsWith('.pdf');

    function select(output: string, only?: (path: string) => boolean): ReturnType<typeof fetchAll> {
      return fetchTo(output, { of: holiday, ...(only && { only }) });
    }

    /** The files below a folder, as they should be in the share; throws where one is other than there. */
    async function filesIn(root: string): Promise<string[]> {
      const found = await readdir(root, { recursive: true, withFileTypes: true });
      const paths = found.filter(entry => !entry.isDirectory()).map(entry => join(entry.parentPath, entry.name));
      for (const path of paths) {
        const content = HOLIDAY[path.slice(root.length + 1) as keyof typeof HOLIDAY] as Uint8Array | undefined;
        if (content !== undefined) expectSame(await readFile(path), content);
      }
      return paths.map(path => path.slice(root.length + 1)).sort();
    }

    it('notices that it is there already, in a folder that was given', async () => {
      await select(folder, notes);
      const again = await select(folder, notes);
      expect(again.failure).to.equal(undefined);
      expect(again.fetched).to.include({ alreadyThere: true, path: join(folder, 'holiday'), files: 1 });
      expect(await filesIn(folder)).to.deep.equal(['holiday/notes.txt']);
    });

    it('notices that it is there already, in a folder that the first fetch made', async () => {
      const made = join(folder, 'new');
      expect((await select(made, notes)).fetched).to.include({ path: made });
      await writeFile(join(made, 'mine.txt'), 'mine');
      expect((await select(made, notes)).fetched).to.include({ alreadyThere: true, path: made });
      expect(await filesIn(made)).to.deep.equal(['mine.txt', 'notes.txt']);
    });

    it('is added to another one, beside what the user has put there', async () => {
      await select(folder, notes);
      const root = join(folder, 'holiday');
      await writeFile(join(root, 'mine.txt'), 'mine');
      const more = await select(folder, pdfs);
      expect(more.failure).to.equal(undefined);
      expect(more.fetched).to.include({ alreadyThere: false, path: root, files: 3 });
      expect(await filesIn(root)).to.deep.equal(['a.pdf', 'b.pdf', 'mine.txt', 'notes.txt', 'sub/c.pdf']);
      expect(await readdir(folder)).to.deep.equal(['holiday']);
      expect((await select(folder)).fetched).to.include({ alreadyThere: true });
    });

    it('is added to one in a folder that the first fetch made', async () => {
      const made = join(folder, 'new');
      await select(made, notes);
      expect((await select(made, pdfs)).fetched).to.include({ alreadyThere: false, path: made });
      expect(await filesIn(made)).to.deep.equal(['a.pdf', 'b.pdf', 'notes.txt', 'sub/c.pdf']);
      expect(await readdir(folder)).to.deep.equal(['new']);
    });

    it('is there already where the whole is, and is made whole by a fetch of the whole', async () => {
      await select(folder, path => path === 'b.pdf');
      const whole = await select(folder);
      expect(whole.fetched).to.include({ alreadyThere: false, files: 4 });
      expect(await filesIn(join(folder, 'holiday'))).to.deep.equal(Object.keys(HOLIDAY));
      expect((await select(folder, notes)).fetched).to.include({ alreadyThere: true });
    });

    it('gets only what is missing, and the chunks that tell whether the rest is right', async () => {
      const { served } = await seeder(world, 'second', holiday.id, await storeOf(holiday));
      await select(folder);
      await rm(join(folder, 'holiday', 'sub', 'c.pdf'));
      served.length = 0;
      const { fetched } = await select(folder, pdfs);
      expect(fetched?.alreadyThere).to.equal(false);
      const bytes = fetched?.sources.reduce((sum, source) => sum + source.bytes, 0) ?? 0;
      expect(bytes).to.be.below(3 * PIECE_BYTES);
      expect(await filesIn(join(folder, 'holiday'))).to.deep.equal(Object.keys(HOLIDAY));
    });

    it('leaves alone what differs from the share, and says which file that is', async () => {
      for (const [name, changed] of [
        ['b.pdf', randomBytes(700)],
        ['b.pdf', randomBytes(701)],
        ['a.pdf', randomBytes(BIG)],
      ] as const) {
        await rm(join(folder, 'holiday'), { recursive: true, force: true });
        await select(folder, path => path !== 'sub/c.pdf');
        await writeFile(join(folder, 'holiday', name), changed);
        const { failure } = await select(folder, pdfs);
        expect(failure?.code).to.equal('exists');
        expect(failure?.message).to.include(`"${name}"`).and.include('move that away');
        expectSame(await readFile(join(folder, 'holiday', name)), changed);
        expect(await readdir(join(folder, 'holiday'))).to.deep.equal(['a.pdf', 'b.pdf', 'notes.txt']);
        expect((await select(folder, notes)).fetched, 'of others nothing is said').to.include({ alreadyThere: true });
      }
    });

    it('is not mixed with a folder that only has the same name', async () => {
      await mkdir(join(folder, 'holiday'));
      await writeFile(join(folder, 'holiday', 'mine.txt'), 'mine');
      expect((await select(folder, notes)).failure?.message).to.include('something else is there already');
      expect(await filesIn(folder)).to.deep.equal(['holiday/mine.txt']);
    });

    it('goes into a folder with other things in it under its name, also where one of its files lies', async () => {
      await writeFile(join(folder, 'mine.txt'), 'mine');
      await writeFile(join(folder, 'notes.txt'), HOLIDAY['notes.txt']);
      expect((await select(folder, pdfs)).fetched).to.include({ path: join(folder, 'holiday') });
    });

    it('follows no link when it is added', async () => {
      const elsewhere = join(folder, 'elsewhere');
      await mkdir(elsewhere);
      await select(folder, notes);
      await symlink(elsewhere, join(folder, 'holiday', 'sub'));
      expect((await select(folder, pdfs)).failure?.code).to.equal('exists');
      expect(await readdir(elsewhere)).to.deep.equal([]);
    });

    it('replaces nothing that comes to its place while it is fetched', async () => {
      await select(folder, notes);
      const planted = join(folder, 'holiday', 'b.pdf');
      const { failure } = await fetchTo(folder, {
        of: holiday,
        only: pdfs,
        onEvent: ({ event }) => {
          if (event === 'finishing') writeFileSync(planted, 'mine');
        },
      });
      expect(failure?.code).to.equal('exists');
      expect(await readFile(planted, 'utf8')).to.equal('mine');
      await rm(planted);
      expect((await select(folder, pdfs)).failure).to.equal(undefined);
      expect(await filesIn(join(folder, 'holiday'))).to.deep.equal(Object.keys(HOLIDAY));
      expect(await readdir(folder)).to.deep.equal(['holiday']);
    });
  });

  it('writes nothing to the final place when the padding hides something', async () => {
    const { failure } = await fetchTo(folder, { of: await withHiddenBytes() });
    expect(failure?.code).to.equal('malformed');
    expect(failure?.message).to.match(/its padding is not zero; .* faulty or hostile, so tell the sharer$/);
    expect((await readdir(folder)).filter(name => !name.startsWith('.shoal-'))).to.deep.equal([]);
  });

  it('says under which name it has put back what a killed run had set aside', async () => {
    const of = await withHiddenBytes();
    await fetchTo(folder, { of });
    const [part = ''] = await readdir(folder);
    await writeFile(join(folder, part, 'replaced'), 'old');
    await writeFile(join(folder, part, 'replacing'), String((await stat(join(folder, part, 'replaced'))).ino));
    await writeFile(join(folder, 'x'), 'new');
    const { events } = await fetchTo(folder, { of, force: true });
    expect(events).to.deep.include({ event: 'put-back', as: 'x (2)' });
    expect(await readFile(join(folder, 'x (2)'), 'utf8')).to.equal('old');
    expect(await readFile(join(folder, 'x'), 'utf8')).to.equal('new');
  });

  it('leaves the part folder beside it to another run that uses it', async () => {
    await seeder(world, 'sharer', share.id, await storeOf(share));
    const final = join(folder, 'share');
    const other = await folderDestination({ id: share.id, output: final, storeIn });
    await mkdir(final);
    for (const [name, content] of Object.entries(FILES)) {
      await mkdir(join(final, dirname(name)), { recursive: true });
      await writeFile(join(final, name), content);
    }
    const { fetched, failure } = await fetchTo(final);
    expect(failure).to.equal(undefined);
    expect(fetched).to.include({ alreadyThere: true });
    const parts = (await readdir(folder)).filter(name => name.startsWith('.shoal-'));
    expect(parts).to.have.length(1);
    await other.close();
    // As a run leaves it that was killed while it removed its own.
    for (const part of parts) {
      await mkdir(join(folder, part.replace('.part', '-removed.part')));
      await fetchTo(final);
      expect(await readdir(folder)).to.deep.equal(['share']);
      await mkdir(join(folder, part));
      await fetchTo(final);
      expect(await readdir(folder)).to.deep.equal(['share']);
    }
  });

  /** The only seeder of a share of one file, x, whose padding is not only zeros: a fetch of it fails when all is there. */
  async function withHiddenBytes(): Promise<TestShare> {
    const key = fileKey(randomBytes(32));
    const data = Buffer.alloc(4096, 1);
    const manifest = encodeManifest({ kind: 'file', name: 'x', entries: [{ path: 'x', size: 4000 }] });
    const { id, blocks } = sealShare(manifest, data, { key, owner: ownerOf(share) });
    const store = memoryStore();
    const list = [...blocks.values()];
    await store.write(id, { kind: 'chunk', stream: 'manifest', index: 0 }, list[0]!);
    await store.write(id, { kind: 'chunk', stream: 'data', index: 0 }, list[1]!);
    await store.write(id, { kind: 'share' }, list[2]!);
    await seeder(world, 'sharer', id, store);
    return { ...share, id, key };
  }

  it('tells a caller with a link that has no key what is missing, before it looks for anybody', async () => {
    const { fetch } = await import('../../src/fetch.ts');
    const deps = { crypto: world.crypto, clock: world.clock, network: world.network.node('fetcher') };
    const destination = streamDestination(new Slow(), memoryStore());
    const failure: unknown = await fetch(
      deps,
      { link: { id: share.id, hints: [] }, destination, force: false },
      () => undefined,
      new AbortController().signal,
    ).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(ShoalError).and.include({ code: 'key-missing' });
    expect(world.clock.sleepers).to.equal(0);
  });
});

function ownerOf({ listing }: TestShare): Uint8Array {
  return listing.block.owner;
}
