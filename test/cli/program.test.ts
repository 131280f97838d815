/** The program as it is installed: a process of its own, on what was built. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const PROJECT = join(import.meta.dirname, '../..');
const PROGRAM = join(PROJECT, 'bin/shoal.js');
/** Prints to stderr which modules were loaded. */
const TRACER = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({ load: (url, context, next) => (process.stderr.write('LOADED ' + url + '\\n'), next(url, context)) });
`)}`;

const isBuilt = existsSync(join(PROJECT, 'dist/cli/main.js'));

(isBuilt ? describe : describe.skip)('The program', () => {
  let home: string;
  before(() => (home = mkdtempSync(join(tmpdir(), 'shoal-cli-'))));
  after(() => rmSync(home, { recursive: true, force: true }));

  const start = (args: readonly string[], nodeArgs: readonly string[] = []): ChildProcess =>
    spawn(process.execPath, [...nodeArgs, PROGRAM, ...args], {
      env: { PATH: process.env['PATH'], SHOAL_HOME: join(home, 'home'), XDG_RUNTIME_DIR: home },
    });

  async function finished(child: ChildProcess) {
    const [stdout, stderr] = [text(child.stdout!), text(child.stderr!)];
    const [exitCode, signal] = (await once(child, 'close')) as [number | null, string | null];
    return { stdout: await stdout, stderr: await stderr, exitCode, signal };
  }

  it('prints its version and help without loading what only work needs', async () => {
    const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string };
    for (const option of ['--version', '--help']) {
      const { stdout, stderr, exitCode } = await finished(start([option], ['--import', TRACER]));
      expect(exitCode).to.equal(0);
      if (option === '--version') expect(stdout).to.equal(`${version}\n`);
      const packages = [...stderr.matchAll(/LOADED .*node_modules\/((?:@[^/]+\/)?[^/]+)/g)].map(([, name]) => name);
      expect([...new Set(packages)]).to.deep.equal(['commander']);
      expect(stderr).not.to.match(/dist\/src\/(node|home|daemon)/);
      expect(stderr).to.contain('dist/cli/main.js');
    }
  });

  it('exits with the code of what went wrong', async () => {
    const { exitCode, stdout, stderr } = await finished(start(['share']));
    expect([exitCode, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.match(/^shoal: missing required argument 'path'; .*\n$/);
  });

  it('hides its arguments from lists of processes, and ends when it is interrupted', async function () {
    if (process.platform !== 'linux') this.skip();
    const child = start(['fetch', '-', '-o', 'shoal:not-to-be-seen']);
    // A byte of the version's check is enough to know that the command waits for its link.
    const seen = await commandLineOnce(child, line => line.startsWith('shoal\0'));
    expect(seen.replaceAll('\0', '')).to.equal('shoal');
    const ended = finished(child);
    child.kill('SIGINT');
    const { exitCode, signal } = await ended;
    expect([exitCode, signal].includes(130) || signal === 'SIGINT').to.equal(true);
  });

  it('is quiet when its reader goes away', async () => {
    const child = start(['--help']);
    child.stdout?.destroy();
    const stderr = await text(child.stderr!);
    expect(stderr).to.equal('');
  });
});

/** What /proc says of a process, once it is as wanted. */
async function commandLineOnce(child: ChildProcess, isWanted: (line: string) => boolean): Promise<string> {
  for (;;) {
    const line = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
    if (isWanted(line)) return line;
    if (child.exitCode !== null) throw new Error('the program has ended');
    await new Promise(resolve => setImmediate(resolve));
  }
}
