/**
 * Kills the program at chosen moments, and looks whether the same commands then end as if nothing had been. The tests and the
 * heavy tests run it with different numbers of moments.
 *
 * Moments are exact in two ways: right before a call that changes a file (kill-before.ts), so between any two steps of
 * writing, making durable, renaming and tidying up; and when an exact number of bytes has come over the line (line.ts).
 */
import { expect } from 'chai';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { expectDone, portOf, through, useSandbox, type Sandbox, type StartOptions } from './harness.ts';
import { Line } from './line.ts';
import { leftovers, makePlainTree, treeAt } from './tree.ts';

const MIB = 1024 * 1024;
const TREE_BYTES = 20 * MIB;
/** Calls after the last piece is written: making durable, renaming, removing the part folder. */
const LAST_STEPS = 16;
const PRELOAD = new URL('kill-before.ts', import.meta.url).href;
/** Far more than any one moment takes. */
const MOMENT_TIMEOUT_MS = 60_000;

export interface Kills {
  readonly seed: number;
  /** While fetching: between its calls, and between its bytes. */
  readonly fetcher: number;
  /** While making a share: between its calls. */
  readonly sharer: number;
  /** While serving one: between its bytes. */
  readonly serving: number;
}

export function killTests({ seed, fetcher, sharer, serving }: Kills): void {
  const sandbox = useSandbox();
  let choose: () => number;
  beforeEach(() => (choose = randoms(seed)));

  it(`a fetch that is killed at ${fetcher} moments goes on and completes`, async function () {
    this.timeout(fetcher * MOMENT_TIMEOUT_MS);
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), TREE_BYTES, seed);
    const expected = await treeAt(tree);
    const { link } = await box.share('ann', tree);
    const line = await Line.to(portOf(link));
    try {
      const calls = await callsOf(box, log => box.fetch(link, box.path('counted'), [], killing('', log)));
      expect(
        calls.some(call => call.startsWith('spawn sync')),
        calls.join('\n'),
      ).to.equal(true);
      for (let n = 0; n < fetcher; n++) {
        const output = box.path(`to ${n}`);
        // To a name of its own, or into a folder that is there.
        const isInside = choose() < 0.4;
        if (isInside) await mkdir(output);
        const kind = n % 3;
        if (kind === 0) await killAtBytes(box, line, link, output, Math.floor(choose() * TREE_BYTES));
        else {
          const last = `spawn+${Math.floor(choose() * LAST_STEPS)}`;
          const moment = kind === 1 ? last : String(1 + Math.floor(choose() * calls.length));
          const { code } = await box.fetch(link, output, [], killing(moment));
          if (kind === 1) expect(code, `killed before ${moment}`).to.equal(null);
        }
        const ended = await box.fetch(link, output);
        const what = `seed ${seed}, moment ${n}`;
        expectDone(ended);
        expect(await treeAt(isInside ? `${output}/from` : output), what).to.deep.equal(expected);
        expect([...(await leftovers(box.folder)), ...(await leftovers(output))], what).to.deep.equal([]);
        if (isInside) expect(await readdir(output), what).to.deep.equal(['from']);
      }
    } finally {
      await line.close();
    }
  });

  it(`a share that is killed at ${sharer} moments before it is served is made again, and nothing is left of it`, async function () {
    this.timeout(sharer * MOMENT_TIMEOUT_MS);
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), TREE_BYTES, seed);
    const expected = await treeAt(tree);
    const calls = await callsOf(box, async log => {
      const { command } = await box.share('counted', tree, [], killing('', log));
      return await command.interrupt();
    });
    for (let n = 0; n < sharer; n++) {
      const [home, output, what] = [`ann ${n}`, box.path(`to ${n}`), `seed ${seed}, moment ${n}`];
      const moment = String(1 + Math.floor(choose() * calls.length));
      const args = ['share', tree, '--json', '--hint', 'self'];
      const killed = box.start(home, args, killing(moment));
      // Where it has begun to serve, fewer calls were made than in the run that was counted.
      await Promise.race([killed.event('shared'), killed.ended]);
      await killed.destroy();
      const { link, command, id } = await box.share(home, tree);
      expectDone(await box.fetch(link, output));
      expect(await treeAt(output), what).to.deep.equal(expected);
      const listed = await box.run(home, ['shares', '--json']);
      expect(
        listed.told[0]?.shares?.map(share => share.id),
        what,
      ).to.deep.equal([id]);
      expect(await readdir(box.path('homes', home, 'blocks')), what).to.deep.equal([id]);
      expect((await command.interrupt()).code, what).to.equal(130);
    }
  });

  it(`a fetch goes on by itself when the one who serves is killed at ${serving} moments and started again`, async function () {
    this.timeout(serving * MOMENT_TIMEOUT_MS);
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), TREE_BYTES, seed);
    const expected = await treeAt(tree);
    let sharing = await box.share('ann', tree);
    const line = await Line.to(portOf(sharing.link));
    try {
      for (let n = 0; n < serving; n++) {
        const [output, what] = [box.path(`to ${n}`), `seed ${seed}, moment ${n}`];
        const held = line.holdAfter(line.bytes + 1 + Math.floor(choose() * TREE_BYTES));
        const fetching = box.fetch(through(sharing.link, line.port), output, ['--timeout', '60s']);
        await held;
        await sharing.command.destroy();
        line.release();
        const before = sharing;
        sharing = await box.share('ann', tree);
        expect(sharing.link, what).to.equal(before.link);
        expectDone(await fetching);
        expect(await treeAt(output), what).to.deep.equal(expected);
        expect(await leftovers(box.folder), what).to.deep.equal([]);
      }
    } finally {
      await line.close();
    }
  });
}

function killing(moment: string, log?: string): StartOptions {
  const env = { NODE_OPTIONS: `--import=${PRELOAD} --disable-warning=ExperimentalWarning`, KILL_BEFORE: moment };
  return { env: log === undefined ? env : { ...env, KILL_LOG: log } };
}

/** The calls by which a command changes files, when it is not killed. */
async function callsOf(box: Sandbox, run: (log: string) => Promise<unknown>): Promise<string[]> {
  const log = box.path('calls');
  await run(log);
  return (await readFile(log, 'utf8')).trimEnd().split('\n');
}

async function killAtBytes(box: Sandbox, line: Line, link: string, output: string, bytes: number): Promise<void> {
  const held = line.holdAfter(line.bytes + bytes);
  const command = box.start('fetcher', ['fetch', through(link, line.port), '-o', output, '--json']);
  await held;
  await command.destroy();
  line.cut();
  line.release();
}

/** Numbers from 0 to below 1, always the same for a seed (mulberry32). */
export function randoms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** SHOAL_SEED, for a run like one before, or chance. */
export function seedOfRun(): number {
  const given = process.env['SHOAL_SEED'];
  return given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);
}
