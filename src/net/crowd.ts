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
  readonly #protocols = new Set<string>();
  /** When a connection was first seen without a channel since it last had one. */
  readonly #idleSinceMs = new WeakMap<Guest, number>();
  readonly #kept = new WeakSet<Guest>();

  /**
   * @param connections all that the node has
   * @param places how many it may have
   */
  constructor(connections: () => readonly Guest[], places: number) {
    this.#connections = connections;
    this.#places = places;
  }

  /** A stream of this protocol is a channel. */
  counts(protocol: string): void {
    this.#protocols.add(protocol);
  }

  /** This connection is used without a channel: it does not give way. */
  keep(guest: Guest): void {
    this.#kept.add(guest);
  }

  letGo(guest: Guest): void {
    this.#kept.delete(guest);
  }

  /** A connection was opened: where it is one too many, another gives way to it. */
  opened(guest: Guest): void {
    const others = this.#guests().filter(other => other !== guest);
    const isOneTooMany = this.#open().length > this.#places;
    if (guest.direction === 'outbound') {
      const dialled = this.#open().filter(other => other.direction === 'outbound' && other !== guest);
      if (isOneTooMany) this.#giveWay([...others, ...dialled], guest);
      return;
    }
    const host = hostOf(guest.remoteAddr);
    const ofHost = others.filter(other => hostOf(other.remoteAddr) === host);
    const forOthers = this.#places - Math.ceil(SHARE_FOR_DIALS * this.#places);
    if (ofHost.length >= Math.floor(SHARE_PER_HOST * this.#places)) this.#giveWay(ofHost, guest);
    else if (isOneTooMany || others.length >= forOthers) this.#giveWay(others, guest);
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
    return this.#kept.has(guest) || guest.streams.some(({ protocol }) => this.#protocols.has(protocol));
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
