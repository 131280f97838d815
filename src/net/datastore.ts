/** Where libp2p keeps what it knows about peers, and a DHT server the announcements of others. */
import type { LevelDatastore } from 'datastore-level';
import { ShoalError } from '../errors.ts';

/**
 * Opens the datastore in the folder `path`, for the node whose peer id is `self`; undefined without a path.
 * @throws ShoalError `io` when it can not be opened
 */
export async function openDatastore(path: string | undefined, self: string): Promise<LevelDatastore | undefined> {
  if (path === undefined) return undefined;
  const { LevelDatastore } = await import('datastore-level');
  const datastore = new LevelDatastore(path);
  try {
    await datastore.open();
  } catch (error) {
    // Level's own reason does not get this far.
    const why = 'another process may have it open, or it is damaged and can be deleted';
    throw new ShoalError('io', `cannot open the peer store ${path}: ${why}`, { cause: error });
  }
  await forgetOwnAnnouncements(datastore, self);
  return datastore;
}

/** kad-dht would go on announcing what an earlier run announced, and it is this run that knows what is still shared. */
async function forgetOwnAnnouncements(datastore: LevelDatastore, self: string): Promise<void> {
  for await (const key of datastore.queryKeys({ prefix: '/dht/provider' })) {
    if (key.toString().endsWith(`/${self}`)) await datastore.delete(key);
  }
}
