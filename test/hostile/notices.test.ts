/** A home that shares, and others who would end that: notices over the wire, by an implementation of their own (peer.ts). */
import { encode } from '@ipld/dag-cbor';
import { ed25519 } from '@noble/curves/ed25519.js';
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { NOTICE, Owner, statement } from './owners.ts';
import { dagCid, readLink } from './peer.ts';
import { Stage } from './product.ts';

const MiB = 2 ** 20;

describe('Notices to a home that shares', () => {
  let stage: Stage;
  let stranger: Owner;

  beforeEach(async () => {
    stage = await Stage.make();
    stranger = await Owner.start();
  });
  afterEach(async () => {
    await stranger.stop();
    await stage.clear();
  });

  const now = (): number => Math.floor(Date.now() / 1000);

  it('end nothing where they are of those who have the link, or made grants of it, and touch no file', async () => {
    const path = stage.path('file');
    const content = randomBytes(3 * MiB);
    await writeFile(path, content);
    const { link } = await stage.share(path);
    const { id, hints } = readLink(link);
    const [home = ''] = hints;
    const { first } = await stranger.look(home, { id });
    const root = first!.body;
    const seed = randomBytes(32);
    const grant = encode({
      type: 'grant',
      version: 1,
      share: id,
      owner: ed25519.getPublicKey(seed),
      sealed: randomBytes(200),
    });
    const ofGrant = dagCid(grant);
    const said: Record<string, [Uint8Array, Uint8Array]> = {
      'signed by a reader': [statement('withdrawal', { id }, { at: now() }, seed), root],
      'signed by who made a grant of it, with the grant': [statement('withdrawal', { id }, { at: now() }, seed), grant],
      'of that grant, which is not held here': [statement('withdrawal', { id: ofGrant }, { at: now() }, seed), grant],
      'of that grant, with the share block': [statement('withdrawal', { id: ofGrant }, { at: now() }, seed), root],
      'a renewal in its place': [statement('renewal', { id }, { relay: randomBytes(38), until: now() }, seed), root],
      'nothing that can be read': [randomBytes(100), root],
    };
    for (const [what, [signed, block]] of Object.entries(said)) {
      const answer = await stranger.withdraw(home, signed, block);
      expect(answer?.header['type'], what).to.equal('dropped');
    }
    expect((await stranger.look(home, { id })).first?.header['type']).to.equal('hello');
    const fetched = await stage.fetch(link, stage.path('out'));
    expect(fetched.code).to.equal(0);
    expect((await readFile(stage.path('out'))).equals(content)).to.equal(true);
    expect((await readFile(path)).equals(content)).to.equal(true);
  }).timeout(60_000);

  it('cost it neither memory nor its time for others, however many come with blocks as large as there are', async () => {
    await writeFile(stage.path('file'), randomBytes(MiB));
    const { run, link } = await stage.share(stage.path('file'));
    const { id, hints } = readLink(link);
    const [home = ''] = hints;
    const block = randomBytes(MiB);
    const signed = statement('withdrawal', { id: dagCid(block) }, { at: now() }, randomBytes(32));
    const before = await run.look();
    for (let round = 0; round < 20; round++) {
      const wires = await Promise.all(Array.from({ length: 20 }, () => stranger.peer.open(home, NOTICE)));
      await Promise.all(
        wires.map(async wire => {
          await wire.say({ type: 'withdrawal', statement: signed }, block).catch(() => undefined);
          await wire.close().catch(() => undefined);
        }),
      );
    }
    const fetched = await stage.fetch(link, stage.path('out'));
    expect(fetched.code).to.equal(0);
    expect((await run.look()) - before).to.be.below(150);
    expect((await stranger.look(home, { id })).first?.header['type']).to.equal('hello');
  }).timeout(60_000);

  it('are told under the peer id of a share alone that has one of its own, also when all is over', async () => {
    const home = stage.path('home');
    const paths = ['plain', 'apart'].map(name => stage.path(name));
    for (const path of paths) await writeFile(path, randomBytes(MiB));
    const links: string[] = [];
    for (const [path = '', ...more] of [[paths[0]], [paths[1], '--fresh-id']] as string[][]) {
      const run = stage.start(['--json', 'share', '--hint', 'self', ...more, path], home);
      links.push(String((await run.event(({ event }) => event === 'shared'))['link']));
    }
    const [plain, apart] = links.map(readLink);
    const [main = ''] = plain!.hints;
    const ended = await stage.start(['--json', 'withdraw', apart!.id.toString(), '--yes'], home).ended;
    expect(ended.code).to.equal(0);
    const refused = (await stranger.look(apart!.hints[0]!, apart!)).first!;
    expect(refused.header).to.include({ type: 'refuse', reason: 'withdrawn' });
    const silent = async (): Promise<void> => {
      expect((await stranger.look(main, apart!)).first?.header).to.include({ type: 'refuse', reason: 'unknown' });
      const signed = refused.header['statement'] as Uint8Array;
      expect((await stranger.withdraw(main, signed, refused.body))?.header['type']).to.equal('dropped');
    };
    await silent();
    expect((await stage.start(['--json', 'forget', apart!.id.toString()], home).ended).code).to.equal(0);
    await silent();
    expect((await stranger.look(main, plain!)).first?.header['type']).to.equal('hello');
  }).timeout(60_000);
});
