/** The configuration file with the real program: what it changes, what a broken one stops, and how it is edited. */
import { expect } from 'chai';
import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { expectDone, expectFailed, portOf, TEST_TIMEOUT_MS, useSandbox, type Ended, type Sandbox } from './harness.ts';
import { makeFile, noise, treeAt } from './tree.ts';

/** Nothing of what the harness sets stands in the way of the file. */
const OPEN = { SHOAL_LISTEN: '', SHOAL_DHT: '', SHOAL_MDNS: '' };

interface View {
  readonly key: string;
  readonly value: unknown;
  readonly from: string;
  readonly line?: number;
  readonly name?: string;
}

describe('a configuration file', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();

  const write = async (box: Sandbox, text: string, path = box.path('homes', 'ann', 'config.toml')): Promise<string> => {
    await mkdir(box.path('homes', 'ann'), { recursive: true, mode: 0o700 });
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const configOf = (ended: Ended): { path: string; exists: boolean; settings: readonly View[] } => {
    expectDone(ended);
    return ended.told[0] as unknown as ReturnType<typeof configOf>;
  };
  const dhtOf = (ended: Ended): View | undefined => configOf(ended).settings.find(({ key }) => key === 'network.dht');
  /** A program that changes the text that it is given by one command of sed. */
  const editor = async (box: Sandbox, change: string): Promise<Record<string, string>> => {
    const path = box.path('editor with space');
    await writeFile(path, `#!/bin/sh\nsed -i '${change}' "$2"\n`, { mode: 0o700 });
    return { VISUAL: `'${path}' --wait`, EDITOR: 'false' };
  };

  it('holds where neither a variable nor an option says otherwise', async () => {
    const box = sandbox();
    const key = 'network.dht';
    expect(dhtOf(await box.run('ann', ['config', '--json'], { env: OPEN }))).to.deep.equal({
      key,
      value: 'auto',
      from: 'default',
    });
    await write(box, '# mine\n[network]\ndht = "client"\n');
    const [file, variable, option] = await Promise.all([
      box.run('ann', ['config', '--json'], { env: OPEN }),
      box.run('ann', ['config', '--json'], { env: { ...OPEN, SHOAL_DHT: 'off' } }),
      box.run('ann', ['--dht', 'server', 'config', '--json'], { env: { ...OPEN, SHOAL_DHT: 'off' } }),
    ]);
    expect(dhtOf(file)).to.deep.equal({ key, value: 'client', from: 'file', line: 3 });
    expect(dhtOf(variable)).to.deep.equal({ key, value: 'off', from: 'environment', name: 'SHOAL_DHT' });
    expect(dhtOf(option)).to.deep.equal({ key, value: 'server', from: 'option', name: '--dht' });
  });

  it('is in the home, in the folder for configurations, or where it is said to be', async () => {
    const box = sandbox();
    const [other, third] = [box.path('other.toml'), box.path('third.toml')];
    const pathWith = async (args: string[], env = {}): Promise<string> =>
      (await box.run('ann', [...args, 'config', 'path'], { env })).stdout.toString().trim();
    expect(await pathWith([])).to.equal(box.path('homes', 'ann', 'config.toml'));
    const own = { SHOAL_HOME: '', XDG_CONFIG_HOME: box.path('configs') };
    expect(await pathWith([], own)).to.equal(box.path('configs', 'shoal', 'config.toml'));
    expect(await pathWith([], { SHOAL_CONFIG: 'other.toml' })).to.equal(other);
    expect(await pathWith(['--config', third], { SHOAL_CONFIG: other })).to.equal(third);
    await write(box, 'network.dht = "off"', third);
    expect(dhtOf(await box.run('ann', ['config', '--json', '--config', third], { env: OPEN }))?.value).to.equal('off');
    const missing = await box.run('ann', ['shares', '--json'], { env: { SHOAL_CONFIG: 'gone.toml' } });
    expectFailed(missing, 2, 'usage');
    expect(missing.last('error').message).to.match(/^SHOAL_CONFIG: there is no configuration file ".*gone\.toml"/);
  });

  it('says where the holder listens, and leaves those that only fetch alone', async () => {
    const box = sandbox();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await new Promise(resolve => server.close(resolve));
    await write(box, `[network]\nlisten = ["/ip4/127.0.0.1/tcp/${port}"]\nmdns = false\ndht = "off"\n`);
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 5000) }), [], {
      env: OPEN,
    });
    expect(portOf(link)).to.equal(port);
    // The port is taken, and these have the same file.
    const got = await box.run('ann', ['fetch', link, '-o', '-', '--quiet'], { env: OPEN });
    expect([got.code, got.stderr]).to.deep.equal([0, '']);
    const config = box.path('homes', 'ann', 'config.toml');
    expectDone(await box.fetch(link, box.path('got'), ['--config', config], { env: OPEN }));
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(box.path('it')));
    // What was asked for with a command is told to be ignored, and what the file says is not.
    await write(box, '[network]\nmdns = false\ndht = "server"\n');
    const quiet = await box.run('ann', ['fetch', link, '-o', box.path('x')], { env: OPEN });
    expect(quiet.stderr).not.to.include('ignored');
    const loud = await box.run('ann', ['fetch', link, '-o', box.path('y'), '--dht', 'client'], { env: OPEN });
    expect(loud.stderr).to.include('ignored: --dht;');
  });

  it('that is broken stops all that needs settings, with all that is wrong, and can be mended', async () => {
    const box = sandbox();
    const path = await write(box, '[network]\nlisen = []\n[rate]\nup = "5M"\n');
    const message =
      `cannot use the configuration file "${path}": 2 problems\n` +
      '  line 2, column 1: network.lisen: this key is not known; did you mean network.listen?\n' +
      '  line 4, column 6: rate.up: cannot read the rate "5M": write "5 MB/s"\n' +
      '  "shoal config edit" opens it';
    const all = [['shares'], ['share', path], ['config'], ['config', 'get', 'rate.up']];
    for (const args of all) {
      const ended = await box.run('ann', [...args, '--json']);
      expectFailed(ended, 2, 'usage');
      expect(ended.last('error').message).to.equal(message);
    }
    const talk = await box.run('ann', ['shares']);
    expect(talk.stderr).to.equal(`shoal: ${message}\n`);
    for (const args of [['config', 'path'], ['--version'], ['--help']])
      expect((await box.run('ann', args)).code, args.join(' ')).to.equal(0);
    const refused = await box.run('ann', ['config', 'set', 'rate.down', '5 MB/s', '--json']);
    expectFailed(refused, 2, 'usage');
    expect(await readFile(path, 'utf8')).to.include('lisen');
    const named = await box.run('ann', ['shares', '--config', path, '--json']);
    expect(named.last('error').message).to.equal(message.replace('edit"', `edit --config '${path}'"`));
    const env = await editor(box, 's/lisen/listen/; s/5M/5 MB\\/s/');
    expectDone(await box.run('ann', ['config', 'edit', '--json'], { env }));
    expectDone(await box.run('ann', ['shares', '--json']));
  });

  it('that others may write to stops them too', async () => {
    const box = sandbox();
    const path = await write(box, '');
    await chmod(path, 0o660);
    const ended = await box.run('ann', ['shares', '--json']);
    expectFailed(ended, 1, 'denied');
    expect(ended.last('error').message).to.match(/others may write to it; if they did not, run: chmod go-w/);
  });

  it('is made with all keys as comments, and changed one key at a time', async () => {
    const box = sandbox();
    const path = box.path('homes', 'ann', 'config.toml');
    const run = async (...args: string[]): Promise<Ended> => await box.run('ann', ['config', ...args]);
    expect((await run('unset', 'network.dht')).code).to.equal(0);
    expect(await readdir(box.path('homes'))).not.to.include('ann/config.toml');
    expect((await run('set', 'network.bootstrap', '/a', '/b')).stderr).to.equal('network.bootstrap is ["/a", "/b"]\n');
    const template = await readFile(new URL('../../docs/config.toml', import.meta.url), 'utf8');
    const before = await readFile(path, 'utf8');
    expect(before).to.equal(template.replace(/^#bootstrap = .*\n/m, '$&bootstrap = ["/a", "/b"]\n'));
    expect((await run('get', 'network.bootstrap')).stdout.toString()).to.equal('/a\n/b\n');
    expect((await run('set', 'network.dht', 'client')).stderr).to.equal(
      'network.dht is "off" nevertheless, by SHOAL_DHT\n',
    );
    expect((await run('unset', 'network.dht')).code).to.equal(0);
    expect(await readFile(path, 'utf8')).to.equal(before);
    for (const [args, why] of [
      [['set', 'network.dht', 'on'], /^shoal: network\.dht: "on" is none of auto, client, server, off\n$/],
      [['set', 'network.dht', 'off', 'auto'], /network\.dht takes one value, and 2 are given/],
      [['set', 'network.prot', '1'], /there is no setting "network\.prot"; did you mean network\.port\?/],
      [['get', 'x'], /there is no setting "x"; "shoal config" lists those there are/],
    ] as const) {
      const ended = await run(...args);
      expect([ended.code, ended.stderr]).to.satisfy(([code, text]: [number, string]) => code === 2 && why.test(text));
    }
    expect(await readFile(path, 'utf8')).to.equal(before);
  });

  it('has all of several changes that commands make at once, behind a link too', async () => {
    const box = sandbox();
    const path = box.path('dotfiles.toml');
    await write(box, '# mine\n', path);
    await symlink(path, await write(box, '').then(async place => (await rm(place), place)));
    const changes = [
      ['network.port', '4001'],
      ['network.mdns', 'off'],
      ['network.max-connections', '10'],
      ['rate.up', '1 MB/s'],
      ['rate.down', 'unlimited'],
      ['daemon.log-level', 'debug'],
    ];
    const ended = await Promise.all(changes.map(change => box.run('ann', ['config', 'set', ...change, '--json'])));
    ended.forEach(expectDone);
    const text = await readFile(path, 'utf8');
    expect(text).to.match(/^# mine\n/);
    for (const line of ['port = 4001', 'mdns = false', 'max-connections = 10', 'up = "1 MB/s"', 'log-level = "debug"'])
      expect(text.split('\n')).to.include(line);
    expect(await readdir(box.path('homes', 'ann'))).to.deep.equal(['config.toml']);
  });

  it('is edited by the editor of the user, and a text that is not right is kept for the next time', async () => {
    const box = sandbox();
    const path = await write(box, 'network.port = 4001 # mine\n');
    const wrong = await box.run('ann', ['config', 'edit', '--json'], { env: await editor(box, 's/4001/4001x/') });
    expectFailed(wrong, 2, 'usage');
    const { message = '' } = wrong.last('error');
    expect(message).to.match(/ 1 problem\n {2}line 1, column \d+: network\.port: /);
    expect(message).to.include('"shoal config edit" goes on with it');
    const [, kept = ''] = /your text is kept in "([^"]+)"/.exec(message) ?? [];
    expect(await readFile(kept, 'utf8')).to.equal('network.port = 4001x # mine\n');
    expect(await readFile(path, 'utf8')).to.equal('network.port = 4001 # mine\n');
    const right = await box.run('ann', ['config', 'edit'], { env: await editor(box, 's/4001x/4002/') });
    expect(right.stderr).to.equal(
      `going on with what an earlier edit has left; with --anew that is dropped\nchanged ${path}\n`,
    );
    expect(await readFile(path, 'utf8')).to.equal('network.port = 4002 # mine\n');
    expect(await readdir(box.path('homes', 'ann'))).to.deep.equal(['config.toml']);
    const none = await box.run('ann', ['config', 'edit', '--json'], { env: { VISUAL: 'no-such-editor' } });
    expect(none.last('error').message).to.match(/cannot run the editor "no-such-editor": it is not found; set VISUAL/);
  });

  it('is left to the editor when Ctrl-C is pressed, and the edit ends with SIGTERM', async () => {
    const box = sandbox();
    await write(box, 'network.port = 4001\n');
    const path = box.path('waits');
    await writeFile(path, '#!/bin/sh\necho "port 1 = 2" >> "$1"; echo ready >&2; exec sleep 100\n', { mode: 0o700 });
    const command = box.start('ann', ['config', 'edit'], { env: { VISUAL: path } });
    await command.says(/ready/);
    command.kill('SIGINT');
    command.kill('SIGTERM');
    const ended = await command.ended;
    expect(ended.code).to.equal(130);
    const next = await box.run('ann', ['config', 'edit'], { env: { VISUAL: 'true' } });
    expect(next.stderr)
      .to.match(/going on with what an earlier edit has left/)
      .and.to.match(/your text is kept in/);
  });

  it('tells who holds the home that it takes effect later', async () => {
    const box = sandbox();
    const { command } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 100) }));
    const set = await box.run('ann', ['config', 'set', 'network.max-connections', '9']);
    expect(set.stderr).to.match(
      new RegExp(
        `^network\\.max-connections is 9\nprocess ${command.pid} holds this home and goes on as it was started`,
      ),
    );
    await command.interrupt();
  });
});
