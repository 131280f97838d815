/**
 * A quota around the chunk store of a home: what is kept takes no more bytes than are allowed, and never the last ones of the
 * disk. Before what would not fit is refused, room is made where that is possible (src/room.ts).
 *
 * What counts is the length of the blocks. It is looked up once, when it is first needed, and kept up to date from then on.
 * Who knows how much is to come reserves it before the first byte. What a share is opened by (share block, index blocks,
 * manifest) is counted and never refused: sharing files where they are keeps nothing else, and must not fail because of what is
 * carried for others.
 */
import { ShoalError } from '../errors.ts';
import type { BlockId } from '../format/ids.ts';
import { formatBytes } from '../format/sizes.ts';
import { FREE_LOOK_BYTES, HOME_SPARE_BYTES, HOME_SPARE_OF_DISK } from '../limits.ts';
import { Turns } from '../parallel.ts';
import type { BlockAddress, ChunkStore, QuotaStore, StoreUsage } from '../ports.ts';
import { nameOf } from './block-name.ts';

/** A store that can tell the lengths of what it keeps. */
export interface MeasuredStore extends ChunkStore {
  /** Bytes of all blocks of a share. */
  bytesOf(share: BlockId): Promise<number>;
  /** Bytes of one block; 0 where it is not there. */
  sizeOf(share: BlockId, at: BlockAddress): Promise<number>;
  /** Has one listener told of each damaged block that is removed, and of its bytes. */
  onDiscarded(listener: (share: BlockId, bytes: number) => void): void;
  close(): Promise<void>;
}

export interface QuotaOptions {
  readonly store: MeasuredStore;
  /** Infinity for none. */
  readonly quotaBytes: number;
  /** Of the file system that the store is on. */
  readonly disk: () => Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

/** @returns a store whose `makeRoom` is to be set by who can make some */
export function quotaStore(options: QuotaOptions): QuotaStore & { close(): Promise<void> } {
  return new Quota(options);
}

const EVERYBODY = 'everybody';

class Quota implements QuotaStore {
  makeRoom: QuotaStore['makeRoom'];
  readonly #store: MeasuredStore;
  readonly #quotaBytes: number;
  readonly #disk: QuotaOptions['disk'];
  /** Bytes of each share; nothing before they were needed. */
  #counts: Promise<Map<BlockId, number>> | undefined;
  /** What is to come of shares that are being got: their bytes in the end. */
  readonly #reserved = new Map<BlockId, number>();
  /** Writes of the same block come one after the other, so that each knows what it replaces. */
  readonly #blocks = new Turns<string>();
  /** Room is looked for by one at a time: two would take the same. */
  readonly #room = new Turns<typeof EVERYBODY>();
  /** What may be written before the disk is looked at again. */
  #allowedBytes = 0;
  readonly #never = new AbortController().signal;

  constructor({ store, quotaBytes, disk }: QuotaOptions) {
    this.#store = store;
    this.#quotaBytes = quotaBytes;
    this.#disk = disk;
    store.onDiscarded((share, bytes) => this.#later(share, -bytes));
  }

  have(share: BlockId): ReturnType<ChunkStore['have']> {
    return this.#store.have(share);
  }

  read(share: BlockId, at: BlockAddress, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#store.read(share, at, signal);
  }

  sync(share: BlockId): Promise<void> {
    return this.#store.sync(share);
  }

  list(): Promise<BlockId[]> {
    return this.#store.list();
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async write(share: BlockId, at: BlockAddress, bytes: Uint8Array): Promise<void> {
    const isData = at.kind === 'chunk' && at.stream === 'data';
    // A count that comes later finds what is written now.
    const counts = isData ? await this.#counted() : await this.#counts;
    if (counts === undefined) {
      await this.#store.write(share, at, bytes);
      return;
    }
    await this.#blocks.run(`${share}/${nameOf(at)}`, this.#never, async () => {
      const more = bytes.length - (await this.#store.sizeOf(share, at));
      if (isData) await this.#admit(share, more);
      await this.#store.write(share, at, bytes);
      add(counts, share, more);
    });
  }

  async drop(share: BlockId): Promise<void> {
    await this.#store.drop(share);
    (await this.#counts)?.delete(share);
    this.#allowedBytes = 0;
  }

  async bytesOf(share: BlockId): Promise<number> {
    return (await this.#counted()).get(share) ?? 0;
  }

  async usage(): Promise<StoreUsage> {
    const counts = await this.#counted();
    const usedBytes = [...counts.values()].reduce((sum, bytes) => sum + bytes, 0);
    const quota = this.#quotaBytes === Infinity ? {} : { quotaBytes: this.#quotaBytes };
    return { usedBytes, ...quota, roomBytes: Math.max(0, await this.#diskRoom()) };
  }

  async reserve(share: BlockId, totalBytes: number, signal: AbortSignal): Promise<() => void> {
    await this.#counted();
    await this.#room.run(EVERYBODY, signal, async () => {
      await this.#findRoom(share, totalBytes, signal);
      this.#reserved.set(share, totalBytes);
    });
    return () => void this.#reserved.delete(share);
  }

  /** @throws ShoalError `disk-full` unless so much more of a share may be written */
  async #admit(share: BlockId, more: number): Promise<void> {
    if (more <= 0) return;
    const counts = await this.#counted();
    const bytes = (counts.get(share) ?? 0) + more;
    const isReserved = bytes <= (this.#reserved.get(share) ?? 0);
    if ((isReserved || (await this.#held(share)) + bytes <= this.#quotaBytes) && (await this.#diskAllows(more))) return;
    await this.#room.run(EVERYBODY, this.#never, () => this.#findRoom(share, bytes, this.#never));
  }

  /** Makes sure that there is room for a share of so many bytes, apart from what others have reserved. @throws ShoalError `disk-full` */
  async #findRoom(share: BlockId, totalBytes: number, signal: AbortSignal): Promise<void> {
    const lackingBytes = Math.max(await this.#overQuota(share, totalBytes), await this.#overDisk(share, totalBytes));
    if (lackingBytes > 0) await this.makeRoom?.(lackingBytes, share, signal);
    const overQuota = await this.#overQuota(share, totalBytes);
    if (overQuota > 0)
      throw new ShoalError(
        'disk-full',
        `cannot keep share ${share}: it takes ${formatBytes(totalBytes)}, and the quota of ${formatBytes(this.#quotaBytes)} leaves ${formatBytes(Math.max(0, totalBytes - overQuota))} for it; raise store.quota in the configuration, or forget shares that are kept here ("shoal shares" lists them)`,
      );
    const overDisk = await this.#overDisk(share, totalBytes);
    if (overDisk > 0)
      throw new ShoalError(
        'disk-full',
        `cannot keep share ${share}: ${formatBytes(overDisk)} are lacking, as some room is left on the disk for all else; no space is left on the disk; free some and run the same command again`,
      );
  }

  /** By how much a share of so many bytes would exceed the quota. */
  async #overQuota(share: BlockId, totalBytes: number): Promise<number> {
    return (await this.#held(share)) + totalBytes - this.#quotaBytes;
  }

  /** … and what may be written to the disk, beside what others are about to write. */
  async #overDisk(share: BlockId, totalBytes: number): Promise<number> {
    const counts = await this.#counted();
    const toCome = [...this.#reserved]
      .filter(([id]) => id !== share)
      .reduce((sum, [id, bytes]) => sum + Math.max(0, bytes - (counts.get(id) ?? 0)), 0);
    return totalBytes - (counts.get(share) ?? 0) + toCome - (await this.#diskRoom());
  }

  /** What all other shares take, or will. */
  async #held(share: BlockId): Promise<number> {
    const counts = await this.#counted();
    const ids = new Set([...counts.keys(), ...this.#reserved.keys()]);
    ids.delete(share);
    return [...ids].reduce((sum, id) => sum + Math.max(counts.get(id) ?? 0, this.#reserved.get(id) ?? 0), 0);
  }

  /** Bytes that may be written to the disk. */
  async #diskRoom(): Promise<number> {
    const { freeBytes, totalBytes } = await this.#disk();
    return freeBytes - Math.min(HOME_SPARE_BYTES, totalBytes * HOME_SPARE_OF_DISK);
  }

  /** Whether the disk has room for so much more; it is looked at now and then only. */
  async #diskAllows(more: number): Promise<boolean> {
    if (this.#allowedBytes < more) this.#allowedBytes = Math.min(FREE_LOOK_BYTES, await this.#diskRoom());
    if (this.#allowedBytes < more) return false;
    this.#allowedBytes -= more;
    return true;
  }

  #counted(): Promise<Map<BlockId, number>> {
    this.#counts ??= this.#count().catch((error: unknown) => {
      this.#counts = undefined;
      throw error;
    });
    return this.#counts;
  }

  async #count(): Promise<Map<BlockId, number>> {
    const counts = new Map<BlockId, number>();
    for (const share of await this.#store.list()) counts.set(share, await this.#store.bytesOf(share));
    return counts;
  }

  /** Notes a change, once what is being counted is. */
  #later(share: BlockId, more: number): void {
    this.#counts?.then(
      counts => add(counts, share, more),
      () => undefined,
    );
  }
}

function add(counts: Map<BlockId, number>, share: BlockId, more: number): void {
  counts.set(share, Math.max(0, (counts.get(share) ?? 0) + more));
}
