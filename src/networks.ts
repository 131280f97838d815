/** Makes the networks of a node: the one of its home, and those that nobody is to link with it. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from './clock.ts';
import { isShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { Deliveries, type DeliveriesDeps } from './deliveries.ts';
import type { Home } from './home.ts';
import type { Service } from './service.ts';
import type { Log, Network, NetworkStatus } from './ports.ts';
import { Rate, type Rates } from './rate.ts';

export interface NetworkSettings {
  /** Multiaddrs; where there are none, who serves listens on all interfaces. */
  readonly listen: readonly string[];
  /** Where `listen` has none: the TCP port of all interfaces, in place of a free one. */
  readonly port?: number | undefined;
  readonly bootstrap: readonly string[];
  readonly mdns: boolean;
  readonly dht: 'off' | 'client' | 'server' | 'auto';
  /** Bytes per second of blocks, of all peers together; no limit when absent. */
  readonly maxUp?: number | undefined;
  readonly maxDown?: number | undefined;
  /** Connections at once; MAX_CONNECTIONS when absent. */
  readonly maxConnections?: number;
  /** Whether who serves asks the router of a private network for a port; who only fetches never does. */
  readonly portMapping: boolean;
}

/** All interfaces; port 0 is a free one. */
function everywhere(port = 0): string[] {
  return [`/ip4/0.0.0.0/tcp/${port}`, `/ip6/::/tcp/${port}`];
}

/** What the networks of one node have in common. */
export interface NetworkShell {
  /** Of all its networks together. */
  readonly rates: Rates;
  readonly log: Log;
}

/** The limits of a node, whatever it does over which network. */
export function ratesOf(settings: NetworkSettings | undefined): Rates {
  return { up: new Rate(systemClock, settings?.maxUp), down: new Rate(systemClock, settings?.maxDown) };
}

/** The network that a node starts with. */
export async function networkOf(
  holds: boolean,
  shell: NetworkShell,
  settings: NetworkSettings | undefined,
  home: Home | undefined,
): Promise<Network | undefined> {
  if (settings === undefined) return undefined;
  return await (holds && home !== undefined
    ? homeNetwork(shell, settings, home)
    : fetchersNetwork(shell, settings, home));
}

/** The network of a home, under its peer id. */
async function homeNetwork(shell: NetworkShell, settings: NetworkSettings, home: Home): Promise<Network> {
  const listen = settings.listen.length === 0 ? everywhere(settings.port) : settings.listen;
  return await holding(shell, settings, home, {
    seed: home.peerSeed,
    listen,
    datastorePath: join(home.folder, 'peers'),
    portSetting: 'port',
  });
}

/** The network of one share that has a peer id of its own: on a free port, wherever the home listens. */
export async function apartNetwork(
  id: BlockId,
  shell: NetworkShell,
  settings: NetworkSettings,
  home: Home,
): Promise<Network> {
  const listen =
    settings.listen.length === 0
      ? everywhere()
      : settings.listen.map(address => address.replace(/\/tcp\/\d+/, '/tcp/0'));
  return await holding(shell, settings, home, { seed: home.peerSeedOf(id), listen, portSetting: apartPort(id) });
}

/** The setting in which the port of such a share is remembered, for as long as the home has it. */
export function apartPort(id: BlockId): string {
  return `port of ${id}`;
}

/** The network of who only fetches, under a peer id that is used once: nobody calls it, and nobody can tell whose it is. */
async function fetchersNetwork(
  shell: NetworkShell,
  settings: NetworkSettings,
  home: Home | undefined,
): Promise<Network> {
  const { createNetwork } = await import('./net/node.ts');
  return await createNetwork({
    ...common(shell, settings, home),
    seed: randomBytes(PEER_SEED_BYTES),
    listen: settings.listen,
  });
}

const PEER_SEED_BYTES = 32;

function common({ rates, log }: NetworkShell, settings: NetworkSettings, home: Home | undefined) {
  const { bootstrap, mdns, dht, maxConnections } = settings;
  return {
    ...{ bootstrap, mdns, dht, rates, clock: systemClock, log },
    ...(maxConnections === undefined ? {} : { maxConnections }),
    relays: () => home?.catalog.relays.list() ?? [],
  };
}

/** One that others call, on the port that it had the last time. */
async function holding(
  shell: NetworkShell,
  settings: NetworkSettings,
  home: Home,
  own: {
    readonly seed: Uint8Array;
    readonly listen: readonly string[];
    readonly datastorePath?: string;
    /** In which its port is remembered. */
    readonly portSetting: string;
  },
): Promise<Network> {
  // What works without a network does not wait for libp2p to load.
  const { createNetwork } = await import('./net/node.ts');
  const { portSetting, listen: wanted, ...identity } = own;
  const start = (listen: readonly string[]): Promise<Network> =>
    createNetwork({ ...common(shell, settings, home), ...identity, listen, portMapping: settings.portMapping });
  const network = await startOnSamePort(start, wanted, home.catalog.setting(portSetting));
  home.catalog.setSetting(portSetting, portOf(network.addresses()));
  return network;
}

/** Work that asks others, over the network that it is given. */
export type Asking<T> = (network: Network | undefined) => Promise<T>;
/** Given what tells how the network stands that is used, also once that has ended. */
export type OnStatus = (status: () => NetworkStatus | undefined) => void;

/**
 * Asks others under peer ids that are used once. That of the home would tell who meets it both as one that serves and as one that
 * fetches that these are one.
 */
export class Strangers {
  /** Absent where no network is started. */
  readonly #start: (() => Promise<Network>) | undefined;
  readonly #given: Network | undefined;
  readonly #running = new Set<Network>();

  /** @param given is used in place of a network for each; without it and settings, nobody is asked */
  constructor(
    shell: NetworkShell,
    settings: NetworkSettings | undefined,
    home: Home | undefined,
    given: Network | undefined,
  ) {
    this.#given = given;
    if (settings === undefined || given !== undefined) return;
    this.#start = () => fetchersNetwork(shell, { ...settings, listen: [] }, home);
  }

  async run<T>(work: Asking<T>, onStatus?: OnStatus): Promise<T> {
    if (this.#start === undefined) {
      onStatus?.(() => this.#given?.status());
      return await work(this.#given);
    }
    const network = await this.#start();
    let last: NetworkStatus | undefined;
    onStatus?.(() => last ?? network.status());
    this.#running.add(network);
    try {
      return await work(network);
    } finally {
      last = network.status();
      this.#running.delete(network);
      await network.stop();
    }
  }

  /** Ends those that are under way. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running].map(network => network.stop()));
  }
}

/** Deliveries of a home's withdrawals. A share that was forgotten may have had a peer id of its own: who is told of it is not told whose it was. */
export function deliveriesOf(home: Home, network: Network, service: Service, strangers: Strangers): Deliveries {
  const { catalog } = home;
  const isHomes = (share: BlockId): boolean => catalog.get(share) !== undefined && !service.isApart(share);
  const lend: DeliveriesDeps['lend'] = (share, work) =>
    isHomes(share) ? work(network) : strangers.run(stranger => work(stranger ?? network));
  const isSelf = (peer: string): boolean => [network, ...service.apart.values()].some(({ self }) => self === peer);
  return new Deliveries({ lend, catalog, clock: systemClock, isSelf });
}

/** One that knows nobody, under a key of its own: what it gets, a stranger would. */
export async function freshNetwork({ rates, log }: NetworkShell): Promise<Network> {
  const { createNetwork } = await import('./net/node.ts');
  const alone = { seed: randomBytes(PEER_SEED_BYTES), listen: [], bootstrap: [], mdns: false, dht: 'off' } as const;
  return await createNetwork({ ...alone, rates, clock: systemClock, log });
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
