/** Shares that are served each on a network of its own: when that is there, when it ends, and how many there are. */
import { expect } from 'chai';
import { Apart } from '../../src/apart.ts';
import { ShoalError } from '../../src/errors.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { MAX_APART } from '../../src/limits.ts';
import type { Network } from '../../src/ports.ts';
import { Server } from '../../src/serve.ts';
import { failureOf } from '../contract/crypto.ts';
import { newWorld, type World } from './world.ts';

describe('shares that are served apart', () => {
  let world: World;
  let apart: Apart;
  /** What happens to networks, in order. */
  let happened: string[];
  let logged: string[];
  let start: (id: BlockId) => Promise<Network>;
  /** Held back until it is called. */
  let letEnd: Promise<void>;

  const idOf = (n: number): BlockId => `bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3brue${n}` as BlockId;

  beforeEach(() => {
    world = newWorld();
    happened = [];
    logged = [];
    letEnd = Promise.resolve();
    start = id => {
      happened.push(`start ${id.slice(59)}`);
      const node = world.network.node(id);
      const stop = node.stop.bind(node);
      node.stop = async () => {
        await letEnd;
        happened.push(`end ${id.slice(59)}`);
        await stop();
      };
      return Promise.resolve(node);
    };
    apart = new Apart({
      start: id => start(id),
      idsOf: id => [id],
      serverOn: network =>
        Server.start({
          network,
          source: {
            have: () => Promise.resolve(undefined),
            read: () => Promise.reject(new ShoalError('unavailable', 'there is nothing')),
          },
          refusals: { for: () => undefined },
          clock: world.clock,
          log: () => undefined,
        }),
      onStarted: () => undefined,
      log: (_level, message) => logged.push(message),
    });
  });
  afterEach(() => apart.stop());

  it('have a network of their own from when they are opened until they are closed', async () => {
    apart.open(idOf(0));
    apart.open(idOf(0));
    apart.open(idOf(1));
    const [one, other] = await Promise.all([0, 1].map(n => apart.networkOf(idOf(n))));
    expect(one?.self).not.to.equal(other?.self);
    expect([...apart.networks.keys()]).to.deep.equal([idOf(0), idOf(1)]);
    apart.close(idOf(0));
    await apart.stop();
    expect(happened).to.deep.equal(['start 0', 'start 1', 'end 0', 'end 1']);
    expect(await failureOf(apart.networkOf(idOf(0)))).to.include({ code: 'interrupted' });
  });

  it('start again only once the network before has ended, which has their peer id and port', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    letEnd = promise;
    apart.open(idOf(0));
    await apart.networkOf(idOf(0));
    apart.close(idOf(0));
    apart.open(idOf(0));
    const again = apart.networkOf(idOf(0));
    resolve(undefined);
    await again;
    expect(happened).to.deep.equal(['start 0', 'end 0', 'start 0']);
    expect(apart.networks.size).to.equal(1);
  });

  it('are stopped also where they are closed before they have started', async () => {
    apart.open(idOf(0));
    apart.close(idOf(0));
    await apart.stop();
    expect(happened).to.deep.equal(['start 0', 'end 0']);
    expect(apart.has(idOf(0))).to.equal(false);
  });

  it('are so many at once and no more', async () => {
    for (let n = 0; n < MAX_APART; n++) apart.open(idOf(n));
    const full = /^cannot serve one more share with --fresh-id: at most 16 are served at once/;
    expect(() => apart.open(idOf(MAX_APART)))
      .to.throw(ShoalError, full)
      .and.include({ code: 'in-use' });
    apart.open(idOf(0));
    apart.close(idOf(0));
    apart.open(idOf(MAX_APART));
    await apart.networkOf(idOf(MAX_APART));
  });

  it('are not served where the network does not start, which is told to who waits, and logged', async () => {
    start = () => Promise.reject(new ShoalError('io', 'there is no port'));
    apart.open(idOf(0));
    expect(await failureOf(apart.networkOf(idOf(0)))).to.include({ code: 'io', message: 'there is no port' });
    expect([apart.has(idOf(0)), apart.networks.size]).to.deep.equal([false, 0]);
    expect(logged).to.deep.equal(['a share is not served: the network of its own does not start']);
  });
});
