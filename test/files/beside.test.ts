/** Writing one file beside its place, on a real file system. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeBeside } from '../../src/files/beside.ts';
import type { OpenFile } from '../../src/ports.ts';
import { failsWith } from '../contract/directory.ts';

describe('A file written beside its place', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-beside-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const say =
    (text: string) =>
    (file: OpenFile): Promise<void> =>
      file.write(Buffer.from(text), 0);

  it('gets there whole, replaces only when told to, and leaves nothing else', async () => {
    const path = join(folder, 'x.car');
    await writeBeside(path, false, say('one'));
    const notEvenBegun = (): Promise<void> => expect.fail('it was written');
    await failsWith('exists', writeBeside(path, false, notEvenBegun));
    expect(await readFile(path, 'utf8')).to.equal('one');
    await writeBeside(path, true, say('three'));
    expect(await readFile(path, 'utf8')).to.equal('three');
    expect(await readdir(folder)).to.deep.equal(['x.car']);
  });

  it('replaces nothing that has come meanwhile', async () => {
    const path = join(folder, 'x.car');
    const writing = writeBeside(path, false, () => writeFile(path, 'meanwhile'));
    await failsWith('exists', writing);
    expect(await readFile(path, 'utf8')).to.equal('meanwhile');
    expect(await readdir(folder)).to.deep.equal(['x.car']);
  });

  it('is not there at all when writing fails', async () => {
    const failure = new Error('no more');
    const writing = writeBeside(join(folder, 'x.car'), false, () => Promise.reject(failure));
    expect(await writing.catch((error: unknown) => error)).to.equal(failure);
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('takes the place of what a killed run has left, and of nothing that another run is writing', async () => {
    const path = join(folder, 'x.car');
    let part = '';
    await writeBeside(path, false, async file => {
      [part = ''] = await readdir(folder);
      await failsWith('in-use', writeBeside(path, false, say('at once')));
      await say('first')(file);
    });
    await mkdir(join(folder, part));
    await writeFile(join(folder, part, 'output'), 'half of what a killed r');
    await writeBeside(path, true, say('whole'));
    expect(await readFile(path, 'utf8')).to.equal('whole');
    expect(await readdir(folder)).to.deep.equal(['x.car']);
  });
});
