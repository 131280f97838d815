/**
 * Many visitors of a relay: `--to ADDRESS --count N`, each from an address of its own in 127/8 (`--first K`: from the K-th).
 * Some at a time reserve a place, and all stay connected: prints one line when all are there, and ends when it is
 * interrupted. With `--passing yes` they come one after the other, each leaving before the next, and it ends with the last.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { inParallel } from '../../src/parallel.ts';
import { isReserved, visit } from './visitor.ts';

/** What all of them came to. */
export interface Visited {
  readonly reserved: number;
  /** Who was told no. */
  readonly refused: number;
  /** Who was hung up on, or got no answer. */
  readonly failed: number;
  /** Of the last one that failed. */
  readonly why?: string;
}

/** Enough that the relay never waits for a visitor. */
const AT_ONCE = 8;

const { values } = parseArgs({
  options: {
    to: { type: 'string', default: '' },
    count: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
    passing: { type: 'string', default: 'no' },
  },
});
const isPassing = values.passing === 'yes';
const came = { reserved: 0, refused: 0, failed: 0 };
const indices = Array.from({ length: Number(values.count) }, (_, n) => Number(values.first) + n);
let lost = 0;
let why: string | undefined;
await inParallel(indices, isPassing ? 1 : AT_ONCE, async index => {
  try {
    const one = await visit(values.to, addressOf(index));
    came[isReserved(one) ? 'reserved' : 'refused']++;
    if (isPassing) await one.end();
    else void one.ended.then(() => lost++);
  } catch (error) {
    came.failed++;
    why = (error as Error).message;
  }
});
const visited: Visited = { ...came, ...(why === undefined ? {} : { why }) };
console.log(JSON.stringify(visited));
if (!isPassing) {
  // The connections keep this process.
  await once(process, 'SIGINT');
  if (lost > 0) process.stderr.write(`${lost} connections were lost\n`);
  process.exit(lost > 0 ? 1 : 0);
}

/** Each in a /24 of its own, which is what a relay counts together. */
function addressOf(index: number): string {
  return `127.${1 + Math.floor(index / 250)}.${1 + (index % 250)}.1`;
}
