/** What a home's blocks tell of its shares. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { BlockId } from '../../src/format/ids.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import { ShoalNode } from '../../src/node.ts';

const never = new AbortController().signal;
const quiet = (): void => undefined;

describe('The blocks of a share', () => {
  let folder: string;
  let node: ShoalNode;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-show-'));
    node = await ShoalNode.start({ home: join(folder, 'home'), holds: true, log: quiet });
    await writeFile(join(folder, 'it'), randomBytes(2 * PIECE_BYTES + 1));
  });
  afterEach(async () => {
    await node.stop();
    await rm(folder, { recursive: true });
  });

  async function share(copy: boolean, pad: boolean): Promise<BlockId> {
    const request = {
      paths: [join(folder, 'it')],
      exclude: [],
      spooled: false,
      skip: false,
      copy,
      pad,
      anew: true,
      serveAlways: false,
      hints: [],
    };
    return (await node.share(request, quiet, never)).id;
  }

  /** Bytes of all files of a share in the home. */
  async function onDisk(id: BlockId): Promise<number> {
    const entries = await readdir(join(folder, 'home', 'blocks', id), { recursive: true, withFileTypes: true });
    const sizes = entries.map(async entry =>
      entry.isFile() ? (await stat(join(entry.parentPath, entry.name))).size : 0,
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  it('tell how many chunks there are and are kept, what they take, and whether the size is hidden', async () => {
    const original = await share(false, true);
    const copy = await share(true, false);
    expect(await node.contentsOf(original)).to.deep.equal({
      chunks: 3,
      chunksKept: 0,
      diskBytes: await onDisk(original),
      padded: true,
    });
    expect(await node.contentsOf(copy)).to.deep.equal({
      chunks: 3,
      chunksKept: 3,
      diskBytes: await onDisk(copy),
      padded: false,
    });
    expect(await onDisk(copy)).to.be.greaterThan(2 * PIECE_BYTES);
  });

  it('tell nothing of names without a key', async () => {
    const id = await share(true, true);
    await node.export(id, join(folder, 'car'), false, quiet, never);
    await node.forget(id, never);
    await node.import(join(folder, 'car'), quiet, never);
    expect(await node.contentsOf(id)).to.deep.equal({ chunks: 3, chunksKept: 3, diskBytes: await onDisk(id) });
  });

  it('are told of as far as they go: not at all where one is gone that all others hang on', async () => {
    const id = await share(false, true);
    await node.home?.store.drop(id);
    expect(await node.contentsOf(id)).to.equal(undefined);
  });
});
