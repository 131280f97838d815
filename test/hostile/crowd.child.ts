/** Connects under many identities, more than a node takes, says nothing, stays, and says how many came in. */
import { Peer, readLink } from './peer.ts';

const IDENTITIES = 320;
const AT_ONCE = 20;

const { hints } = readLink(process.argv[2] ?? '');
let connected = 0;
for (let n = 0; n < IDENTITIES; n += AT_ONCE) {
  const dials = Array.from({ length: AT_ONCE }, async () => (await Peer.start()).connect(hints[0] ?? ''));
  connected += (await Promise.allSettled(dials)).filter(({ status }) => status === 'fulfilled').length;
}
console.log(connected);
