/**
 * What a relay costs who runs it: `npm run bench:relay`. The relay is the program as it was built, in a process of its own;
 * those who use it are others. Prints one table: what was measured, and what it should be.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureReservations, measureVisits } from './relay/reservations.ts';
import { measureStart } from './relay/starting.ts';
import { measureTransfers } from './relay/transfers.ts';

/** One row of the table. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  /** Completes the value; none for plain numbers. */
  readonly unit?: string;
  /** What it should be. */
  readonly target?: { readonly least: number } | { readonly most: number };
}

/** How much is done. */
export interface Sizes {
  /** Payload of a transfer, in bytes. */
  readonly payload: number;
  /** Runs of each transfer, of which the median counts. */
  readonly repeat: number;
  /** Connections that are held, in so many steps. */
  readonly reservations: number;
  readonly steps: number;
  /** How long they are held before what that costs is known, in ms. */
  readonly heldMs: number;
  /** Stored shares that a relay starts with, and chunks of each. */
  readonly shares: number;
  readonly chunks: number;
  /** Of the Node that runs the relay. */
  readonly nodeOptions?: readonly string[];
}

const MiB = 2 ** 20;
const FULL: Sizes = {
  payload: 512 * MiB,
  repeat: 3,
  reservations: 5000,
  steps: 5,
  heldMs: 20_000,
  shares: 1000,
  chunks: 100,
};
const SMALL: Sizes = {
  payload: 16 * MiB,
  repeat: 1,
  reservations: 60,
  steps: 2,
  heldMs: 500,
  shares: 10,
  chunks: 20,
};

/** The parts, by their names for `--only`. */
const PARTS: Readonly<Record<string, (folder: string, sizes: Sizes) => Promise<Figure[]>>> = {
  reservations: measureReservations,
  visits: measureVisits,
  transfers: measureTransfers,
  start: measureStart,
};

const { values: options } = parseArgs({
  options: {
    small: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    size: { type: 'string' },
    repeat: { type: 'string' },
    reservations: { type: 'string' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) {
  console.log(`Usage: npm run bench:relay -- [options]
  --small           little of everything: a quick look, for CI
  --only PART       ${Object.keys(PARTS).join(', ')} (repeatable)
  --size BYTES      payload of a transfer (default 512 MiB)
  --repeat N        medians of N transfers (default 3)
  --reservations N  connections that are held (default 5000)
  --profile FOLDER  leaves CPU profiles of the relay there; the figures are worse then
  --json            for programs`);
} else {
  await measure();
}

async function measure(): Promise<void> {
  const preset = options.small ? SMALL : FULL;
  const { profile } = options;
  const sizes = {
    ...preset,
    ...(profile === undefined ? {} : { nodeOptions: ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`] }),
    payload: countOf('size') ?? preset.payload,
    repeat: countOf('repeat') ?? preset.repeat,
    reservations: countOf('reservations') ?? preset.reservations,
  };
  const unknown = options.only?.find(name => !(name in PARTS));
  if (unknown !== undefined) throw new TypeError(`there is no part "${unknown}"`);
  const figures: Figure[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-relay-'));
  try {
    for (const [name, part] of Object.entries(PARTS)) {
      if (options.only?.includes(name) === false) continue;
      process.stderr.write(`${name} …\n`);
      figures.push(...(await part(folder, sizes)));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  report(figures);
}

function countOf(name: 'size' | 'repeat' | 'reservations'): number | undefined {
  const given = options[name];
  if (given === undefined) return undefined;
  const count = Number(given);
  if (!Number.isSafeInteger(count) || count <= 0) throw new TypeError(`--${name} takes a number`);
  return count;
}

function report(figures: readonly Figure[]): void {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, platform: process.platform };
  if (options.json) {
    const rows = figures.map(figure => ({ ...figure, isMet: isMet(figure) }));
    console.log(JSON.stringify({ machine, node: process.version, figures: rows }, null, 2));
    return;
  }
  console.log(`\n${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${process.version}\n`);
  console.log('| | measured | target | |\n|---|---|---|---|');
  for (const figure of figures) {
    const { name, value, unit, target } = figure;
    const wanted = target === undefined ? '' : 'least' in target ? `≥ ${target.least}` : `≤ ${target.most}`;
    const verdict = { true: 'met', false: '**missed**', undefined: '' }[String(isMet(figure))];
    console.log(`| ${name} | ${shown(value)}${unit === undefined ? '' : ` ${unit}`} | ${wanted} | ${verdict} |`);
  }
}

function isMet({ value, target }: Figure): boolean | undefined {
  if (target === undefined) return undefined;
  return 'least' in target ? value >= target.least : value <= target.most;
}

/** Three digits. */
function shown(value: number): string {
  return Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
