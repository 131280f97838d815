/** Makes the networks of a node: the one of its home, and those that nobody is to link with it. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from './clock.ts';
import { isShoalError } from './errors.ts';
import type { Home } from './home.ts';
import type { Log, Network } from './ports.ts';
import { Rate } from './rate.ts';

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

/** The network of a home, or of a run that holds none. */
export async function startNetwork(
  options: { readonly holds: boolean; readonly log: Log },
  settings: NetworkSettings,
  home: Home | undefined,
): Promise<Network> {
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
      relays: () => home?.catalog.relays.list() ?? [],
      ...(options.holds && home !== undefined
        ? { datastorePath: join(home.folder, 'peers'), portMapping: settings.portMapping }
        : {}),
    });
  // Who only fetches is not called by anybody.
  if (!options.holds || home === undefined) return await start(settings.listen);
  const listen = settings.listen.length === 0 ? everywhere(settings.port) : settings.listen;
  const network = await startOnSamePort(start, listen, home.catalog.setting('port'));
  home.catalog.setSetting('port', portOf(network.addresses()));
  return network;
}

/** One that knows nobody, under a key of its own: what it gets, a stranger would. */
export async function freshNetwork(settings: NetworkSettings | undefined, log: Log): Promise<Network> {
  const { createNetwork } = await import('./net/node.ts');
  const { up, down } = { up: new Rate(systemClock, settings?.maxUp), down: new Rate(systemClock, settings?.maxDown) };
  const alone = { seed: randomBytes(32), listen: [], bootstrap: [], mdns: false, dht: 'off' } as const;
  return await createNetwork({ ...alone, rates: { up, down }, clock: systemClock, log });
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
