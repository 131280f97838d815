import { execFileSync } from 'node:child_process';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDirectory } from '../../src/files/directory.ts';
import { lock } from '../../src/files/lock.ts';
import type { Sink, SinkOptions } from '../../src/files/sink.ts';
import { openSink } from '../../src/files/sink.ts';
import { ShoalError } from '../../src/errors.ts';
import { MAX_OPEN_FILES } from '../../src/limits.ts';
import type { Directory } from '../../src/ports.ts';
import { failsWith } from '../contract/directory.ts';
import { Crash, Forgetful } from '../sim/forgetful.ts';
import type { MadeUpShare } from './share-on-disk.ts';
import { makeUpShare } from './share-on-disk.ts';

const PART = '.shoal-tag.part';

const folderShare = makeUpShare('folder', 'tree', [
  { path: 'a/deep/er/file', size: 700_000, executable: true, modified: 1_600_000_000 },
  { path: 'a/file', size: 500_000 },
  { path: 'a-b', size: 3, modified: -1 },
  { path: 'empty', size: 0, modified: 5 },
  { path: 'hollow', size: 'directory' },
  { path: 'z', size: 10_000 },
]);
const fileShare = makeUpShare('file', 'film', [{ path: 'film', size: 1_200_000, executable: true }]);

function optionsFor(share: MadeUpShare, parent: Directory, more: Partial<SinkOptions> = {}): SinkOptions {
  const { manifest, layout, streamSize } = share;
  return { parent, tag: 'tag', finalName: 'final', manifest, layout, streamSize, ...more };
}

/** What a fetch does, with a comparison of contents where that would compare CIDs. Returns which pieces it had to write. */
async function fill(sink: Sink, share: MadeUpShare): Promise<number[]> {
  const written: number[] = [];
  const intact = new Set<number>();
  for (const index of sink.claimed()) {
    const found = await sink.read(index);
    if (found !== undefined && Buffer.compare(found.content, share.piece(index)) === 0) intact.add(index);
  }
  for (let index = 0; index < share.pieces; index++) {
    if (intact.has(index)) continue;
    await sink.write(index, share.piece(index));
    await sink.record(index);
    await sink.flushJournal();
    written.push(index);
  }
  return written;
}

async function fetchAll(share: MadeUpShare, parent: Directory, replace = false): Promise<void> {
  const sink = await openSink(optionsFor(share, parent));
  await fill(sink, share);
  await sink.finish({ replace });
}

/** What a disk must hold when a share is at its final name and nothing else is there. */
function expected(share: MadeUpShare): Map<string, Uint8Array> {
  if (share.manifest.kind === 'file') return new Map([['final', [...share.contents.values()][0]!]]);
  const all = new Map<string, Uint8Array>([['final/', new Uint8Array(0)]]);
  for (const entry of share.manifest.entries) {
    const segments = entry.path.split('/');
    const folders = entry.directory === true ? segments.length : segments.length - 1;
    for (let i = 1; i <= folders; i++) all.set(`final/${segments.slice(0, i).join('/')}/`, new Uint8Array(0));
    const content = share.contents.get(entry.path);
    if (content !== undefined) all.set(`final/${entry.path}`, content);
  }
  return all;
}

function sameContents(a: Map<string, Uint8Array>, b: Map<string, Uint8Array>): boolean {
  if (a.size !== b.size) return false;
  return [...a].every(([path, content]) => Buffer.compare(content, b.get(path) ?? Buffer.from('absent')) === 0);
}

/** What is at the final name, and below it. */
function finalOf(disk: Forgetful): Map<string, Uint8Array> {
  return new Map([...disk.contents()].filter(([path]) => /^final(\/|$)/.test(path)));
}

describe('A sink', () => {
  it('writes a folder, and leaves nothing beside it', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    await fetchAll(folderShare, root);
    expect(sameContents(disk.contents(), expected(folderShare))).to.equal(true);
    expect(sameContents(disk.crash('least').contents(), expected(folderShare)), 'after a loss of power').to.equal(true);
    expect(disk.attributes('final/a/deep/er/file')).to.deep.equal({ executable: true, modifiedSeconds: 1_600_000_000 });
    expect(disk.crash('least').attributes('final/a-b')).to.deep.equal({ executable: false, modifiedSeconds: -1 });
    expect(disk.attributes('final/empty').modifiedSeconds).to.equal(5);
    expect(disk.open, 'held open: the root').to.equal(1);
  });

  it('writes a file', async () => {
    const disk = new Forgetful();
    await fetchAll(fileShare, disk.root());
    expect(sameContents(disk.crash('least').contents(), expected(fileShare))).to.equal(true);
    expect(disk.attributes('final').executable).to.equal(true);
    expect(disk.open).to.equal(1);
  });

  it('holds a bounded number of files and folders open, however deep and many', async () => {
    const many = Array.from({ length: 600 }, (_, i) => ({ path: `${'d/'.repeat(i % 60)}f${i}`, size: 900 }));
    const share = makeUpShare('folder', 'many', many);
    const disk = new Forgetful();
    const sink = await openSink(optionsFor(share, disk.root()));
    await Promise.all(Array.from({ length: share.pieces }, (_, i) => sink.write(i, share.piece(i))));
    expect((await sink.read(0))?.content).to.deep.equal(share.piece(0));
    await sink.finish({ replace: false });
    expect(sameContents(disk.contents(), expected(share))).to.equal(true);
    expect(disk.open).to.equal(1);
    expect(disk.mostOpen).to.be.lessThan(MAX_OPEN_FILES + 1);
    expect(disk.mostOpen).to.be.greaterThan(20);
  });

  it('sets the time of a file that is written again after it was closed', async () => {
    const small = Array.from({ length: 60 }, (_, i) => ({ path: `small${i}`, size: 10, modified: i }));
    const share = makeUpShare('folder', 'again', [{ path: 'large', size: 1_100_000, modified: 77 }, ...small]);
    const disk = new Forgetful();
    const sink = await openSink(optionsFor(share, disk.root()));
    await sink.write(1, share.piece(1));
    await sink.write(0, share.piece(0));
    await sink.finish({ replace: false });
    expect(disk.attributes('final/large').modifiedSeconds).to.equal(77);
    for (const { path, modified } of small) expect(disk.attributes(`final/${path}`).modifiedSeconds).to.equal(modified);
  });

  it('goes on where an earlier run ended', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const first = await openSink(optionsFor(folderShare, root));
    expect(first.claimed()).to.deep.equal([]);
    await first.write(0, folderShare.piece(0));
    await first.record(0);
    await first.close();
    expect(disk.open).to.equal(1);
    const second = await openSink(optionsFor(folderShare, root));
    expect(second.claimed()).to.deep.equal([0]);
    expect(await fill(second, folderShare)).to.deep.equal([1]);
    await second.finish({ replace: false });
    expect(sameContents(disk.contents(), expected(folderShare))).to.equal(true);
    expect(disk.attributes('final/a/deep/er/file').executable).to.equal(true);
  });

  it('takes no piece for there that is not, or is cut short', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const sink = await openSink(optionsFor(folderShare, root));
    expect(await sink.read(0)).to.equal(undefined);
    await sink.write(1, folderShare.piece(1));
    expect((await sink.read(1))?.content).to.deep.equal(folderShare.piece(1));
    expect(await sink.read(0)).to.equal(undefined);
    await sink.discard();
    expect([...disk.contents()]).to.deep.equal([]);
    expect(disk.open).to.equal(1);
  });

  it('keeps the record of what was written when there is no room for another byte', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const sink = await openSink(optionsFor(folderShare, root));
    await sink.write(1, folderShare.piece(1));
    const before = disk.contents().get(`${PART}/journal`)!.length;
    await sink.record(1);
    await sink.close();
    expect(disk.contents().get(`${PART}/journal`)!.length).to.equal(before);
    const again = await openSink(optionsFor(folderShare, root));
    expect(again.claimed()).to.deep.equal([1]);
    await again.close();
  });

  it('takes what a journal says for no more than a claim', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    await (await openSink(optionsFor(folderShare, root))).close();
    const part = await root.enter(PART);
    const journal = await part.open('journal', 'write');
    // Chunk 1, one that there is not, chunk 1 again, and a torn record.
    await journal.write(new Uint8Array([0, 0, 0, 1, 255, 0, 0, 0, 0, 0, 0, 1, 0, 0]), 0);
    await journal.close();
    const sink = await openSink(optionsFor(folderShare, root));
    expect(sink.claimed()).to.deep.equal([1]);
    await sink.record(1);
    await sink.record(0);
    await sink.close();
    const again = await part.open('journal', 'read');
    const bytes = new Uint8Array(100);
    expect(await again.read(bytes, 0)).to.equal(bytes.length);
    expect(bytes.subarray(0, 16)).to.deep.equal(new Uint8Array([0, 0, 0, 1, 255, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    // What follows is room for others: no record.
    expect(bytes.subarray(16)).to.deep.equal(new Uint8Array(84).fill(255));
    await again.close();
    await part.close();
  });

  it('passes over the padding', async () => {
    const disk = new Forgetful();
    const sink = await openSink(optionsFor(folderShare, disk.root()));
    const last = folderShare.piece(1);
    last[last.length - 1] = 1;
    await sink.write(0, folderShare.piece(0));
    await sink.write(1, last);
    await sink.finish({ replace: false });
    expect(sameContents(disk.contents(), expected(folderShare))).to.equal(true);
  });

  it('writes only what was selected', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const chosen = (entry: number): boolean =>
      ['a/file', 'hollow'].includes(folderShare.manifest.entries[entry]?.path ?? '');
    const sink = await openSink(optionsFor(folderShare, root, { selected: chosen }));
    await fill(sink, folderShare);
    expect(await sink.read(0), 'a piece that was not written whole').to.equal(undefined);
    await sink.finish({ replace: false });
    const contents = disk.contents();
    expect([...contents.keys()].sort()).to.deep.equal(['final/', 'final/a/', 'final/a/file', 'final/hollow/']);
    expect(contents.get('final/a/file')).to.deep.equal(folderShare.contents.get('a/file'));
  });

  it('leaves nothing of an earlier selection', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    await (await openSink(optionsFor(folderShare, root))).close();
    const only = await openSink(optionsFor(folderShare, root, { selected: entry => entry === 0 }));
    await fill(only, folderShare);
    await only.finish({ replace: false });
    expect([...disk.contents().keys()].sort()).to.deep.equal(['final/', 'final/a-b']);
  });

  it('does not touch what stands at the final name, and can go on after that', async () => {
    for (const share of [fileShare, folderShare]) {
      const disk = new Forgetful();
      const root = disk.root();
      await root.make('final');
      const sink = await openSink(optionsFor(share, root));
      await fill(sink, share);
      await failsWith('exists', sink.finish({ replace: false }));
      expect([...finalOf(disk).keys()]).to.deep.equal(['final/']);
      await root.remove('final');
      await sink.finish({ replace: false });
      expect(sameContents(disk.contents(), expected(share))).to.equal(true);
      expect(disk.open).to.equal(1);
    }
  });

  it('replaces a file or a folder when told to', async () => {
    for (const share of [fileShare, folderShare]) {
      for (const old of ['file', 'folder', 'link'] as const) {
        const disk = new Forgetful();
        const root = disk.root();
        await putOld(disk, old);
        await fetchAll(share, root, true);
        expect(sameContents(disk.contents(), expected(share)), `${share.manifest.kind} over ${old}`).to.equal(true);
      }
    }
  });

  it('puts back what was to be replaced beside what has taken its name meanwhile', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    await putOld(disk, 'folder');
    await (await openSink(optionsFor(folderShare, root))).close();
    const part = await root.enter(PART);
    const record = await part.create('replacing');
    await record.write(Buffer.from((await root.stat('final'))!.identity), 0);
    await record.close();
    await root.move('final', part, 'replaced');
    await part.close();
    await root.make('final');
    const sink = await openSink(optionsFor(folderShare, root));
    expect(sink.putBack).to.equal('final (2)');
    await sink.discard();
    expect([...disk.contents().keys()].sort()).to.deep.equal(['final (2)/', 'final (2)/old', 'final/']);
  });

  it('has finished when the output stands, also when its part folder can not be removed', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    root.remove = () => Promise.reject(new ShoalError('io', 'somebody has put something into it'));
    const sink = await openSink(optionsFor(fileShare, root));
    await fill(sink, fileShare);
    await sink.finish({ replace: false });
    expect([...disk.contents().keys()]).to.include('final');
    await fetchAll(fileShare, disk.root(), true);
    expect([...disk.contents().keys()]).to.deep.equal(['final']);
  });

  it('puts nothing at the final name that somebody else has put in the place of what was replaced', async () => {
    for (const recorded of [undefined, '4711']) {
      const disk = new Forgetful();
      const root = disk.root();
      await (await openSink(optionsFor(folderShare, root))).close();
      const part = await root.enter(PART);
      await (await part.create('replaced')).close();
      if (recorded !== undefined) {
        const record = await part.create('replacing');
        await record.write(Buffer.from(recorded), 0);
        await record.close();
      }
      await part.close();
      await failsWith('denied', openSink(optionsFor(folderShare, root)));
      expect(await root.stat('final')).to.equal(undefined);
    }
  });

  it('lets no entry take a name that a part folder could have', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const share = makeUpShare('folder', 'planter', [
      { path: '.Shoal-0123456789abcdef.part/replaced', size: 10 },
      { path: 'deep/.shoal-x.part', size: 11 },
    ]);
    const sink = await openSink(optionsFor(share, root));
    expect(sink.renamed.map(({ as }) => as)).to.deep.equal(['_.Shoal-0123456789abcdef.part', 'deep/_.shoal-x.part']);
    await sink.discard();
  });

  it('renames what the file system does not keep apart, and the same on every run', async () => {
    const twins = makeUpShare('folder', 'twins', [
      { path: 'Read', size: 10 },
      { path: 'READ', size: 11 },
      { path: 'read', size: 12 },
      { path: 'dir/x', size: 13 },
      { path: 'DIR/x', size: 14 },
      { path: 'DIR/y/Z', size: 15 },
      { path: 'a\u0308', size: 16 },
      { path: 'ä', size: 17 },
      { path: 'mixed', size: 18 },
      { path: 'MIXED/inner', size: 19 },
    ]);
    const disk = new Forgetful({ fold: name => name.normalize('NFD').toLowerCase() });
    const root = disk.root();
    const renamed = [
      { path: 'Read', as: 'Read (2)' },
      { path: 'dir', as: 'dir (2)' },
      { path: 'mixed', as: 'mixed (2)' },
      { path: 'read', as: 'read (3)' },
      { path: 'ä', as: 'ä (2)' },
    ];
    for (let run = 0; run < 3; run++) {
      const sink = await openSink(optionsFor(twins, root));
      expect(sink.renamed.toSorted((a, b) => (a.path < b.path ? -1 : 1))).to.deep.equal(renamed);
      expect(await fill(sink, twins)).to.deep.equal(run === 0 ? [0] : []);
      if (run < 2) await sink.close();
      else await sink.finish({ replace: false });
      if (run === 2) expect(twins.manifest.entries.map((_, i) => sink.pathOf(i))).to.include('dir (2)/x');
    }
    const contents = disk.contents();
    const place = new Map(renamed.map(({ path, as }) => [path, as]));
    for (const [path, content] of twins.contents) {
      const [first, ...rest] = path.split('/') as [string, ...string[]];
      expect(contents.get(['final', place.get(first) ?? first, ...rest].join('/')), path).to.deep.equal(content);
    }
    expect([...contents].filter(([path]) => !path.endsWith('/')).length).to.equal(twins.contents.size);
  });

  it('says that the disk is full, and goes on when it is not', async () => {
    const disk = new Forgetful();
    const root = disk.root();
    const sink = await openSink(optionsFor(folderShare, root));
    disk.full = true;
    const full = await failsWith('disk-full', sink.write(0, folderShare.piece(0)));
    expect(full.message).to.match(/; what was fetched stays in "\.shoal-.*\.part", and it goes on from there$/);
    disk.full = false;
    await fill(sink, folderShare);
    await sink.finish({ replace: false });
    expect(sameContents(disk.contents(), expected(folderShare))).to.equal(true);
  });
});

async function putOld(disk: Forgetful, old: 'nothing' | 'file' | 'folder' | 'link'): Promise<void> {
  const root = disk.root();
  if (old === 'link') disk.plant('final', 'link');
  if (old === 'folder') await root.make('final');
  if (old === 'folder' || old === 'file') {
    const folder = old === 'folder' ? await root.enter('final') : root;
    const file = await folder.create(old === 'folder' ? 'old' : 'final');
    await file.write(new Uint8Array([1, 2, 3]), 0);
    await file.close();
    if (folder !== root) await folder.close();
  }
  await root.syncAll();
  await root.close();
}

describe('A sink that is stopped at any moment', () => {
  const cases = [
    { share: folderShare, old: 'nothing' },
    { share: fileShare, old: 'nothing' },
    { share: folderShare, old: 'folder' },
    { share: folderShare, old: 'file' },
    { share: fileShare, old: 'folder' },
    { share: fileShare, old: 'file' },
  ] as const;
  for (const { share, old } of cases) {
    const over = old === 'nothing' ? '' : ` over a ${old}`;
    it(`has nothing incomplete at the final name, loses nothing and goes on: a ${share.manifest.kind}${over}`, async () => {
      const replace = old !== 'nothing';
      const start = async (): Promise<Forgetful> => {
        const disk = new Forgetful();
        await putOld(disk, old);
        return disk;
      };
      const counted = await start();
      const oldContents = finalOf(counted);
      const before = counted.operations;
      await fetchAll(share, counted.root(), replace);
      const operations = counted.operations - before;
      expect(operations).to.be.greaterThan(10);
      for (let operation = 1; operation <= operations; operation++) {
        for (const when of ['before', 'after'] as const) {
          const disk = await start();
          disk.crashAfter(operation, when);
          const error: unknown = await fetchAll(share, disk.root(), replace).catch((reason: unknown) => reason);
          expect(error).to.be.instanceOf(Crash);
          for (const seed of ['least', 'most', operation, operation + 1000] as const) {
            const found = disk.crash(seed);
            const where = `operation ${operation}, ${when}, seed ${seed}`;
            await checkFound(found, share, oldContents, where);
            if (replace || finalOf(found).size === 0) await fetchAll(share, found.root(), replace);
            expect(sameContents(finalOf(found), expected(share)), `at last: ${where}`).to.equal(true);
            if (replace) expect(found.contents().size, `nothing left: ${where}`).to.equal(expected(share).size);
          }
        }
      }
    });
  }

  it('has only whole files, loses nothing and goes on: what is added to a folder', async () => {
    const { entries } = folderShare.manifest;
    const add = async (disk: Forgetful, selected: (entry: number) => boolean, addTo?: 'final'): Promise<void> => {
      const root = disk.root();
      const sink = await openSink(optionsFor(folderShare, root, { selected, addTo }));
      await fill(sink, folderShare);
      await sink.finish({ replace: false });
      await root.close();
    };
    const isMissing = (disk: Forgetful): ((entry: number) => boolean) => {
      const final = finalOf(disk);
      return n => !final.has(`final/${entries[n]!.path}${entries[n]!.directory === true ? '/' : ''}`);
    };
    const isFirst = (n: number): boolean => ['a/file', 'z'].includes(entries[n]!.path);
    const start = async (): Promise<Forgetful> => {
      const disk = new Forgetful();
      await add(disk, isFirst);
      const root = disk.root();
      const folder = await root.enter('final');
      await (await folder.create('mine')).close();
      await root.syncAll();
      await folder.close();
      await root.close();
      return disk;
    };
    const whole = new Map([...expected(folderShare), ['final/mine', new Uint8Array(0)] as const]);
    const counted = await start();
    const before = counted.operations;
    await add(counted, n => !isFirst(n), 'final');
    const operations = counted.operations - before;
    expect(sameContents(counted.contents(), whole)).to.equal(true);
    expect(sameContents(counted.crash('least').contents(), whole), 'after a loss of power').to.equal(true);
    for (let operation = 1; operation <= operations; operation++) {
      for (const when of ['before', 'after'] as const) {
        const disk = await start();
        disk.crashAfter(operation, when);
        const error: unknown = await add(disk, n => !isFirst(n), 'final').catch((reason: unknown) => reason);
        expect(error).to.be.instanceOf(Crash);
        for (const seed of ['least', 'most', operation, operation + 1000] as const) {
          const found = disk.crash(seed);
          const where = `operation ${operation}, ${when}, seed ${seed}`;
          const final = finalOf(found);
          for (const path of ['final/a/file', 'final/z', 'final/mine']) expect(final.has(path), where).to.equal(true);
          for (const [path, content] of final)
            expect(Buffer.compare(content, whole.get(path) ?? Buffer.from('absent')), `${path}: ${where}`).to.equal(0);
          const selected = isMissing(found);
          if (entries.some((_, n) => selected(n))) await add(found, selected, 'final');
          expect(sameContents(finalOf(found), whole), `at last: ${where}`).to.equal(true);
        }
      }
    }
  });

  /** Either the whole share is at the final name; or what was there before is, or lies in the part folder. */
  async function checkFound(
    found: Forgetful,
    share: MadeUpShare,
    oldContents: Map<string, Uint8Array>,
    where: string,
  ): Promise<void> {
    const final = finalOf(found);
    if (sameContents(final, expected(share))) return;
    if (sameContents(final, oldContents)) return;
    expect(final.size, `nothing incomplete: ${where}`).to.equal(0);
    const root = found.root();
    const copy = found.crash('most');
    await root.close();
    await (await openSink(optionsFor(share, copy.root()))).close();
    expect(sameContents(finalOf(copy), oldContents), `what was there is back: ${where}`).to.equal(true);
  }
});

describe('A sink on disk', () => {
  let path: string;
  let root: Directory;
  const at = (...segments: string[]): string => join(path, ...segments);

  beforeEach(async () => {
    path = await realpath(await mkdtemp(join(tmpdir(), 'shoal-sink-')));
    root = await openDirectory(path);
    await writeFile(at('outside'), 'untouched');
  });
  afterEach(async () => {
    expect(await readFile(at('outside'), 'utf8')).to.equal('untouched');
    await root.close();
    await rm(path, { recursive: true });
  });

  async function expectShare(share: MadeUpShare): Promise<void> {
    for (const [entry, content] of share.contents) {
      const found = await readFile(share.manifest.kind === 'file' ? at('final') : at('final', entry));
      expect(Buffer.compare(found, content), entry).to.equal(0);
    }
    expect((await readdir(path)).sort()).to.deep.equal(['final', 'outside']);
  }

  for (const share of [fileShare, folderShare]) {
    it(`does not free the lock in the part folder while it makes a ${share.manifest.kind} durable`, async () => {
      const sink = await openSink(optionsFor(share, root));
      const path = at(PART, 'lock');
      const held = await lock(path);
      for (let index = 0; index < share.pieces; index++) await sink.write(index, share.piece(index));
      // Something at the final name stops it right after that.
      await writeFile(at('final'), 'in the way');
      await failsWith('exists', sink.finish({ replace: false }));
      const module = new URL('../../src/files/lock.ts', import.meta.url).href;
      const script = `import { lock } from ${JSON.stringify(module)};
        console.log((await lock(${JSON.stringify(path)})) === undefined ? 'held' : 'free');`;
      const other = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
      expect(other).to.equal('held\n');
      held!.release();
      await sink.discard();
    });
  }

  it('writes a folder with its attributes, as the umask has it', async () => {
    const umask = process.umask(0o022);
    try {
      await fetchAll(folderShare, root);
    } finally {
      process.umask(umask);
    }
    await expectShare(folderShare);
    const run = await lstat(at('final', 'a', 'deep', 'er', 'file'));
    expect(run.mtimeMs).to.equal(1.6e12);
    expect((await lstat(at('final', 'a-b'))).mtimeMs).to.equal(-1000);
    expect(await readdir(at('final', 'hollow'))).to.deep.equal([]);
    if (process.platform !== 'win32') {
      expect(run.mode & 0o777).to.equal(0o755);
      expect((await lstat(at('final'))).mode & 0o777).to.equal(0o755);
      expect((await lstat(at('final', 'z'))).mode & 0o777).to.equal(0o644);
    }
  });

  it('lets nobody else into the part folder', async function () {
    if (process.platform === 'win32') this.skip();
    const sink = await openSink(optionsFor(folderShare, root));
    expect((await lstat(at(PART))).mode & 0o777).to.equal(0o700);
    await sink.discard();
  });

  it('does not follow a link planted at the final name', async () => {
    await symlink('outside', at('final'));
    for (const share of [fileShare, folderShare]) {
      const sink = await openSink(optionsFor(share, root));
      await fill(sink, share);
      await failsWith('exists', sink.finish({ replace: false }));
      await sink.discard();
    }
    expect(await readlink(at('final'))).to.equal('outside');
    await fetchAll(fileShare, root, true);
    await expectShare(fileShare);
  });

  it('uses no part folder that is a link or a file', async () => {
    await mkdir(at('elsewhere'));
    await symlink('elsewhere', at(PART));
    await failsWith('denied', openSink(optionsFor(folderShare, root)));
    expect(await readdir(at('elsewhere'))).to.deep.equal([]);
    await rm(at(PART));
    await writeFile(at(PART), 'x');
    const error = await failsWith('denied', openSink(optionsFor(folderShare, root)));
    expect(error.message).to.contain(at(PART));
    await rm(at(PART));
    await rm(at('elsewhere'), { recursive: true });
  });

  it('replaces what was planted inside the part folder, and follows none of it', async () => {
    await (await openSink(optionsFor(folderShare, root))).close();
    const output = (...segments: string[]): string => at(PART, 'output', ...segments);
    await mkdir(at('elsewhere'));
    await rm(output('z'));
    await symlink('../../outside', output('z'));
    await rm(output('a-b'));
    await link(at('outside'), output('a-b'));
    await rm(output('a'), { recursive: true });
    await symlink('../../elsewhere', output('a'));
    await rm(output('empty'));
    execFileSync('mkfifo', [output('empty')]);
    await rm(output('hollow'), { recursive: true });
    await writeFile(output('hollow'), 'x');
    await writeFile(output('more'), 'x');
    await writeFile(Buffer.concat([Buffer.from(output('')), Buffer.from([0x2f, 0x66])]), 'x');
    await rm(at(PART, 'journal'));
    await symlink('../outside', at(PART, 'journal'));
    await fetchAll(folderShare, root);
    expect(await readdir(at('elsewhere'))).to.deep.equal([]);
    await rm(at('elsewhere'), { recursive: true });
    await expectShare(folderShare);
    expect((await readdir(at('final'))).sort()).to.deep.equal(['a', 'a-b', 'empty', 'hollow', 'z']);
  });

  it('writes through no link that is planted while it writes', async () => {
    const sink = await openSink(optionsFor(folderShare, root));
    await rm(at(PART, 'output', 'z'));
    await symlink('../../outside', at(PART, 'output', 'z'));
    await failsWith('denied', sink.write(1, folderShare.piece(1)));
    await rm(at(PART, 'output', 'z'));
    await link(at('outside'), at(PART, 'output', 'z'));
    await failsWith('denied', sink.write(1, folderShare.piece(1)));
    await sink.discard();
  });

  it('replaces an output of the wrong kind', async () => {
    await mkdir(at(PART));
    await chmod(at(PART), 0o700);
    await symlink('../outside', at(PART, 'output'));
    await fetchAll(fileShare, root);
    await rm(at('final'));
    await mkdir(at(PART));
    await writeFile(at(PART, 'output'), 'x');
    await fetchAll(folderShare, root);
    await expectShare(folderShare);
  });

  it('cuts what is longer than it should be', async () => {
    await (await openSink(optionsFor(folderShare, root))).close();
    await writeFile(at(PART, 'output', 'empty'), 'x'.repeat(100));
    await writeFile(at(PART, 'output', 'z'), 'x'.repeat(20_000));
    await fetchAll(folderShare, root);
    await expectShare(folderShare);
    expect((await lstat(at('final', 'empty'))).size).to.equal(0);
    expect((await lstat(at('final', 'z'))).size).to.equal(10_000);
  });

  it('takes odd names as they are', async () => {
    const odd = makeUpShare(
      'folder',
      'odd',
      [' ', '-rf', '~', '\u202egpj.exe', 'CON', 'x.', 'a:b', '$HOME', '🐟', 'e\u0301', 'é', 'l'.repeat(255)].map(
        (name, i) => ({
          path: `${name}/${name}`,
          size: i,
        }),
      ),
    );
    await fetchAll(odd, root);
    await expectShare(odd);
  });

  it('makes none of the folders where names ask for more than a share may have entries', async () => {
    const entries = Array.from({ length: 600 }, (_, i) => ({ path: `${i}/${'a/'.repeat(2000)}f`, size: 0 }));
    const deep = makeUpShare('folder', 'deep', entries);
    const error = await failsWith('bad-name', openSink(optionsFor(deep, root)));
    expect(error.message).to.contain('--only');
    expect(await readdir(at(PART))).to.deep.equal([]);
    const selected = (entry: number): boolean => entry === 0;
    const sink = await openSink(optionsFor(deep, root, { selected }));
    await sink.discard();
  });

  it('stops making files and folders when it is told to', async () => {
    const stopped = AbortSignal.abort(new ShoalError('interrupted', 'stopped'));
    await failsWith('interrupted', openSink(optionsFor(folderShare, root), stopped));
    expect(await readdir(at(PART, 'output'))).to.deep.equal([]);
    await (await openSink(optionsFor(folderShare, root))).discard();
  });

  it('names the file that the file system can not hold', async () => {
    const long = makeUpShare('folder', 'long', [{ path: `d/${'ä'.repeat(130)}`, size: 1 }]);
    const error = await failsWith('bad-name', openSink(optionsFor(long, root)));
    expect(error.message).to.contain('ää');
    const sink = await openSink(optionsFor(folderShare, root));
    await sink.discard();
    expect(await readdir(path)).to.deep.equal(['outside']);
  });
});
