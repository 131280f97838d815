/** Composes adapters and verbs into a node: what a home does for its user, with or without a network of its own. */
import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipe } from 'it-pipe';
import { systemClock } from './clock.ts';
import { poolCrypto } from './crypto/pool.ts';
import type { DownloadDeps } from './download.ts';
import { fileError, isShoalError, ShoalError } from './errors.ts';
import { exportCar, importCar, type CarSummary, type ImportDeps, type Imported } from './export.ts';
import { fetch, type Fetched, type FetchEvent, type FetchRequest } from './fetch.ts';
import { folderDestination, type ClosableStore } from './files/destination.ts';
import { writeBeside } from './files/beside.ts';
import { showName } from './files/names.ts';
import { streamDestination } from './files/stream.ts';
import { fingerprint, walkTree } from './files/walk.ts';
import { parseHint, type Hint } from './format/hint.ts';
import type { BlockId } from './format/ids.ts';
import { keyOf } from './open.ts';
import { formatLink, type Link } from './format/link.ts';
import type { Manifest } from './format/manifest.ts';
import { openHome, type Home } from './home.ts';
import { beginKeeping, checkKept } from './kept.ts';
import { MAX_LINK_HINTS, READ_BYTES, SHARE_PATIENCE_MS, TRAFFIC_FLUSH_MS } from './limits.ts';
import { list, type ListRequest } from './list.ts';
import { Turns } from './parallel.ts';
import type { ChunkStore, Clock, Crypto, Directory, Log, Network, OpenFile, ShareRecord } from './ports.ts';
import { Rate } from './rate.ts';
import { Server, type Served } from './serve.ts';
import { share, type Made, type ShareEvent, type ShareRequest, type Shared } from './share.ts';
import { diskStore } from './store/disk.ts';
import { memoryStore } from './store/memory.ts';
import { originalSource } from './store/original.ts';

export interface NetworkSettings {
  /** Multiaddrs; where there are none, who serves listens on all interfaces. */
  readonly listen: readonly string[];
  readonly bootstrap: readonly string[];
  readonly mdns: boolean;
  readonly dht: 'off' | 'client' | 'server' | 'auto';
  /** Bytes per second of blocks, of all peers together; no limit when absent. */
  readonly maxUp?: number;
  readonly maxDown?: number;
  /** Connections at once; MAX_CONNECTIONS when absent. */
  readonly maxConnections?: number;
  /** Whether who serves asks the router of a private network for a port; who only fetches never does. */
  readonly portMapping: boolean;
}

export interface NodeOptions {
  /** The home's folder; without one, nothing is held and only fetching and listing is possible. */
  readonly home?: string;
  /** Absent for work that needs no peers. */
  readonly network?: NetworkSettings;
  /** Whether this process holds the home: it uses the home's peer key, serves, and may remove what a crash left. */
  readonly holds: boolean;
  readonly log: Log;
}

const EVERYWHERE = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'];

/** What a share looks like from here. */
export type ShareState = 'serving' | 'idle' | 'changed' | 'missing';

export class ShoalNode {
  readonly crypto: Crypto;
  readonly home: Home | undefined;
  readonly network: Network | undefined;
  readonly #clock: Clock = systemClock;
  readonly #server: Server | undefined;
  /** How many commands ask for each share to be served. */
  readonly #wanted = new Map<BlockId, number>();
  readonly #listeners = new Set<(served: Served) => void>();
  readonly #changeListeners = new Set<(id: BlockId, why: string) => void>();
  readonly #forgetListeners = new Set<(id: BlockId) => void>();
  readonly #traffic = new Map<BlockId, { bytes: number; peers: number }>();
  /** Of each share, one at a time writes or removes blocks. */
  readonly #turns = new Turns<BlockId>();
  #flusher: NodeJS.Timeout | undefined;

  private constructor(
    crypto: Crypto,
    home: Home | undefined,
    network: Network | undefined,
    server: Server | undefined,
  ) {
    this.crypto = crypto;
    this.home = home;
    this.network = network;
    this.#server = server;
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
          : await openHome(options.home, { crypto, clock: systemClock, random: randomBytes });
      if (options.holds) await home?.sweep();
      network = options.network === undefined ? undefined : await startNetwork(options, options.network, home);
      let tell: (served: Served) => void = () => undefined;
      const server =
        options.holds && home !== undefined && network !== undefined
          ? await startServer(network, home, options.log, served => tell(served))
          : undefined;
      const node = new ShoalNode(crypto, home, network, server);
      tell = served => node.#onServed(served);
      node.#begin();
      return node;
    } catch (error) {
      await network?.stop();
      await home?.close();
      await crypto.close();
      throw error;
    }
  }

  /** Encrypts and notes a share; `serve` makes it available. */
  async share(request: ShareRequest, onEvent: (event: ShareEvent) => void, signal: AbortSignal): Promise<Shared> {
    const home = this.#needHome();
    const deps = {
      crypto: this.crypto,
      catalog: home.catalog,
      store: home.store,
      random: randomBytes,
      clock: this.#clock,
      walk: walkTree,
      fingerprint,
      original: (made: Made) =>
        originalSource({ ...made, crypto: this.crypto, store: home.store, onChanged: () => Promise.resolve() }),
    };
    try {
      return await share(deps, request, onEvent, signal);
    } finally {
      home.forgetSources();
    }
  }

  /** The link of a share whose key this home has. */
  linkOf(id: BlockId, hints: readonly Hint[]): string {
    const key = this.#needHome().catalog.keyOf(id);
    return formatLink({ id, hints, ...(key === undefined ? {} : { key: key as NonNullable<Link['key']> }) });
  }

  /** Hints as given by the user; `self` stands for the addresses under which this node can be reached. */
  hintsOf(texts: readonly string[]): Hint[] {
    const own = this.network?.addresses() ?? [];
    const hints = texts.flatMap(text => (text === 'self' ? own : [text])).map(parseHint);
    const unique = hints.filter((hint, n) => hints.findIndex(other => other.text === hint.text) === n);
    return unique.slice(0, MAX_LINK_HINTS);
  }

  /** Serves a share until the returned function was called as often as this one. */
  serve(id: BlockId): () => void {
    const server = this.#server;
    if (server === undefined) throw new Error('only the holder of a home serves');
    this.#wanted.set(id, (this.#wanted.get(id) ?? 0) + 1);
    server.add(id);
    return () => {
      const left = (this.#wanted.get(id) ?? 1) - 1;
      if (left > 0) return void this.#wanted.set(id, left);
      this.#wanted.delete(id);
      server.remove(id);
    };
  }

  /** Gets a share to a folder or file. `keep` leaves its blocks in the home, so that the output can be served. */
  async fetch(
    request: Omit<FetchRequest, 'destination'> & { readonly output: string; readonly keep: boolean },
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Fetched> {
    keyOf(request.link);
    if (!request.keep) return await this.#fetch(request, onEvent, signal);
    const home = this.#needHome();
    const { id } = request.link;
    return await this.#alone(id, 'fetch and keep', signal, async () => {
      await beginKeeping(home, id);
      return await this.#fetch(request, onEvent, signal);
    });
  }

  async #fetch(
    request: Omit<FetchRequest, 'destination'> & { readonly output: string; readonly keep: boolean },
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Fetched> {
    const storeIn = (folder: Directory): ClosableStore =>
      request.keep ? borrowed(this.#needHome().store, folder) : this.#ownStore(folder);
    const destination = await folderDestination({ id: request.link.id, output: request.output, storeIn });
    try {
      const fetched = await fetch(this.#downloadDeps(), { ...request, destination }, onEvent, signal);
      if (request.keep) await this.#keep(request.link, fetched);
      return fetched;
    } finally {
      await destination.close();
    }
  }

  /** Gets a share of one file to a stream, in order. */
  async fetchTo(
    request: Omit<FetchRequest, 'destination'>,
    output: NodeJS.WritableStream,
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Fetched> {
    return await fetch(
      this.#downloadDeps(),
      { ...request, destination: streamDestination(output, memoryStore()) },
      onEvent,
      signal,
    );
  }

  async list(
    request: Omit<ListRequest, 'store'>,
    onEvent: (event: FetchEvent) => void,
    signal: AbortSignal,
  ): Promise<Manifest> {
    return await list(this.#downloadDeps(), { ...request, store: memoryStore() }, onEvent, signal);
  }

  /** Stops serving a share and removes what the home keeps of it; the user's files stay as they are. */
  async forget(id: BlockId, signal: AbortSignal): Promise<void> {
    const home = this.#needHome();
    await this.#alone(id, 'forget', signal, async () => {
      this.#wanted.delete(id);
      this.#server?.remove(id);
      home.catalog.remove(id);
      home.forgetSources();
      await home.store.drop(id);
      home.catalog.clear(id);
    });
    for (const listener of this.#forgetListeners) listener(id);
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
    await writeBeside(output, force, file =>
      pipe(exportCar(source, id, count, signal), parts => writeAll(file, parts)),
    );
    return summary;
  }

  /** Takes the blocks of a CAR file into the home. A share that the home has already is left as it is. */
  async import(path: string, onBlock: (blocks: number, bytes: number) => void, signal: AbortSignal): Promise<Imported> {
    const home = this.#needHome();
    const deps: ImportDeps = {
      store: home.store,
      catalog: home.catalog,
      clock: this.#clock,
      hash: bytes => new Uint8Array(createHash('sha256').update(bytes).digest()),
      alone: (id, work) => this.#alone(id, 'import', signal, work),
    };
    try {
      return await importCar(deps, () => readFile(path), onBlock, signal);
    } finally {
      home.forgetSources();
    }
  }

  async stateOf(record: ShareRecord): Promise<ShareState> {
    if (record.state === 'changed') return 'changed';
    const isOnDisk = record.source === 'copy' || record.source === 'imported' || record.root === undefined;
    if (!isOnDisk && !(await isThere(record.root))) return 'missing';
    return this.#server?.has(record.id) === true ? 'serving' : 'idle';
  }

  onServed(listener: (served: Served) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  onChanged(listener: (id: BlockId, why: string) => void): () => void {
    this.#changeListeners.add(listener);
    return () => void this.#changeListeners.delete(listener);
  }

  onForgotten(listener: (id: BlockId) => void): () => void {
    this.#forgetListeners.add(listener);
    return () => void this.#forgetListeners.delete(listener);
  }

  async stop(): Promise<void> {
    clearInterval(this.#flusher);
    await this.network?.stop();
    this.#flushTraffic();
    await this.home?.close();
    await this.crypto.close();
  }

  #begin(): void {
    if (this.home !== undefined) {
      this.home.onChanged = (id, why) => {
        this.#server?.withhold(id);
        for (const listener of this.#changeListeners) listener(id, why);
      };
      // Who asks for a share that has changed is told so, whatever it is that this home serves at the moment.
      for (const { id, state } of this.home.catalog.list()) if (state === 'changed') this.#server?.refuse(id);
    }
    this.#flusher = setInterval(() => this.#flushTraffic(), TRAFFIC_FLUSH_MS);
    this.#flusher.unref();
  }

  #onServed(served: Served): void {
    const traffic = this.#traffic.get(served.id) ?? { bytes: 0, peers: 0 };
    traffic.bytes += served.bytes;
    if (served.event === 'complete') traffic.peers++;
    this.#traffic.set(served.id, traffic);
    for (const listener of this.#listeners) listener(served);
  }

  #flushTraffic(): void {
    for (const [id, { bytes, peers }] of this.#traffic)
      if (bytes + peers > 0) this.home?.catalog.addTraffic(id, bytes, peers);
    this.#traffic.clear();
  }

  /** Makes a fetched output a share of this home, made again from the output itself when somebody asks. */
  async #keep(link: Link, fetched: Fetched): Promise<void> {
    const home = this.#needHome();
    if (home.catalog.get(link.id)?.state === 'ready') return;
    if (fetched.renamed)
      throw new ShoalError(
        'not-shareable',
        'the output is complete, but can not be kept: some of its names had to be changed here',
      );
    await home.store.sync(link.id);
    await checkKept(home.store, link.id, false);
    const { kind, name } = fetched.manifest;
    home.catalog.add(
      {
        id: link.id,
        kind,
        name,
        sizeBytes: fetched.sizeBytes,
        files: fetched.files,
        source: 'fetched',
        root: fetched.path,
        hints: link.hints.map(hint => hint.text),
        createdAt: Math.floor(this.#clock.now() / 1000),
        serveAlways: false,
      },
      { key: keyOf(link) },
    );
    home.forgetSources();
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
      throw new ShoalError(
        'in-use',
        `cannot ${doing} share ${id}: another command of this home is fetching, importing or forgetting it; wait for it or end it`,
      );
    }
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

  #downloadDeps(): DownloadDeps {
    const { crypto, home, network } = this;
    return {
      crypto,
      clock: this.#clock,
      ...(network === undefined ? {} : { network }),
      ...(home === undefined ? {} : { local: home.source }),
    };
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

async function startNetwork(options: NodeOptions, settings: NetworkSettings, home: Home | undefined): Promise<Network> {
  // What works without a network does not wait for libp2p to load.
  const { createNetwork } = await import('./net/node.ts');
  const seed = options.holds && home !== undefined ? home.peerSeed : randomBytes(32);
  const { maxUp, maxDown, maxConnections } = settings;
  const rates = { up: new Rate(systemClock, maxUp), down: new Rate(systemClock, maxDown) };
  const start = (listen: readonly string[]): Promise<Network> =>
    createNetwork({
      seed,
      listen,
      bootstrap: settings.bootstrap,
      mdns: settings.mdns,
      dht: settings.dht,
      rates,
      ...(maxConnections === undefined ? {} : { maxConnections }),
      clock: systemClock,
      log: options.log,
      ...(options.holds && home !== undefined
        ? { datastorePath: join(home.folder, 'peers'), portMapping: settings.portMapping }
        : {}),
    });
  // Who only fetches is not called by anybody.
  if (!options.holds || home === undefined) return await start(settings.listen);
  const listen = settings.listen.length === 0 ? EVERYWHERE : settings.listen;
  const network = await startOnSamePort(start, listen, home.catalog.setting('port'));
  home.catalog.setSetting('port', portOf(network.addresses()));
  return network;
}

/** A free port is the one of the last time where that is free again: addresses in links and in others' memories stay good. */
async function startOnSamePort(
  start: (listen: readonly string[]) => Promise<Network>,
  listen: readonly string[],
  port: string | undefined,
): Promise<Network> {
  if (port === undefined || !listen.some(address => address.endsWith('/tcp/0'))) return await start(listen);
  try {
    return await start(listen.map(address => address.replace(/\/tcp\/0$/, `/tcp/${port}`)));
  } catch (error) {
    if (!isShoalError(error, 'io')) throw error;
    return await start(listen);
  }
}

function portOf(addresses: readonly string[]): string | undefined {
  return addresses.map(address => /\/tcp\/(\d+)\//.exec(address)?.[1]).find(port => port !== undefined);
}

async function startServer(
  network: Network,
  home: Home,
  log: Log,
  onServed: (served: Served) => void,
): Promise<Server> {
  return await Server.start({
    network,
    source: home.source,
    refusals: { for: id => home.refusalOf(id) },
    clock: systemClock,
    log,
    onServed,
  });
}

async function writeAll(file: OpenFile, parts: AsyncIterable<Uint8Array>): Promise<void> {
  let position = 0;
  for await (const bytes of parts) {
    await file.write(bytes, position);
    position += bytes.length;
  }
}

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    const file = await openOrdinary(path);
    for await (const bytes of file.createReadStream({ highWaterMark: READ_BYTES })) yield bytes as Uint8Array;
  } catch (error) {
    throw fileError(error, `read "${showName(path)}"`);
  }
}

/** Opening a pipe would wait for its other end, in a thread that nobody can wake; and it can be read only once. */
async function openOrdinary(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if ((await file.stat()).isFile()) return file;
    throw new ShoalError(
      'usage',
      `cannot read "${showName(path)}": it is not an ordinary file; save what it gives to a file first, and give that one`,
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    return false;
  }
}
