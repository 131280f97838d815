import { expect } from 'chai';
import { isShoalError } from '../../src/errors.ts';
import { idOf } from '../../src/format/ids.ts';
import type { Frame, Network } from '../../src/ports.ts';
import { simNetwork, type Faults } from '../sim/network.ts';
import { ManualClock } from './harness.ts';

const PROTOCOL = '/test/1';

/** Sends five messages from a node to another over a link with `faults`; gives what arrived and how that ended. */
async function transfer(faults: Faults, seed = 1): Promise<{ frames: Frame[]; error?: unknown }> {
  const network = simNetwork(seed);
  const [from, to] = [network.node('from'), network.node('to')];
  network.fault(from, to, faults);
  const frames: Frame[] = [];
  const ended = Promise.withResolvers<unknown>();
  await to.serve(PROTOCOL, async channel => {
    try {
      for await (const frame of channel.frames()) frames.push(frame);
      ended.resolve(undefined);
    } catch (error) {
      ended.resolve(error);
    }
  });
  const channel = await connect(from, to);
  try {
    for (let i = 0; i < 5; i++) await channel.send(new Uint8Array([i]), new Uint8Array(100).fill(i));
    await channel.close();
  } catch (error) {
    return { frames, error };
  }
  return { frames, error: await ended.promise };
}

function connect(from: Network, to: Network): ReturnType<Network['connect']> {
  const candidate = { peer: to.self, addresses: to.addresses(), via: 'hint' } as const;
  return from.connect(candidate, PROTOCOL, new AbortController().signal);
}

describe('The network in memory', () => {
  it('delivers everything without faults', async () => {
    const { frames, error } = await transfer({});
    expect(frames.map(frame => frame.header[0])).to.deep.equal([0, 1, 2, 3, 4]);
    expect(error).to.equal(undefined);
  });

  it('loses a connection where it is told', async () => {
    const { frames, error } = await transfer({ dropAt: 2 });
    expect(frames.length).to.equal(2);
    expect(isShoalError(error, 'unavailable')).to.equal(true);
  });

  it('corrupts one bit of one message, the same for the same seed', async () => {
    const changed = async (seed: number) => {
      const { frames } = await transfer({ corruptAt: 3 }, seed);
      return frames.flatMap(({ body }, i) => [...body].flatMap((byte, at) => (byte === i ? [] : [`${i}:${at}`])));
    };
    const first = await changed(7);
    expect(first.length).to.equal(1);
    expect(first[0]).to.match(/^3:/);
    expect(await changed(7)).to.deep.equal(first);
    expect(await changed(8)).not.to.deep.equal(first);
  });

  it('delivers late and in order', async () => {
    const { frames } = await transfer({ maxDelayTurns: 10 });
    expect(frames.map(frame => frame.header[0])).to.deep.equal([0, 1, 2, 3, 4]);
  });

  it('refuses connections one way only', async () => {
    const network = simNetwork(1);
    const [from, to] = [network.node('from'), network.node('to')];
    network.fault(from, to, { refuse: true });
    await Promise.all([from, to].map(node => node.serve(PROTOCOL, channel => channel.close())));
    const error = await connect(from, to).catch((reason: unknown) => reason);
    expect(isShoalError(error, 'not-found')).to.equal(true);
    await (await connect(to, from)).close();
  });

  it('stalls without a word, until one side gives up', async () => {
    const network = simNetwork(1);
    const [from, to] = [network.node('from'), network.node('to')];
    network.fault(from, to, { stallAt: 1 });
    const got: Frame[] = [];
    const first = Promise.withResolvers<undefined>();
    const ended = Promise.withResolvers<unknown>();
    await to.serve(PROTOCOL, async channel => {
      try {
        for await (const frame of channel.frames()) {
          got.push(frame);
          first.resolve(undefined);
        }
      } catch (error) {
        ended.resolve(error);
      }
    });
    const channel = await connect(from, to);
    await channel.send(new Uint8Array(1));
    await channel.send(new Uint8Array(1));
    await first.promise;
    channel.abort(new Error('enough'));
    expect(isShoalError(await ended.promise, 'unavailable')).to.equal(true);
    expect(got.length).to.equal(1);
  });

  it('delays by its clock', async () => {
    const clock = new ManualClock();
    const network = simNetwork(1, clock);
    const [from, to] = [network.node('from'), network.node('to')];
    network.fault(from, to, { delayMs: 50 });
    const arrived = Promise.withResolvers<number>();
    await to.serve(PROTOCOL, async channel => {
      for await (const frame of channel.frames()) arrived.resolve(frame.header.length + clock.monotonic());
    });
    const channel = await connect(from, to);
    await channel.send(new Uint8Array(1));
    await clock.until(1);
    clock.advance(50);
    expect(await arrived.promise).to.equal(51);
    await channel.close();
  });

  it('finds neighbours when there are any', async () => {
    const network = simNetwork(1);
    network.lan = true;
    const [from, to] = [network.node('from'), network.node('to')];

    for await (const found of from.find(idOf(new Uint8Array(32)), [], new AbortController().signal)) {
      expect(found).to.deep.equal({ peer: to.self, addresses: to.addresses(), via: 'mdns' });
      break;
    }
  });
});
