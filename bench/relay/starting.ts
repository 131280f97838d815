/** How soon a relay is ready that has much to keep, and what that takes of memory beside a relay that keeps nothing. */
import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { formatLink } from '../../src/format/link.ts';
import { parseHint } from '../../src/format/hint.ts';
import { residentBytes, startProgram } from '../harness.ts';
import type { Figure, Sizes } from '../relay.ts';
import { makeDataFolder, startRelay } from './process.ts';
import { fillDataFolder } from './stored.ts';
import { shoalCommand, shoalEnvironment } from './transfers.ts';

const MOST_SECONDS = 3;
const MOST_MORE_MIB = 16;
const MiB = 2 ** 20;
/** Starts of each, of which the median counts. */
const STARTS = 3;

export async function measureStart(folder: string, { shares, chunks, nodeOptions }: Sizes): Promise<Figure[]> {
  const empty = await makeDataFolder(folder);
  const full = await makeDataFolder(folder);
  const link = await fillDataFolder(full, shares, chunks);
  const runs = { empty: [] as Start[], full: [] as Start[] };
  for (let n = 0; n < STARTS; n++) {
    runs.empty.push(await startOnce(empty, 0, nodeOptions));
    runs.full.push(await startOnce(full, shares, nodeOptions));
  }
  await checkServed(folder, full, link);
  const seconds = (of: readonly Start[]): number => median(of.map(({ readySeconds }) => readySeconds));
  const bytes = (of: readonly Start[]): number => median(of.map(one => one.residentBytes));
  const stored = `${shares * chunks} chunks of ${shares} shares`;
  return [
    { name: `ready with ${stored}`, value: seconds(runs.full), unit: 's', target: { most: MOST_SECONDS } },
    { name: 'ready with nothing', value: seconds(runs.empty), unit: 's' },
    {
      name: `memory for ${stored}, beside an empty relay`,
      value: (bytes(runs.full) - bytes(runs.empty)) / MiB,
      unit: 'MiB',
      target: { most: MOST_MORE_MIB },
    },
  ];
}

interface Start {
  readonly readySeconds: number;
  readonly residentBytes: number;
}

async function startOnce(data: string, leases: number, nodeOptions: Sizes['nodeOptions']): Promise<Start> {
  const relay = await startRelay(data, { nodeOptions });
  try {
    assert.equal((await relay.status()).leases, leases, 'nothing of what is kept was lost');
    return { readySeconds: relay.readySeconds, residentBytes: residentBytes(relay.pid) };
  } finally {
    await relay.stop();
  }
}

/** What was made by hand must be what a relay believes to have: a reader gets the list of files from it. */
async function checkServed(folder: string, data: string, link: Awaited<ReturnType<typeof fillDataFolder>>) {
  const relay = await startRelay(data);
  try {
    const text = formatLink({ ...link, hints: [parseHint(relay.address)] });
    const listing = startProgram(
      shoalCommand('ls', text, '--timeout', '20s'),
      shoalEnvironment(join(folder, 'reader')),
    );
    assert.match((await listing.finish()).join('\n'), /share \d+/, 'a stored share is served');
  } finally {
    await relay.stop();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}
