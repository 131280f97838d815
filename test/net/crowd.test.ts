import { expect } from 'chai';
import type { Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import {
  IDLE_CONNECTION_MS,
  MAX_CONNECTIONS,
  SHARE_PER_HOST,
  SHARE_FOR_DIALS,
  SHARE_OF_IDLE,
} from '../../src/limits.ts';
import { Crowd, type Guest } from '../../src/net/crowd.ts';

const CHANNEL = '/test/1';
const MAX_PER_HOST = MAX_CONNECTIONS * SHARE_PER_HOST;
const MAX_IDLE = MAX_CONNECTIONS * SHARE_OF_IDLE;
const MAX_FROM_OUTSIDE = MAX_CONNECTIONS - Math.ceil(MAX_CONNECTIONS * SHARE_FOR_DIALS);

class FakeGuest implements Guest {
  readonly direction: Guest['direction'];
  readonly remoteAddr: Guest['remoteAddr'];
  readonly timeline: Guest['timeline'];
  status: Guest['status'] = 'open';
  streams: Stream[] = [];

  constructor(address: string, openedMs: number, direction: Guest['direction']) {
    this.remoteAddr = multiaddr(address);
    this.timeline = { open: openedMs };
    this.direction = direction;
  }

  open(protocol: string): this {
    this.streams.push({ protocol } as Stream);
    return this;
  }

  abort(): void {
    this.status = 'aborted';
  }
}

describe('Crowd', () => {
  let crowd: Crowd;
  let guests: FakeGuest[];
  let inUse: FakeGuest | undefined;

  beforeEach(() => {
    guests = [];
    inUse = undefined;
    crowd = new Crowd(
      () => guests.filter(({ status }) => status === 'open'),
      MAX_CONNECTIONS,
      guest => guest === inUse,
    );
    crowd.counts(CHANNEL);
  });

  const comesFrom = (address: string, direction: Guest['direction'] = 'inbound'): FakeGuest => {
    const guest = new FakeGuest(address, guests.length, direction);
    guests.push(guest);
    crowd.opened(guest);
    return guest;
  };
  const comes = (host: string, direction?: Guest['direction']): FakeGuest => comesFrom(`/ip4/${host}/tcp/1`, direction);
  const come = (count: number, hostOfNth: (n: number) => string): FakeGuest[] =>
    Array.from({ length: count }, (_, n) => comes(hostOfNth(n)));
  const elsewhere = (n: number): string => `10.0.${n >> 8}.${n & 255}`;
  const open = (): FakeGuest[] => guests.filter(({ status }) => status === 'open');

  it('gives a new connection the place of the oldest from outside that has no channel when all are taken', () => {
    const dialled = comes('10.1.0.1', 'outbound');
    const busy = comes('10.1.0.2').open(CHANNEL);
    const [first, second] = come(MAX_FROM_OUTSIDE - 1, elsewhere);
    expect(open().length).to.equal(MAX_FROM_OUTSIDE + 1);
    first!.open('/ipfs/id/1.0.0');
    const late = comes('10.1.0.3');
    expect([first, second, dialled, busy, late].map(guest => guest!.status)).to.deep.equal([
      'aborted',
      'open',
      'open',
      'open',
      'open',
    ]);
    expect(open().length).to.equal(MAX_FROM_OUTSIDE + 1);
  });

  it('leaves a connection that is in use without a channel', () => {
    inUse = comes('10.1.0.1');
    const [first] = come(MAX_FROM_OUTSIDE, elsewhere);
    expect([inUse, first].map(guest => guest!.status)).to.deep.equal(['open', 'aborted']);
    crowd.sweep(0);
    crowd.sweep(IDLE_CONNECTION_MS);
    expect(open()).to.include(inUse);
    expect(open().length).to.equal(MAX_IDLE + 1);
  });

  it('closes the new one when all have channels', () => {
    come(MAX_FROM_OUTSIDE, elsewhere).forEach(guest => guest.open(CHANNEL));
    expect(comes('10.1.0.1').status).to.equal('aborted');
    expect(open().length).to.equal(MAX_FROM_OUTSIDE);
  });

  it('gives one that it has dialled the place of one without a channel, first of those from outside', () => {
    const [oldest] = [comes('10.2.0.1', 'outbound'), comes('10.2.0.2', 'outbound').open(CHANNEL)];
    const [first, ...served] = come(MAX_FROM_OUTSIDE, elsewhere);
    served.forEach(guest => guest.open(CHANNEL));
    while (open().length < MAX_CONNECTIONS) comes('10.2.0.3', 'outbound').open(CHANNEL);
    expect(comes('10.2.0.4', 'outbound').open(CHANNEL).status).to.equal('open');
    expect([first!.status, oldest.status]).to.deep.equal(['aborted', 'open']);
    expect(comes('10.2.0.5', 'outbound').open(CHANNEL).status).to.equal('open');
    expect(oldest.status).to.equal('aborted');
    expect(comes('10.2.0.6', 'outbound').status).to.equal('aborted');
    expect(served.every(({ status }) => status === 'open')).to.equal(true);
    expect(open().length).to.equal(MAX_CONNECTIONS);
  });

  it('does not let one host take all places', () => {
    const other = comes('10.0.0.1');
    const [first] = come(MAX_PER_HOST + 1, () => '10.0.0.2');
    expect([other.status, first!.status]).to.deep.equal(['open', 'aborted']);
    guests.forEach(guest => guest.open(CHANNEL));
    expect(comes('10.0.0.2').status).to.equal('aborted');
    expect(comes('10.0.0.1').status).to.equal('open');
  });

  it('closes the oldest of those that have had no channel for long, but for a few', () => {
    const dialled = comes('10.1.0.1', 'outbound');
    const all = come(MAX_IDLE + 3, elsewhere);
    const [used, first, second, third] = all;
    used!.open(CHANNEL);
    crowd.sweep(0);
    crowd.sweep(IDLE_CONNECTION_MS - 1);
    expect(open().length).to.equal(guests.length);
    const late = comes('10.1.0.2');
    crowd.sweep(IDLE_CONNECTION_MS);
    expect([used, first, second, third, late, dialled].map(guest => guest!.status)).to.deep.equal([
      'open',
      'aborted',
      'aborted',
      'aborted',
      'open',
      'open',
    ]);
    expect(open().length).to.equal(guests.length - 3);
  });

  it('counts the time without a channel anew after each one', () => {
    const [first] = come(MAX_IDLE + 1, elsewhere);
    crowd.sweep(0);
    first!.open(CHANNEL);
    crowd.sweep(1);
    first!.streams = [];
    crowd.sweep(2);
    crowd.sweep(IDLE_CONNECTION_MS + 1);
    expect(first!.status).to.equal('open');
    crowd.sweep(IDLE_CONNECTION_MS + 2);
    expect(guests.filter(({ status }) => status === 'aborted').length).to.equal(1);
  });

  const isOneHost = (first: string, second: string): boolean => {
    guests = [];
    const [oldest] = Array.from({ length: MAX_PER_HOST }, () => comesFrom(first));
    comesFrom(second);
    return oldest!.status === 'aborted';
  };

  it('tells IPv4 addresses apart, and not their ports', () => {
    expect(isOneHost('/ip4/1.2.3.4/tcp/1', '/ip4/1.2.3.4/tcp/2')).to.equal(true);
    expect(isOneHost('/ip4/1.2.3.4/tcp/1', '/ip4/1.2.3.5/tcp/1')).to.equal(false);
    expect(isOneHost('/ip4/1.2.3.4/tcp/1', '/ip6/::ffff:1.2.3.4/tcp/1')).to.equal(true);
    expect(isOneHost('/ip6/::ffff:1.2.3.4/tcp/1', '/ip6/::ffff:1.2.3.5/tcp/1')).to.equal(false);
  });

  it('takes an IPv6 network of 64 bits for one host', () => {
    expect(isOneHost('/ip6/2a00:1:2:3::1/tcp/1', '/ip6/2a00:1:2:3:4:5:6:7/tcp/1')).to.equal(true);
    expect(isOneHost('/ip6/2a00:1:2:3::1/tcp/1', '/ip6/2a00:1:2:4::1/tcp/1')).to.equal(false);
    expect(isOneHost('/ip6zone/eth0/ip6/fe80::1/tcp/1', '/ip6/fe80::2/tcp/1')).to.equal(true);
  });
});
