/**
 * The benchmark ladder: `npm run bench`. Each rung isolates one cost, so that a regression has an address. Every rung
 * runs in processes of its own, with its input in the page cache, and is printed beside the rung below it.
 */
import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync, spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { runScript, runStages, type Measurement } from './harness.ts';

/** What a rung gets to work with. */
export interface RungContext {
  /** Payload in bytes. */
  readonly size: number;
  /** A file of `size` bytes that do not compress. */
  readonly file: string;
  /** One of an eighth of that. */
  readonly eighth: Payload;
  /** A folder of files of SMALL_BYTES, and one file of as many bytes. */
  readonly many: Payload;
  readonly one: Payload;
  /** A folder for whatever the rung writes; removed at the end. */
  readonly folder: string;
  /** The Node that runs the rung's processes. */
  readonly node: string;
  /** The command that starts one of bench/rungs with this Node and size; a `--size` among the arguments has precedence. */
  script(file: string, ...args: string[]): [string, ...string[]];
}

interface Payload {
  readonly path: string;
  readonly bytes: number;
}

/** One rung. */
interface Rung {
  readonly name: string;
  /** One measurement per process, or one of a whole tree of processes. */
  run(context: RungContext): Promise<Measurement[]>;
  /** The rung whose speed is this one's limit: the speed is printed as a share of its. */
  readonly below?: string;
  /** The rungs that this one's work is made of: the CPU time is printed as a multiple of their sum. */
  readonly sumOf?: readonly string[];
  /** Whether this machine lets it run; always when absent. */
  isPossible?(): boolean;
}

/** The ladder, from the ground up. */
const RUNGS: readonly Rung[] = [
  { name: 'read file', run: context => runScript(context.script('read-file.ts', '--file', context.file)) },
  { name: 'SHA-256', run: context => runScript(context.script('sha256.ts')) },
  { name: 'AES-256-GCM', run: context => runScript(context.script('aes-gcm.ts')) },
  {
    name: 'seal, 1 worker',
    run: context => runScript(context.script('seal.ts', '--file', context.file, '--by', 'pool', '--workers', '1')),
    below: 'AES-256-GCM',
    sumOf: ['read file', 'AES-256-GCM', 'SHA-256'],
  },
  {
    name: 'seal, 2 workers',
    run: context => runScript(context.script('seal.ts', '--file', context.file, '--by', 'pool', '--workers', '2')),
    below: 'AES-256-GCM',
    sumOf: ['read file', 'AES-256-GCM', 'SHA-256'],
  },
  { name: 'TCP', run: context => pair(context, 'tcp.ts') },
  {
    name: 'TCP+noise+yamux',
    run: context => pair(context, 'libp2p-stream.ts', '--security', 'noise'),
    below: 'TCP',
    sumOf: ['TCP'],
  },
  {
    name: 'TCP+TLS+yamux',
    run: context => pair(context, 'libp2p-stream.ts', '--security', 'tls'),
    below: 'TCP',
    sumOf: ['TCP', 'AES-256-GCM', 'AES-256-GCM'],
  },
  { name: 'write file', run: context => runScript(context.script('write-file.ts', '--folder', context.folder)) },
  { name: 'open', run: context => runScript(context.script('open.ts')) },
  {
    name: 'channel',
    run: context => pair(context, 'channel.ts'),
    below: 'TCP+noise+yamux',
    sumOf: ['TCP+noise+yamux'],
  },
  {
    name: 'chunk protocol',
    run: context => pair(context, 'chunks.ts'),
    below: 'TCP+noise+yamux',
    sumOf: ['TCP+noise+yamux'],
  },
  {
    name: 'share()',
    run: context => runScript(context.script('share.ts', '--file', context.file)),
    below: 'seal, 2 workers',
    sumOf: ['seal, 2 workers'],
  },
  {
    name: 'fetch(), from the original',
    run: context => fetching(context),
    below: 'TCP+noise+yamux',
    sumOf: ['seal, 2 workers', 'TCP+noise+yamux', 'open', 'write file'],
  },
  {
    name: 'fetch(), from ciphertext',
    run: context => fetching(context, { from: 'copy' }),
    below: 'TCP+noise+yamux',
    sumOf: ['read file', 'SHA-256', 'TCP+noise+yamux', 'open', 'write file'],
  },
  {
    name: 'fetch(), from 4 seeds',
    run: context => fetching(context, { seeds: 3 }),
    below: 'fetch(), from the original',
    sumOf: ['fetch(), from the original'],
  },
  {
    name: '8 fetchers of an eighth',
    run: context => fetching(context, { what: context.eighth, fetchers: 8 }),
    below: 'fetch(), from the original',
    sumOf: ['fetch(), from the original'],
  },
  {
    name: 'fetch(), one smaller file',
    run: context => fetching(context, { what: context.one }),
  },
  {
    name: 'fetch(), small files',
    run: context => fetching(context, { what: context.many }),
    below: 'fetch(), one smaller file',
    sumOf: ['fetch(), one smaller file'],
  },
  {
    name: '"shoal fetch" of 1 KiB',
    run: context => runScript(inOwnNetwork(context.script('command.ts', '--size', '1024'))),
    isPossible: canHaveOwnNetwork,
  },
];

/** Small files as they are in a folder of documents. */
const SMALL_BYTES = 16 * 1024;
const MAX_SMALL_FILES = 5000;

/** One process that listens and says where, and one that connects to it. */
function pair(context: RungContext, file: string, ...args: string[]): Promise<Measurement[]> {
  const command = context.script(file, ...args);
  return runStages(
    () => [command],
    ([address = '']) => [[...command, '--to', address]],
  );
}

interface Fetching {
  readonly what?: Payload;
  /** What the sharer makes its chunks from. */
  readonly from?: 'original' | 'copy';
  /** How many others have fetched it before, and serve it too. */
  readonly seeds?: number;
  /** How many fetch it at once. */
  readonly fetchers?: number;
}

function fetching(context: RungContext, { what, from = 'original', seeds = 0, fetchers = 1 }: Fetching = {}) {
  const { path, bytes } = what ?? { path: context.file, bytes: context.size };
  const command = context.script('fetch.ts', '--size', String(bytes), '--fetchers', String(fetchers));
  return runStages(
    () => [[...command, '--file', path, '--from', from, '--seeds', String(seeds)]],
    ([link = '']) => Array.from({ length: seeds }, () => [...command, '--seed', link] as const),
    links => Array.from({ length: fetchers }, () => [...command, '--to', links.join(' ')] as const),
  );
}

/** In a network that has nothing but a loopback interface, which carries multicast. */
function inOwnNetwork(command: readonly string[]): [string, ...string[]] {
  const setUp = 'ip link set lo up && ip route add 224.0.0.0/4 dev lo && exec "$@"';
  return ['unshare', '--net', 'sh', '-c', setUp, 'sh', ...command];
}

function canHaveOwnNetwork(): boolean {
  const [program, ...args] = inOwnNetwork(['true']);
  return process.platform === 'linux' && spawnSync(program, args).status === 0;
}

/** What a rung came to: its processes taken together, and each. */
interface Result {
  readonly rung: string;
  readonly node: string;
  readonly bytes: number;
  /** Of the process that took longest. */
  readonly seconds: number;
  /** Of all processes. */
  readonly cpuSeconds: number;
  readonly maxRssBytes: number;
  readonly processes: readonly Measurement[];
}

const { values: options } = parseArgs({
  options: {
    size: { type: 'string', default: String(2 ** 30) },
    small: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    repeat: { type: 'string', default: '1' },
    node: { type: 'string', multiple: true, default: [process.execPath] },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) {
  console.log(`Usage: npm run bench -- [options]
  --size BYTES   payload of a rung (default 1 GiB)        --small     64 MiB: a quick look, for CI
  --only NAME    this rung (repeatable)                   --repeat N  medians of N runs, interleaved
  --node PATH    the Node to measure (repeatable)         --json      results as JSON`);
} else {
  await climb();
}

async function climb(): Promise<void> {
  const size = options.small ? 64 * 2 ** 20 : Number(options.size);
  const repeat = Number(options.repeat);
  if (!Number.isSafeInteger(size) || size <= 0) throw new TypeError('--size takes a number of bytes');
  if (!Number.isSafeInteger(repeat) || repeat <= 0) throw new TypeError('--repeat takes a number of runs');
  const unknown = options.only?.find(name => !RUNGS.some(rung => rung.name === name));
  if (unknown !== undefined) throw new TypeError(`there is no rung "${unknown}"`);
  const chosen = RUNGS.filter(rung => options.only?.includes(rung.name) ?? true);
  const rungs = chosen.filter(rung => rung.isPossible?.() ?? true);
  for (const { name } of chosen.filter(rung => !rungs.includes(rung)))
    process.stderr.write(`${name} is not possible here\n`);

  const versions = new Map(options.node.map(node => [node, versionOf(node)]));
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-'));
  try {
    const payloads = await makePayloads(folder, size);
    const runs: Result[] = [];
    // Interleaved: what else the machine does in the meantime meets all rungs and Nodes alike.
    for (let round = 0; round < repeat; round++) {
      for (const node of options.node) {
        for (const rung of rungs) {
          process.stderr.write(`${rung.name} …\n`);
          const script = (name: string, ...args: string[]): [string, ...string[]] => {
            const path = join(import.meta.dirname, 'rungs', name);
            return [node, '--disable-warning=ExperimentalWarning', path, '--size', String(size), ...args];
          };
          runs.push(together(rung.name, node, await rung.run({ size, ...payloads, folder, node, script })));
        }
      }
    }
    report(
      [...versions].map(([node, version]) => ({ version, results: rungs.map(rung => median(runs, rung.name, node)) })),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

function versionOf(node: string): string {
  return execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
}

async function makePayloads(folder: string, size: number) {
  const make = async (name: string, bytes: number): Promise<Payload> => {
    const path = join(folder, name);
    await writeIncompressible(path, bytes);
    return { path, bytes };
  };
  const { path: file } = await make('payload', size);
  const eighth = await make('eighth', Math.ceil(size / 8));
  const files = Math.min(MAX_SMALL_FILES, Math.ceil(size / SMALL_BYTES));
  await mkdir(join(folder, 'many'));
  for (let n = 0; n < files; n++) await make(`many/${String(n)}`, SMALL_BYTES);
  const many = { path: join(folder, 'many'), bytes: files * SMALL_BYTES };
  return { file, eighth, many, one: await make('one', many.bytes) };
}

async function writeIncompressible(path: string, size: number): Promise<void> {
  const file = await open(path, 'wx');
  const piece = Buffer.allocUnsafe(2 ** 20);
  for (let written = 0; written < size; written += piece.length) {
    await file.write(randomFillSync(piece), 0, Math.min(piece.length, size - written));
  }
  await file.close();
}

function together(rung: string, node: string, processes: readonly Measurement[]): Result {
  const [first] = processes;
  if (first === undefined) throw new Error(`rung ${rung} measured nothing`);
  return {
    rung,
    node,
    bytes: first.bytes,
    seconds: Math.max(...processes.map(one => one.seconds)),
    cpuSeconds: sum(processes.map(one => one.cpuSeconds)),
    maxRssBytes: sum(processes.map(one => one.maxRssBytes)),
    processes,
  };
}

/** The run of median speed (the slower of two in the middle). */
function median(runs: readonly Result[], rung: string, node: string): Result {
  const own = runs.filter(run => run.rung === rung && run.node === node).sort((a, b) => a.seconds - b.seconds);
  const middle = own[Math.floor(own.length / 2)];
  if (middle === undefined) throw new Error(`rung ${rung} did not run`);
  return middle;
}

/** The results of one Node, in the order of the ladder. */
interface Climb {
  readonly version: string;
  readonly results: readonly Result[];
}

function report(climbs: readonly Climb[]): void {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, platform: process.platform };
  const rows = climbs.map(({ version, results }) => ({
    node: version,
    rungs: results.map(result => ({ ...result, ...figures(result, results) })),
  }));
  if (options.json) {
    console.log(JSON.stringify({ machine, climbs: rows }, null, 2));
    return;
  }
  for (const { node, rungs } of rows) {
    console.log(`\n${machine.cpu}, ${String(machine.cores)} cores, ${machine.platform}, Node ${node}\n`);
    console.log(line('', 'seconds', 'MB/s', 'of below', 'CPU s/GiB', 'of parts', 'peak MiB'));
    for (const { rung, seconds, mbPerSecond, shareOfBelow, cpuPerGiB, ratioToParts, maxRssBytes, processes } of rungs) {
      const share = shareOfBelow === undefined ? '' : `${(shareOfBelow * 100).toFixed(0)} %`;
      const ratio = ratioToParts === undefined ? '' : `× ${ratioToParts.toFixed(2)}`;
      console.log(
        line(rung, seconds.toFixed(2), mbPerSecond.toFixed(0), share, cpuPerGiB.toFixed(2), ratio, inMiB(maxRssBytes)),
      );
      if (processes.length === 1) continue;
      for (const one of processes) {
        console.log(line(`  ${one.name}`, '', '', '', perGiB(one).toFixed(2), '', inMiB(one.maxRssBytes)));
      }
    }
  }
}

/** A result's figures, and how they stand to the other rungs of the same climb, as far as those ran. */
function figures(result: Result, all: readonly Result[]) {
  const resultOf = (name: string) => all.find(other => other.rung === name);
  const { below, sumOf } = RUNGS.find(rung => rung.name === result.rung) ?? {};
  const belowResult = below === undefined ? undefined : resultOf(below);
  const parts = sumOf?.map(resultOf).filter(part => part !== undefined);
  const complete = parts !== undefined && parts.length === sumOf?.length;
  return {
    mbPerSecond: mbPerSecond(result),
    cpuPerGiB: perGiB(result),
    shareOfBelow: belowResult && mbPerSecond(result) / mbPerSecond(belowResult),
    ratioToParts: complete ? perGiB(result) / sum(parts.map(perGiB)) : undefined,
  };
}

function mbPerSecond({ bytes, seconds }: { bytes: number; seconds: number }): number {
  return bytes / seconds / 1e6;
}

function perGiB({ bytes, cpuSeconds }: { bytes: number; cpuSeconds: number }): number {
  return (cpuSeconds * 2 ** 30) / bytes;
}

function inMiB(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function line(name: string, ...columns: string[]): string {
  return name.padEnd(28) + columns.map(column => column.padStart(11)).join('');
}
