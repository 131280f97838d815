import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Leases } from '../../relay/leases.ts';
import { nodeCrypto } from '../../src/crypto/node.ts';
import type { Directory } from '../../src/ports.ts';
import { diskStore } from '../../src/store/disk.ts';
import { expectSame, makeShare, withdrawalOf, type TestShare } from '../contract/chunk-source.ts';
import { fill } from '../contract/chunk-store.ts';
import { simClock, type SimClock } from '../sim/clock.ts';
import { Crash, Forgetful } from '../sim/forgetful.ts';

const ACCOUNT = 'prefix:00';
const STRANGER = 'prefix:01';
/** As relays that did not know who had left a grant have it on their disks. */
const FIRST_SCHEMA = `
  CREATE TABLE leases (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, state TEXT NOT NULL, size_bytes INTEGER NOT NULL, until INTEGER NOT NULL,
    expires INTEGER, CHECK (state IN ('begun', 'kept'))
  ) STRICT;
  CREATE INDEX leases_by_account ON leases (account);
  CREATE INDEX leases_by_until ON leases (until);
  CREATE TABLE grants (
    id TEXT PRIMARY KEY, share TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE, block BLOB NOT NULL, expires INTEGER
  ) STRICT;
  CREATE INDEX grants_by_share ON grants (share);
  CREATE INDEX grants_by_expires ON grants (expires);
  CREATE TABLE withdrawals (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, statement BLOB NOT NULL, block BLOB NOT NULL
  ) STRICT;
  CREATE INDEX withdrawals_by_account ON withdrawals (account)`;

describe('leases', () => {
  let folder: string;
  let clock: SimClock;
  let share: TestShare;
  let other: TestShare;
  let files = 0;
  before(async () => {
    share = await makeShare('small', { small: randomBytes(2_000) });
    other = await makeShare('other', { other: randomBytes(9_000) });
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-leases-'));
    clock = simClock();
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const storeIn = (root: Directory) => diskStore({ folder: root, crypto: nodeCrypto(), random: randomBytes });
  const nowSeconds = (): number => Math.floor(clock.now() / 1000);
  const newPath = (): string => join(folder, `records-${files++}.sqlite`);

  async function kept(leases: Leases, store: ReturnType<typeof storeIn>, one: TestShare, until: number): Promise<void> {
    leases.begin({ id: one.id, account: ACCOUNT, sizeBytes: 10_000 });
    await fill(store, one);
    await leases.keep(one.id, until);
  }

  /** The records as a crash leaves them: the file and its journal. */
  function recordsOf(path: string): string {
    const copy = newPath();
    for (const suffix of ['', '-wal', '-shm'])
      if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
    return copy;
  }

  it('are known when they are opened again, with what they promise', async () => {
    const store = storeIn(new Forgetful().root());
    const path = newPath();
    const leases = await Leases.open(path, store, clock);
    const until = nowSeconds() + 100;
    await kept(leases, store, share, until);
    leases.addGrant({ id: other.id, share: share.id, account: ACCOUNT, block: randomBytes(50) });
    leases.close();
    const again = await Leases.open(path, store, clock);
    expect(again.get(share.id)).to.deep.equal({
      id: share.id,
      account: ACCOUNT,
      state: 'kept',
      sizeBytes: 10_000,
      until,
    });
    expect(again.kept()).to.have.members([share.id, other.id]);
    expect(again.holding(ACCOUNT)).to.deep.equal({ leases: 1, bytes: 10_050 });
    expect(again.holding('prefix:01')).to.deep.equal({ leases: 0, bytes: 0 });
    expect(again.holding()).to.deep.equal({ leases: 1, bytes: 10_050 });
    again.close();
  });

  it('are over when their time has come, and their grants when theirs has', async () => {
    const store = storeIn(new Forgetful().root());
    const leases = await Leases.open(newPath(), store, clock);
    await kept(leases, store, share, nowSeconds() + 100);
    await kept(leases, store, other, nowSeconds() + 5000);
    const grant = (await makeShare('third', { third: randomBytes(1) })).id;
    const expires = nowSeconds() + 60;
    leases.addGrant({ id: grant, share: other.id, account: ACCOUNT, block: randomBytes(50), expires });
    await clock.advance(59_000);
    expect(leases.over()).to.deep.equal({ leases: [], grants: [] });
    await clock.advance(1_000);
    expect(leases.over()).to.deep.equal({ leases: [], grants: [grant] });
    await clock.advance(40_000);
    expect(leases.over().leases).to.deep.equal([share.id]);
    leases.close();
  });

  it('end with their grants and blocks, and do not come back', async () => {
    const store = storeIn(new Forgetful().root());
    const leases = await Leases.open(newPath(), store, clock);
    await kept(leases, store, share, nowSeconds() + 100);
    leases.addGrant({ id: other.id, share: share.id, account: ACCOUNT, block: randomBytes(50) });
    await leases.end(share.id);
    expect([leases.get(share.id), leases.grantOf(other.id), await store.have(share.id)]).to.deep.equal([
      undefined,
      undefined,
      undefined,
    ]);
    expect(leases.holding().bytes).to.equal(0);
    leases.close();
  });

  it('count what shows a withdrawal to who had the lease: else it would be free to fill the disk with it', async () => {
    const store = storeIn(new Forgetful().root());
    const leases = await Leases.open(newPath(), store, clock);
    await kept(leases, store, share, nowSeconds() + 100);
    const withdrawal = withdrawalOf(share);
    await leases.withdraw(share.id, withdrawal);
    expect(leases.withdrawalOf(share.id)).to.deep.equal(withdrawal);
    expect(leases.withdrawn()).to.deep.equal([share.id]);
    const bytes = withdrawal.block.length + withdrawal.statement.length;
    expect(leases.holding(ACCOUNT)).to.deep.equal({ leases: 0, bytes });
    leases.close();
  });

  it('count a grant, and what shows its withdrawal, to who left it: who has the lease pays for no stranger', async () => {
    const store = storeIn(new Forgetful().root());
    const leases = await Leases.open(newPath(), store, clock);
    await kept(leases, store, share, nowSeconds() + 100);
    leases.addGrant({ id: other.id, share: share.id, account: STRANGER, block: randomBytes(50) });
    expect(leases.holding(ACCOUNT)).to.deep.equal({ leases: 1, bytes: 10_000 });
    expect(leases.holding(STRANGER)).to.deep.equal({ leases: 0, bytes: 50 });
    expect(leases.holding()).to.deep.equal({ leases: 1, bytes: 10_050 });
    expect(leases.countGrants(share.id, ACCOUNT)).to.deep.equal({ ofAccount: 0, ofStrangers: 1 });
    expect(leases.countGrants(share.id, STRANGER)).to.deep.equal({ ofAccount: 1, ofStrangers: 1 });
    const withdrawal = withdrawalOf(other);
    await leases.withdraw(other.id, withdrawal);
    const bytes = withdrawal.block.length + withdrawal.statement.length;
    expect(leases.holding(ACCOUNT)).to.deep.equal({ leases: 1, bytes: 10_000 });
    expect(leases.holding(STRANGER)).to.deep.equal({ leases: 0, bytes });
    await leases.end(share.id);
    expect(leases.holding(STRANGER)).to.deep.equal({ leases: 0, bytes });
    expect(leases.withdrawalOf(other.id)).to.deep.equal(withdrawal);
    leases.close();
  });

  it('count grants of before that was told apart to who has the lease, and still end with them', async () => {
    const store = storeIn(new Forgetful().root());
    const path = newPath();
    const block = randomBytes(50);
    const before = new DatabaseSync(path);
    before.exec(`${FIRST_SCHEMA}; PRAGMA user_version = 1`);
    const lease = before.prepare(`INSERT INTO leases VALUES (?, ?, 'kept', 10000, ?, NULL)`);
    lease.run(share.id, STRANGER, nowSeconds() + 100);
    before.prepare('INSERT INTO grants VALUES (?, ?, ?, ?)').run(other.id, share.id, block, nowSeconds() + 60);
    before.close();
    const leases = await Leases.open(path, store, clock);
    expect(leases.holding(STRANGER)).to.deep.equal({ leases: 1, bytes: 10_050 });
    expect(leases.countGrants(share.id, STRANGER)).to.deep.equal({ ofAccount: 1, ofStrangers: 0 });
    expect(leases.grantOf(other.id)?.bytes).to.deep.equal(Uint8Array.from(block));
    expect(leases.expiresOf(other.id)).to.equal(nowSeconds() + 60);
    await leases.end(share.id);
    expect(leases.grantOf(other.id)).to.equal(undefined);
    leases.close();
  });

  it('that are begun are given up after a day, and never before their time when they are kept', async () => {
    const store = storeIn(new Forgetful().root());
    const leases = await Leases.open(newPath(), store, clock);
    leases.begin({ id: share.id, account: ACCOUNT, sizeBytes: 1 });
    await kept(leases, store, other, nowSeconds() + 10 * 86_400);
    leases.begin({ id: other.id, account: 'prefix:01', sizeBytes: 1 });
    await clock.advance(24 * 3600_000 + 1000);
    expect(leases.over().leases).to.deep.equal([share.id]);
    expect(leases.get(other.id)?.account).to.equal(ACCOUNT);
    leases.close();
  });

  /** One share is kept, renewed and ended; another one withdrawn. Tells of what was promised and what was taken back. */
  async function life(
    path: string,
    disk: Forgetful,
    promised: Map<TestShare, number>,
    gone: Set<TestShare>,
  ): Promise<'crashed' | 'done'> {
    const store = storeIn(disk.root());
    const leases = await Leases.open(path, store, clock).catch(unlessCrash);
    if (leases === undefined) return 'crashed';
    try {
      const until = nowSeconds() + 1000;
      for (const one of [share, other]) {
        await kept(leases, store, one, until);
        promised.set(one, until);
      }
      leases.extend(share.id, until + 500);
      promised.set(share, until + 500);
      promised.delete(other);
      await leases.withdraw(other.id, withdrawalOf(other));
      gone.add(other);
      promised.delete(share);
      await leases.end(share.id);
      gone.add(share);
      return 'done';
    } catch (error) {
      unlessCrash(error);
      return 'crashed';
    } finally {
      leases.close();
    }
  }

  function unlessCrash(error: unknown): undefined {
    if (!(error instanceof Crash)) throw error;
  }

  it('lose no promise and keep nothing else, at whatever operation the power goes away', async function () {
    this.timeout(120_000);
    const undisturbed = new Forgetful();
    expect(await life(newPath(), undisturbed, new Map(), new Set())).to.equal('done');
    for (let operation = 1; operation <= undisturbed.operations + 1; operation++) {
      const disk = new Forgetful();
      disk.crashAfter(operation);
      const path = newPath();
      const promised = new Map<TestShare, number>();
      const gone = new Set<TestShare>();
      await life(path, disk, promised, gone);
      for (const seed of ['least', 'most', operation] as const) {
        const at = `operation ${operation}, seed ${seed}`;
        const store = storeIn(disk.crash(seed).root());
        const leases = await Leases.open(recordsOf(path), store, clock);
        for (const [one, until] of promised) {
          expect(leases.get(one.id)?.until, at).to.equal(until);
          expect(await store.have(one.id), at).to.equal('all');
          for (const { at: address, bytes } of one.blocks) expectSame(await store.read(one.id, address), bytes);
        }
        for (const one of gone) {
          expect(leases.get(one.id), at).to.equal(undefined);
          expect(await store.have(one.id), at).to.equal(undefined);
        }
        if (gone.has(other)) expect(leases.withdrawalOf(other.id), at).to.deep.equal(withdrawalOf(other));
        for (const id of await store.list()) expect(leases.get(id), `${at}: debris`).not.to.equal(undefined);
        leases.close();
      }
    }
  });
});
