/**
 * A run of all commands that there are, with all that can be logged, and a search for secrets in what it leaves: in output that
 * is no result, logs, files, and in what others see of processes.
 */
import { expect } from 'chai';
import { request } from 'node:http';
import { readFile, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import type { Command as Definition } from 'commander';
import { definitionsOf } from '../../cli/program.ts';
import { TEST_TIMEOUT_MS, useSandbox, type Command, type StartOptions, type Told } from './harness.ts';
import { freePorts, Relay } from './relays.ts';
import {
  filesBelow,
  findSecrets,
  ProcessWatch,
  secretBytes,
  secretText,
  type Leaving,
  type Secret,
} from './search-secrets.ts';
import { makeFile, noise } from './tree.ts';

/** The names of all commands, with those that they stand below. */
function commandsOf(program: Definition, above = ''): string[] {
  return program.commands.flatMap(one => {
    const name = `${above}${one.name()}`;
    return [name, ...commandsOf(one, `${name} `)];
  });
}

const COMMANDS = commandsOf(definitionsOf('1.2.3'));
/** Whose result is a link: what they print to stdout is for that. */
const TELLS_LINKS = new Set(['share', 'show', 'grant']);
/** Files that are there to hold a secret, for their user only. */
const KEPT = ['secret', 'api-token', 'key', 'admin-token', 'token', 'word', 'link'];
const PASSPHRASE = 'correct horse battery staple 93';

describe('secrets', function () {
  this.timeout(2 * TEST_TIMEOUT_MS);
  this.slow(60_000);
  const sandbox = useSandbox();

  before(function () {
    // Processes are looked at by /proc.
    if (process.platform !== 'linux') this.skip();
  });

  it('are in no log, no error, no file but their own, and no list of processes after a run of all commands', async () => {
    const box = sandbox();
    const watch = new ProcessWatch(box.folder);
    const left: Leaving[] = [];
    const ran = new Set<string>();
    const commands: { readonly name: string; readonly command: Command }[] = [];

    /** Starts a command with all that it can tell of its inside. */
    const start = (home: string, args: readonly string[], options: StartOptions = {}): Command => {
      const name = COMMANDS.filter(one => `${args.join(' ')} `.startsWith(`${one} `)).at(-1) ?? '';
      ran.add(name);
      const command = box.start(home, [...args, '--debug'], options);
      if (options.env !== undefined) watch.gave(command.pid);
      commands.push({ name, command });
      return command;
    };
    /** To its end, which is good or bad as the test says. */
    const run = async (home: string, args: readonly string[], options?: StartOptions): Promise<string> => {
      const { code, stdout, stderr } = await start(home, args, options).ended;
      expect(code, `shoal ${args.join(' ')}\n${stderr}`).to.equal(0);
      return stdout.toString().trim();
    };
    const fails = async (home: string, args: readonly string[], options?: StartOptions): Promise<void> => {
      const { code } = await start(home, args, options).ended;
      expect(code, `shoal ${args.join(' ')}`).to.be.greaterThan(0);
    };

    const relay = await Relay.start(box, 'one', { config: 'log.level = "debug"' });
    const token = (await relay.run(['token', 'create'])).stdout.toString().trim();
    const tokenFile = await makeFile(box.path('token'), { bytes: Buffer.from(token) });
    await run('ann', ['relays', 'add', relay.origin, '--token-file', tokenFile]);
    await run('ann', ['relays', 'list']);
    await run('ann', ['relays', 'show', relay.origin]);
    await run('ann', ['relays']);

    const [api = 0] = await freePorts(1);
    const log = box.path('ann.log');
    const daemon = start('ann', [
      ...['daemon', '--log-level', 'debug', '--log-file', log, '--api-listen', `127.0.0.1:${api}`],
    ]);
    // What it says is in its log.
    while (!(await readFile(log, 'utf8').catch(() => '')).includes(' is ready')) await run('ann', ['status']);
    const path = await makeFile(box.path('it'), { bytes: noise('it', 2_000_000) });
    const link = (await run('ann', ['share', path, '--hint', 'self', '--wait-copies', '1'])).split('\n')[0] ?? '';
    const own = (await run('ann', ['share', path, '--hint', 'self', '--fresh-id'])).split('\n')[0] ?? '';
    const [, id = '', keyText = ''] = /^shoal:(b[a-z2-7]+)\.([A-Za-z0-9_-]{43})/.exec(link) ?? [];
    const [, , ownKey = ''] = /^shoal:(b[a-z2-7]+)\.([A-Za-z0-9_-]{43})/.exec(own) ?? [];
    const word = await makeFile(box.path('word'), { bytes: Buffer.from(`${PASSPHRASE}\n`) });
    await run('ann', ['grant', id, '--passphrase-file', word]);
    await run('ann', ['grant', id, '--passphrase'], { env: { SHOAL_PASSPHRASE: PASSPHRASE } });

    const recipient = await run('bob', ['keygen']);
    const locked = box.path('identity');
    await run('bob', ['keygen', '-o', locked, '--passphrase-file', word]);
    await run('bob', ['identities']);
    await run('ann', ['contacts', 'add', 'bob', recipient]);
    await run('ann', ['contacts']);
    await run('ann', ['contacts', 'list']);
    await run('ann', ['contacts', 'show', 'bob']);
    const forBob = await run('ann', ['grant', id, '--to', 'bob']);
    await run('bob', ['fetch', forBob.split('\n')[0] ?? '', '-o', box.path('got 6')]);
    await run('ann', ['contacts', 'remove', 'bob']);

    // With and without a daemon, and by all ways in which a link can be given.
    await run('bob', ['fetch', link, '-o', box.path('got 1'), '--explain']);
    await run('bob', ['fetch', '-o', box.path('got 2')], { env: { SHOAL_LINK: link } });
    await run('bob', ['fetch', '-', '-o', '-'], { stdin: own }).then(text => expect(text).not.to.equal(''));
    await run('bob', ['fetch', '-o', box.path('got 4'), '--detach'], { env: { SHOAL_LINK: link } });
    await run('bob', ['ls', link]);
    await run('bob', ['check', link, path]);
    await run('bob', ['fetch', link, '-o', box.path('got 5'), '--dry-run']);
    const wrongKey = `${link.slice(0, link.indexOf('.') + 1)}${ownKey}${link.slice(link.indexOf('@'))}`;
    for (const bad of [wrongKey, link.slice(0, link.indexOf('@') - 5), `${link}%`, link.replace('shoal:', 'shaol:')])
      await fails('bob', ['fetch', bad, '-o', box.path('not'), '--timeout', '5s']);
    await fails('bob', ['show', link.replace('@', '.')]);
    await fails('bob', ['fetch', '--output', link, '--tiemout', link, link]);
    await fails('bob', ['config', 'set', 'network.bootstrap', link]);
    await fails('ann', ['share', path, '--hint', link]);
    await fails('ann', ['relays', 'add', link, '--token-file', tokenFile]);
    await fails('ann', ['share', path, '--relay', link]);
    const seed = start('carol', ['seed', link, '--json']);
    await seed.event('seeding');
    expect((await seed.interrupt()).code).to.equal(130);

    await run('ann', ['shares']);
    await run('ann', ['show', id]);
    await run('ann', ['show', id, '--link']);
    await run('ann', ['verify', link]);
    await run('ann', ['export', id, '-o', box.path('it.car')]);
    await run('carol', ['import', box.path('it.car')]);
    await run('ann', ['status']);
    await run('ann', ['peers']);
    await run('ann', ['doctor']).catch(() => undefined);
    await run('bob', ['transfers']);
    const transfers = JSON.parse(await run('bob', ['transfers', '--json'])) as Told;
    const transfer = transfers.transfers?.[0]?.id ?? '';
    await start('bob', ['transfers', 'pause', transfer]).ended;
    await start('bob', ['transfers', 'resume', transfer]).ended;
    await run('bob', ['transfers', 'cancel', transfer]);

    const editor = await makeFile(box.path('editor'), {
      bytes: Buffer.from('#!/bin/sh\nenv > "$0.env"\n'),
      executable: true,
    });
    await run('ann', ['config', 'edit'], { env: { EDITOR: editor, SHOAL_LINK: link, SHOAL_PASSPHRASE: PASSPHRASE } });
    left.push({ where: 'environment of an editor', bytes: await readFile(`${editor}.env`) });
    await run('ann', ['config', 'set', 'network.mdns', 'false']).catch(() => undefined);
    await run('ann', ['config']);
    await run('ann', ['config', 'get', 'network.dht']);
    await run('ann', ['config', 'unset', 'network.mdns']).catch(() => undefined);
    await run('ann', ['config', 'path']);
    await run('ann', ['completion', 'bash']);

    // A bug of ours, in the middle of a fetch.
    const crash = box.path('crash.mjs');
    await writeFile(
      crash,
      'process.on("beforeCrash", () => { throw new Error("provoked"); });\nsetTimeout(() => { throw new Error("provoked"); }, 1500);\n',
    );
    const slow = ['fetch', link.replace(/\/tcp\/\d+/, '/tcp/1'), '-o', box.path('never')];
    await fails('bob', slow, { env: { NODE_OPTIONS: `--import ${crash}` } });
    expect(commands.at(-1)?.command.stderr).to.include('provoked');

    const apiToken = (await readFile(box.path('homes', 'ann', 'api-token'), 'utf8')).trim();
    for (const given of ['', 'wrong', apiToken])
      for (const [action, body] of Object.entries({
        status: {},
        list: { link: wrongKey, timeoutMs: 3000 },
        fetch: { link },
        nothing: {},
      }))
        left.push({ where: `answer of the API to ${action}`, bytes: await askApi(api, given, action, body) });

    const sealed = box.path('bob.backup');
    await run('bob', ['backup', sealed, '--passphrase-file', word]);
    await run('dora', ['restore', sealed, '--passphrase-file', word]);
    await run('ann', ['withdraw', id, '--yes']);
    await run('ann', ['forget', id]);
    await run('ann', ['relays', 'remove', relay.origin]);
    await run('ann', ['daemon', '--stop']);
    await run('bob', ['daemon', '--stop']);
    await daemon.ended;
    await relay.kill();

    left.push(...(await watch.stop()));
    for (const { name, command } of commands) {
      left.push({ where: `stderr of ${name}`, bytes: Buffer.from(command.stderr) });
      if (!TELLS_LINKS.has(name)) left.push({ where: `stdout of ${name}`, bytes: Buffer.from(command.stdout) });
    }
    left.push({ where: 'log of the relay', bytes: Buffer.from(relay.stderr) });
    left.push(...(await filesBelow(box.folder, KEPT)).filter(({ where }) => !where.includes('/identities/')));
    const homes = await Promise.all(
      ['ann', 'bob', 'carol'].map(home => readFile(box.path('homes', home, 'secret'), 'utf8')),
    );
    const secrets: Secret[] = [
      secretBytes('the file key', Buffer.from(keyText, 'base64url')),
      secretBytes('the file key of another share', Buffer.from(ownKey, 'base64url')),
      secretText('the passphrase', PASSPHRASE),
      secretText('the token of the relay', token.split('\n')[0]?.slice(-60) ?? ''),
      secretText('the token of the API', apiToken),
      ...homes.map((text, n) =>
        secretBytes(`the secret of home ${n}`, Buffer.from(text.trim().split('\n')[1] ?? '', 'hex')),
      ),
    ];
    const identities = await filesBelow(box.path('homes', 'bob', 'identities'), []);
    const [, identity = ''] =
      /(AGE-SECRET-KEY-\S+)/.exec(identities.map(({ bytes }) => String(bytes)).join('\n')) ?? [];
    secrets.push(secretText('an identity', identity.slice(-60)));
    expect(findSecrets(secrets, left)).to.deep.equal([]);
    expect(ran, 'a command that is new has to be run here, too').to.have.all.keys(...COMMANDS);
    expect([...watch.titles]).to.include.members(['shoal daemon', 'shoal fetch', 'shoal-relay run']);
    // It has looked where they would be, and finds what is there.
    const seen = left.map(({ where }) => where);
    expect(seen).to.include.members(['ann.log', 'homes/ann/catalog.sqlite', 'homes/bob/daemon.log', 'stderr of fetch']);
    const planted = { where: 'a log', bytes: Buffer.from(`{"level":"debug","key":"${keyText}"}`) };
    expect(findSecrets(secrets, [...left, planted])).to.deep.equal(['a log: the file key']);
  });

  it('are found by the search in all forms, and when they are cut', () => {
    const key = noise('key', 32);
    const secrets = [secretBytes('key', key), secretText('passphrase', PASSPHRASE)];
    const held = [
      ...['hex', 'base64', 'base64url'].map(form => key.toString(form as 'hex')),
      key.toString('hex').slice(0, 30),
      key.toString('base64url').slice(-25),
      `{"error":"cannot open with ${PASSPHRASE}"}`,
      key,
    ];
    held.forEach((text, n) =>
      expect(
        findSecrets(secrets, [{ where: String(n), bytes: Buffer.concat([Buffer.from('..'), Buffer.from(text)]) }]),
      ).to.have.length(1),
    );
    expect(findSecrets(secrets, [{ where: 'elsewhere', bytes: noise('other', 100_000) }])).to.deep.equal([]);
  });
});

/** All that the API says, whether it does what it is asked or not. */
async function askApi(port: number, token: string, action: string, body: unknown): Promise<Buffer> {
  const headers = { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) };
  const asking = request({ host: '127.0.0.1', port, path: `/v1/${action}`, method: 'POST', headers, agent: false });
  asking.end(JSON.stringify(body));
  const [response] = (await once(asking, 'response')) as [
    NodeJS.ReadableStream & { statusCode: number; headers: object },
  ];
  return Buffer.concat([Buffer.from(JSON.stringify(response.headers)), await buffer(response)]);
}
