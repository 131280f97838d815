import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { sharesOf, statusOf } from '../../src/daemon/shares.ts';
import { openRecords } from '../../src/records.ts';
import { someRecord } from '../contract/catalog.ts';
import { failureOf } from '../contract/crypto.ts';

describe('the shares of a home that nobody holds', () => {
  let folder: string;
  let home: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-shares-'));
    home = join(folder, 'home');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('are none where there is no home, and none is made', async () => {
    expect(await sharesOf(home)).to.deep.equal({ shares: [] });
    expect(existsSync(home)).to.equal(false);
  });

  it('are told in the order of their making, each with how its files stand', async () => {
    const root = join(folder, 'here');
    writeFileSync(root, '');
    const records = [
      someRecord({ createdAt: 4, source: 'copy', root: join(folder, 'gone') }),
      someRecord({ createdAt: 3, root: join(folder, 'gone') }),
      someRecord({ createdAt: 2, root }),
      someRecord({ createdAt: 1, root }),
    ];
    const { catalog } = await openRecords(home, { clock: systemClock, random: randomBytes });
    for (const record of records) catalog.add(record, {});
    catalog.markChanged(records[3]!.id, 'the file was written');
    catalog.close();
    const { shares } = await sharesOf(home);
    expect(shares.map(({ id }) => id)).to.deep.equal(records.map(({ id }) => id).reverse());
    expect(shares.map(({ state }) => state)).to.deep.equal(['changed', 'idle', 'missing', 'missing']);
    expect(shares.map(({ detail }) => detail)).to.deep.equal([
      'the file was written',
      undefined,
      `"${join(folder, 'gone')}" is not there`,
      'its encrypted blocks are not in this home; "shoal seed LINK" with its link gets them from who has them',
    ]);
    expect(shares[1]).to.include({ path: root, name: 'holiday', kind: 'folder', files: 12, sizeBytes: 2 ** 40 });
  });

  it('are counted for its status', async () => {
    const network = { listen: [], bootstrap: [], mdns: false, dht: 'off', portMapping: false } as const;
    const none = await statusOf(home, network);
    expect(none).to.deep.include({ holds: false, shares: { total: 0, serving: 0 }, network });
    expect(existsSync(home)).to.equal(false);
    const { catalog } = await openRecords(home, { clock: systemClock, random: randomBytes });
    for (let n = 0; n < 3; n++) catalog.add(someRecord(), {});
    catalog.close();
    expect((await statusOf(home, network)).shares).to.deep.equal({ total: 3, serving: 0 });
  });

  (process.platform === 'win32' ? it.skip : it)('are not told of a home that others may write to', async () => {
    const { catalog } = await openRecords(home, { clock: systemClock, random: randomBytes });
    catalog.close();
    chmodSync(home, 0o777);
    const error = await failureOf(sharesOf(home));
    expect(error).to.include({ code: 'home' });
    expect(error.message).to.match(/others may write to it/);
  });

  (process.platform === 'win32' ? it.skip : it)('are not none where no home could be made', async () => {
    mkdirSync(home);
    chmodSync(home, 0o777);
    expect((await failureOf(sharesOf(home))).message).to.match(/others may write to it/);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    for (const path of [file, join(file, 'home')]) {
      const error = await failureOf(sharesOf(path));
      expect(error).to.include({ code: 'home' });
      expect(error.message).to.match(/something on its path is not a folder; SHOAL_HOME chooses another$/);
    }
  });
});
