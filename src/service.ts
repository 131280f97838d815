/** What a node serves: at whose wish, for how long, to whom, and how much of it. */
import { forgetDifference } from './clocks.ts';
import { isShoalError } from './errors.ts';
import { Expiring } from './expiring.ts';
import type { BlockId } from './format/ids.ts';
import type { Home } from './home.ts';
import { TRAFFIC_FLUSH_MS } from './limits.ts';
import type { ShareRecord } from './catalog.ts';
import type { Log, Network } from './ports.ts';
import { Server, type Served } from './serve.ts';
import { systemClock } from './clock.ts';

type ServedListener = (served: Served) => void;
type ChangeListener = (id: BlockId, why: string) => void;
type EndListener = (id: BlockId) => void;

export class Service {
  readonly #home: Home | undefined;
  #server: Server | undefined;
  /** How many commands ask for each share to be served. */
  readonly #wanted = new Map<BlockId, number>();
  /** While there is a daemon: the shares that it serves, and what ends that. */
  #always: Map<BlockId, () => void> | undefined;
  /** Peers that are being served. */
  readonly #visitors = new Map<string, { channels: number; bytes: number }>();
  readonly #traffic = new Map<BlockId, { bytes: number; peers: number }>();
  readonly #servedListeners = new Set<ServedListener>();
  readonly #changeListeners = new Set<ChangeListener>();
  readonly #endListeners = new Set<EndListener>();
  /** Of shares that are for so many downloads: how many are left, where the catalog does not know it yet. */
  readonly #downloadsLeft = new Map<BlockId, number>();
  readonly #flusher: NodeJS.Timeout;
  readonly #log: Log;
  #isFlushed = true;

  private constructor(home: Home | undefined, log: Log) {
    this.#home = home;
    this.#log = log;
    if (home !== undefined) home.onChanged = (id, why) => this.#changed(id, why);
    this.#flusher = setInterval(() => this.#flush(), TRAFFIC_FLUSH_MS);
    this.#flusher.unref();
  }

  /** @param network of a node that serves; without one it only keeps what is to be served */
  static async start(home: Home | undefined, network: Network | undefined, log: Log): Promise<Service> {
    const service = new Service(home, log);
    if (home === undefined || network === undefined) return service;
    service.#server = await Server.start({
      network,
      source: home.source,
      refusals: { for: (id, now) => home.refusalOf(id, now) },
      grantOf: id => {
        const grant = home.catalog.grants.get(id);
        return grant && { share: grant.share, bytes: grant.block };
      },
      deliveriesLeft: id => service.#leftOf(id),
      clock: systemClock,
      log,
      onServed: served => service.#onServed(served),
    });
    // Who asks for a share that has changed is told so, whatever it is that this home serves at the moment.
    for (const id of home.catalog.changed()) service.#server.refuse(id);
    for (const { id } of home.catalog.expiries()) if (service.#isOver(id)) service.#server.refuse(id);
    return service;
  }

  /** Whether it can serve. */
  get isOn(): boolean {
    return this.#server !== undefined;
  }

  /** How many shares are served now. */
  get count(): number {
    return this.#wanted.size;
  }

  has(id: BlockId): boolean {
    return this.#server?.has(id) === true;
  }

  /** Whether a command that runs asks for a share to be served. */
  isAskedFor(id: BlockId): boolean {
    return (this.#wanted.get(id) ?? 0) > (this.#always?.has(id) === true ? 1 : 0);
  }

  /** Serves a share until the returned function was called as often as this one. */
  serve(id: BlockId): () => void {
    const server = this.#server;
    if (server === undefined) throw new Error('only the holder of a home serves');
    this.#wanted.set(id, (this.#wanted.get(id) ?? 0) + 1);
    for (const one of this.#withGrants(id)) server.add(one);
    return () => {
      const left = (this.#wanted.get(id) ?? 1) - 1;
      if (left > 0) return void this.#wanted.set(id, left);
      this.#wanted.delete(id);
      if (this.#isOver(id)) this.#refuse(id);
      else this.#remove(id);
    };
  }

  /** Serves the grants of a share that there are by now, where the share is served. */
  serveGrants(id: BlockId): void {
    if (this.has(id)) for (const one of this.#withGrants(id)) this.#server?.add(one);
  }

  /** Tells who asks for it why it is not served, and announces it no more. */
  #refuse(id: BlockId): void {
    for (const one of this.#withGrants(id)) {
      this.#server?.refuse(one);
      this.#server?.withhold(one);
    }
  }

  #remove(id: BlockId): void {
    for (const one of this.#withGrants(id)) this.#server?.remove(one);
  }

  /** A share, and the grants that name it. */
  #withGrants(id: BlockId): BlockId[] {
    return [
      id,
      ...this.#needHome()
        .catalog.grants.list(id)
        .map(grant => grant.id),
    ];
  }

  /** Says whether a share is served whenever there is a daemon, and how often it is to be delivered. */
  serveAs(id: BlockId, how: Pick<ShareRecord, 'serveAlways' | 'downloadsLeft'>): void {
    const { catalog } = this.#needHome();
    catalog.serveAs(id, how);
    const record = catalog.get(id);
    if (record !== undefined) this.#followDaemon(record);
  }

  /**
   * Serves what is to be served whenever there is a daemon, also what becomes such meanwhile, until the returned function is
   * called.
   */
  serveAlways(): () => void {
    this.#always ??= new Map();
    for (const record of this.#needHome().catalog.list()) this.#followDaemon(record);
    return () => {
      for (const stop of this.#always?.values() ?? []) stop();
      this.#always = undefined;
    };
  }

  #followDaemon({ id, serveAlways, state, downloadsLeft }: ShareRecord): void {
    const always = this.#always;
    if (always === undefined) return;
    const isWanted = serveAlways && state === 'ready' && downloadsLeft !== 0 && !this.#isOver(id);
    if (isWanted && !always.has(id)) always.set(id, this.serve(id));
    if (isWanted) return;
    always.get(id)?.();
    always.delete(id);
  }

  /** Ends serving a share, whoever wanted it. Those who listen are told by `tellEnded`, once that is for good. */
  end(id: BlockId): void {
    this.#wanted.delete(id);
    this.#always?.delete(id);
    this.#remove(id);
  }

  /** A share or grant has ended by the clock: it is not announced any more, and who asks for it is told so. */
  withhold(id: BlockId): void {
    if (!this.has(id)) this.#server?.refuse(id);
    for (const one of this.#withGrants(id)) this.#server?.withhold(one);
  }

  /** A share has ended for good: nobody has to go on serving it. */
  expire(id: BlockId): void {
    this.#wanted.delete(id);
    this.#always?.delete(id);
    this.#refuse(id);
    this.tellEnded(id);
  }

  /** The clock was wrong: what was served before it ended is served again. */
  release(id: BlockId): void {
    for (const one of this.#withGrants(id)) this.#server?.release(one);
    const record = this.#home?.catalog.get(id);
    if (record !== undefined) this.#followDaemon(record);
  }

  tellEnded(id: BlockId): void {
    for (const listener of this.#endListeners) listener(id);
  }

  /** What a peer that is being served gets of this home, and has been sent since it came. */
  trafficWith(peer: string): { readonly shares: number; readonly bytesUp: number } {
    const visitor = this.#visitors.get(peer);
    return { shares: visitor?.channels ?? 0, bytesUp: visitor?.bytes ?? 0 };
  }

  onServed(listener: ServedListener): () => void {
    return added(this.#servedListeners, listener);
  }

  onChanged(listener: ChangeListener): () => void {
    return added(this.#changeListeners, listener);
  }

  /** Told when a share is not served any more, whoever wanted it: forgotten, expired, or delivered as often as was wanted. */
  onEnded(listener: EndListener): () => void {
    return added(this.#endListeners, listener);
  }

  /** Notes what has not been noted of the traffic; to be called once nothing is served any more. */
  stop(): void {
    clearInterval(this.#flusher);
    this.#flush();
  }

  /** Whether it has expired by now. */
  #isOver(id: BlockId): boolean {
    return this.#home?.refusalOf(id, Math.floor(systemClock.now() / 1000))?.reason === 'expired';
  }

  #changed(id: BlockId, why: string): void {
    this.#server?.withhold(id);
    for (const listener of this.#changeListeners) listener(id, why);
  }

  #onServed(served: Served): void {
    const { id, event, bytes } = served;
    const traffic = this.#traffic.get(id) ?? { bytes: 0, peers: 0 };
    traffic.bytes += bytes;
    if (event === 'complete') traffic.peers++;
    this.#traffic.set(id, traffic);
    this.#noteVisitor(served);
    for (const listener of this.#servedListeners) listener(served);
    if (event === 'complete') this.#countDelivery(id);
  }

  #noteVisitor({ peer, event, bytes }: Served): void {
    const visitor = this.#visitors.get(peer) ?? { channels: 0, bytes: 0 };
    visitor.channels += event === 'joined' ? 1 : event === 'left' ? -1 : 0;
    visitor.bytes += bytes;
    if (visitor.channels > 0) this.#visitors.set(peer, visitor);
    else this.#visitors.delete(peer);
  }

  #leftOf(id: BlockId): number | undefined {
    return this.#downloadsLeft.get(id) ?? this.#needHome().catalog.get(id)?.downloadsLeft;
  }

  #countDelivery(id: BlockId): void {
    const left = this.#leftOf(id);
    if (left === undefined || left === 0) return;
    this.#downloadsLeft.set(id, left - 1);
    this.#flush();
    if (left > 1) return;
    this.end(id);
    this.tellEnded(id);
  }

  /** Notes in the catalog what was served. Where it can't, as on a full disk, that is no reason to serve no more: it is tried again. */
  #flush(): void {
    const catalog = this.#home?.catalog;
    try {
      for (const [id, { bytes, peers }] of this.#traffic) {
        if (bytes + peers > 0) catalog?.addTraffic(id, bytes, peers);
        this.#traffic.delete(id);
      }
      for (const [id, downloadsLeft] of this.#downloadsLeft) {
        const { serveAlways = false } = catalog?.get(id) ?? {};
        catalog?.serveAs(id, { serveAlways, downloadsLeft });
        this.#downloadsLeft.delete(id);
      }
      this.#isFlushed = true;
    } catch (error) {
      if (!isShoalError(error)) throw error;
      if (this.#isFlushed) this.#log('warn', 'can not note what was served, and goes on', { reason: error.message });
      this.#isFlushed = false;
    }
  }

  #needHome(): Home {
    if (this.#home === undefined) throw new Error('only a home has something to serve');
    return this.#home;
  }
}

/** Ends what has expired of what a home serves. @param alone does its work while nobody else writes or removes blocks of the share */
export function expiringOf(
  home: Home,
  service: Service,
  log: Log,
  alone: (id: BlockId, signal: AbortSignal, work: () => Promise<void>) => Promise<void>,
): Expiring {
  return new Expiring({
    catalog: home.catalog,
    clock: systemClock,
    log,
    onOver: id => service.withhold(id),
    onEnded: id => service.expire(id),
    onBack: id => service.release(id),
    kept: () => home.store.list(),
    drop: (id, signal) =>
      alone(id, signal, async () => {
        await home.store.drop(id);
        home.forgetSources();
      }),
    // It may have been set right.
    onJump: () => forgetDifference(home.catalog),
  });
}

function added<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
