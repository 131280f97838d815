import { expect } from 'chai';
import { noise } from '@chainsafe/libp2p-noise';
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { generateKeyPair, publicKeyFromProtobuf } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Connection, Libp2p, PrivateKey, Stream } from '@libp2p/interface';
import { peerIdFromMultihash } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { webSockets } from '@libp2p/websockets';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { decode } from 'multiformats/hashes/digest';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { reader, writer, type Reader } from 'protons-runtime';
import { Uint8ArrayList } from 'uint8arraylist';
import {
  CIRCUIT_UNSENT_BYTES,
  CIRCUIT_WINDOW_BYTES,
  HOP_TIMEOUT_MS,
  INBOUND_HANDSHAKE_MS,
  MAX_HOP_BYTES,
  MAX_READ_BUFFER_BYTES,
  MAX_STREAM_WINDOW_BYTES,
} from '../../src/limits.ts';
import { Hop } from '../../src/net/hop.ts';
import { HOP_PROTOCOL, STATUS, STOP_PROTOCOL } from '../../src/net/hop-messages.ts';
import { createNetwork, type NetworkOptions } from '../../src/net/node.ts';
import type { Network } from '../../src/ports.ts';
import type { Admission, Asker, Denied, Loan, Permit, Quotas } from '../../src/protocol/admission.ts';
import { loopbackNode, ManualClock, systemClock } from './harness.ts';

const MiB = 2 ** 20;
const ECHO = '/test/echo';

/** Lends so many of each, and notes what was asked. */
class FakeAdmission implements Admission {
  quotas: Quotas = {
    account: 'a',
    tier: 'anonymous',
    reservationSeconds: 600,
    circuitBytes: 1000 * MiB,
    circuitSeconds: 120,
    leases: 0,
    storedBytes: 0,
    leaseSeconds: 0,
  };
  readonly places: Partial<Record<Loan, number>> = {};
  readonly asked: { readonly loan: Loan; readonly who: Asker }[] = [];
  readonly lent: Record<Loan, number> = { connection: 0, reservation: 0, circuit: 0, upload: 0 };
  readonly released: Record<Loan, number> = { connection: 0, reservation: 0, circuit: 0, upload: 0 };
  relayedBytes = 0;
  relayable = Infinity;
  readonly #changed = new EventTarget();

  admit(loan: Loan, who: Asker): Permit | Denied {
    this.asked.push({ loan, who });
    if (this.lent[loan] >= (this.places[loan] ?? Infinity))
      return { denied: `${loan}s`, of: 'relay', retryAfterSeconds: 1 };
    this.lent[loan]++;
    this.#changed.dispatchEvent(new Event('change'));
    return {
      release: () => {
        this.lent[loan]--;
        this.released[loan]++;
        this.#changed.dispatchEvent(new Event('change'));
      },
    };
  }

  spend(what: 'relayed' | 'served', _who: Asker, bytes: number): Denied | undefined {
    expect(what).to.equal('relayed');
    if (this.relayedBytes + bytes > this.relayable)
      return { denied: 'bytes per day', of: 'relay' as const, retryAfterSeconds: 1 };
    this.relayedBytes += bytes;
    return undefined;
  }

  quotasOf(): Quotas {
    return this.quotas;
  }

  /** Resolves when so many of a loan are lent. */
  async untilLent(loan: Loan, count: number): Promise<void> {
    while (this.lent[loan] !== count) await once(this.#changed, 'change');
  }
}

interface Answer {
  status?: number;
  expires?: number;
  addresses: string[];
  voucher?: Uint8Array;
  seconds?: number;
  bytes?: number;
}

describe('Hop', () => {
  const networks: Network[] = [];
  const nodes: Libp2p[] = [];
  const sockets: Socket[] = [];
  let admission: FakeAdmission;

  beforeEach(() => {
    admission = new FakeAdmission();
  });

  afterEach(async () => {
    sockets.splice(0).forEach(socket => socket.destroy());
    for (const node of nodes.splice(0)) await node.stop();
    for (const network of networks.splice(0)) await network.stop();
    expect(admission.lent).to.deep.equal({ connection: 0, reservation: 0, circuit: 0, upload: 0 });
  });

  const startRelay = async (options: Partial<NetworkOptions> = {}): Promise<Network> => {
    const forOthers = { admission, circuit: true, autonat: false };
    const network = await createNetwork(loopbackNode({ forOthers, ...options }));
    networks.push(network);
    return network;
  };

  /** A node with libp2p's own client of relays, which has a reservation when it is told to listen there. */
  const startClient = async (relay?: Network, privateKey?: PrivateKey): Promise<Libp2p> => {
    const node = await createLibp2p({
      ...(privateKey === undefined ? {} : { privateKey }),
      addresses: { listen: relay === undefined ? [] : [`${relay.addresses()[0]}/p2p-circuit`] },
      transports: [tcp(), webSockets(), circuitRelayTransport()],
      connectionEncrypters: [noise()],
      streamMuxers: [
        yamux({
          streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES, maxReadBufferLength: MAX_READ_BUFFER_BYTES },
        }),
      ],
      services: { identify: identify() },
    });
    nodes.push(node);
    return node;
  };

  /** A node that knows nothing of relays. */
  const startPlain = async (): Promise<Libp2p> => {
    const node = await createLibp2p({
      transports: [tcp(), webSockets()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    nodes.push(node);
    return node;
  };

  const dial = (node: Libp2p, network: Network): Promise<Connection> =>
    node.dial(network.addresses().map(text => multiaddr(text)));

  const ask = async (connection: Connection, request: Uint8Array): Promise<[Answer, Wire]> => {
    const wire = new Wire(await connection.newStream(HOP_PROTOCOL));
    wire.stream.send(request);
    return [readAnswer(await wire.message()), wire];
  };

  const connectTo = (relay: Network): Socket => {
    const socket = connectTcp(Number(/tcp\/(\d+)/.exec(relay.addresses()[0]!)?.[1]), '127.0.0.1');
    sockets.push(socket);
    return socket.on('error', () => undefined).resume();
  };

  const reserve = async (connection: Connection): Promise<Answer> => {
    const [answer, { stream }] = await ask(connection, RESERVE);
    await stream.close();
    return answer;
  };

  /** Reserves by hand, and takes the circuits that come. */
  const startTarget = async (relay: Network): Promise<[Libp2p, () => Promise<Wire>]> => {
    const node = await startPlain();
    const arrived: Wire[] = [];
    const events = new EventTarget();
    await node.handle(STOP_PROTOCOL, async stream => {
      const wire = new Wire(stream);
      await wire.message();
      stream.send(framed(writer().uint32(8).uint32(1).uint32(32).uint32(STATUS.ok).finish()));
      arrived.push(wire);
      events.dispatchEvent(new Event('circuit'));
    });
    expect((await reserve(await dial(node, relay))).status).to.equal(STATUS.ok);
    const next = async (): Promise<Wire> => {
      for (;;) {
        const wire = arrived.shift();
        if (wire !== undefined) return wire;
        await once(events, 'circuit');
      }
    };
    return [node, next];
  };

  /** Both ends of a circuit that was made by hand. */
  const openCircuit = async (relay: Network): Promise<{ source: Wire; far: Wire; target: Libp2p; node: Libp2p }> => {
    const [target, next] = await startTarget(relay);
    const node = await startPlain();
    const [answer, source] = await ask(await dial(node, relay), circuitTo(target));
    expect(answer).to.include({ status: STATUS.ok, seconds: admission.quotas.circuitSeconds });
    expect(answer.bytes).to.equal(admission.quotas.circuitBytes);
    return { source, far: await next(), target, node };
  };

  it('tells the limits that hold, where the relay is, and until when, with a voucher that it has signed', async () => {
    const clock = new ManualClock();
    admission.quotas = { ...admission.quotas, reservationSeconds: 3600, circuitBytes: 2 ** 33 + 1, circuitSeconds: 77 };
    const relay = await startRelay({ clock });
    const node = await startPlain();
    const answer = await reserve(await dial(node, relay));
    const expires = clock.now() / 1000 + 3600;
    expect(answer).to.include({ status: STATUS.ok, seconds: 77, bytes: 2 ** 33 + 1, expires });
    expect(answer.addresses).to.deep.equal(relay.addresses());
    const voucher = await openVoucher(answer.voucher!);
    expect(voucher).to.deep.equal({ relay: relay.self, peer: node.peerId.toString(), expires });
    expect(admission.asked.map(({ loan }) => loan)).to.deep.equal(['connection', 'reservation']);
    expect(admission.asked[0]!.who.peer).to.equal(undefined);
    expect(admission.asked[1]!.who.peer).to.equal(node.peerId.toString());
    expect(relay.status().lent).to.deep.equal({ reservations: 1, circuits: 0, relayedBytes: 0 });
  });

  it('frees a place as soon as its peer has gone: twenty visit fifteen places, and none is refused', async () => {
    admission.places.reservation = 15;
    const relay = await startRelay();
    for (let visit = 0; visit < 20; visit++) {
      const node = await startPlain();
      expect((await reserve(await dial(node, relay))).status, `visit ${visit}`).to.equal(STATUS.ok);
      await node.stop();
      await admission.untilLent('reservation', 0);
    }
    expect(admission.released.reservation).to.equal(20);
  });

  it('keeps a place while its peer has another connection', async () => {
    const relay = await startRelay();
    const node = await startPlain();
    const first = await dial(node, relay);
    const second = await node.dial(multiaddr(relay.addresses()[0]), { force: true });
    expect(second).not.to.equal(first);
    await reserve(first);
    await first.close();
    await admission.untilLent('connection', 1);
    expect(admission.lent.reservation).to.equal(1);
    await second.close();
    await admission.untilLent('reservation', 0);
  });

  it('does not take the place of one who came back, when the time of the first one is over', async () => {
    const clock = new ManualClock();
    const relay = await startRelay({ clock });
    const node = await startPlain();
    const first = await dial(node, relay);
    await reserve(first);
    clock.advance(300_000);
    await first.close();
    await admission.untilLent('reservation', 0);
    await reserve(await dial(node, relay));
    clock.advance(599_000);
    await settled();
    expect(admission.lent.reservation).to.equal(1);
    expect(relay.status().lent?.reservations).to.equal(1);
    clock.advance(1_000);
    await admission.untilLent('reservation', 0);
    expect(admission.released.reservation).to.equal(2);
  });

  it('puts the end off for who renews, without another permit', async () => {
    const clock = new ManualClock();
    const relay = await startRelay({ clock });
    const connection = await dial(await startPlain(), relay);
    const first = await reserve(connection);
    clock.advance(400_000);
    expect((await reserve(connection)).expires).to.equal(first.expires! + 400);
    clock.advance(599_000);
    await settled();
    expect(relay.status().lent?.reservations).to.equal(1);
    expect(admission.asked.filter(({ loan }) => loan === 'reservation').length).to.equal(1);
    clock.advance(1_000);
    await admission.untilLent('reservation', 0);
  });

  it('refuses a reservation that admission denies', async () => {
    admission.places.reservation = 1;
    const relay = await startRelay();
    await reserve(await dial(await startPlain(), relay));
    expect((await reserve(await dial(await startPlain(), relay))).status).to.equal(STATUS.reservationRefused);
  });

  it('refuses a circuit to who has no reservation, any more', async () => {
    const relay = await startRelay();
    const [target] = await startTarget(relay);
    const stranger = await startPlain();
    const connection = await dial(await startPlain(), relay);
    expect((await ask(connection, circuitTo(stranger)))[0].status).to.equal(STATUS.noReservation);
    await target.stop();
    await admission.untilLent('reservation', 0);
    expect((await ask(connection, circuitTo(target)))[0].status).to.equal(STATUS.noReservation);
    expect(admission.asked.some(({ loan }) => loan === 'circuit')).to.equal(false);
  });

  it('refuses a circuit that admission denies, or that its other end does not take', async () => {
    const relay = await startRelay();
    const mute = await startPlain();
    await reserve(await dial(mute, relay));
    const connection = await dial(await startPlain(), relay);
    expect((await ask(connection, circuitTo(mute)))[0].status).to.equal(STATUS.connectionFailed);
    await admission.untilLent('circuit', 0);
    admission.places.circuit = 0;
    expect((await ask(connection, circuitTo(mute)))[0].status).to.equal(STATUS.resourceLimitExceeded);
  });

  it('carries bytes between nodes with the client of libp2p, and tells both the limits', async () => {
    const relay = await startRelay();
    const target = await startClient(relay);
    await target.handle(ECHO, echo, { runOnLimitedConnection: true });
    const source = await startClient();
    const connection = await source.dial(
      multiaddr(`${relay.addresses()[0]}/p2p-circuit/p2p/${target.peerId.toString()}`),
    );
    expect(connection.limits?.seconds).to.be.within(110, 120);
    while (target.getConnections(source.peerId).length === 0) await once(target, 'connection:open');
    expect(target.getConnections(source.peerId)[0]?.limits?.seconds).to.be.within(110, 120);
    const wire = new Wire(await connection.newStream(ECHO, { runOnLimitedConnection: true }));
    wire.stream.send(new Uint8Array(100_000).fill(7));
    await wire.stream.close();
    expect((await wire.rest()).byteLength).to.equal(100_000);
    expect(relay.status().lent).to.include({ reservations: 1, circuits: 1 });
    expect(relay.status().lent?.relayedBytes).to.be.greaterThan(200_000).and.equal(admission.relayedBytes);
    await source.stop();
    await admission.untilLent('circuit', 0);
    expect(admission.released.circuit).to.equal(1);
  });

  it('lends nothing to who comes over a circuit', async () => {
    const privateKey = await generateKeyPair('Ed25519');
    const far = await startClient(await startRelay(), privateKey);
    const other = new FakeAdmission();
    const hop = new Hop({
      ...{ libp2p: far, privateKey, admission: other, clock: systemClock, log: () => undefined },
      addresses: () => far.getMultiaddrs(),
      lineBelow: () => undefined,
    });
    await hop.start();
    const connection = await (await startClient()).dial(far.getMultiaddrs());
    const wire = new Wire(await connection.newStream(HOP_PROTOCOL, { runOnLimitedConnection: true }));
    if (wire.stream.status === 'open') wire.stream.send(RESERVE);
    await wire.over();
    expect(other.asked).to.deep.equal([]);
    await hop.stop();
  });

  it('passes on that one side has ended, while the other one goes on', async () => {
    const relay = await startRelay();
    const { source, far } = await openCircuit(relay);
    source.stream.send(Uint8Array.of(1, 2, 3));
    await source.stream.close();
    expect([...(await far.rest()).subarray()]).to.deep.equal([1, 2, 3]);
    far.stream.send(new Uint8Array(500_000));
    await far.stream.close();
    expect((await source.rest()).byteLength).to.equal(500_000);
    await admission.untilLent('circuit', 0);
    expect(source.stream.status).to.equal('closed');
    expect(admission).to.deep.include({ relayedBytes: 500_003 });
    expect(admission.released.circuit).to.equal(1);
  });

  it('carries 50 MB each way, and holds no more than a window of what one side does not read', async () => {
    const relay = await startRelay();
    const { source, far } = await openCircuit(relay);
    far.stream.pause();
    const total = 50 * MiB;
    const chunk = new Uint8Array(MiB / 4).fill(5);
    for (let sent = 0; sent < total; sent += chunk.length) source.stream.send(chunk);
    await steady(() => source.stream.writeBufferLength);
    const held = total - source.stream.writeBufferLength;
    // Two windows, that of the relay and that of the far end, and what may be unsent between them.
    expect(held).to.be.lessThan(2 * CIRCUIT_WINDOW_BYTES + CIRCUIT_UNSENT_BYTES + 2 * MiB);
    far.stream.resume();
    const [received] = await Promise.all([far.rest(), source.stream.close()]);
    expect(received.byteLength).to.equal(total);
    for (let sent = 0; sent < total; sent += chunk.length) far.stream.send(chunk);
    const [back] = await Promise.all([source.rest(), far.stream.close()]);
    expect(back.byteLength).to.equal(total);
    await admission.untilLent('circuit', 0);
    expect(relay.status().lent?.relayedBytes).to.equal(2 * total);
  });

  it('ends both sides at the limit of bytes, which counts both directions', async () => {
    admission.quotas = { ...admission.quotas, circuitBytes: 100_000 };
    const relay = await startRelay();
    const { source, far } = await openCircuit(relay);
    far.stream.send(new Uint8Array(40_000));
    await source.receives(40_000);
    source.stream.send(new Uint8Array(60_000));
    await far.receives(60_000);
    expect(source.stream.status).to.equal('open');
    source.stream.send(Uint8Array.of(1));
    await Promise.all([source.over(), far.over()]);
    expect([source.stream.status, far.stream.status]).to.deep.equal(['reset', 'reset']);
    await admission.untilLent('circuit', 0);
    expect(admission.relayedBytes).to.equal(100_000);
    expect(admission.released.circuit).to.equal(1);
  });

  it('ends both sides when the source has no more to spend', async () => {
    admission.relayable = 1000;
    const relay = await startRelay();
    const { source, far } = await openCircuit(relay);
    source.stream.send(new Uint8Array(1000));
    await far.receives(1000);
    far.stream.send(new Uint8Array(1));
    await Promise.all([source.over(), far.over()]);
    await admission.untilLent('circuit', 0);
    expect(relay.status().lent?.relayedBytes).to.equal(1000);
  });

  it('ends both sides when the time is over', async () => {
    const clock = new ManualClock();
    const relay = await startRelay({ clock });
    const { source, far } = await openCircuit(relay);
    clock.advance(119_999);
    source.stream.send(Uint8Array.of(1));
    await far.receives(1);
    clock.advance(1);
    await Promise.all([source.over(), far.over()]);
    await admission.untilLent('circuit', 0);
    expect(admission.released.circuit).to.equal(1);
    expect(admission.lent.reservation).to.equal(1);
  });

  it('ends a circuit when either end resets it, or goes away', async () => {
    const relay = await startRelay();
    const first = await openCircuit(relay);
    first.far.stream.abort(new Error('enough'));
    await first.source.over();
    const second = await openCircuit(relay);
    await second.target.stop();
    await second.source.over();
    const third = await openCircuit(relay);
    await third.source.stream.close();
    await third.far.rest();
    await third.node.stop();
    await third.far.over();
    const fourth = await openCircuit(relay);
    await fourth.source.stream.close();
    await fourth.far.rest();
    await fourth.target.stop();
    await fourth.source.over();
    await admission.untilLent('circuit', 0);
    expect(admission.released.circuit).to.equal(4);
  });

  it('gives everything back when the relay stops', async () => {
    const clock = new ManualClock();
    const relay = await startRelay({ clock });
    await openCircuit(relay);
    await relay.stop();
    expect(admission.lent).to.include({ reservation: 0, circuit: 0 });
    expect(clock.sleeping).to.equal(0);
  });

  it('says of a malformed request that it is, and of another that it is not expected', async () => {
    const relay = await startRelay();
    const connection = await dial(await startPlain(), relay);
    const malformed: Record<string, Uint8Array> = {
      nothing: framed(new Uint8Array(0)),
      'no protobuf': framed(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
      'a field cut short': framed(Uint8Array.of(8, 1, 18, 50, 1)),
      'a type that is bytes': framed(Uint8Array.of(10, 1, 0)),
      'a connect without a peer': framed(Uint8Array.of(8, 1)),
      'a peer without an id': framed(Uint8Array.of(8, 1, 18, 0)),
      'an id that is none': framed(Uint8Array.of(8, 1, 18, 4, 10, 2, 1, 2)),
      'a message that is too long': writer()
        .uint32(MAX_HOP_BYTES + 1)
        .finish(),
      'a length that is too long': Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f),
    };
    for (const [what, bytes] of Object.entries(malformed)) {
      expect((await ask(connection, bytes))[0].status, what).to.equal(STATUS.malformedMessage);
    }
    const [answer] = await ask(connection, framed(Uint8Array.of(8, 2)));
    expect(answer.status).to.equal(STATUS.unexpectedMessage);
    const [whole] = await ask(
      connection,
      framed(Uint8Array.of(8, 0, ...new Array<number>(MAX_HOP_BYTES / 2 - 1).fill(120).flatMap(tag => [tag, 1]))),
    );
    expect(whole.status).to.equal(STATUS.ok);
  });

  it('does not wait for ever for a request, nor for who does not close its stream', async () => {
    const clock = new ManualClock();
    const relay = await startRelay({ clock });
    const connection = await dial(await startPlain(), relay);
    const sleeping = clock.sleeping;
    const silent = new Wire(await connection.newStream(HOP_PROTOCOL));
    silent.stream.send(Uint8Array.of(5, 8));
    await clock.until(sleeping + 1);
    clock.advance(HOP_TIMEOUT_MS);
    await silent.over();
    expect(silent.stream.status).to.equal('reset');
    const [, open] = await ask(connection, RESERVE);
    await clock.until(sleeping + 2);
    clock.advance(HOP_TIMEOUT_MS);
    await open.over();
    expect(relay.status().lent?.reservations).to.equal(1);
  });

  for (const ws of ['', '/ws']) {
    const by = ws === '' ? '' : ' by WebSocket';

    it(`takes a connection${by} with a permit only, which a handshake that fails gives back`, async () => {
      admission.places.connection = 1;
      const relay = await startRelay({ listen: [`/ip4/127.0.0.1/tcp/0${ws}`] });
      expect(relay.addresses()[0]).to.match(ws === '' ? /tcp\/\d+\/p2p\/[^/]+$/ : /tcp\/\d+\/ws\/p2p\/[^/]+$/);
      const socket = connectTo(relay);
      if (ws !== '') socket.write(UPGRADE);
      await admission.untilLent('connection', 1);
      const node = await startPlain();
      expect(await dial(node, relay).catch(() => 'refused')).to.equal('refused');
      // What no handshake begins with, in a frame where there are such.
      socket.write(ws === '' ? Uint8Array.of(3, 1, 2, 3) : Uint8Array.of(0x82, 0x84, 0, 0, 0, 0, 3, 1, 2, 3));
      await admission.untilLent('connection', 0);
      const connection = await dial(node, relay);
      expect((await reserve(connection)).status).to.equal(STATUS.ok);
      await connection.close();
      await admission.untilLent('connection', 0);
    });

    it(`gives the place of a handshake${by} that never ends back`, async () => {
      const relay = await startRelay({ listen: [`/ip4/127.0.0.1/tcp/0${ws}`] });
      const socket = connectTo(relay);
      if (ws !== '') socket.write(UPGRADE);
      await admission.untilLent('connection', 1);
      await Promise.all([hungUp(socket), admission.untilLent('connection', 0)]);
    });
  }

  it('hangs up on who connects for a WebSocket and does not ask for it, however slowly', async () => {
    const relay = await startRelay({ listen: ['/ip4/127.0.0.1/tcp/0/ws'] });
    const [silent, slow] = [connectTo(relay), connectTo(relay)];
    const trickle = setInterval(() => slow.write('G'), INBOUND_HANDSHAKE_MS / 20);
    await Promise.all([hungUp(silent), hungUp(slow)]);
    clearInterval(trickle);
    expect(admission.asked).to.deep.equal([]);
  });

  it('does not wait for who has connected for a WebSocket when it stops', async () => {
    const relay = await startRelay({ listen: ['/ip4/127.0.0.1/tcp/0/ws'] });
    const silent = connectTo(relay);
    await once(silent, 'connect');
    await Promise.all([relay.stop(), hungUp(silent)]);
  });
});

const RESERVE = framed(Uint8Array.of(8, 0));

const UPGRADE = [
  'GET / HTTP/1.1',
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  '\r\n',
].join('\r\n');

async function hungUp(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise(resolve => socket.once('close', resolve));
}

function circuitTo(node: Libp2p): Uint8Array {
  const peer = writer().uint32(10).bytes(node.peerId.toMultihash().bytes).finish();
  return framed(writer().uint32(8).uint32(1).uint32(18).bytes(peer).finish());
}

function framed(message: Uint8Array): Uint8Array {
  return writer().bytes(message).finish();
}

/** Calls `take` for each field. */
function eachField(bytes: Uint8Array, take: (field: number, input: Reader) => void): void {
  for (const input = reader(bytes); input.pos < input.len;) take(input.uint32() >>> 3, input);
}

function readAnswer(bytes: Uint8Array): Answer {
  const answer: Answer = { addresses: [] };
  eachField(bytes, (field, input) => {
    if (field === 1) expect(input.uint32()).to.equal(2);
    if (field === 5) answer.status = input.uint32();
    if (field === 3) {
      eachField(input.bytes(), (inner, part) => {
        if (inner === 1) answer.expires = Number(part.uint64());
        if (inner === 2) answer.addresses.push(multiaddr(part.bytes()).toString());
        if (inner === 3) answer.voucher = part.bytes();
      });
    }
    if (field === 4) {
      eachField(input.bytes(), (inner, part) => {
        if (inner === 1) answer.seconds = part.uint32();
        if (inner === 2) answer.bytes = Number(part.uint64());
      });
    }
  });
  return answer;
}

/** What a voucher says, once its signature has been checked (libp2p's RFC 2). */
async function openVoucher(envelope: Uint8Array): Promise<{ relay: string; peer: string; expires: number }> {
  const parts: Uint8Array[] = [];
  eachField(envelope, (field, input) => (parts[field] = input.bytes()));
  const [, key, type, payload, , signature] = parts;
  expect([...type!]).to.deep.equal([0x03, 0x02]);
  const domain = new TextEncoder().encode('libp2p-relay-rsvp');
  const signed = writer().bytes(domain).bytes(type!).bytes(payload!).finish();
  expect(await publicKeyFromProtobuf(key!).verify(signed, signature!)).to.equal(true);
  const said = { relay: '', peer: '', expires: 0 };
  eachField(payload!, (field, input) => {
    if (field === 1) said.relay = peerIdFromMultihash(decode(input.bytes())).toString();
    if (field === 2) said.peer = peerIdFromMultihash(decode(input.bytes())).toString();
    if (field === 3) said.expires = Number(input.uint64());
  });
  return said;
}

async function echo(stream: Stream): Promise<void> {
  const wire = new Wire(stream);
  stream.send(await wire.rest());
  await stream.close();
}

/** Resolves when all that was due has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
}

/** Resolves when a number has not changed for some turns of reading and writing. */
async function steady(value: () => number): Promise<void> {
  for (let same = 0, last = value(); same < 20;) {
    await new Promise(resolve => setTimeout(resolve, 10));
    same = value() === last ? same + 1 : 0;
    last = value();
  }
}

/** A stream that is read by hand. */
class Wire {
  readonly stream: Stream;
  readonly #received = new Uint8ArrayList();
  readonly #events = new EventTarget();
  #ended = false;
  #closed = false;

  constructor(stream: Stream) {
    this.stream = stream;
    this.#closed = stream.status !== 'open';
    const change = (): boolean => this.#events.dispatchEvent(new Event('change'));
    stream.addEventListener('message', ({ data }) => {
      this.#received.append(data);
      change();
    });
    stream.addEventListener('end', () => {
      this.#ended = true;
      change();
    });
    stream.addEventListener('close', () => {
      this.#closed = true;
      change();
    });
  }

  /** The next message, without its length. */
  async message(): Promise<Uint8Array> {
    for (;;) {
      if (this.#received.byteLength >= 2) {
        const [first, second] = [this.#received.get(0), this.#received.get(1)];
        const ownBytes = first < 0x80 ? 1 : 2;
        const end = ownBytes + (ownBytes === 1 ? first : (first & 0x7f) + (second << 7));
        if (this.#received.byteLength >= end) {
          const message = this.#received.slice(ownBytes, end);
          this.#received.consume(end);
          return message;
        }
      }
      if (this.#closed || this.#ended) throw new Error(`no message came: ${this.stream.status}`);
      await once(this.#events, 'change');
    }
  }

  /** Takes so many bytes. */
  async receives(bytes: number): Promise<void> {
    while (this.#received.byteLength < bytes) {
      if (this.#closed) throw new Error(`only ${this.#received.byteLength} bytes came: ${this.stream.status}`);
      await once(this.#events, 'change');
    }
    this.#received.consume(bytes);
  }

  /** All that comes until the other side ends. */
  async rest(): Promise<Uint8ArrayList> {
    while (!this.#ended) await once(this.#events, 'change');
    expect(['reset', 'aborted']).not.to.include(this.stream.status);
    const rest = this.#received.sublist();
    this.#received.consume(rest.byteLength);
    return rest;
  }

  async over(): Promise<void> {
    while (!this.#closed) await once(this.#events, 'change');
  }
}
