/**
 * Places at relays by which others reach this node (docs/protocol.md, Relays). One loop for each relay that was asked for
 * decides by itself: it dials, reserves, renews at half of the time, and begins again when the connection is over, when the
 * machine has slept or when its networks have changed. Relays that nobody named are never looked for.
 */
import type { Connection } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import {
  MAX_CLOCK_DRIFT_MS,
  MAX_RENEWAL_MS,
  MAX_RETRY_MS,
  MIN_RETRY_MS,
  RESERVATION_CHECK_MS,
  RESERVE_TIMEOUT_MS,
} from '../limits.ts';
import type { Clock, Log, RelayPlace, Reservation } from '../ports.ts';
import { closed, reasonOf } from './connections.ts';
import type { askForReservation, Granted } from './reserving.ts';

/** What reserving works with. */
export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  /** A direct connection to a relay, in time. */
  connect(relay: string, addresses: readonly Multiaddr[], signal: AbortSignal): Promise<Connection>;
  /** Ends a connection to a relay that is not needed any more for this. */
  leave(connection: Connection): void;
  readonly ask: typeof askForReservation;
  /** The networks that this machine is in, in a form that can be compared. */
  networks(): string;
  /** What can be reached now: relays by peer id, and addresses that lead through them to this node. */
  changed(relays: readonly string[], addresses: readonly Multiaddr[]): void;
}

/** One relay. */
interface Place {
  readonly peer: string;
  /** Where to dial it: all that its users gave. */
  readonly addresses: Map<string, Multiaddr>;
  users: number;
  greet: RelayPlace['greet'];
  readonly released: AbortController;
  granted: Granted | undefined;
  why: string | undefined;
  /** Resolves when the first attempt has ended, or nobody wants it any more. */
  readonly tried: PromiseWithResolvers<void>;
}

export class Reservations {
  readonly #around: Surroundings;
  readonly #places = new Map<string, Place>();
  readonly #stopped: AbortSignal;

  /** @param stopped the node stops */
  constructor(around: Surroundings, stopped: AbortSignal) {
    this.#around = around;
    this.#stopped = stopped;
  }

  /** Keeps a reservation until the returned function was called as often as this for the same relay. */
  reserve(peer: string, addresses: readonly Multiaddr[], greet?: RelayPlace['greet']): () => void {
    const place = this.#places.get(peer) ?? this.#begin(peer);
    addresses.forEach(address => place.addresses.set(address.toString(), address));
    place.greet ??= greet;
    place.users++;
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      place.users--;
      if (place.users === 0) this.#release(place);
    };
  }

  list(): Reservation[] {
    return Array.from(this.#places.values(), ({ peer, granted, why }) => ({
      peer,
      state: granted === undefined ? 'trying' : 'reserved',
      ...(granted === undefined ? {} : { until: granted.until }),
      ...(why === undefined ? {} : { why }),
      ...(granted?.limits === undefined ? {} : { limits: granted.limits }),
    }));
  }

  /** Resolves when each that was asked for until now is reserved, or has failed for the first time. */
  async settled(): Promise<void> {
    await Promise.all(Array.from(this.#places.values(), ({ tried }) => tried.promise));
  }

  #begin(peer: string): Place {
    const released = new AbortController();
    const place: Place = {
      ...{ peer, addresses: new Map(), users: 0, released },
      ...{ granted: undefined, why: undefined, greet: undefined, tried: Promise.withResolvers() },
    };
    this.#places.set(peer, place);
    const signal = AbortSignal.any([released.signal, this.#stopped]);
    // Begins when the addresses are there.
    queueMicrotask(() => void this.#keep(place, signal).catch(() => undefined));
    return place;
  }

  #release(place: Place): void {
    this.#places.delete(place.peer);
    place.released.abort();
    place.tried.resolve();
    this.#tell();
  }

  async #keep(place: Place, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#around;
    for (let pauseMs = MIN_RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_RETRY_MS)) {
      const beganMs = clock.monotonic();
      try {
        await this.#hold(place, signal);
        place.why = 'the connection to it has ended';
      } catch (error) {
        signal.throwIfAborted();
        place.why = reasonOf(error);
      }
      log('debug', 'there is no reservation at a relay', { reason: place.why });
      // One that is lost again and again at once is tried less and less.
      if (place.granted !== undefined && clock.monotonic() - beganMs > pauseMs) pauseMs = MIN_RETRY_MS;
      this.#note(place, undefined);
      await this.#wait(pauseMs, signal);
    }
  }

  /** Connects, reserves, and renews until the connection is over. @throws where that fails; the signal's reason */
  async #hold(place: Place, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#around;
    const inTime = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(RESERVE_TIMEOUT_MS)]);
    const connection = await this.#around.connect(place.peer, [...place.addresses.values()], inTime());
    await place
      .greet?.(inTime())
      .catch((error: unknown) => log('debug', 'a relay was not greeted', { reason: reasonOf(error) }));
    try {
      while (connection.status === 'open') {
        await this.#renew(place, connection, inTime());
        const halfMs = ((place.granted?.until ?? 0) * 1000 - clock.now()) / 2;
        const ended = new AbortController();
        const waking = AbortSignal.any([signal, ended.signal]);
        const renewMs = Math.max(RESERVATION_CHECK_MS, Math.min(halfMs, MAX_RENEWAL_MS));
        await Promise.race([closed(connection, waking), this.#wait(renewMs, waking)]).finally(() => ended.abort());
      }
    } finally {
      // The relay keeps the place for as long as the connection lasts.
      if (place.released.signal.aborted) this.#around.leave(connection);
    }
  }

  async #renew(place: Place, connection: Connection, limited: AbortSignal): Promise<void> {
    try {
      const granted = await this.#around.ask(connection, limited);
      limited.throwIfAborted();
      this.#note(place, granted);
    } catch (error) {
      // Where nobody answers any more, another attempt needs another connection.
      if (limited.aborted && !place.released.signal.aborted) connection.abort(error as Error);
      throw error;
    }
  }

  /** Waits; not longer than until the machine has slept or is in other networks. */
  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#around;
    const [before, endMs] = [this.#around.networks(), clock.monotonic() + ms];
    const driftMs = clock.now() - clock.monotonic();
    for (let leftMs = ms; leftMs > 0; leftMs = endMs - clock.monotonic()) {
      await clock.sleep(Math.min(leftMs, RESERVATION_CHECK_MS), signal);
      const hasSlept = Math.abs(clock.now() - clock.monotonic() - driftMs) > MAX_CLOCK_DRIFT_MS;
      if (hasSlept || this.#around.networks() !== before) return;
    }
  }

  #note(place: Place, granted: Granted | undefined): void {
    const hadNone = place.granted === undefined;
    place.granted = granted;
    if (granted !== undefined) place.why = undefined;
    place.tried.resolve();
    if (!hadNone || granted !== undefined) this.#tell();
  }

  #tell(): void {
    const reserved = [...this.#places.values()].filter(({ granted }) => granted !== undefined);
    const addresses = reserved.flatMap(({ granted }) => granted?.addresses ?? []);
    this.#around.changed(
      reserved.map(({ peer }) => peer),
      addresses.map(address => address.encapsulate('/p2p-circuit')),
    );
  }
}
