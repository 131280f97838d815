/** The digests of a share's chunks, from its share block and index blocks (format.md §5). */
import { ShoalError } from '../errors.ts';
import { CACHED_INDEX_BLOCKS, CHUNKS_PER_INDEX } from '../limits.ts';
import { digestAt, sameBytes, sha256, type Digest } from './ids.ts';
import { chunkCount, chunkLength } from './pieces.ts';
import { decodeIndex, indexCount, type ShareBlock, type StreamName } from './share-block.ts';

/** Looks digests up. Index blocks are loaded when they are needed and only some are kept, so that memory stays bounded. */
export class Listing {
  readonly block: ShareBlock;
  readonly #loadIndex: (stream: StreamName, n: number) => Promise<Uint8Array>;
  /** Decoded index blocks, those used longest ago first. */
  readonly #loaded = new Map<string, Promise<Uint8Array>>();

  /** @param loadIndex gets the bytes of an index block, which need not be checked yet */
  constructor(block: ShareBlock, loadIndex: (stream: StreamName, n: number) => Promise<Uint8Array>) {
    this.block = block;
    this.#loadIndex = loadIndex;
  }

  /** Bytes of the stream's padded plaintext. */
  size(stream: StreamName): number {
    return this.block[stream].size;
  }

  /** Chunks of the stream. */
  count(stream: StreamName): number {
    return chunkCount(this.size(stream));
  }

  chunkLength(stream: StreamName, index: number): number {
    return chunkLength(this.size(stream), index);
  }

  /** The digest of an index block. */
  indexDigest(stream: StreamName, n: number): Digest {
    const { index } = this.block[stream];
    if (index === undefined || n >= indexCount(this.size(stream))) throw new RangeError(`there is no index block ${n}`);
    return digestAt(index, n);
  }

  /** @throws ShoalError `corrupt` when an index block is not the one listed, `malformed`; what loading throws */
  async digest(stream: StreamName, index: number): Promise<Digest> {
    if (index >= this.count(stream)) throw new RangeError(`there is no chunk ${index}`);
    const { chunks } = this.block[stream];
    if (chunks !== undefined) return digestAt(chunks, index);
    return digestAt(await this.#index(stream, Math.floor(index / CHUNKS_PER_INDEX)), index % CHUNKS_PER_INDEX);
  }

  async #index(stream: StreamName, n: number): Promise<Uint8Array> {
    const key = `${stream} ${n}`;
    const known = this.#loaded.get(key);
    const loading = known ?? this.#load(stream, n);
    this.#loaded.delete(key);
    this.#loaded.set(key, loading);
    for (const oldest of this.#loaded.keys()) {
      if (this.#loaded.size <= CACHED_INDEX_BLOCKS) break;
      this.#loaded.delete(oldest);
    }
    try {
      return await loading;
    } catch (error) {
      if (this.#loaded.get(key) === loading) this.#loaded.delete(key);
      throw error;
    }
  }

  async #load(stream: StreamName, n: number): Promise<Uint8Array> {
    const bytes = await this.#loadIndex(stream, n);
    if (!sameBytes(sha256(bytes), this.indexDigest(stream, n))) {
      throw new ShoalError(
        'corrupt',
        `cannot read index block ${n} of the ${stream} stream: its bytes do not match its CID`,
      );
    }
    return decodeIndex(bytes, this.size(stream), n);
  }
}
