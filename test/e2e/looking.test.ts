/** Looking before a fetch and after it, and carrying what others share: with real processes. */
import { expect } from 'chai';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PIECE_BYTES } from '../../src/limits.ts';
import { expectDone, expectFailed, portOf, TEST_TIMEOUT_MS, through, useSandbox } from './harness.ts';
import { useLines } from './line.ts';
import { makeFile, makePlainTree, noise } from './tree.ts';

const MIB = 1024 * 1024;

describe('looking and carrying', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();
  const lineTo = useLines();

  /** All files below a folder with their sizes and times. */
  const everything = async (folder: string): Promise<string[]> => {
    const entries = await readdir(folder, { recursive: true });
    const lines = entries.map(async entry => {
      const { size, mtimeMs } = await stat(join(folder, entry));
      return `${entry} ${size} ${mtimeMs}`;
    });
    return (await Promise.all(lines)).sort();
  };

  it('a dry run writes nothing, not even a home, and ends as the fetch would', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('tree'), 3 * MIB, 'dry');
    const { link, command } = await box.share('ann', tree);
    const before = await everything(box.folder);
    const dry = await box.fetch(link, box.path('to'), ['--dry-run']);
    expectDone(dry);
    expect(dry.told).to.have.lengthOf(1);
    expect(dry.told[0]).to.include({ name: 'tree', standing: 'nothing', path: box.path('to') });
    expect((await everything(box.folder)).filter(line => !line.startsWith('homes/ann'))).to.deep.equal(
      before.filter(line => !line.startsWith('homes/ann')),
    );
    expectDone(await box.fetch(link, box.path('to')));
    expect((await box.fetch(link, box.path('to'), ['--dry-run'])).told[0]).to.include({ standing: 'complete' });
    expect((await box.fetch(link, box.folder, ['--dry-run'])).told[0], 'what was shared').to.include({
      standing: 'complete',
      path: tree,
    });
    await makeFile(box.path('taken'), { bytes: noise('x', 10) });
    const taken = await box.fetch(link, box.path('taken'), ['--dry-run']);
    expect([taken.code, taken.told.length, taken.told[0]?.standing]).to.deep.equal([1, 1, 'other']);
    await command.interrupt();
    const args = ['fetch', link, '-o', box.path('x'), '--dry-run', '--json', '--timeout', '1s'];
    expectFailed(await box.run('bob', args), 3, 'not-found');
  });

  it('an explained fetch shows its stages, and where it ended with what to do', async () => {
    const box = sandbox();
    const { link, command } = await box.share('ann', await makeFile(box.path('it'), { bytes: noise('it', MIB) }));
    const well = await box.fetch(link, box.path('to'), ['--explain']);
    expectDone(well);
    const stages = new Map(well.last('explained').stages?.map(({ stage, outcome }) => [stage, outcome]));
    expect(stages.get('hint')).to.equal('1 address, 1 answered');
    expect(stages.get('mDNS')).to.equal('off');
    expect(stages.get('proof')).to.equal('1 of 1 peer has it');
    expect(stages.get('on disk')).to.equal('in its place, durable');
    await command.interrupt();
    const args = ['-o', box.path('x'), '--explain', '--json', '--timeout', '1s'];
    const gone = await box.run('bob', ['fetch', link, ...args]);
    expectFailed(gone, 3, 'not-found');
    expect(gone.last('explained')).to.include({ failed: 'dial' });
    expect(gone.last('explained').stages?.find(({ stage }) => stage === 'dial')?.outcome).to.contain('ECONNREFUSED');
    const unhinted = link.replace(/@.*/, '');
    const lost = await box.run('bob', ['fetch', unhinted, ...args]);
    expect(lost.last('explained').next).to.contain('--bootstrap');
    expect(lost.last('error').message).to.contain('the local network and the DHT are off');
    expect(lost.last('error').message).to.contain('--bootstrap');
  });

  it('a copy is checked by what the home knows, or by what peers have', async () => {
    const box = sandbox();
    const tree = await makePlainTree(box.path('tree'), 3 * MIB, 'check');
    const { link, command } = await box.share('ann', tree);
    expectDone(await box.fetch(link, box.path('to')));
    const exact = await box.run('bob', ['check', link, box.path('to'), '--json']);
    expectDone(exact);
    expect(exact.told).to.have.lengthOf(1);
    expect(exact.told[0]).to.include({ exact: true, name: 'tree' });
    await command.interrupt();

    // Nobody serves it any more.
    const unhinted = link.replace(/@.*/, '');
    await rename(box.path('to', 'rest'), box.path('to', 'renamed'));
    const changed = await box.run('ann', ['check', unhinted, box.path('to'), '--json']);
    expect(changed.code).to.equal(1);
    expect(changed.told[0]?.exact).to.equal(false);
    const told = changed.told[0]?.differences?.map(({ what, path }) => `${what} ${path}`);
    expect(told).to.include.members(['missing rest', 'extra renamed']);
    expectFailed(await box.run('bob', ['check', unhinted, tree, '--json', '--timeout', '1s']), 3, 'not-found');
    expectFailed(await box.run('ann', ['check', unhinted, box.path('nowhere'), '--json']), 1, 'io');
  });

  it('a seed goes on after a kill, serves by then what it has, and in the end all of it without the sharer', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 24 * PIECE_BYTES) });
    const { link, id, command } = await box.share('ann', path);
    const line = await lineTo(link);
    const holding = line.holdAfter(9 * MIB);
    const first = box.start('carrier', ['seed', through(link, line.port), '--json']);
    await holding;
    await first.event('progress');

    const addresses = async (): Promise<string> => {
      const shown = await box.run('carrier', ['show', id, '--link']);
      expect(shown.code).to.equal(0);
      return shown.stdout.toString('utf8').trim();
    };
    expect((await addresses()).split('@')[0]).to.equal(link.split('@')[0]);
    const partly = (await box.run('carrier', ['show', id, '--json'])).told[0];
    expect(partly).to.include({ name: 'it', state: 'serving', chunks: 25 });
    expect(partly?.chunksKept).to.be.within(1, 24);
    await first.destroy();
    line.release();

    const second = box.start('carrier', ['seed', link, '--json']);
    expect((await second.event('seeding')).id).to.equal(id);
    expect((await second.event('resumed')).bytes).to.be.at.least(PIECE_BYTES);
    await command.interrupt();
    await rm(path);
    const local = await box.run('carrier', ['fetch', link.replace(/@.*/, ''), '-o', box.path('local'), '--json']);
    expectDone(local);
    expect(local.last('done').found).to.equal('local');
    // The sharer's home makes a link to the one that carries it now.
    const hinted = box.start('carrier', ['share', box.path('local'), '--json', '--hint', 'self']);
    const carrier = (await hinted.event('shared')).addresses ?? [];
    const viaCarrier = `${link.split('@')[0] ?? ''}@${carrier.join(',')}`;
    expectDone(await box.fetch(viaCarrier, box.path('got')));
    expect(await readFile(box.path('got'))).to.deep.equal(await readFile(box.path('local')));

    expectDone(await box.run('carrier', ['forget', id, '--json']));
    expect((await second.ended).code).to.equal(0);
    expect(await readdir(box.path('homes', 'carrier', 'blocks'))).not.to.include(id);
    await hinted.interrupt();
  });

  it('a seed that is not complete already gives what it has', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 12 * PIECE_BYTES) });
    const { link } = await box.share('ann', path);
    const other = box.start('carrier', ['share', box.path('it'), '--json', '--new']);
    const carrier = (await other.event('shared')).addresses ?? [];
    const line = await lineTo(link);
    const holding = line.holdAfter(8 * MIB);
    const seeding = box.start('carrier', ['seed', through(link, line.port), '--json']);
    await holding;
    await seeding.event('progress');
    const viaCarrier = `${link.split('@')[0] ?? ''}@${carrier.join(',')}`;
    const part = await box.run('bob', ['fetch', viaCarrier, '-o', box.path('got'), '--json', '--timeout', '2s']);
    expectFailed(part, 3, 'unavailable');
    expect(part.last('progress').doneBytes).to.be.at.least(PIECE_BYTES);
    line.release();
    await seeding.event('seeding');
    expectDone(await box.run('bob', ['fetch', viaCarrier, '-o', box.path('got'), '--json']));
    expect(await readFile(box.path('got'))).to.deep.equal(await readFile(path));
  });

  it('a seed takes over when the command that held the home ends', async () => {
    const box = sandbox();
    const path = await makeFile(box.path('it'), { bytes: noise('it', 2 * MIB) });
    const { link, command } = await box.share('ann', path);
    const holder = await box.share('carrier', await makeFile(box.path('other'), { bytes: noise('o', 1000) }));
    const seeding = box.start('carrier', ['seed', link]);
    await seeding.says(/carrying it \(2\.1 MB\), from 1 peer found by the link/);
    await command.interrupt();
    const port = portOf(holder.link);
    await holder.command.interrupt();
    await seeding.says(/going on/);
    const viaCarrier = `${link.split('@')[0] ?? ''}@${holder.link.split('@')[1] ?? ''}`;
    expect(portOf(viaCarrier)).to.equal(port);
    expectDone(await box.fetch(viaCarrier, box.path('got')));
    expect((await seeding.interrupt()).code).to.equal(130);
  });
});
