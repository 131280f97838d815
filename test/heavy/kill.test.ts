/** The program killed at very many moments: see test/e2e/kills.ts. */
import { killTests, seedOfRun } from '../e2e/kills.ts';

const seed = seedOfRun();

describe(`when it is killed again and again (seed ${seed})`, function () {
  this.slow(600_000);
  killTests({ seed, fetcher: 50, sharer: 25, serving: 25 });
});
