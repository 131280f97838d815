import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isShoalError } from '../../src/errors.ts';
import { idOf } from '../../src/format/ids.ts';
import { MAX_BLOCK_BYTES, MAX_CONNECTIONS, RATE_BURST_MS, SLICE_MS } from '../../src/limits.ts';
import { createNetwork, type NetworkOptions } from '../../src/net/node.ts';
import type { Channel, Network } from '../../src/ports.ts';
import { Rate } from '../../src/rate.ts';
import { loopbackNode, ManualClock } from './harness.ts';
import { needNamespace } from './namespace.ts';

const run = promisify(execFile);

const NAMESPACE =
  'ip link set lo up multicast on && ip addr add 10.99.0.1/24 dev lo && ip route add 224.0.0.0/4 dev lo && exec "$0" "$@"';

describe('createNetwork', () => {
  const started: Network[] = [];

  const start = async (options: Partial<NetworkOptions> = {}): Promise<Network> => {
    const network = await createNetwork(loopbackNode(options));
    started.push(network);
    return network;
  };

  afterEach(async () => {
    for (const network of started.splice(0)) await network.stop();
  });

  it('has the peer id of its seed, and addresses that end in it', async () => {
    const network = await start({ seed: new Uint8Array(32).fill(1) });
    expect(network.self).to.equal('12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5');
    expect(network.addresses().length).to.equal(1);
    expect(network.addresses()[0]).to.match(new RegExp(`^/ip4/127\\.0\\.0\\.1/tcp/[1-9][0-9]*/p2p/${network.self}$`));
    expect(network.status()).to.deep.equal({
      connections: 0,
      dhtPeers: undefined,
      startingPoints: 0,
      lanPeers: undefined,
      portMapping: 'off',
      reservations: [],
      maxConnections: MAX_CONNECTIONS,
    });
  });

  it('names the address that another program uses', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`;
    await expectFailure(start({ listen: [address] }), 'io', address);
    server.close();
  });

  it('names the address that can not be listened on', async () => {
    await expectFailure(
      createNetwork(loopbackNode({ listen: ['/ip4/127.0.0.1/udp/1'] })),
      'io',
      '/ip4/127.0.0.1/udp/1',
    );
  });

  it('names what is not a multiaddr', async () => {
    await expectFailure(start({ bootstrap: ['example.org'] }), 'usage', '"example.org"');
  });

  it('connects to its starting points, and again to one that comes back', async () => {
    const seed = new Uint8Array(32).fill(2);
    const first = await start({ seed });
    const network = await start({ bootstrap: first.addresses() });
    await until(() => network.status().connections === 1);
    const listen = first.addresses().map(text => text.replace(/\/p2p\/.*/, ''));
    await first.stop();
    await until(() => network.status().connections === 0);
    await start({ seed, listen });
    await until(() => network.status().connections === 1);
  });

  it('dials no address of our own network that a stranger told', async () => {
    const far = await start();
    const near = await start();
    const candidate = { peer: far.self, addresses: far.addresses(), via: 'dht' } as const;
    const error = await near.connect(candidate, '/test/1', new AbortController().signal).catch((e: unknown) => e);
    expect(isShoalError(error, 'not-found')).to.equal(true);
    expect(far.status().connections).to.equal(0);
  });

  it('keeps its datastore to itself, and its announcements to one run', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shoal-net-'));
    try {
      const options = {
        seed: new Uint8Array(32).fill(3),
        datastorePath: join(folder, 'peers'),
        dht: 'server',
      } as const;
      const network = await start(options);
      await expectFailure(start(options), 'io', folder);
      network.announce(idOf(new Uint8Array(32).fill(3)));
      await network.stop();
      const again = await start(options);
      expect(again.self).to.equal(network.self);
      await again.stop();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('keeps to its number of connections, and those that have a channel keep theirs', async function () {
    this.timeout(60_000);
    const places = 8;
    const full = await start({ maxConnections: places });
    await full.serve('/test/1', async channel => {
      for await (const frame of channel.frames()) await channel.send(frame.header);
    });
    const connect = async (): Promise<Channel> => {
      const candidate = { peer: full.self, addresses: full.addresses(), via: 'hint' } as const;
      return await (await start()).connect(candidate, '/test/1', new AbortController().signal);
    };
    const echo = async (channel: Channel): Promise<number> => {
      await channel.send(new Uint8Array([1]));
      for await (const frame of channel.frames()) return frame.header.length;
      throw new Error('the channel has ended');
    };
    const served = [await connect(), await connect(), await connect(), await connect()];
    const late = await Promise.allSettled(Array.from({ length: 36 }, async () => echo(await connect())));
    expect(late.filter(({ status }) => status === 'fulfilled').length).to.equal(0);
    expect(full.status().connections).to.equal(served.length);
    expect(await Promise.all(served.map(echo))).to.deep.equal([1, 1, 1, 1]);
    const dialled = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const other = await start();
        await other.serve('/test/1', async channel => {
          for await (const frame of channel.frames()) await channel.send(frame.header);
        });
        const candidate = { peer: other.self, addresses: other.addresses(), via: 'hint' } as const;
        return await full.connect(candidate, '/test/1', new AbortController().signal).catch(() => undefined);
      }),
    );
    expect(dialled.filter(channel => channel !== undefined).length).to.be.at.least(places - served.length);
    await until(() => full.status().connections <= places);
  });

  it('sends and receives no more than its limits of all channels together', async () => {
    const clock = new ManualClock();
    const limit = 100_000;
    const rates = { up: new Rate(clock, limit), down: new Rate(clock, 2 * limit) };
    const server = await start({ rates });
    expect(server.status()).to.deep.include({ maxUp: limit, maxDown: 2 * limit });
    await server.serve('/test/1', channel => channel.send(new Uint8Array(1), new Uint8Array(MAX_BLOCK_BYTES)));
    const askers = await Promise.all([1, 2, 3].map(() => start()));
    const candidate = { peer: server.self, addresses: server.addresses(), via: 'hint' } as const;
    const channels = await Promise.all(
      askers.map(asker => asker.connect(candidate, '/test/1', new AbortController().signal)),
    );
    const received = (): number => channels.reduce((sum, channel) => sum + channel.receivedBytes, 0);
    const spareBytes = 3 * 9 + (limit * (RATE_BURST_MS + SLICE_MS)) / 1000;
    for (let passedMs = 0; passedMs < 2000; passedMs += SLICE_MS) {
      await until(() => received() >= (limit * passedMs) / 1000);
      expect(received()).to.be.at.most((limit * passedMs) / 1000 + spareBytes);
      await clock.until(1);
      clock.advance(SLICE_MS);
    }
  });

  it('leaves nothing that keeps the process once it has stopped', async () => {
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'stopping.child.ts')]);
    expect(Number(stdout)).to.be.below(500);
  });

  it('finds another process on the local network', async function () {
    needNamespace(this, NAMESPACE);
    const child = [process.execPath, join(import.meta.dirname, 'neighbours.child.ts')];
    const { stdout } = await run('unshare', ['-n', 'sh', '-c', NAMESPACE, ...child]);
    expect(JSON.parse(stdout)).to.deep.equal({ via: 'mdns', connected: true });
  });
});

/** A node says how many connections it has when asked, and has no event for it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}

async function expectFailure(work: Promise<unknown>, code: 'io' | 'usage', text: string): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isShoalError(error, code)) throw new Error(`expected a ShoalError ${code}, got ${String(error)}`);
  expect(error.message).to.contain(text);
}
