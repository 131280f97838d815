/** Chunks made again from the files of a share: those that were shared, or those that were fetched. */
import { stat } from 'node:fs/promises';
import { ShoalError, isShoalError } from '../errors.ts';
import { sameBytes } from '../format/ids.ts';
import type { BlockId } from '../format/ids.ts';
import { streamKey } from '../format/keys.ts';
import type { FileKey } from '../format/keys.ts';
import { Layout, pathsOf, placesOf, type Root } from '../format/layout.ts';
import type { Listing } from '../format/listing.ts';
import type { Manifest } from '../format/manifest.ts';
import { oneOf } from '../format/quoted.ts';
import { LOOKS_AT_ONCE } from '../limits.ts';
import { inParallel } from '../parallel.ts';
import type { BlockAddress, ChunkSource, Crypto, Holdings } from '../ports.ts';
import { goneOf } from './gone.ts';
import { notThere } from './memory.ts';

export interface OriginalOptions {
  readonly id: BlockId;
  readonly key: FileKey;
  /** Of the file, or of what the manifest's paths are in. */
  readonly root: Root;
  readonly manifest: Manifest;
  readonly listing: Listing;
  readonly crypto: Crypto;
  /** Has the share block, the index blocks and the chunks of the manifest. */
  readonly store: ChunkSource;
  /** Told once, when the files turn out not to be what was shared any more. */
  readonly onChanged: (why: string) => Promise<void>;
}

/**
 * The source of one share whose data chunks are made from its files.
 *
 * Of one key and nonce at most one ciphertext may ever leave (format.md §4): what was made is compared with the digest in
 * the share block, and from the first difference on nothing of the share leaves any more.
 */
export function originalSource(options: OriginalOptions): ChunkSource {
  return new OriginalSource(options);
}

class OriginalSource implements ChunkSource {
  readonly #options: OriginalOptions;
  readonly #key: Uint8Array;
  readonly #layout: Layout;
  #changed: ShoalError | undefined;

  constructor(options: OriginalOptions) {
    this.#options = options;
    this.#key = streamKey(options.key, 'data');
    this.#layout = new Layout(options.manifest.entries.map(({ size }) => size));
  }

  async have(share: BlockId): Promise<Holdings | undefined> {
    const { id, root } = this.#options;
    if (share !== id || this.#changed !== undefined) return undefined;
    return (await goneOf(root)) === undefined ? 'all' : undefined;
  }

  async read(share: BlockId, at: BlockAddress, signal?: AbortSignal): Promise<Uint8Array> {
    const { id, store, listing } = this.#options;
    this.#refuseIfChanged();
    if (share !== id) throw notThere(share, at);
    if (at.kind !== 'chunk' || at.stream !== 'data') return await store.read(share, at, signal);
    if (at.index >= listing.count('data')) throw notThere(share, at, { why: 'the share has no such block' });
    const chunk = await this.#make(at.index, at, signal);
    // Another read may have found a difference in the meantime.
    this.#refuseIfChanged();
    return chunk;
  }

  /** Returns what has the listed digest, or nothing. */
  async #make(index: number, at: BlockAddress, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { id, crypto, listing } = this.#options;
    const digest = await listing.digest('data', index);
    try {
      const { places, zeros } = this.#places(index);
      const [sealed] = await crypto.seal(this.#key, [{ index, content: places, zeros }], true, signal);
      if (sealed?.chunk !== undefined && sameBytes(sealed.digest, digest)) return sealed.chunk;
    } catch (error) {
      if (isShoalError(error, 'changed')) throw await this.#markChanged(error.message, error);
      if (!isShoalError(error, 'unavailable') && !isShoalError(error, 'denied')) throw error;
      throw notThere(id, at, { why: error.message, cause: error });
    }
    throw await this.#markChanged(`${await this.#changedIn(index)} is no longer what was shared`);
  }

  #places(index: number): ReturnType<typeof placesOf> {
    const { root, manifest, listing } = this.#options;
    return placesOf(root, manifest, this.#layout, index, listing.size('data'));
  }

  /**
   * The files that piece `index` is made of, of which one is meant. A chunk can't tell which it is; those whose time is
   * another than the manifest says come alone, as they were written.
   */
  async #changedIn(index: number): Promise<string> {
    const { root, manifest } = this.#options;
    const { places } = this.#places(index);
    const written: string[] = [];
    if (places.length > 1) {
      await inParallel(places, LOOKS_AT_ONCE, async ({ path, entry }) => {
        const modified = manifest.entries[entry]?.modified;
        const found = modified === undefined ? undefined : await stat(path).catch(() => undefined);
        if (found !== undefined && Math.floor(found.mtimeMs / 1000) !== modified) written.push(path);
      });
    }
    const paths = written.length > 0 ? written.sort() : places.map(({ path }) => path);
    return oneOf(paths.length > 0 ? paths : pathsOf(root).slice(0, 1));
  }

  async #markChanged(why: string, cause?: unknown): Promise<ShoalError> {
    if (this.#changed !== undefined) return this.#changed;
    const { id, onChanged } = this.#options;
    const error = new ShoalError('changed', `cannot serve share ${id}: ${why}`, { cause });
    this.#changed = error;
    await onChanged(why);
    return error;
  }

  #refuseIfChanged(): void {
    if (this.#changed !== undefined) throw this.#changed;
  }
}
