import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { linkOf, shareOfFile, type Share } from './peer.ts';
import { Stage, type Ended } from './product.ts';
import {
  BREAKERS,
  dripping,
  honest,
  LIARS,
  refusing,
  refusingAfter,
  serve,
  silent,
  type Behaviour,
  type Server,
} from './servers.ts';

/** All of a process, its threads and what it has mapped of Node itself; without an attack it is about 200. */
const MAX_PEAK_MIB = 300;
/** Hints in a link, of which one is the honest server. */
const AT_ONCE = 7;
const NAME = 'file.bin';
const REASONS = ['unknown', 'blocked', 'withdrawn', 'expired', 'changed', 'busy', 'over-quota'] as const;
/** What is no reason to cut a server off. */
const TOLERATED = new Set([
  'endless have',
  'endless lacks',
  'a flood of tiny messages after the hello',
  'everything at first, then lacks everything',
  'has nothing',
  'credit without end',
]);

describe('A fetch, among hostile servers,', () => {
  const content = randomBytes(12 * 2 ** 20 + 12_345);
  const share = shareOfFile(NAME, content);
  const servers: Server[] = [];
  let stage: Stage;

  before(async () => (stage = await Stage.make()));
  after(() => stage.clear());
  afterEach(async () => {
    await Promise.all(servers.splice(0).map(server => server.stop()));
  });

  const start = async (behaviour: Behaviour, first?: Promise<unknown>, of: Share = share): Promise<Server> => {
    const server = await serve(of, behaviour, first);
    servers.push(server);
    return server;
  };

  /** Fetches from hostile servers, and from an honest one that answers when each of them has had its turn. */
  const fetchAmong = async (hostile: readonly Server[], output: string): Promise<Ended> => {
    const good = await start(honest, Promise.all(hostile.map(({ done }) => done)));
    return await stage.fetch(
      linkOf(
        share,
        [...hostile, good].map(({ hint }) => hint),
      ),
      stage.path(output),
    );
  };

  const expectComplete = async (ended: Ended, output: string): Promise<void> => {
    expect(ended.code, said(ended)).to.equal(0);
    expect((await readFile(stage.path(output))).equals(content), 'the same bytes').to.be.true;
    expect(ended.peakMiB, 'MiB at most').to.be.lessThan(MAX_PEAK_MIB);
    expect(ended.stderr.toString()).to.equal('');
  };

  it('completes from an honest one while one lies, one is silent and one drips', async () => {
    const liar = await start(LIARS['wrong bytes of the right length']!);
    const [quiet, slow, good] = [await start(silent), await start(dripping), await start(honest)];
    const link = linkOf(
      share,
      [liar, quiet, slow, good].map(({ hint }) => hint),
    );
    await expectComplete(await stage.fetch(link, stage.path('four')), 'four');
    expect(liar.log.hellos, 'the liar is asked once').to.equal(1);
    expect(good.log.asked.length).to.be.greaterThan(0);
  }).timeout(40_000);

  for (const [n, names] of inGroups(Object.keys(LIARS)).entries()) {
    it(`asks none again who sent ${names.join(', ')}`, async () => {
      const liars = await Promise.all(names.map(name => start(LIARS[name]!)));
      const ended = await fetchAmong(liars, `liars-${n}`);
      await expectComplete(ended, `liars-${n}`);
      for (const [i, { id, log }] of liars.entries()) {
        expect(log.hellos, names[i]).to.equal(1);
        // What was asked already when it lied, and one block more for the one that came.
        expect(log.asked.length - (log.askedBeforeLie ?? 0), names[i]).to.be.at.most(1 + 4);
        expect(ended.events, names[i]).to.deep.include({ event: 'lost', peer: id, why: 'sent wrong bytes' });
      }
    }).timeout(40_000);
  }

  for (const [n, names] of inGroups(Object.keys(BREAKERS)).entries()) {
    it(`survives ${names.join(', ')}`, async () => {
      const breakers = await Promise.all(names.map(name => start(BREAKERS[name]!)));
      const ended = await fetchAmong(breakers, `breakers-${n}`);
      await expectComplete(ended, `breakers-${n}`);
      for (const [i, { id, log }] of breakers.entries()) {
        if (TOLERATED.has(names[i]!)) continue;
        const lines = ended.events.filter(({ event, peer }) => event === 'lost' && peer === id);
        expect(lines.length, names[i]).to.be.within(1, log.hellos);
        for (const { why } of lines) expect(why, names[i]).to.match(/^[^\n]{5,300}$/);
      }
    }).timeout(40_000);
  }

  it('completes whatever reasons others have to refuse, and when one refuses half-way', async () => {
    const refusals = REASONS.map(reason =>
      refusing({ reason, detail: 'no', until: 2 ** 53 - 1, retryAfter: 2 ** 53 - 1 }),
    );
    const refusers = await Promise.all(
      [...refusals.slice(1), refusingAfter(3, { reason: 'changed' })].map(each => start(each)),
    );
    await expectComplete(await fetchAmong(refusers, 'refused'), 'refused');
  }).timeout(40_000);

  it('ends with the code that fits when everyone refuses', async () => {
    const exitCodes = { unknown: 3, blocked: 5, changed: 6, busy: 3 };
    await Promise.all(
      Object.entries(exitCodes).map(async ([reason, exitCode]) => {
        const { hint } = await start(refusing({ reason, retryAfter: 2 ** 53 - 1 }));
        const ended = await stage.fetch(
          linkOf(share, [hint]),
          stage.path(`alone-${reason}`),
          '--timeout',
          exitCode === 3 ? '2s' : '20s',
        );
        expect(ended.code, `${reason}: ${said(ended)}`).to.equal(exitCode);
        expect(ended.events.at(-1), reason).to.include({ event: 'error', exitCode });
      }),
    );
  }).timeout(40_000);
});

/** Groups that fit into one link beside an honest server. */
function inGroups(names: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(names.length / AT_ONCE) }, (_, n) =>
    names.slice(n * AT_ONCE, (n + 1) * AT_ONCE),
  );
}

function said({ stdout, stderr }: Ended): string {
  return `${stdout.toString()}${stderr.toString()}`;
}
