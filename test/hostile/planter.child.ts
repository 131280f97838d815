/**
 * Plants links and pipes into the part folder of a fetch, as fast as it can, until stdin ends; then says how many. Where
 * `mode` is `replaces`, it takes away what stands there first.
 *
 * node planter.child.ts MODE OUTPUT_FOLDER CANARY_FOLDER PIPE NAME…
 */
import { linkSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const [, , mode, output = '', canary = '', pipe = '', ...names] = process.argv;
let planted = 0;
let isOver = false;
process.stdin.on('end', () => (isOver = true)).resume();
console.log('planting');

const plant = [
  (at: string): void => symlinkSync(join(canary, 'bird'), at),
  (at: string): void => symlinkSync(join(canary, 'new'), at),
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
  const parts = foldersIn(output).filter(path => basename(path).startsWith('.shoal-'));
  const places = parts.flatMap(below).flatMap(folder => names.map(name => join(folder, name)));
  return mode === 'adds' || places.length === 0 ? places : [places[Math.floor(Math.random() * places.length)]!];
}

/** A folder and all below it, without following what was planted there. */
function below(folder: string): string[] {
  return [folder, ...foldersIn(folder).flatMap(below)];
}

function foldersIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter(entry => entry.isDirectory()).map(entry => join(folder, entry.name));
  } catch {
    return [];
  }
}
