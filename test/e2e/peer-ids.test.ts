/** Under which peer ids a home meets others: what of it can be linked by them. */
import { expect } from 'chai';
import { expectDone, TEST_TIMEOUT_MS, useSandbox, type Command, type Told } from './harness.ts';
import { Relay } from './relays.ts';
import { makeFile, noise, treeAt } from './tree.ts';

const DAY = 86_400;

describe('the peer ids of a home', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();

  const statusOf = async (home: string): Promise<Told> => {
    const ended = await sandbox().run(home, ['status', '--json']);
    expectDone(ended);
    return JSON.parse(ended.stdout.toString()) as Told;
  };
  /** Of those who have got a share all, in the order in which they had. */
  const takersOf = ({ told }: Command): (string | undefined)[] =>
    told.filter(({ event, what }) => event === 'served' && what === 'complete').map(({ peer }) => peer);
  const peerIn = (link: string): string => /\/p2p\/(\w+)/.exec(link)?.[1] ?? '';

  it('are others for each fetch, and for what it shares', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 5000) });
    const { command, link } = await box.share('ann', path);
    for (const to of ['got 1', 'got 2'])
      expectDone(await box.run('bob', ['fetch', link, '-o', box.path(to), '--json']));
    const bob = await box.share('bob', path);
    expectDone(await box.run('bob', ['fetch', link, '-o', box.path('got 3'), '--json']));
    await command.event('served', ({ what, peer }) => what === 'complete' && peer === takersOf(command)[2]);
    const seen = [...takersOf(command), peerIn(bob.link), peerIn(link)];
    expect(seen.filter(peer => peer !== undefined && peer !== '')).to.have.length(5);
    expect(new Set(seen).size, 'each is another').to.equal(5);
    expect((await statusOf('bob')).peer).to.equal(peerIn(bob.link));
  });

  it('are others for what its daemon fetches, but for what that serves on', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 5000) });
    const { command, link } = await box.share('ann', path);
    await box.daemon('bob');
    for (const args of [[], [], ['--keep']]) {
      const to = box.path(`got ${takersOf(command).length}`);
      expectDone(await box.run('bob', ['fetch', link, '-o', to, '--json', ...args]));
      expect(await treeAt(to)).to.deep.equal(await treeAt(path));
    }
    const { peer } = await statusOf('bob');
    await command.event('served', told => told.what === 'complete' && told.peer === peer);
    const [first, second, kept] = takersOf(command);
    expect(kept).to.equal(peer);
    expect(new Set([first, second, kept]).size).to.equal(3);
  });

  it('are one for each share that asks for its own, which is not known under that of the home', async () => {
    const box = sandbox();
    const [path, other] = await Promise.all(
      ['it', 'other'].map(name => makeFile(box.path(name), { bytes: noise(name, 5000) })),
    );
    await box.daemon('ann');
    const plain = await box.share('ann', path ?? '');
    const fresh = await box.share('ann', path ?? '', ['--fresh-id']);
    const second = await box.share('ann', other ?? '', ['--fresh-id']);
    expect(fresh.id, 'a link of its own').not.to.equal(plain.id);
    const { peer, apart = [], addresses = [] } = await statusOf('ann');
    expect(peerIn(plain.link)).to.equal(peer);
    expect(apart.map(({ id }) => id)).to.have.members([fresh.id, second.id]);
    expect(apart.map(one => one.peer)).to.have.members([peerIn(fresh.link), peerIn(second.link)]);
    expect(new Set([peer, ...apart.map(one => one.peer)]).size).to.equal(3);
    expectDone(await box.fetch(fresh.link, box.path('got')));
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(path ?? ''));

    const atHome = (link: string): string => `${link.split('@')[0] ?? ''}@${addresses[0] ?? ''}`;
    const asked = ['-o', box.path('not got'), '--json', '--timeout', '3s'];
    expect((await box.run('bob', ['ls', atHome(plain.link), '--json'])).code, 'the address is right').to.equal(0);
    const refused = await box.run('bob', ['fetch', atHome(fresh.link), ...asked]);
    expect(refused.last('error').code).to.equal('not-found');

    expectDone(await box.run('ann', ['daemon', '--stop', '--json']));
    await box.daemon('ann');
    const again = await box.share('ann', path ?? '', ['--fresh-id']);
    expect(again.shared.again).to.equal(true);
    expect(again.link, 'the same peer id and address').to.equal(fresh.link);
    expectDone(await box.fetch(fresh.link, box.path('got again')));
    expectDone(await box.run('ann', ['forget', fresh.id, '--json']));
    expect((await statusOf('ann')).apart?.map(({ id }) => id)).to.deep.equal([second.id]);
  });

  it('are those of the share for relays, too, which get no token with it', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'keeper', { config: 'limits.stored_bytes = "100 GB"' });
    const token = (await relay.run(['token', 'create'])).stdout.toString();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 5000) });
    const added = await box.run('ann', ['relays', 'add', relay.origin, '--token-file', '-'], { stdin: token });
    expect(added.code, added.stderr).to.equal(0);
    const untilOf = async (...more: string[]): Promise<number> => {
      const done = await box.run('ann', ['share', path, '--wait-copies', '1', '--json', ...more]);
      expectDone(done);
      return done.last('copy').until ?? 0;
    };
    expect(await untilOf(), 'who has a token gets more').to.be.closeTo(Date.now() / 1000 + 90 * DAY, 120);
    expect(await untilOf('--fresh-id')).to.be.closeTo(Date.now() / 1000 + 7 * DAY, 120);
    const shares = JSON.parse((await box.run('ann', ['shares', '--json'])).stdout.toString()) as Told;
    const own = (shares.shares ?? []).find(share => 'freshId' in share);
    const { stdout } = await box.run('ann', ['show', '--link', own?.id ?? '']);
    // Nobody but the relay has it now.
    expectDone(await box.fetch(stdout.toString().trim(), box.path('got')));
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(path));
  });
});
