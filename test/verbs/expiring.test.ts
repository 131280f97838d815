/** The end of shares while a home is held, by a clock that tests move evenly, and make jump. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { clockDifference, compareClocks, differenceText } from '../../src/clocks.ts';
import { ShoalError } from '../../src/errors.ts';
import { Expiring } from '../../src/expiring.ts';
import type { BlockId } from '../../src/format/ids.ts';
import type { Catalog } from '../../src/catalog.ts';
import type { Log } from '../../src/ports.ts';
import { Steady } from '../../src/steady.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { someId, someRecord } from '../contract/catalog.ts';
import { simClock, type SimClock } from '../sim/clock.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A clock of which the wall clock can be set. */
function settable(): { readonly clock: SimClock; readonly set: (aheadMs: number) => void } {
  const clock = simClock();
  const right = clock.now.bind(clock);
  let ahead = 0;
  clock.now = () => right() + ahead;
  return { clock, set: aheadMs => void (ahead = aheadMs) };
}

describe('A clock that is looked at now and then', () => {
  it('has run evenly since it jumped last, ahead or back, and says by how much', async () => {
    const { clock, set } = settable();
    const steady = new Steady(clock);
    await clock.advance(10 * MINUTE);
    expect(steady.look()).to.deep.equal({ evenMs: 10 * MINUTE, jumpMs: 0 });
    set(3 * HOUR);
    await clock.advance(MINUTE);
    expect(steady.look()).to.deep.equal({ evenMs: 0, jumpMs: 3 * HOUR });
    await clock.advance(MINUTE);
    expect(steady.look()).to.deep.equal({ evenMs: MINUTE, jumpMs: 0 });
    set(0);
    expect(steady.look()).to.deep.equal({ evenMs: 0, jumpMs: -3 * HOUR });
  });

  it('has not jumped where it was set right by seconds', async () => {
    const { clock, set } = settable();
    const steady = new Steady(clock);
    set(5000);
    await clock.advance(HOUR);
    expect(steady.look()).to.deep.equal({ evenMs: HOUR, jumpMs: 0 });
  });
});

describe('What has an end', () => {
  let folder: string;
  let clock: SimClock;
  let set: (aheadMs: number) => void;
  let catalog: Catalog;
  let expiring: Expiring;
  let happened: string[];
  let kept: Set<BlockId>;
  let jumps: number[];
  let logged: Parameters<Log>[];
  let troubles: number;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-expiring-'));
    ({ clock, set } = settable());
    [happened, kept, jumps, logged, troubles] = [[], new Set(), [], [], 0];
    catalog = await openCatalog(join(folder, 'catalog.sqlite'), {
      secret: randomBytes(32),
      random: randomBytes,
      clock,
    });
  });
  afterEach(async () => {
    await clock.run(expiring.stop());
    catalog.close();
    await rm(folder, { recursive: true });
  });

  function start(): void {
    expiring = new Expiring({
      catalog,
      clock,
      log: (...line) => logged.push(line),
      onOver: () => happened.push('over'),
      onEnded: () => happened.push('ended'),
      onBack: () => happened.push('back'),
      kept: () => Promise.resolve([...kept]),
      drop: id => {
        if (troubles-- > 0) return Promise.reject(new ShoalError('io', 'the disk is gone'));
        kept.delete(id);
        happened.push('dropped');
        return Promise.resolve();
      },
      onJump: jumpMs => jumps.push(jumpMs),
    });
  }

  /** A share of this home that ends after so long. */
  function shareFor(ms: number): BlockId {
    const record = someRecord({ source: 'copy', expires: Math.floor((clock.now() + ms) / 1000) });
    catalog.add(record, {});
    kept.add(record.id);
    return record.id;
  }

  const stateOf = (id: BlockId): string | undefined => catalog.get(id)?.state;

  it('ends on time, and loses its ciphertext an hour later, for good', async () => {
    const id = shareFor(2 * HOUR);
    start();
    await clock.advance(2 * HOUR - 1000);
    expect(happened).to.deep.equal([]);
    await clock.advance(1000);
    expect(happened, 'at the moment itself').to.deep.equal(['over', 'ended']);
    await clock.advance(HOUR - MINUTE);
    expect([stateOf(id), kept.has(id)]).to.deep.equal(['ready', true]);
    await clock.advance(2 * MINUTE);
    expect([stateOf(id), kept.has(id)]).to.deep.equal(['expired', false]);
    set(-10 * DAY);
    await clock.advance(MINUTE);
    expect(happened, 'also when the clock is set back').to.deep.equal(['over', 'ended', 'dropped']);
  });

  it('costs nothing when a clock jumps ahead and back, and the commands that serve it go on', async () => {
    const id = shareFor(DAY);
    start();
    await clock.advance(2 * HOUR);
    set(10 * DAY);
    await clock.advance(59 * MINUTE);
    expect(happened, 'refused, and nobody has to end').to.deep.equal(['over']);
    set(0);
    await clock.advance(MINUTE);
    expect(happened).to.deep.equal(['over', 'back']);
    expect([stateOf(id), kept.has(id)]).to.deep.equal(['ready', true]);
    await clock.advance(21.5 * HOUR);
    expect(happened).to.deep.equal(['over', 'back', 'over', 'ended']);
  });

  it('ends where a clock that was ahead runs on evenly for an hour', async () => {
    const id = shareFor(DAY);
    start();
    await clock.advance(MINUTE);
    set(10 * DAY);
    await clock.advance(HOUR + MINUTE);
    expect(happened).to.deep.equal(['over', 'ended', 'dropped']);
    expect(stateOf(id)).to.equal('expired');
  });

  it('that has ended before the home was held is over at once, and is removed only after an even hour', async () => {
    const id = shareFor(MINUTE);
    await clock.advance(DAY);
    start();
    await clock.advance(1000);
    expect(happened).to.deep.equal(['over']);
    await clock.advance(HOUR - MINUTE);
    expect(kept.has(id)).to.equal(true);
    await clock.advance(2 * MINUTE);
    expect([stateOf(id), kept.has(id)]).to.deep.equal(['expired', false]);
  });

  it('and was marked before a crash is removed when the home is held again', async () => {
    const id = shareFor(MINUTE);
    catalog.markExpired(id);
    start();
    await clock.advance(1000);
    expect(kept.has(id)).to.equal(false);
  });

  it('is removed later where that fails now, and others are not kept by it', async () => {
    const [first, second] = [shareFor(MINUTE), shareFor(2 * MINUTE)];
    troubles = 1;
    start();
    await clock.advance(HOUR + 2 * MINUTE + 1000);
    expect([kept.has(first), kept.has(second)]).to.deep.equal([false, false]);
    expect(logged.filter(([level]) => level === 'warn').length).to.equal(1);
  });

  it('ends as a grant, and its share stays', async () => {
    const id = shareFor(DAY);
    const grant = { id: someId(), share: id, block: randomBytes(9), madeFor: [], createdAt: 1 };
    catalog.grants.add({ ...grant, expires: Math.floor((clock.now() + HOUR) / 1000) });
    start();
    await clock.advance(3 * HOUR);
    expect(happened).to.deep.equal(['over', 'ended']);
    expect([stateOf(id), kept.has(id)]).to.deep.equal(['ready', true]);
  });

  it('comes with jumps of more than an hour being logged, with hours and direction, and told for a day', async () => {
    start();
    set(-5 * HOUR);
    await clock.advance(MINUTE);
    expect(logged).to.deep.equal([
      [
        'warn',
        'the clock has jumped; where the machine slept, that is as it should be',
        { direction: 'back', hours: 5 },
      ],
    ]);
    expect([jumps, expiring.jumpMs]).to.deep.equal([[-5 * HOUR], -5 * HOUR]);
    set(-5 * HOUR + 10 * MINUTE);
    await clock.advance(MINUTE);
    expect(jumps.length, 'minutes are no matter').to.equal(1);
    await clock.advance(DAY);
    expect(expiring.jumpMs).to.equal(undefined);
  });

  it('is compared with the clocks of relays: more than an hour is remembered, until it is right or the clock was set', () => {
    start();
    const seconds = (): number => clock.now() / 1000;
    compareClocks(catalog, 'one', seconds() + 1800, clock);
    expect(clockDifference(catalog, clock)).to.equal(undefined);
    compareClocks(catalog, 'one', seconds() + 5 * 3600, clock);
    const behind = clockDifference(catalog, clock);
    expect(behind).to.include({ aheadMs: -5 * HOUR, relay: 'one' });
    expect(differenceText(behind!)).to.equal('the clock of this machine is 5 hours behind that of the relay one');
    compareClocks(catalog, 'two', seconds() - 3600 * 49, clock);
    expect(differenceText(clockDifference(catalog, clock)!)).to.equal(
      'the clock of this machine is 49 hours ahead of that of the relay two',
    );
    set(-49 * HOUR);
    expect(clockDifference(catalog, clock), 'it was set back').to.equal(undefined);
    set(0);
    compareClocks(catalog, 'two', seconds(), clock);
    expect(clockDifference(catalog, clock), 'it is right by now').to.equal(undefined);
    catalog.setSetting('clock-difference', 'junk');
    expect(clockDifference(catalog, clock)).to.equal(undefined);
  });
});
