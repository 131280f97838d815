/**
 * Whether limits of bytes per second are kept: shares a file from one or several processes and fetches it by another, with a
 * limit on either side, through the real command line on loopback; prints what passed per second, next to the limit.
 * `--only up` or `--only down` measures one side. Measured from when the names are known to the last byte, so start-up is not in it.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseRate } from '../cli/units.ts';
import { startProgram, type Program } from './harness.ts';

interface Case {
  readonly side: 'up' | 'down';
  readonly limit: string;
  readonly sizeBytes: number;
  /** Processes that share the file, and processes that fetch it. */
  readonly sharers: number;
  readonly fetchers: number;
}

const CASES: readonly Case[] = [
  { side: 'up', limit: '100 kB/s', sizeBytes: 2e6, sharers: 1, fetchers: 1 },
  { side: 'up', limit: '100 kB/s', sizeBytes: 2e6, sharers: 1, fetchers: 3 },
  { side: 'up', limit: '20 MB/s', sizeBytes: 300e6, sharers: 1, fetchers: 1 },
  { side: 'up', limit: '20 MB/s', sizeBytes: 100e6, sharers: 1, fetchers: 3 },
  { side: 'down', limit: '100 kB/s', sizeBytes: 2e6, sharers: 1, fetchers: 1 },
  { side: 'down', limit: '100 kB/s', sizeBytes: 4e6, sharers: 3, fetchers: 1 },
  { side: 'down', limit: '20 MB/s', sizeBytes: 300e6, sharers: 1, fetchers: 1 },
  { side: 'down', limit: '20 MB/s', sizeBytes: 300e6, sharers: 3, fetchers: 1 },
];

const BIN = join(import.meta.dirname, '../bin/shoal.js');
const QUIET = { SHOAL_LISTEN: '/ip4/127.0.0.1/tcp/0', SHOAL_MDNS: 'off', SHOAL_DHT: 'off', SHOAL_PORT_MAPPING: 'off' };

console.log('| limit | sharers | fetchers | passed per second | of the limit | peers lost |');
console.log('|---|---|---|---|---|---|');
const { only } = parseArgs({ options: { only: { type: 'string' } } }).values;
for (const one of CASES) if (only === undefined || one.side === only) await measure(one);

async function measure({ side, limit, sizeBytes, sharers, fetchers }: Case): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-rates-'));
  const running: Program[] = [];
  const shoal = (home: string, ...args: string[]): Program => {
    const program = startProgram([process.execPath, BIN, '--json', ...args], {
      ...process.env,
      ...QUIET,
      SHOAL_HOME: join(folder, home),
      XDG_RUNTIME_DIR: folder,
    });
    running.push(program);
    return program;
  };
  try {
    const file = join(folder, 'file');
    await writeFile(file, randomBytes(sizeBytes));
    const limitOf = (of: Case['side']): string[] => (of === side ? [`--max-${side}`, limit] : []);
    const first = await untilEvent(
      shoal('first', 'share', file, '--no-pad', '--hint', 'self', ...limitOf('up')),
      'shared',
    );
    const hints = [addressOf(first)];
    for (let n = 1; n < sharers; n++) {
      const seed = shoal(`seed-${n}`, 'fetch', String(first['link']), '--keep', '-o', join(folder, `seed-${n}.out`));
      await untilEvent(seed, 'keeping');
      const again = shoal(`seed-${n}`, 'share', join(folder, `seed-${n}.out`), '--no-pad');
      hints.push(addressOf(await untilEvent(again, 'shared')));
    }
    const link = `${String(first['link']).split('@')[0] ?? ''}@${hints.join(',')}`;
    const results = await Promise.all(
      Array.from({ length: fetchers }, (_, n) =>
        timed(shoal(`fetcher-${n}`, 'fetch', link, '-o', join(folder, `out-${n}`), ...limitOf('down'))),
      ),
    );
    const seconds =
      (Math.max(...results.map(({ toMs }) => toMs)) - Math.min(...results.map(({ fromMs }) => fromMs))) / 1000;
    const perSecond = (sizeBytes * fetchers) / seconds;
    const share = ((100 * perSecond) / parseRate(limit)).toFixed(1);
    const lost = results.reduce((sum, result) => sum + result.lost, 0);
    console.log(`| ${side} ${limit} | ${sharers} | ${fetchers} | ${Math.round(perSecond)} | ${share} % | ${lost} |`);
  } finally {
    await Promise.all(running.map(program => program.stop()));
    await rm(folder, { recursive: true });
  }
}

type Event = Readonly<Record<string, unknown>>;

async function nextEvent(program: Program): Promise<Event> {
  return JSON.parse(await program.nextLine()) as Event;
}

async function untilEvent(program: Program, name: string): Promise<Event> {
  for (;;) {
    const event = await nextEvent(program);
    if (event['event'] === name) return event;
  }
}

function addressOf(shared: Event): string {
  return (shared['addresses'] as string[])[0] ?? '';
}

/** When a fetch knew the names, and when it had all; and how many peers it has lost. */
async function timed(fetching: Program): Promise<{ fromMs: number; toMs: number; lost: number }> {
  let [fromMs, lost] = [0, 0];
  for (;;) {
    const { event } = await nextEvent(fetching);
    if (event === 'opened') fromMs = performance.now();
    if (event === 'lost') lost++;
    if (event === 'finishing') return { fromMs, toMs: performance.now(), lost };
  }
}
