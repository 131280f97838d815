/** Shares that end, and clocks that are wrong: the real programs, by clocks that the test sets. */
import { expect } from 'chai';
import { rm } from 'node:fs/promises';
import { MovedClock } from './clocks.ts';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type Ended } from './harness.ts';
import { Relay } from './relays.ts';
import { makeFile, noise, treeAt } from './tree.ts';

const MIB = 2 ** 20;
const NOON = '2027-01-15T12:00Z';
const END = Date.parse(NOON) / 1000;

const messageOf = ({ told }: Ended): string => told.findLast(({ event }) => event === 'error')?.message ?? '';

describe('A share that ends', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(40_000);
  const sandbox = useSandbox();

  it('is served until then, by its owner and who carries it; then all of them stop, and who has it can open it', async () => {
    const box = sandbox();
    const clock = await MovedClock.at(box, 'all', '2027-01-15T11:59:00Z');
    const path = await makeFile(box.path('it'), { bytes: noise('it', 2 * MIB) });
    const { link, id, command, shared } = await box.share('ann', path, ['--expires', NOON], clock.options);
    expect(shared).to.include({ expires: END });
    const carrying = box.start('carl', ['seed', link, '--json'], clock.options);
    await carrying.event('seeding');
    const daemon = await box.daemon('dora', [], clock.options);
    const kept = await box.run('dora', ['fetch', link, '--keep', '-o', box.path('kept'), '--json'], clock.options);
    expectDone(kept);
    expectDone(await box.fetch(link, box.path('in time'), [], clock.options));
    // Less than what is taken for a jump.
    await clock.set('2027-01-15T11:59:56Z');
    for (const ended of [await command.ended, await carrying.ended]) {
      expectDone(ended);
      expect(ended.last('ended')).to.include({ id, why: 'expired' });
      expect(ended.last('done')).to.include({ id, state: 'expired' });
    }

    const late = await box.fetch(link, box.path('late'), ['--timeout', '4s'], clock.options);
    expect(late.code, 'nobody has it any more, or says that it has expired').to.be.oneOf([3, 5]);
    const [share] = (await box.run('dora', ['shares', '--json'], clock.options)).told[0]?.shares ?? [];
    expect(share).to.include({ id, state: 'expired', expires: END });
    for (const args of [
      ['seed', link, '--timeout', '9s', '--json'],
      ['fetch', link, '--keep', '-o', box.path('more'), '--timeout', '9s', '--json'],
    ]) {
      const refused = await box.run('dora', args, clock.options);
      expectFailed(refused, 5, 'refused');
      expect(messageOf(refused)).to.include('it has expired (2027-01-15 12:00); who has the files can share them anew');
    }
    expectFailed(await box.run('dora', ['transfers', 'resume', id, '--json'], clock.options), 5, 'refused');
    await daemon.interrupt();

    const opened = await box.run('carl', ['fetch', link, '-o', box.path('opened'), '--json'], clock.options);
    expectDone(opened);
    expect(await treeAt(box.path('opened'))).to.deep.equal(await treeAt(path));

    const anew = await box.share('ann', path, ['--expires', '7d'], clock.options);
    expect(anew.shared).to.include({ again: false, expires: END + 3600 + 7 * 86_400 });
    expect(anew.id).not.to.equal(id);
    const listed = await box.run('ann', ['shares'], clock.options);
    expect(listed.stdout.toString()).to.match(
      /EXPIRES\n.* expired .* 2027-01-15 12:00\n.* serving .* 2027-01-22 13:00/,
    );
  });

  it('is not served after a restart, and is again where the clock was only wrong', async () => {
    const box = sandbox();
    const clock = await MovedClock.at(box, 'all', '2027-01-15T09:00:00Z');
    const path = await makeFile(box.path('it'), { bytes: noise('it', MIB) });
    const daemon = await box.daemon('ann', [], clock.options);
    const made = ['share', path, '--hint', 'self', '--expires', NOON, '--json'];
    const { link = '', id } = (await box.run('ann', made, clock.options)).last('shared');
    expectDone(await box.fetch(link, box.path('one'), [], clock.options));
    await daemon.destroy();

    await clock.set('2027-01-15T15:00:00Z');
    const again = await box.daemon('ann', [], clock.options);
    const refused = await box.fetch(link, box.path('two'), [], clock.options);
    expectFailed(refused, 5, 'refused');
    expect(messageOf(refused)).to.equal(
      'cannot fetch: everyone who knows the share refuses it (expired); ask the sharer',
    );

    const behind = await MovedClock.at(box, 'behind', '2027-01-15T10:30:00Z');
    const doubted = await box.fetch(link, box.path('two'), [], behind.options);
    expectFailed(doubted, 5, 'refused');
    expect(messageOf(doubted)).to.match(
      /has expired, and by the clock of this machine it has [12] hours? left: this clock/,
    );

    await clock.set('2027-01-15T10:00:00Z');
    const doctor = await again.says(/the clock has jumped/).then(() => box.run('ann', ['doctor'], clock.options));
    expect(doctor.stdout.toString()).to.match(
      /PROBLEM\s+clock: it has jumped by 5 hours back\n\s+look whether it is right/,
    );
    expectDone(await box.fetch(link, box.path('two'), [], clock.options));
    const [share] = (await box.run('ann', ['shares', '--json'], clock.options)).told[0]?.shares ?? [];
    expect(share).to.include({ id, state: 'serving' });
  });

  it('is refused by the relay that keeps it, also after a restart of that', async () => {
    const box = sandbox();
    const clock = await MovedClock.at(box, 'all', '2027-01-15T09:00:00Z');
    const relay = await Relay.start(box, 'one', clock.options);
    const path = await makeFile(box.path('it'), { bytes: noise('it', 2 * MIB) });
    const made = ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--expires', NOON, '--json'];
    const shared = await box.run('ann', made, clock.options);
    expectDone(shared);
    const { link = '' } = shared.last('shared');
    expect(shared.told.find(({ state }) => state === 'stored')).to.include({ until: END });
    expectDone(await box.fetch(link, box.path('in time'), [], clock.options));
    const kept = await relay.blockFiles();
    await clock.set('2027-01-15T12:00:01Z');
    expectFailed(await box.fetch(link, box.path('late'), [], clock.options), 5, 'refused');
    await relay.kill();
    await relay.again();
    expectFailed(await box.fetch(link, box.path('late'), [], clock.options), 5, 'refused');
    expect(await relay.blockFiles(), 'removed only once the clock can be believed').to.deep.equal(kept);
    const again = ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json'];
    const endless = await box.run('ann', again, clock.options);
    expectDone(endless);
    expect(endless.last('shared')).to.include({ again: false }).and.not.to.have.property('expires');
  });

  it('comes with a warning where a relay has another time, and the doctor names the hours', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const right = new Date(Date.now() - 5 * 3_600_000).toISOString();
    const clock = await MovedClock.at(box, 'home', right);
    const path = await makeFile(box.path('it'), { bytes: noise('it', 1000) });
    expectDone(await box.run('ann', ['relays', 'add', relay.origin, '--json'], clock.options));
    const warning = /the clock of this machine is 5 hours behind that of the relay \S+: one of them is wrong/;
    const sharing = box.start('ann', ['share', path, '--no-relay', '--expires', '2d'], clock.options);
    await sharing.says(warning);
    await sharing.interrupt();
    const listed = await box.run('ann', ['shares'], clock.options);
    expect(listed.stderr).to.match(warning);
    const doctor = await box.run('ann', ['doctor'], clock.options);
    expect(doctor.code).to.equal(1);
    expect(doctor.stdout.toString()).to.match(
      /PROBLEM\s+clock: the clock of this machine is 5 hours behind that of the relay/,
    );

    // Set right, and compared again.
    await clock.set(new Date().toISOString());
    expectDone(await box.run('ann', ['relays', 'show', relay.origin, '--json'], clock.options));
    expect((await box.run('ann', ['shares'], clock.options)).stderr).to.equal('');
    await rm(path);
  });

  it('is not made by an end that is none, which says what was understood', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 9) });
    for (const [when, why] of [
      ['30m', 'it is too soon; give an hour or more'],
      ['2020-01-01', 'it means 2020-01-02 00:00, which has passed'],
      ['soon', 'it is neither a duration nor a date'],
    ] as const) {
      const ended = await box.run('ann', ['share', path, '--expires', when, '--json'], { env: { TZ: 'UTC' } });
      expectFailed(ended, 2, 'usage');
      expect(messageOf(ended)).to.include(why);
    }
  });
});
