/**
 * Plants links and pipes into the part folder of a fetch, as fast as it can, until stdin ends; then says how many. Where
 * `mode` is `replaces`, it takes away what stands there first.
 *
 * node planter.child.ts MODE OUTPUT_FOLDER CANARY_FOLDER PIPE NAME…
 */
import { linkSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [, , mode, output = '', canary = '', pipe = '', ...names] = process.argv;
let planted = 0;
let isOver = false;
process.stdin.on('end', () => (isOver = true)).resume();
console.log('planting');

const plant = [
  (at: string): void => symlinkSync(join(canary, 'bird'), at),
  (at: string): void => symlinkSync(canary, at),
  (at: string): void => linkSync(join(canary, 'bird'), at),
  (at: string): void => linkSync(pipe, at),
];

for (let n = 0; !isOver; n++) {
  for (const place of placesNow()) {
    try {
      const temporary = join(dirname(canary), `planting-${n}`);
      if (mode === 'replaces') {
        plant[n++ % plant.length]!(temporary);
        try {
          renameSync(temporary, place);
        } catch {
          rmSync(place, { recursive: true, force: true });
          renameSync(temporary, place);
        }
      } else {
        plant[n++ % plant.length]!(place);
      }
      planted++;
    } catch {
      // Something stands there, or the folder has gone.
    }
  }
  await new Promise(resolve => setTimeout(resolve, mode === 'replaces' ? 15 : 0));
}
console.log(planted);
process.exit();

/** Names in every folder of the part folder; one at random where it replaces. */
function placesNow(): string[] {
  try {
    const part = readdirSync(output).find(name => name.startsWith('.shoal-'));
    if (part === undefined) return [];
    const root = join(output, part);
    const below = readdirSync(root, { recursive: true, withFileTypes: true });
    const folders = [
      root,
      ...below.filter(entry => entry.isDirectory()).map(entry => join(entry.parentPath, entry.name)),
    ];
    const places = folders.flatMap(folder => names.map(name => join(folder, name)));
    return mode === 'replaces' ? [places[Math.floor(Math.random() * places.length)]!] : places;
  } catch {
    return [];
  }
}
