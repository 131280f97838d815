/** A relay killed at very many moments: see test/e2e/relay-kills.ts. */
import { seedOfRun } from '../e2e/kills.ts';
import { relayKillTests } from '../e2e/relay-kills.ts';

const seed = seedOfRun();
/** A thousand take a quarter of an hour; where there is less time, fewer. */
const moments = Number(process.env['SHOAL_KILL_MOMENTS'] ?? 1000);

describe(`when a relay is killed again and again (seed ${seed})`, function () {
  this.slow(1_000_000);
  relayKillTests({ seed, moments });
});
