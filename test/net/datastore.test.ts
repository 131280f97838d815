import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { expect } from 'chai';
import { LevelDatastore } from 'datastore-level';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_STORED_PEER_BYTES, MAX_STORED_PEERS } from '../../src/limits.ts';
import { openDatastore } from '../../src/net/datastore.ts';

type Key = Parameters<LevelDatastore['put']>[0];

describe('The datastore of a home', () => {
  let folder: string;
  let path: string;
  let self: PeerId;
  let own: Key;

  before(async () => {
    self = peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
    own = keyOf(`/peers/${self.toCID().toString()}`);
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-net-'));
    path = join(folder, 'peers');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const value = new Uint8Array(10);
  const stranger = (n: number): Key => keyOf(`/peers/stranger-${n}`);
  const countOf = async (store: LevelDatastore): Promise<number> => {
    const keys: Key[] = [];
    for await (const key of store.queryKeys({ prefix: '/peers/' })) keys.push(key);
    return keys.length;
  };

  it('forgets the peers that it heard of longest ago, and neither itself nor announcements', async () => {
    const store = await openDatastore(path, self);
    const announcement = keyOf(`/dht/provider/something/${'x'.repeat(20)}`);
    await store.put(own, value);
    await store.put(announcement, value);
    for (let n = 0; n < MAX_STORED_PEERS - 1; n++) await store.put(stranger(n), value);
    await store.put(stranger(0), value);
    for (let n = 0; n < 3; n++) await store.put(stranger(MAX_STORED_PEERS + n), value);
    expect(await countOf(store)).to.equal(MAX_STORED_PEERS);
    expect(await Promise.all([0, 1, 2, 3, 4].map(n => store.has(stranger(n))))).to.deep.equal([
      true,
      false,
      false,
      false,
      true,
    ]);
    expect(await Promise.all([store.has(own), store.has(announcement)])).to.deep.equal([true, true]);
    await store.close();
  }).timeout(10_000);

  it('keeps to that when it is opened, whatever is there', async () => {
    const before = new LevelDatastore(path);
    await before.open();
    for (let n = 0; n < MAX_STORED_PEERS + 50; n++) await before.put(stranger(n), value);
    await before.put(own, value);
    await before.close();
    const store = await openDatastore(path, self);
    expect([await countOf(store), await store.has(own)]).to.deep.equal([MAX_STORED_PEERS, true]);
    await store.close();
  }).timeout(10_000);

  it('keeps little about each', async () => {
    const store = await openDatastore(path, self);
    await store.put(stranger(1), new Uint8Array(MAX_STORED_PEER_BYTES));
    const error: unknown = await store
      .put(stranger(1), new Uint8Array(MAX_STORED_PEER_BYTES + 1))
      .catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(RangeError);
    expect((await store.get(stranger(1))).length).to.equal(MAX_STORED_PEER_BYTES);
    await store.close();
  });
});

/** What a key is for Level: its text. */
function keyOf(text: string): Key {
  return { toString: () => text } as unknown as Key;
}
