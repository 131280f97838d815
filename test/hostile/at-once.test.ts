import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { linkOf, PIECE, shareOfFile } from './peer.ts';
import { Stage } from './product.ts';
import { answer, greet, serve, type Server } from './servers.ts';

/** Pieces after which a kill leaves something to go on from. */
const JOURNALED = 16;
const BLOCK_MS = 50;

describe('Several at once', () => {
  const content = randomBytes(6_000_000);
  let stage: Stage;
  let server: Server | undefined;

  before(async () => {
    stage = await Stage.make();
    await mkdir(stage.path('folder'));
    await writeFile(stage.path('folder', 'file'), content);
  });
  after(async () => {
    await server?.stop();
    await stage.clear();
  });

  it('share the same files from one home and from two, and fetch them to one place and to two', async () => {
    const home = stage.path('home-shared');
    const sharing = [home, home, stage.path('home-other')].map(each =>
      stage.start(['--json', 'share', '--hint', 'self', stage.path('folder')], each),
    );
    const shared = await Promise.all(sharing.map(run => run.event(({ event }) => event === 'shared')));
    const links = shared.map(({ link }) => String(link));
    const places = [
      [links[0]!, stage.path('same')],
      [links[0]!, stage.path('same')],
      [links[1]!, stage.path('elsewhere')],
      [links[2]!, stage.path('other')],
    ] as const;
    const ended = await Promise.all(places.map(([link, output]) => stage.fetch(link, output)));
    const [one, two, ...others] = ended.map(({ code }) => code);
    expect([one, two], 'to one place').to.include(0);
    for (const { code, events } of ended.slice(0, 2)) {
      if (code !== 0) expect(events.at(-1)?.['code']).to.be.oneOf(['in-use', 'exists']);
    }
    expect(others).to.deep.equal([0, 0]);
    for (const [, output] of places) expect((await readFile(`${output}/file`)).equals(content)).to.be.true;
    expect((await readdir(stage.folder)).filter(name => name.startsWith('.shoal-'))).to.deep.equal([]);
    for (const run of sharing) expect((await run.stop()).code).to.equal(130);
  }).timeout(60_000);

  it('leave no lock when they are killed, and a fetch goes on', async () => {
    const large = randomBytes(30 * PIECE);
    const share = shareOfFile('file', large);
    server = await serve(share, async talk => {
      await greet(talk);
      await answer(talk, async (wanted, chunk) => {
        await sleep(BLOCK_MS);
        await talk.wire.say({ type: 'block', ...wanted }, chunk);
      });
    });
    const link = linkOf(share, [server.hint]);
    const run = stage.start(['--json', 'fetch', '-o', stage.path('killed'), link]);
    await run.event(({ event, doneBytes }) => event === 'progress' && Number(doneBytes) > JOURNALED * PIECE);
    run.child.kill('SIGKILL');
    await run.ended;
    const again = await stage.fetch(link, stage.path('killed'));
    expect(again.code, again.stdout.toString()).to.equal(0);
    expect(again.events.map(({ event }) => event)).to.include('resumed');
    expect((await readFile(stage.path('killed'))).equals(large)).to.be.true;

    const home = stage.path('home-killed');
    const args = ['--json', 'share', stage.path('folder')];
    const sharer = stage.start(args, home);
    await sharer.event(({ event }) => event === 'shared');
    sharer.child.kill('SIGKILL');
    await sharer.ended;
    const next = stage.start(args, home);
    await next.event(({ event }) => event === 'shared');
    expect((await next.stop()).code).to.equal(130);
  }).timeout(60_000);
});
