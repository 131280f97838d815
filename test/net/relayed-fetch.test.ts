/** A whole fetch over sockets by way of a relay, from a link that names nothing else. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { fetch, type FetchEvent } from '../../src/fetch.ts';
import { parseHint } from '../../src/format/hint.ts';
import { createNetwork, type NetworkOptions } from '../../src/net/node.ts';
import type { Network } from '../../src/ports.ts';
import { Server } from '../../src/serve.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { makeShare, type TestShare } from '../contract/chunk-source.ts';
import { Forgetful } from '../sim/forgetful.ts';
import { memoryDestination, outputOf, storeOf } from '../verbs/world.ts';
import { loopbackNode, systemClock } from './harness.ts';
import { Relay } from './relay.ts';

const content = randomBytes(5_000_000);

describe('A fetch through a relay', function () {
  this.timeout(30_000);
  let share: TestShare;
  let relay: Relay;
  const nodes: Network[] = [];

  before(async () => {
    share = await makeShare('film', { film: content });
  });

  beforeEach(async () => {
    relay = await Relay.start();
  });

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map(node => node.stop()));
    await relay.stop();
  });

  const start = async (options: Partial<NetworkOptions>): Promise<Network> => {
    const node = await createNetwork(loopbackNode({ listen: [], ...options }));
    nodes.push(node);
    return node;
  };

  const fetchBy = async (hint: string, home: Network): Promise<FetchEvent[]> => {
    const source = await storeOf(share);
    const server = await Server.start({
      ...{ network: home, source, clock: systemClock },
      refusals: { for: () => undefined },
      log: () => undefined,
      onServed: () => undefined,
    });
    server.add(share.id);
    const events: FetchEvent[] = [];
    const disk = new Forgetful();
    const parent = disk.root();
    const fetched = await fetch(
      { network: await start({}), crypto: nodeCrypto(), clock: systemClock },
      {
        link: { id: share.id, key: share.key, hints: [parseHint(hint)] },
        destination: memoryDestination(parent, memoryStore()),
        force: false,
      },
      event => events.push(event),
      new AbortController().signal,
    ).finally(() => parent.close());
    expect(Buffer.compare(outputOf(disk)['film'] ?? new Uint8Array(), content)).to.equal(0);
    expect(fetched.sources.reduce((sum, { bytes }) => sum + bytes, 0)).to.be.at.least(content.length);
    return events;
  };

  const pathsIn = (events: readonly FetchEvent[]): string[] =>
    events.flatMap(event => (event.event === 'found' ? [event.path] : []));

  it('gets all from a home that listens on nothing, and says that it came through a relay', async () => {
    const home = await start({});
    home.reserve(relay.place);
    await home.settled(new AbortController().signal);
    expect(pathsIn(await fetchBy(relay.addressOf(home.self), home))).to.deep.equal(['relay']);
  });

  it('goes on directly from a home that can be reached, though the link does not say so', async () => {
    const home = await start({ listen: ['/ip4/127.0.0.1/tcp/0'] });
    home.reserve(relay.place);
    await home.settled(new AbortController().signal);
    const paths = pathsIn(await fetchBy(relay.addressOf(home.self), home));
    expect(paths.at(-1)).to.equal('direct');
  });
});
