/** Machines on a network, each a network namespace: they find each other as they do where people use them. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type StartOptions } from './harness.ts';
import { makeFile, makePlainTree, noise, treeAt } from './tree.ts';

/** Why there can be no namespaces here, or undefined. */
function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux only';
  if (process.geteuid?.() !== 0) return 'making network namespaces needs root';
  const name = `shoal-${process.pid}-try`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return undefined;
  } catch (error) {
    return `iproute2 can not make a network namespace: ${(error as Error).message}`;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Some machines on one switch, 10.77.0.1 and so on. Nothing of it shows outside of the namespaces. */
class Lan {
  readonly machines: readonly string[];
  readonly #switch = `shoal-${process.pid}-switch`;
  readonly #onExit = (): void => this.close();

  constructor(count: number) {
    this.machines = Array.from({ length: count }, (_, n) => `shoal-${process.pid}-${n + 1}`);
    process.once('exit', this.#onExit);
    ip('netns', 'add', this.#switch);
    ip('-n', this.#switch, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
    ip('-n', this.#switch, 'link', 'set', 'br0', 'up');
    for (const [n, machine] of this.machines.entries()) {
      const [port, address] = [`port${n + 1}`, `10.77.0.${n + 1}/24`];
      ip('netns', 'add', machine);
      ip('-n', this.#switch, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine);
      ip('-n', this.#switch, 'link', 'set', port, 'master', 'br0', 'up');
      ip('-n', machine, 'link', 'set', 'lo', 'up');
      ip('-n', machine, 'addr', 'add', address, 'dev', 'eth0');
      ip('-n', machine, 'link', 'set', 'eth0', 'up');
      ip('-n', machine, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
    }
  }

  close(): void {
    process.off('exit', this.#onExit);
    for (const name of [this.#switch, ...this.machines]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was not made.
      }
    }
  }
}

/** As for people who have configured nothing. */
const UNCONFIGURED = { SHOAL_LISTEN: '', SHOAL_BOOTSTRAP: '', SHOAL_MDNS: '', SHOAL_DHT: '' };

describe('machines on a network', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  let lan: Lan;

  before(function () {
    const why = obstacle();
    if (why !== undefined) {
      console.log(`    skipped: ${why}`);
      this.skip();
    }
    lan = new Lan(3);
  });
  after(() => lan?.close());
  const sandbox = useSandbox();

  const on = (machine: number, env: Readonly<Record<string, string>> = {}): StartOptions => ({
    namespace: lan.machines[machine - 1] ?? '',
    env: { ...UNCONFIGURED, ...env },
  });

  it('find each other with nothing configured', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 3_000_000, 'lan');
    const sharing = box.start('ann', ['share', tree, '--json'], on(1));
    const { link = '' } = await sharing.event('shared');
    expect(link, 'a link without hints').not.to.include('@');
    const ended = await box.run('bob', ['fetch', link, '-o', box.path('to'), '--json', '--timeout', '60s'], on(2));
    expectDone(ended);
    expect(ended.last('done').found).to.equal('mdns');
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    const listed = await box.run('cat', ['ls', link, '--json', '--timeout', '60s'], on(3, { SHOAL_DHT: 'off' }));
    expectDone(listed);
  });

  it('meet at the port that is chosen, by the file or by an option', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('port', 10_000) });
    const env = { SHOAL_MDNS: 'off', SHOAL_DHT: 'off' };
    expectDone(await box.run('ann', ['config', 'set', 'network.port', '4747', '--json'], on(1, env)));
    for (const [args, port] of [[[], 4747] as const, [['--port', '4848'], 4848] as const]) {
      const { command, link, shared } = await box.share('ann', path, args, on(1, env));
      expect(shared.addresses?.map(address => /\/tcp\/(\d+)\//.exec(address)?.[1])).to.deep.equal(
        shared.addresses?.map(() => String(port)),
      );
      expect(shared.addresses?.join()).to.include(`/ip4/10.77.0.1/tcp/${port}/`);
      expectDone(await box.run('bob', ['fetch', link, '-o', box.path(`to ${port}`), '--json'], on(2, env)));
      await command.interrupt();
    }
  });

  it('find each other by multicast when the fetch is there first', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('later', 10_000) });
    const off = { SHOAL_DHT: 'off' };
    const first = box.start('ann', ['share', path, '--json'], on(1, off));
    const { link = '' } = await first.event('shared');
    await first.interrupt();
    const fetching = box.start('bob', ['fetch', link, '-o', box.path('got'), '--json', '--timeout', '90s'], on(2, off));
    await fetching.event('waiting');
    await box.start('ann', ['share', path, '--json'], on(1, off)).event('shared');
    const ended = await fetching.ended;
    expectDone(ended);
    expect(ended.last('done').found).to.equal('mdns');
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(path));
  });

  it('find each other through the DHT of a third one', async () => {
    const box = sandbox();
    const quiet = { SHOAL_MDNS: 'off' };
    const other = await makeFile(box.path('other'), { bytes: noise('other', 100) });
    const third = box.start('cat', ['share', other, '--json', '--dht', 'server'], on(3, quiet));
    const { addresses = [] } = await third.event('shared');
    const start = addresses.find(address => address.startsWith('/ip4/10.77.0.3/')) ?? '';
    expect(start, addresses.join()).not.to.equal('');
    const tree = await makePlainTree(box.path('from'), 3_000_000, 'dht');
    const sharing = box.start('ann', ['share', tree, '--json', '--bootstrap', start], on(1, quiet));
    const { link = '' } = await sharing.event('shared');
    const fetch = ['fetch', link, '-o', box.path('to'), '--json', '--bootstrap', start, '--timeout', '90s'];
    const ended = await box.run('bob', fetch, on(2, quiet));
    expectDone(ended);
    expect(ended.last('done').found).to.equal('dht');
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    const alone = ['fetch', link, '-o', box.path('nothing'), '--json', '--timeout', '3s'];
    expectFailed(await box.run('dan', alone, on(2, quiet)), 3, 'not-found');
  });
});
