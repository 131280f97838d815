/**
 * What it costs to move a file by way of a relay, beside moving it directly: in one run, in turns, each between processes of
 * its own. Measured from when both sides know what is to be moved until it is where it belongs, as durable as each makes it:
 * start-up is not in it, and what is encrypted for the names alone is not.
 */
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cpuSecondsOf, maxRssBytes, measureTree, startProgram, type Measurement, type Program } from '../harness.ts';
import type { Figure, Sizes } from '../relay.ts';
import { makeDataFolder, startRelay, type RelayProcess } from './process.ts';

const LEAST_OF_DIRECT = 0.7;
const MiB = 2 ** 20;

/** What each transfer has to work with. */
interface Run {
  /** Of this run alone. */
  readonly folder: string;
  readonly file: string;
  readonly bytes: number;
  readonly relay: RelayProcess;
}

/** One transfer, and what it took of that the relay, in seconds of CPU time. */
interface Moved extends Measurement {
  readonly relayCpuSeconds: number;
}

const NAMES = ['direct fetch', 'upload', 'fetch from the store', 'fetch through a circuit'] as const;
type Name = (typeof NAMES)[number];
const TARGETS: Partial<Record<Name, Figure['target']>> = {
  upload: { least: LEAST_OF_DIRECT },
  'fetch from the store': { least: LEAST_OF_DIRECT },
};

export async function measureTransfers(folder: string, { payload, repeat, nodeOptions }: Sizes): Promise<Figure[]> {
  const file = join(folder, 'payload');
  await writeIncompressible(file, payload);
  const relay = await startRelay(await makeDataFolder(folder), { nodeOptions });
  const runs: Moved[] = [];
  let peakBytes: number;
  try {
    for (let n = 0; n < repeat; n++) {
      const own = await mkdtemp(join(folder, 'run-'));
      const run = { folder: own, file, bytes: payload, relay };
      runs.push(await direct(run));
      runs.push(...(await throughTheStore(run)));
      runs.push(await throughACircuit(run));
      await rm(own, { recursive: true });
    }
    peakBytes = maxRssBytes(relay.pid);
  } finally {
    await relay.stop();
  }
  const medians = NAMES.map(name => medianOf(runs, name));
  const [base] = medians;
  assert(base !== undefined);
  return [
    ...medians.flatMap(one => figuresOf(one, base)),
    { name: 'most memory of the relay in these', value: peakBytes / MiB, unit: 'MiB' },
  ];
}

function figuresOf(moved: Moved, base: Moved): Figure[] {
  const { bytes, seconds, cpuSeconds, relayCpuSeconds } = moved;
  const name = moved.name as Name;
  const target = TARGETS[name];
  const share = bytes / seconds / (base.bytes / base.seconds);
  const perGiB = (spent: number): number => (spent * 2 ** 30) / bytes;
  return [
    { name, value: bytes / seconds / 1e6, unit: 'MB/s' },
    ...(moved === base
      ? []
      : [{ name: `${name}, of direct`, value: share, ...(target === undefined ? {} : { target }) }]),
    { name: `${name}, CPU time of all`, value: perGiB(cpuSeconds), unit: 's/GiB' },
    ...(moved === base
      ? []
      : [{ name: `${name}, CPU time of the relay`, value: perGiB(relayCpuSeconds), unit: 's/GiB' }]),
  ];
}

async function direct(run: Run): Promise<Moved> {
  const sharing = start(run, 'sharer', shoalCommand('share', run.file, '--no-pad', '--hint', 'self'));
  try {
    const { link } = await untilEvent(sharing, 'shared');
    return await timedFetch(run, 'direct fetch', shoalCommand('fetch', String(link), '-o', join(run.folder, 'direct')));
  } finally {
    await sharing.stop();
  }
}

async function throughTheStore(run: Run): Promise<Moved[]> {
  const { link, moved } = await timedUpload(run);
  const command = shoalCommand('fetch', link, '-o', join(run.folder, 'stored'));
  return [moved, await timedFetch(run, 'fetch from the store', command)];
}

/** The one place that knows which program uploads. */
async function timedUpload(run: Run): Promise<{ link: string; moved: Moved }> {
  const home = join(run.folder, 'uploader');
  settle(run);
  const uploading = startProgram(
    scriptCommand('uploader.ts', '--file', run.file, '--to', run.relay.address, '--home', home),
  );
  try {
    await untilEvent(uploading, 'accepted');
    let link = '';
    const moved = await timed(run, 'upload', async () => {
      link = String((await untilEvent(uploading, 'stored'))['link']);
    });
    await uploading.finish();
    return { link, moved };
  } finally {
    await uploading.stop();
  }
}

/** The one place that knows which programs make and use circuits. */
async function throughACircuit(run: Run): Promise<Moved> {
  const sharing = startProgram(
    scriptCommand(
      'circuit.ts',
      ...['--file', run.file, '--to', run.relay.address],
      ...['--home', join(run.folder, 'behind')],
    ),
  );
  try {
    const { link } = await untilEvent(sharing, 'shared');
    const command = shoalCommand('fetch', String(link), '-o', join(run.folder, 'circuit'));
    return await timedFetch(run, 'fetch through a circuit', command);
  } finally {
    await sharing.stop();
  }
}

/** From when the fetcher knows the names until it has made the file. */
async function timedFetch(run: Run, name: Name, command: Command): Promise<Moved> {
  settle(run);
  const fetching = start(run, 'fetcher', command);
  try {
    await untilEvent(fetching, 'opened');
    const moved = await timed(run, name, async () => {
      await untilEvent(fetching, 'done');
    });
    await fetching.finish();
    return moved;
  } finally {
    await fetching.stop();
  }
}

async function timed({ bytes, relay }: Run, name: Name, work: () => Promise<void>): Promise<Moved> {
  const before = cpuSecondsOf(relay.pid);
  const measured = await measureTree(name, bytes, work);
  return { ...measured, relayCpuSeconds: cpuSecondsOf(relay.pid) - before };
}

/** Has the disk take what others have written, or whoever makes something durable next would wait for it. */
function settle({ folder }: Run): void {
  spawnSync('sync', ['--file-system', folder]);
}

type Command = readonly [string, ...string[]];

function start({ folder }: Run, home: string, command: Command): Program {
  return startProgram(command, shoalEnvironment(join(folder, home)));
}

/** The command line as it was built; tells what it does as JSON. */
export function shoalCommand(...args: string[]): Command {
  return [process.execPath, join(import.meta.dirname, '../../bin/shoal.js'), '--json', ...args];
}

/** A home of its own, and a network of this machine only. */
export function shoalEnvironment(home: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    SHOAL_LISTEN: '/ip4/127.0.0.1/tcp/0',
    SHOAL_MDNS: 'off',
    SHOAL_DHT: 'off',
    SHOAL_PORT_MAPPING: 'off',
    SHOAL_HOME: home,
    XDG_RUNTIME_DIR: home,
  };
}

function scriptCommand(script: string, ...args: string[]): Command {
  return [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, script), ...args];
}

type Event = Readonly<Record<string, unknown>>;

async function untilEvent(program: Program, name: string): Promise<Event> {
  for (;;) {
    const event = JSON.parse(await program.nextLine()) as Event;
    if (event['event'] === name) return event;
  }
}

/** The run of median speed (the slower of two in the middle). */
function medianOf(runs: readonly Moved[], name: Name): Moved {
  const own = runs.filter(run => run.name === name).sort((a, b) => a.seconds - b.seconds);
  const middle = own[Math.floor(own.length / 2)];
  assert(middle !== undefined, `${name} was measured`);
  return middle;
}

async function writeIncompressible(path: string, size: number): Promise<void> {
  const file = await open(path, 'wx');
  const piece = Buffer.allocUnsafe(MiB);
  for (let written = 0; written < size; written += piece.length)
    await file.write(randomFillSync(piece), 0, Math.min(piece.length, size - written));
  await file.close();
}
