/** What a node serves: at whose wish, for how long, to whom, and how much of it. */
import { forgetDifference } from './clocks.ts';
import { isShoalError } from './errors.ts';
import { Expiring } from './expiring.ts';
import type { BlockId } from './format/ids.ts';
import type { Home } from './home.ts';
import { TRAFFIC_FLUSH_MS } from './limits.ts';
import type { ShareRecord } from './catalog.ts';
import { Apart, apartMark } from './apart.ts';
import type { Log, Network } from './ports.ts';
import { Server, type Served } from './serve.ts';
import { systemClock } from './clock.ts';

type ServedListener = (served: Served) => void;
type ChangeListener = (id: BlockId, why: string) => void;
type EndListener = (id: BlockId) => void;

export class Service {
  readonly #home: Home | undefined;
  #server: Server | undefined;
  /** Shares that are served under peer ids of their own. */
  #apart: Apart | undefined;
  readonly #networkListeners = new Set<(network: Network) => void>();
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

  /**
   * @param network of a node that serves; without one it only keeps what is to be served
   * @param startApart starts the network of a share that is served under a peer id of its own
   */
  static async start(
    home: Home | undefined,
    network: Network | undefined,
    startApart: (id: BlockId) => Promise<Network>,
    log: Log,
  ): Promise<Service> {
    const service = new Service(home, log);
    if (home === undefined || network === undefined) return service;
    const serverOn = (one: Network): Promise<Server> =>
      Server.start({
        network: one,
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
    service.#server = await serverOn(network);
    const onStarted = (one: Network): void => service.#networkListeners.forEach(listener => listener(one));
    service.#apart = new Apart({ start: startApart, idsOf: id => service.#withGrants(id), serverOn, onStarted, log });
    // Who asks for a share that has changed is told so, whatever it is that this home serves at the moment; likewise of what was withdrawn.
    for (const id of [...home.catalog.changed(), ...home.catalog.withdrawals.ids()])
      for (const one of service.#withGrants(id)) service.refuse(one);
    for (const { id } of home.catalog.expiries()) if (service.#isOver(id)) service.refuse(id);
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
    return this.#server?.has(id) === true || this.#apart?.has(id) === true;
  }

  /** Whether a command that runs asks for a share to be served. */
  isAskedFor(id: BlockId): boolean {
    return (this.#wanted.get(id) ?? 0) > (this.#always?.has(id) === true ? 1 : 0);
  }

  /** Whether a share, or that of a grant, has a peer id of its own: whoever meets this home under another one is told nothing of it. */
  isApart(id: BlockId): boolean {
    const { catalog } = this.#home ?? {};
    if (catalog === undefined) return false;
    const share = catalog.grants.get(id)?.share ?? catalog.withdrawals.get(id)?.share ?? id;
    return catalog.get(share)?.freshId === true || catalog.setting(apartMark(share)) !== undefined;
  }

  /** The networks of shares that are served under peer ids of their own. */
  get apart(): ReadonlyMap<BlockId, Network> {
    return this.#apart?.networks ?? new Map();
  }

  /** @throws ShoalError `in-use` where no further share can be served under a peer id of its own */
  checkRoomApart(): void {
    this.#apart?.checkRoom();
  }

  /** The network of a share of its own that is served. @throws ShoalError as it failed to start */
  async apartNetworkOf(id: BlockId): Promise<Network> {
    if (this.#apart === undefined) throw new Error('only the holder of a home serves');
    return await this.#apart.networkOf(id);
  }

  /** Told of each network that is started for a share of its own. */
  onNetwork(listener: (network: Network) => void): () => void {
    return added(this.#networkListeners, listener);
  }

  /**
   * Tells who asks for a share that the refusals gate refuses why that is, whatever it is that this home serves at the moment.
   * One with a peer id of its own is not told of under that of the home.
   */
  refuse(id: BlockId): void {
    if (!this.isApart(id)) this.#server?.refuse(id);
  }

  /**
   * Serves a share until the returned function was called as often as this one.
   * @throws ShoalError `refused` where it was withdrawn; `in-use` where it has a peer id of its own, and as many such shares are
   *   served as may be
   */
  serve(id: BlockId): () => void {
    const server = this.#server;
    if (server === undefined) throw new Error('only the holder of a home serves');
    this.#home?.refuseWithdrawn(id, 'serve the share');
    if (this.isApart(id)) this.#apart?.open(id);
    else for (const one of this.#withGrants(id)) server.add(one);
    this.#wanted.set(id, (this.#wanted.get(id) ?? 0) + 1);
    return () => {
      const left = (this.#wanted.get(id) ?? 1) - 1;
      if (left > 0) return void this.#wanted.set(id, left);
      this.#wanted.delete(id);
      if (this.#isOver(id) && !this.isApart(id)) this.#withhold(id);
      else this.#remove(id);
    };
  }

  /** Serves the grants of a share that there are by now, where the share is served. */
  serveGrants(id: BlockId): void {
    if (!this.has(id)) return;
    if (this.isApart(id)) this.#apart?.addAgain(id);
    else for (const one of this.#withGrants(id)) this.#server?.add(one);
  }

  /** Tells who asks for it why it is not served, and announces it no more. */
  #withhold(id: BlockId): void {
    if (this.isApart(id)) {
      this.#apart?.withhold(id);
      return;
    }
    for (const one of this.#withGrants(id)) {
      this.#server?.refuse(one);
      this.#server?.withhold(one);
    }
  }

  /** What was withdrawn is known for good to who asks for it, though it is not served. */
  #remove(id: BlockId): void {
    const isWithdrawn = this.#home?.catalog.withdrawals.get(id) !== undefined;
    for (const one of this.#withGrants(id)) {
      if (isWithdrawn) this.#server?.withhold(one);
      else this.#server?.remove(one);
    }
    if (!isWithdrawn) this.#apart?.close(id);
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
    for (const record of this.#needHome().catalog.list()) this.#followAtStart(record);
    return () => {
      for (const stop of this.#always?.values() ?? []) stop();
      this.#always = undefined;
    };
  }

  /** What can not be served is no reason to serve nothing. */
  #followAtStart(record: ShareRecord): void {
    try {
      this.#followDaemon(record);
    } catch (error) {
      if (!isShoalError(error)) throw error;
      this.#log('warn', 'a share is not served', { reason: error.message });
    }
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
    if (!this.has(id)) this.refuse(id);
    for (const one of this.#withGrants(id)) this.#server?.withhold(one);
  }

  /** A share has ended for good: nobody has to go on serving it. */
  expire(id: BlockId): void {
    this.#wanted.delete(id);
    this.#always?.delete(id);
    this.#withhold(id);
    this.tellEnded(id);
  }

  /** The clock was wrong: what was served before it ended is served again. */
  release(id: BlockId): void {
    for (const one of this.#withGrants(id)) this.#server?.release(one);
    const record = this.#home?.catalog.get(id);
    if (record !== undefined) this.#followDaemon(record);
  }

  /** Ends serving what the home's gate refuses as withdrawn, whoever wanted it: who is being served, or asks later, is told why. */
  endWithdrawn(id: BlockId, grants: readonly BlockId[]): void {
    for (const one of [id, ...grants]) {
      this.#wanted.delete(one);
      this.#always?.delete(one);
    }
    for (const one of [id, ...grants]) {
      this.refuse(one);
      this.#server?.end(one);
    }
    this.#apart?.end(id);
    this.tellEnded(id);
  }

  /** Who is being served a share now, by peer id. */
  peersOf(id: BlockId): string[] {
    return this.#server?.peersOf(id) ?? [];
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

  /** Stops the networks of shares of their own, and notes what has not been noted of the traffic; to be called once the home's network is stopped. */
  async stop(): Promise<void> {
    await this.#apart?.stop();
    clearInterval(this.#flusher);
    this.#flush();
  }

  /** Whether it has expired by now. */
  #isOver(id: BlockId): boolean {
    return this.#home?.refusalOf(id, Math.floor(systemClock.now() / 1000))?.reason === 'expired';
  }

  #changed(id: BlockId, why: string): void {
    this.#server?.withhold(id);
    this.#apart?.withhold(id);
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
