/**
 * Twenty servers of the DHT around a key, at an address of the machine that this runs on. They name each other, until stdin ends.
 *
 * node sybils.child.ts ADDRESS KEY_HEX
 */
import { startSybils, sybilSeeds } from './sybils.ts';

const [, , address = '', key = ''] = process.argv;
const sybils = await startSybils(sybilSeeds(Buffer.from(key, 'hex')), (_query, closer) => ({ closer }), {
  listen: `/ip4/${address}/tcp/0`,
});
console.log(JSON.stringify(sybils.hints));
process.stdin.on('end', () => process.exit()).resume();
