import { multiaddr } from '@multiformats/multiaddr';
import { expect } from 'chai';
import type { Connection } from '@libp2p/interface';
import { createLibp2p, type Libp2p } from 'libp2p';
import { noise } from '@chainsafe/libp2p-noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { writer } from 'protons-runtime';
import { isShoalError, type ErrorCode } from '../../src/errors.ts';
import { MAX_RESERVED_ADDRESSES, MAX_RESERVATION_BYTES } from '../../src/limits.ts';
import { askForReservation } from '../../src/net/reserving.ts';

const HOP = '/libp2p/circuit/relay/0.2.0/hop';
const OTHER = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo';
const UNTIL = 1_800_000_000;

describe('Asking a relay for a reservation', () => {
  let relay: Libp2p;
  let home: Libp2p;
  let connection: Connection;
  let answer: Uint8Array[] = [];
  let asked: Uint8Array | undefined;

  before(async () => {
    [relay, home] = await Promise.all([plainNode(), plainNode()]);
    await relay.handle(HOP, async stream => {
      for await (const bytes of stream) {
        asked = bytes.subarray();
        break;
      }
      for (const part of answer) stream.send(part);
      if (answer.length > 0) await stream.close();
    });
    connection = await home.dial(relay.getMultiaddrs());
  });

  after(() => Promise.all([relay.stop(), home.stop()]));

  const ask = (...parts: Uint8Array[]): ReturnType<typeof askForReservation> => {
    answer = parts;
    return askForReservation(connection, AbortSignal.timeout(3000));
  };

  it('gives what was granted, however it is cut on its way', async () => {
    const bytes = message({ status: 100, until: UNTIL, seconds: 120, bytes: 131_072 });
    for (const parts of [[bytes], Array.from(bytes, byte => Uint8Array.of(byte))]) {
      const granted = await ask(...parts);
      expect(granted.until).to.equal(UNTIL);
      expect(granted.limits).to.deep.equal({ bytes: 131_072, seconds: 120 });
      expect(granted.addresses.map(String)).to.deep.equal([connection.remoteAddr.toString()]);
    }
    expect(Array.from(asked ?? [])).to.deep.equal([2, 8, 0]);
  });

  it('knows no limits where none are told', async () => {
    expect((await ask(message({ status: 100, until: UNTIL }))).limits).to.equal(undefined);
    expect((await ask(message({ status: 100, until: UNTIL, seconds: 0, bytes: 0 }))).limits).to.equal(undefined);
  });

  it('believes addresses of the relay that reach as far as the one that was dialled, and few', async () => {
    const own = connection.remotePeer.toString();
    const told = [
      '/ip4/1.2.3.4/tcp/1',
      `/dns4/example.org/tcp/2/p2p/${own}`,
      '/ip4/10.0.0.1/tcp/3',
      `/ip4/1.2.3.4/tcp/4/p2p/${OTHER}`,
      `/ip4/1.2.3.4/tcp/5/p2p/${OTHER}/p2p-circuit/p2p/${own}`,
      '/ip4/1.2.3.4/tcp/0',
    ].map(text => multiaddr(text).bytes);
    const { addresses } = await ask(message({ status: 100, until: UNTIL, addresses: [...told, Uint8Array.of(1, 2)] }));
    expect(addresses.map(String)).to.deep.equal([
      connection.remoteAddr.toString(),
      `/ip4/1.2.3.4/tcp/1/p2p/${own}`,
      `/dns4/example.org/tcp/2/p2p/${own}`,
    ]);
    const many = Array.from({ length: 100 }, (_, n) => multiaddr(`/ip4/1.2.3.4/tcp/${n + 1}`).bytes);
    const granted = await ask(message({ status: 100, until: UNTIL, addresses: many }));
    expect(granted.addresses.length).to.equal(MAX_RESERVED_ADDRESSES);
  });

  it('says why it was refused', async () => {
    await expectRejection(ask(message({ status: 201 })), 'refused', /no place left/);
    await expectRejection(ask(message({ status: 299 })), 'refused', /299/);
  });

  it('refuses answers that are none', async () => {
    await expectRejection(ask(message({ status: 100 })), 'protocol', /until when/);
    await expectRejection(ask(message({ type: 1, status: 100, until: UNTIL })), 'protocol', /something else/);
    await expectRejection(ask(Uint8Array.of(3, 0x1a, 0x7f, 0)), 'protocol', /can not be read/);
    await expectRejection(ask(Uint8Array.of(9, 1)), 'protocol', /no answer/);
    await expectRejection(ask(new Uint8Array(10).fill(0xff)), 'protocol', /no answer/);
    const large = new Uint8Array(MAX_RESERVATION_BYTES + 10).fill(0x80);
    await expectRejection(ask(Uint8Array.of(0x81, 0x20), large), 'protocol', /no answer/);
  });

  it('does not wait longer than it is told to', async () => {
    answer = [];
    const error: unknown = await askForReservation(connection, AbortSignal.timeout(50)).catch((e: unknown) => e);
    expect((error as Error).name).to.equal('TimeoutError');
  });
});

interface Told {
  readonly type?: number;
  readonly status: number;
  readonly until?: number;
  readonly addresses?: readonly Uint8Array[];
  readonly seconds?: number;
  readonly bytes?: number;
}

/** A HopMessage with its length before it. */
function message({ type = 2, status, until, addresses = [], seconds, bytes }: Told): Uint8Array {
  const out = writer();
  out.fork();
  out.uint32(8).uint32(type);
  if (until !== undefined) {
    out.uint32(26).fork().uint32(8).uint64Number(until);
    for (const address of addresses) out.uint32(18).bytes(address);
    out.ldelim();
  }
  if (seconds !== undefined && bytes !== undefined) {
    out.uint32(34).fork().uint32(8).uint32(seconds).uint32(16).uint64Number(bytes).ldelim();
  }
  out.uint32(40).uint32(status);
  return out.ldelim().finish();
}

function plainNode(): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  });
}

async function expectRejection(work: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isShoalError(error, code)) throw new Error(`expected a ShoalError ${code}, got ${String(error)}`);
  expect(error.message).to.match(message);
}
