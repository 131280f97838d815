/** What can be shared besides one path: several of them, a part of a folder, and what comes from stdin. */
import { expect } from 'chai';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type Told } from './harness.ts';
import { makeFile, makePlainTree, noise, treeAt } from './tree.ts';

const MIB = 1024 * 1024;

describe('a share', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(15_000);
  const sandbox = useSandbox();

  const sharesOf = async (home: string): Promise<readonly Told[]> => {
    const ended = await sandbox().run(home, ['shares', '--json']);
    expectDone(ended);
    return ended.told[0]?.shares ?? [];
  };
  const spoolOf = async (home: string): Promise<string[]> =>
    await readdir(sandbox().path('homes', home, 'spool')).catch(() => []);

  describe('of several paths', () => {
    const NAMES = ['a.bin', 'photos', 'z.txt'] as const;

    /** A file, a folder, and a file of a folder of its own. */
    async function makePlaces(): Promise<readonly [string, string, string]> {
      const box = sandbox();
      return [
        await makeFile(box.path('x', 'a.bin'), {
          bytes: noise('a', 3 * MIB),
          executable: true,
          modified: 1_700_000_000,
        }),
        await makePlainTree(box.path('x', 'photos'), 5 * MIB, 'photos'),
        await makeFile(box.path('y', 'z.txt'), { bytes: noise('z', 10) }),
      ];
    }

    it('is one folder, which has the same link again, in any order', async () => {
      const box = sandbox();
      const [a, photos, z] = await makePlaces();
      const { link, id, shared, command } = await box.share('ann', photos, [a, z, '--name', 'trip', '--note', 'ahoy']);
      expect(shared)
        .to.deep.include({ name: 'trip', paths: [a, photos, z] })
        .and.not.to.have.property('path');
      const ended = await box.fetch(link, box.path('got'));
      expectDone(ended);
      expect(ended.last('opened')).to.include({ name: 'trip', note: 'ahoy' });
      expect((await readdir(box.path('got'))).sort()).to.deep.equal([...NAMES]);
      for (const [n, place] of [a, photos, z].entries()) {
        const got = box.path('got', NAMES[n] ?? '');
        if (n === 1) expect(await treeAt(got)).to.deep.equal(await treeAt(place));
        else expect((await readFile(got)).equals(await readFile(place))).to.equal(true);
      }
      await command.interrupt();
      const again = await box.share('ann', z, [photos, a, z, '--name', 'trip', '--note', 'ahoy']);
      expect([again.id, again.shared.again]).to.deep.equal([id, true]);
      const noted = await box.share('ann', z, [photos, a, '--name', 'trip', '--note', 'other']);
      expect(noted.id).not.to.equal(id);
    });

    it('is missing while one of them is, changed when one is, and forgotten as any other', async () => {
      const box = sandbox();
      const [a, photos, z] = await makePlaces();
      const first = await box.share('ann', photos, [a, z]);
      expect(first.shared.name).to.equal('a.bin, photos and 1 more');
      await rename(z, `${z}.away`);
      expect(await sharesOf('ann')).to.have.lengthOf(1);
      expect((await sharesOf('ann'))[0]).to.include({ state: 'missing', detail: `"${z}" is not there` });
      await rename(`${z}.away`, z);
      expect((await sharesOf('ann'))[0]).to.include({ state: 'serving' });
      expectDone(await box.run('ann', ['export', first.id, '-o', box.path('x.car'), '--json']));
      expectDone(await box.run('bob', ['import', box.path('x.car'), '--json']));
      await writeFile(a, noise('other', 3 * MIB));
      const ended = await box.fetch(first.link, box.path('got'));
      expectFailed(ended, 6, 'changed');
      const changed = await first.command.ended;
      expectFailed(changed, 6, 'changed');
      expect(changed.last('changed').why).to.contain(a);
      const second = await box.share('ann', photos, [a, z]);
      expect(second.id).not.to.equal(first.id);
      for (const { id } of [first, second]) expectDone(await box.run('ann', ['forget', id, '--json']));
      expect(await readdir(box.path('homes', 'ann', 'blocks'))).to.deep.equal([]);
      // What was exported before is there still.
      expectDone(await box.run('bob', ['fetch', first.link, '-o', box.path('got'), '--json', '--timeout', '20s']));
      expect((await readFile(box.path('got', 'a.bin'))).equals(noise('a', 3 * MIB))).to.equal(true);
    });

    it('refuses what can not stand side by side, before anything is read', async () => {
      const box = sandbox();
      const [a, photos] = await makePlaces();
      const other = await makeFile(box.path('y', 'a.bin'));
      const twins = await box.run('ann', ['share', a, other, '--json']);
      expectFailed(twins, 2, 'usage');
      expect(twins.last('error').message).to.contain(`"${a}" and "${other}"`);
      const [inner = ''] = await readdir(photos);
      expectFailed(await box.run('ann', ['share', `${photos}/${inner}`, photos, '--json']), 2, 'usage');
      expect(twins.told.filter(({ event }) => event === 'sealing')).to.deep.equal([]);
    });
  });

  it('of a part of a folder holds that part, and says which globs match nothing', async () => {
    const box = sandbox();
    for (const path of ['src/a.c', 'src/a.o', 'src/node_modules/x/y', 'keep/b.c', 'empty/only.o'])
      await makeFile(box.path('it', path), { bytes: noise(path, 1000) });
    await mkdir(box.path('it', 'hollow'));
    const globs = ['--exclude', '*.o', '--exclude', 'node_modules', '--exclude', '*.none'];
    const { link, command, id } = await box.share('ann', box.path('it'), globs);
    expect(command.told.filter(({ event }) => event === 'unmatched').map(({ glob }) => glob)).to.deep.equal(['*.none']);
    expectDone(await box.fetch(link, box.path('got')));
    const got = Object.keys(await treeAt(box.path('got'))).sort();
    expect(got.filter(path => !/^\.?$/.test(path) && !/\/(src|keep)$/.test(path))).to.deep.equal([
      './hollow',
      './keep/b.c',
      './src/a.c',
    ]);
    await command.interrupt();
    expect((await box.share('ann', box.path('it'), globs)).id).to.equal(id);
    expectFailed(await box.run('ann', ['share', box.path('it'), '--exclude', '*', '--json']), 1, 'not-shareable');
  });

  describe('of stdin', () => {
    const shareStdin = ['share', '-', '--name', 'db.sql', '--json', '--hint', 'self'];

    for (const isHeld of [false, true]) {
      it(`is what came, and goes when it is forgotten, ${isHeld ? 'also where another process holds the home' : 'and is there again after a restart'}`, async () => {
        const box = sandbox();
        const holder = isHeld ? await box.share('ann', await makeFile(box.path('held'))) : undefined;
        const content = noise('stdin', 9 * MIB);
        const input = new PassThrough();
        const command = box.start('ann', shareStdin, { stdin: input });
        input.write(content.subarray(0, 5 * MIB));
        await command.event('reading');
        input.end(content.subarray(5 * MIB));
        const shared = await command.event('shared');
        expect(shared).to.include({ name: 'db.sql', source: 'spooled', state: 'serving', sizeBytes: content.length });
        expect(shared).not.to.have.property('path');
        expectDone(await box.fetch(shared.link ?? '', box.path('got.sql')));
        expect((await readFile(box.path('got.sql'))).equals(content)).to.equal(true);
        expect(await spoolOf('ann')).to.have.lengthOf(1);
        if (holder === undefined) {
          await command.interrupt();
          const other = await box.share('ann', await makeFile(box.path('held')));
          expect((await sharesOf('ann')).map(({ name }) => name).sort()).to.deep.equal(['db.sql', 'held']);
          await other.command.interrupt();
        } else {
          // Who was attached takes over.
          await holder.command.destroy();
          expectDone(await box.fetch(shared.link ?? '', box.path('again.sql')));
        }
        expect(await spoolOf('ann')).to.have.lengthOf(1);
        expectDone(await box.run('ann', ['forget', shared.id ?? '', '--json']));
        expect(await spoolOf('ann')).to.deep.equal([]);
      });
    }

    it('as a copy keeps the copy only', async () => {
      const box = sandbox();
      const content = noise('copy', 2 * MIB);
      const input = new PassThrough();
      const command = box.start('ann', [...shareStdin, '--copy'], { stdin: input });
      input.end(content);
      const { link = '', ...shared } = await command.event('shared');
      expect(shared).to.include({ source: 'copy' }).and.not.to.have.property('path');
      expectDone(await box.fetch(link, box.path('got')));
      expect((await readFile(box.path('got'))).equals(content)).to.equal(true);
      await command.interrupt();
      expect(await spoolOf('ann')).to.deep.equal([]);
    });

    it('leaves nothing when it is interrupted, empty, or wrongly named', async () => {
      const box = sandbox();
      const input = new PassThrough();
      const command = box.start('ann', shareStdin, { stdin: input });
      input.write(noise('x', MIB));
      await command.event('reading');
      expect(await spoolOf('ann')).to.have.lengthOf(1);
      expectFailed(await command.interrupt(), 130, 'interrupted');
      input.destroy();
      expectFailed(await box.run('ann', shareStdin), 1, 'not-shareable');
      const never = new PassThrough();
      const named = await box.run('ann', ['share', '-', '--name', 'a/b', '--json'], { stdin: never });
      never.destroy();
      expectFailed(named, 1, 'bad-name');
      expect(await spoolOf('ann')).to.deep.equal([]);
      expect(await sharesOf('ann')).to.deep.equal([]);
    });

    it('that was killed leaves nothing but what the next holder removes, which takes nothing from who is reading', async () => {
      const box = sandbox();
      const input = new PassThrough();
      const killed = box.start('ann', shareStdin, { stdin: input });
      input.write(noise('x', MIB));
      await killed.event('reading');
      await killed.destroy();
      input.destroy();
      const [left] = await spoolOf('ann');
      expect(left).to.match(/^[0-9a-f]{16}$/);
      const living = new PassThrough();
      const reader = box.start('ann', shareStdin, { stdin: living });
      living.write('it ');
      await reader.event('reading');
      const holder = await box.share('ann', await makeFile(box.path('held')));
      const now = await spoolOf('ann');
      expect(now).to.have.lengthOf(1).and.not.to.include(left);
      living.end('lives');
      const { link = '' } = await reader.event('shared');
      expectDone(await box.fetch(link, box.path('got')));
      expect(await readFile(box.path('got'), 'utf8')).to.equal('it lives');
      await holder.command.interrupt();
    });
  });
});
