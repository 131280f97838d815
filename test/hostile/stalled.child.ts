/** Opens as many channels as one peer may, asks for as much as the credit allows on each, says so, and leaves the rest to a signal. */
import { helloTo, Peer, readLink, type Wire } from './peer.ts';

const CHANNELS = 14;

const { id, hints } = readLink(process.argv[2] ?? '');
const peer = await Peer.start();
const wires: Wire[] = [];
while (wires.length < CHANNELS) {
  const wire = await peer.open(hints[0] ?? '');
  await wire.say(helloTo(wire, id, peer.node.peerId));
  await wire.next();
  wires.push(wire);
}
for (const wire of wires) await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 4] });
console.log('asked');
