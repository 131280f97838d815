/** What reservations cost a relay: CPU time for each that is made, and memory and CPU time while all are held. */
import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsOf, residentBytes, startProgram, type Program } from '../harness.ts';
import type { Figure, Sizes } from '../relay.ts';
import { makeDataFolder, startRelay } from './process.ts';
import type { Visited } from './visitors.ts';

const LEAST_PER_CPU_SECOND = 100;
const MOST_RESIDENT_MIB = 1024;
/** No step begins later: a relay that becomes ever slower would take many minutes for the last ones. */
const CONNECTING_MS = 90_000;
const MiB = 2 ** 20;

/** Connects visitors step by step, and holds all of them; counts those that the relay loses by itself. */
export async function measureReservations(folder: string, sizes: Sizes): Promise<Figure[]> {
  const { reservations, steps, heldMs, nodeOptions } = sizes;
  const relay = await startRelay(await makeDataFolder(folder), { nodeOptions });
  const visitors: Program[] = [];
  try {
    const emptyBytes = residentBytes(relay.pid);
    const perSecond: number[] = [];
    const count = Math.ceil(reservations / steps);
    const startedMs = performance.now();
    let made = 0;
    for (let first = 0; first < reservations; first += count) {
      if (performance.now() - startedMs > CONNECTING_MS) break;
      const cpuBefore = cpuSecondsOf(relay.pid);
      const visitor = startProgram(visitorsOf(relay.address, Math.min(count, reservations - first), first));
      visitors.push(visitor);
      const { reserved } = await visitedBy(visitor);
      made += reserved;
      perSecond.push(reserved / (cpuSecondsOf(relay.pid) - cpuBefore));
    }
    const cpuBefore = cpuSecondsOf(relay.pid);
    const heldSinceMs = performance.now();
    await sleep(heldMs);
    const heldSeconds = (performance.now() - heldSinceMs) / 1000;
    const heldCpuSeconds = cpuSecondsOf(relay.pid) - cpuBefore;
    const bytes = residentBytes(relay.pid);
    const lost = made - (await relay.status()).reservations;
    const [firstRate = NaN, lastRate = NaN] = [perSecond.at(0), perSecond.at(-1)];
    return [
      {
        name: `reservations per CPU second of the relay, the first ${count}`,
        value: firstRate,
        target: { least: LEAST_PER_CPU_SECOND },
      },
      {
        name: `reservations per CPU second, the last ${count} of ${made}`,
        value: lastRate,
        target: { least: LEAST_PER_CPU_SECOND },
      },
      { name: 'reservations held in the end', value: made - lost, target: { least: reservations } },
      {
        name: `resident with ${made} reservations`,
        value: bytes / MiB,
        unit: 'MiB',
        target: { most: MOST_RESIDENT_MIB },
      },
      { name: 'resident when empty', value: emptyBytes / MiB, unit: 'MiB' },
      { name: 'memory of one connection', value: (bytes - emptyBytes) / made / 1024, unit: 'KiB' },
      { name: `reservations lost of ${made}`, value: lost, target: { most: 0 } },
      { name: 'CPU time while all are held', value: (100 * heldCpuSeconds) / heldSeconds, unit: '% of a core' },
    ];
  } finally {
    await Promise.all(visitors.map(visitor => visitor.stop()));
    await relay.stop();
  }
}

const PLACES = 15;
const VISITS = 20;

/** Visitors who come and go, more than there are places, but never so many at once. */
export async function measureVisits(folder: string): Promise<Figure[]> {
  const relay = await startRelay(await makeDataFolder(folder), { reservations: PLACES });
  const visitor = startProgram([...visitorsOf(relay.address, VISITS, 0), '--passing', 'yes']);
  try {
    const { reserved } = await visitedBy(visitor);
    return [
      {
        name: `refused of ${VISITS} short visits to a relay with ${PLACES} places`,
        value: VISITS - reserved,
        target: { most: 0 },
      },
    ];
  } finally {
    await visitor.stop();
    await relay.stop();
  }
}

function visitorsOf(address: string, count: number, first: number): readonly [string, ...string[]] {
  const script = join(import.meta.dirname, 'visitors.ts');
  const options = ['--to', address, '--count', String(count), '--first', String(first)];
  return [process.execPath, '--disable-warning=ExperimentalWarning', script, ...options];
}

/** Says of visits that failed why, which is something else than being refused. */
async function visitedBy(visitor: Program): Promise<Visited> {
  const visited = JSON.parse(await visitor.nextLine()) as Visited;
  assert(visited.reserved > 0, `nobody got a reservation: ${visited.why ?? 'all were refused'}`);
  if (visited.failed > 0) process.stderr.write(`${visited.failed} visits have failed: ${visited.why ?? ''}\n`);
  return visited;
}
