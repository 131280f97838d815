/**
 * A port of the router in front of a private network, for others to reach this node by: asked for by NAT-PMP and UPnP,
 * renewed, asked for again when the network changes, and given back in the end. Where no router offers one, nothing is said.
 */
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import {
  HANG_UP_MS,
  MAX_MAPPING_MS,
  MAPPING_MS,
  MAPPING_RETRY_MS,
  MIN_MAPPING_MS,
  NETWORK_CHECK_MS,
  PORT_TRIES,
} from '../limits.ts';
import type { Clock, Log } from '../ports.ts';
import { placeOf } from './gater.ts';
import { findNatPmp } from './nat-pmp.ts';
import type { Outside, Router } from './router.ts';
import { findUpnp } from './upnp.ts';

/** A port of this node and where it is to be reached from outside. */
export interface Mapping {
  readonly host: string;
  readonly port: number;
  readonly externalHost: string;
  readonly externalPort: number;
}

export interface MappingOptions {
  /** The addresses that the node listens on now, of each interface. */
  readonly listening: () => readonly Multiaddr[];
  /** Told of each mapping, and with undefined when there is none any more. */
  readonly onMapped: (mapping: Mapping | undefined) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where this node stands in its network. */
interface Place {
  readonly host: string;
  readonly port: number;
  readonly gateway: string | undefined;
}

export class PortMapping {
  readonly #options: MappingOptions;
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;
  readonly #settled = Promise.withResolvers<undefined>();
  #router: Router | undefined;
  #mapping: Mapping | undefined;

  constructor(options: MappingOptions) {
    this.#options = options;
    this.#running = this.#run(this.#stopped.signal).catch(() => undefined);
  }

  /** Resolves when it is known for the first time whether there is a mapping. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Gives the port back; a router that does not answer is not waited for. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    this.#settled.resolve(undefined);
    await this.#giveBack();
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      const place = await this.#look();
      const key = JSON.stringify(place);
      const lifetimeMs = place === undefined ? undefined : await this.#keep(place, signal);
      this.#settled.resolve(undefined);
      signal.throwIfAborted();
      const pauseMs = lifetimeMs === undefined ? MAPPING_RETRY_MS : lifetimeMs / 2;
      if (await this.#isMoved(key, pauseMs, signal)) await this.#giveBack();
    }
  }

  /** Renews the mapping, or makes one; for how long, or undefined where there is none. */
  async #keep(place: Place, signal: AbortSignal): Promise<number | undefined> {
    try {
      const known = this.#router;
      const { router, outside } =
        known === undefined
          ? await mapByEither(place, signal)
          : { router: known, outside: await mapAny(known, place, this.#mapping?.externalPort, signal) };
      this.#router = router;
      const { host, port } = place;
      const mapping = { host, port, externalHost: outside.host, externalPort: outside.port };
      if (JSON.stringify(mapping) !== JSON.stringify(this.#mapping)) this.#tell(mapping);
      this.#options.log('debug', 'the router maps a port', { by: router.kind });
      return Math.min(MAX_MAPPING_MS, Math.max(MIN_MAPPING_MS, outside.lifetimeMs));
    } catch (error) {
      const hadRouter = this.#router !== undefined;
      this.#router = undefined;
      this.#tell(undefined);
      if (signal.aborted) return undefined;
      this.#options.log('debug', 'no router maps a port', { reason: (error as Error).message });
      // It may be another one by now.
      return hadRouter ? await this.#keep(place, signal) : undefined;
    }
  }

  /** Waits; returns early with true when this node stands elsewhere. */
  async #isMoved(before: string, ms: number, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    const untilMs = clock.monotonic() + ms;
    for (;;) {
      const leftMs = untilMs - clock.monotonic();
      if (leftMs <= 0) return false;
      await clock.sleep(Math.min(leftMs, NETWORK_CHECK_MS), signal);
      if (JSON.stringify(await this.#look()) !== before) return true;
    }
  }

  async #giveBack(): Promise<void> {
    const [router, mapping] = [this.#router, this.#mapping];
    this.#router = undefined;
    this.#tell(undefined);
    if (router !== undefined && mapping !== undefined) await giveUp(router, mapping);
  }

  #tell(mapping: Mapping | undefined): void {
    if (this.#mapping === undefined && mapping === undefined) return;
    this.#mapping = mapping;
    this.#options.onMapped(mapping);
  }

  async #look(): Promise<Place | undefined> {
    return await placeIn(this.#options.listening());
  }
}

/** Maps the port by NAT-PMP, which is quick to answer, or else by UPnP, which is looked for meanwhile. */
async function mapByEither(place: Place, signal: AbortSignal): Promise<{ router: Router; outside: Outside }> {
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  const ways = [
    place.gateway === undefined ? undefined : findNatPmp(place.gateway, until),
    findUpnp(place.host, until),
  ];
  ways.forEach(way => void way?.catch(() => undefined));
  const reasons: string[] = [];
  try {
    for (const way of ways) {
      if (way === undefined) continue;
      try {
        const router = await way;
        return { router, outside: await mapAny(router, place, undefined, signal) };
      } catch (error) {
        reasons.push((error as Error).message);
      }
    }
  } finally {
    ended.abort();
  }
  throw new Error(reasons.join('; '));
}

/** Maps the port that was mapped before, or the same as inside; where another has that, some other. */
async function mapAny(
  router: Router,
  { port }: Place,
  before: number | undefined,
  signal: AbortSignal,
): Promise<Outside> {
  let failure: unknown;
  for (const wantedPort of [before ?? port, ...Array.from({ length: PORT_TRIES - 1 }, () => randomInt(1024, 65_536))]) {
    signal.throwIfAborted();
    let outside: Outside;
    try {
      outside = await router.map({ port, wantedPort, lifetimeMs: MAPPING_MS }, signal);
    } catch (error) {
      failure = error;
      // It may have been done all the same.
      if (signal.aborted) await giveUp(router, { port, externalPort: wantedPort });
      continue;
    }
    if (isPublic(outside)) return outside;
    // Behind a second router, or a lie: nobody would find us there.
    await giveUp(router, { port, externalPort: outside.port });
    throw new Error('the router has no public address');
  }
  throw failure;
}

/** A router that does not answer is not waited for; what it has forgotten to remove lapses. */
async function giveUp(router: Router, mapped: { port: number; externalPort: number }): Promise<void> {
  await router.unmap(mapped, AbortSignal.timeout(HANG_UP_MS)).catch(() => undefined);
}

function isPublic({ host, port }: Outside): boolean {
  if (!/^[0-9]{1,3}(\.[0-9]{1,3}){3}$/.test(host) || host.split('.').some(part => Number(part) > 255)) return false;
  return placeOf(multiaddr(`/ip4/${host}/tcp/${port}`)) === 'public';
}

/** Where the node listens behind a router; undefined where it listens on a public address, or on this machine only. */
async function placeIn(listening: readonly Multiaddr[]): Promise<Place | undefined> {
  const addresses = listening.flatMap(address => {
    const [ip, tcp, ...rest] = multiaddr(address.bytes).getComponents();
    if (ip?.name !== 'ip4' || tcp?.name !== 'tcp' || rest.some(({ name }) => name !== 'p2p')) return [];
    return [{ host: ip.value ?? '', port: Number(tcp.value), place: placeOf(address) }];
  });
  if (addresses.some(({ place }) => place === 'public')) return undefined;
  const near = addresses.filter(({ place }) => place === 'private');
  const [first] = near;
  if (first === undefined) return undefined;
  const gateway = await defaultGateway();
  const isBehind = ({ host }: Pick<Place, 'host'>): boolean =>
    gateway !== undefined && host !== gateway && isInNetworkOf(host, gateway);
  const inside = near.find(isBehind) ?? first;
  return { host: inside.host, port: inside.port, gateway: gateway ?? firstOfNetwork(inside.host) };
}

/** From Linux's table of routes; other systems tell theirs to programs of their own only. */
async function defaultGateway(): Promise<string | undefined> {
  const table = await readFile('/proc/net/route', 'latin1').catch(() => '');
  const route = table
    .split('\n')
    .map(line => line.split('\t'))
    .find(([, destination, gateway]) => destination === '00000000' && gateway !== '00000000');
  // In the order of the machine, which is little-endian wherever Node runs on Linux, but for one that nobody has at home.
  return route === undefined ? undefined : [...Buffer.from(route[2] ?? '', 'hex')].reverse().join('.');
}

/** Where routers at home are, by habit. */
function firstOfNetwork(host: string): string | undefined {
  const mask = maskOf(host);
  return mask === undefined ? undefined : textOfIp4(((ip4(host) & mask) | 1) >>> 0);
}

function isInNetworkOf(host: string, other: string): boolean {
  const mask = maskOf(host);
  return mask !== undefined && (ip4(host) & mask) === (ip4(other) & mask);
}

function maskOf(host: string): number | undefined {
  const all = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? []);
  const found = all.find(({ address, family }) => family === 'IPv4' && address === host);
  return found === undefined ? undefined : ip4(found.netmask);
}

function ip4(text: string): number {
  return Buffer.from(text.split('.').map(Number)).readInt32BE(0);
}

function textOfIp4(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return [...bytes].join('.');
}
