/**
 * What may be wrong with a home, its node and its shares, each with what to do about it. The home is looked at without
 * opening it, so that there is something to say of one that can't be opened.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, isShoalError, type ShoalError } from '../errors.ts';
import { showName } from '../files/names.ts';
import { formatBytes } from '../format/sizes.ts';
import { EARLIEST_NOW_MS, LOOKS_AT_ONCE, LOW_DISK_BYTES, MAX_CLOCK_AHEAD_MS, SHORT_ID_CHARS } from '../limits.ts';
import type { ShoalNode } from '../node.ts';
import { inParallel } from '../parallel.ts';
import type { ShareRecord } from '../catalog.ts';
import type { Reservation } from '../ports.ts';
import { VERSION } from '../version.ts';
import type { Results } from './actions.ts';
import { quotaChecks } from './carrying.ts';
import { clockChecks } from './clock-checks.ts';

export type Check = Results['doctor']['checks'][number];

/** Of a home's folder, and of the machine as far as the folder shows it. @param nowMs what the machine takes the time to be, Unix milliseconds */
export async function homeChecks(folder: string, nowMs: number): Promise<Check[]> {
  try {
    const found = await stat(folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    if (found === undefined) {
      const message = `there is none yet at "${showName(folder)}"; the first share makes it`;
      return [ok('home', message), ...clockCheck([], nowMs)];
    }
    const names = await readdir(folder);
    return [
      ...(await privacyCheck(folder, names)),
      ...(await writingCheck(folder)),
      ...(await diskCheck(folder)),
      ...clockCheck(await Promise.all(names.map(async name => (await stat(join(folder, name))).mtimeMs)), nowMs),
    ];
  } catch (error) {
    return [problem('home', fileError(error, `look at the home "${showName(folder)}"`))];
  }
}

async function privacyCheck(folder: string, names: readonly string[]): Promise<Check[]> {
  if (process.platform === 'win32') return [];
  const open = ((await stat(folder)).mode & 0o022) !== 0 ? [folder] : [];
  for (const name of names) {
    const path = join(folder, name);
    const found = await stat(path);
    // What lies in a folder that is for its user only is out of reach for others.
    if (found.isFile() && (found.mode & 0o077) !== 0) open.push(path);
  }
  const [first] = open;
  if (first === undefined) return [ok('home', `"${showName(folder)}" is for its user only`)];
  const [mode, how] = first === folder ? ['700', 'write to'] : ['600', 'read'];
  return [
    {
      name: 'home',
      state: 'problem',
      message: `others may ${how} "${showName(first)}"`,
      remedy: `run: chmod ${mode} '${showName(first)}'; where others have used it, share anew in another home`,
    },
  ];
}

async function writingCheck(folder: string): Promise<Check[]> {
  const path = join(folder, `doctor-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(path, 'a test', { flag: 'wx', mode: 0o600 });
    await rm(path);
    return [];
  } catch (error) {
    return [problem('home', fileError(error, `write to the home "${showName(folder)}"`))];
  }
}

async function diskCheck(folder: string): Promise<Check[]> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const free = `${formatBytes(freeBytes)} are free`;
  if (freeBytes >= LOW_DISK_BYTES) return [ok('disk', `${free} where the home is`)];
  const message = `only ${free} where the home is`;
  return [{ name: 'disk', state: 'problem', message, remedy: 'make room, or move the home by SHOAL_HOME' }];
}

/** A clock that is more than a day wrong keeps peers from finding each other (docs/protocol.md). */
function clockCheck(timesMs: readonly number[], nowMs: number): Check[] {
  const shown = new Date(nowMs).toISOString().slice(0, 16).replace('T', ' ');
  const latestMs = Math.max(EARLIEST_NOW_MS, ...timesMs);
  if (latestMs <= nowMs + MAX_CLOCK_AHEAD_MS) return [ok('clock', `it says ${shown} UTC`)];
  const than = latestMs === EARLIEST_NOW_MS ? 'shoal itself is newer' : 'the home has files that are newer';
  return [
    {
      name: 'clock',
      state: 'problem',
      message: `it says ${shown} UTC, and ${than}: peers are not found while it is a day wrong`,
      remedy: 'set the clock, best by having it set from the network (timedatectl set-ntp true)',
    },
  ];
}

/** Of a process that holds the home. */
export function versionCheck({ holds, version, pid, daemon }: Results['status']): Check[] {
  if (!holds) return [];
  if (version === VERSION)
    return [ok('version', `the process that holds the home (${pid}) is shoal ${version}, as this is`)];
  const message = `the process that holds the home (${pid}) is shoal ${version}, and this is ${VERSION}`;
  const remedy =
    daemon === undefined
      ? 'end it and start it again'
      : 'restart the daemon: "shoal daemon --stop", then "shoal daemon --detach"';
  return [{ name: 'version', state: 'problem', message, remedy }];
}

/** What keeps the node from working, as a check. */
export function nodeProblem(error: ShoalError): Check {
  return problem('node', error);
}

/** Of a node that runs, and of the shares of its home. @throws the signal's reason */
export async function nodeChecks(node: ShoalNode, signal: AbortSignal): Promise<Check[]> {
  return [
    ...clockChecks(node),
    ...(await networkChecks(node, signal)),
    ...(await quotaChecks(node)),
    ...(await shareChecks(node, signal)),
  ];
}

async function networkChecks({ network }: ShoalNode, signal: AbortSignal): Promise<Check[]> {
  if (network === undefined) return [];
  await network.settled(signal);
  const { multicast, lanPeers = 0, dhtPeers, portMapping, reservations } = await network.survey(signal);
  const addresses = network.addresses().filter(address => !address.includes('/p2p-circuit/'));
  return [
    addressCheck(addresses, reservations),
    ...routerChecks(portMapping),
    ...relayChecks(reservations),
    ...lanChecks(multicast, lanPeers),
    dhtCheck(dhtPeers),
  ];
}

/** @param addresses those that lead here without a relay */
function addressCheck(addresses: readonly string[], reservations: readonly Reservation[]): Check {
  const [first, ...more] = addresses;
  if (first !== undefined)
    return ok(
      'addresses',
      `it listens on ${more.length === 0 ? '' : `${addresses.length} addresses, `}${withoutPeer(first)}`,
    );
  const isReserved = reservations.some(({ state }) => state === 'reserved');
  return {
    name: 'addresses',
    state: isReserved ? 'notice' : 'problem',
    message: `it listens on no address, so nobody can fetch from here${isReserved ? ' but through a relay' : ''}`,
    remedy: 'connect this machine to a network, or give an address of it by --listen or in the configuration',
  };
}

function routerChecks(portMapping: 'off' | 'none' | 'mapped'): Check[] {
  if (portMapping === 'mapped') return [ok('router', 'it lets others in')];
  if (portMapping === 'off') return [];
  return [
    {
      name: 'router',
      state: 'notice',
      message: 'none offered a port (UPnP, NAT-PMP), so this node may not be reached from other networks',
      remedy: 'allow UPnP or NAT-PMP in the router, or have it pass a port on and give that one by --port',
    },
  ];
}

/** Of the relays by which others are to reach this node. */
function relayChecks(reservations: readonly Reservation[]): Check[] {
  const reserved = reservations.filter(({ state }) => state === 'reserved').length;
  const failed = reservations.filter(({ state }) => state !== 'reserved');
  const through = `others reach this node through ${reserved} relay${reserved === 1 ? '' : 's'}`;
  return [
    ...(reserved === 0 ? [] : [ok('relays', through)]),
    ...failed.map(({ peer, why = 'it has not answered yet' }): Check => ({
      name: `relay …${peer.slice(-8)}`,
      state: reserved === 0 ? 'problem' : 'notice',
      message: `this node can not be reached through it: ${why}`,
      remedy:
        'look whether the relay runs and its address is right, or choose another one; it is tried again and again',
    })),
  ];
}

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '');
}

function lanChecks(multicast: 'heard' | 'unheard' | 'off', lanPeers: number): Check[] {
  if (multicast === 'off')
    return [
      {
        name: 'local network',
        state: 'notice',
        message: 'it is not looked at',
        remedy: 'leave out --no-mdns (SHOAL_MDNS, network.mdns) to find peers there',
      },
    ];
  if (multicast === 'unheard')
    return [
      {
        name: 'local network',
        state: 'problem',
        message: 'multicast does not get through, so peers of this network are not found',
        remedy: 'allow UDP port 5353 to and from 224.0.0.251 in the firewall, or share with --hint self',
      },
    ];
  if (lanPeers > 0) return [ok('local network', `${lanPeers} other node${lanPeers === 1 ? '' : 's'} answered`)];
  return [
    {
      name: 'local network',
      state: 'notice',
      message: 'no other node answered',
      remedy: 'if one runs there, look at its firewall (UDP port 5353); some wireless networks keep their guests apart',
    },
  ];
}

function dhtCheck(dhtPeers: number | undefined): Check {
  if (dhtPeers === undefined)
    return {
      name: 'DHT',
      state: 'notice',
      message: 'it takes no part in it',
      remedy: 'leave out --dht off (SHOAL_DHT, network.dht) to be found across networks',
    };
  if (dhtPeers > 0) return ok('DHT', `${dhtPeers} node${dhtPeers === 1 ? '' : 's'} known`);
  return {
    name: 'DHT',
    state: 'notice',
    message: 'no node of it is known, so peers of other networks are found by hints in links only',
    remedy: 'give a node to begin at by --bootstrap, or in the configuration (network.bootstrap)',
  };
}

async function shareChecks(node: ShoalNode, signal: AbortSignal): Promise<Check[]> {
  const records = node.home?.catalog.list() ?? [];
  const found: Check[] = [];
  await inParallel(records, LOOKS_AT_ONCE, async record => {
    signal.throwIfAborted();
    const check = await shareCheck(node, record);
    if (check !== undefined) found.push(check);
  });
  return found.length > 0 || records.length === 0
    ? found
    : [ok('shares', `what each of ${records.length} is served from is there`)];
}

async function shareCheck(node: ShoalNode, record: ShareRecord): Promise<Check | undefined> {
  const name = `share ${record.id.slice(0, SHORT_ID_CHARS)}`;
  const shown = record.name === '' ? 'it' : `"${showName(record.name)}"`;
  try {
    const { state, detail = '' } = await node.stateOf(record);
    if (state === 'missing')
      return {
        name,
        state: 'problem',
        message: `${shown} can not be served: ${detail}`,
        remedy: 'put it back where it was, or forget the share ("shoal forget") and share it from where it is now',
      };
    // Nothing is needed of what has ended.
    if (state === 'expired' || state === 'withdrawn') return undefined;
    const touched = state === 'changed' ? detail : await node.home?.touched(record);
    if (touched === undefined) return undefined;
    return {
      name,
      state: 'problem',
      message: `${shown} is not what was shared any more: ${touched}`,
      remedy: 'share it again for a new link, and forget this one ("shoal forget"); --copy keeps what was shared',
    };
  } catch (error) {
    if (!isShoalError(error)) throw error;
    return { ...problem(name, error), remedy: 'forget the share ("shoal forget") and share it again' };
  }
}

function ok(name: string, message: string): Check {
  return { name, state: 'ok', message };
}

/** What failed, and what its message says behind a semicolon about what to do. */
function problem(name: string, { message }: ShoalError): Check {
  const [what = '', ...next] = message.split('; ');
  return { name, state: 'problem', message: what, remedy: next.join('; ') || 'mend that, and run this again' };
}
