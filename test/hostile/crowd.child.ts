/** Connects under many identities, more than a node takes, says nothing, stays, and says how many came in. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Peer, readLink } from './peer.ts';

const IDENTITIES = 320;
const AT_ONCE = 20;
/** A node takes only so many new connections a second from one host. */
const RETRY_MS = 200;

const { hints } = readLink(process.argv[2] ?? '');
let connected = 0;
for (let n = 0; n < IDENTITIES; n += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, comeIn));
console.log(connected);

async function comeIn(): Promise<void> {
  const peer = await Peer.start();
  for (;;) {
    try {
      await peer.connect(hints[0] ?? '');
      connected++;
      return;
    } catch {
      await sleep(RETRY_MS);
    }
  }
}
