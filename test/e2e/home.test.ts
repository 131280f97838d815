/** Several commands of one home at once: one holds it, the others attach to it and take over. */
import { expect } from 'chai';
import { once } from 'node:events';
import { chmod, cp, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { expectDone, expectFailed, portOf, TEST_TIMEOUT_MS, through, useSandbox } from './harness.ts';
import { useLines } from './line.ts';
import { leftovers, makeFile, makePlainTree, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;

describe('a home', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();
  const lineTo = useLines();

  /** Name and state of all shares of a home, by name. */
  const statesOf = async (home: string): Promise<[name?: string, state?: string][]> => {
    const ended = await sandbox().run(home, ['shares', '--json']);
    expectDone(ended);
    const shares = (ended.told[0]?.shares ?? []).map(({ name, state }): [string?, string?] => [name, state]);
    return shares.sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
  };

  it('is shared by four terminals: two share, one fetches, one looks', async () => {
    const box = sandbox();
    const a = await box.share('ann', await makeFile(box.path('a'), { bytes: noise('a', 2 * MIB) }));
    const b = await box.share('ann', await makeFile(box.path('b'), { bytes: noise('b', 2 * MIB) }));
    expect(b.shared.addresses, 'one node').to.deep.equal(a.shared.addresses);
    const fetched = await box.run('ann', ['fetch', a.link, '-o', box.path('got a'), '--json']);
    expectDone(fetched);
    expect(fetched.last('done').found).to.equal('local');
    expect(await treeAt(box.path('got a'))).to.deep.equal(await treeAt(box.path('a')));
    expect(await statesOf('ann')).to.deep.equal([
      ['a', 'serving'],
      ['b', 'serving'],
    ]);
    expectDone(await box.fetch(b.link, box.path('got b')));
    expect(await treeAt(box.path('got b'))).to.deep.equal(await treeAt(box.path('b')));

    expect((await a.command.interrupt()).code).to.equal(130);
    // Until the other one has taken over, nobody holds the home.
    expectDone(await box.fetch(b.link, box.path('got b again')));
    await box.start('ann', ['shares']).says(/ b +2\.1 MB +serving/);
    const gone = await box.run('bob', ['fetch', a.link, '-o', box.path('got a again'), '--json', '--timeout', '3s']);
    expectFailed(gone, 3, 'not-found');
    expect(await statesOf('ann')).to.deep.equal([
      ['a', 'idle'],
      ['b', 'serving'],
    ]);
    expect((await b.command.interrupt()).code).to.equal(130);
    expect(await statesOf('ann')).to.deep.equal([
      ['a', 'idle'],
      ['b', 'idle'],
    ]);
  });

  it('is taken over when its holder is killed, and a fetch that is under way completes', async () => {
    const box = sandbox();
    const a = await box.share('ann', await makeFile(box.path('a'), { bytes: noise('a', 100) }));
    const tree = await makePlainTree(box.path('b'), 24 * MIB, 'b');
    const b = await box.share('ann', tree);
    const line = await lineTo(b.link);
    const held = line.holdAfter(10 * MIB);
    const fetching = box.fetch(through(b.link, line.port), box.path('got'), ['--timeout', '60s']);
    await held;
    await a.command.destroy();
    line.release();
    const ended = await fetching;
    expectDone(ended);
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(tree));
    const [, ...more] = ended.told.filter(({ event }) => event === 'found');
    expect(more, 'the same peer was found again').to.have.lengthOf(1);
    const states = await statesOf('ann');
    expect(states).to.deep.equal([
      ['a', 'idle'],
      ['b', 'serving'],
    ]);
  });

  it('is taken over again and again', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    const first = await box.share('ann', path);
    const others = [await box.share('ann', path), await box.share('ann', path), await box.share('ann', path)];
    let before = first;
    for (const [n, next] of others.entries()) {
      if (n % 2 === 0) await before.command.destroy();
      else await before.command.interrupt();
      expectDone(await box.fetch(next.link, box.path(`got ${n}`), ['--timeout', '60s']));
      before = next;
    }
    expect((await before.command.interrupt()).code).to.equal(130);
  });

  it('takes over an action that was given to a holder which was killed', async () => {
    const box = sandbox();
    const source = await box.share('zoe', await makePlainTree(box.path('from'), 24 * MIB, 'from'));
    const holder = await box.share('ann', await makeFile(box.path('a'), { bytes: noise('a', 100) }));
    const line = await lineTo(source.link);
    const held = line.holdAfter(12 * MIB);
    const fetching = box.run('ann', ['fetch', through(source.link, line.port), '-o', box.path('got'), '--json']);
    await held;
    await holder.command.destroy();
    line.release();
    const ended = await fetching;
    expectDone(ended);
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(box.path('from')));
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('cancels a fetch that its holder carries out, when the command is interrupted', async () => {
    const box = sandbox();
    const source = await box.share('zoe', await makePlainTree(box.path('from'), 24 * MIB, 'from'));
    await box.share('ann', await makeFile(box.path('a'), { bytes: noise('a', 100) }));
    const line = await lineTo(source.link);
    const held = line.holdAfter(12 * MIB);
    const command = box.start('ann', ['fetch', through(source.link, line.port), '-o', box.path('got'), '--json']);
    await held;
    expectFailed(await command.interrupt(), 130, 'interrupted');
    line.release();
    const ended = await box.run('ann', ['fetch', source.link, '-o', box.path('got'), '--json']);
    expectDone(ended);
    expect(ended.last('resumed').bytes).to.be.greaterThan(0);
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(box.path('from')));
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('forgets a share that is served, and the command that serves it ends', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('a'), { bytes: noise('a', 1000) });
    const a = await box.share('ann', path);
    const b = await box.share('ann', await makeFile(box.path('b'), { bytes: noise('b', 1000) }));
    expectDone(await box.run('ann', ['forget', b.id.slice(0, 16), '--json']));
    const ended = await b.command.ended;
    expectDone(ended);
    expect(ended.last('done')).to.include({ id: b.id, name: 'b', state: 'idle' });
    expectFailed(
      await box.run('bob', ['fetch', b.link, '-o', box.path('got'), '--json', '--timeout', '3s']),
      3,
      'not-found',
    );
    expect(await statesOf('ann')).to.deep.equal([['a', 'serving']]);
    expectDone(await box.run('ann', ['forget', a.link, '--json']));
    expectDone(await a.command.ended);
    expect(await statesOf('ann')).to.deep.equal([]);
    expect(await readdir(box.path('homes', 'ann', 'blocks'))).to.deep.equal([]);
    expect((await readFile(path)).equals(noise('a', 1000)), 'the file stays').to.equal(true);
    expectFailed(await box.run('ann', ['forget', a.id, '--json']), 1, 'unknown-share');
  });

  it('loses nothing when the same is fetched twice to the same place at once', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 24 * MIB, 'twice');
    const shared = await box.share('ann', tree);
    const line = await lineTo(shared.link);
    const held = line.holdAfter(10 * MIB);
    const first = box.fetch(through(shared.link, line.port), box.path('got'));
    await held;
    const second = await box.run('bob', ['fetch', shared.link, '-o', box.path('got'), '--json']);
    expectFailed(second, 1, 'in-use');
    line.release();
    expectDone(await first);
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(tree));
    expect(await leftovers(box.folder)).to.deep.equal([]);

    const both = await Promise.all([1, 2].map(() => box.fetch(shared.link, box.path('got 2'))));
    expect(both.map(({ code }) => code)).to.include(0);
    for (const { code, told } of both) if (code !== 0) expect(told.at(-1)?.code).to.equal('in-use');
    expect(await treeAt(box.path('got 2'))).to.deep.equal(await treeAt(tree));
    expect(await leftovers(box.folder)).to.deep.equal([]);
  });

  it('serves what it has fetched, after the first sharer has gone', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('from'), 5 * MIB, 'keep');
    const ann = await box.share('ann', tree);
    const args = ['fetch', ann.link, '-o', box.path('bob has'), '--keep', '--json'];
    const bob = box.start('bob', args);
    const done = await bob.event('done');
    expect(done).to.include({ path: box.path('bob has'), found: 'hint' });
    expect((await bob.event('keeping')).id).to.equal(ann.id);
    await ann.command.interrupt();
    const own = box.start('bob', ['share', box.path('bob has'), '--json', '--hint', 'self']);
    const { addresses = [] } = await own.event('shared');
    const link = ann.link.replace(/@.*/, `@${addresses.join(',')}`);
    const ended = await box.run('cat', ['fetch', link, '-o', box.path('cat has'), '--json', '--timeout', '20s']);
    expectDone(ended);
    expect(await treeAt(box.path('cat has'))).to.deep.equal(await treeAt(tree));
    expect((await statesOf('bob')).map(([, state]) => state)).to.deep.equal(['serving', 'serving']);
    await bob.interrupt();
    const again = box.start('bob', args);
    expect((await again.event('done')).alreadyThere).to.equal(true);
    await again.event('keeping');
    expect((await again.interrupt()).code).to.equal(130);
  });

  it('keeps its peer id and its port from one run to the next', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    const first = await box.share('ann', path);
    await first.command.interrupt();
    const second = await box.share('ann', path);
    expect(second.shared.addresses).to.deep.equal(first.shared.addresses);
    await second.command.interrupt();
    const other = createServer().listen(portOf(first.link), '127.0.0.1');
    await once(other, 'listening');
    const third = await box.share('ann', path);
    expect(portOf(third.link)).not.to.equal(portOf(first.link));
    expect(third.link.replace(/.*\/p2p\//, '')).to.equal(first.link.replace(/.*\/p2p\//, ''));
    other.close();
  });

  it('is not used when others can read its secret', async function () {
    if (process.platform === 'win32') this.skip();
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    const { command } = await box.share('ann', path);
    await command.interrupt();
    await chmod(box.path('homes', 'ann', 'secret'), 0o644);
    for (const args of [['share', path], ['shares']]) {
      const ended = await box.run('ann', [...args, '--json']);
      expectFailed(ended, 1, 'home');
      expect(ended.last('error').message).to.match(/others may read it.*chmod 600/);
    }
    await chmod(box.path('homes', 'ann', 'secret'), 0o600);
    expect(await statesOf('ann')).to.deep.equal([['it', 'idle']]);
  });

  it('is not used when others can write to it', async function () {
    if (process.platform === 'win32') this.skip();
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    const { command, link } = await box.share('ann', path);
    await command.interrupt();
    await chmod(box.home('ann'), 0o777);
    const before = await treeAt(box.home('ann'));
    for (const args of [['share', path], ['shares'], ['forget', link], ['fetch', link]]) {
      const ended = await box.run('ann', [...args, '--json']);
      expectFailed(ended, 1, 'home');
      expect(ended.last('error').message).to.match(/others may write to it.*chmod 700/);
    }
    expect(await treeAt(box.home('ann'))).to.deep.equal(before);
    await mkdir(box.home('bob'));
    await chmod(box.home('bob'), 0o770);
    expectFailed(await box.run('bob', ['share', path, '--json']), 1, 'home');
    expect(await readdir(box.home('bob'))).to.deep.equal([]);
  });

  it('is readable by its user only', async function () {
    if (process.platform === 'win32') this.skip();
    const box = sandbox();
    await mkdir(box.path('homes', 'ann'), { mode: 0o755 });
    const { command } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 100) }));
    const found = await treeAt(box.path('homes', 'ann'));
    const open = Object.entries(found).filter(([path, what]) => /secret|catalog/.test(path) && !what.includes(' 600 '));
    expect(open).to.deep.equal([]);
    const names = await readdir(box.path('run'), { recursive: true });
    const sockets = names.filter(name => name.endsWith('.sock'));
    expect(sockets).to.have.lengthOf(1);
    const { mode } = await stat(box.path('run', sockets[0] ?? ''));
    expect((mode & 0o777).toString(8)).to.equal('600');
    await command.interrupt();
  });

  it('of a newer program is refused and left as it is', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    const { command } = await box.share('ann', path);
    await command.interrupt();
    const home = box.path('homes', 'ann');
    const database = new DatabaseSync(`${home}/catalog.sqlite`);
    database.exec('PRAGMA user_version = 999');
    database.close();
    await cp(home, box.path('before'), { recursive: true, preserveTimestamps: true });
    for (const args of [['share', path], ['shares'], ['fetch', 'SHARE', '--timeout', '1s']]) {
      const link = `shoal:bafyreietfeoj6mb5m2gzv3wlotqpzpkkqrw5s6voq5gechkdiprhkvfcaq.${'A'.repeat(43)}`;
      const ended = await box.run('ann', [...args.map(word => (word === 'SHARE' ? link : word)), '--json']);
      expectFailed(ended, 1, 'newer-home');
      expect(ended.last('error').message).to.match(/a newer shoal wrote it .*update shoal/);
    }
    const [now, then] = [await treeAt(home), await treeAt(box.path('before'))];
    expect(now['./catalog.sqlite']).to.equal(then['./catalog.sqlite']);
    expect(now['./secret']).to.equal(then['./secret']);
  });

  it('is not made by commands that only look or fetch', async () => {
    const box = sandbox();
    const { link } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 100) }));
    expectDone(await box.run('bob', ['shares', '--json']));
    expectDone(await box.run('bob', ['ls', link, '--json']));
    expectDone(await box.run('bob', ['fetch', link, '-o', box.path('got'), '--json']));
    expect(await readdir(box.path('homes'))).to.deep.equal(['ann']);
  });

  it('is let go of when the process is killed that runs it with another Node', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 100) });
    // As bin/shoal.js does it in a Node that is too old.
    const runWith = `
      const stdio = ['inherit', 'inherit', 'inherit', 'ipc'];
      const env = { ...process.env, SHOAL_FOLLOWS_PARENT: '1' };
      require('node:child_process').spawn(process.argv[1], process.argv.slice(2), { stdio, env });`;
    const { command } = await box.share('ann', path, [], { before: [process.execPath, '-e', runWith] });
    command.kill('SIGKILL');
    // It ends for us when nobody holds its output any more.
    await command.ended;
    expect(await statesOf('ann')).to.deep.equal([['it', 'idle']]);
  });
});
