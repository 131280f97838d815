/** What every adapter of the ChunkSource port does, and shares to try it on. */
import { expect } from 'chai';
import { createHash, randomBytes } from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { sealShareBlock } from '../../src/format/commitment.ts';
import { idOf } from '../../src/format/ids.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { newFileKey, streamKey } from '../../src/format/keys.ts';
import type { FileKey } from '../../src/format/keys.ts';
import { Listing } from '../../src/format/listing.ts';
import { encodeManifest } from '../../src/format/manifest.ts';
import type { Manifest } from '../../src/format/manifest.ts';
import { chunkCount, pad, pieceLength } from '../../src/format/pieces.ts';
import { decodeShareBlock, indexCount, listStream, ownerOf, type ShareBlock } from '../../src/format/share-block.ts';
import { encodeStatement, signStatement } from '../../src/format/statement.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import type { BlockAddress, ChunkSource, StreamName } from '../../src/ports.ts';
import { failureOf } from './crypto.ts';

/** A share, complete in memory. */
export interface TestShare {
  readonly id: BlockId;
  readonly key: FileKey;
  readonly ownerSeed: Uint8Array;
  readonly manifest: Manifest;
  readonly listing: Listing;
  /** Every block that there is, in the order in which they are made. */
  readonly blocks: readonly TestBlock[];
}

export interface TestBlock {
  readonly at: BlockAddress;
  readonly bytes: Uint8Array;
}

export const SHARE: BlockAddress = { kind: 'share' };

export function chunkAt(stream: StreamName, index: number): BlockAddress {
  return { kind: 'chunk', stream, index };
}

/** A share of `files`: contents by path. One file whose path is the name makes a share of kind `file`. */
export async function makeShare(
  name: string,
  files: Readonly<Record<string, Uint8Array>>,
  ending: Pick<ShareBlock, 'expires'> = {},
): Promise<TestShare> {
  const entries = Object.entries(files).map(([path, content]) => ({ path, size: content.length }));
  const kind = entries.length === 1 && entries[0]?.path === name ? 'file' : 'folder';
  const manifest: Manifest = { kind, name, entries };
  const contents = Buffer.concat(Object.values(files));
  const data = Buffer.concat([contents, Buffer.alloc(pad(contents.length) - contents.length)]);
  const key = newFileKey(randomBytes);
  const manifestChunks = await sealStream(key, 'manifest', encodeManifest(manifest));
  const dataChunks = await sealStream(key, 'data', data);
  return assemble(key, manifest, manifestChunks, dataChunks, ending);
}

/**
 * A share with index blocks, of which only some data chunks exist: the others have random digests.
 * @param chunks how many data chunks are listed; more than 2,048
 */
export async function makeLargeShare(chunks: number, existing: readonly number[]): Promise<TestShare> {
  const size = chunks * PIECE_BYTES;
  const key = newFileKey(randomBytes);
  const manifest: Manifest = { kind: 'file', name: 'large', entries: [{ path: 'large', size }] };
  const digests = randomBytes(chunks * 32);
  const blocks: TestBlock[] = [];
  for (const index of existing) {
    const bytes = randomBytes(PIECE_BYTES + 16);
    digests.set(sha256(bytes), index * 32);
    blocks.push({ at: chunkAt('data', index), bytes });
  }
  const manifestChunks = await sealStream(key, 'manifest', encodeManifest(manifest));
  return assemble(key, manifest, manifestChunks, { size, digests, blocks });
}

interface SealedStream {
  readonly size: number;
  readonly digests: Uint8Array;
  readonly blocks: readonly TestBlock[];
}

async function sealStream(key: FileKey, stream: StreamName, bytes: Uint8Array): Promise<SealedStream> {
  const pieces = Array.from({ length: chunkCount(bytes.length) }, (_, index) => {
    const offset = index * PIECE_BYTES;
    return { index, content: bytes.subarray(offset, offset + pieceLength(bytes.length, index)), zeros: 0 };
  });
  const sealed = await nodeCrypto().seal(streamKey(key, stream), pieces, true);
  const digests = Buffer.concat(sealed.map(({ digest }) => digest));
  const blocks = sealed.map(({ chunk }, index) => ({ at: chunkAt(stream, index), bytes: chunk! }));
  return { size: bytes.length, digests, blocks };
}

function assemble(
  key: FileKey,
  manifest: Manifest,
  forManifest: SealedStream,
  forData: SealedStream,
  ending: Pick<ShareBlock, 'expires'> = {},
): TestShare {
  const listed = {
    manifest: listStream(forManifest.size, forManifest.digests),
    data: listStream(forData.size, forData.digests),
  };
  const ownerSeed = Uint8Array.from(randomBytes(32));
  const owner = ownerOf(ownerSeed);
  const lists = { manifest: listed.manifest.list, data: listed.data.list };
  const { id, bytes } = sealShareBlock(key, { owner, ...lists, ...ending });
  const indexBlocks = (['manifest', 'data'] as const).flatMap(stream =>
    listed[stream].blocks.map((block, index): TestBlock => ({
      at: { kind: 'index', stream, index },
      bytes: block,
    })),
  );
  const blocks = [...forManifest.blocks, ...forData.blocks, ...indexBlocks, { at: SHARE, bytes }];
  const listing = new Listing(decodeShareBlock(bytes), async (stream, n) => {
    const found = indexBlocks.find(({ at }) => at.kind === 'index' && at.stream === stream && at.index === n);
    if (found === undefined) throw new Error(`there is no index block ${n}`);
    return found.bytes;
  });
  return { id, key, ownerSeed, manifest, listing, blocks };
}

/** Runs the suite on a source that has all of a share of at least two data chunks. `make` is called before each test. */
export function chunkSourceContract(make: () => Promise<{ source: ChunkSource; share: TestShare }>): void {
  let source: ChunkSource;
  let share: TestShare;
  beforeEach(async () => {
    ({ source, share } = await make());
  });

  it('has all of the share', async () => {
    expect(await source.have(share.id)).to.equal('all');
  });

  it('gives every block, byte for byte, as often as asked', async () => {
    for (let round = 0; round < 2; round++) {
      for (const { at, bytes } of share.blocks) expectSame(await source.read(share.id, at), bytes);
    }
  });

  it('gives blocks that are asked for at once', async () => {
    const read = await Promise.all(share.blocks.map(({ at }) => source.read(share.id, at)));
    for (const [i, { bytes }] of share.blocks.entries()) expectSame(read[i]!, bytes);
  });

  it('gives memory away with a block: what the reader does to it changes nothing', async () => {
    for (const { at, bytes } of share.blocks) {
      (await source.read(share.id, at)).fill(0);
      const again = await source.read(share.id, at);
      expectSame(again, bytes);
      structuredClone(again, { transfer: [again.buffer as ArrayBuffer] });
      expectSame(await source.read(share.id, at), bytes);
    }
  });

  it('does not know a share that it has not got', async () => {
    const other = idOf(randomBytes(32));
    expect(await source.have(other)).to.equal(undefined);
    for (const { at } of share.blocks) {
      expect(await failureOf(source.read(other, at))).to.include({ code: 'unavailable' });
    }
  });

  it('says `unavailable` of blocks that the share has not got', async () => {
    for (const stream of ['manifest', 'data'] as const) {
      const size = share.listing.size(stream);
      const beyond: BlockAddress[] = [
        chunkAt(stream, chunkCount(size)),
        { kind: 'index', stream, index: indexCount(size) },
        chunkAt(stream, 2 ** 40),
      ];
      for (const at of beyond) expect(await failureOf(source.read(share.id, at))).to.include({ code: 'unavailable' });
    }
  });

  it('gives nothing once the signal has aborted', async () => {
    const reason = new Error('enough');
    for (const { at } of share.blocks) {
      expect(await failureOf(source.read(share.id, at, AbortSignal.abort(reason)))).to.equal(reason);
    }
  });
}

export function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).to.equal(expected.length);
  expect(Buffer.compare(actual, expected), 'the bytes differ').to.equal(0);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/** Its owner's statement that the share is withdrawn, and the block that it names. */
export function withdrawalOf(share: TestShare): { statement: Uint8Array; block: Uint8Array } {
  const statement = signStatement({ type: 'withdrawal', id: share.id, at: 1_700_000_000 }, share.ownerSeed);
  return { statement: encodeStatement(statement), block: blockOf(share) };
}

/** The bytes of its share block. */
export function blockOf(share: TestShare): Uint8Array {
  const found = share.blocks.find(({ at }) => at.kind === 'share');
  if (found === undefined) throw new Error('a share has a share block');
  return found.bytes;
}
