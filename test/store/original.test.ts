import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { poolCrypto } from '../../src/crypto/pool.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import type { ChunkSource, Crypto } from '../../src/ports.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { originalSource } from '../../src/store/original.ts';
import type { OriginalOptions } from '../../src/store/original.ts';
import { SHARE, chunkAt, chunkSourceContract, expectSame, makeShare } from '../contract/chunk-source.ts';
import type { TestShare } from '../contract/chunk-source.ts';
import { fill } from '../contract/chunk-store.ts';
import { failureOf } from '../contract/crypto.ts';

const CONTENTS: Readonly<Record<string, Buffer>> = {
  'a/one': randomBytes(700_000),
  'a/two': randomBytes(2_000_000),
  'b ünïcode\u0301': randomBytes(10),
  empty: Buffer.alloc(0),
};

describe('a source that makes chunks from the original files', () => {
  let folder: string;
  let whys: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-original-'));
    whys = [];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Writes the share's files and gives their source. */
  async function sourceOf(
    share: TestShare,
    contents: Readonly<Record<string, Buffer>>,
    options: Partial<OriginalOptions> = {},
  ): Promise<{ source: ChunkSource; root: string }> {
    const root = join(folder, share.manifest.name);
    for (const [path, content] of Object.entries(contents)) {
      const file = share.manifest.kind === 'file' ? root : join(root, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    const store = memoryStore();
    await fill(store, share, name => !name.startsWith('data-'));
    const { id, key, manifest, listing } = share;
    const onChanged = async (why: string): Promise<void> => {
      whys.push(why);
    };
    return {
      source: originalSource({ id, key, root, manifest, listing, crypto: nodeCrypto(), store, onChanged, ...options }),
      root,
    };
  }

  describe('of a folder', () => {
    let share: TestShare;
    before(async () => {
      share = await makeShare('tree', CONTENTS);
    });
    chunkSourceContract(async () => ({ source: (await sourceOf(share, CONTENTS)).source, share }));

    it('takes times and permissions that changed for what they are: not contents', async () => {
      const { source, root } = await sourceOf(share, CONTENTS);
      utimesSync(join(root, 'a/one'), 1, 1);
      chmodSync(join(root, 'a/one'), 0o700);
      for (const { at, bytes } of share.blocks) expectSame(await source.read(share.id, at), bytes);
      expect(whys).to.deep.equal([]);
    });

    it('has nothing while its folder is gone, and all once it is back', async () => {
      const { source, root } = await sourceOf(share, CONTENTS);
      renameSync(root, `${root}.away`);
      expect(await source.have(share.id)).to.equal(undefined);
      expect(await failureOf(source.read(share.id, chunkAt('data', 0)))).to.include({ code: 'unavailable' });
      renameSync(`${root}.away`, root);
      expect(await source.have(share.id)).to.equal('all');
      for (const { at, bytes } of share.blocks) expectSame(await source.read(share.id, at), bytes);
      expect(whys).to.deep.equal([]);
    });

    it('says `unavailable` of the chunks of a file that is gone, and gives the others', async () => {
      const { source, root } = await sourceOf(share, CONTENTS);
      rmSync(join(root, 'a/one'));
      expect(await failureOf(source.read(share.id, chunkAt('data', 0)))).to.include({ code: 'unavailable' });
      expectSame(await source.read(share.id, chunkAt('data', 1)), blockOf(share, 1));
      expect(whys).to.deep.equal([]);
    });
  });

  describe('of several paths', () => {
    let share: TestShare;
    before(async () => {
      share = await makeShare('together', CONTENTS);
    });

    /** The files of the share, each at a place of its own, and the source of them. */
    async function scattered(): Promise<{ source: ChunkSource; root: ReadonlyMap<string, string> }> {
      await sourceOf(share, CONTENTS);
      const names = [...new Set(Object.keys(CONTENTS).map(path => path.split('/')[0] ?? ''))];
      const root = new Map(names.map(name => [name, join(mkdtempSync(join(folder, 'place-')), 'it')]));
      for (const [name, place] of root) renameSync(join(folder, 'together', name), place);
      const { source } = await sourceOf(share, {}, { root });
      return { source, root };
    }
    chunkSourceContract(async () => ({ source: (await scattered()).source, share }));

    it('has nothing while one of them is gone, and all once it is back', async () => {
      const { source, root } = await scattered();
      for (const place of root.values()) {
        renameSync(place, `${place}.away`);
        expect(await source.have(share.id)).to.equal(undefined);
        renameSync(`${place}.away`, place);
      }
      expect(await source.have(share.id)).to.equal('all');
      expect(whys).to.deep.equal([]);
    });

    it('gives nothing any more when one of them changed, and names it', async () => {
      const { source, root } = await scattered();
      truncateSync(join(root.get('a') ?? '', 'two'), 5);
      expect(await failureOf(source.read(share.id, chunkAt('data', 1)))).to.include({ code: 'changed' });
      expect(await source.have(share.id)).to.equal(undefined);
      expect(whys).to.have.length(1);
      expect(whys[0]).to.include(join(root.get('a') ?? '', 'two'));
    });
  });

  describe('of one file', () => {
    const contents = { one: CONTENTS['a/two']! };
    let share: TestShare;
    before(async () => {
      share = await makeShare('one', contents);
    });
    chunkSourceContract(async () => ({ source: (await sourceOf(share, contents)).source, share }));
  });

  describe('that changed after they were shared', () => {
    let share: TestShare;
    let crypto: Crypto;
    before(async () => {
      share = await makeShare('tree', CONTENTS);
      crypto = poolCrypto(3);
    });
    after(() => crypto.close());

    const second = join('a', 'two');
    const changes: Readonly<Record<string, (file: string) => void>> = {
      'has another byte': file => {
        const bytes = readFileSync(file);
        bytes[bytes.length >> 1]! ^= 1;
        const { atimeMs, mtimeMs } = statSync(file);
        writeFileSync(file, bytes);
        utimesSync(file, atimeMs / 1000, mtimeMs / 1000);
      },
      'has other contents of the same length': file => writeFileSync(file, randomBytes(statSync(file).size)),
      'was cut short': file => truncateSync(file, 500_000),
      'was emptied': file => truncateSync(file, 0),
      'was replaced by a link to its own contents': file => {
        renameSync(file, `${file}.moved`);
        symlinkSync(`${file}.moved`, file);
      },
      'was replaced by a pipe': file => {
        rmSync(file);
        execFileSync('mkfifo', [file]);
      },
      'was replaced by a folder': file => {
        rmSync(file);
        mkdirSync(file);
      },
    };
    describe('names of the files in one chunk', () => {
      const small = {
        a: randomBytes(100),
        b: randomBytes(100),
        c: randomBytes(100),
        d: randomBytes(100),
        e: randomBytes(5),
      };
      let together: TestShare;
      before(async () => {
        together = await makeShare('small', small);
      });

      /** What is said after files were changed; `times` are in the manifest. */
      async function whyOf(contents: typeof small, times: boolean, change: (root: string) => void): Promise<string> {
        const { manifest } = together;
        const entries = manifest.entries.map(entry => ({ ...entry, ...(times && { modified: 1000 }) }));
        const { source, root } = await sourceOf(together, contents, { manifest: { ...manifest, entries } });
        for (const name of Object.keys(contents)) utimesSync(join(root, name), 1000, 1000);
        change(root);
        expect(await failureOf(source.read(together.id, chunkAt('data', 0)))).to.include({ code: 'changed' });
        expect(whys).to.have.length(1);
        return (whys[0] ?? '').replaceAll(`${root}/`, '');
      }
      const other = { ...small, b: randomBytes(100) };

      it('the one that was written, by its time', async () => {
        const write = (root: string): void => utimesSync(join(root, 'b'), 1000, 2000);
        expect(await whyOf(other, true, write)).to.equal('"b" is no longer what was shared');
      });

      it('those that may be it, where times tell nothing', async () => {
        const said = '"a", "b", "c" or one of 2 others is no longer what was shared';
        expect(await whyOf(other, true, () => undefined)).to.equal(said);
      });

      it('those that may be it, where the share has no times', async () => {
        const said = '"a", "b", "c" or one of 2 others is no longer what was shared';
        expect(await whyOf(other, false, () => undefined)).to.equal(said);
      });
    });

    for (const [how, change] of Object.entries(changes)) {
      it(`gives no byte of what differs, and then nothing at all, when one ${how}`, async () => {
        const { source, root } = await sourceOf(share, CONTENTS, { crypto });
        change(join(root, second));
        const outcomes = await Promise.allSettled(
          Array.from({ length: share.listing.count('data') }, (_, i) => source.read(share.id, chunkAt('data', i))),
        );
        for (const [i, outcome] of outcomes.entries()) {
          if (outcome.status === 'fulfilled') expectSame(outcome.value, blockOf(share, i));
          else expect(outcome.reason).to.include({ code: 'changed' });
        }
        expect(outcomes.some(({ status }) => status === 'rejected')).to.equal(true);
        expect(whys).to.have.length(1);
        expect(whys[0]).to.include(root);
        expect(await source.have(share.id)).to.equal(undefined);
        for (const { at } of share.blocks) {
          expect(await failureOf(source.read(share.id, at))).to.include({ code: 'changed' });
        }
        expect(whys).to.have.length(1);
      });
    }

    it('stays refused when the file is put right again', async () => {
      const { source, root } = await sourceOf(share, CONTENTS);
      const file = join(root, second);
      const good = readFileSync(file);
      truncateSync(file, 5);
      expect(await failureOf(source.read(share.id, chunkAt('data', 1)))).to.include({ code: 'changed' });
      writeFileSync(file, good);
      expect(await failureOf(source.read(share.id, chunkAt('data', 1)))).to.include({ code: 'changed' });
    });

    it('gives nothing that was being made when the difference was found', async () => {
      const inner = nodeCrypto();
      const held = Promise.withResolvers<undefined>();
      const slow: Crypto = {
        ...inner,
        async seal(key, pieces, keep) {
          const sealed = await inner.seal(key, pieces, keep);
          if (pieces[0]?.index === 0) await held.promise;
          return sealed;
        },
      };
      const { source, root } = await sourceOf(share, CONTENTS, { crypto: slow });
      const first = source.read(share.id, chunkAt('data', 0));
      truncateSync(join(root, second), PIECE_BYTES);
      expect(await failureOf(source.read(share.id, chunkAt('data', 1)))).to.include({ code: 'changed' });
      held.resolve(undefined);
      expect(await failureOf(first)).to.include({ code: 'changed' });
    });

    it('takes a file that only grew for what it was: its shared part is the same', async () => {
      const { source, root } = await sourceOf(share, CONTENTS);
      appendFileSync(join(root, second), 'more');
      for (const { at, bytes } of share.blocks) expectSame(await source.read(share.id, at), bytes);
      expect(whys).to.deep.equal([]);
    });

    it('says so also when that can not be recorded, and gives nothing', async () => {
      const onChanged = async (): Promise<void> => {
        throw new Error('the catalog is full');
      };
      const { source, root } = await sourceOf(share, CONTENTS, { onChanged });
      truncateSync(join(root, second), 5);
      expect((await failureOf(source.read(share.id, chunkAt('data', 1)))).message).to.equal('the catalog is full');
      expect(await failureOf(source.read(share.id, SHARE))).to.include({ code: 'changed' });
    });
  });
});

function blockOf(share: TestShare, index: number): Uint8Array {
  const found = share.blocks.find(({ at }) => at.kind === 'chunk' && at.stream === 'data' && at.index === index);
  if (found === undefined) throw new Error(`the share has no chunk ${index}`);
  return found.bytes;
}
