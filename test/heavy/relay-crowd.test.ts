/** Ten thousand identities of one address prefix want a place at a relay; test/hostile does the same with a few hundred. */
import { expect } from 'chai';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Peer } from '../hostile/peer.ts';
import { Relay } from '../hostile/relays.ts';
import { crowd, OK, REFUSED, reserve, QUICK } from '../hostile/reservers.ts';

const IDENTITIES = 10_000;
const WARM_UP = 1_000;
/** What a prefix may have by default. */
const RESERVATIONS = 64;
/** Objects need 40 MiB of it, however many come; where each of the ten thousand left 5 KiB the relay would end. */
const HEAP_MIB = 80;
/** What is freed is not given back to the system at once. */
const MAX_MORE_MIB = 150;

describe('A relay, among ten thousand identities,', () => {
  it('gives them what one prefix may have, needs no more memory for more of them, and has places for others', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-heavy-'));
    const relay = await Relay.start({ home: join(folder, 'relay'), heapMiB: HEAP_MIB, more: QUICK });
    const from = '127.2.0.1';
    const first = await crowd(relay.hint, WARM_UP, { from });
    const other = await Peer.start({ from: '127.2.1.1' });
    try {
      const [memory, descriptors] = [await relay.memoryMiB(), await relay.descriptors()];
      const { answers } = await crowd(relay.hint, IDENTITIES - WARM_UP, { from });
      expect(first.answers.get(OK)).to.equal(RESERVATIONS);
      const refused = answers.get(REFUSED) ?? 0;
      expect(answers.has(OK)).to.equal(false);
      // Of more than a hundred a second from one host it takes no connection (src/limits.ts).
      expect(refused, JSON.stringify([...answers])).to.be.greaterThan(0.99 * (IDENTITIES - WARM_UP));
      const more = (await relay.memoryMiB()) - memory;
      console.log(`      ${more.toFixed(1)} MiB more; answers: ${JSON.stringify([...answers])}`);
      expect(more, 'MiB more').to.be.lessThan(MAX_MORE_MIB);
      await relay.stands(({ connections }) => connections === RESERVATIONS);
      expect(await relay.descriptors()).to.be.at.most(descriptors + 10);
      expect(await reserve(other, relay.hint)).to.equal(OK);
    } finally {
      await other.stop();
      await first.leave();
      const { code, stderr } = await relay.stop();
      await rm(folder, { recursive: true });
      expect(code, stderr).to.equal(0);
    }
  }).timeout(1_200_000);
});
