/**
 * The package as people get it: packed, installed without this checkout's packages, and run by the oldest Node that
 * package.json allows and by newer ones, which come from the npm registry. Without the registry all of this is skipped.
 */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { access, glob, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expectDone, useSandbox, type Ended } from '../e2e/harness.ts';
import { makeFile, noise, treeAt } from '../e2e/tree.ts';

const PROJECT = join(import.meta.dirname, '../..');
const OLDEST = await oldestNode();
const TOO_OLD = '20';
const INSTALL_TIMEOUT_MS = 300_000;

interface Manifest {
  readonly version: string;
  readonly name: string;
  readonly engines: { readonly node: string };
  readonly scripts?: Readonly<Record<string, string>>;
}

describe('the package', function () {
  this.timeout(INSTALL_TIMEOUT_MS);
  this.slow(INSTALL_TIMEOUT_MS);
  const sandbox = useSandbox();
  let folder = '';
  let tarball = '';
  /** Where it is installed as by a user. */
  let prefix = '';
  const nodes = new Map<string, string>();

  before(async function () {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'shoal-package-')));
    const packed = join(folder, 'packed');
    await mkdir(packed);
    await npm(['pack', '--pack-destination', packed], PROJECT);
    tarball = join(packed, (await readdir(packed))[0] ?? '');
    for (const version of [TOO_OLD, OLDEST, '24', '26']) {
      const node = await getNode(version);
      if (node !== undefined) nodes.set(version, node);
    }
    const node = nodes.get(OLDEST);
    if (node === undefined) return this.skip();
    prefix = await install('installed', node);
  });

  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs npm with a cache of the test's own, so that nothing is taken from earlier runs. */
  async function npm(args: readonly string[], cwd: string, path = process.env['PATH'] ?? ''): Promise<string> {
    const env = { ...envOfUser(), PATH: path, npm_config_cache: join(folder, 'cache') };
    const quiet = ['--no-audit', '--no-fund', '--no-update-notifier'];
    const { stdout, stderr } = await promisify(execFile)('npm', [...args, ...quiet], { cwd, env });
    return stdout + stderr;
  }

  /** The program of a version of Node, or undefined, with the reason on stderr, where the registry does not give it. */
  async function getNode(version: string): Promise<string | undefined> {
    const place = join(folder, 'nodes', version);
    await mkdir(place, { recursive: true });
    try {
      await npm(['install', '--prefix', place, `node@${version}`], place);
      const node = join(place, 'node_modules/node/bin/node');
      const { stdout } = await promisify(execFile)(node, ['--version']);
      expect(stdout).to.match(new RegExp(`^v${version.replaceAll('.', '\\.')}[.\\n]`));
      return node;
    } catch (error) {
      console.error(
        `      Node ${version} can't be had, its tests are skipped: ${(error as Error).message.split('\n')[0]}`,
      );
      return undefined;
    }
  }

  /**
   * Installs the package as `npm install -g` does for a user of `node`, with nothing in the PATH but that, npm and sh: no
   * compiler, no make, no Python, no git, no program that downloads.
   */
  async function install(name: string, node: string, ...options: string[]): Promise<string> {
    const [to, bin] = [join(folder, name), join(folder, `${name}-bin`)];
    await mkdir(bin);
    await symlink(node, join(bin, 'node'));
    await symlink(await find('sh'), join(bin, 'sh'));
    await symlink(await find('npm'), join(bin, 'npm'));
    const said = await npm(['install', '-g', '--prefix', to, '--omit=dev', ...options, tarball], folder, bin);
    expect(said, 'what npm says of engines and old packages').not.to.match(/EBADENGINE|deprecated/);
    return to;
  }

  /** The installed command, as a shell of a user of `node` would start it. */
  function installed(node: string, under = prefix): { program: readonly string[]; env: Record<string, string> } {
    const path = [dirname(node), process.env['PATH'] ?? ''].join(delimiter);
    return { program: [join(under, 'bin/shoal')], env: { PATH: path } };
  }

  const text = ({ stdout }: Ended): string => stdout.toString('utf8');

  it('holds the programs, their manuals and services, the licences, and nothing else', async () => {
    const root = join(prefix, 'lib/node_modules/shoal');
    const all = (await filesBelow(root)).filter(path => !path.startsWith('node_modules/'));
    const [program, files] = [true, false].map(is => all.filter(path => path.startsWith('dist/program/') === is));
    const sources = (await filesBelow(PROJECT, 'src/**/*.ts')).map(path => path.replace(/\.ts$/, ''));
    const built = sources.flatMap(path => [`dist/${path}.d.ts`, `dist/${path}.js`]);
    const others = ['CHANGELOG.md', 'LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'SECURITY.md', 'package.json'];
    const started = ['bin/launch.js', 'bin/shoal.js', 'bin/shoal-relay.js'];
    const services = ['contrib/shoal.service', 'contrib/shoal-relay.service'];
    const manuals = ['man/shoal.1', 'man/shoal-relay.1'];
    expect(files).to.have.members([...built, ...others, ...started, ...services, ...manuals]);
    const [notices, code] = [false, true].map(is => program?.filter(path => path.endsWith('.js') === is));
    expect(notices).to.deep.equal(['dist/program/THIRD-PARTY-NOTICES.txt']);
    expect(code).to.include.members(['dist/program/main.js', 'dist/program/relay.js', 'dist/program/pool-worker.js']);
    const notice = await readFile(join(root, 'dist/program/THIRD-PARTY-NOTICES.txt'), 'utf8');
    for (const name of ['libp2p', 'commander', 'zod']) expect(notice).to.match(new RegExp(`^${name} [0-9.]+, `, 'm'));
    for (const path of [...others, ...services, ...manuals]) {
      expect(await readFile(join(root, path), 'utf8'), path).to.equal(await readFile(join(PROJECT, path), 'utf8'));
    }
  });

  it('puts its man pages where man looks', async () => {
    for (const name of ['shoal.1', 'shoal-relay.1']) {
      const page = await readFile(join(prefix, 'share/man/man1', name), 'utf8');
      expect(page, name).to.equal(await readFile(join(PROJECT, 'man', name), 'utf8'));
    }
  });

  it('brings one package with a script for installing, which looks whether a compiled part fits', async () => {
    const found: string[] = [];
    for (const path of await filesBelow(prefix, 'lib/**/package.json')) {
      const { name, scripts = {} } = JSON.parse(await readFile(join(prefix, path), 'utf8')) as Partial<Manifest>;
      const hooks = ['preinstall', 'install', 'postinstall'].filter(hook => scripts[hook] !== undefined);
      if (/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(path)) {
        found.push(...hooks.map(hook => `${name}: ${hook}: ${scripts[hook]}`));
      }
    }
    expect(found).to.deep.equal(['classic-level: install: node-gyp-build']);
  });

  for (const version of [OLDEST, '24', '26']) {
    it(`works on Node ${version}, and says nothing that is not asked for`, async function () {
      const node = nodes.get(version);
      if (node === undefined) return this.skip();
      await expectWorks(installed(node));
    });
  }

  it('works when no script was run to install it', async function () {
    const node = nodes.get('24');
    if (node === undefined) return this.skip();
    await expectWorks(installed(node, await install('without-scripts', node, '--ignore-scripts')));
  });

  it('says what to do where its native part is not compiled for the machine', async function () {
    const node = nodes.get('24');
    if (node === undefined) return this.skip();
    const under = await install('without-native', node, '--ignore-scripts');
    await rm(join(under, 'lib/node_modules/shoal/node_modules/classic-level/prebuilds'), { recursive: true });
    const box = sandbox();
    const path = await makeFile(box.path('a.bin'), { bytes: noise('a', 10) });
    const { code, stderr } = await box.run('ann', ['share', path], installed(node, under));
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /^shoal: cannot load the peer store: classic-level has no compiled part for .+ C\+\+ compiler\n$/m,
    );
  });

  it(`says in one line that Node ${TOO_OLD} is too old`, async function () {
    const node = nodes.get(TOO_OLD);
    if (node === undefined) return this.skip();
    for (const args of [['--version'], ['--help'], ['share', '.']]) {
      const { code, stdout, stderr } = await sandbox().run('ann', args, installed(node));
      expect({ code, stdout: String(stdout) }).to.deep.equal({ code: 1, stdout: '' });
      expect(stderr).to.match(/^shoal: this is Node\.js 20\.\d+\.\d+, and 22\.13 or newer is needed\n$/);
    }
  });

  /** Takes the installed command through what people do with it. Whatever a Node warns of would be on stderr. */
  async function expectWorks(options: ReturnType<typeof installed>): Promise<void> {
    const box = sandbox();
    const { version } = await manifest();
    const words = async (...args: string[]): Promise<string> => {
      const ended = await box.run('ann', args, options);
      expectDone(ended);
      return text(ended);
    };
    expect(await words('--version')).to.equal(`${version}\n`);
    expect(await words('--help')).to.match(/^Usage: shoal .*\n[^]*^ +share .*\n[^]*^ +fetch /m);
    expect(await words('completion', 'bash')).to.match(/^complete .*\bshoal\b/m);
    const from = await makeFile(box.path('from', 'a.bin'), { bytes: noise('package', 3_000_000) });
    const { command, link } = await box.share('ann', from, [], options);
    await mkdir(box.path('to'));
    expectDone(await box.fetch(link, box.path('to', 'a.bin'), [], options));
    expect(await treeAt(box.path('to', 'a.bin'))).to.deep.equal(await treeAt(from));
    expect(await command.interrupt()).to.include({ code: 130, stderr: '' });
    expect(await words('shares')).to.include('a.bin');
  }
});

async function manifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8')) as Manifest;
}

/** The version that package.json asks for at least. */
async function oldestNode(): Promise<string> {
  const { engines } = await manifest();
  return engines.node.replace(/^>=/, '');
}

/** This process's environment without what npm adds for the scripts that it runs, such as this project's own settings. */
function envOfUser(): NodeJS.ProcessEnv {
  const network = /^npm_config_(registry|cafile|https?_proxy|proxy|noproxy)$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name) || network.test(name)));
}

/** Where a program is that the PATH leads to. */
async function find(program: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return await realpath(path);
  }
  throw new Error(`there is no ${program} in the PATH`);
}

/** The paths of files below a folder, relative to it. */
async function filesBelow(folder: string, pattern = '**'): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of glob(pattern, { cwd: folder, withFileTypes: true })) {
    if (entry.isFile()) found.push(join(entry.parentPath, entry.name).slice(folder.length + 1));
  }
  return found;
}
