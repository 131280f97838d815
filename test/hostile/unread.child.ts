/** Asks for chunks and reads nothing from its connection, but gives the sharer's streams ever more window, as if it did. */
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { helloTo, Peer, readLink } from './peer.ts';

const ASKS = 150;
/** Who reads nothing has no event to wait for: a pace that a sharer keeps up with, as what is beyond its credit ends the channel. */
const PACE_MS = 20;
const WINDOW = 2 ** 23;
/** Of a yamux frame. */
const WINDOW_UPDATE = 1;

/** What libp2p's stream has, and does not show. */
interface Yamux {
  readonly streamId: number;
  sendFrame(header: { type: number; flag: number; streamID: number; length: number }): boolean;
}

const { id, hints } = readLink(process.argv[2] ?? '');
const peer = await Peer.start();
const wire = await peer.open(hints[0] ?? '');
await wire.say(helloTo(wire, id, peer.node.peerId));
await wire.next();
// Node does not type this; libp2p has no other way to stop reading from a connection.
const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
for (const handle of handles) if (handle instanceof Socket && handle.remotePort !== undefined) handle.pause();
// The fields of the class behind the interface: an honest muxer gives window only for what it has read.
const yamux = wire.stream as unknown as Yamux;
for (let n = 0; n < ASKS && !wire.isOver; n++) {
  await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 1] });
  yamux.sendFrame({ type: WINDOW_UPDATE, flag: 0, streamID: yamux.streamId, length: WINDOW });
  await sleep(PACE_MS);
}
console.log('asked');
setInterval(() => undefined, 60_000);
