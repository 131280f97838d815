/** What every adapter of the Catalog port does. */
import { expect } from 'chai';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { idOf } from '../../src/format/ids.ts';
import type { BlockId } from '../../src/format/ids.ts';
import type {
  Catalog,
  GrantRecord,
  NewShareRecord,
  NoticeRecord,
  RelayRecord,
  TransferRecord,
  WithdrawalRecord,
} from '../../src/catalog.ts';

/** An id of nothing. */
export function someId(): BlockId {
  return idOf(randomBytes(32));
}

/** A record with every field; `changes` take the place of its fields. */
export function someRecord(changes: Partial<NewShareRecord> = {}): NewShareRecord {
  return {
    id: someId(),
    kind: 'folder',
    name: 'holiday',
    sizeBytes: 2 ** 40,
    files: 12,
    source: 'original',
    root: '/home/someone/holiday',
    fingerprint: randomBytes(32),
    hints: ['relay.example'],
    createdAt: 1_800_000_000,
    serveAlways: true,
    ...changes,
  };
}

/** What a record reads as when it was just added. */
const fresh = { state: 'ready', hasKey: false, bytesUp: 0, peersServed: 0 } as const;

const LINK = 'shoal:a-link-with-its-key';

/** A transfer that has just begun. */
function someTransfer(id: string): TransferRecord {
  const wanted = { output: '/home/someone/to', only: ['*.txt'], force: true, keep: false };
  return { id, share: someId(), ...wanted, state: 'wanted', createdAt: 1_800_000_000 };
}

/** Runs the suite. `make` opens an empty catalog; `reopen` closes one and opens it again, as a later process would. */
export function catalogContract(make: () => Promise<Catalog>, reopen: (catalog: Catalog) => Promise<Catalog>): void {
  let catalog: Catalog;
  beforeEach(async () => {
    catalog = await make();
  });
  afterEach(() => catalog.close());

  it('is empty at first', () => {
    expect(catalog.list()).to.deep.equal([]);
    expect(catalog.count()).to.equal(0);
    expect(catalog.get(someId())).to.equal(undefined);
    expect(catalog.keyOf(someId())).to.equal(undefined);
    expect(catalog.ownerSeedOf(someId())).to.equal(undefined);
    expect(catalog.findByRoot('/')).to.deep.equal([]);
  });

  it('knows how a share is to be served, also when opened again', async () => {
    const record = someRecord({ serveAlways: false });
    catalog.add(record, {});
    catalog.serveAs(record.id, { serveAlways: true, downloadsLeft: 3 });
    catalog = await reopen(catalog);
    expect(catalog.get(record.id)).to.deep.equal({ ...record, ...fresh, serveAlways: true, downloadsLeft: 3 });
    catalog.serveAs(record.id, { serveAlways: false });
    expect(catalog.get(record.id)).to.deep.equal({ ...record, ...fresh });
  });

  it('knows transfers and their links, in the order in which they were added, also when opened again', async () => {
    const [first, second] = [someTransfer('t2'), someTransfer('t1')];
    catalog.transfers.add(first, LINK);
    catalog.transfers.add(second, 'another');
    catalog = await reopen(catalog);
    expect(catalog.transfers.list()).to.deep.equal([first, second]);
    expect(catalog.transfers.list().find(({ id }) => id === 't1')).to.deep.equal(second);
    expect(catalog.transfers.linkOf('t2')).to.equal(LINK);
    expect(catalog.transfers.linkOf('t3')).to.equal(undefined);
  });

  it('pauses all transfers that are not done, and takes from them the leave to overwrite', async () => {
    const [wanted, failed, done] = ['t1', 't2', 't3'].map(id => ({ ...someTransfer(id), force: true }));
    for (const record of [wanted!, failed!, done!]) catalog.transfers.add(record, LINK);
    catalog.transfers.update({ ...failed!, state: 'failed', detail: 'the disk is full', doneBytes: 5 });
    catalog.transfers.update({ ...done!, state: 'done' });
    catalog.transfers.pauseAll();
    catalog = await reopen(catalog);
    expect(catalog.transfers.list()).to.deep.equal([
      { ...wanted!, state: 'paused', force: false },
      { ...failed!, state: 'paused', force: false, doneBytes: 5 },
      { ...done!, state: 'done' },
    ]);
    expect(catalog.transfers.linkOf('t1')).to.equal(LINK);
  });

  it('knows how a transfer went, and forgets it', async () => {
    const record = someTransfer('t1');
    catalog.transfers.add(record, LINK);
    const failed = {
      ...record,
      state: 'failed',
      detail: 'the disk is full',
      name: 'trip',
      sizeBytes: 12,
      doneBytes: 5,
    } as const;
    catalog.transfers.update(failed);
    const done = { ...record, state: 'done', name: 'trip', sizeBytes: 12, path: '/home/someone/to/trip' } as const;
    expect(catalog.transfers.list()).to.deep.equal([failed]);
    catalog.transfers.update(done);
    catalog = await reopen(catalog);
    expect(catalog.transfers.list()).to.deep.equal([done]);
    catalog.transfers.remove('t1');
    expect(catalog.transfers.list()).to.deep.equal([]);
    expect(catalog.transfers.linkOf('t1')).to.equal(undefined);
  });

  it('knows its relays and their tokens, in the order in which they were added, also when opened again', async () => {
    const [first, second] = [someRelay('R2'), someRelay('R1')];
    catalog.relays.put(first, 'the-token');
    catalog.relays.put(second);
    const renamed = { ...first, name: 'another name', addresses: [], always: false };
    catalog.relays.put(renamed);
    catalog = await reopen(catalog);
    expect(catalog.relays.list()).to.deep.equal([renamed, second]);
    expect([catalog.relays.tokenOf('R2'), catalog.relays.tokenOf('R1')]).to.deep.equal(['the-token', undefined]);
    catalog.relays.remove('R2');
    expect(catalog.relays.list()).to.deep.equal([second]);
    expect(catalog.relays.tokenOf('R2')).to.equal(undefined);
  });

  it('knows where shares are stored, until the share or the relay is forgotten', async () => {
    const [one, other] = [someRecord(), someRecord()];
    [one, other].forEach(record => catalog.add(record, {}));
    ['R1', 'R2'].forEach(peer => catalog.relays.put(someRelay(peer)));
    const wanted = { share: one.id, relay: 'R1', state: 'wanted', detail: 'it is full' } as const;
    const stored = {
      ...{ share: one.id, relay: 'R1', state: 'stored' as const, until: 1_800_000_000, checkedAt: 1_700_000_000 },
      receipt: Uint8Array.of(1, 2),
    } as const;
    const elsewhere = { share: other.id, relay: 'R2', state: 'wanted' } as const;
    for (const copy of [wanted, elsewhere, stored]) catalog.copies.put(copy);
    catalog = await reopen(catalog);
    expect(catalog.copies.list()).to.deep.equal([stored, elsewhere]);
    expect(catalog.copies.list(other.id)).to.deep.equal([elsewhere]);
    catalog.copies.put({ ...wanted, share: someId() });
    catalog.copies.put({ ...wanted, relay: 'R3' });
    catalog.relays.remove('R2');
    expect(catalog.copies.list()).to.deep.equal([stored]);
    catalog.remove(one.id);
    expect(catalog.copies.list()).to.deep.equal([]);
  });

  it('knows contacts by their names, also when opened again', async () => {
    const [bob, ann] = ['bob', 'Ann "&" Co'].map(name => ({ name, recipient: `age1${name}`, addedAt: 1_790_000_000 }));
    for (const contact of [bob!, ann!]) catalog.contacts.put(contact);
    catalog = await reopen(catalog);
    expect(catalog.contacts.list()).to.deep.equal([ann, bob]);
    expect(catalog.contacts.get('bob')).to.deep.equal(bob);
    expect(catalog.contacts.get('Bob')).to.equal(undefined);
    const moved = { ...bob!, recipient: 'age1other', addedAt: 1_790_000_001 };
    catalog.contacts.put(moved);
    expect(catalog.contacts.get('bob')).to.deep.equal(moved);
    catalog.contacts.remove('bob');
    catalog.contacts.remove('bob');
    expect(catalog.contacts.list()).to.deep.equal([ann]);
  });

  it('knows grants of its shares and which of them it made, until they or the share are gone', async () => {
    const [one, other] = [someRecord(), someRecord()];
    [one, other].forEach(record => catalog.add(record, {}));
    const ownerSalt = randomBytes(16);
    const [own, foreign, elsewhere] = [
      someGrant(one.id, { createdAt: 2 }),
      someGrant(one.id, { createdAt: 1, expires: 1_800_003_600, madeFor: [] }),
      someGrant(other.id, { createdAt: 3 }),
    ];
    catalog.grants.add(own, ownerSalt);
    for (const grant of [foreign, elsewhere, someGrant(someId())]) catalog.grants.add(grant);
    catalog.grants.add({ ...own, madeFor: ['somebody else'] });
    catalog = await reopen(catalog);
    const kept = [
      { ...foreign, isOwn: false },
      { ...own, isOwn: true },
      { ...elsewhere, isOwn: false },
    ];
    expect(catalog.grants.list().map(plain)).to.deep.equal(kept.map(plain));
    expect(catalog.grants.list(one.id).map(({ id }) => id)).to.deep.equal([foreign.id, own.id]);
    expect(plain(catalog.grants.get(own.id))).to.deep.equal(plain({ ...own, isOwn: true }));
    expect(catalog.grants.get(someId())).to.equal(undefined);
    expect(catalog.grants.findByPrefix(own.id.slice(0, 30)).map(({ id }) => id)).to.deep.equal([own.id]);
    expect(catalog.grants.findByPrefix('').map(({ id }) => id)).to.deep.equal([foreign.id, own.id, elsewhere.id]);
    expect(hex(catalog.grants.ownerSeedOf(own.id))).to.equal(hex(catalog.ownerSeed(ownerSalt)));
    expect(catalog.grants.ownerSeedOf(foreign.id)).to.equal(undefined);
    catalog.grants.remove(elsewhere.id);
    expect(catalog.grants.list(other.id)).to.deep.equal([]);
    catalog.remove(one.id);
    expect(catalog.grants.list()).to.deep.equal([]);
  });

  it('knows which relays have a grant, until the relay lost the share or was forgotten', async () => {
    const record = someRecord();
    catalog.add(record, {});
    ['R1', 'R2'].forEach(peer => catalog.relays.put(someRelay(peer)));
    const [first, second] = [someGrant(record.id, { createdAt: 1 }), someGrant(record.id, { createdAt: 2 })];
    for (const grant of [first, second]) catalog.grants.add(grant);
    const missingAt = (relay: string): string[] => catalog.grants.missingAt(relay, record.id).map(({ id }) => id);
    expect(missingAt('R1')).to.deep.equal([first.id, second.id]);
    catalog.grants.isAt('R1', first.id);
    catalog.grants.isAt('R1', first.id);
    catalog.grants.isAt('R1', someId());
    catalog.grants.isAt('R3', first.id);
    catalog.grants.isAt('R2', second.id);
    catalog = await reopen(catalog);
    expect([missingAt('R1'), missingAt('R2'), missingAt('R3')]).to.deep.equal([
      [second.id],
      [first.id],
      [first.id, second.id],
    ]);
    catalog.grants.goneFrom('R1', record.id);
    expect(missingAt('R1')).to.deep.equal([first.id, second.id]);
    catalog.relays.remove('R2');
    catalog.relays.put(someRelay('R2'));
    expect(missingAt('R2')).to.deep.equal([first.id, second.id]);
  });

  it('knows what was added, also when opened again', async () => {
    const full = someRecord();
    const bare: NewShareRecord = {
      id: someId(),
      kind: 'file',
      name: 'bare',
      sizeBytes: 0,
      files: 1,
      source: 'imported',
      hints: [],
      createdAt: 0,
      serveAlways: false,
    };
    catalog.add(full, {});
    catalog.add(bare, {});
    const expected = [full, bare].map(record => ({ ...record, ...fresh }));
    for (let round = 0; round < 2; round++) {
      expect(plain(catalog.get(full.id))).to.deep.equal(plain(expected[0]));
      expect(plain(catalog.get(bare.id))).to.deep.equal(plain(expected[1]));
      expect(catalog.list()).to.have.length(2);
      catalog = await reopen(catalog);
    }
  });

  it('lists in the order in which shares were created', () => {
    const times = [30, 10, 20];
    for (const createdAt of times) catalog.add(someRecord({ createdAt }), {});
    expect(catalog.list().map(({ createdAt }) => createdAt)).to.deep.equal([10, 20, 30]);
  });

  it('keeps names, paths and hints as they are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.array(fc.string({ unit: 'grapheme' })), (text, hints) => {
        const name = text.replaceAll('\0', '');
        const record = someRecord({ name, root: `/${name}`, hints });
        catalog.add(record, {});
        expect(catalog.get(record.id)).to.deep.include({ name, root: `/${name}`, hints });
        expect(catalog.findByRoot(`/${name}`).map(({ id }) => id)).to.include(record.id);
      }),
      { numRuns: 25 },
    );
  });

  it('finds shares by exactly the path that they were made of', () => {
    const [a, b] = [someRecord({ root: '/a', createdAt: 2 }), someRecord({ root: '/a', createdAt: 1 })];
    for (const record of [a, b, someRecord({ root: '/A' }), someRecord({ root: '/a/b' })]) catalog.add(record, {});
    expect(catalog.findByRoot('/a').map(({ id }) => id)).to.deep.equal([b.id, a.id]);
    expect(catalog.findByRoot('/a/')).to.deep.equal([]);
  });

  it('finds shares by how their ids begin', () => {
    const records = [someRecord({ createdAt: 2 }), someRecord({ createdAt: 1 })] as const;
    const idsAt = (prefix: string): string[] => catalog.findByPrefix(prefix).map(({ id }) => id);
    for (const record of records) catalog.add(record, {});
    expect(idsAt('')).to.deep.equal([records[1].id, records[0].id]);
    for (const { id } of records) {
      expect(idsAt(id)).to.deep.equal([id]);
      expect(idsAt(id.slice(0, 20))).to.deep.equal([id]);
      expect(idsAt(`${id}a`)).to.deep.equal([]);
    }
  });

  it('finds shares by exactly the paths that they were put together from, in whatever order', async () => {
    const parts = [
      ['b "x"', '/b'],
      ['a', '/somewhere/a'],
      ['__proto__', '/p'],
    ] as const;
    const record = someRecord({ root: new Map(parts), note: 'for you' });
    for (const other of [parts.slice(1), [...parts.slice(0, 2), ['__proto__', '/q']] as const])
      catalog.add(someRecord({ root: new Map(other) }), {});
    catalog.add(record, {});
    for (let round = 0; round < 2; round++) {
      const found = catalog.findByRoot(new Map([parts[2], parts[0], parts[1]]));
      expect(found.map(({ id }) => id)).to.deep.equal([record.id]);
      expect(found[0]).to.deep.include({ root: new Map(parts), note: 'for you' });
      catalog = await reopen(catalog);
    }
    const again = someRecord({ id: record.id, root: '/a' });
    catalog.add(again, {});
    expect(catalog.get(record.id)).to.deep.include({ root: '/a' }).and.not.to.have.property('note');
    expect(catalog.findByRoot(new Map(parts))).to.deep.equal([]);
  });

  it('gives back keys, and the same owner seed for the same salt', async () => {
    const [key, ownerSalt] = [randomBytes(32), randomBytes(16)];
    const record = someRecord();
    const seed = catalog.ownerSeed(ownerSalt);
    expect(seed).to.have.length(32);
    expect(catalog.ownerSeed(randomBytes(16))).not.to.deep.equal(seed);
    catalog.add(record, { key, ownerSalt });
    catalog.add(someRecord(), {});
    for (let round = 0; round < 2; round++) {
      expect(hex(catalog.keyOf(record.id))).to.equal(hex(key));
      expect(hex(catalog.ownerSeedOf(record.id))).to.equal(hex(seed));
      expect(catalog.get(record.id)?.hasKey).to.equal(true);
      catalog = await reopen(catalog);
    }
  });

  it('keeps traffic and secrets when a share is added again, and takes all else', () => {
    const [key, ownerSalt] = [randomBytes(32), randomBytes(16)];
    const record = someRecord();
    catalog.add(record, { key, ownerSalt });
    catalog.addTraffic(record.id, 100, 1);
    catalog.markChanged(record.id, 'a file grew');
    const again = someRecord({ id: record.id, name: 'other', source: 'copy' });
    catalog.add(again, {});
    expect(plain(catalog.get(record.id))).to.deep.equal(
      plain({ ...again, ...fresh, hasKey: true, bytesUp: 100, peersServed: 1 }),
    );
    expect(hex(catalog.keyOf(record.id))).to.equal(hex(key));
    const other = randomBytes(32);
    catalog.add(again, { key: other });
    expect(hex(catalog.keyOf(record.id))).to.equal(hex(other));
    expect(catalog.list()).to.have.length(1);
  });

  it('marks a share as changed, and says why', () => {
    const [record, other] = [someRecord(), someRecord()];
    catalog.add(record, {});
    catalog.add(other, {});
    catalog.markChanged(record.id, 'a file grew');
    expect(catalog.get(record.id)).to.include({ state: 'changed', changedWhy: 'a file grew' });
    expect(catalog.get(other.id)).to.include({ state: 'ready' }).and.not.to.have.property('changedWhy');
    expect(catalog.changed()).to.deep.equal([record.id]);
  });

  it('adds traffic up', () => {
    const record = someRecord();
    catalog.add(record, {});
    catalog.addTraffic(record.id, 2 ** 40, 2);
    catalog.addTraffic(record.id, 1, 0);
    expect(catalog.get(record.id)).to.include({ bytesUp: 2 ** 40 + 1, peersServed: 2 });
  });

  it('forgets a share with its secrets, and minds no second time', () => {
    const record = someRecord();
    catalog.add(record, { key: randomBytes(32), ownerSalt: randomBytes(16) });
    catalog.remove(record.id);
    catalog.remove(record.id);
    expect(catalog.get(record.id)).to.equal(undefined);
    expect(catalog.keyOf(record.id)).to.equal(undefined);
    expect(catalog.ownerSeedOf(record.id)).to.equal(undefined);
    catalog.add(record, {});
    expect(catalog.get(record.id)?.hasKey).to.equal(false);
  });

  it('knows blocks as debris from the beginning of a share until it is added, and from its end until they are gone', async () => {
    const [record, other] = [someRecord(), someId()];
    catalog.begin(record.id);
    catalog.begin(record.id);
    catalog.begin(other);
    catalog = await reopen(catalog);
    expect(catalog.debris()).to.have.members([record.id, other]);
    expect(catalog.list()).to.deep.equal([]);
    catalog.add(record, {});
    expect(catalog.debris()).to.deep.equal([other]);
    catalog.begin(record.id);
    catalog.clear(other);
    expect(catalog.debris()).to.deep.equal([]);
    catalog.remove(record.id);
    catalog = await reopen(catalog);
    expect(catalog.debris()).to.deep.equal([record.id]);
    catalog.clear(record.id);
    catalog.remove(someId());
    expect(catalog.debris()).to.deep.equal([]);
  });

  describe('of withdrawals', () => {
    const withdrawal = (id: BlockId, share = id, isOwn = true): WithdrawalRecord => {
      return { id, share, statement: randomBytes(100), block: randomBytes(200), at: 1_796_040_000, isOwn };
    };
    const grant = (share: BlockId) => {
      return { id: someId(), share, block: randomBytes(50), madeFor: ['ada'], createdAt: 1_796_000_000 };
    };
    const told = (id: BlockId): NoticeRecord => {
      const addresses = ['/ip4/192.0.2.1/tcp/4001'];
      return { id, peer: 'a peer', addresses, isRelay: true, state: 'pending', at: 5, detail: 'it is away' };
    };

    it('keeps them, with statement and block, also when opened again, and when the share is forgotten', async () => {
      const record = someRecord();
      catalog.add(record, {});
      const kept = withdrawal(record.id);
      catalog.withdrawals.add(kept);
      expect(catalog.get(record.id)?.state).to.equal('withdrawn');
      catalog.remove(record.id);
      catalog = await reopen(catalog);
      expect(plain(catalog.withdrawals.get(record.id))).to.deep.equal(plain(kept));
      expect(catalog.withdrawals.ids()).to.deep.equal([record.id]);
      expect(catalog.withdrawals.get(someId())).to.equal(undefined);
    });

    it('never has a share be ready again, whatever is added of it', () => {
      const record = someRecord();
      catalog.add(record, {});
      catalog.withdrawals.add(withdrawal(record.id));
      catalog.add(record, {});
      catalog.markExpired(record.id);
      expect(catalog.get(record.id)?.state).to.equal('withdrawn');
    });

    it('takes a grant with it that it is of, and leaves those of a share, which lead to it', () => {
      const [record, other] = [someRecord(), someRecord()];
      for (const one of [record, other]) catalog.add(one, {});
      const [first, second, foreign] = [grant(record.id), grant(record.id), grant(other.id)];
      for (const one of [first, second, foreign]) catalog.grants.add(one, randomBytes(32));
      catalog.withdrawals.add(withdrawal(first.id, record.id));
      expect(catalog.grants.list(record.id).map(({ id }) => id)).to.deep.equal([second.id]);
      expect(catalog.get(record.id)?.state).to.equal('ready');
      catalog.withdrawals.add(withdrawal(record.id));
      expect(catalog.grants.list().map(({ id }) => id)).to.have.members([second.id, foreign.id]);
      expect(catalog.get(other.id)?.state).to.equal('ready');
    });

    it('keeps the first of two of the same id, and tells its own apart', () => {
      const [id, heard] = [someId(), someId()];
      const first = withdrawal(id);
      catalog.withdrawals.add(first);
      catalog.withdrawals.add(withdrawal(id, id, false));
      catalog.withdrawals.add(withdrawal(heard, heard, false));
      expect(plain(catalog.withdrawals.get(id))).to.deep.equal(plain(first));
      expect(catalog.withdrawals.own().map(one => one.id)).to.deep.equal([id]);
    });

    it('knows who is to be told, one entry a peer, also when opened again', async () => {
      const id = someId();
      catalog.withdrawals.add(withdrawal(id));
      catalog.withdrawals.putNotice(told(id));
      expect(catalog.withdrawals.notices(id)).to.deep.equal([told(id)]);
      const { peer, addresses, isRelay } = told(id);
      const confirmed = { id, peer, addresses, isRelay, state: 'obeyed' as const, at: 9 };
      catalog.withdrawals.putNotice(confirmed);
      catalog = await reopen(catalog);
      expect(catalog.withdrawals.notices(id)).to.deep.equal([confirmed]);
      expect(catalog.withdrawals.notices(someId())).to.deep.equal([]);
    });
  });

  it('minds no change to a share that it does not know', () => {
    catalog.markChanged(someId(), 'x');
    catalog.addTraffic(someId(), 1, 1);
    expect(catalog.list()).to.deep.equal([]);
  });

  it('keeps settings until they are taken back', async () => {
    expect(catalog.setting('relay')).to.equal(undefined);
    catalog.setSetting('relay', 'a');
    catalog.setSetting('relay', 'b');
    catalog.setSetting('other', '');
    catalog = await reopen(catalog);
    expect(catalog.setting('relay')).to.equal('b');
    expect(catalog.setting('other')).to.equal('');
    catalog.setSetting('relay', undefined);
    expect(catalog.setting('relay')).to.equal(undefined);
  });
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString('hex');
}

/** Buffers and other Uint8Arrays are alike here. */
function plain(record: object | undefined): object | undefined {
  if (record === undefined) return undefined;
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? hex(value) : (value as unknown),
    ]),
  );
}

function someRelay(peer: string): RelayRecord {
  const addresses = [`/ip4/192.0.2.1/tcp/4001/p2p/${peer}`];
  return { peer, addresses, origin: 'https://relay.example', name: 'a relay', always: true, addedAt: 1_790_000_000 };
}

/** A grant with every field but an end. */
function someGrant(share: BlockId, changes: Partial<GrantRecord> = {}): Omit<GrantRecord, 'isOwn'> {
  const block = Uint8Array.from(randomBytes(300));
  return { id: someId(), share, block, madeFor: ['ann', 'bob'], createdAt: 1_800_000_000, ...changes };
}
