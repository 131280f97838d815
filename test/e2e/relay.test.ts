/** Relays, from the side of the homes that use them: the real programs, on loopback. */
import { expect } from 'chai';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { cp, rm, stat } from 'node:fs/promises';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type Ended, type Sandbox } from './harness.ts';
import { freePorts, Relay } from './relays.ts';
import { makeFile, makePlainTree, noise, treeAt } from './tree.ts';

const DAY = 86_400;
const MB = 1_000_000;
/** Bytes of a chunk, all but the last of a share. */
const CHUNK = 2 ** 20;

interface Copy {
  readonly relay: string;
  readonly name: string;
  readonly state: 'wanted' | 'stored';
  readonly until?: number;
  readonly checkedAt?: number;
  readonly detail?: string;
}

describe('relays', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  const sandbox = useSandbox();

  it('let two people share who are never online at the same time', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const tree = await makePlainTree(box.path('from'), 5 * MB, 'relay');
    const shared = await box.run('ann', ['share', tree, '--relay', relay.origin, '--wait-copies', '1']);
    expect(shared.code, 'it ends by itself').to.equal(0);
    expect(shared.stderr).to.match(/stored at \S+ until \S+.*; what was fetched back from it is right \(5 chunks\)/);
    expect(shared.stderr).to.include('others can fetch it there from now on, also while this machine is off');
    expect(shared.stderr).to.include('done; 1 relay has it');
    const link = shared.stdout.toString().trim();
    expect(link.split('@')[1], 'the relay is the only hint').to.equal(relay.address);

    const fetched = await box.fetch(link, box.path('to'));
    expectDone(fetched);
    expect(sourcesOf(fetched)).to.deep.equal([[relay.peer, 'direct']]);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));

    const [copy] = await copiesOf(box, 'ann');
    expect(copy).to.include({ relay: relay.peer, name: relay.origin, state: 'stored' });
    expect(copy?.until).to.be.closeTo(Date.now() / 1000 + 7 * DAY, 120);
    const listed = await box.run('ann', ['shares']);
    const day = new Date(1000 * (copy?.until ?? 0)).toISOString().slice(0, 10);
    expect(listed.stdout.toString()).to.match(new RegExp(`STORED\n.*1, until ${day}`));

    const received = await relay.receivedBytes();
    const again = await box.run('ann', ['share', tree, '--relay', relay.origin, '--wait-copies', '1']);
    expect([again.code, again.stdout.toString().trim()]).to.deep.equal([0, link]);
    expect(again.stderr, 'where it is already').to.match(/stored at \S+ until/);
    expect(await relay.receivedBytes()).to.equal(received);
  });

  it('are added by origin or address, listed, shown and removed', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one', { config: 'relay.operator = "Example Society"' });
    const added = await box.run('ann', ['relays', 'add', relay.origin, '--json']);
    expectDone(added);
    expect(added.told[0]).to.include({
      peer: relay.peer,
      origin: relay.origin,
      name: 'one',
      always: true,
      token: false,
    });
    expectDone(await box.run('ann', ['relays', 'add', relay.address, '--json']));
    const listed = await box.run('ann', ['relays', '--json']);
    expect(listed.told[0]?.relays?.map(({ origin, addresses }) => [origin, addresses])).to.deep.equal([
      [relay.origin, [relay.address]],
    ]);
    const shown = (await box.run('ann', ['relays', 'show', 'one'])).stdout.toString();
    expect(shown).to.include('operator: Example Society').and.to.include('tier: anonymous');
    expect(shown).to.include('stores: 1.0 GB in 64 shares, for 7 d 0 h');
    for (const name of [relay.origin, relay.address]) {
      expectDone(await box.run('ann', ['relays', 'remove', name, '--json']));
      expectFailed(await box.run('ann', ['relays', 'remove', name, '--json']), 2, 'usage');
      expectDone(await box.run('ann', ['relays', 'add', relay.address, '--json']));
    }
  });

  it('are refused where they are none, with the reason', async () => {
    const box = sandbox();
    const [nobody = 0] = await freePorts(1);
    const web = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const path = await makeFile(box.path('it'), { bytes: noise('none', 10_000) });
    try {
      for (const [text, code, why] of [
        [`http://127.0.0.1:${nobody}`, 3, 'nobody listens there; is the port right, and does the relay run?'],
        [`http://127.0.0.1:${(web.address() as { port: number }).port}`, 1, 'is it the address of a relay?'],
        ['what is this', 2, 'neither an origin like https://relay.example nor a multiaddr'],
        ['/ip4/127.0.0.1/tcp/5', 2, 'nor a multiaddr that ends in /p2p/ and a peer id'],
      ] as const)
        await Promise.all(
          ['add', 'share'].map(async home => {
            const command = home === 'add' ? ['relays', 'add', text] : ['share', path, '--relay', text];
            const ended = await box.run(home, command);
            expect([ended.code, ended.stdout.toString()], ended.stderr).to.deep.equal([code, '']);
            expect(ended.stderr).to.include(why);
          }),
        );
    } finally {
      web.close();
    }
    // At an address there is nothing to be asked before.
    const { link } = await box.share('bob', path);
    const home = box.start('ann', ['share', path, '--relay', link.split('@')[1] ?? '']);
    await home.says(/not stored at \S+ yet: .* does not speak \/shoal\/store\/1.0.0; it is tried again/);
    const gone = `/ip4/127.0.0.1/tcp/${nobody}/p2p/12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w`;
    const unreached = box.start('cat', ['share', path, '--relay', gone]);
    await unreached.says(/not stored at \S+ yet: cannot reach peer .*ECONNREFUSED.*; it is tried again/);
  });

  it('give more to who has an invite token', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one', { config: 'limits.stored_bytes = "100 GB"' });
    const token = (await relay.run(['token', 'create'])).stdout.toString();
    const file = await makeFile(box.path('token'), { bytes: Buffer.from(token) });
    const added = await box.run('ann', ['relays', 'add', relay.origin, '--token-file', file]);
    expect(added.code).to.equal(0);
    for (const shown of [added, await box.run('ann', ['relays', 'show', relay.origin])]) {
      expect(shown.stdout.toString()).to.include('tier: by invite token');
      expect(shown.stdout.toString()).to.include('stores: 100 GB in 5000 shares, for 90 d 0 h');
      expect(shown.stdout.toString() + shown.stderr).not.to.include(token.trim());
    }
    const path = await makeFile(box.path('it'), { bytes: noise('token', 10_000) });
    expectDone(await box.run('ann', ['share', path, '--wait-copies', '1', '--json']));
    expect((await copiesOf(box, 'ann'))[0]?.until).to.be.closeTo(Date.now() / 1000 + 90 * DAY, 120);
  });

  it('count for who waits where they were asked for and show it now, and the link names them', async () => {
    const box = sandbox();
    const [one, other] = await Promise.all(['one', 'other'].map(name => Relay.start(box, name)));
    const path = await makeFile(box.path('it'), { bytes: noise('counted', 300_000) });
    const wait = async (...more: string[]) => {
      const ended = await box.run('ann', ['share', path, '--wait-copies', '1', ...more]);
      expect(ended.code, ended.stderr).to.equal(0);
      return ended;
    };
    await wait('--relay', one!.origin);
    const second = await wait('--relay', other!.origin);
    expect(second.stderr)
      .to.match(/^stored at .*\(1 chunk\)/m)
      .and.to.include(other!.origin);
    const link = second.stdout.toString();
    expect(link).to.include(other!.address).and.not.to.include(one!.address);
    const shown = await box.run('ann', ['show', '--link', link.trim().slice('shoal:'.length, 40)]);
    expect(shown.stdout.toString()).to.equal(link);
    // What a relay has lost since is found out, and it gets it again.
    for (const file of await other!.blockFiles()) await rm(file);
    await wait('--relay', other!.origin);
    const fetched = await box.fetch(link.trim(), box.path('to'), ['--timeout', '30s']);
    expect(fetched.code, fetched.stderr).to.equal(0);
  });

  it('are not added with a token that they do not take', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const file = await makeFile(box.path('token'), { bytes: Buffer.from('shoaltoken.AAAA') });
    expectFailed(await box.run('ann', ['relays', 'add', relay.origin, '--token-file', file, '--json']), 5, 'refused');
    const { told } = await box.run('ann', ['relays', '--json']);
    expect(told[0]?.relays).to.deep.equal([]);
  });

  it('lead to a home again soon after they were started again', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    expectDone(await box.run('ann', ['relays', 'add', relay.origin, '--json']));
    await box.daemon('ann');
    const place = async (): Promise<string> => (await box.run('ann', ['status'])).stdout.toString();
    await comes(place, /others reach this node through …/);
    await relay.kill();
    await comes(place, /not reachable through …\S+: .*ECONNREFUSED/);
    await relay.again();
    const beganMs = performance.now();
    await comes(place, /others reach this node through …/);
    expect(performance.now() - beganMs).to.be.lessThan(15_000);
    const path = await makeFile(box.path('it'), { bytes: noise('place', 10_000) });
    const shared = await box.run('ann', ['share', path, '--no-relay', '--hint', 'self', '--json']);
    const { link = '' } = shared.last('shared');
    const fetched = await box.fetch(onlyRelayed(link), box.path('to'));
    expectDone(fetched);
    expect(fetched.last('done').sources).to.have.lengthOf(1);
  });

  it('are asked for longer leases when half of one is over', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one', { config: 'tiers.anonymous.lease_time = "12s"' });
    const path = await makeFile(box.path('it'), { bytes: noise('lease', 10_000) });
    const command = box.start('ann', ['share', path, '--relay', relay.origin, '--json']);
    const { until: first = 0 } = await command.event('copy', ({ state }) => state === 'stored');
    await command.event('copy', ({ state, until = 0 }) => state === 'stored' && until > first);
    expect(await relay.metric('shoal_relay_renewals_total')).to.equal(1);
    expect((await copiesOf(box, 'ann'))[0]?.until).to.be.greaterThan(first);
  });

  describe('when an upload is interrupted', () => {
    const SLOW = { env: { SHOAL_MAX_UP: '4 MB/s' } };
    const TREE_BYTES = 12 * MB;

    it('are given what they lack once they are there again', async () => {
      const box = sandbox();
      const relay = await Relay.start(box, 'one');
      const path = await makeFile(box.path('it'), { bytes: noise('interrupted', TREE_BYTES) });
      const args = ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json'];
      const command = box.start('ann', args, SLOW);
      await command.event('copy', ({ doneBytes = 0 }) => doneBytes > 0);
      await relay.kill();
      await command.event('copy', ({ state }) => state === 'failed');
      const there = await bytesOf(await relay.blockFiles());
      expect(there).to.be.within(MB, TREE_BYTES - MB);
      await relay.again();
      const ended = await command.ended;
      expectDone(ended);
      expect(ended.last('copy')).to.include({ state: 'stored' });
      const all = await bytesOf(await relay.blockFiles());
      expect(await relay.receivedBytes(), 'nothing twice').to.be.within(all - there - CHUNK, all - there);
    });

    it('go on with it when the home is there again, which was killed', async () => {
      const box = sandbox();
      const relay = await Relay.start(box, 'one');
      const path = await makeFile(box.path('it'), { bytes: noise('interrupted', TREE_BYTES) });
      const command = box.start('ann', ['share', path, '--relay', relay.origin, '--json'], SLOW);
      const { link = '' } = await command.event('shared');
      await command.event('copy', ({ doneBytes = 0 }) => doneBytes > 0);
      await command.destroy();
      const before = await relay.receivedBytes();
      expect(before).to.be.within(MB, TREE_BYTES - MB);
      await box.daemon('ann');
      const listed = async (): Promise<string> => JSON.stringify(await copiesOf(box, 'ann'));
      await comes(listed, /"checkedAt":/);
      const all = await bytesOf(await relay.blockFiles());
      expect(await relay.receivedBytes(), 'nothing twice').to.be.at.most(all);
      expectDone(await box.run('ann', ['daemon', '--stop', '--json']));
      expectDone(await box.fetch(link, box.path('to')));
    });
  });

  it('are waited for on when who does the work is killed, and not when the share is forgotten', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one', { config: 'limits.leases = 0' });
    const path = await makeFile(box.path('it'), { bytes: noise('wait', 10_000) });
    const daemon = await box.daemon('ann');
    const args = ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json'];
    const command = box.start('ann', args);
    await command.event('copy', ({ state }) => state === 'failed');
    const before = command.told.length;
    await daemon.destroy();
    await command.event('copy', told => told.state === 'failed' && command.told.indexOf(told) >= before);
    await relay.kill();
    await relay.configure('limits.leases = 1');
    await relay.again();
    const ended = await command.ended;
    expect(ended.code, ended.stderr).to.equal(0);
    expect(ended.last('copy')).to.include({ state: 'stored', sampled: 1 });

    const other = await makeFile(box.path('other'), { bytes: noise('other', 10_000) });
    const waiting = box.start('ann', ['share', other, ...args.slice(2)]);
    const { id = '' } = await waiting.event('copy', ({ state }) => state === 'failed');
    expectDone(await box.run('ann', ['forget', id, '--json']));
    expectFailed(await waiting.ended, 3, 'unavailable');
  });

  it('that have no room are told of, and the share is served nevertheless', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one', { config: 'tiers.anonymous.stored_bytes = "1 MB"' });
    const path = await makeFile(box.path('it'), { bytes: noise('full', 3 * MB) });
    const command = box.start('ann', ['share', path, '--relay', relay.origin, '--hint', 'self']);
    const [, why] = await command.says(/not stored at \S+ yet: (.*); it is tried again/);
    expect(why).to.equal('the relay does not keep the share: over-limit (1000000 bytes at once, of which 0 are used)');
    expectDone(await box.fetch(command.stdout.trim(), box.path('to')));
    const listed = await box.run('ann', ['shares']);
    expect(listed.stdout.toString()).to.match(/ 0 of 1/);
    expect(listed.stderr).to.include(`at ${relay.origin}: ${why}`);
    await command.destroy();
    await relay.kill();
    await relay.configure('limits.stored_bytes = "1 MB"');
    await relay.again();
    const full = box.start('ann', ['share', path, '--relay', relay.origin]);
    await full.says(/not stored at \S+ yet: the relay does not keep the share: full \(the relay is full\)/);
  });

  it('give beside peers, and are not needed to go on', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const path = await makeFile(box.path('it'), { bytes: noise('beside', 24 * MB) });
    const stored = await box.run('ann', ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json']);
    expectDone(stored);
    const { link: own } = await box.share('ann', path, ['--no-relay'], { env: { SHOAL_MAX_UP: '6 MB/s' } });
    const link = `${own},${relay.address}`;
    const slow = { env: { SHOAL_MAX_DOWN: '12 MB/s' } };
    const both = await box.fetch(link, box.path('both'), [], slow);
    expectDone(both);
    expect(sourcesOf(both).map(([peer]) => peer))
      .to.include(relay.peer)
      .and.to.have.lengthOf(2);
    const args = ['fetch', link, '-o', box.path('to'), '--json', '--timeout', '30s'];
    const fetching = box.start('cat', args, slow);
    await fetching.event('progress', ({ doneBytes = 0 }) => doneBytes > 6 * MB);
    await relay.kill();
    const ended = await fetching.ended;
    expectDone(ended);
    expect(sourcesOf(ended)).to.have.lengthOf(2);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(path));
  });

  it('are found out by anyone who has lost blocks, and are given them again by the home', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const path = await makeFile(box.path('it'), { bytes: noise('lost', 6 * MB) });
    const shared = await box.run('ann', ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json']);
    expectDone(shared);
    const { link = '', id = '' } = shared.last('shared');
    const whole = await box.run('bob', ['verify', link, '--json']);
    expectDone(whole);
    expect(whole.last('done')).to.deep.include({ copies: 1, repaired: 0 });
    expect((await box.run('bob', ['shares', '--json'])).told[0]?.shares, 'nothing is taken in').to.deep.equal([]);
    const files = (await relay.blockFiles()).filter(file => /data-0\/[13]$/.test(file));
    expect(files).to.have.lengthOf(2);
    await Promise.all(files.map(file => rm(file)));
    const broken = await box.run('bob', ['verify', link, '--json']);
    expectFailed(broken, 3, 'unavailable');
    expect(broken.last('holder')).to.include({ peer: relay.peer, problem: 'it lacks 2 chunks' });
    const shown = await box.run('ann', ['verify', id]);
    expect(shown.code).to.equal(3);
    expect(shown.stdout.toString()).to.match(/ relay +4 of 6 +0 +incomplete/);
    expect(shown.stderr).to.include(
      'nobody else was found who has all of the share; the home that shares it gives it to its relays again with "--repair"',
    );
    const repaired = await box.run('ann', ['verify', id, '--repair', '--json']);
    expectDone(repaired);
    expect(repaired.last('done')).to.deep.include({ copies: 0, repaired: 1 });
    expectDone(await box.run('bob', ['verify', link, '--json']));
    expectDone(await box.fetch(link, box.path('to')));
  });

  it('take from two homes at once', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const [one, two] = [
      await makeFile(box.path('1'), { bytes: noise('1', 5 * MB) }),
      await makeFile(box.path('2'), { bytes: noise('2', 5 * MB) }),
    ];
    const args = ['--relay', relay.origin, '--wait-copies', '1', '--json'];
    const [ann, bob] = await Promise.all([
      box.run('ann', ['share', one, ...args]),
      box.run('bob', ['share', two, ...args]),
    ]);
    for (const ended of [ann, bob]) expectDone(ended);
    expect(await relay.status()).to.include({ leases: 2, uploads: 0 });
    for (const [n, ended] of [ann, bob].entries())
      expectDone(await box.fetch(ended.last('shared').link ?? '', box.path(`to ${n}`)));
  });

  it('take the same share once from two homes at once, one of which is a copy of the other', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const path = await makeFile(box.path('it'), { bytes: noise('same', 12 * MB) });
    await (await box.share('ann', path)).command.interrupt();
    await cp(box.home('ann'), box.home('twin'), { recursive: true });
    const args = ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json'];
    const both = await Promise.all(['ann', 'twin'].map(home => box.run(home, args)));
    for (const ended of both) expectDone(ended);
    expect(both[0]?.last('shared').id).to.equal(both[1]?.last('shared').id);
    expect(await relay.status()).to.include({ leases: 1 });
    expect(await relay.receivedBytes()).to.be.at.most(await bytesOf(await relay.blockFiles()));
  });
});

async function copiesOf(box: Sandbox, home: string): Promise<Copy[]> {
  const { told } = await box.run(home, ['shares', '--json']);
  return (told[0]?.shares ?? []).flatMap(share => share.copies as readonly Copy[]);
}

/** Who gave, and by which path. */
function sourcesOf(fetched: Ended): (readonly [string, string])[] {
  return (fetched.last('done').sources ?? []).map(({ peer, path }) => [peer, path] as const);
}

/** Asks until the answer matches: for what is only told to who asks. */
async function comes(ask: () => Promise<string>, pattern: RegExp): Promise<void> {
  while (!pattern.test(await ask()));
}

async function bytesOf(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.filter(file => /data-|manifest-/.test(file)).map(file => stat(file)));
  return sizes.reduce((sum, { size }) => sum + size, 0);
}

/** A link of which only the hints are left that lead through relays. */
function onlyRelayed(link: string): string {
  const [share = '', hints = ''] = link.split('@');
  return `${share}@${hints
    .split(',')
    .filter(hint => hint.includes('/p2p-circuit'))
    .join()}`;
}
