/** The program as it is installed: a process of its own, on what was built. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

const isBuilt = existsSync(join(PROJECT, 'dist/program/main.js'));

(isBuilt ? describe : describe.skip)('The program', () => {
  let home: string;
  before(() => (home = mkdtempSync(join(tmpdir(), 'shoal-cli-'))));
  after(() => rmSync(home, { recursive: true, force: true }));

  const start = (args: readonly string[], nodeArgs: readonly string[] = []): ChildProcess =>
    spawn(process.execPath, [...nodeArgs, PROGRAM, ...args], {
      env: { PATH: process.env['PATH'], SHOAL_HOME: join(home, 'home'), XDG_RUNTIME_DIR: home },
    });

  /** The modules in the files that the tracer has seen: in what is bundled, it stands above each where it comes from. */
  function modulesIn(stderr: string): string[] {
    const files = [...stderr.matchAll(/LOADED file:\/\/(.*)\n/g)].map(([, file]) => file ?? '');
    return files.flatMap(file => {
      if (!file.includes('/dist/program/')) return [file];
      const origins = readFileSync(file, 'utf8').matchAll(/^ *\/\/ (\S+\.(?:ts|[cm]?js))$/gm);
      return [...origins].map(([, path]) => path ?? '');
    });
  }

  /** The names of packages among modules. */
  function packagesIn(modules: readonly string[]): string[] {
    const names = modules.flatMap(path => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []);
    return [...new Set(names)];
  }

  async function finished(child: ChildProcess) {
    const [stdout, stderr] = [text(child.stdout!), text(child.stderr!)];
    const [exitCode] = (await once(child, 'close')) as [number | null];
    return { stdout: await stdout, stderr: await stderr, exitCode };
  }

  it('prints its version and help without loading what only work needs', async () => {
    const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string };
    for (const option of ['--version', '--help']) {
      const { stdout, stderr, exitCode } = await finished(start([option], ['--import', TRACER]));
      expect(exitCode).to.equal(0);
      if (option === '--version') expect(stdout).to.equal(`${version}\n`);
      const modules = modulesIn(stderr);
      expect(packagesIn(modules)).to.deep.equal(['commander']);
      expect(modules.join()).not.to.match(/src\/(node|home|daemon)/);
      expect(modules).to.contain('cli/main.ts');
    }
  });

  it('loads what reads a configuration file when there is one', async () => {
    const loaded = async (): Promise<boolean> => {
      const { stderr, exitCode } = await finished(start(['shares', '--quiet'], ['--import', TRACER]));
      expect(exitCode).to.equal(0);
      return packagesIn(modulesIn(stderr)).includes('toml-eslint-parser');
    };
    expect(await loaded()).to.equal(false);
    mkdirSync(join(home, 'home'), { mode: 0o700 });
    writeFileSync(join(home, 'home', 'config.toml'), '', { mode: 0o600 });
    expect(await loaded()).to.equal(true);
    rmSync(join(home, 'home'), { recursive: true });
  });

  it('lists shares without loading what only a network or a holder needs', async () => {
    const { stdout, stderr, exitCode } = await finished(start(['shares', '--json'], ['--import', TRACER]));
    expect([exitCode, stdout]).to.deep.equal([0, '{"shares":[]}\n']);
    const modules = modulesIn(stderr);
    expect(packagesIn(modules)).to.have.members([
      'commander',
      'env-paths',
      'is-safe-filename',
      '@noble/hashes',
      'multiformats',
    ]);
    expect(modules.join()).not.to.match(/src\/(node|home)\.ts/);
    expect(stderr).not.to.contain('LOADED node:http');
  });

  it('exits with the code of what went wrong', async () => {
    const { exitCode, stdout, stderr } = await finished(start(['share']));
    expect([exitCode, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.match(/^shoal: missing required argument 'path'; .*\n$/);
  });

  it('hides its arguments from lists of processes, and can be interrupted while it waits for its link', async () => {
    const child = start(['fetch', '-', '-o', 'not-to-be-seen'], ['--import', TRACER]);
    // It is in the middle of its work once it has loaded the command.
    let stderr = '';
    for await (const chunk of child.stderr!) {
      stderr += String(chunk);
      if (modulesIn(stderr).includes('cli/commands/fetch.ts')) break;
    }
    if (process.platform === 'linux') {
      expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').replaceAll('\0', '')).to.equal('shoal fetch');
    }
    child.kill('SIGINT');
    const [exitCode] = (await once(child, 'exit')) as [number | null];
    expect(exitCode).to.equal(130);
  });

  it('is quiet when its reader goes away', async () => {
    const child = start(['--help']);
    child.stdout?.destroy();
    const stderr = await text(child.stderr!);
    expect(stderr).to.equal('');
  });
});
