/** A relay killed at very many moments: see test/e2e/relay-kills.ts. */
import { seedOfRun } from '../e2e/kills.ts';
import { relayKillTests } from '../e2e/relay-kills.ts';

const seed = seedOfRun();

describe(`when a relay is killed again and again (seed ${seed})`, function () {
  this.slow(1_000_000);
  relayKillTests({ seed, moments: 1000 });
});
