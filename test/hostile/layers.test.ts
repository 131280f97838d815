import { peerIdFromString } from '@libp2p/peer-id';
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import { join } from 'node:path';
import type { Told } from './kad.ts';
import { Owner } from './owners.ts';
import { linkOf, shareOfFile } from './peer.ts';
import { Stage, type Ended, type Place, type Run } from './product.ts';
import { Relay } from './relays.ts';
import { honest, serve, type Server } from './servers.ts';
import {
  CIRCUIT_ATTACKS,
  circuitRelay,
  DHT_ATTACKS,
  DOCUMENTS,
  peerAttacks,
  restore,
  STORE_ATTACKS,
  tellingServer,
} from './tampering.ts';

/** All of a process, its threads and what it has mapped of Node itself; without an attack it is about 200. */
const MAX_PEAK_MIB = 300;
const NAME = 'file.bin';
/** Two whole chunks and a part of one. */
const SIZE = 2_500_000;
/** A fetch from who gives nothing right ends when nothing has moved for so long. */
const PATIENCE = '1s';

/** Where a fetch looks: in the link, or at a server of the DHT. */
interface From {
  readonly hints?: readonly string[];
  readonly bootstrap?: readonly string[];
  readonly home?: string;
}

describe('A fetch, with an attacker', () => {
  const content = randomBytes(SIZE);
  const share = shareOfFile(NAME, content);
  const older = shareOfFile(NAME, randomBytes(SIZE));
  const stops: (() => Promise<unknown>)[] = [];
  let stage: Stage;
  /** Has the share, and tells the truth. */
  let good: Server;
  let fetches = 0;

  before(async () => {
    stage = await Stage.make();
    good = await serve(share, honest);
  });
  after(async () => {
    await good.stop();
    await stage.clear();
  });
  afterEach(async () => {
    await Promise.all(stops.splice(0).map(stop => stop()));
  });

  const fetchFrom = async ({ hints = [], bootstrap, home }: From, ...more: string[]): Promise<Ended> => {
    const output = stage.path(`out-${fetches++}`);
    const link = linkOf(share, hints).replace(/@$/, '');
    const args = ['--json', 'fetch', '-o', output, ...more, link];
    const ended = await stage.start(args, home, bootstrap === undefined ? undefined : inDht(bootstrap)).ended;
    expect(ended.peakMiB, 'MiB at most').to.be.lessThan(MAX_PEAK_MIB);
    expect(ended.stderr.toString(), 'no trace of a crash').to.equal('');
    const found = await readFile(output).catch(() => undefined);
    if (found !== undefined) expect(found.equals(content), 'never other bytes at the final name').to.equal(true);
    expect(found !== undefined, said(ended)).to.equal(ended.code === 0);
    return ended;
  };

  const expectRefused = ({ code, events, ...ended }: Ended): void => {
    expect(code, said({ code, events, ...ended })).to.equal(3);
    const last = events.at(-1);
    expect(last).to.include({ event: 'error', exitCode: 3 });
    expect(last?.['code']).to.be.oneOf(['unavailable', 'not-found']);
    expect(last?.['message']).to.match(/^cannot fetch: [^\n]{10,1000}$/);
  };

  /** Alone, the attacked one gives what is right or nothing; beside an honest one it keeps nobody from it. */
  const expectNoHarm = async (attacked: From, beside: From, isHarmless = false): Promise<void> => {
    const [alone, together] = await Promise.all([
      fetchFrom(attacked, '--timeout', isHarmless ? '20s' : PATIENCE),
      fetchFrom(beside, '--timeout', '20s'),
    ]);
    expect(together.code, said(together)).to.equal(0);
    if (isHarmless) expect(alone.code, said(alone)).to.equal(0);
    else expectRefused(alone);
  };

  const besideGood = (hints: readonly string[]): From => ({ hints: [...hints, good.hint] });

  describe('on the disk of a home that carries the share:', () => {
    let carrier: Run;
    let hint = '';
    let folder = '';

    before(async () => {
      const home = stage.path('home-carrier');
      const carried = linkOf(share, [good.hint]).replace(/\.[\w-]+@/, '@');
      carrier = stage.start(['--json', 'seed', carried], home);
      await carrier.event(({ event }) => event === 'seeding');
      const status = await stage.start(['--json', 'status'], home).ended;
      hint = (JSON.parse(status.stdout.toString()) as { addresses: string[] }).addresses[0] ?? '';
      folder = await chunksBelow(home);
    });
    after(async () => {
      expect((await carrier.stop()).code).to.equal(130);
    });
    afterEach(() => restore(folder, share));

    for (const [what, { does, isHarmless }] of Object.entries(STORE_ATTACKS)) {
      it(`no wrong byte comes of it when ${what}`, async () => {
        await does(folder, older);
        await expectNoHarm({ hints: [hint] }, besideGood([hint]), isHarmless);
        expect(carrier.child.exitCode, 'the carrier lives').to.equal(null);
      }).timeout(30_000);
    }
  });

  describe('on the disk of a relay that keeps the share:', () => {
    let relay: Relay;
    let folder = '';

    before(async () => {
      relay = await Relay.start({ home: stage.path('relay') });
      const owner = await Owner.start();
      const kept = await owner.keep(relay.hint, share);
      expect(kept?.header['type']).to.equal('receipt');
      await owner.stop();
      folder = await chunksBelow(relay.home);
    });
    after(async () => {
      const { code, stderr } = await relay.stop();
      expect(code, stderr).to.equal(0);
    });
    afterEach(() => restore(folder, share));

    for (const [what, { does, isHarmless }] of Object.entries(STORE_ATTACKS)) {
      it(`no wrong byte comes of it when ${what}`, async () => {
        await does(folder, older);
        await expectNoHarm({ hints: [relay.hint] }, besideGood([relay.hint]), isHarmless);
        expect(relay.isRunning, relay.stderr).to.equal(true);
      }).timeout(30_000);
    }
  });

  describe('that is a peer:', () => {
    for (const [what, { does, isHarmless }] of Object.entries(peerAttacks(older))) {
      it(`no wrong byte comes of it when it ${what}`, async () => {
        const bad = await serve(share, does);
        stops.push(() => bad.stop());
        await expectNoHarm({ hints: [bad.hint] }, besideGood([bad.hint]), isHarmless);
      }).timeout(30_000);
    }
  });

  describe('that is a relay between it and who has the share:', () => {
    for (const [what, { does, isHarmless }] of Object.entries(CIRCUIT_ATTACKS)) {
      it(`no wrong byte comes of it when it ${what}`, async () => {
        const relay = await circuitRelay(portIn(good.hint), does);
        stops.push(() => relay.stop());
        const through = `${relay.hint}/p2p-circuit/p2p/${good.id}`;
        const other = await serve(share, honest);
        stops.push(() => other.stop());
        await expectNoHarm({ hints: [through] }, { hints: [through, other.hint] }, isHarmless);
      }).timeout(30_000);
    }

    it('it is not taken for the peer behind it when it answers itself', async () => {
      const impostor = await serve(share, honest);
      stops.push(() => impostor.stop());
      const relay = await circuitRelay(portIn(impostor.hint), bytes => [bytes]);
      stops.push(() => relay.stop());
      const through = `${relay.hint}/p2p-circuit/p2p/${good.id}`;
      await expectNoHarm({ hints: [through] }, besideGood([through]));
      expect(impostor.log.hellos).to.equal(0);
    }).timeout(30_000);
  });

  describe('that is the page on which a relay tells of itself:', () => {
    let page: HttpServer;
    let body: string | Buffer = '';
    let origin = '';

    before(async () => {
      page = createServer((_request, response) => {
        response.setHeader('content-type', 'application/json');
        response.end(body);
      });
      await new Promise<void>(resolve => page.listen(0, '127.0.0.1', resolve));
      const address = page.address();
      origin = typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : '';
    });
    after(() => new Promise(resolve => page.close(resolve)));

    for (const [what, documentBy] of Object.entries(DOCUMENTS)) {
      it(`the relay is not taken, and the home fetches as before, when it ${what}`, async () => {
        body = documentBy(good.id, good.hint);
        const home = stage.path(`home-page-${fetches}`);
        const ended = await stage.start(['--json', 'relays', 'add', origin], home).ended;
        expect(ended.code, said(ended)).not.to.equal(0);
        expect(ended.peakMiB).to.be.lessThan(MAX_PEAK_MIB);
        const [line = ''] = ended.stdout.toString().split('\n');
        expect((JSON.parse(line) as { code: string }).code).to.be.oneOf(['protocol', 'unsupported', 'unavailable']);
        expect((await fetchFrom({ hints: [good.hint], home })).code).to.equal(0);
      }).timeout(30_000);
    }
  });

  describe('that is a server of the DHT:', () => {
    let otherHolder: Server;
    let honestDht = '';

    before(async () => {
      otherHolder = await serve(older, honest);
      const dht = await tellingServer(right => ({ providers: [right] }), toldBy(good), toldBy(otherHolder));
      honestDht = dht.hint;
      // Kept for all of them.
      lasting.push(() => dht.peer.stop());
    });
    const lasting: (() => Promise<unknown>)[] = [];
    after(async () => {
      await otherHolder.stop();
      await Promise.all(lasting.map(stop => stop()));
    });

    for (const [what, { does, isHarmless }] of Object.entries(DHT_ATTACKS)) {
      it(`no wrong byte comes of it when it ${what}`, async () => {
        const dht = await tellingServer(does, toldBy(good), toldBy(otherHolder));
        stops.push(() => dht.peer.stop());
        await expectNoHarm({ bootstrap: [dht.hint] }, { bootstrap: [dht.hint, honestDht] }, isHarmless);
        expect(dht.asked(), 'it was asked').to.be.greaterThan(0);
      }).timeout(40_000);
    }
  });
});

function inDht(bootstrap: readonly string[]): Place {
  const begin = bootstrap.flatMap(address => ['--bootstrap', address]);
  return { options: ['--no-mdns', '--dht', 'client', '--listen', '/ip4/127.0.0.1/tcp/0', ...begin] };
}

/** The folder with the chunks of the data of the one share that is kept below `folder`. */
async function chunksBelow(folder: string): Promise<string> {
  const [found] = (await readdir(folder, { recursive: true })).filter(path => path.endsWith('/data-0'));
  if (found === undefined) throw new Error(`nothing is kept below ${folder}`);
  return join(folder, found);
}

/** As a server of the DHT tells of it. */
function toldBy({ hint, id }: Server): Told {
  return { id: peerIdFromString(id).toMultihash().bytes, addresses: [hint.replace(/\/p2p\/.*/, '')] };
}

function portIn(hint: string): number {
  return Number(/\/tcp\/(\d+)/.exec(hint)?.[1]);
}

function said({ stdout, stderr }: Ended): string {
  return `${stdout.toString()}${stderr.toString()}`;
}
