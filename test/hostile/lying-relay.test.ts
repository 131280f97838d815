import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { Stage, type Event, type Run } from './product.ts';
import { honestRelay, LIES, lyingRelay, type Lie, type LyingRelay } from './lying-relays.ts';

/** Three chunks. */
const CONTENT = randomBytes(2_500_000);

describe('A home, with a relay of its choice that can not be relied on,', () => {
  let stage: Stage;
  let path: string;
  const relays: LyingRelay[] = [];

  before(async () => {
    stage = await Stage.make();
    path = stage.path('file.bin');
    await writeFile(path, CONTENT);
  });
  after(() => stage.clear());
  afterEach(async () => {
    await Promise.all(relays.splice(0).map(relay => relay.stop()));
  });

  const start = async (lie: Lie): Promise<LyingRelay> => {
    const relay = await lyingRelay(lie);
    relays.push(relay);
    return relay;
  };

  /** Shares, and waits for what becomes of the copy. */
  const leave = async (relay: LyingRelay, home: string): Promise<{ run: Run; copy: Event }> => {
    const run = stage.start(['--json', 'share', path, '--relay', relay.address, '--wait-copies', '1'], home);
    const copy = await run.event(({ event, state }) => event === 'copy' && (state === 'stored' || state === 'failed'));
    return { run, copy };
  };

  it('believes one that does as it says', async () => {
    const relay = await start(honestRelay);
    const { run, copy } = await leave(relay, stage.path('honest'));
    expect(copy, String(copy['why'])).to.include({ state: 'stored', sampled: 3 });
    expect((await run.ended).code).to.equal(0);
  }).timeout(40_000);

  for (const [what, { why, ...lie }] of Object.entries(LIES)) {
    it(`never says that the share is kept by one that ${what}`, async () => {
      const relay = await start(lie);
      const home = stage.path(what.replaceAll(/\W/g, '-'));
      const { run, copy } = await leave(relay, home);
      expect(copy['state']).to.equal('failed');
      expect(copy['why']).to.match(why);
      expect(run.child.exitCode, 'it goes on serving').to.equal(null);
      const { id } = await run.event(({ event }) => event === 'shared');
      const ended = await run.stop();
      expect(ended.code).to.equal(130);
      expect(ended.events.some(({ state }) => state === 'stored')).to.equal(false);
      const verified = await stage.start(['--json', 'verify', String(id), '--repair'], home).ended;
      expect(verified.code, verified.stdout.toString()).to.equal(3);
      const done = verified.events.find(({ event }) => event === 'done');
      expect(done).to.deep.include({ copies: 0, repaired: 0 });
      const holders = done?.['holders'] as Record<string, unknown>[];
      expect(holders.map(({ peer }) => peer)).to.deep.equal([relay.id]);
      expect(holders[0]?.['problem']).to.be.a('string');
    }).timeout(60_000);
  }
});
