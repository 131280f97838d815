/** The program of a relay as it is shipped, as processes of its own; and in this process, where somebody types or starts a relay. */
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { RelayConfig } from '../../relay/config.ts';
import { accountSecret, openRelayFolder, relayPlace, takeRelayFolder } from '../../relay/folder.ts';
import { run, type World } from '../../relay/main.ts';
import { Output } from '../../relay/output.ts';
import { ShoalError } from '../../src/errors.ts';

const PROJECT = join(import.meta.dirname, '../..');
const PROGRAM = join(PROJECT, 'bin/shoal-relay.js');
const isBuilt = existsSync(join(PROJECT, 'dist/program/relay.js'));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('shoal-relay', function () {
  this.timeout(60_000);
  let home: string;
  beforeEach(async () => (home = await mkdtemp(join(tmpdir(), 'shoal-relay-'))));
  afterEach(() => rm(home, { recursive: true }));

  /** Runs the program that was built, off a terminal. */
  async function ran(...args: string[]): Promise<Ended> {
    const env = { ...process.env, SHOAL_RELAY_HOME: join(home, 'relay'), NODE_OPTIONS: '' };
    const child = spawn(process.execPath, [PROGRAM, ...args], { env, cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'close') as Promise<[code: number | null]>;
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { code, stdout, stderr };
  }

  /** Runs it in this process. */
  async function ranHere(args: string[], changes: Partial<World> = {}): Promise<Ended> {
    let [stdout, stderr] = ['', ''];
    const output = new Output(
      { write: (part: string) => (stdout += part) },
      { write: (part: string) => (stderr += part) },
      args.includes('--json'),
    );
    const code = await run({
      args,
      env: { SHOAL_RELAY_HOME: join(home, 'relay') },
      cwd: home,
      isRoot: false,
      output,
      start: () => Promise.reject(new Error('nothing is to be started here')),
      signal: new AbortController().signal,
      onReload: () => undefined,
      ...changes,
    });
    return { code, stdout, stderr };
  }

  const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
  const configPath = (): string => join(home, 'relay', 'config.toml');

  (isBuilt ? describe : describe.skip)('as a process', () => {
    it('makes a configuration that it finds right, a folder for its user only, and a key in it', async () => {
      const made = await ran(
        'init',
        '--name',
        'Ours',
        '--contact',
        'a@b.example',
        '--public',
        '192.0.2.7',
        '--disk',
        '20 GB',
      );
      expect(made).to.deep.equal({
        code: 0,
        stdout: `configuration: ${configPath()}\ndata: ${join(home, 'relay')}\n`,
        stderr: '',
      });
      expect(await mode(join(home, 'relay'))).to.equal(0o700);
      expect(await mode(join(home, 'relay', 'key'))).to.equal(0o600);
      const checked = await ran('check-config', '--json');
      const { valid, config } = JSON.parse(checked.stdout) as { valid: boolean; config: RelayConfig };
      expect([checked.code, valid]).to.deep.equal([0, true]);
      expect(config.relay).to.include({ name: 'Ours', contact: 'a@b.example' });
      expect(config.network.announce).to.deep.equal(['/ip4/192.0.2.7/tcp/4001', '/ip4/192.0.2.7/tcp/4002/ws']);
      expect(config.limits.stored_bytes).to.equal(20e9);
    });

    it('replaces no configuration unasked, and no key ever', async () => {
      await ran('init', '--name', 'One');
      const key = await readFile(join(home, 'relay', 'key'), 'utf8');
      const again = await ran('init', '--name', 'Two');
      expect(again.code).to.equal(1);
      expect(again.stderr).to.include('it exists already; edit it, or replace it with --force');
      expect(await readFile(configPath(), 'utf8')).to.include('"One"');
      expect((await ran('init', '--name', 'Two', '--force')).code).to.equal(0);
      expect(await readFile(configPath(), 'utf8')).to.include('"Two"');
      expect(await readFile(join(home, 'relay', 'key'), 'utf8')).to.equal(key);
    });

    it('says what is wrong with a configuration, by line and key', async () => {
      await ran('init');
      await writeFile(configPath(), '[limits]\nstored_bytes = "lots"\n\n[tiers.anonymous]\nlease_tim = "1 day"\n');
      const checked = await ran('check-config');
      expect([checked.code, checked.stdout]).to.deep.equal([2, '']);
      expect(checked.stderr.split('\n')).to.deep.equal([
        `shoal-relay: cannot use the configuration file "${configPath()}": 2 problems`,
        '  line 2, column 16: limits.stored_bytes: cannot read the size "lots": write it like 500 MB, 100 GB or 1.5 GiB',
        '  line 5, column 1: tiers.anonymous.lease_tim: this key is not known; did you mean tiers.anonymous.lease_time?',
        '  mend it, and look again',
        '',
      ]);
      const { problems } = JSON.parse((await ran('check-config', '--json')).stdout) as { problems: { line: number }[] };
      expect(problems.map(({ line }) => line)).to.deep.equal([2, 5]);
      expect((await ran('token', 'list')).code).to.equal(2);
    });

    it('makes tokens, lists them without showing them again, and revokes them', async () => {
      await ran('init');
      const made = await ran('token', 'create', '--note', 'for Ada', '--disk', '5 GB', '--expires', '2 days');
      expect(made.stdout).to.match(/^shoaltoken\.[\w-]+\n$/);
      const token = made.stdout.trim();
      const id = /token ([0-9a-f]{16}),/.exec(made.stderr)?.[1] ?? '';
      const list = await ran('token', 'list');
      expect(list.stdout).to.match(new RegExp(`^${id}  valid    until .* UTC  stores 5.0 GB  for Ada\n$`));
      for (const said of [made.stderr, list.stdout]) expect(said).not.to.include(token.slice(11, 40));
      expect(await ran('token', 'revoke', token)).to.include({ code: 0, stdout: `revoked ${id}\n` });
      const { tokens } = JSON.parse((await ran('token', 'list', '--json')).stdout) as { tokens: { state: string }[] };
      expect(tokens.map(({ state }) => state)).to.deep.equal(['revoked']);
      const unknown = await ran('token', 'revoke', 'ffffffffffffffff');
      expect([unknown.code, unknown.stderr]).to.deep.equal([
        2,
        'shoal-relay: there is no such token; "shoal-relay token list" lists those there are\n',
      ]);
    });

    it('repeats no token that was typed in a wrong place', async () => {
      await ran('init');
      const token = (await ran('token', 'create')).stdout.trim();
      for (const args of [
        [token],
        ['token', token],
        ['token', 'revoke', `${token}x`],
        ['status', token],
        [`--${token}`],
      ]) {
        const { code, stdout, stderr } = await ran(...args);
        expect([code, stdout]).to.deep.equal([2, '']);
        expect(stderr, args.join(' ')).not.to.include(token.slice(11, 30));
      }
    });

    it('says that nobody answers, without a relay', async () => {
      await ran('init');
      const asked = await ran('status', '--json');
      expect(asked.code).to.equal(3);
      expect(JSON.parse(asked.stdout)).to.include({ event: 'error', code: 'unavailable', exitCode: 3 });
    });

    it('has help, a version, and a word on what was typed wrong', async () => {
      const { version } = JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8')) as { version: string };
      expect(await ran('--version')).to.deep.equal({ code: 0, stdout: `${version}\n`, stderr: '' });
      expect((await ran('token', '--help')).stdout)
        .to.include('create')
        .and.to.include('revoke');
      expect(await ran()).to.include({
        code: 2,
        stderr: 'shoal-relay: no command is given; "shoal-relay --help" lists them\n',
      });
      expect((await ran('init', '--public', 'a b')).stderr).to.include(
        '"a b" is neither a host name nor an IP address',
      );
      expect(existsSync(join(home, 'relay'))).to.equal(false);
    });
  });

  it('asks on a terminal for what is not given, again where an answer is wrong', async () => {
    const shown = new PassThrough();
    const typed = { from: Readable.from(['Ours\nnobody\na@b.example\n\n5\n30 GB\n']), shown };
    const made = await ranHere(['init'], { typed });
    expect(made.code).to.equal(0);
    expect(String(shown.read()).split('?').length).to.equal(4 + 2 + 1);
    expect(made.stderr)
      .to.include('"nobody" is not an e-mail address or a URL')
      .and.to.include('cannot read the size "5"');
    const config = await readFile(configPath(), 'utf8');
    for (const line of ['\nname = "Ours"', '\ncontact = "a@b.example"', '\nstored_bytes = "30 GB"', '\n#announce'])
      expect(config).to.include(line);
  });

  it('makes nothing where the questions were not answered', async () => {
    const typed = { from: Readable.from(['Ours\n']), shown: new PassThrough() };
    expect((await ranHere(['init'], { typed })).code).to.equal(130);
    expect(await readdir(home)).to.deep.equal([]);
  });

  it('uses no folder that others may enter, and no key that others may read', async () => {
    await ranHere(['init']);
    await chmod(join(home, 'relay'), 0o750);
    expect((await ranHere(['token', 'list'])).stderr).to.include(
      "others may enter it; if they did not, run: chmod 700 '",
    );
    await chmod(join(home, 'relay'), 0o700);
    await chmod(join(home, 'relay', 'key'), 0o640);
    expect((await ranHere(['token', 'list'])).stderr).to.include(
      "others may read it; if they did not, run: chmod 600 '",
    );
    await chmod(join(home, 'relay', 'key'), 0o600);
    await writeFile(join(home, 'relay', 'key'), 'something else\n');
    expect((await ranHere(['token', 'list'])).stderr).to.include('it is damaged; restore it from a backup');
    await rm(join(home, 'relay', 'key'));
    expect((await ranHere(['token', 'list'])).stderr).to.include('it has no key; "shoal-relay init" makes one');
  });

  it('keeps its files where the system has those of a server, those of its user, or where it is told to', () => {
    expect(relayPlace(undefined, {}, '/w', true)).to.deep.equal({
      configPath: '/etc/shoal-relay/config.toml',
      dataFolder: '/var/lib/shoal-relay',
    });
    expect(relayPlace(undefined, { SHOAL_RELAY_HOME: 'r' }, '/w', true)).to.deep.equal({
      configPath: '/w/r/config.toml',
      dataFolder: '/w/r',
    });
    expect(relayPlace('c.toml', {}, '/w', true).configPath).to.equal('/w/c.toml');
    expect(relayPlace(undefined, {}, '/w', false).dataFolder).to.match(/shoal-relay$/);
  });

  describe('status', () => {
    let server: Server;
    afterEach(() => new Promise(resolve => server.close(resolve)));

    it('prints what the relay says at its socket', async () => {
      await ranHere(['init']);
      server = createServer((request, response) => {
        response.end(
          JSON.stringify({ path: request.url, peers: 3, lent: { circuit: 1 }, addresses: ['/a', '/b\u001b'] }),
        );
      }).listen(join(home, 'relay', 'admin.sock'));
      await once(server, 'listening');
      expect(await ranHere(['status'])).to.deep.equal({
        code: 0,
        stdout: 'path: /status\npeers: 3\nlent.circuit: 1\naddresses: /a, /b\\u{1b}\n',
        stderr: '',
      });
    });

    it('shows its token at a port, and says so where it is not taken', async () => {
      await ranHere(['init']);
      let expected = '';
      server = createServer(({ headers }, response) => {
        response.statusCode = headers.authorization === `Bearer ${expected}` ? 200 : 401;
        response.end('{"peers":3}');
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      await writeFile(configPath(), `[admin]\nlisten = "127.0.0.1:${port}"\n`);
      expect((await ranHere(['status'])).stderr).to.include('it does not take the admin token');
      expected = (await readFile(join(home, 'relay', 'admin-token'), 'utf8')).trim();
      expect(await mode(join(home, 'relay', 'admin-token'))).to.equal(0o600);
      expect((await ranHere(['status'])).stdout).to.equal('peers: 3\n');
    });

    for (const [what, answer] of [
      ['no JSON', 'hello'],
      ['no object', '5'],
      ['without an end', `["${'x'.repeat(2 ** 21)}"]`],
    ] as const) {
      it(`is not taken in by an answer that is ${what}`, async () => {
        await ranHere(['init']);
        server = createServer((_, response) => response.end(answer)).listen(join(home, 'relay', 'admin.sock'));
        await once(server, 'listening');
        const { code, stdout, stderr } = await ranHere(['status']);
        expect([code, stdout]).to.deep.equal([1, '']);
        expect(stderr).to.include('what answers there is no relay of this version');
      });
    }
  });

  describe('run', () => {
    it('runs one relay in a folder, with its configuration and its key, until it is stopped', async () => {
      await ranHere(['init', '--name', 'Ours']);
      const stop = new AbortController();
      const done: string[] = [];
      const start: World['start'] = async ({ config, folder, place }) => {
        done.push(`${config.relay.name} in ${folder.path} by ${place.configPath}`);
        expect(accountSecret(folder.seed)).to.have.lengthOf(32);
        const second = await ranHere(['run'], { start });
        expect([second.code, second.stderr]).to.deep.equal([
          1,
          `shoal-relay: cannot run a relay in "${folder.path}": one runs there already; end it first, or choose another folder\n`,
        ]);
        stop.abort(new ShoalError('interrupted', 'enough'));
        return { reload: () => Promise.resolve([]), stop: () => Promise.resolve(void done.push('stopped')) };
      };
      const { code, stderr } = await ranHere(['run'], { start, signal: stop.signal });
      expect([code, stderr]).to.deep.equal([0, '']);
      expect(done).to.deep.equal([`Ours in ${join(home, 'relay')} by ${configPath()}`, 'stopped']);
      (await takeRelayFolder(await openRelayFolder(join(home, 'relay')))).release();
    });

    it('gives the folder back where it could not be started', async () => {
      await ranHere(['init']);
      const start = (): Promise<never> =>
        Promise.reject(new ShoalError('in-use', 'cannot listen: another program uses the port'));
      expect((await ranHere(['run'], { start })).stderr).to.include('cannot listen');
      (await takeRelayFolder(await openRelayFolder(join(home, 'relay')))).release();
    });

    it('reads its configuration again when it is told to, and changes nothing for a broken one', async () => {
      await ranHere(['init']);
      const stop = new AbortController();
      let hangUp = (): void => undefined;
      const said: string[] = [];
      const output = new Output({ write: () => undefined }, { write: (line: string) => said.push(line) }, false);
      const names: string[] = [];
      const reloaded = { notify: (): void => undefined };
      const ending = run({
        args: ['run'],
        env: { SHOAL_RELAY_HOME: join(home, 'relay') },
        cwd: home,
        isRoot: false,
        output: Object.assign(output, {
          warn: (line: string) => {
            said.push(line);
            reloaded.notify();
          },
        }),
        signal: stop.signal,
        onReload: listener => {
          hangUp = listener;
          reloaded.notify();
        },
        start: () =>
          Promise.resolve({
            reload: ({ relay }) => {
              names.push(relay.name);
              reloaded.notify();
              return Promise.resolve([]);
            },
            stop: () => Promise.resolve(),
          }),
      });
      const next = (): Promise<void> => new Promise(resolve => (reloaded.notify = resolve));
      await next();
      for (const config of ['[relay]\nname = "Two"\n', '[relay]\nname = 2\n', '[relay]\nname = "Three"\n']) {
        await writeFile(configPath(), config);
        const told = next();
        hangUp();
        await told;
      }
      stop.abort(new ShoalError('interrupted', 'enough'));
      expect(await ending).to.equal(0);
      expect(names).to.deep.equal(['Two', 'Three']);
      expect(said.map(line => line.split('"')[0])).to.deep.equal([
        'nothing is changed: cannot use the configuration file ',
      ]);
    });

    it('needs a configuration', async () => {
      await mkdir(join(home, 'relay'));
      const start = (): Promise<never> => Promise.reject(new Error('it was started'));
      expect((await ranHere(['run'], { start })).stderr).to.include('"shoal-relay init" makes one');
    });
  });
});
