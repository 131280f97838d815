/**
 * How long it takes until a command is done that has little to do: `npm run bench:startup`. Runs the program as it was
 * built, by this Node or another one, and prints medians. The commands take turns, so that a busy moment meets them all.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/clock.ts';
import { idOf } from '../src/format/ids.ts';
import { openRecords } from '../src/records.ts';

const PROGRAM = join(import.meta.dirname, '../bin/shoal.js');

const USAGE = `npm run bench:startup -- [--repeat N] [--shares N] [--node PATH] [--json]
  --repeat N    runs of each command (default: 15)
  --shares N    shares in the catalog (default: 10000)
  --node PATH   the Node that runs them (default: this one)
  --json        for programs`;

interface Row {
  readonly name: string;
  /** Of Node. */
  readonly args: readonly string[];
  /** The home that the command is given. */
  readonly home: string;
}

/** What one run took. */
interface Run {
  readonly seconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      repeat: { type: 'string', default: '15' },
      shares: { type: 'string', default: '10000' },
      node: { type: 'string', default: process.execPath },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const [repeat, shares] = [Number(values.repeat), Number(values.shares)];
  if (!Number.isSafeInteger(repeat) || repeat < 1 || !Number.isSafeInteger(shares) || shares < 1)
    throw new TypeError(`--repeat and --shares take a number\n${USAGE}`);
  const folder = await mkdtemp(join(tmpdir(), 'shoal-startup-'));
  try {
    const empty = join(folder, 'empty');
    const full = await homeOf(folder, shares);
    const rows: Row[] = [
      { name: 'Node alone', args: ['-e', '0'], home: empty },
      { name: 'shoal --version', args: [PROGRAM, '--version'], home: empty },
      { name: 'shoal --help', args: [PROGRAM, '--help'], home: empty },
      { name: 'shoal shares, no home', args: [PROGRAM, 'shares', '--quiet'], home: empty },
      { name: `shoal shares, ${shares}`, args: [PROGRAM, 'shares'], home: full },
      { name: `shoal shares --json, ${shares}`, args: [PROGRAM, 'shares', '--json'], home: full },
    ];
    report(measure(rows, repeat, values.node, folder), values.json);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A home in `folder` with so many shares of one file each; the files are there, and empty. */
async function homeOf(folder: string, shares: number): Promise<string> {
  const home = join(folder, 'home');
  const files = join(folder, 'files');
  await mkdir(files);
  const { catalog } = await openRecords(home, { clock: systemClock, random: randomBytes });
  for (let n = 0; n < shares; n++) {
    const name = `picture ${n}.jpg`;
    const root = join(files, name);
    await writeFile(root, '');
    const record = { id: idOf(randomBytes(32)), kind: 'file', name, sizeBytes: n * 1000, files: 1, root } as const;
    const more = {
      source: 'original',
      fingerprint: randomBytes(32),
      hints: [],
      createdAt: n,
      serveAlways: false,
    } as const;
    catalog.add({ ...record, ...more }, { key: randomBytes(32), ownerSalt: randomBytes(32) });
  }
  catalog.close();
  return home;
}

function measure(rows: readonly Row[], repeat: number, node: string, runtime: string): Map<Row, Run[]> {
  const runs = new Map<Row, Run[]>(rows.map(row => [row, []]));
  for (let n = 0; n < repeat; n++) for (const row of rows) runs.get(row)?.push(timed(row, node, runtime));
  return runs;
}

/** Bash tells the time that a process and its threads took to the millisecond; /proc does to ten. */
function timed({ args, home }: Row, node: string, runtime: string): Run {
  const script = `TIMEFORMAT='%R %U %S'; exec 3>&1; { time "$@" >/dev/null 2>/dev/null; } 2>&3`;
  const env = { PATH: process.env['PATH'], SHOAL_HOME: home, XDG_RUNTIME_DIR: runtime };
  const said = execFileSync('bash', ['--norc', '-c', `set -e; ${script}`, 'bash', node, ...args], {
    env,
    encoding: 'utf8',
  });
  const [seconds = NaN, userSeconds = NaN, systemSeconds = NaN] = said.trim().split(' ').map(Number);
  return { seconds, userSeconds, systemSeconds };
}

function report(runs: ReadonlyMap<Row, readonly Run[]>, json: boolean): void {
  const medians = [...runs].map(([{ name }, all]) => ({
    name,
    seconds: median(all.map(run => run.seconds)),
    minSeconds: Math.min(...all.map(run => run.seconds)),
    userSeconds: median(all.map(run => run.userSeconds)),
    systemSeconds: median(all.map(run => run.systemSeconds)),
  }));
  if (json) {
    console.log(JSON.stringify(medians));
    return;
  }
  console.log('| command | seconds | quickest | user CPU s | system CPU s |\n|---|---|---|---|---|');
  for (const { name, ...times } of medians)
    console.log(
      `| ${name} | ${Object.values(times)
        .map(time => time.toFixed(3))
        .join(' | ')} |`,
    );
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}

await main();
