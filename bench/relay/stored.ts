/**
 * A relay's data folder as it is when shares were uploaded to it for a long time: real share blocks, manifests and leases,
 * and of the data chunks files of the right length that hold nothing. Nobody reads those before somebody fetches.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Leases } from '../../relay/leases.ts';
import { systemClock } from '../../src/clock.ts';
import { poolCrypto } from '../../src/crypto/pool.ts';
import { openDirectory } from '../../src/files/directory.ts';
import { sealShareBlock } from '../../src/format/commitment.ts';
import { DIGEST_BYTES } from '../../src/format/ids.ts';
import { newFileKey, streamKey } from '../../src/format/keys.ts';
import type { Link } from '../../src/format/link.ts';
import { encodeManifest } from '../../src/format/manifest.ts';
import { chunkLength } from '../../src/format/pieces.ts';
import { ciphertextBytes, listStream, ownerOf } from '../../src/format/share-block.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import type { ChunkStore, Crypto } from '../../src/ports.ts';
import { placeOf } from '../../src/store/block-name.ts';
import { diskStore } from '../../src/store/disk.ts';

const LEASE_SECONDS = 90 * 86_400;

/**
 * Puts so many shares of so many chunks each into a data folder (from `makeDataFolder`).
 * @returns the last of them, without hints
 */
export async function fillDataFolder(data: string, shares: number, chunks: number): Promise<Link> {
  const path = join(data, 'chunks');
  mkdirSync(path, { mode: 0o700 });
  const folder = await openDirectory(path);
  const crypto = poolCrypto();
  const store = diskStore({ folder, crypto, random: randomBytes });
  // What is lost with this machine can be made again.
  const hasty: ChunkStore = { ...bound(store), sync: () => Promise.resolve() };
  const leases = await Leases.open(join(data, 'leases.sqlite'), hasty, systemClock);
  try {
    let last: Link | undefined;
    for (let n = 0; n < shares; n++) last = await addShare(path, hasty, leases, crypto, `share ${n}`, chunks);
    if (last === undefined) throw new RangeError('at least one share');
    return last;
  } finally {
    leases.close();
    await store.close();
    await folder.close();
    await crypto.close();
  }
}

/** The store's methods, which are its class's. */
function bound(store: ChunkStore): ChunkStore {
  return {
    have: id => store.have(id),
    read: (id, at) => store.read(id, at),
    write: (id, at, bytes) => store.write(id, at, bytes),
    sync: id => store.sync(id),
    drop: id => store.drop(id),
    list: () => store.list(),
  };
}

async function addShare(
  path: string,
  store: ChunkStore,
  leases: Leases,
  crypto: Crypto,
  name: string,
  chunks: number,
): Promise<Link> {
  const key = newFileKey(randomBytes);
  const size = chunks * PIECE_BYTES;
  const plaintext = encodeManifest({ kind: 'file', name, entries: [{ path: name, size, modified: 0 }] });
  const pieces = [{ index: 0, content: plaintext, zeros: 0 }];
  const [names] = await crypto.seal(streamKey(key, 'manifest'), pieces, true);
  const manifest = listStream(plaintext.length, names!.digest);
  const listed = listStream(size, randomBytes(chunks * DIGEST_BYTES));
  const owner = ownerOf(randomBytes(32));
  const { id, bytes } = sealShareBlock(key, { owner, manifest: manifest.list, data: listed.list });
  leases.begin({
    id,
    account: 'peer:bench',
    sizeBytes: ciphertextBytes({ manifest: manifest.list, data: listed.list }),
  });
  await store.write(id, { kind: 'share' }, bytes);
  for (const [index, block] of listed.blocks.entries())
    await store.write(id, { kind: 'index', stream: 'data', index }, block);
  await store.write(id, { kind: 'chunk', stream: 'manifest', index: 0 }, names!.chunk!);
  makeHollow(join(path, id), size, chunks);
  await leases.keep(id, Math.floor(systemClock.now() / 1000) + LEASE_SECONDS);
  return { id, key, hints: [] };
}

function makeHollow(share: string, size: number, chunks: number): void {
  for (let index = 0; index < chunks; index++) {
    const { folder = '', name } = placeOf({ kind: 'chunk', stream: 'data', index });
    if (name === '0' || index === 0) mkdirSync(join(share, folder), { mode: 0o700, recursive: true });
    const file = openSync(join(share, folder, name), 'wx', 0o600);
    ftruncateSync(file, chunkLength(size, index));
    closeSync(file);
  }
}
