/** A home without a network: its secret, catalog and stored blocks, and one chunk source over all of its shares. */
import { lstat, mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, ShoalError } from './errors.ts';
import { openDirectory } from './files/directory.ts';
import { showName } from './files/names.ts';
import { dropSpooled, spoolFolder, sweepSpool } from './files/spool.ts';
import { fileKey } from './format/keys.ts';
import type { BlockId } from './format/ids.ts';
import { fileAt } from './format/layout.ts';
import { Listing } from './format/listing.ts';
import { decodeShareBlock } from './format/share-block.ts';
import { CACHED_ORIGINALS } from './limits.ts';
import { readManifest } from './open.ts';
import type { Catalog, ShareRecord } from './catalog.ts';
import type { ChunkSource, Clock, Crypto, Directory, QuotaStore, RandomBytes, Refusal } from './ports.ts';
import { openRecords } from './records.ts';
import { withdrawnError } from './refused.ts';
import { diskStore } from './store/disk.ts';
import { originalSource } from './store/original.ts';
import { quotaStore, type MeasuredStore } from './store/quota.ts';
import { peerSeed, sharePeerSeed } from './store/secret.ts';

export interface HomeDeps {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** What the ciphertext may take; no limit but the disk when absent. */
  readonly quotaBytes?: number | undefined;
}

export interface Home {
  readonly folder: string;
  readonly catalog: Catalog;
  /**
   * Ciphertext: share blocks, index blocks, manifests, and chunks that are kept. What came from stdin for a share goes with
   * its blocks. Takes no more than the quota.
   */
  readonly store: QuotaStore;
  /** Where `store` keeps it. */
  readonly blocksFolder: string;
  /** Where what comes from stdin is kept. */
  readonly spoolFolder: string;
  /** All shares of the home, wherever their chunks come from. Holds no share that is known to have changed. */
  readonly source: ChunkSource;
  /** The Ed25519 seed of the home's peer key. */
  readonly peerSeed: Uint8Array;
  /** The Ed25519 seed of the peer key of a share that has its own. */
  peerSeedOf(id: BlockId): Uint8Array;
  /**
   * The first file of a share that does not look as it did when it was shared, and how; undefined where all do, or where the
   * chunks are kept. By size and time: nothing is read.
   */
  touched(record: ShareRecord): Promise<string | undefined>;
  /** Why a share is not given to anybody, or not to who comes through a grant: withdrawn, expired, changed. */
  refusalOf(id: BlockId, nowSeconds: number): Refusal | undefined;
  /**
   * To be asked before a share is carried, kept or served here again.
   * @throws ShoalError `refused` where it, or its grant, was withdrawn
   */
  refuseWithdrawn(id: BlockId, doing: string): void;
  /** Told when the files of a share turn out to have changed. */
  onChanged: ((id: BlockId, why: string) => void) | undefined;
  /** Lets go of what is remembered of shares and grants, after some were added, removed or withdrawn. */
  forgetSources(): void;
  /**
   * Removes what crashes left: what came from stdin and is not shared, and blocks that the catalog knows to be debris or
   * withdrawn. Blocks
   * of which it knows nothing stay, since it may have taken the place of the one that does. Only for who holds the home.
   */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a home, made where there is none.
 * @throws ShoalError `home` when it can't be used, saying why and what to do; `newer-home`; `denied`, `io`
 */
export async function openHome(folder: string, deps: HomeDeps): Promise<Home> {
  const { secret, catalog } = await openRecords(folder, { clock: deps.clock, random: deps.random });
  let root: Directory | undefined;
  try {
    await mkdir(join(folder, 'blocks'), { recursive: true, mode: 0o700 });
    root = await openDirectory(join(folder, 'blocks'));
    const spool = await spoolFolder(folder);
    const disk = withSpool(diskStore({ folder: root, crypto: deps.crypto, random: deps.random }), spool, catalog);
    const store = quotaStore({ store: disk, quotaBytes: deps.quotaBytes ?? Infinity, disk: () => diskAt(folder) });
    return new OpenHome(folder, deps.crypto, catalog, store, spool, root, secret);
  } catch (error) {
    catalog.close();
    await root?.close();
    throw fileError(error, `open the home folder "${folder}"`);
  }
}

type ClosableStore = ReturnType<typeof quotaStore>;

async function diskAt(folder: string): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
  try {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch (error) {
    throw fileError(error, `look how much room there is for the home "${showName(folder)}"`);
  }
}

/** A store that drops, with the blocks of a share, what was taken in for it; that is the user's, and stays where the share has only expired. */
function withSpool(store: MeasuredStore, spool: string, catalog: Pick<Catalog, 'get'>): MeasuredStore {
  return {
    have: share => store.have(share),
    read: (share, at, signal) => store.read(share, at, signal),
    write: (share, at, bytes) => store.write(share, at, bytes),
    sync: share => store.sync(share),
    drop: async share => {
      if (catalog.get(share)?.state !== 'expired') await dropSpooled(spool, share);
      await store.drop(share);
    },
    list: () => store.list(),
    bytesOf: share => store.bytesOf(share),
    sizeOf: (share, at) => store.sizeOf(share, at),
    onDiscarded: listener => store.onDiscarded(listener),
    close: () => store.close(),
  };
}

/** What the chunks of a share are made again from. */
type Original = Omit<Parameters<typeof originalSource>[0], 'crypto' | 'store' | 'onChanged'>;

class OpenHome implements Home {
  readonly folder: string;
  readonly catalog: Catalog;
  readonly store: ClosableStore;
  readonly blocksFolder: string;
  readonly spoolFolder: string;
  readonly peerSeed: Uint8Array;
  readonly peerSeedOf: (id: BlockId) => Uint8Array;
  readonly source: ChunkSource;
  onChanged: ((id: BlockId, why: string) => void) | undefined;
  readonly #crypto: Crypto;
  readonly #root: Directory;
  #changed = new Set<BlockId>();
  #withdrawn = new Set<BlockId>();
  #expiries = new Map<BlockId, ReturnType<Catalog['expiries']>[number]>();
  /** Those used longest ago first. */
  readonly #sources = new Map<BlockId, Promise<ChunkSource>>();

  constructor(
    folder: string,
    crypto: Crypto,
    catalog: Catalog,
    store: ClosableStore,
    spool: string,
    root: Directory,
    secret: Uint8Array,
  ) {
    this.folder = folder;
    this.catalog = catalog;
    this.store = store;
    this.blocksFolder = join(folder, 'blocks');
    this.spoolFolder = spool;
    this.peerSeed = peerSeed(secret);
    this.peerSeedOf = id => sharePeerSeed(secret, id);
    this.#crypto = crypto;
    this.#root = root;
    this.#noteRefusals();
    this.source = {
      have: async share =>
        this.#changed.has(share) || this.#withdrawn.has(share) ? undefined : (await this.#sourceOf(share))?.have(share),
      read: async (share, at, signal) => {
        const source = await this.#sourceOf(share);
        if (source === undefined) throw new ShoalError('unavailable', `this home has no share ${share}`);
        return source.read(share, at, signal);
      },
    };
  }

  refusalOf(id: BlockId, nowSeconds: number): Refusal | undefined {
    if (this.#withdrawn.has(id)) {
      const withdrawal = this.catalog.withdrawals.get(id);
      return { reason: 'withdrawn', ...(withdrawal === undefined ? {} : { withdrawal }) };
    }
    const { expires = Infinity, isOver = false } = this.#expiries.get(id) ?? {};
    if (isOver || expires <= nowSeconds) return { reason: 'expired', until: expires };
    return this.#changed.has(id) ? { reason: 'changed' } : undefined;
  }

  refuseWithdrawn(id: BlockId, doing: string): void {
    // Another process of this home may have heard of it.
    const withdrawal = this.catalog.withdrawals.get(id);
    if (withdrawal !== undefined) throw withdrawnError(doing, withdrawal.at);
  }

  forgetSources(): void {
    this.#sources.clear();
    this.#noteRefusals();
  }

  async sweep(): Promise<void> {
    for (const id of this.catalog.debris()) {
      await this.store.drop(id);
      this.catalog.clear(id);
    }
    // A withdrawal is on record before its blocks go.
    for (const id of await this.store.list()) if (this.#withdrawn.has(id)) await this.store.drop(id);
    await sweepSpool(this.spoolFolder);
  }

  async close(): Promise<void> {
    await this.store.close();
    await this.#root.close();
    this.catalog.close();
  }

  #noteRefusals(): void {
    this.#changed = new Set(this.catalog.changed());
    this.#withdrawn = new Set(this.catalog.withdrawals.ids());
    this.#expiries = new Map(this.catalog.expiries().map(one => [one.id, one]));
  }

  async #sourceOf(id: BlockId): Promise<ChunkSource | undefined> {
    let source = this.#sources.get(id);
    if (source === undefined) {
      const record = this.catalog.get(id);
      if (record === undefined) return undefined;
      source = this.#open(record);
    }
    this.#sources.delete(id);
    this.#sources.set(id, source);
    for (const oldest of this.#sources.keys()) {
      if (this.#sources.size <= CACHED_ORIGINALS) break;
      this.#sources.delete(oldest);
    }
    try {
      return await source;
    } catch (error) {
      this.#sources.delete(id);
      throw error;
    }
  }

  async touched(record: ShareRecord): Promise<string | undefined> {
    const original = await this.#originalOf(record);
    if (original === undefined) return undefined;
    const { root, manifest } = original;
    for (const { path, size, modified, directory } of manifest.entries) {
      if (directory === true) continue;
      const found = await lstat(fileAt(root, manifest.kind, path)).catch((error: unknown) => {
        throw fileError(error, `look at "${showName(path)}"`);
      });
      const time = Math.floor(found.mtimeMs / 1000);
      if (found.size !== size) return `"${showName(path)}" has ${found.size} bytes, and had ${size}`;
      if (modified !== undefined && time !== modified) return `"${showName(path)}" was written since`;
    }
    return undefined;
  }

  /** What a share is made again from; undefined where its chunks are kept. */
  async #originalOf({ id, source, root }: ShareRecord): Promise<Original | undefined> {
    const key = this.catalog.keyOf(id);
    if (source === 'copy' || source === 'imported' || root === undefined || key === undefined) return undefined;
    const block = decodeShareBlock(await this.store.read(id, { kind: 'share' }));
    const listing = new Listing(block, (stream, index) => this.store.read(id, { kind: 'index', stream, index }));
    const manifest = await readManifest(this.store, this.#crypto, id, fileKey(key), listing);
    return { id, key: fileKey(key), root, manifest, listing };
  }

  async #open(record: ShareRecord): Promise<ChunkSource> {
    const original = await this.#originalOf(record);
    if (original === undefined) return this.store;
    const { id } = record;
    const onChanged = (why: string): Promise<void> => {
      this.#changed.add(id);
      this.catalog.markChanged(id, why);
      this.onChanged?.(id, why);
      return Promise.resolve();
    };
    return originalSource({
      ...original,
      crypto: this.#crypto,
      store: this.store,
      onChanged,
    });
  }
}
