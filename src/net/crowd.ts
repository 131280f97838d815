/**
 * Who may stay connected to this node. A stranger costs nothing to be many, so places are kept for those who use them: a
 * connection from outside that has no channel gives way when there are too many of its host, or of all. One that this node
 * has dialled finds a place while any connection has no channel.
 */
import type { Connection } from '@libp2p/interface';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { IDLE_CONNECTION_MS, SHARE_FOR_DIALS, SHARE_OF_IDLE, SHARE_PER_HOST } from '../limits.ts';

/** What is looked at of a connection. */
export type Guest = Pick<Connection, 'direction' | 'remoteAddr' | 'status' | 'streams' | 'abort' | 'timeline'>;

export class Crowd {
  readonly #connections: () => readonly Guest[];
  readonly #places: number;
  readonly #isInUse: (guest: Guest) => boolean;
  readonly #protocols = new Set<string>();
  readonly #hosts = new WeakMap<Guest, string>();
  /** When a connection was first seen without a channel since it last had one. */
  readonly #idleSinceMs = new WeakMap<Guest, number>();

  /**
   * @param connections all that the node has
   * @param places how many it may have
   * @param isInUse whether a connection counts as one that has a channel, though it has none
   */
  constructor(connections: () => readonly Guest[], places: number, isInUse: (guest: Guest) => boolean = () => false) {
    this.#connections = connections;
    this.#places = places;
    this.#isInUse = isInUse;
  }

  /** A stream of this protocol is a channel. */
  counts(protocol: string): void {
    this.#protocols.add(protocol);
  }

  /** A connection was opened: where it is one too many, another gives way to it. */
  opened(guest: Guest): void {
    const host = this.#hostOf(guest);
    const isInbound = guest.direction === 'inbound';
    let [all, others, ofHost] = [0, 0, 0];
    // Relays have thousands of them, so that this is done in one go, and nothing is made of it where there is room.
    for (const other of this.#connections()) {
      if (other.status !== 'open') continue;
      all++;
      if (other === guest || other.direction !== 'inbound') continue;
      others++;
      if (this.#hostOf(other) === host) ofHost++;
    }
    const isOneTooMany = all > this.#places;
    const forOthers = this.#places - Math.ceil(SHARE_FOR_DIALS * this.#places);
    const isHostFull = isInbound && ofHost >= Math.floor(SHARE_PER_HOST * this.#places);
    if (!isHostFull && !isOneTooMany && !(isInbound && others >= forOthers)) return;
    const guests = this.#guests().filter(other => other !== guest);
    if (isHostFull)
      this.#giveWay(
        guests.filter(other => this.#hostOf(other) === host),
        guest,
      );
    else if (isInbound) this.#giveWay(guests, guest);
    else
      this.#giveWay(
        [...guests, ...this.#open().filter(other => other.direction === 'outbound' && other !== guest)],
        guest,
      );
  }

  /** Closes those that have had no channel for long, the oldest first, while there are more than a few. */
  sweep(nowMs: number): void {
    let idle = 0;
    const late: Guest[] = [];
    for (const guest of this.#guests()) {
      if (this.#hasChannel(guest)) {
        this.#idleSinceMs.delete(guest);
        continue;
      }
      idle++;
      const sinceMs = this.#idleSinceMs.get(guest) ?? nowMs;
      this.#idleSinceMs.set(guest, sinceMs);
      if (nowMs - sinceMs >= IDLE_CONNECTION_MS) late.push(guest);
    }
    const tooMany = Math.max(0, idle - Math.floor(SHARE_OF_IDLE * this.#places));
    for (const guest of late.slice(0, tooMany)) guest.abort(new Error('the connection is not used'));
  }

  /** Ends the first of `guests` that has no channel; where all have one, there is no place for `guest`. */
  #giveWay(guests: readonly Guest[], guest: Guest): void {
    const leaving = guests.find(other => !this.#hasChannel(other)) ?? guest;
    leaving.abort(new Error('others wait for a connection'));
  }

  #hasChannel(guest: Guest): boolean {
    return guest.streams.some(({ protocol }) => this.#protocols.has(protocol)) || this.#isInUse(guest);
  }

  #hostOf(guest: Guest): string {
    const host = this.#hosts.get(guest) ?? hostOf(guest.remoteAddr);
    this.#hosts.set(guest, host);
    return host;
  }

  /** Those that came from outside, the oldest first. */
  #guests(): Guest[] {
    return this.#open().filter(({ direction }) => direction === 'inbound');
  }

  /** The oldest first. */
  #open(): Guest[] {
    const open = this.#connections().filter(({ status }) => status === 'open');
    return open.sort((a, b) => a.timeline.open - b.timeline.open);
  }
}

/** What one stranger has for certain: an IPv4 address, or an IPv6 network of 64 bits, in which addresses cost nothing. */
function hostOf(address: Multiaddr): string {
  const host = multiaddr(address.bytes)
    .getComponents()
    .find(({ name }) => name === 'ip4' || name === 'ip6');
  const bytes = host?.bytes?.subarray(host.name === 'ip4' ? -4 : -16) ?? new Uint8Array(0);
  const isMapped = bytes.length === 16 && MAPPED.every((byte, n) => bytes[n] === byte);
  return Buffer.from(isMapped ? bytes.subarray(12) : bytes.subarray(0, 8)).toString('hex');
}

/** IPv4 addresses in IPv6 (RFC 4291). */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
