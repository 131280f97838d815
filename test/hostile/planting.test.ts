import { encode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { linkOf, makeShare, manifestStream, padded } from './peer.ts';
import { Stage, type Ended, type Event } from './product.ts';
import { answer, greet, serve, type Server } from './servers.ts';

const PATHS = ['a/one', 'a/two', 'b', 'c/d/three'];
/** Where somebody plants. */
const PLACES = {
  'its own files': ['output', 'blocks', 'lock', 'journal', 'share', 'data', '0'],
  'the lock': ['lock'],
  'the output': ['a', 'b', 'c', 'd', 'one', 'two', 'three'],
  everywhere: ['output', 'blocks', 'lock', 'journal', 'a', 'b', 'c', 'd', 'one', 'two', 'three', 'share'],
} as const;
const SIZE = 1_500_000;
const BLOCK_MS = 60;

describe('A fetch, while somebody plants links and pipes,', () => {
  const contents = PATHS.map(() => randomBytes(SIZE));
  const manifest = { kind: 'folder', name: 'folder', entries: PATHS.map(path => ({ path, size: SIZE })) };
  const share = makeShare({ manifest: manifestStream(encode(manifest)), data: padded(Buffer.concat(contents)) });
  let stage: Stage;
  let server: Server;
  let link = '';

  before(async () => {
    stage = await Stage.make();
    await mkdir(stage.path('canary', 'nest'), { recursive: true });
    await writeFile(stage.path('canary', 'bird'), 'sings');
    await writeFile(stage.path('canary', 'nest', 'egg'), randomBytes(100));
    execFileSync('mkfifo', [stage.path('pipe')]);
    server = await serve(share, async talk => {
      await greet(talk, { credit: 4 * 2 ** 20 });
      await answer(talk, async (wanted, chunk) => {
        await sleep(BLOCK_MS);
        await talk.wire.say({ type: 'block', ...wanted }, chunk);
      });
    });
    link = linkOf(share, [server.hint]);
  });
  after(async () => {
    await server.stop();
    await stage.clear();
  });

  /** Fetches while the planter is at work; returns also how much it has planted. */
  const fetchAmidst = async (
    mode: string,
    names: readonly string[],
    output: string,
  ): Promise<{ ended: Ended; planted: number }> => {
    const script = join(import.meta.dirname, 'planter.child.ts');
    const args = [script, mode, output, stage.path('canary'), stage.path('pipe'), ...names];
    const planter = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    planter.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await once(planter.stdout, 'data');
    const ended = await stage.fetch(link, `${output}/`, '--timeout', '10s');
    planter.stdin.end();
    await once(planter, 'close');
    return { ended, planted: Number(said.split('\n')[1]) };
  };

  /** Everything is there, under the names that the fetch has told where somebody had taken the right ones. */
  const expectRight = async (folder: string, events: readonly Event[] = []): Promise<void> => {
    for (const [n, given] of PATHS.entries()) {
      const path = placeOf(given, events);
      expect((await lstat(join(folder, path))).isFile(), path).to.be.true;
      expect((await readFile(join(folder, path))).equals(contents[n]!), path).to.be.true;
    }
  };

  const plantings = {
    adds: ['its own files', 'the lock', 'the output'],
    replaces: ['the output', 'everywhere'],
  } as const;
  for (const [mode, places] of Object.entries(plantings)) {
    for (const place of places) {
      it(`completes or fails cleanly, and writes nowhere else (who ${mode}: ${place})`, async () => {
        const output = stage.path(`${mode} ${place}`);
        await mkdir(output);
        const before = await digestOf(stage.path('canary'));
        const { ended, planted } = await fetchAmidst(mode, PLACES[place], output);
        expect(await digestOf(stage.path('canary'))).to.equal(before);
        expect(planted).to.be.greaterThan(0);
        const { code, events, stdout } = ended;
        expect(code, stdout.toString()).to.be.oneOf([0, 1]);
        if (code === 1) expect(events.at(-1)?.['code']).to.be.oneOf(['denied', 'exists', 'io', 'in-use', 'corrupt']);
        // Who took away what had been written could do so a moment later too.
        const found = await readdir(output);
        if (mode === 'adds' && found.includes('folder')) await expectRight(join(output, 'folder'), events);
        expect(found.filter(name => name !== 'folder' && !name.startsWith('.shoal-'))).to.deep.equal([]);
      }).timeout(40_000);
    }
  }

  it('does not follow a link that stands in the place of its part folder, or at the final place', async () => {
    const output = stage.path('links');
    await mkdir(output);
    const before = await digestOf(stage.path('canary'));
    const run = stage.start(['--json', 'fetch', '-o', `${output}/`, link]);
    await run.event(({ event }) => event === 'opened');
    run.child.kill('SIGKILL');
    await run.ended;
    const [part = ''] = await readdir(output);
    expect(part).to.match(/^\.shoal-/);
    await rm(join(output, part), { recursive: true });
    await symlink(stage.path('canary'), join(output, part));
    expect((await stage.fetch(link, `${output}/`)).events.at(-1)).to.include({ code: 'denied', exitCode: 1 });
    await rm(join(output, part));
    for (const more of [[], ['--force']]) {
      await symlink(stage.path('canary'), join(output, 'folder'));
      const ended = await stage.fetch(link, `${output}/`, ...more);
      expect(ended.code).to.equal(more.length === 0 ? 1 : 0);
      if (ended.code === 0) await expectRight(join(output, 'folder'));
      await rm(join(output, 'folder'), { recursive: true });
    }
    expect(await digestOf(stage.path('canary'))).to.equal(before);
  }).timeout(40_000);
});

/** Where a path of the share is, when it or a folder above it had to get another name. */
function placeOf(path: string, events: readonly Event[]): string {
  const renamed = events.find(event => event.event === 'renamed' && event['path'] === path);
  if (renamed !== undefined) return String(renamed['as']);
  const end = path.lastIndexOf('/');
  return end < 0 ? path : placeOf(path.slice(0, end), events) + path.slice(end);
}

/** All that can be told of a folder: names, bytes, kinds, modes, times. */
async function digestOf(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of ['.', ...(await readdir(folder, { recursive: true })).sort()]) {
    const { mode, mtimeMs, size } = await lstat(join(folder, name));
    hash.update(JSON.stringify([name, mode, mtimeMs, size]));
    if ((await lstat(join(folder, name))).isFile()) hash.update(await readFile(join(folder, name)));
  }
  return hash.digest('hex');
}
