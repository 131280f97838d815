import { expect } from 'chai';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFolders } from '../../src/files/folders.ts';

describe('making folders', () => {
  let root: string;
  beforeEach(async () => (root = await mkdtemp(join(tmpdir(), 'shoal-folders-'))));
  afterEach(() => rm(root, { recursive: true }));

  const failure = (path: string): Promise<string | undefined> =>
    makeFolders(path).then(
      () => undefined,
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    );

  it('makes those that are missing, with the mode for each, and leaves those that are there', async () => {
    await makeFolders(join(root, 'a/b/c'), 0o700);
    await makeFolders(join(root, 'a/b'), 0o777);
    for (const path of ['a', 'a/b', 'a/b/c']) expect((await stat(join(root, path))).mode & 0o777).to.equal(0o700);
  });

  it('fails where something else is in the way', async () => {
    await writeFile(join(root, 'file'), '');
    expect(await failure(join(root, 'file'))).to.equal('EEXIST');
    expect(await failure(join(root, 'file/below/it'))).to.equal('ENOTDIR');
  });

  (process.platform === 'linux' ? it : it.skip)('fails where the system lets nobody make any', async () => {
    expect(await failure('/proc/shoal/below')).to.equal('ENOENT');
  });
});
