/** What a kill of a relay leaves; many more moments are in test/heavy/relay-kill.test.ts. */
import { seedOfRun } from './kills.ts';
import { relayKillTests } from './relay-kills.ts';

const seed = seedOfRun();

describe(`when a relay is killed (seed ${seed})`, function () {
  this.slow(100_000);
  relayKillTests({ seed, moments: 50 });
});
