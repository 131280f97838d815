/** What the doctor finds, each provoked with a real home, file system or network. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import type { Check } from '../../src/daemon/doctor.ts';
import { TEST_TIMEOUT_MS, useSandbox, type StartOptions } from './harness.ts';
import { ip, useLan } from './lan.ts';
import { makeFile, noise } from './tree.ts';

describe('the doctor', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();

  /** What it says of each thing that it looks at, and how it ends. */
  const examine = async (
    args: readonly string[] = [],
    options: StartOptions = {},
  ): Promise<{ code: number | null; checks: readonly Check[] }> => {
    const { code, told } = await sandbox().run('ann', ['doctor', '--json', ...args], options);
    return { code, checks: (told[0] as { checks?: readonly Check[] } | undefined)?.checks ?? [] };
  };

  /** It found one problem, of this name, and says what to do. */
  const expectProblem = (
    { code, checks }: { code: number | null; checks: readonly Check[] },
    name: string | RegExp,
    message: RegExp,
    remedy: RegExp,
  ): void => {
    const problems = checks.filter(({ state }) => state === 'problem');
    expect(problems.length, JSON.stringify(checks)).to.equal(1);
    expect(problems[0]?.name).to.match(typeof name === 'string' ? new RegExp(`^${name}$`) : name);
    expect(problems[0]?.message).to.match(message);
    expect(problems[0]?.remedy).to.match(remedy);
    expect(code).to.equal(1);
  };

  const shareOfAnn = async (): Promise<string> => {
    const path = await makeFile(sandbox().path('it'), { bytes: noise('it', 1000) });
    await (await sandbox().share('ann', path)).command.interrupt();
    return path;
  };

  it('finds nothing where all is well, without a home and with one', async () => {
    const none = await examine();
    expect([none.code, none.checks.filter(({ state }) => state === 'problem')]).to.deep.equal([0, []]);
    await shareOfAnn();
    const { code, checks } = await examine();
    expect(code).to.equal(0);
    expect(checks.map(({ name }) => name)).to.include.members(['home', 'disk', 'clock', 'addresses', 'shares']);
    await sandbox().daemon('ann');
    expect((await examine()).checks.find(({ name }) => name === 'version')?.state).to.equal('ok');
  });

  it('finds a secret that others may read, and a home that others may write to', async () => {
    await shareOfAnn();
    const home = sandbox().home('ann');
    await chmod(`${home}/secret`, 0o644);
    expectProblem(await examine(), 'home', /others may read ".*secret"/, /chmod 600/);
    await chmod(`${home}/secret`, 0o600);
    await chmod(home, 0o777);
    expectProblem(await examine(), 'home', /others may write to/, /chmod 700/);
  });

  it('finds a home that can not be written to', async function () {
    if (process.geteuid?.() !== 0) this.skip();
    const box = sandbox();
    const home = box.home('ann');
    await mkdir(home, { mode: 0o755 });
    await chmod(home, 0o555);
    for (const folder of [box.folder, box.path('homes')]) await chmod(folder, 0o755);
    await mkdir(box.path('run-65534'), { mode: 0o700 });
    await box.giveTo(65_534);
    const found = await examine([], { uid: 65_534 });
    expect(found.code).to.equal(1);
    expect(found.checks.some(({ name, message }) => name === 'home' && message.includes('cannot write to'))).to.equal(
      true,
    );
  });

  it('finds a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const { port } = other.address() as AddressInfo;
      const found = await examine(['--listen', `/ip4/127.0.0.1/tcp/${port}`]);
      expectProblem(found, 'node', /another program uses the port/, /choose another address or port/);
    } finally {
      other.close();
    }
  });

  it('finds a share whose original is changed, was touched, or is gone', async () => {
    const path = await shareOfAnn();
    await utimes(path, 0, 0);
    expectProblem(await examine(), /^share b/, /was written since/, /share it again/);
    await appendFile(path, 'more');
    expectProblem(await examine(), /^share b/, /has 1004 bytes, and had 1000/, /share it again/);
    await rm(path);
    expectProblem(await examine(), /^share b/, /is not there/, /put it back/);
  });

  it('finds a clock that is behind what was written', async () => {
    await shareOfAnn();
    const tomorrow = Date.now() / 1000 + 90_000;
    await utimes(`${sandbox().home('ann')}/secret`, tomorrow, tomorrow);
    expectProblem(await examine(), 'clock', /the home has files that are newer/, /set the clock/);
  });

  it('finds a configuration that is broken, and looks at the home all the same', async () => {
    await shareOfAnn();
    await writeFile(`${sandbox().home('ann')}/config.toml`, '[network]\nprot = 4001\n', { mode: 0o600 });
    const found = await examine();
    expectProblem(found, 'configuration', /prot/, /./);
    expect(found.checks.map(({ name }) => name)).to.include('disk');
  });

  it('finds a disk that is nearly full', async function () {
    if (process.geteuid?.() !== 0) this.skip();
    const home = sandbox().home('ann');
    await mkdir(home, { mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=50m,mode=0700', 'tmpfs', home]);
    try {
      expectProblem(await examine(), 'disk', /only \d+\.\d MB are free/, /make room/);
    } finally {
      execFileSync('umount', [home]);
    }
  });

  describe('on a network', () => {
    const lan = useLan(2);

    const on = (machine: number): StartOptions => ({
      namespace: lan().machines[machine - 1] ?? '',
      env: { SHOAL_LISTEN: '', SHOAL_MDNS: '', SHOAL_DHT: '' },
    });
    const stateOf = (checks: readonly Check[], name: string): string | undefined =>
      checks.find(check => check.name === name)?.state;

    it('finds that nobody is there, and who is', async () => {
      const alone = await examine([], on(1));
      expect([stateOf(alone.checks, 'local network'), stateOf(alone.checks, 'DHT')]).to.deep.equal([
        'notice',
        'notice',
      ]);
      expect(alone.code).to.equal(0);
      await sandbox().daemon('bob', [], on(2));
      const { checks } = await examine([], on(1));
      expect(stateOf(checks, 'local network'), JSON.stringify(checks)).to.equal('ok');
    });

    it('finds that multicast is blocked', async () => {
      const [machine = ''] = lan().machines;
      const nft = (...args: string[]): void => ip('netns', 'exec', machine, 'nft', ...args);
      nft('add', 'table', 'inet', 'wall');
      try {
        nft('add', 'chain', 'inet', 'wall', 'in', '{ type filter hook input priority 0; }');
        nft('add', 'rule', 'inet', 'wall', 'in', 'udp', 'dport', '5353', 'drop');
        expectProblem(await examine([], on(1)), 'local network', /multicast does not get through/, /UDP port 5353/);
      } finally {
        nft('delete', 'table', 'inet', 'wall');
      }
    });

    it('finds that there is no address to listen on', async () => {
      const [machine = ''] = lan().machines;
      ip('-n', machine, 'link', 'set', 'eth0', 'down');
      ip('-n', machine, 'link', 'set', 'lo', 'down');
      try {
        const { checks, code } = await examine(['--no-mdns'], on(1));
        expect(checks.find(({ name }) => name === 'addresses')?.message).to.include('listens on no address');
        expect(code).to.equal(1);
      } finally {
        ip('-n', machine, 'link', 'set', 'lo', 'up');
        ip('-n', machine, 'link', 'set', 'eth0', 'up');
        ip('-n', machine, 'route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
      }
    });
  });
});
