/** What comes from stdin, on a real disk: taken in, given to a share, given up, and left by a crash. */
import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { dropSpooled, giveToShare, isSpooled, spool, spoolFolder, sweepSpool } from '../../src/files/spool.ts';
import { someId } from '../contract/catalog.ts';
import { failsWith } from '../contract/directory.ts';

const NEVER = new AbortController().signal;
const nothing = (): void => undefined;

describe('What comes from stdin', () => {
  let home: string;
  let folder: string;
  beforeEach(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'shoal-spool-')));
    folder = await spoolFolder(home);
  });
  afterEach(() => rm(home, { recursive: true }));

  const take = (...parts: (string | Uint8Array)[]) => spool(home, Readable.from(parts), nothing, NEVER);
  const runs = async (): Promise<string[]> => await readdir(folder).catch(() => []);

  it('is kept whole, for its user only, and told of as it comes', async () => {
    const told: number[] = [];
    const input = Readable.from([Buffer.from('abc'), Buffer.alloc(100_000, 'x'), 'ü']);
    const spooled = await spool(home, input, bytes => told.push(bytes), NEVER);
    expect(told).to.deep.equal([3, 100_003, 100_005]);
    expect(await readFile(spooled.path, 'utf8')).to.equal(`abc${'x'.repeat(100_000)}ü`);
    if (process.platform !== 'win32') {
      const modes = await Promise.all(
        [spooled.path, dirname(spooled.path), folder].map(async path => (await stat(path)).mode),
      );
      expect(modes.map(mode => (mode & 0o777).toString(8))).to.deep.equal(['600', '700', '700']);
    }
    expect(isSpooled(folder, spooled.path)).to.equal(true);
    await spooled.close();
  });

  it('is known by its place, and nothing else is', async () => {
    const spooled = await take('x');
    for (const other of [
      folder,
      dirname(spooled.path),
      join(dirname(spooled.path), 'lock'),
      join(home, 'content'),
      join(folder, 'content'),
      join(folder, '..', '0123456789abcdef', 'content'),
      join(folder, 'removed-0123456789abcdef', 'content'),
      `${folder}/../${spooled.path}`,
    ])
      expect(isSpooled(folder, other), other).to.equal(false);
    await spooled.close();
  });

  it('is removed when it is given up', async () => {
    const spooled = await take('x');
    await spooled.close();
    await spooled.close();
    expect(await runs()).to.deep.equal([]);
    await failsWith('io', giveToShare(spooled.path, someId()));
  });

  it('stays once it was given to a share, and goes with that', async () => {
    const [a, b] = [await take('a'), await take('b')];
    const [ofA, ofB] = [someId(), someId()];
    await giveToShare(a.path, ofA);
    await giveToShare(b.path, ofB);
    await failsWith('io', giveToShare(a.path, someId()));
    for (const spooled of [a, b]) await spooled.close();
    await sweepSpool(folder);
    expect(await runs()).to.have.lengthOf(2);
    await dropSpooled(folder, ofA);
    expect(await readFile(b.path, 'utf8')).to.equal('b');
    expect(await runs()).to.have.lengthOf(1);
    await dropSpooled(folder, ofB);
    await dropSpooled(folder, someId());
    expect(await runs()).to.deep.equal([]);
  });

  it('is not taken from who took it in when the share that was begun with it is dropped', async () => {
    const spooled = await take('x');
    const [first, second] = [someId(), someId()];
    await giveToShare(spooled.path, first);
    await dropSpooled(folder, first);
    expect(await readFile(spooled.path, 'utf8')).to.equal('x');
    // Another process may share it now, as when the first one was killed.
    await giveToShare(spooled.path, second);
    await spooled.close();
    expect(await readFile(spooled.path, 'utf8')).to.equal('x');
  });

  it('is swept away when nobody has it, and never while somebody does', async () => {
    const input = new PassThrough();
    const came = Promise.withResolvers<number>();
    const taking = spool(home, input, came.resolve, NEVER);
    input.write('x');
    await came.promise;
    await sweepSpool(folder);
    input.end('y');
    const spooled = await taking;
    await sweepSpool(folder);
    expect(await readFile(spooled.path, 'utf8')).to.equal('xy');
    await giveToShare(spooled.path, someId());
    await spooled.close();
    // A crash before a mark was whole, and one while a run was removed.
    await writeFile(join(dirname(spooled.path), 'share'), '');
    const unmarked = await take('z');
    await giveToShare(unmarked.path, someId());
    await unmarked.close();
    await rm(join(dirname(unmarked.path), 'share'));
    await writeFile(join(folder, 'removed-0123456789abcdef'), '');
    await writeFile(join(folder, 'of somebody else'), '');
    await sweepSpool(folder);
    expect(await runs()).to.deep.equal(['of somebody else']);
  });

  it('is refused when it is nothing, and leaves nothing', async () => {
    const error = await failsWith('not-shareable', take());
    expect(error.message).to.contain('nothing came');
    await failsWith('not-shareable', take('', new Uint8Array()));
    expect(await runs()).to.deep.equal([]);
  });

  it('leaves nothing when it breaks off, or is stopped', async () => {
    const broken = new PassThrough();
    const breaking = spool(home, broken, () => broken.destroy(new Error('EIO')), NEVER);
    broken.write('x');
    expect((await failsWith('io', breaking)).message).to.contain('cannot read stdin to its end: EIO');
    const closed = new PassThrough();
    const closing = spool(home, closed, () => closed.destroy(), NEVER);
    closed.write('x');
    await failsWith('io', closing);
    const input = new PassThrough();
    const [stop, reason] = [new AbortController(), new Error('stopped')];
    const stopped = spool(home, input, () => stop.abort(reason), stop.signal);
    input.write('x');
    expect(await stopped.catch((error: unknown) => error)).to.equal(reason);
    if (!input.closed) await once(input, 'close');
    expect(await spool(home, input, nothing, stop.signal).catch((error: unknown) => error)).to.equal(reason);
    expect(await runs()).to.deep.equal([]);
  });
});
