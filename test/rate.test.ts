import { expect } from 'chai';
import { MAX_SLICE_BYTES, MIN_BYTES_PER_SECOND, MIN_SLICE_BYTES, RATE_BURST_MS, SLICE_MS } from '../src/limits.ts';
import { Rate } from '../src/rate.ts';
import { quiet, simClock, type SimClock } from './sim/clock.ts';

const never = new AbortController().signal;
const LIMIT = 100_000;
const SLICE = (LIMIT * SLICE_MS) / 1000;

describe('A limit of bytes per second', () => {
  let clock: SimClock;
  beforeEach(() => {
    clock = simClock();
  });

  /** Takes `bytes` in as many slices as that needs; returns them. */
  async function takeAll(rate: Rate, bytes: number, isUrgent = false, onSlice?: () => void): Promise<number[]> {
    const slices: number[] = [];
    for (let left = bytes; left > 0;) {
      const passed = await rate.take(left, never, isUrgent);
      onSlice?.();
      slices.push(passed);
      left -= passed;
    }
    return slices;
  }

  for (const limit of [MIN_BYTES_PER_SECOND, LIMIT, 20_000_000]) {
    it(`of ${limit} is kept over ten seconds, in slices that are spread evenly`, async () => {
      const rate = new Rate(clock, limit);
      const startedMs = clock.monotonic();
      let beforeMs = startedMs;
      let longestMs = 0;
      const slices = await clock.run(
        takeAll(rate, 10 * limit, false, () => {
          longestMs = Math.max(longestMs, clock.monotonic() - beforeMs);
          beforeMs = clock.monotonic();
        }),
      );
      expect(clock.monotonic() - startedMs).to.be.within(10_000 - RATE_BURST_MS - 2 * longestMs, 10_000);
      expect(longestMs).to.be.at.most(Math.max(SLICE_MS, (1000 * MIN_SLICE_BYTES) / limit) + 0.001);
      expect(Math.max(...slices)).to.be.at.most(MAX_SLICE_BYTES);
    });
  }

  it('is passed in the first second by a little only', async () => {
    const rate = new Rate(clock, LIMIT);
    await clock.advance(3600_000);
    let passed = 0;
    const taking = takeAll(rate, 10 * LIMIT, false, () => (passed += SLICE));
    await clock.advance(1000);
    expect(passed / LIMIT).to.be.within(1, 1.16);
    await clock.run(taking);
  });

  it('lets all pass at once where there is none', async () => {
    const rate = new Rate(clock);
    expect(await takeAll(rate, 1e9)).to.deep.equal([1e9]);
    expect([rate.limit, clock.monotonic(), clock.sleepers]).to.deep.equal([undefined, 0, 0]);
  });

  it('is shared evenly, whoever has how much', async () => {
    const rate = new Rate(clock, LIMIT);
    const large = [1, 2, 3].map(() => takeAll(rate, 60 * LIMIT));
    await clock.advance(10_000);
    const startedMs = clock.monotonic();
    await clock.run(takeAll(rate, LIMIT));
    expect(clock.monotonic() - startedMs).to.be.within(3_800, 4_100);
    await clock.run(Promise.all(large));
  });

  it('is given first to who must not wait long', async () => {
    const rate = new Rate(clock, LIMIT);
    const others = Array.from({ length: 50 }, () => takeAll(rate, LIMIT / 10));
    await quiet();
    const startedMs = clock.monotonic();
    await clock.run(takeAll(rate, LIMIT / 2, true));
    expect(clock.monotonic() - startedMs).to.be.within(400, 600);
    await clock.run(Promise.all(others));
  });

  it('is not waited for by who has gone', async () => {
    const rate = new Rate(clock, LIMIT);
    const gone = new AbortController();
    const first = takeAll(rate, SLICE * 10);
    await quiet();
    const second = rate.take(SLICE, gone.signal);
    gone.abort(new Error('gone'));
    expect(await second.catch((error: unknown) => (error as Error).message)).to.equal('gone');
    expect(await rate.take(1, gone.signal).catch((error: unknown) => (error as Error).message)).to.equal('gone');
    await clock.run(first);
    expect(clock.sleepers).to.equal(0);
  });
});
