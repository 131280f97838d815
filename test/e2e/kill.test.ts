/** What a kill in the middle leaves; many more moments are in test/heavy/kill.test.ts. */
import { killTests, seedOfRun } from './kills.ts';

const seed = seedOfRun();

describe(`when it is killed (seed ${seed})`, function () {
  this.slow(60_000);
  killTests({ seed, fetcher: 6, sharer: 3, serving: 3 });
});
