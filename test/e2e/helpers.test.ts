/** Helpers who carry shares without their keys: what they keep, what they drop when their quota is full, and that they count. */
import { expect } from 'chai';
import { readdir } from 'node:fs/promises';
import {
  expectDone,
  expectFailed,
  TEST_TIMEOUT_MS,
  useSandbox,
  type Command,
  type Sandbox,
  type StartOptions,
  type Told,
} from './harness.ts';
import { useLan } from './lan.ts';
import { makeFile, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;
/** What six MiB take, encrypted and padded, with all that belongs to it. */
const SIX = 6.5 * MIB;

/** A daemon whose home may keep so many bytes. */
async function helper(box: Sandbox, home: string, quotaBytes: number): Promise<Command> {
  expectDone(await box.run(home, ['config', 'set', 'store.quota', `${quotaBytes} B`, '--json']));
  return await box.daemon(home);
}

async function objectOf(box: Sandbox, home: string, args: readonly string[]): Promise<Told> {
  const ended = await box.run(home, [...args, '--json']);
  expectDone(ended);
  return ended.told[0] ?? {};
}

async function addressOf(box: Sandbox, home: string): Promise<string> {
  return (await objectOf(box, home, ['status'])).addresses?.[0] ?? '';
}

/** Shares so many bytes of noise by the daemon of a home. @returns the id, the file and the link */
async function shared(
  box: Sandbox,
  home: string,
  name: string,
  bytes: number,
): Promise<{ id: string; path: string; link: string }> {
  const path = await makeFile(box.path(`${name}.bin`), { bytes: noise(name, bytes) });
  const { id = '', link = '' } = (await box.run(home, ['share', path, '--hint', 'self', '--json'])).last('shared');
  return { id, path, link };
}

async function carriedBy(box: Sandbox, home: string): Promise<string[]> {
  return ((await objectOf(box, home, ['shares'])).shares ?? []).map(({ id = '' }) => id);
}

describe('helpers', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  const sandbox = useSandbox();

  it('drop what others have when their quota is full, count as copies, and serve what they kept after a kill', async () => {
    const box = sandbox();
    const ann = await box.daemon('ann');
    await box.daemon('bob');
    const [one, two, three] = [
      await shared(box, 'ann', 'one', 6 * MIB),
      await shared(box, 'bob', 'two', 6 * MIB),
      await shared(box, 'ann', 'three', 6 * MIB),
    ];
    await helper(box, 'large', 100 * MIB);
    let small = await helper(box, 'small', 2 * SIX);
    const [atAnn, atBob, atLarge] = [
      await addressOf(box, 'ann'),
      await addressOf(box, 'bob'),
      await addressOf(box, 'large'),
    ];
    expectDone(await box.run('large', ['seed', `shoal:${one.id}@${atAnn}`, '--json']));
    const first = await box.run('small', ['seed', `shoal:${one.id}@${atAnn},${atLarge}`, '--json']);
    expectDone(first);
    expect(first.last('seeding')).to.include({ id: one.id, name: '' });
    expectDone(await box.run('small', ['seed', `shoal:${two.id}@${atBob}`, '--json']));
    expect(await carriedBy(box, 'small')).to.have.members([one.id, two.id]);
    const { usedBytes = 0, quotaBytes } = (await objectOf(box, 'small', ['status'])).store ?? {};
    expect(quotaBytes).to.equal(2 * SIX);
    expect(usedBytes).to.be.within(12 * MIB, 2 * SIX);
    expect((await box.run('small', ['doctor'])).stdout.toString()).to.match(
      /quota: .* that they may: it is nearly full/,
    );

    const third = await box.run('small', ['seed', `shoal:${three.id}@${atAnn}`, '--json']);
    expectDone(third);
    expect(third.last('dropped')).to.deep.include({ id: one.id, copiesElsewhere: 2 });
    expect(await carriedBy(box, 'small')).to.have.members([two.id, three.id]);
    expect(await readdir(`${box.home('small')}/blocks`)).to.have.members([two.id, three.id]);

    const large = await shared(box, 'bob', 'too large', 20 * MIB);
    const refused = await box.run('small', ['seed', `shoal:${large.id}@${atBob}`, '--json']);
    expectFailed(refused, 1, 'disk-full');
    expect(refused.last('error').message).to.match(/the quota of 13.6 MB|the quota of 14 MB/);
    expect(refused.told.filter(({ event }) => ['opened', 'progress', 'dropped'].includes(event ?? ''))).to.deep.equal(
      [],
    );
    expect(await readdir(`${box.home('small')}/blocks`)).to.have.members([two.id, three.id]);

    const atSmall = await addressOf(box, 'small');
    const verified = await box.run('ann', ['verify', `shoal:${three.id}@${atSmall}`, '--json']);
    expectDone(verified);
    expect(JSON.stringify(verified.told)).to.include('"copies":1');

    small.kill('SIGKILL');
    await small.ended;
    small = await box.daemon('small');
    ann.kill('SIGTERM');
    await ann.ended;
    const key = three.link.slice(0, three.link.indexOf('@'));
    expectDone(await box.fetch(`${key}@${await addressOf(box, 'small')}`, box.path('got')));
    expect(await treeAt(box.path('got'))).to.deep.equal(await treeAt(three.path));
  });

  it('say plainly what they carry, and keep what nobody else has', async () => {
    const box = sandbox();
    const ann = await box.daemon('ann');
    await box.daemon('bob');
    const only = await shared(box, 'ann', 'only', 6 * MIB);
    const next = await shared(box, 'bob', 'next', 6 * MIB);
    const links = [
      `shoal:${only.id}@${await addressOf(box, 'ann')}`,
      `shoal:${next.id}@${await addressOf(box, 'bob')}`,
    ];
    expectDone(await box.run('small', ['config', 'set', 'store.quota', `${1.5 * SIX} B`, '--json']));
    const seeding = box.start('small', ['seed', links[0] ?? '', '--json']);
    await seeding.event('seeding');
    await seeding.interrupt();
    const { shares = [] } = await objectOf(box, 'small', ['shares']);
    expect(shares).to.have.length(1);
    expect(shares[0]).to.include({ id: only.id, name: '', source: 'imported' });
    expect(shares[0]?.sizeBytes, 'of the ciphertext').to.be.greaterThan(6 * MIB);
    const listed = (await box.run('small', ['shares'])).stdout.toString();
    expect(listed)
      .to.match(/SINCE +ELSEWHERE/)
      .and.to.include('carried');
    const shown = (await box.run('small', ['show', only.id])).stdout.toString();
    expect(shown).to.include('name: carried, without its key');
    expect(shown).to.match(/carried: for others: it can not be read here.*"shoal forget" removes it/);

    ann.kill('SIGTERM');
    await ann.ended;
    // Now this home has the only copy, which no command asks for.
    await box.daemon('small');
    const refused = await box.run('small', ['seed', links[1] ?? '', '--json']);
    expectFailed(refused, 1, 'disk-full');
    expect(await carriedBy(box, 'small')).to.deep.equal([only.id]);
    expectDone(await box.run('small', ['forget', only.id, '--json']));
    expectDone(await box.run('small', ['seed', links[1] ?? '', '--json']));
  });

  it('go on after a kill where they were, also two at once, and hand over to a daemon that is started for it', async () => {
    const box = sandbox();
    const { link, id } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', 12 * MIB) }));
    const carry = `shoal:${id}@${link.split('@')[1] ?? ''}`;
    const killed = box.start('helper', ['seed', carry, '--json', '--max-down', '4 MB/s']);
    await killed.event('progress', ({ doneBytes = 0 }) => doneBytes > 3 * MIB);
    await killed.destroy();
    const first = box.start('helper', ['seed', id, '--json', '--max-down', '4 MB/s']);
    expect((await first.event('resumed')).bytes).to.be.greaterThan(MIB);
    const second = box.start('helper', ['seed', id, '--json']);
    await second.event('waiting', ({ why = '' }) => why.includes('another command of this home'));
    const [one, other] = await Promise.all([first.event('seeding'), second.event('seeding')]);
    expect([one.id, other.id]).to.deep.equal([id, id]);
    await second.interrupt();
    await first.interrupt();
    const detached = await box.run('helper', ['seed', id, '--detach', '--json']);
    expectDone(detached);
    expect(detached.last('done')).to.include({ id, state: 'serving' });
    expect(await carriedBy(box, 'helper')).to.deep.equal([id]);
    expectDone(await box.run('helper', ['daemon', '--stop', '--json']));
  });

  it('of which the daemon was killed go on by themselves with the next one, and not with what was stopped', async () => {
    const box = sandbox();
    const ann = await box.daemon('ann');
    const wanted = await shared(box, 'ann', 'wanted', 8 * MIB);
    const stopped = await shared(box, 'ann', 'stopped', 8 * MIB);
    const address = await addressOf(box, 'ann');
    const slow = await box.daemon('helper', ['--max-down', '4 MB/s']);
    const stopping = box.start('helper', ['seed', `shoal:${stopped.id}@${address}`, '--json']);
    await stopping.event('progress', ({ doneBytes = 0 }) => doneBytes > MIB);
    await stopping.interrupt();
    const seeding = box.start('helper', ['seed', `shoal:${wanted.id}@${address}`, '--json']);
    await seeding.event('progress', ({ doneBytes = 0 }) => doneBytes > MIB);
    // The command would take over from the daemon.
    seeding.kill('SIGSTOP');
    await slow.destroy();
    await seeding.destroy();
    expect((await objectOf(box, 'helper', ['show', wanted.id])).chunksKept).to.be.lessThan(8);
    await box.daemon('helper');
    const again = await box.run('helper', ['seed', wanted.id, '--json']);
    expectDone(again);
    expect(again.last('seeding').sources, 'all came to the daemon').to.deep.equal([]);
    expect((await objectOf(box, 'helper', ['show', stopped.id])).chunksKept).to.be.lessThan(8);
    ann.kill('SIGTERM');
    await ann.ended;
  });

  describe('on a network', () => {
    const lan = useLan(2);
    const on = (machine: number): StartOptions => ({
      namespace: lan().machines[machine - 1] ?? '',
      env: { SHOAL_LISTEN: '', SHOAL_MDNS: '', SHOAL_DHT: 'off' },
    });

    it('find a share by its id alone, and are counted by who shares it', async () => {
      const box = sandbox();
      const path = await makeFile(box.path('it'), { bytes: noise('lan', 3 * MIB) });
      const sharing = box.start('ann', ['share', path, '--json'], on(1));
      const { id = '' } = await sharing.event('shared');
      const seeding = box.start('helper', ['seed', id, '--json', '--timeout', '60s'], on(2));
      await seeding.event('seeding');
      const verified = await box.run('ann', ['verify', id, '--json'], on(1));
      expectDone(verified);
      expect(verified.told.find(({ holders }) => holders !== undefined)?.holders?.map(({ via }) => via)).to.deep.equal([
        'mdns',
      ]);
      expect(JSON.stringify(verified.told)).to.include('"copies":1');
    });
  });
});
