/** What the holder of a home removes when it starts, and what it never does. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { openDatabase } from '../../src/files/sqlite.ts';
import { openHome, type Home } from '../../src/home.ts';
import { someRecord } from '../contract/catalog.ts';
import { makeShare, type TestShare } from '../contract/chunk-source.ts';
import { fill } from '../contract/chunk-store.ts';

describe('the sweep of a home', () => {
  let folder: string;
  let home: Home;
  let share: TestShare;
  before(async () => {
    share = await makeShare('share', { 'a.txt': randomBytes(1000) });
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-home-'));
    home = await open();
    await fill(home.store, share);
  });
  afterEach(async () => {
    await home.close();
    await rm(folder, { recursive: true });
  });

  const open = (): Promise<Home> => openHome(folder, { crypto: nodeCrypto(), clock: systemClock, random: randomBytes });

  async function reopenAndSweep(meanwhile: (catalog: string) => void | Promise<void> = () => undefined): Promise<void> {
    await home.close();
    await meanwhile(join(folder, 'catalog.sqlite'));
    home = await open();
    await home.sweep();
  }

  it('removes what was begun and not finished, and what was forgotten and not yet removed', async () => {
    const other = await makeShare('other', { 'b.txt': randomBytes(1000) });
    home.catalog.begin(share.id);
    home.catalog.add(someRecord({ id: other.id }), {});
    await fill(home.store, other);
    home.catalog.remove(other.id);
    await reopenAndSweep();
    expect(await home.store.list()).to.deep.equal([]);
    expect(home.catalog.debris()).to.deep.equal([]);
  });

  it('leaves what was finished', async () => {
    home.catalog.begin(share.id);
    home.catalog.add(someRecord({ id: share.id, source: 'imported' }), {});
    await reopenAndSweep();
    expect(await home.store.have(share.id)).to.equal('all');
  });

  it('leaves what was kept for a catalog that was moved away', async () => {
    home.catalog.add(someRecord({ id: share.id, source: 'imported' }), {});
    await reopenAndSweep(catalog => rename(catalog, `${catalog}.damaged`));
    expect(home.catalog.list()).to.deep.equal([]);
    expect(await home.store.have(share.id)).to.equal('all');
  });

  it('leaves what belongs to a row that can not be read', async () => {
    home.catalog.begin(share.id);
    home.catalog.add(someRecord({ id: share.id, source: 'imported' }), {});
    await reopenAndSweep(catalog => {
      const database = openDatabase(catalog);
      database.exec('UPDATE shares SET created_at = -1');
      database.close();
    });
    expect(home.catalog.list()).to.deep.equal([]);
    expect(await home.store.have(share.id)).to.equal('all');
  });
});
