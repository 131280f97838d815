import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { useLan } from '../e2e/lan.ts';
import { dhtServer, GET_PROVIDERS, keyOf, toldOf } from './kad.ts';
import { Owner } from './owners.ts';
import { linkOf, Peer, readLink, rendezvous, shareOfFile, today, type Share } from './peer.ts';
import { Stage, type Ended, type Place } from './product.ts';
import { Relay } from './relays.ts';
import { honest, serveOn } from './servers.ts';
import { silentPort, startSybils, strangers, sybilSeeds, type Saying, type Sybils } from './sybils.ts';

const STALE = 50;
/** A fetch that nobody disturbs takes two; machines that test have much else to do. */
const SECONDS = 30;
/** Sybils that a fetch begins at; it hears of the others. */
const MET = 4;
const PLAIN = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--dht', 'client'];
const notThere = strangers(100);

/** What a crowd says that has taken the places around a key. */
const SAYINGS: Readonly<Record<string, Saying>> = {
  'name each other': (_query, closer) => ({ closer }),
  'know nobody': () => ({}),
  'never answer': () => undefined,
  'say that they have it, and stall': ({ type }, closer) => ({
    closer,
    ...(type === GET_PROVIDERS ? { providers: closer } : {}),
  }),
  'name a hundred who are not there': ({ type }, closer) => ({
    closer,
    ...(type === GET_PROVIDERS ? { providers: notThere } : {}),
  }),
};

type Fetched = Ended & { readonly output: string; readonly seconds: number };

describe('A fetch, where the DHT is hostile,', () => {
  const content = randomBytes(2_500_000);
  const share = shareOfFile('file.bin', content);
  const key = keyOf(rendezvous(share.id, today()));
  const seeds = sybilSeeds(key);
  const stops: (() => Promise<unknown>)[] = [];
  let stage: Stage;
  let holder: Peer;
  let fetches = 0;

  before(async () => {
    stage = await Stage.make();
    holder = await Peer.start();
    await serveOn(holder, share, honest);
  });
  after(async () => {
    await holder.stop();
    await stage.clear();
  });
  afterEach(async () => {
    await Promise.all(stops.splice(0).map(stop => stop()));
  });

  const surround = async (saying: Saying): Promise<Sybils> => {
    const sybils = await startSybils(seeds, saying);
    stops.push(() => sybils.stop());
    return sybils;
  };

  const fetchOf = async (
    link: string,
    bootstrap: readonly string[],
    {
      home,
      timeout = `${SECONDS}s`,
      place = { options: PLAIN },
    }: { home?: string; timeout?: string; place?: Place } = {},
  ): Promise<Fetched> => {
    const output = stage.path(`out-${fetches++}`);
    const began = performance.now();
    const options = [...place.options, ...bootstrap.flatMap(address => ['--bootstrap', address])];
    const args = ['--json', 'fetch', '-o', output, '--timeout', timeout, link];
    const ended = await stage.start(args, home, { ...place, options }).ended;
    return { ...ended, output, seconds: (performance.now() - began) / 1000 };
  };

  const expectFound = async (ended: Fetched, by: string, seconds = SECONDS): Promise<void> => {
    expect(ended.code, ended.stdout.toString() + ended.stderr.toString()).to.equal(0);
    expect((await readFile(ended.output)).equals(content), 'the same bytes').to.equal(true);
    expect(ended.events.at(-1)?.['found']).to.equal(by);
    expect(ended.seconds).to.be.lessThan(seconds);
  };

  it('finds the one that is there among fifty that are not, within seconds', async () => {
    const dead = await silentPort();
    stops.push(() => dead.stop());
    const providers = [...strangers(STALE / 2), ...strangers(STALE / 2, dead.port), toldOf(holder)];
    const dht = await dhtServer(({ type }) => (type === GET_PROVIDERS ? { providers } : {}));
    stops.push(() => dht.peer.stop());
    await expectFound(await fetchOf(linkTo(share), [dht.hint]), 'dht');
  }).timeout(60_000);

  it('finds nobody by the DHT alone where all that it reaches there lies, and says so', async () => {
    const sybils = await surround(SAYINGS['name each other']!);
    const ended = await fetchOf(linkTo(share), sybils.hints.slice(0, MET), { timeout: '3s' });
    expect(ended.events.at(-1)).to.include({ event: 'error', code: 'not-found', exitCode: 3 });
    expect(sybils.asked()).to.be.greaterThan(0);
  }).timeout(60_000);

  for (const [what, saying] of Object.entries(SAYINGS)) {
    it(`goes on by the hint of its link where all that it reaches of the DHT are twenty that ${what}`, async () => {
      const sybils = await surround(saying);
      await expectFound(await fetchOf(linkOf(share, [holder.hint]), sybils.hints.slice(0, MET)), 'hint');
    }).timeout(60_000);
  }

  it('goes on by a relay of its home where all that it reaches of the DHT lies', async () => {
    const sybils = await surround(SAYINGS['say that they have it, and stall']!);
    const relay = await Relay.start({ home: stage.path('relay') });
    stops.push(() => relay.stop());
    const owner = await Owner.start();
    stops.push(() => owner.stop());
    expect((await owner.keep(relay.hint, share))?.header['type']).to.equal('receipt');
    const home = stage.path('home-with-relay');
    expect((await stage.start(['relays', 'add', relay.hint], home).ended).code).to.equal(0);
    await expectFound(await fetchOf(linkTo(share), sybils.hints.slice(0, MET), { home }), 'relay');
  }).timeout(60_000);

  describe('between machines on a network,', () => {
    const lan = useLan(2);

    it('goes on by multicast where all that it reaches of the DHT lies', async () => {
      const [theirs = '', ours = ''] = lan().machines;
      const options = ['--dht', 'off'];
      const path = stage.path('shared');
      await writeFile(path, content);
      const sharing = stage.start(['--json', 'share', '--no-hints', path], undefined, { namespace: theirs, options });
      const link = String((await sharing.event(({ event }) => event === 'shared'))['link']);
      const { id } = readLink(`${link}@`);
      const sybils = spawn(
        'ip',
        [
          ...['netns', 'exec', theirs, process.execPath, join(import.meta.dirname, 'sybils.child.ts'), '10.77.0.1'],
          Buffer.from(keyOf(rendezvous(id, today()))).toString('hex'),
        ],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      );
      const [line] = (await once(createInterface({ input: sybils.stdout }), 'line')) as [string];
      const place = { namespace: ours, options: ['--dht', 'client'] };
      const ended = await fetchOf(link, (JSON.parse(line) as string[]).slice(0, MET), { place });
      sybils.stdin.end();
      await once(sybils, 'close');
      await expectFound(ended, 'mdns');
    }).timeout(90_000);
  });
});

function linkTo(share: Share): string {
  return linkOf(share, []).replace(/@$/, '');
}
