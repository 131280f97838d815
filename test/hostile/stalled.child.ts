/** Opens as many channels as one peer may, asks for as much as the credit allows on each, says so, and leaves the rest to a signal. */
import { helloTo, Peer, readLink } from './peer.ts';

const CHANNELS = 14;

const { id, hints } = readLink(process.argv[2] ?? '');
const peer = await Peer.start();
const wires = await Promise.all(Array.from({ length: CHANNELS }, () => peer.open(hints[0] ?? '')));
for (const wire of wires) await wire.say(helloTo(wire, id, peer.node.peerId));
await Promise.all(wires.map(wire => wire.next()));
for (const wire of wires) await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 4] });
console.log('asked');
