/**
 * A chunk store on disk: ciphertext as files, in a folder per share id (block-name.ts).
 *
 * A block gets its final name once it is written; what a crash or a bad disk made of it is found when it is read: each
 * block is hashed against what the share block lists, and one that does not match is removed, so that it is fetched again.
 * One process at a time uses such a folder (the holder of the home).
 */
import { isShoalError } from '../errors.ts';
import { HandleCache } from '../files/handles.ts';
import { digestOf, parseId } from '../format/ids.ts';
import type { BlockId, Digest } from '../format/ids.ts';
import { Listing } from '../format/listing.ts';
import { decodeShareBlock, indexCount } from '../format/share-block.ts';
import { CACHED_LISTINGS, MAX_BLOCK_BYTES, MAX_OPEN_FOLDERS } from '../limits.ts';
import type { BlockAddress, Crypto, Directory, Holdings, OpenFile, RandomBytes, StreamName } from '../ports.ts';
import { giveMemory } from '../memory.ts';
import { IndexSet, rangesOf } from '../protocol/ranges.ts';
import { chunkFolders, indexOf, nameOf, placeOf } from './block-name.ts';
import { notThere } from './memory.ts';
import type { MeasuredStore } from './quota.ts';

export interface DiskStoreOptions {
  /** Holds the store and nothing else, for this user only; stays open as long as the store is used. */
  readonly folder: Directory;
  readonly crypto: Pick<Crypto, 'verify'>;
  readonly random: RandomBytes;
  /** Whether chunks that are written are given away: nobody looks at them any more, and their memory is used again. */
  readonly takesChunks?: boolean;
}

/** What a name begins with while its block is being written. */
const PART = 'part-';

/** A chunk store on disk. `close` closes the folders that it holds open, not the one that it was given. */
export function diskStore(options: DiskStoreOptions): MeasuredStore {
  return new DiskStore(options);
}

class DiskStore implements MeasuredStore {
  readonly #root: Directory;
  #discarded: Parameters<MeasuredStore['onDiscarded']>[0] | undefined;
  readonly #crypto: Pick<Crypto, 'verify'>;
  /** Tells this store's unfinished files from those that a crash left. */
  readonly #partPrefix: string;
  #parts = 0;
  readonly #takesChunks: boolean;
  /** Folders of shares and chunks, by path and generation. */
  readonly #folders = new HandleCache<string, Directory>(MAX_OPEN_FOLDERS, key => this.#enter(key));
  /** Counts what was dropped: a handle from before may be of a folder that is gone. */
  #generation = 0;
  /** Those used longest ago first. */
  readonly #listings = new Map<BlockId, Promise<Listing>>();

  constructor({ folder, crypto, random, takesChunks = false }: DiskStoreOptions) {
    this.#takesChunks = takesChunks;
    this.#root = folder;
    this.#crypto = crypto;
    this.#partPrefix = `${PART}${Buffer.from(random(8)).toString('hex')}-`;
  }

  async have(share: BlockId): Promise<Holdings | undefined> {
    const listing = await this.#listing(share).catch(unless('unavailable', 'malformed', 'unsupported'));
    if (listing === undefined || !(await this.#hasIndexBlocks(share, listing))) return undefined;
    const manifest = await this.#chunks(share, 'manifest', listing);
    const data = await this.#chunks(share, 'data', listing);
    if (manifest.size === manifest.limit && data.size === data.limit) return 'all';
    return { manifest: rangesOf(manifest), data: rangesOf(data) };
  }

  async read(share: BlockId, at: BlockAddress, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const expected = await this.#expected(share, at);
    const bytes = await this.#load(share, at, expected.length);
    signal?.throwIfAborted();
    try {
      if (bytes !== undefined) {
        await this.#crypto.verify(bytes, expected.digest);
        return bytes;
      }
    } catch (error) {
      if (!isShoalError(error, 'mismatch')) throw error;
    }
    await this.#discard(share, at);
    throw notThere(share, at, { why: 'it was damaged on the disk, and was removed' });
  }

  async write(share: BlockId, at: BlockAddress, bytes: Uint8Array): Promise<void> {
    const { folder, name } = placeOf(at);
    const put = (): Promise<void> => this.#in(share, folder, directory => this.#put(directory, name, bytes));
    try {
      await put();
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.#makeFolders(share, folder);
      try {
        await put();
      } catch (again) {
        // Somebody had begun to look for the folder before it was there, and what that found holds for all who ask meanwhile.
        if (!isMissing(again)) throw again;
        await put();
      }
    }
    if (this.#takesChunks && at.kind === 'chunk') giveMemory(bytes);
  }

  async sync(share: BlockId): Promise<void> {
    await this.#in(share, undefined, folder => folder.syncAll()).catch(unlessMissing);
    await this.#root.sync();
  }

  async drop(share: BlockId): Promise<void> {
    this.#generation++;
    this.#listings.delete(share);
    await this.#root.remove(share);
    await this.#root.sync();
  }

  async list(): Promise<BlockId[]> {
    const entries = await this.#root.list();
    return entries.flatMap(({ name, kind }) => (kind === 'directory' ? (idIn(name) ?? []) : []));
  }

  async bytesOf(share: BlockId): Promise<number> {
    let sum = 0;
    const add = async (folder: string | undefined): Promise<void> => {
      const entries = await this.#names(share, folder);
      const files = entries.filter(({ name, kind }) => kind === 'file' && !name.startsWith(PART));
      await this.#in(share, folder, async directory => {
        for (const { name } of files) sum += (await directory.stat(name))?.sizeBytes ?? 0;
      }).catch(unlessMissing);
      if (folder !== undefined) return;
      for (const { name, kind } of entries) if (kind === 'directory') await add(name);
    };
    await add(undefined);
    return sum;
  }

  async sizeOf(share: BlockId, at: BlockAddress): Promise<number> {
    const { folder, name } = placeOf(at);
    const found = await this.#in(share, folder, directory => directory.stat(name)).catch(unlessMissing);
    return found?.kind === 'file' ? found.sizeBytes : 0;
  }

  onDiscarded(listener: (share: BlockId, bytes: number) => void): void {
    this.#discarded = listener;
  }

  async close(): Promise<void> {
    await this.#folders.close();
  }

  /** What the share block says of a block. */
  async #expected(share: BlockId, at: BlockAddress): Promise<{ digest: Digest; length: number | undefined }> {
    if (at.kind === 'share') return { digest: digestOf(share), length: undefined };
    const listing = await this.#listing(share);
    const count = at.kind === 'chunk' ? listing.count(at.stream) : indexCount(listing.size(at.stream));
    if (at.index >= count) throw notThere(share, at, { why: 'the share has no such block' });
    if (at.kind === 'index') return { digest: listing.indexDigest(at.stream, at.index), length: undefined };
    const length = listing.chunkLength(at.stream, at.index);
    return { digest: await listing.digest(at.stream, at.index), length };
  }

  #listing(share: BlockId): Promise<Listing> {
    const listing = this.#listings.get(share) ?? this.#loadListing(share);
    this.#listings.delete(share);
    this.#listings.set(share, listing);
    for (const oldest of this.#listings.keys()) {
      if (this.#listings.size <= CACHED_LISTINGS) break;
      this.#listings.delete(oldest);
    }
    listing.catch(() => {
      if (this.#listings.get(share) === listing) this.#listings.delete(share);
    });
    return listing;
  }

  async #loadListing(share: BlockId): Promise<Listing> {
    const block = decodeShareBlock(await this.read(share, { kind: 'share' }));
    return new Listing(block, (stream, index) => this.read(share, { kind: 'index', stream, index }));
  }

  async #hasIndexBlocks(share: BlockId, listing: Listing): Promise<boolean> {
    const names = new Set((await this.#names(share, undefined)).map(({ name }) => name));
    return (['manifest', 'data'] as const).every(stream =>
      Array.from({ length: indexCount(listing.size(stream)) }, (_, index) => index).every(index =>
        names.has(nameOf({ kind: 'index', stream, index })),
      ),
    );
  }

  async #chunks(share: BlockId, stream: StreamName, listing: Listing): Promise<IndexSet> {
    const found = new IndexSet(listing.count(stream));
    for (const folder of chunkFolders(stream, found.limit)) {
      for (const { name, kind } of await this.#names(share, folder)) {
        const index = kind === 'file' ? indexOf(name) : undefined;
        const at = index === undefined ? undefined : placeOf({ kind: 'chunk', stream, index });
        if (index !== undefined && at?.folder === folder) found.add(index);
      }
    }
    return found;
  }

  /** What is in a folder, which may not be there. Removes what a crash left unfinished. */
  async #names(share: BlockId, folder: string | undefined): Promise<Awaited<ReturnType<Directory['list']>>> {
    const list = async (directory: Directory): Promise<Awaited<ReturnType<Directory['list']>>> => {
      const entries = await directory.list();
      for (const { name } of entries) {
        if (name.startsWith(PART) && !name.startsWith(this.#partPrefix)) await directory.remove(name);
      }
      return entries;
    };
    return (await this.#in(share, folder, list).catch(unlessMissing)) ?? [];
  }

  /** The bytes of a file; undefined where it has not the length that it must have. */
  async #load(share: BlockId, at: BlockAddress, length: number | undefined): Promise<Uint8Array | undefined> {
    const { folder, name } = placeOf(at);
    try {
      return await this.#in(share, folder, async directory => {
        const file = await directory.open(name, 'read');
        try {
          const { sizeBytes } = await file.stat();
          if (sizeBytes > MAX_BLOCK_BYTES || sizeBytes !== (length ?? sizeBytes)) return undefined;
          // Memory of its own, which can move to another thread.
          const bytes = Buffer.allocUnsafeSlow(sizeBytes);
          return (await file.read(bytes, 0)) === sizeBytes ? bytes : undefined;
        } finally {
          await file.close();
        }
      });
    } catch (error) {
      if (isMissing(error)) throw notThere(share, at, { cause: error });
      if (isShoalError(error, 'denied')) throw notThere(share, at, { why: error.message, cause: error });
      throw error;
    }
  }

  /** Removes a damaged block. Where that fails it will be found damaged again. */
  async #discard(share: BlockId, at: BlockAddress): Promise<void> {
    const { folder, name } = placeOf(at);
    const sizeBytes = this.#discarded === undefined ? 0 : await this.sizeOf(share, at).catch(() => 0);
    await this.#in(share, folder, directory => directory.remove(name)).then(
      () => this.#discarded?.(share, sizeBytes),
      unless('io', 'denied', 'disk-full'),
    );
  }

  async #put(directory: Directory, name: string, bytes: Uint8Array): Promise<void> {
    const part = `${this.#partPrefix}${this.#parts++}`;
    const file = await directory.create(part);
    try {
      await writeAndClose(file, bytes);
      await directory.move(part, directory, name, true);
    } catch (error) {
      // A part that can't be removed now is removed as one that a crash left.
      await directory.remove(part).catch(unless('io', 'denied', 'disk-full'));
      throw error;
    }
  }

  async #makeFolders(share: BlockId, folder: string | undefined): Promise<void> {
    await this.#root.make(share).catch(unless('exists'));
    if (folder !== undefined) await this.#in(share, undefined, parent => parent.make(folder).catch(unless('exists')));
  }

  #in<T>(share: BlockId, folder: string | undefined, work: (directory: Directory) => Promise<T>): Promise<T> {
    return this.#folders.use([this.#generation, share, folder ?? ''].join('/'), work);
  }

  async #enter(key: string): Promise<Directory> {
    const [, share = '', folder = ''] = key.split('/');
    const shareFolder = await this.#root.enter(share);
    if (folder === '') return shareFolder;
    try {
      return await shareFolder.enter(folder);
    } finally {
      await shareFolder.close();
    }
  }
}

async function writeAndClose(file: OpenFile, bytes: Uint8Array): Promise<void> {
  try {
    await file.write(bytes, 0);
  } finally {
    await file.close();
  }
}

function idIn(name: string): BlockId | undefined {
  try {
    return parseId(name);
  } catch {
    return undefined;
  }
}

function isMissing(error: unknown): boolean {
  return isShoalError(error, 'io') && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

/** Passes over failures of these kinds. */
function unless(...codes: Parameters<typeof isShoalError>[1][]): (error: unknown) => undefined {
  return error => {
    if (!codes.some(code => isShoalError(error, code))) throw error;
  };
}
