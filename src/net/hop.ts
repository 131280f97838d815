/**
 * What a relay does for peers that nobody can dial (circuit relay v2, its hop side): it keeps a reservation while they stay
 * connected, and passes bytes between them and those who ask for them. It sees ciphertext only.
 *
 * Who may have how much, admission says; what it says is what is told and what is held to. A circuit may carry what the
 * better off of its two ends may, so that no end gets less than it was told.
 */
import type { Connection, Libp2p, PeerId, PrivateKey, Stream } from '@libp2p/interface';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { isShoalError } from '../errors.ts';
import {
  CLOSE_LINGER_MS,
  HOP_TIMEOUT_MS,
  MAX_HOP_STREAMS,
  MAX_TOLD_ADDRESSES,
  LONGEST_SLEEP_MS,
  MAX_STOP_STREAMS,
} from '../limits.ts';
import type { Clock, Log } from '../ports.ts';
import type { Admission, Asker, Denied, Permit } from '../protocol/admission.ts';
import { splice } from './splice.ts';
import { placeOf } from './gater.ts';
import {
  decodeHopRequest,
  decodeStopStatus,
  encodeHopStatus,
  encodeStopConnect,
  HOP_PROTOCOL,
  readMessage,
  sealVoucher,
  STATUS,
  STOP_PROTOCOL,
  type CircuitLimit,
  type Status,
} from './hop-messages.ts';
import { closed } from './connections.ts';
import type { Line } from './lines.ts';

export interface HopOptions {
  readonly libp2p: Pick<
    Libp2p,
    'peerId' | 'handle' | 'unhandle' | 'getConnections' | 'addEventListener' | 'removeEventListener'
  >;
  readonly privateKey: PrivateKey;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly log: Log;
  /** Under which addresses the relay believes it can be reached. */
  readonly addresses: () => readonly Multiaddr[];
  /** What carries a stream. */
  readonly lineBelow: (stream: Stream) => Line | undefined;
}

/** A place at the relay, for as long as its peer stays. */
interface Reservation extends Terms {
  readonly permit: Permit;
  /** Aborted when the reservation is over; nothing of it acts afterwards. */
  readonly over: AbortController;
  isTold: boolean;
}

/** What a renewal replaces. */
interface Terms {
  /** By the monotonic clock. */
  expiresMs: number;
  /** What its peer was told of circuits. */
  limit: CircuitLimit;
  connection: Connection;
}

export class Hop {
  /** Those of its streams. */
  readonly protocols = [HOP_PROTOCOL, STOP_PROTOCOL] as const;
  readonly #options: HopOptions;
  readonly #reservations = new Map<string, Reservation>();
  readonly #answers = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  #circuits = 0;
  #relayedBytes = 0;

  constructor(options: HopOptions) {
    this.#options = options;
  }

  /** What is lent now, and the bytes that were relayed since the start. */
  get lent(): { readonly reservations: number; readonly circuits: number; readonly relayedBytes: number } {
    return { reservations: this.#reservations.size, circuits: this.#circuits, relayedBytes: this.#relayedBytes };
  }

  /** Answers requests from now on. */
  async start(): Promise<void> {
    const { libp2p } = this.#options;
    libp2p.addEventListener('connection:close', this.#onConnectionClose);
    await libp2p.handle(HOP_PROTOCOL, (stream, connection) => this.#serve(stream, connection), {
      maxInboundStreams: MAX_HOP_STREAMS,
      runOnLimitedConnection: false,
    });
  }

  /** Ends all circuits and gives everything back. */
  async stop(): Promise<void> {
    const { libp2p } = this.#options;
    this.#stopping.abort(new Error('the relay stops'));
    libp2p.removeEventListener('connection:close', this.#onConnectionClose);
    await libp2p.unhandle(HOP_PROTOCOL);
    for (const peer of [...this.#reservations.keys()]) this.#drop(peer);
    await Promise.all(this.#answers);
  }

  /** Whether a reservation was made over this very connection. */
  keeps(connection: unknown): boolean {
    for (const reservation of this.#reservations.values()) if (reservation.connection === connection) return true;
    return false;
  }

  #serve(stream: Stream, connection: Connection): void {
    const answer = this.#answer(stream, connection)
      .catch((error: unknown) => {
        this.#options.log('debug', 'a request to the relay has failed', { reason: (error as Error).message });
        stream.abort(error as Error);
      })
      .finally(() => this.#answers.delete(answer));
    this.#answers.add(answer);
  }

  async #answer(stream: Stream, connection: Connection): Promise<void> {
    const status = await this.#carryOut(stream, connection);
    if (status !== undefined) stream.send(encodeHopStatus(status));
    // Who does not close it too is not waited for long.
    await this.#within(CLOSE_LINGER_MS, async signal => {
      await stream.close({ signal });
      await closed(stream, signal);
    });
  }

  /** What to answer; nothing where that was done. */
  async #carryOut(stream: Stream, connection: Connection): Promise<Status | undefined> {
    let request;
    try {
      request = decodeHopRequest(await this.#within(HOP_TIMEOUT_MS, signal => readMessage(stream, signal)));
    } catch (error) {
      if (isShoalError(error, 'protocol')) return STATUS.malformedMessage;
      throw error;
    }
    if (isRelayed(connection)) return STATUS.permissionDenied;
    if (request.kind === 'reserve') return await this.#reserve(stream, connection);
    if (request.kind === 'connect') return await this.#connect(stream, connection, request.to);
    return STATUS.unexpectedMessage;
  }

  async #reserve(stream: Stream, connection: Connection): Promise<Status | undefined> {
    const { admission, clock, libp2p, privateKey } = this.#options;
    const { remotePeer } = connection;
    const peer = remotePeer.toString();
    const who = askerOf(connection);
    const quotas = admission.quotasOf(who);
    const expiresMs = clock.monotonic() + quotas.reservationSeconds * 1000;
    const expires = Math.floor(clock.now() / 1000 + quotas.reservationSeconds);
    const limit = limitOf(quotas);
    const existing = this.#reservations.get(peer);
    const terms = { expiresMs, limit, connection };
    const reservation = existing ?? this.#open(peer, terms, admission.admit('reservation', who));
    if (reservation === undefined) return STATUS.reservationRefused;
    Object.assign(reservation, terms);
    try {
      const voucher = await sealVoucher(privateKey, libp2p.peerId, remotePeer, expires);
      const note = { expires, addresses: this.#addresses(), voucher };
      stream.send(encodeHopStatus(STATUS.ok, note, limit));
      reservation.isTold = true;
    } catch (error) {
      // Who was not told does not count on it.
      if (!reservation.isTold && this.#reservations.get(peer) === reservation) this.#drop(peer);
      throw error;
    }
    return undefined;
  }

  /** Nothing where admission has denied it, or the peer has just gone: then nobody would say that again. */
  #open(peer: string, terms: Terms, permit: Permit | Denied): Reservation | undefined {
    if ('denied' in permit) return undefined;
    if (terms.connection.status !== 'open' || this.#stopping.signal.aborted) {
      permit.release();
      return undefined;
    }
    const reservation = { ...terms, permit, over: new AbortController(), isTold: false };
    this.#reservations.set(peer, reservation);
    void this.#expire(peer, reservation).catch(() => undefined);
    return reservation;
  }

  /** Ends the reservation when its time has come, which a renewal puts off. @throws when it is over before */
  async #expire(peer: string, reservation: Reservation): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const left = reservation.expiresMs - clock.monotonic();
      if (left <= 0) break;
      await clock.sleep(Math.min(left, LONGEST_SLEEP_MS), reservation.over.signal);
    }
    // A reservation that is over has been dropped, and the peer may have another one by now.
    if (!reservation.over.signal.aborted) this.#drop(peer);
  }

  /** The last connection of a peer takes its reservation with it. */
  #onConnectionClose = ({ detail }: CustomEvent<Connection>): void => {
    const { remotePeer } = detail;
    const others = this.#options.libp2p.getConnections(remotePeer);
    if (!others.some(other => other !== detail && other.status === 'open')) this.#drop(remotePeer.toString());
  };

  #drop(peer: string): void {
    const reservation = this.#reservations.get(peer);
    if (reservation === undefined) return;
    this.#reservations.delete(peer);
    reservation.over.abort();
    reservation.permit.release();
  }

  /** Addresses that others can use, as far as there are such; each ends in the relay's peer id. */
  #addresses(): Uint8Array[] {
    const all = this.#options.addresses().filter(address => !hasCircuit(address));
    const reachable = all.filter(address => ['public', 'name'].includes(placeOf(address)));
    return (reachable.length > 0 ? reachable : all).slice(0, MAX_TOLD_ADDRESSES).map(({ bytes }) => bytes);
  }

  async #connect(stream: Stream, connection: Connection, to: PeerId): Promise<Status | undefined> {
    const { admission } = this.#options;
    const source = askerOf(connection);
    const reservation = this.#reservations.get(to.toString());
    const target = reservation === undefined ? undefined : this.#openConnection(to, reservation);
    if (reservation === undefined || target === undefined) return STATUS.noReservation;
    const permit = admission.admit('circuit', source);
    if ('denied' in permit) return STATUS.resourceLimitExceeded;
    this.#circuits++;
    try {
      const limit = largerOf(limitOf(admission.quotasOf(source)), reservation.limit);
      const far = await this.#openFar(target, connection.remotePeer, limit);
      if (far === undefined) return STATUS.connectionFailed;
      await this.#relay(stream, far, limit, source);
      return undefined;
    } finally {
      this.#circuits--;
      permit.release();
    }
  }

  /** A connection to a peer that has a reservation: the one that it was made over, as long as that is open. */
  #openConnection(peer: PeerId, { connection }: Reservation): Connection | undefined {
    const connections = [connection, ...this.#options.libp2p.getConnections(peer)];
    return connections.find(({ status }) => status === 'open');
  }

  /** A stream to the other end, once that has taken the circuit. */
  async #openFar(target: Connection, from: PeerId, limit: CircuitLimit): Promise<Stream | undefined> {
    let far: Stream | undefined;
    try {
      return await this.#within(HOP_TIMEOUT_MS, async signal => {
        far = await target.newStream(STOP_PROTOCOL, { signal, maxOutboundStreams: MAX_STOP_STREAMS });
        far.send(encodeStopConnect(from, limit));
        const status = decodeStopStatus(await readMessage(far, signal));
        if (status !== STATUS.ok) throw new Error(`the other end has refused the circuit, with status ${status}`);
        return far;
      });
    } catch (error) {
      this.#options.log('debug', 'a circuit was not taken', { reason: (error as Error).message });
      far?.abort(error as Error);
      return undefined;
    }
  }

  /** Passes bytes until both ends have ended, or a limit is reached. @throws the reason when they have not */
  async #relay(near: Stream, far: Stream, limit: CircuitLimit, source: Asker): Promise<void> {
    const { clock, lineBelow } = this.#options;
    const over = new AbortController();
    const until = AbortSignal.any([over.signal, this.#stopping.signal]);
    const onTime = (): void => over.abort(new Error('the circuit has lasted as long as it may'));
    void clock.sleep(Math.min(limit.seconds * 1000, LONGEST_SLEEP_MS), until).then(onTime, () => undefined);
    let left = limit.bytes;
    const take = (bytes: number): number => {
      const passing = Math.min(bytes, left);
      this.#spend(source, passing);
      left -= passing;
      return passing;
    };
    try {
      near.send(encodeHopStatus(STATUS.ok, undefined, limit));
      const [a, b] = [near, far].map(stream => ({ stream, line: lineBelow(stream) })) as [EndOf, EndOf];
      await splice(a, b, take, until);
    } catch (error) {
      far.abort(error as Error);
      throw error;
    } finally {
      over.abort();
    }
  }

  /** @throws Error where the source has used up what it may have relayed */
  #spend(source: Asker, bytes: number): void {
    const denied = bytes === 0 ? undefined : this.#options.admission.spend('relayed', source, bytes);
    if (denied !== undefined) throw new Error(`a limit is reached: ${denied.denied}`);
    this.#relayedBytes += bytes;
  }

  /** Work that must be done in time, and before the relay stops. */
  async #within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const done = new AbortController();
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, this.#stopping.signal]);
    const onTime = (): void => late.abort(new Error(`nothing has happened for ${ms / 1000} s`));
    void this.#options.clock.sleep(ms, done.signal).then(onTime, () => undefined);
    try {
      return await work(signal);
    } finally {
      done.abort();
    }
  }
}

type EndOf = Parameters<typeof splice>[0];

function askerOf({ remotePeer, remoteAddr }: Connection): Asker {
  return { peer: remotePeer.toString(), address: remoteAddr.toString() };
}

function limitOf({ circuitBytes, circuitSeconds }: { circuitBytes: number; circuitSeconds: number }): CircuitLimit {
  return { seconds: circuitSeconds, bytes: circuitBytes };
}

function largerOf(a: CircuitLimit, b: CircuitLimit): CircuitLimit {
  return { seconds: Math.max(a.seconds, b.seconds), bytes: Math.max(a.bytes, b.bytes) };
}

function isRelayed({ limits, remoteAddr }: Connection): boolean {
  return limits !== undefined || hasCircuit(remoteAddr);
}

function hasCircuit(address: Multiaddr): boolean {
  return multiaddr(address.bytes)
    .getComponents()
    .some(({ name }) => name === 'p2p-circuit');
}
