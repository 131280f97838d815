/** A node with a home and without a network: what its commands do to each other when several run at once. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ShoalError } from '../../src/errors.ts';
import { spool } from '../../src/files/spool.ts';
import { parseLink } from '../../src/format/link.ts';
import { PIECE_BYTES } from '../../src/limits.ts';
import { ShoalNode } from '../../src/node.ts';
import { failureOf } from '../contract/crypto.ts';

const never = new AbortController().signal;
const quiet = (): void => undefined;

describe('a node', () => {
  let folder: string;
  let node: ShoalNode;
  beforeEach(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'shoal-node-')));
    node = await ShoalNode.start({ home: join(folder, 'home'), holds: true, log: quiet });
  });
  afterEach(async () => {
    await node.stop();
    await rm(folder, { recursive: true });
  });

  const at = (name: string): string => join(folder, name);

  /** Shares a file of random bytes, with a copy of its ciphertext. */
  async function shareFile(name: string, pieces: number): Promise<ReturnType<typeof parseLink>> {
    await writeFile(at(name), randomBytes(pieces * PIECE_BYTES));
    const choices = { exclude: [], spooled: false, skip: false, copy: true, pad: false, anew: false };
    const request = { paths: [at(name)], ...choices, serveAlways: false, hints: [] };
    const { id } = await node.share(request, quiet, never);
    return parseLink(node.linkOf(id, []));
  }

  /** A CAR file of a share that the home then has no more. */
  async function carOf(pieces: number): Promise<{ link: ReturnType<typeof parseLink>; car: string }> {
    const link = await shareFile('shared', pieces);
    await node.export(link.id, at('x.car'), false, quiet, never);
    await node.forget(link.id, never);
    return { link, car: at('x.car') };
  }

  it('puts no hint into a link by which nobody could be found', () => {
    const peer = '/ip4/192.0.2.1/tcp/1/p2p/12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w';
    expect(node.hintsOf([peer, peer]).map(({ text }) => text)).to.deep.equal([peer]);
    expect(node.hintsOf(['relay.example:443']).map(({ kind }) => kind)).to.deep.equal(['relay']);
    for (const bad of ['foo', 'slef:443', 'relay.example:99999', 'https://relay.example'])
      expect(() => node.hintsOf([peer, bad]))
        .to.throw(ShoalError, /^cannot put hint 2 into the link: it is neither "self", a multiaddr like/)
        .and.include({ code: 'usage' });
    expect(() => node.hintsOf(['/ip4/192.0.2.1/tcp/1'])).to.throw(ShoalError, /does not end in \/p2p\/ and a peer id/);
  });

  it('imports all of a share while an import of a part of it fails', async () => {
    const { link, car } = await carOf(4);
    const file = await open(car, 'r');
    const cut = Buffer.alloc(2 * PIECE_BYTES);
    await file.read(cut, 0, cut.length, 0);
    await file.close();
    await writeFile(at('cut.car'), cut);
    const [whole, part] = await Promise.allSettled([car, at('cut.car')].map(path => node.import(path, quiet, never)));
    expect(whole).to.deep.include({ status: 'fulfilled' });
    expect(part).to.deep.include({ status: 'rejected' });
    expect(await node.home?.store.have(link.id)).to.equal('all');
    expect(node.home?.catalog.get(link.id)?.source).to.equal('imported');
  });

  it('takes for what came from stdin only what this home has taken in, and removes it with its share', async () => {
    await writeFile(at('other'), 'x');
    const choices = {
      exclude: [],
      name: 'db.sql',
      skip: false,
      copy: false,
      pad: true,
      anew: false,
      serveAlways: false,
    };
    const shareOf = (...paths: string[]) => node.share({ ...choices, paths, spooled: true, hints: [] }, quiet, never);
    const spooled = await spool(at('home'), Readable.from(['it']), quiet, never);
    const elsewhere = await spool(folder, Readable.from(['it']), quiet, never);
    for (const paths of [[at('other')], [at('home')], [elsewhere.path], [spooled.path, at('other')]]) {
      const error = await failureOf(shareOf(...paths));
      expect(error).to.include({ code: 'usage' });
      expect(error.message).to.contain('this home did not take it in');
    }
    const { id } = await shareOf(spooled.path);
    expect(await shareOf(spooled.path)).to.include({ id, again: true });
    await Promise.all([spooled.close(), elsewhere.close()]);
    const [record] = node.home?.catalog.list() ?? [];
    if (record?.id !== id) throw new Error('it is not in the catalog');
    expect([await node.stateOf(record), node.isSpooled(record)]).to.deep.equal([{ state: 'idle' }, true]);
    expect(await readFile(spooled.path, 'utf8')).to.equal('it');
    await rm(spooled.path);
    expect(await node.stateOf(record)).to.deep.equal({ state: 'missing', detail: `"${spooled.path}" is not there` });
    await node.forget(id, never);
    expect(await readdir(join(at('home'), 'spool'))).to.deep.equal([]);
  });

  it('does not begin to carry what was withdrawn or has expired', async () => {
    const { link } = await carOf(1);
    const { home } = node;
    if (home === undefined) throw new Error('it has a home');
    const { statement, block, at: withdrawnAt } = { statement: new Uint8Array(9), block: new Uint8Array(9), at: 1 };
    home.catalog.withdrawals.add({ id: link.id, share: link.id, statement, block, at: withdrawnAt, isOwn: false });
    home.forgetSources();
    const seedAt = () => failureOf(node.seed(link, 1000, quiet, () => undefined, never));
    expect(await seedAt()).to.include({ code: 'refused' });
    expect((await seedAt()).message).to.match(/^cannot seed: withdrawn by the sharer on \d{4}-\d\d-\d\d;/);
    expect([home.catalog.list(), home.catalog.debris(), await home.store.list()]).to.deep.equal([[], [], []]);

    await rm(at('x.car'));
    const { link: other, car: again } = await carOf(1);
    await node.import(again, quiet, never);
    const record = home.catalog.get(other.id);
    if (record === undefined) throw new Error('it was imported');
    home.catalog.add({ ...record, expires: 3600 }, {});
    home.forgetSources();
    const expired = await failureOf(node.seed(other, 1000, quiet, () => undefined, never));
    expect(expired).to.include({ code: 'refused' });
    expect(expired.message).to.match(/it has expired/);
  });

  it('forgets a share only when an import of it that is under way has ended', async () => {
    const { link, car } = await carOf(4);
    await node.import(car, quiet, never);
    let forgetting: Promise<void> | undefined;
    const onBlock = (): void => void (forgetting ??= node.forget(link.id, never));
    expect(await node.import(car, onBlock, never)).to.include({ complete: true });
    await forgetting;
    expect(node.home?.catalog.list()).to.deep.equal([]);
    expect(await node.home?.store.list()).to.deep.equal([]);
    expect(node.home?.catalog.debris()).to.deep.equal([]);
  });

  it('refuses to import and to forget what it is fetching to keep, and who waits for that can stop waiting', async () => {
    const { link, car } = await carOf(2);
    const stop = new AbortController();
    const fetching = node.fetch({ link, output: at('got'), keep: true, force: false }, quiet, stop.signal);
    const ended = failureOf(fetching);
    try {
      const waiting = new AbortController();
      const imported = node.import(car, quiet, waiting.signal);
      waiting.abort(new Error('stopped'));
      expect(await imported.catch((error: unknown) => error)).to.have.property('message', 'stopped');
      const refused = [node.import(car, quiet, never), node.forget(link.id, never)].map(failureOf);
      for (const error of await Promise.all(refused)) {
        expect(error).to.include({ code: 'in-use' });
        expect(error.message).to.contain('another command of this home');
      }
    } finally {
      stop.abort(new ShoalError('interrupted', 'stopped'));
    }
    expect(await ended).to.include({ code: 'interrupted' });
    expect(await node.import(car, quiet, never)).to.include({ complete: true });
  });

  it('imports ordinary files only, and does not wait for anything else', async function () {
    if (process.platform === 'win32') this.skip();
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [at('fifo')]);
    let other: FileHandle | undefined;
    try {
      for (const path of [at('fifo'), '/dev/zero', folder]) {
        const error = await failureOf(node.import(path, quiet, never));
        expect(error).to.include({ code: 'usage' });
        expect(error.message).to.contain('ordinary file');
      }
      expect(await failureOf(node.import(at('none'), quiet, never))).to.include({ code: 'io' });
    } finally {
      // Frees a thread that waits for a writer, if there is one.
      other = await open(at('fifo'), 'r+');
      await other.close();
    }
  });
});
