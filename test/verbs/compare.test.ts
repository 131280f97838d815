/** Local copies against what a link names, on a real file system; the share is known, or got from peers. */
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { compare, type Compared, type CompareDeps } from '../../src/compare.ts';
import { ShoalError } from '../../src/errors.ts';
import { walkTree } from '../../src/files/walk.ts';
import { parseLink, type Link } from '../../src/format/link.ts';
import { MAX_CHECK_CHUNKS, PIECE_BYTES } from '../../src/limits.ts';
import { ShoalNode } from '../../src/node.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { makeShare } from '../contract/chunk-source.ts';
import { failureOf } from '../contract/crypto.ts';
import { newWorld, seeder, storeOf } from './world.ts';

const never = new AbortController().signal;
const quiet = (): void => undefined;

describe('A local copy', () => {
  let folder: string;
  let node: ShoalNode;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-compare-'));
    node = await ShoalNode.start({ home: join(folder, 'home'), holds: true, log: quiet });
    await mkdir(at('tree', 'sub'), { recursive: true });
    await mkdir(at('tree', 'hollow'));
    await writeFile(at('tree', 'big.bin'), randomBytes(3 * PIECE_BYTES));
    for (const name of ['a', 'b', 'c']) await writeFile(at('tree', 'sub', `${name}.txt`), `this is ${name}`);
    await writeFile(at('tree', 'empty'), '');
    await writeFile(at('tree', 'tool'), '#!/bin/sh\n');
    await chmod(at('tree', 'tool'), 0o755);
  });
  afterEach(async () => {
    await node.stop();
    await rm(folder, { recursive: true });
  });

  const at = (...names: string[]): string => join(folder, ...names);

  async function share(path: string, copy = false): Promise<Link> {
    const request = {
      paths: [path],
      exclude: [],
      spooled: false,
      skip: false,
      copy,
      pad: true,
      anew: false,
      serveAlways: false,
      hints: [],
    };
    const { id } = await node.share(request, quiet, never);
    return parseLink(node.linkOf(id, []));
  }

  /** `what path` of each difference. */
  async function differences(link: Link, path: string): Promise<string[]> {
    const { differences: found } = await node.check({ link, path }, quiet, never);
    return found.map(({ what, path: entry }) => `${what} ${entry}`);
  }

  it('is exact under whatever name, whenever it was written, and when more may be executed than was shared', async () => {
    const link = await share(at('tree'));
    await cp(at('tree'), at('other name\\'), { recursive: true });
    await chmod(at('other name\\', 'big.bin'), 0o755);
    const checked = await node.check({ link, path: at('other name\\') }, quiet, never);
    expect(checked).to.deep.include({ files: 6, differences: [] });
    expect(checked.manifest.name).to.equal('tree');
    await symlink(at('tree'), at('led there'));
    expect(await differences(link, at('led there'))).to.deep.equal([]);
  });

  it('of a single file is exact under another name, and else tells its size or contents', async () => {
    const link = await share(at('tree', 'big.bin'));
    await rename(at('tree', 'big.bin'), at('renamed'));
    expect(await differences(link, at('renamed'))).to.deep.equal([]);
    await writeFile(at('other'), randomBytes(3 * PIECE_BYTES));
    expect(await differences(link, at('other'))).to.deep.equal(['content big.bin']);
    await truncate(at('renamed'), 5);
    expect(await differences(link, at('renamed'))).to.deep.equal(['size big.bin']);
    expect(await differences(link, at('tree'))).to.deep.equal(['kind big.bin']);
  });

  it('tells what is missing, too much, of another kind or size, or not executable', async () => {
    const link = await share(at('tree'));
    await rm(at('tree', 'empty'));
    await writeFile(at('tree', 'sub', 'new'), 'new');
    await mkdir(at('tree', 'void'));
    await symlink('b.txt', at('tree', 'sub', 'link'));
    await rm(at('tree', 'sub', 'a.txt'));
    await mkdir(at('tree', 'sub', 'a.txt'));
    await rm(at('tree', 'hollow'), { recursive: true });
    await writeFile(at('tree', 'hollow'), 'a file');
    await chmod(at('tree', 'tool'), 0o644);
    await truncate(at('tree', 'big.bin'), 7);
    const checked = await node.check({ link, path: at('tree') }, quiet, never);
    const found = checked.differences.map(({ what, path }) => `${what} ${path}`);
    expect(found.filter(text => !text.startsWith('unsure'))).to.deep.equal([
      'size big.bin',
      'missing empty',
      'kind hollow',
      'kind sub/a.txt',
      'extra sub/link',
      'extra sub/new',
      'executable tool',
      'extra void',
    ]);
    expect(checked.differences.find(({ path }) => path === 'big.bin')?.why).to.equal(
      `it has 7 bytes instead of ${3 * PIECE_BYTES}`,
    );
    expect(checked.differences.find(({ path }) => path === 'sub/link')?.why).to.equal('it is a symbolic link');
  });

  it('tells which of the small files in one chunk differs where the chunk is kept, and else which may', async () => {
    const kept = await share(at('tree'), true);
    await node.forget(kept.id, never);
    const plain = await share(at('tree'));
    await writeFile(at('tree', 'sub', 'b.txt'), 'THIS IS B'.slice(0, 'this is b'.length));
    expect(await differences(plain, at('tree'))).to.deep.equal([
      'unsure sub/a.txt',
      'unsure sub/b.txt',
      'unsure sub/c.txt',
      'unsure tool',
    ]);
    await writeFile(at('tree', 'sub', 'b.txt'), 'this is b');
    const copied = await share(at('tree'), true);
    await writeFile(at('tree', 'sub', 'b.txt'), 'THIS IS B');
    await rm(at('tree', 'tool'));
    expect(await differences(copied, at('tree'))).to.deep.equal(['content sub/b.txt', 'missing tool']);
  });

  it('that can not be read is an error, and no difference', async () => {
    const link = await share(at('tree'));
    const missing = await failureOf(node.check({ link, path: at('nowhere') }, quiet, never));
    expect(missing).to.include({ code: 'io' });
    expect(missing.message).to.match(/^cannot check ".*nowhere": it does not exist; is its name written right\?$/);
    const closed = { path: 'sub/x', why: 'it may not be read: permission denied', isUnreadable: true } as const;
    const deps: CompareDeps = {
      crypto: node.crypto,
      clock: newWorld().clock,
      walk: async path => ({ ...(await walkTree([path])), problems: [closed] }),
    };
    const home = node.home!;
    const denied = await failureOf(compare(deps, { link, path: at('tree'), store: home.store }, quiet, never));
    expect(denied).to.include({ code: 'denied' });
    expect(denied.message).to.contain('"sub/x" in it: it may not be read');

    const seal = (): Promise<never> => Promise.reject(new ShoalError('io', 'the disk failed'));
    const broken = { ...deps, crypto: Object.assign(Object.create(node.crypto) as typeof node.crypto, { seal }) };
    const walk: CompareDeps['walk'] = path => walkTree([path]);
    const request = { link, path: at('tree'), store: home.store };
    const failed = await failureOf(compare({ ...broken, walk }, request, quiet, never));
    expect(failed).to.include({ code: 'io', message: 'the disk failed' });
  });

  it('of a share that the home does not know is compared by what peers have', async () => {
    const files = { 'a.bin': randomBytes(2 * PIECE_BYTES), 'b.txt': randomBytes(20), 'c.txt': randomBytes(20) };
    const made = await makeShare('made', files);
    const world = newWorld();
    await seeder(world, 'sharer', made.id, await storeOf(made));
    await mkdir(at('copy'));
    for (const [name, bytes] of Object.entries(files)) await writeFile(at('copy', name), bytes);
    const run = (): Promise<Compared> =>
      world.clock.run(
        compare(
          {
            network: world.network.node('checker'),
            crypto: world.crypto,
            clock: world.clock,
            walk: path => walkTree([path]),
          },
          { link: { id: made.id, key: made.key, hints: [] }, path: at('copy'), store: memoryStore() },
          quiet,
          never,
        ),
      );
    expect((await run()).differences).to.deep.equal([]);
    await writeFile(at('copy', 'c.txt'), randomBytes(20));
    expect((await run()).differences).to.deep.equal([
      { path: 'c.txt', what: 'content', why: 'its contents are others' },
    ]);
  });

  it('of which many chunks differ is not told apart by getting all of them', async () => {
    const names = Array.from({ length: 2 * (MAX_CHECK_CHUNKS + 1) }, (_, n) => String(n).padStart(4, '0'));
    const half = randomBytes(PIECE_BYTES / 2);
    const made = await makeShare('made', Object.fromEntries(names.map(name => [name, half])));
    const world = newWorld();
    const { served } = await seeder(world, 'sharer', made.id, await storeOf(made));
    await mkdir(at('copy'));
    const other = Uint8Array.from(half, byte => byte ^ 1);
    for (const name of names) await writeFile(at('copy', name), Number(name) % 2 === 0 ? other : half);
    const deps = { network: world.network.node('checker'), crypto: world.crypto, clock: world.clock };
    const { differences: found } = await world.clock.run(
      compare(
        { ...deps, walk: path => walkTree([path]) },
        { link: { id: made.id, key: made.key, hints: [] }, path: at('copy'), store: memoryStore() },
        quiet,
        never,
      ),
    );
    const count = (what: string): number => found.filter(one => one.what === what).length;
    expect({ content: count('content'), unsure: count('unsure') }).to.deep.equal({
      content: MAX_CHECK_CHUNKS,
      unsure: 2,
    });
    const bytes = served.reduce((sum, one) => sum + one.bytes, 0);
    expect(bytes).to.be.lessThan((MAX_CHECK_CHUNKS + 1) * PIECE_BYTES);
  });
});
