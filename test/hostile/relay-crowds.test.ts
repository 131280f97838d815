import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ADMISSION, inAnHour, NOTICE, Owner, ownShare, STORE } from './owners.ts';
import { frame, Peer, type Wire } from './peer.ts';
import { Relay } from './relays.ts';
import { crowd, OK, REFUSED, reserve, QUICK } from './reservers.ts';

/** Sooner than what says nothing is cut off. */
const SOON_MS = 12_000;
const RETRY_MS = 200;
const OPENING_MS = 3_000;
const IDENTITIES = 440;
/** What a prefix may have by default. */
const RESERVATIONS = 64;
/** More than a node holds open. */
const LORIS_PEERS = 40;
const LORIS_CHANNELS = 16;
const IDLE_PREFIXES = 40;
const IDLE_PER_PREFIX = 125;
/** Of one prefix, by default. */
const CONNECTIONS_A_SECOND = 16;
const HTTP_LORIS = 600;

describe('A relay, among hostile crowds,', () => {
  const peers: { stop(): Promise<unknown> }[] = [];
  const sockets: Socket[] = [];
  const stops: (() => void)[] = [];
  let folder = '';
  let relay: Relay;
  let prefixes = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-hostile-'));
    relay = await Relay.start({ home: join(folder, 'relay'), more: QUICK });
  });
  afterEach(async () => {
    for (const stop of stops.splice(0)) stop();
    for (const socket of sockets.splice(0)) socket.destroy();
    await Promise.all(peers.splice(0).map(peer => peer.stop()));
    expect(relay.isRunning, relay.stderr).to.equal(true);
  });
  after(async () => {
    const { code, stderr } = await relay.stop();
    await rm(folder, { recursive: true });
    expect(code, stderr).to.equal(0);
    expect(stderr).not.to.match(/"level":"(warn|error)"/);
  });

  const prefix = (): string => `127.2.${++prefixes}`;
  const started = async <T extends { stop(): Promise<unknown> }>(starting: Promise<T>): Promise<T> => {
    const peer = await starting;
    peers.push(peer);
    return peer;
  };
  const newOwner = (from = `${prefix()}.1`): Promise<Owner> => started(Owner.start({ from }));

  /** Somebody honest, from elsewhere, has a share kept, and is given it. It tries again where it was hung up on. */
  const expectServed = async ({ hint } = relay): Promise<void> => {
    const began = performance.now();
    const share = ownShare(5000);
    const owner = await newOwner();
    for (;;) {
      const last = await owner.keep(hint, share).catch(() => undefined);
      const chunk = last === undefined ? undefined : await owner.chunk(hint, share).catch(() => undefined);
      const ms = performance.now() - began;
      expect(ms, 'ms until it was served').to.be.lessThan(SOON_MS);
      if (last?.header['type'] === 'receipt' && chunk !== undefined) return;
      await sleep(RETRY_MS);
    }
  };

  it('gives a crowd of identities no more than their prefix may have, forgets those it refuses, and has places for others', async () => {
    const from = `${prefix()}.1`;
    const first = await crowd(relay.hint, RESERVATIONS + IDENTITIES / 2, { from });
    const before = await relay.memoryMiB();
    expect(Object.fromEntries(first.answers)).to.deep.equal({ [OK]: RESERVATIONS, [REFUSED]: IDENTITIES / 2 });
    const second = await crowd(relay.hint, IDENTITIES / 2, { from });
    expect(Object.fromEntries(second.answers)).to.deep.equal({ [REFUSED]: IDENTITIES / 2 });
    expect((await relay.memoryMiB()) - before, 'MiB more').to.be.lessThan(40);
    const other = await started(Peer.start({ from: `${prefix()}.1` }));
    expect(await reserve(other, relay.hint)).to.equal(OK);
    expect((await relay.status()).reservations).to.equal(RESERVATIONS + 1);
    await first.leave();
    await relay.stands(({ reservations }) => reservations === 1);
    const next = await started(Peer.start({ from }));
    expect(await reserve(next, relay.hint)).to.equal(OK);
  }).timeout(60_000);

  for (const protocol of [STORE, NOTICE, ADMISSION]) {
    it(`keeps shares for others while a crowd says a byte a second on ${protocol}`, async () => {
      const from = `${prefix()}.1`;
      const crowd = await Promise.all(Array.from({ length: LORIS_PEERS }, () => started(Peer.start({ from }))));
      for (const peer of crowd) await peer.connect(relay.hint);
      const open = crowd.flatMap(peer => Array.from({ length: LORIS_CHANNELS }, () => peer.open(relay.hint, protocol)));
      const wires = (await Promise.allSettled(open)).flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
      expect(wires.length).to.be.greaterThan(256);
      stops.push(drip(wires));
      // By then all have arrived: there are more than the relay takes.
      await Promise.race(wires.map(wire => wire.over));
      await expectServed();
    }).timeout(60_000);
  }

  it('lets in who has a token while a crowd keeps presenting none', async () => {
    const run = promisify(execFile);
    const program = join(import.meta.dirname, '..', '..', 'bin', 'shoal-relay.js');
    const env = { ...process.env, SHOAL_RELAY_HOME: relay.home };
    const token = (await run(process.execPath, [program, 'token', 'create'], { env })).stdout.trim();
    const from = `${prefix()}.1`;
    const crowd = await Promise.all(Array.from({ length: LORIS_PEERS }, () => started(Peer.start({ from }))));
    const open = crowd.flatMap(peer => Array.from({ length: 4 }, () => peer.open(relay.hint, ADMISSION)));
    await Promise.allSettled(open);
    const owner = await newOwner();
    const answer = await owner.say(relay.hint, ADMISSION, { type: 'present', token });
    expect(answer?.header).to.include({ type: 'admitted', tier: 'token' });
    const guessed = await owner.say(relay.hint, ADMISSION, { type: 'present', token: `${token.slice(0, -4)}AAAA` });
    expect(guessed?.header).to.include({ type: 'refuse', reason: 'bad-token' });
  }).timeout(60_000);

  it('answers over HTTP soon while a crowd says a byte a second there', async () => {
    const { hostname, port } = new URL(relay.http);
    await openAll(HTTP_LORIS, n => ({ host: hostname, port: Number(port), localAddress: `127.6.${n % 4}.1` }));
    const request = Buffer.from('GET / HTTP/1.1\r\nhost: relay\r\nx: ' + 'x'.repeat(1000));
    let at = 0;
    const timer = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write(request.subarray(at, at + 1));
      at++;
    }, 1000);
    stops.push(() => clearInterval(timer));
    const began = performance.now();
    let status: number | undefined;
    while (status !== 200) {
      status = await statusOf(`${relay.http}/.well-known/shoal/relay.json`).catch(() => undefined);
      expect(performance.now() - began, 'ms until it was answered').to.be.lessThan(SOON_MS);
      if (status !== 200) await sleep(RETRY_MS);
    }
    await expectServed();
  }).timeout(60_000);

  it('serves others while five thousand connections from many places say nothing', async () => {
    const [host, port] = hostOf(relay.hint);
    await openAll(IDLE_PREFIXES * IDLE_PER_PREFIX, n => ({
      host,
      port,
      localAddress: `127.3.${n % IDLE_PREFIXES}.${1 + Math.floor(n / IDLE_PREFIXES)}`,
    }));
    await expectServed();
    await relay.stands(({ connections }) => connections <= 1);
  }).timeout(60_000);

  it('serves others while garbage comes in', async () => {
    // As many connections a second come in as by default: each costs it more than an honest one.
    const other = await started(Relay.start({ home: join(folder, 'other') }));
    const [host, port] = hostOf(other.hint);
    const select = Buffer.from('\x13/multistream/1.0.0\n');
    const noise = Buffer.concat([select, Buffer.from('\x07/noise\n')]);
    const garbage = [
      randomBytes(20_000),
      Buffer.from('GET / HTTP/1.1\r\nhost: relay\r\n\r\n'),
      Buffer.from('16030100f8010000f40303'.padEnd(500, '0'), 'hex'),
      Buffer.concat([noise, Buffer.alloc(4, 0xff), randomBytes(5000)]),
      Buffer.concat([noise, Buffer.from('0020', 'hex'), Buffer.alloc(32), Buffer.alloc(2000)]),
      Buffer.concat([noise, Buffer.from('0000', 'hex'), Buffer.alloc(70_000)]),
    ];
    await openAll(400, n => ({ host, port, localAddress: `127.4.${n % 8}.1` }));
    for (const [n, socket] of sockets.entries()) socket.write(garbage[n % garbage.length]!);
    await expectServed(other);
    // What libp2p reads byte by byte before a handshake costs it far more; one prefix may begin so many in a second.
    const costly = [
      Buffer.concat([select, Buffer.alloc(10, 0xff), randomBytes(5000)]),
      Buffer.concat([select, ...Array.from({ length: 5000 }, () => Buffer.from('\x03ls\n'))]),
    ];
    for (const socket of sockets.splice(0)) socket.destroy();
    await openAll(CONNECTIONS_A_SECOND, () => ({ host, port, localAddress: '127.4.9.1' }));
    for (const [n, socket] of sockets.entries()) socket.write(costly[n % costly.length]!);
    await expectServed(other);
  }).timeout(60_000);

  /** Connects so often, and waits until each has been connected or refused. */
  async function openAll(count: number, to: (n: number) => NetConnectOpts): Promise<void> {
    for (let n = 0; n < count; n++) sockets.push(connect(to(n)).on('error', () => undefined));
    const opened = sockets.map(socket => Promise.race([once(socket, 'connect'), once(socket, 'close')]));
    // Some wait for the kernel to have a place for them.
    await Promise.race([Promise.allSettled(opened), sleep(OPENING_MS)]);
  }
});

/** Says a hello that never ends, a byte a second on each. */
function drip(wires: readonly Wire[]): () => void {
  const bytes = frame({ type: 'ask', until: inAnHour() }, new Uint8Array(1000));
  let at = 0;
  const timer = setInterval(() => {
    for (const wire of wires) if (!wire.isOver) void wire.send(bytes.slice(at, at + 1));
    at++;
  }, 1000);
  return () => clearInterval(timer);
}

function hostOf(hint: string): [host: string, port: number] {
  const [, host = '', port = ''] = /^\/ip4\/([\d.]+)\/tcp\/(\d+)/.exec(hint) ?? [];
  return [host, Number(port)];
}

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false, localAddress: '127.5.0.1' }, answer => {
      answer.resume();
      resolve(answer.statusCode);
    }).on('error', reject);
  });
}
