/** Composes adapters and verbs into a node: what a home does for its user, with or without a network of its own. */
import { stat } from 'node:fs/promises';
import { createHash, randomBytes } from 'node:crypto';
import { systemClock } from './clock.ts';
import { poolCrypto } from './crypto/pool.ts';
import { apartMark } from './apart.ts';
import { Carrying, type CarryingDeps } from './carrying.ts';
import { compare, type Compared } from './compare.ts';
import type { OpeningDeps } from './download.ts';
import type { SourceSummary } from './source.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { refuseExpired, refuseOver } from './expired.ts';
import type { Expiring } from './expiring.ts';
import { exportCar, importCar, type CarSummary, type ImportDeps, type Imported } from './export.ts';
import type { Deliveries } from './deliveries.ts';
import { fetch, type Fetched, type FetchEvent, type FetchRequest } from './fetch.ts';
import { folderDestination, plannedPlace, type ClosableStore } from './files/destination.ts';
import { writeBeside } from './files/beside.ts';
import { showName } from './files/names.ts';
import { readOrdinary, writeAll } from './files/ordinary.ts';
import { dropSpooled, giveToShare, isSpooled, sweepSpool } from './files/spool.ts';
import { streamDestination } from './files/stream.ts';
import { fingerprint, walkTree } from './files/walk.ts';
import { parseHint, type Hint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import { fileKey } from './format/keys.ts';
import { Grants } from './grants.ts';
import { resolve, type Resolved } from './resolve.ts';
import { keyOf } from './open.ts';
import { formatLink, type Link } from './format/link.ts';
import type { ShareBlock } from './format/share-block.ts';
import type { Manifest } from './format/manifest.ts';
import { givenHint } from './given-hint.ts';
import { openHome, type Home } from './home.ts';
import {
  apartNetwork,
  apartPort,
  deliveriesOf,
  freshNetwork,
  networkOf,
  ratesOf,
  Strangers,
  type Asking,
  type NetworkSettings,
  type NetworkShell,
  type OnStatus,
} from './networks.ts';
import { keepFetched } from './keep.ts';
import { beginKeeping, checkKept, discard } from './kept.ts';
import { MAX_LINK_HINTS, SHARE_PATIENCE_MS } from './limits.ts';
import { list, type ListRequest } from './list.ts';
import { plan, type Plan } from './plan.ts';
import { Turns } from './parallel.ts';
import type { ShareRecord } from './catalog.ts';
import type { ChunkStore, Clock, Crypto, Directory, Log, Network } from './ports.ts';
import type { CheckedWithdrawal } from './protocol/withdrawn.ts';
import { Relays } from './relays.ts';
import { stateOf, type Standing } from './records.ts';
import type { Step } from './search.ts';
import { expiringOf, Service } from './service.ts';
import { contentsOf, type Contents } from './show.ts';
import { share, type Made, type ShareEvent, type ShareRequest, type Shared } from './share.ts';
import { diskStore } from './store/disk.ts';
import { memoryStore } from './store/memory.ts';
import { originalSource } from './store/original.ts';
import { Withdrawals } from './withdraw.ts';

export interface NodeOptions {
  /** The home's folder; without one, nothing is held and only fetching and listing is possible. */
  readonly home?: string;
  /** Absent for work that needs no peers. */
  readonly network?: NetworkSettings;
  /** Whether this process holds the home: it uses the home's peer key, serves, and may remove what a crash left. */
  readonly holds: boolean;
  /** What the ciphertext in the home may take; no limit but the disk when absent. */
  readonly quotaBytes?: number | undefined;
  readonly log: Log;
}

/** A fetch to a folder or file. */
export interface FolderFetch extends Omit<FetchRequest, 'destination'> {
  /** An absolute path. */
  readonly output: string;
  /** Leaves its blocks in the home, so that the output can be served. */
  readonly keep: boolean;
  /** Told of each step of the search. */
  readonly onStep?: (step: Step) => void;
  /** Given what tells how the network stands that it goes over, also once that has ended. */
  readonly onStatus?: OnStatus;
}

export class ShoalNode {
  readonly crypto: Crypto;
  readonly home: Home | undefined;
  readonly network: Network | undefined;
  readonly #clock: Clock = systemClock;
  /** What it serves. */
  readonly service: Service;
  /** Of the home. */
  readonly relays: Relays | undefined;
  readonly carrying: Carrying | undefined;
  /** Where it serves: ends what has expired. */
  readonly expiring: Expiring | undefined;
  readonly #strangers: Strangers;
  readonly grants: Grants;
  /** Of each share, one at a time writes or removes blocks. */
  readonly #turns: Turns<BlockId>;
  /** Tells of this home's own withdrawals; only where it is held, with a network. */
  readonly deliveries: Deliveries | undefined;
  /** Of the home. */
  readonly withdrawals: Withdrawals | undefined;

  private constructor(
    crypto: Crypto,
    home: Home | undefined,
    network: Network | undefined,
    service: Service,
    relays: Relays | undefined,
    { holds, log }: Pick<NodeOptions, 'holds' | 'log'>,
    strangers: Strangers,
    withdrawals: Withdrawals | undefined,
    deliveries: Deliveries | undefined,
    turns: Turns<BlockId>,
  ) {
    this.#strangers = strangers;
    this.grants = new Grants({ home, service, relays, crypto });
    const ofNode: Pick<CarryingDeps, 'forget' | 'alone' | 'inTurn' | 'sources' | 'stateOf' | 'onKnown'> = {
      forget: (id, isStill, signal) => this.forget(id, signal, isStill),
      alone: (id, signal, work) => this.#alone(id, 'seed', signal, work),
      inTurn: (id, signal, work) => this.#turns.run(id, signal, work),
      sources: () => this.#downloadDeps(network),
      stateOf: record => this.stateOf(record),
      onKnown: id => this.grants.keep(id),
    };
    this.carrying = home && new Carrying({ home, network, service, holds, crypto, log, ...ofNode });
    this.relays = relays;
    this.withdrawals = withdrawals;
    this.deliveries = deliveries;
    this.#turns = turns;
    this.crypto = crypto;
    this.home = home;
    this.network = network;
    this.service = service;
    const alone = (id: BlockId, signal: AbortSignal, work: () => Promise<void>): Promise<void> =>
      this.#alone(id, 'end', signal, work);
    this.expiring = home !== undefined && service.isOn ? expiringOf(home, service, log, alone) : undefined;
  }

  /** @throws ShoalError `home`, `newer-home`, `io`, `usage` */
  static async start(options: NodeOptions): Promise<ShoalNode> {
    const crypto = poolCrypto();
    let home: Home | undefined;
    let network: Network | undefined;
    try {
      home =
        options.home === undefined
          ? undefined
          : await openHome(options.home, {
              crypto,
              clock: systemClock,
              random: randomBytes,
              quotaBytes: options.quotaBytes,
            });
      if (options.holds) await home?.sweep();
      const { holds, log, network: settings } = options;
      const shell: NetworkShell = { rates: ratesOf(settings), log };
      network = await networkOf(holds, shell, settings, home);
      const startApart = (id: BlockId): Promise<Network> => {
        if (settings === undefined || home === undefined) throw new Error('only the holder of a home serves');
        return apartNetwork(id, shell, settings, home);
      };
      const service = await Service.start(home, holds ? network : undefined, startApart, log);
      const onWithdrawn = (withdrawal: CheckedWithdrawal): void => withdrawals?.heed(withdrawal);
      const fresh = (): Promise<Network> => freshNetwork(shell);
      const relays = home && new Relays({ home, network, service, holds, fresh, verify: crypto, log, onWithdrawn });
      // Who does not hold the home is a stranger anyway.
      const strangers = new Strangers(shell, settings, home, service.isOn ? undefined : network);
      const [clock, turns] = [systemClock, new Turns<BlockId>()];
      const teller = holds && home && network ? deliveriesOf(home, network, service, strangers) : undefined;
      const withdrawals = home && new Withdrawals({ home, service, turns, clock, log, deliveries: teller });
      if (holds && network !== undefined) await withdrawals?.hear(network);
      return new ShoalNode(crypto, home, network, service, relays, options, strangers, withdrawals, teller, turns);
    } catch (error) {
      await network?.stop();
      await home?.close();
      await crypto.close();
      throw error;
    }
  }

  /**
   * Encrypts and notes a share; the service makes it available, and knows for how long.
   * @param request `spooled`: its one path is what this home took in from stdin, and goes with the share
   */
  async share(
    request: ShareRequest & { readonly spooled: boolean },
    onEvent: (event: ShareEvent) => void,
    signal: AbortSignal,
  ): Promise<Shared> {
    const home = this.#needHome();
    const [path = ''] = request.paths;
    if (request.spooled && (request.paths.length !== 1 || !isSpooled(home.spoolFolder, path)))
      throw new ShoalError(
        'usage',
        `cannot share "${showName(path)}" as what came from stdin: this home did not take it in`,
      );
    if (request.spooled) await sweepSpool(home.spoolFolder);
    let release: (() => void) | undefined;
    const deps = {
      crypto: this.crypto,
      catalog: home.catalog,
      store: home.store,
      random: randomBytes,
      clock: this.#clock,
      walk: walkTree,
      fingerprint,
      begun: async (id: BlockId, keptBytes: number) => {
        if (keptBytes > 0) release = await this.carrying?.reserve(id, keptBytes, signal);
        if (request.spooled) await giveToShare(path, id);
      },
      original: (made: Made) =>
        originalSource({ ...made, crypto: this.crypto, store: home.store, onChanged: () => Promise.resolve() }),
    };
    try {
      const shared = await share(deps, request, onEvent, signal);
      // The copy is all that is needed.
      if (request.spooled && request.copy) await dropSpooled(home.spoolFolder, shared.id);
      return shared;
    } finally {
      release?.();
      home.forgetSources();
    }
  }

  /** The link of a share whose key this home has. */
  linkOf(id: BlockId, hints: readonly Hint[]): string {
    const key = this.#needHome().catalog.keyOf(id);
    return formatLink({ id, hints, ...(key === undefined ? {} : { key: key as NonNullable<Link['key']> }) });
  }

  /** Hints as given by the user; `self` stands for the addresses under which this node can be reached, over its own network or that of a share. @throws ShoalError `usage`, `bad-link` */
  hintsOf(texts: readonly string[], network: Pick<Network, 'addresses'> | undefined = this.network): Hint[] {
    const own = network?.addresses() ?? [];
    const hints = texts.flatMap((text, n) => (text === 'self' ? own.map(parseHint) : [givenHint(text, n)]));
    const unique = hints.filter((hint, n) => hints.findIndex(other => other.text === hint.text) === n);
    return unique.slice(0, MAX_LINK_HINTS);
  }

  /** What a link without a key names: of this home, or of those who have it. */
  async resolve(
    link: Pick<Link, 'id' | 'hints'>,
    timeoutMs: number | undefined,
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Resolved> {
    return await this.grants.resolve(link.id, () =>
      this.asStranger(network => resolve(this.#downloadDeps(network), { ...link, timeoutMs }, onEvent, signal)),
    );
  }

  /** Gets a share to a folder or file. */
  async fetch(request: FolderFetch, onEvent: (event: FetchEvent) => void, signal: AbortSignal): Promise<Fetched> {
    keyOf(request.link);
    const { link, keep, onStatus } = request;
    return await this.#unlessWithdrawn(link.id, 'fetch', signal, async stop => {
      const run = (): Promise<Fetched> => {
        const work: Asking<Fetched> = network => this.#fetch(request, network, onEvent, stop);
        return keep ? this.#asking(link.id, work, onStatus) : this.asStranger(work, onStatus);
      };
      if (!keep) return await run();
      const home = this.#needHome();
      refuseOver(home, link.id, 'keep the share', this.#clock);
      return await this.#alone(link.id, 'fetch and keep', stop, async () => {
        const isDebris = await beginKeeping(home, link.id);
        try {
          return await run();
        } catch (error) {
          if (isDebris && isShoalError(error, 'refused')) await discard(home, link.id);
          throw error;
        }
      });
    });
  }

  /** Asks others for what this home serves by and by: under the peer id that it is served under, unless that is the share's own. */
  async #asking<T>(id: BlockId, work: Asking<T>, onStatus?: OnStatus): Promise<T> {
    if (this.service.isApart(id)) return await this.asStranger(work, onStatus);
    onStatus?.(() => this.network?.status());
    return await work(this.network);
  }

  /** Asks others for something as one whom nobody knows. */
  async asStranger<T>(work: Asking<T>, onStatus?: OnStatus): Promise<T> {
    return await this.#strangers.run(work, onStatus);
  }

  async #fetch(
    request: FolderFetch,
    network: Network | undefined,
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Fetched> {
    const storeIn = (folder: Directory): ClosableStore =>
      request.keep ? borrowed(this.#needHome().store, folder) : this.#ownStore(folder);
    const destination = await folderDestination({ id: request.link.id, output: request.output, storeIn });
    try {
      const deps = this.#downloadDeps(network, request.onStep);
      const check = (block: ShareBlock): void => {
        if (request.keep) refuseExpired('keep the share', block.expires, this.#clock);
      };
      const fetched = await fetch(deps, { ...request, destination, check }, onEvent, signal);
      if (request.keep) await this.#keep(request.link, fetched);
      return fetched;
    } finally {
      await destination.close();
    }
  }

  /** Removes what an unfinished fetch to `output` has left. */
  async abandon(id: BlockId, output: string, signal: AbortSignal): Promise<void> {
    const destination = await folderDestination({ id, output, storeIn: folder => this.#ownStore(folder) });
    try {
      await destination.discard();
    } finally {
      await destination.close();
    }
    const { home } = this;
    if (home === undefined || home.catalog.get(id) !== undefined || !home.catalog.debris().includes(id)) return;
    await this.#alone(id, 'abandon', signal, () => discard(home, id));
  }

  /** What that fetch would do now. Nothing is written. */
  async plan(request: FolderFetch, onEvent: (event: FetchEvent) => void, signal: AbortSignal): Promise<Plan> {
    const { link, output } = request;
    return await this.#unlessWithdrawn(link.id, 'fetch', signal, async stop => {
      const place = await plannedPlace({ id: link.id, output });
      return await this.asStranger(network =>
        plan(this.#downloadDeps(network), { ...request, place, store: memoryStore() }, onEvent, stop),
      );
    });
  }

  /** Gets a share of one file to a stream, in order. */
  async fetchTo(
    request: Omit<FetchRequest, 'destination'> & Pick<FolderFetch, 'onStep' | 'onStatus'>,
    output: NodeJS.WritableStream,
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Fetched> {
    const destination = streamDestination(output, memoryStore());
    const { onStep, onStatus } = request;
    return await this.#unlessWithdrawn(request.link.id, 'fetch', signal, stop =>
      this.asStranger(
        network => fetch(this.#downloadDeps(network, onStep), { ...request, destination }, onEvent, stop),
        onStatus,
      ),
    );
  }

  async list(
    request: Omit<ListRequest, 'store'>,
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Manifest> {
    return await this.#unlessWithdrawn(request.link.id, 'list', signal, stop =>
      this.asStranger(network =>
        list(this.#downloadDeps(network), { ...request, store: memoryStore() }, onEvent, stop),
      ),
    );
  }

  /** Whether this home can open a share, given its key, without asking anybody. */
  async knows(id: BlockId): Promise<boolean> {
    if (this.home === undefined) return false;
    try {
      await checkKept(this.home.store, id, false);
      return true;
    } catch (error) {
      if (isShoalError(error, 'unavailable')) return false;
      throw error;
    }
  }

  /** Holds a file or folder against what a link names. Nobody is asked where this home knows the share. */
  async check(
    request: { readonly link: Link; readonly path: string; readonly timeoutMs?: number },
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Compared> {
    const { crypto, home } = this;
    const walk = (path: string, stop: AbortSignal): ReturnType<typeof walkTree> => walkTree([path], [], stop, 'check');
    // What is to be checked may be what it was shared from: chunks made of that would tell nothing.
    const known = home !== undefined && (await this.knows(request.link.id)) ? home.store : undefined;
    const comparing = (deps: OpeningDeps): Promise<Compared> =>
      compare({ ...deps, walk }, { ...request, store: known ?? memoryStore() }, onEvent, signal);
    if (known !== undefined) return await comparing({ crypto, clock: this.#clock, local: known });
    return await this.asStranger(network => comparing(this.#downloadDeps(network)));
  }

  /**
   * Gets the ciphertext of a share into this home, with or without its key. What there is of it is served by then.
   * @returns who gave how much; nobody where the home has the share already
   * @throws ShoalError `usage` when the home has it from files that are not as they were; `refused` where it was withdrawn or has
   *   expired; as `seed` does
   */
  async seed(
    link: Link,
    timeoutMs: number | undefined,
    onEvent: (event: FetchEvent) => void,
    onKnown: () => void,
    signal: AbortSignal,
  ): Promise<readonly SourceSummary[]> {
    return await this.#unlessWithdrawn(link.id, 'seed', signal, stop =>
      this.#needCarrying().seed(link, timeoutMs, onEvent, onKnown, stop),
    );
  }

  /** @throws ShoalError `refused` for what nobody is to serve any more */
  refuseEnded(id: BlockId): void {
    this.#needCarrying().refuseEnded(id);
  }

  /** What the blocks of a share of this home tell; undefined where they are damaged. */
  async contentsOf(id: BlockId): Promise<Contents | undefined> {
    const { catalog, store } = this.#needHome();
    const key = catalog.keyOf(id);
    return await contentsOf(store, this.crypto, id, key === undefined ? undefined : fileKey(key));
  }

  /**
   * Stops serving a share and removes what the home keeps of it; the user's files stay as they are.
   * @param isStill whether it is to be forgotten once nothing else is at work on it @throws ShoalError `in-use`
   */
  async forget(
    id: BlockId,
    signal: AbortSignal,
    isStill: (record: ShareRecord) => boolean = () => true,
  ): Promise<void> {
    const home = this.#needHome();
    await this.#alone(id, 'forget', signal, async () => {
      const record = home.catalog.get(id);
      if (record !== undefined && !isStill(record)) throw this.#inUse(id, 'forget');
      this.service.end(id);
      home.catalog.remove(id);
      home.catalog.setSetting(apartPort(id), undefined);
      if (record?.freshId === true) home.catalog.setSetting(apartMark(id), 'forgotten');
      home.forgetSources();
      await home.store.drop(id);
      home.catalog.clear(id);
    });
    this.service.tellEnded(id);
  }

  async export(
    id: BlockId,
    output: string,
    force: boolean,
    onBlock: (blocks: number, bytes: number) => void,
    signal: AbortSignal,
  ): Promise<CarSummary> {
    const { source } = this.#needHome();
    let summary: CarSummary = { id, blocks: 0, bytes: 0 };
    const count = (blocks: number, bytes: number): void => {
      summary = { id, blocks, bytes };
      onBlock(blocks, bytes);
    };
    await writeBeside(output, force, file => writeAll(file, exportCar(source, id, count, signal)));
    return summary;
  }

  /** Takes the blocks of a CAR file into the home. A share that the home has already is left as it is. */
  async import(path: string, onBlock: (blocks: number, bytes: number) => void, signal: AbortSignal): Promise<Imported> {
    const home = this.#needHome();
    const deps: ImportDeps = {
      reserve: async (id, totalBytes) => {
        const { size } = await stat(path);
        return await this.#needCarrying().reserve(id, Math.min(totalBytes, size), signal);
      },
      store: home.store,
      catalog: home.catalog,
      clock: this.#clock,
      hash: bytes => new Uint8Array(createHash('sha256').update(bytes).digest()),
      alone: (id, work) => this.#unlessWithdrawn(id, 'import', signal, stop => this.#alone(id, 'import', stop, work)),
    };
    try {
      return await importCar(deps, () => readOrdinary(path), onBlock, signal);
    } finally {
      home.forgetSources();
    }
  }

  /** How a share stands, and why, where there is something to say. */
  async stateOf(record: ShareRecord): Promise<Standing> {
    const look = { blocks: this.#needHome().blocksFolder, nowSeconds: this.#clock.now() / 1000 };
    return await stateOf(record, this.service.has(record.id), look);
  }

  /** Whether the home itself keeps the original of a share, as it came from stdin. */
  isSpooled({ root }: ShareRecord): boolean {
    return typeof root === 'string' && isSpooled(this.#needHome().spoolFolder, root);
  }

  async stop(): Promise<void> {
    await this.carrying?.stop();
    await this.expiring?.stop();
    await this.withdrawals?.settled();
    await this.deliveries?.stop();
    await this.relays?.stop();
    await Promise.all([this.network?.stop(), this.#strangers.stop()]);
    await this.service.stop();
    await this.home?.close();
    await this.crypto.close();
  }

  /** Makes a fetched output a share of this home, made again from the output itself when somebody asks. */
  async #keep(link: Link, fetched: Fetched): Promise<void> {
    const home = this.#needHome();
    home.refuseWithdrawn(link.id, 'keep what was fetched');
    if (home.catalog.get(link.id)?.state === 'ready') return;
    await keepFetched({ catalog: home.catalog, store: home.store, clock: this.#clock }, link, fetched);
    home.forgetSources();
    this.grants.keep(link.id);
  }

  async #unlessWithdrawn<T>(
    id: BlockId,
    doing: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return await (this.withdrawals?.unless(id, doing, signal, work) ?? work(signal));
  }

  /**
   * Does `work` while nothing else of this node writes or removes blocks of the share; what is just ending is waited for.
   * @throws ShoalError `in-use`
   */
  async #alone<T>(id: BlockId, doing: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const patience = AbortSignal.timeout(SHARE_PATIENCE_MS);
    try {
      return await this.#turns.run(id, AbortSignal.any([signal, patience]), work);
    } catch (error) {
      if (error !== patience.reason) throw error;
      throw this.#inUse(id, doing);
    }
  }

  #inUse(id: BlockId, doing: string): ShoalError {
    return new ShoalError(
      'in-use',
      `cannot ${doing} share ${id}: another command of this home is fetching, carrying, importing or forgetting it; wait for it or end it`,
    );
  }

  #ownStore(folder: Directory): ClosableStore {
    const store = diskStore({ folder, crypto: this.crypto, random: randomBytes });
    return {
      store,
      close: async () => {
        await store.close();
        await folder.close();
      },
    };
  }

  #downloadDeps(network: Network | undefined, onStep?: OpeningDeps['onStep']): OpeningDeps {
    const { crypto, home } = this;
    return {
      crypto,
      clock: this.#clock,
      ...(network === undefined ? {} : { network }),
      ...(home === undefined ? {} : { local: home.source }),
      onStep,
      onWithdrawn: withdrawal => this.withdrawals?.heed(withdrawal),
    };
  }

  #needCarrying(): Carrying {
    if (this.carrying === undefined) throw new Error('this node has no home');
    return this.carrying;
  }

  #needHome(): Home {
    if (this.home === undefined) throw new Error('this node has no home');
    return this.home;
  }
}

/** A store that outlives the fetch; the folder that was meant for one is not needed. */
function borrowed(store: ChunkStore, folder: Directory): ClosableStore {
  return { store, close: () => folder.close() };
}
