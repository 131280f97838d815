/** Machines on a network, each a network namespace: they find each other as they do where people use them. */
import { expect } from 'chai';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type Command, type StartOptions } from './harness.ts';
import { ip, useLan } from './lan.ts';
import { makeFile, makePlainTree, noise, treeAt } from './tree.ts';

/** As for people who have configured nothing. */
const UNCONFIGURED = { SHOAL_LISTEN: '', SHOAL_BOOTSTRAP: '', SHOAL_MDNS: '', SHOAL_DHT: '' };

describe('machines on a network', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  const lan = useLan(3);
  const sandbox = useSandbox();

  const on = (machine: number, env: Readonly<Record<string, string>> = {}): StartOptions => ({
    namespace: lan().machines[machine - 1] ?? '',
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

  /** While a fetch from the first machine to the second is under way on a slow line, `disturb` does something to the first. */
  const expectGoingOn = async (
    disturb: (machine: string, daemon: Command, fetching: Command) => Promise<void> | void,
  ): Promise<void> => {
    const box = sandbox();
    const [first = ''] = lan().machines;
    const off = { SHOAL_DHT: 'off' };
    const tree = await makePlainTree(box.path('from'), 40_000_000, 'going on');
    const daemon = await box.daemon('ann', [], on(1, off));
    const { link = '' } = (await box.run('ann', ['share', tree, '--json'], on(1, off))).last('shared');
    slow(first, '40mbit');
    try {
      const args = ['fetch', link, '-o', box.path('to'), '--json', '--timeout', '90s'];
      const fetching = box.start('bob', args, on(2, off));
      await fetching.event('progress', ({ doneBytes = 0 }) => doneBytes > 4_000_000);
      await disturb(first, daemon, fetching);
      expectDone(await fetching.ended);
    } finally {
      unslow(first);
    }
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
  };

  it('go on with a fetch when one of them got another address meanwhile', async () => {
    await expectGoingOn(machine => {
      ip('-n', machine, 'addr', 'del', '10.77.0.1/24', 'dev', 'eth0');
      ip('-n', machine, 'addr', 'add', '10.77.0.11/24', 'dev', 'eth0');
      ip('-n', machine, 'route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
    });
  });

  it('go on with a fetch when one of them slept for a while', async () => {
    await expectGoingOn(async (_machine, daemon, fetching) => {
      daemon.kill('SIGSTOP');
      await fetching.event('waiting');
      daemon.kill('SIGCONT');
    });
  });
});

/** What a machine sends goes no faster than this. */
function slow(machine: string, rate: string): void {
  ip(
    'netns',
    'exec',
    machine,
    'tc',
    'qdisc',
    'add',
    'dev',
    'eth0',
    'root',
    'tbf',
    'rate',
    rate,
    'burst',
    '64kb',
    'latency',
    '50ms',
  );
}

function unslow(machine: string): void {
  ip('netns', 'exec', machine, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root');
}
