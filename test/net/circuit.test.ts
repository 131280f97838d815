import { multiaddr } from '@multiformats/multiaddr';
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isShoalError, type ErrorCode } from '../../src/errors.ts';
import { MAX_BLOCK_BYTES } from '../../src/limits.ts';
import { createNetwork, type NetworkOptions } from '../../src/net/node.ts';
import type { Candidate, Channel, Clock, Frame, Network } from '../../src/ports.ts';
import { CHUNKS_PROTOCOL } from '../../src/protocol/messages.ts';
import { loopbackNode, systemClock } from './harness.ts';
import { needNamespace } from './namespace.ts';
import { HELD_PROTOCOL, Relay } from './relay.ts';

const run = promisify(execFile);

/** Addresses that count as public, and lead nowhere else. */
const NAMESPACE =
  'ip link set lo up && ip addr add 45.0.0.1/32 dev lo && ip addr add 45.0.0.2/32 dev lo && exec "$0" "$@"';

const never = new AbortController().signal;

describe('Connections through relays', function () {
  this.timeout(30_000);
  const nodes: Network[] = [];
  const relays: Relay[] = [];

  const start = async (options: Partial<NetworkOptions> = {}): Promise<Network> => {
    const node = await createNetwork(loopbackNode({ listen: [], ...options }));
    nodes.push(node);
    return node;
  };

  const startRelay = async (reservations?: Parameters<typeof Relay.start>[0]): Promise<Relay> => {
    const relay = await Relay.start(reservations);
    relays.push(relay);
    return relay;
  };

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map(node => node.stop()));
    await Promise.all(relays.splice(0).map(relay => relay.stop()));
  });

  /** A node that is served from, with a reservation at each of the relays. */
  const startHome = async (at: readonly Relay[], options: Partial<NetworkOptions> = {}): Promise<Network> => {
    const home = await start(options);
    await home.serve(CHUNKS_PROTOCOL, echo);
    at.forEach(relay => home.reserve(relay.place));
    await until(() => isReserved(home, at.length));
    return home;
  };

  const through = (relay: Relay, { self }: Network): Candidate => ({
    peer: self,
    addresses: [relay.addressOf(self)],
    via: 'hint',
  });

  it('reach a node that listens on nothing', async () => {
    const relay = await startRelay();
    const home = await startHome([relay]);
    expect(home.addresses()).to.deep.equal([relay.addressOf(home.self)]);
    const reader = await start();
    const channel = await reader.connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect([channel.peer, channel.path]).to.deep.equal([home.self, 'relay']);
    expect(await exchange(channel, MAX_BLOCK_BYTES)).to.equal(MAX_BLOCK_BYTES);
    expect(reader.peers().find(({ peer }) => peer === home.self)?.path).to.equal('relay');
    expect(reader.peers().find(({ peer }) => peer === relay.place.peer)?.path).to.equal('direct');
  });

  it('are told with how long they are good for, and what they are limited to', async () => {
    const relay = await startRelay({ applyDefaultLimit: true, defaultDataLimit: 5000n, defaultDurationLimit: 60_000 });
    const home = await startHome([relay]);
    const [reservation] = home.status().reservations;
    expect(reservation).to.deep.include({ peer: relay.place.peer, state: 'reserved' });
    expect((reservation?.until ?? 0) - Date.now() / 1000).to.be.within(60, 3 * 3600);
    expect(reservation?.limits?.bytes).to.equal(5000);
    expect(reservation?.limits?.seconds).to.be.above(0);
  });

  it('are there again after the relay has restarted', async () => {
    const relay = await startRelay();
    const home = await startHome([relay]);
    await relay.stop();
    await until(() => !isReserved(home, 1));
    expect(home.addresses()).to.deep.equal([]);
    await until(() => home.reservations()[0]?.why !== undefined);
    await relay.start();
    const backMs = performance.now();
    await until(() => isReserved(home, 1));
    expect(performance.now() - backMs).to.be.below(5000);
    const channel = await (await start()).connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect(await exchange(channel, 10)).to.equal(10);
  });

  it('are there again after the connection to the relay was cut', async () => {
    const relay = await startRelay();
    const home = await startHome([relay]);
    relay.cut();
    await until(() => !isReserved(home, 1));
    await until(() => isReserved(home, 1));
    const channel = await (await start()).connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect(await exchange(channel, 10)).to.equal(10);
  });

  it('are reserved in time when the relay comes last', async () => {
    const relay = await startRelay();
    const { place } = relay;
    await relay.stop();
    const home = await start();
    home.reserve(place);
    await home.settled(never);
    expect(home.reservations()).to.have.length(1);
    expect(home.reservations()[0]).to.deep.include({ peer: place.peer, state: 'trying' });
    expect(home.reservations()[0]?.why).to.match(/ECONNREFUSED|refused/);
    await relay.start();
    await until(() => isReserved(home, 1));
  });

  it('are renewed before the relay forgets them', async () => {
    const relay = await startRelay({ reservationTtl: 600_000 });
    const home = await startHome([relay], { clock: fasterClock(200) });
    const startedMs = performance.now();
    await untilChanges(() => home.reservations()[0]?.until);
    // Half of ten minutes, by a clock that goes 200 times as fast.
    expect(performance.now() - startedMs).to.be.above(1000);
    await untilChanges(() => home.reservations()[0]?.until);
    expect(relay.reserved).to.deep.equal([home.self]);
  });

  it('are renewed at once when the machine has slept', async () => {
    const relay = await startRelay();
    let asleepMs = 0;
    const clock = fasterClock(50);
    const home = await startHome([relay], { clock: { ...clock, now: () => clock.now() + asleepMs } });
    const until1 = home.reservations()[0]?.until;
    // What is granted within the same second can't be told from what was.
    await sleep(1000);
    expect(home.reservations()[0]?.until).to.equal(until1);
    asleepMs = 300_000;
    await untilChanges(() => home.reservations()[0]?.until);
  });

  it('end with the reservation', async () => {
    const relay = await startRelay();
    const home = await start();
    await home.serve(CHUNKS_PROTOCOL, echo);
    const [release, again] = [home.reserve(relay.place), home.reserve(relay.place)];
    await until(() => isReserved(home, 1));
    release();
    release();
    expect(isReserved(home, 1)).to.equal(true);
    again();
    expect(home.reservations()).to.deep.equal([]);
    expect(home.addresses()).to.deep.equal([]);
    await until(() => !relay.connected.includes(home.self));
    const reader = await start();
    await expectRejection(reader.connect(through(relay, home), CHUNKS_PROTOCOL, never), 'not-found');
  });

  it('go by any of several relays', async () => {
    const [first, second] = [await startRelay(), await startRelay()];
    const home = await startHome([first, second]);
    expect(home.addresses()).to.have.members([first.addressOf(home.self), second.addressOf(home.self)]);
    await first.stop();
    const reader = await start();
    const addresses = [first, second].map(relay =>
      relay === first ? deadAddress(home.self) : relay.addressOf(home.self),
    );
    const channel = await reader.connect({ peer: home.self, addresses, via: 'hint' }, CHUNKS_PROTOCOL, never);
    expect(await exchange(channel, 10)).to.equal(10);
    await until(() => home.addresses().length === 1);
    expect(home.reservations().map(({ state }) => state)).to.have.members(['reserved', 'trying']);
  });

  it('end cleanly in the middle at their limit, and can be had anew', async () => {
    const relay = await startRelay({
      applyDefaultLimit: true,
      defaultDataLimit: 500_000n,
      defaultDurationLimit: 600_000,
    });
    const home = await startHome([relay]);
    const reader = await start();
    const candidate = through(relay, home);
    const channel = await reader.connect(candidate, CHUNKS_PROTOCOL, never);
    await expectRejection(exchange(channel, MAX_BLOCK_BYTES), 'unavailable');
    const again = await reader.connect(candidate, CHUNKS_PROTOCOL, never);
    expect(await exchange(again, 1000)).to.equal(1000);
  });

  it('carry what may be spoken there, and nothing else', async () => {
    for (const applyDefaultLimit of [true, false]) {
      const relay = await startRelay({ applyDefaultLimit });
      const home = await startHome([relay]);
      await home.serve('/test/other/1', echo);
      const reader = await start();
      await reader.connect(through(relay, home), CHUNKS_PROTOCOL, never);
      await expectRejection(reader.connect(through(relay, home), '/test/other/1', never), 'not-found');
    }
  });

  it('give way to a direct connection that becomes possible', async () => {
    const relay = await startRelay();
    const home = await startHome([relay], { listen: ['/ip4/127.0.0.1/tcp/0'] });
    const reader = await start();
    const relayed = await reader.connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect(relayed.path).to.equal('relay');
    const reading = expectRejection(collect(relayed), 'unavailable');
    const direct = home.addresses().filter(address => !address.includes('p2p-circuit'));
    const channel = await reader.connect({ peer: home.self, addresses: direct, via: 'mdns' }, CHUNKS_PROTOCOL, never);
    expect(channel.path).to.equal('direct');
    await reading;
    const third = await reader.connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect(third.path).to.equal('direct');
    await until(() => reader.peers().every(({ path }) => path === 'direct'));
    expect(await exchange(third, 10)).to.equal(10);
  });

  it('turn direct by themselves where the peer can be reached, though the link names the relay only', async () => {
    const relay = await startRelay();
    const home = await startHome([relay], { listen: ['/ip4/127.0.0.1/tcp/0'] });
    // A node of this network: what is told there may be dialled.
    const reader = await start({ bootstrap: relay.place.addresses });
    const relayed = await reader.connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect(relayed.path).to.equal('relay');
    await expectRejection(collect(relayed), 'unavailable');
    const channel = await reader.connect(through(relay, home), CHUNKS_PROTOCOL, never);
    expect(channel.path).to.equal('direct');
  });

  it('are not waited for where a direct one can be had, and do not wait long for one that can not', async () => {
    const relay = await startRelay();
    const home = await startHome([relay], { listen: ['/ip4/127.0.0.1/tcp/0'] });
    const reader = await start();
    const both = { peer: home.self, addresses: home.addresses(), via: 'hint' } as const;
    expect((await reader.connect(both, CHUNKS_PROTOCOL, never)).path).to.equal('direct');
    expect(relay.connected).to.deep.equal([home.self]);
    // Takes connections, and never says a word.
    const mute = createServer().listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const silent = `/ip4/127.0.0.1/tcp/${(mute.address() as AddressInfo).port}/p2p/${home.self}`;
    const other = await start();
    const sinceMs = performance.now();
    const addresses = [silent, relay.addressOf(home.self)];
    const channel = await other.connect({ peer: home.self, addresses, via: 'hint' }, CHUNKS_PROTOCOL, never);
    expect(performance.now() - sinceMs).to.be.below(2500);
    expect(channel.path).to.equal('relay');
    await other.stop();
    mute.close();
  });

  it('are refused from a relay where nothing was reserved, and none is reserved there', async () => {
    const [own, foreign] = [await startRelay(), await startRelay()];
    const home = await startHome([own]);
    const release = home.reserve(foreign.place);
    await until(() => isReserved(home, 2));
    // The relay goes on believing that it may, as the connection is used for something else.
    await home.connect({ ...foreign.place, via: 'hint' }, HELD_PROTOCOL, never);
    release();
    expect(foreign.reserved).to.deep.equal([home.self]);
    const reader = await start();
    await expectRejection(
      reader.connect(through(foreign, home), CHUNKS_PROTOCOL, never),
      'not-found',
      /CONNECTION_FAILED/,
    );
    expect(foreign.connected).to.include(home.self);
    expect(home.reservations().map(({ peer }) => peer)).to.deep.equal([own.place.peer]);
    expect(home.addresses()).to.deep.equal([own.addressOf(home.self)]);
  });

  it('are not dialled through a relay of our own network that strangers told', async () => {
    const relay = await startRelay();
    const home = await startHome([relay]);
    const reader = await start();
    const told = { ...through(relay, home), via: 'dht' } as const;
    await expectRejection(reader.connect(told, CHUNKS_PROTOCOL, never), 'not-found');
    expect(relay.connected).to.deep.equal([home.self]);
  });

  it('lead nowhere else than to the relay, whatever stands behind it in the address', async () => {
    const relay = await startRelay();
    const home = await startHome([relay]);
    const trap = createServer();
    trap.listen(0, '127.0.0.1');
    await once(trap, 'listening');
    let knocked = 0;
    trap.on('connection', () => knocked++);
    const inner = `/ip4/127.0.0.1/tcp/${(trap.address() as AddressInfo).port}`;
    const [base = ''] = relay.place.addresses;
    const address = `${base}/p2p-circuit${inner}/p2p/${home.self}`;
    expect(() => multiaddr(address)).not.to.throw();
    const reader = await start();
    await expectRejection(
      reader.connect({ peer: home.self, addresses: [address], via: 'hint' }, CHUNKS_PROTOCOL, never),
      'not-found',
    );
    expect(knocked).to.equal(0);
    trap.close();
  });

  it('turn direct where only who reads can be reached', async function () {
    needNamespace(this, NAMESPACE);
    const child = [process.execPath, join(import.meta.dirname, 'upgrading.child.ts')];
    const { stdout } = await run('unshare', ['-n', 'sh', '-c', NAMESPACE, ...child], { timeout: 20_000 });
    expect(JSON.parse(stdout)).to.deep.equal({ first: 'relay', then: 'direct', dialledBy: 'in' });
  });

  it('are not asked for at what is no relay', async () => {
    const plain = await start({ listen: ['/ip4/127.0.0.1/tcp/0'] });
    const home = await start();
    home.reserve({ peer: plain.self, addresses: plain.addresses() });
    await home.settled(never);
    expect(home.reservations()[0]).to.deep.include({ state: 'trying' });
    expect(home.reservations()[0]?.why).to.contain('relay');
    expect(() => home.reserve({ peer: plain.self, addresses: ['nonsense'] })).to.throw('nonsense');
    expect(() => home.reserve({ peer: home.self, addresses: plain.addresses() })).to.throw('another peer');
  });
});

async function echo(channel: Channel): Promise<void> {
  for await (const { header, body } of channel.frames()) await channel.send(header, body);
  await channel.close();
}

/** Sends a body and waits for it to come back; its length. */
async function exchange(channel: Channel, sizeBytes: number): Promise<number> {
  await channel.send(new Uint8Array(1), new Uint8Array(sizeBytes));
  for await (const { body } of channel.frames()) return body.length;
  throw new Error('the channel has ended');
}

async function collect(channel: Channel): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of channel.frames()) frames.push(frame);
  return frames;
}

/** Time passes so many times as fast. */
function fasterClock(times: number): Clock {
  const startMs = Date.now();
  const monotonic = (): number => times * performance.now();
  const beganMs = monotonic();
  const sleepLess = (ms: number, signal?: AbortSignal): Promise<void> => systemClock.sleep(ms / times, signal);
  return { now: () => startMs + monotonic() - beganMs, monotonic, sleep: sleepLess };
}

async function untilChanges(value: () => unknown): Promise<void> {
  const before = value();
  await until(() => value() !== before);
}

function isReserved(node: Network, times: number): boolean {
  return node.reservations().filter(({ state }) => state === 'reserved').length === times;
}

/** Through a relay that is not there. */
function deadAddress(peer: string): string {
  return `/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo/p2p-circuit/p2p/${peer}`;
}

/** A node says how it stands when asked, and has no event for it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}

async function expectRejection(work: Promise<unknown>, code: ErrorCode, message = /^/): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isShoalError(error, code)) throw new Error(`expected a ShoalError ${code}, got ${String(error)}`);
  expect(error.message).to.match(message);
}
