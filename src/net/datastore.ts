/**
 * Where libp2p keeps what it knows about peers, and a DHT server the announcements of others. Both come from strangers, to
 * whom a new identity costs nothing, so of each kind the oldest give way beyond a limit.
 */
import { LevelDatastore } from 'datastore-level';
import type { PeerId } from '@libp2p/interface';
import { ShoalError } from '../errors.ts';
import { escaped } from '../format/quoted.ts';
import { MAX_STORED_ANNOUNCEMENTS, MAX_STORED_PEER_BYTES, MAX_STORED_PEERS } from '../limits.ts';

/**
 * Opens the datastore in the folder `path`, for the node whose peer id is `self`.
 * @throws ShoalError `io` when it can not be opened
 */
export async function openDatastore(path: string, self: PeerId): Promise<LevelDatastore> {
  const datastore = new BoundedDatastore(path, self);
  try {
    await datastore.open();
  } catch (error) {
    // Level's own reason does not get this far.
    const why = 'another process has it open, or it is damaged; end that one, or remove the folder for an empty store';
    throw new ShoalError('io', `cannot open the peer store "${escaped(path)}": ${why}`, { cause: error });
  }
  await forgetOwnAnnouncements(datastore, self);
  return datastore;
}

type Key = Parameters<LevelDatastore['put']>[0];
type Options = Parameters<LevelDatastore['put']>[2];

class BoundedDatastore extends LevelDatastore {
  /** Where libp2p keeps what it says about this node, which never gives way. */
  readonly #own: string;
  /** Keys in the order in which they were written; the order of earlier runs is not known. */
  readonly #peers = new Map<string, Key>();
  readonly #others = new Map<string, Key>();

  constructor(path: string, self: PeerId) {
    super(path);
    this.#own = `/peers/${self.toCID().toString()}`;
  }

  override async open(): Promise<void> {
    await super.open();
    for await (const key of this.queryKeys({})) this.#keysLike(key).set(key.toString(), key);
    await this.#forgetOldest();
  }

  override async put(key: Key, value: Uint8Array, options?: Options): Promise<Key> {
    if (value.length > MAX_STORED_PEER_BYTES) {
      throw new RangeError(`${value.length} bytes about one peer are not kept, at most ${MAX_STORED_PEER_BYTES}`);
    }
    const keys = this.#keysLike(key);
    keys.delete(key.toString());
    keys.set(key.toString(), key);
    await super.put(key, value, options);
    await this.#forgetOldest();
    return key;
  }

  override async delete(key: Key, options?: Options): Promise<void> {
    this.#keysLike(key).delete(key.toString());
    await super.delete(key, options);
  }

  #keysLike(key: Key): Map<string, Key> {
    return key.toString().startsWith('/peers/') ? this.#peers : this.#others;
  }

  async #forgetOldest(): Promise<void> {
    for (const [keys, most] of [
      [this.#peers, MAX_STORED_PEERS],
      [this.#others, MAX_STORED_ANNOUNCEMENTS],
    ] as const) {
      for (const [name, key] of keys) {
        if (keys.size <= most) break;
        if (name !== this.#own) await this.delete(key);
      }
    }
  }
}

/** kad-dht would go on announcing what an earlier run announced, and it is this run that knows what is still shared. */
async function forgetOwnAnnouncements(datastore: LevelDatastore, self: PeerId): Promise<void> {
  for await (const key of datastore.queryKeys({ prefix: '/dht/provider' })) {
    if (key.toString().endsWith(`/${self.toString()}`)) await datastore.delete(key);
  }
}
