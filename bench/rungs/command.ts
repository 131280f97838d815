/**
 * Rung: the whole `shoal fetch` of a small file, from the start of the program to its end, while `shoal share` serves it in
 * another process and nothing but mDNS leads to it. Says which of `--runs` took the middle time. The ladder starts it in a
 * network of its own.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureTree, rungOptions, startProgram, type Measurement } from '../harness.ts';

const { size, runs = '10' } = rungOptions('runs');
const SHOAL = join(import.meta.dirname, '../../bin/shoal.js');
const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-command-'));
const env = { ...process.env, SHOAL_DHT: 'off', SHOAL_HOME: join(folder, 'sharer') };
const file = join(folder, 'file');
await writeFile(file, randomBytes(size));
const sharer = startProgram([process.execPath, SHOAL, 'share', '--json', '--quiet', file], env);
try {
  const link = await linkOf(sharer);
  const measured: Measurement[] = [];
  for (let run = 0; run < Number(runs); run++) {
    const command = [process.execPath, SHOAL, 'fetch', '--json', '--output', join(folder, String(run))] as const;
    measured.push(
      await measureTree('command', size, async () => {
        await startProgram(command, { ...env, SHOAL_HOME: join(folder, 'fetcher'), SHOAL_LINK: link }).finish();
      }),
    );
  }
  measured.sort((a, b) => a.seconds - b.seconds);
  console.log(JSON.stringify(measured[Math.floor(measured.length / 2)]));
} finally {
  await sharer.stop();
  await rm(folder, { recursive: true });
}

async function linkOf(program: typeof sharer): Promise<string> {
  for (;;) {
    const { link } = JSON.parse(await program.nextLine()) as { link?: string };
    if (link !== undefined) return link;
  }
}
