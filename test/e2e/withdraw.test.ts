/** Withdrawals among real processes: the sharer, a relay that keeps a copy, a home that carries it, and who wants to fetch it. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Owner, ownShare, withdrawal } from '../hostile/owners.ts';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type Ended, type Sandbox } from './harness.ts';
import { Relay } from './relays.ts';
import { makeFile, noise } from './tree.ts';

const DATE = new Date().toISOString().slice(0, 7);

interface Notice {
  readonly peer: string;
  readonly name: string;
  readonly relay: boolean;
  readonly state: string;
  readonly detail?: string;
}

interface Withdrawal {
  readonly id: string;
  readonly own: boolean;
  readonly again?: boolean;
  readonly notices: readonly Notice[];
}

describe('shoal withdraw', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  const sandbox = useSandbox();

  it('ends a share at the relay and at who carries it, also when that was offline, and leaves files alone', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const bytes = noise('withdrawn', 3_000_000);
    const path = await makeFile(box.path('film'), { bytes });
    const shared = await box.run('ann', ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json']);
    expect(shared.code).to.equal(0);
    const { id = '', link = '' } = shared.last('shared');
    // Another home gets it, and serves what it got; a third one carries it, and is offline when it is withdrawn.
    const keeping = box.start('kit', ['fetch', link, '-o', box.path('kept'), '--keep', '--json']);
    await keeping.event('keeping');
    const carrying = box.start('cat', ['seed', link, '--json']);
    await carrying.event('seeding');
    expectInterrupted(await carrying.interrupt());
    expect(await blocksIn(box, 'cat', id)).not.to.deep.equal([]);

    const withdrawn = await box.run('ann', ['withdraw', id.slice(0, 16), '--yes', '--json']);
    expectDone(withdrawn);
    const done = doneOf(withdrawn);
    expect(done.notices.map(({ peer, name, state }) => [peer, name, state])).to.deep.equal([
      [relay.peer, relay.origin, 'obeyed'],
    ]);
    expect(await relay.blockFiles()).to.deep.equal([]);
    expect(await blocksIn(box, 'ann', id)).to.deep.equal([]);
    expect(await readFile(path)).to.deep.equal(Buffer.from(bytes));

    const late = await box.fetch(link, box.path('late'));
    expectFailed(late, 5, 'refused');
    expect(late.last('error').message).to.match(new RegExp(`withdrawn by the sharer on ${DATE}-\\d\\d`));
    expect(existsSync(box.path('late'))).to.equal(false);

    // The home that was offline still gives nothing, once it has heard of it: here as a refusal of the relay.
    const again = await box.run('cat', ['verify', link, '--json']);
    expect(again.code).to.equal(3);
    expect(await blocksIn(box, 'cat', id)).to.deep.equal([]);
    for (const args of [
      ['seed', link],
      ['fetch', link, '--keep', '-o', box.path('cats')],
    ]) {
      const refused = await box.run('cat', [...args, '--json']);
      expectFailed(refused, 5, 'refused');
      expect(refused.last('error').message).to.include(`withdrawn by the sharer on ${DATE}`);
    }
    expect(await statesIn(box, 'cat')).to.deep.equal(['withdrawn']);

    // All are started again, and still say so.
    await keeping.destroy();
    await relay.kill();
    await relay.again();
    const sharer = await box.daemon('ann');
    const after = await box.fetch(link, box.path('after'));
    expectFailed(after, 5, 'refused');
    expect(await statesIn(box, 'ann')).to.deep.equal(['withdrawn']);
    const shown = await box.run('ann', ['show', id]);
    expect(shown.stdout.toString())
      .to.match(/^state: withdrawn$/m)
      .and.to.include(`told: confirmed: ${relay.origin}`);
    const twice = await box.run('ann', ['withdraw', link, '--yes', '--json']);
    expect(doneOf(twice)).to.include({ again: true, own: true });
    sharer.kill('SIGTERM');
    await sharer.ended;
  });

  it('ends the command that serves it, and is told by this home to who asks later, also after a restart', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('film'), { bytes: noise('served', 3_000_000) });
    const { command, id, link } = await box.share('ann', path);
    const hint = link.split('@')[1] ?? '';
    const keeping = box.start('kit', ['fetch', link, '-o', box.path('kept'), '--keep', '--json']);
    await keeping.event('keeping');
    const withdrawn = await box.run('ann', ['withdraw', id, '--yes', '--json']);
    expectDone(withdrawn);
    expect(doneOf(withdrawn).again).to.equal(false);
    const ended = await command.ended;
    expect([ended.code, ended.last('done').state]).to.deep.equal([0, 'withdrawn']);
    expect(hint).to.include('/p2p/');
    const sharer = await box.daemon('ann', ['--listen', hint.replace(/\/p2p\/.*$/, '')]);
    const late = await box.fetch(link, box.path('late'));
    expectFailed(late, 5, 'refused');
    expect(late.last('error').message).to.include(`withdrawn by the sharer on ${DATE}`);
    expect(await readFile(box.path('kept'))).to.have.lengthOf(3_000_000);
    keeping.kill();
    sharer.kill('SIGTERM');
    await sharer.ended;
  });

  it('goes on telling after the sharer was killed between signing and delivering', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const path = await makeFile(box.path('film'), { bytes: noise('killed', 1_500_000) });
    const shared = await box.run('ann', ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json']);
    const { id = '', link = '' } = shared.last('shared');
    await relay.kill();
    const withdrawing = box.start('ann', ['withdraw', id, '--yes', '--json']);
    await withdrawing.event('withdrawn');
    await withdrawing.destroy();
    const shown = await box.run('ann', ['show', id, '--json']);
    expect(withdrawalIn(shown).notices.map(({ state }) => state)).to.deep.equal(['pending']);
    await relay.again();
    expect((await box.fetch(link, box.path('still'))).code, 'the relay has not heard of it').to.equal(0);
    const daemon = await box.daemon('ann');
    for (let state: unknown = 'pending'; state === 'pending';)
      [{ state } = { state: 'nobody' }] = withdrawalIn(await box.run('ann', ['show', id, '--json'])).notices;
    const told = withdrawalIn(await box.run('ann', ['show', id, '--json'])).notices;
    expect(told.map(({ state }) => state)).to.deep.equal(['obeyed']);
    expect(await relay.blockFiles()).to.deep.equal([]);
    daemon.kill('SIGTERM');
    await daemon.ended;
  });

  it('is for who made it, and known to be so', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('film'), { bytes: noise('others', 100_000) });
    const { link, id } = await box.share('ann', path);
    const carrying = box.start('cat', ['seed', link, '--json']);
    await carrying.event('seeding');
    const refused = await box.run('cat', ['withdraw', id, '--yes', '--json']);
    expectFailed(refused, 2, 'usage');
    expect(refused.last('error').message).to.include('only who made it can');
    expectFailed(await box.run('cat', ['withdraw', 'bafyreiaaaa', '--yes', '--json']), 1, 'unknown-share');
  });

  it('removes what came from stdin, which is the own copy of the home', async () => {
    const box = sandbox();
    const command = box.start('ann', ['share', '-', '--name', 'dump', '--json'], { stdin: 'x'.repeat(50_000) });
    const { id = '' } = await command.event('shared');
    const spool = join(box.home('ann'), 'spool');
    expect(await readdir(spool)).to.have.lengthOf(1);
    expectDone(await box.run('ann', ['withdraw', id, '--yes', '--json']));
    expect(await readdir(spool)).to.deep.equal([]);
    await command.ended;
  });

  it('is not believed of others: forged, for another share, or replayed where it is not held', async () => {
    const box = sandbox();
    const [share, other] = [ownShare(300_000), ownShare(100_000)];
    const owner = await Owner.start();
    try {
      const relay = await Relay.start(box, 'one');
      expect((await owner.keep(relay.address, share))?.header['type']).to.equal('receipt');
      const carry = `shoal:${share.id.toString()}@${relay.address}`;
      const carrying = box.start('cat', ['seed', carry, '--json']);
      await carrying.event('seeding');
      const status = await box.run('cat', ['status', '--json']);
      const [cat = ''] = status.told[0]?.addresses ?? [];
      const say = async (statement: Uint8Array, block: Uint8Array): Promise<unknown> =>
        (await owner.withdraw(cat, statement, block))?.header['type'];
      const forged = withdrawal(share);
      forged[forged.length - 1]! ^= 1;
      expect(await say(withdrawal(share, other.seed), share.root), 'signed by somebody else').to.equal('dropped');
      expect(await say(withdrawal(share), other.root), 'another block').to.equal('dropped');
      expect(await say(withdrawal(other), other.root), 'of what it does not hold').to.equal('dropped');
      expect(await say(forged, share.root), 'damaged').to.equal('dropped');
      expect(await statesIn(box, 'cat')).to.deep.equal(['serving']);
      expect(await say(withdrawal(share), share.root)).to.equal('obeyed');
      expect(await statesIn(box, 'cat')).to.deep.equal(['withdrawn']);
      expect(await blocksIn(box, 'cat', share.id.toString())).to.deep.equal([]);
      const ended = await carrying.ended;
      expectFailed(ended, 5, 'refused');
      expect(ended.last('error').message).to.include(`withdrawn by the sharer on ${DATE}`);
    } finally {
      await owner.stop();
    }
  });
});

function doneOf(ended: Ended): Withdrawal {
  return ended.last('done') as unknown as Withdrawal;
}

function withdrawalIn(shown: Ended): Withdrawal {
  return (shown.told[0] as unknown as { withdrawal: Withdrawal }).withdrawal;
}

function expectInterrupted({ code, stderr }: Ended): void {
  expect([code, stderr]).to.deep.equal([130, '']);
}

async function statesIn(box: Sandbox, home: string): Promise<unknown[]> {
  const { told } = await box.run(home, ['shares', '--json']);
  return told[0]?.shares?.map(({ state }) => state) ?? [];
}

/** Files with blocks that a home keeps of a share. */
async function blocksIn(box: Sandbox, home: string, id: string): Promise<string[]> {
  const folder = join(box.home(home), 'blocks', id);
  return existsSync(folder) ? await readdir(folder) : [];
}
