/** A relay that runs: what it is made of, started in the order in which one needs the other, and stopped in the reverse. */
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../src/clock.ts';
import { verifier } from '../src/crypto/verify.ts';
import { fileError } from '../src/errors.ts';
import { openDirectory } from '../src/files/directory.ts';
import { showName } from '../src/files/names.ts';
import {
  DRAIN_MS,
  DRAIN_POLL_MS,
  LOW_DISK_BYTES,
  MAX_RELAY_ADDRESSES,
  MOST_RELAY_CONNECTIONS,
  RELAY_RESTART_SECONDS,
} from '../src/limits.ts';
import { createNetwork } from '../src/net/node.ts';
import type { Directory, Log, Network } from '../src/ports.ts';
import type { Admission, Denied } from '../src/protocol/admission.ts';
import type { RelayInfo, TierLimits } from '../src/protocol/relay-info.ts';
import { diskStore } from '../src/store/disk.ts';
import { VERSION } from '../src/version.ts';
import { RelayAdmission } from './admission.ts';
import type { RelayOptions, RunningRelay } from './commands/run.ts';
import { changesBetween, type RelayConfig } from './config.ts';
import { Door } from './door.ts';
import { accountSecret, adminOf, fromConfig, loadAdminToken } from './folder.ts';
import { serveAdmin, type AdminOptions } from './http/admin.ts';
import { servePublic, type CertificatePaths } from './http/public.ts';
import { Keeper, type KeeperEvent } from './keeper.ts';
import { Leases } from './leases.ts';
import { relayLog } from './log.ts';
import { relayMetrics, type Metrics } from './metrics.ts';
import { TokenList } from './token-list.ts';

/** Ends one of the parts. */
type Ending = () => Promise<void> | void;

/**
 * Starts a relay by its configuration.
 * @throws ShoalError `usage` for an address that can't be read; `io`, `in-use`, `denied` where something can't be listened on
 *   or written; `home`, `newer-home` where its records can't be used
 */
export async function startRelay({ config, place, folder }: RelayOptions): Promise<RunningRelay> {
  const endings: Ending[] = [];
  const stop = async (): Promise<void> => {
    for (const end of endings.splice(0).reverse()) await end();
  };
  try {
    return await started({ config, place, folder }, endings, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function started(
  { config: first, place, folder }: RelayOptions,
  endings: Ending[],
  stop: () => Promise<void>,
): Promise<RunningRelay> {
  let config = first;
  const { roles } = config;
  const startedAt = Math.floor(systemClock.now() / 1000);
  const { log, setLevel } = relayLog(config.log.level, config.log.format);
  const admission = new RelayAdmission({ config, secret: accountSecret(folder.seed), clock: systemClock });
  const chunks = await chunkFolder(folder.path);
  endings.push(() => chunks.close());
  const freeBytes = (): Promise<number> => freeIn(join(folder.path, CHUNKS));

  // What is asked for by parts that are there before.
  const later: { network?: Network; leases?: Leases; door?: Door } = {};
  const metrics = relayMetrics({
    connections: () => later.network?.status().connections ?? 0,
    reservations: () => later.network?.status().lent?.reservations ?? 0,
    circuits: () => later.network?.status().lent?.circuits ?? 0,
    leases: () => later.leases?.holding().leases ?? 0,
    storedBytes: () => later.leases?.holding().bytes ?? 0,
    diskFreeBytes: freeBytes,
    dhtPeers: () => later.network?.status().dhtPeers ?? 0,
  });
  let isDraining = false;
  const counted = lending(admission, metrics, () => isDraining);

  const tokens = new TokenList(folder.path, folder.seed);
  endings.push(() => tokens.close());
  const network = await createNetwork({
    seed: folder.seed,
    listen: config.network.listen,
    announce: await withAddresses(config.network.announce, log),
    bootstrap: config.network.bootstrap,
    mdns: false,
    dht: roles.dht ? 'server' : 'off',
    datastorePath: join(folder.path, 'peers'),
    // Admission counts them by the configuration, also by one that comes later.
    maxConnections: MOST_RELAY_CONNECTIONS,
    forOthers: { admission: counted, circuit: roles.circuit, autonat: roles.autonat },
    trustsNear: config.relay.lan,
    onGone: peer => later.door?.gone(peer),
    clock: systemClock,
    log,
  });
  later.network = network;
  const { self } = network;
  endings.push(() => network.stop());
  const door = await Door.open({ network, admission, tokens, clock: systemClock, log });
  later.door = door;
  endings.push(() => door.close());

  let keeper: Keeper | undefined;
  if (roles.store) {
    const store = diskStore({ folder: chunks, crypto: verifier(), random: randomBytes, takesChunks: true });
    endings.push(() => store.close());
    const leases = await Leases.open(join(folder.path, 'leases.sqlite'), store, systemClock);
    later.leases = leases;
    const folders = new Set(await store.list());
    const missing = leases.kept().filter(id => !folders.has(id) && leases.get(id) !== undefined).length;
    if (missing > 0) log('warn', 'there are leases without a folder of blocks; was "chunks" moved?', { missing });
    endings.push(() => leases.close());
    keeper = await Keeper.start({
      ...{ network, leases, store, admission: counted, clock: systemClock, log, freeBytes },
      crypto: verifier(),
      seed: folder.seed,
      mostLeases: () => config.limits.leases,
      capacityBytes: () => config.limits.stored_bytes,
      steadyClockMs: first.relay.steady_clock * 1000,
      onEvent: event => countEvent(metrics, event),
    });
    endings.push(() => keeper?.stop());
  }

  const info = (): RelayInfo => infoOf({ ...config, roles }, self, network.addresses());
  const publicHttp = roles.http
    ? await servePublic({
        ...config.http.listen,
        trustedProxies: config.http.trusted_proxies,
        ...certificateOf(config, path => fromConfig(place, path)),
        info,
        admits: address => admission.request({ address }),
        onAnswer: metrics.answered,
        log,
      })
    : undefined;
  endings.push(() => publicHttp?.close());

  const status = (): Record<string, unknown> => {
    const { connections, dhtPeers, lent } = network.status();
    const holding = later.leases?.holding();
    return {
      version: VERSION,
      name: config.relay.name,
      peer: self,
      addresses: network.addresses(),
      since: startedAt,
      roles,
      ...(publicHttp === undefined ? {} : { http: first.http.origin ?? publicHttp.address }),
      connections,
      ...(dhtPeers === undefined ? {} : { dhtPeers }),
      ...lent,
      ...(holding === undefined ? {} : { leases: holding.leases, storedBytes: holding.bytes }),
      ...(keeper === undefined ? {} : { uploads: keeper.uploads }),
    };
  };
  const adminHttp = await serveAdmin({
    at: await adminAt(first, place),
    checks: async () => ({
      running: isDraining ? 'it is stopping' : true,
      addresses: network.addresses().length > 0 || 'it has no address that others could reach',
      disk: await freeBytes().then(
        free => free > LOW_DISK_BYTES || 'the disk of its data folder is nearly full',
        (error: unknown) => `its folder for blocks can not be used: ${(error as Error).message}`,
      ),
    }),
    metrics,
    status,
    log,
  });
  endings.push(() => adminHttp.close());
  log('info', 'the relay runs', { version: VERSION, peer: self, roles, leases: later.leases?.holding().leases ?? 0 });

  return {
    async reload(next) {
      const { reloaded } = changesBetween(config, next);
      const { needsRestart } = changesBetween(first, next);
      config = next;
      admission.replace(next);
      setLevel(next.log.level);
      await publicHttp?.reload();
      door.check();
      log('info', 'the configuration was read again', { taken: reloaded });
      if (needsRestart.length > 0)
        log('warn', 'some new values hold once the relay is started again', { needsRestart });
      return needsRestart;
    },
    async stop() {
      isDraining = true;
      await idle(() => (keeper?.uploads ?? 0) + (network.status().lent?.circuits ?? 0), log);
      await stop();
      log('info', 'the relay has stopped');
    },
  };
}

/** Waits until nothing is under way any more, or for as long as may be. */
async function idle(underWay: () => number, log: Log): Promise<void> {
  if (underWay() > 0) log('info', 'stopping: what is under way may end first', { uploadsAndCircuits: underWay() });
  const deadline = systemClock.monotonic() + DRAIN_MS;
  while (underWay() > 0 && systemClock.monotonic() < deadline) await systemClock.sleep(DRAIN_POLL_MS);
}

/**
 * What is announced, and beside each name the addresses that it has now: a name that a stranger tells leads anywhere, so that
 * who meets this relay through others follows addresses only.
 */
async function withAddresses(announced: readonly string[], log: Log): Promise<string[]> {
  const found: string[] = [];
  for (const address of announced) {
    found.push(address);
    const [, kind = '', name, rest = ''] = /^\/dns([46]?)\/([^/]+)(\/.*)$/.exec(address) ?? [];
    if (name === undefined) continue;
    try {
      const family = kind === '' ? 0 : Number(kind);
      for (const one of await lookup(name, { all: true, family }))
        if (!rest.includes('/wss') && !rest.includes('/tls')) found.push(`/ip${one.family}/${one.address}${rest}`);
    } catch (error) {
      log('warn', 'a name that is announced can not be looked up, so that only who knows it finds this relay', {
        reason: (error as NodeJS.ErrnoException).code,
      });
    }
  }
  return [...new Set(found)];
}

const CHUNKS = 'chunks';

async function chunkFolder(data: string): Promise<Directory> {
  const path = join(data, CHUNKS);
  try {
    await mkdir(path, { mode: 0o700, recursive: true });
  } catch (error) {
    throw fileError(error, `make the folder for blocks "${showName(path)}"`);
  }
  return await openDirectory(path);
}

/** Bytes that this process may still write where a path is. */
async function freeIn(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

const STOPPING: Denied = { denied: 'this relay is stopping', of: 'relay', retryAfterSeconds: RELAY_RESTART_SECONDS };

/** Counts what is denied, by whose limit it was. Nothing more is lent while the relay is about to stop. */
function lending(admission: Admission, metrics: Metrics, isDraining: () => boolean): Admission {
  return {
    admit: (loan, who) => {
      // Who uploads or is served goes on, and may connect again.
      const answer = isDraining() && loan !== 'connection' ? STOPPING : admission.admit(loan, who);
      if ('denied' in answer) metrics.denied(loan, answer.of);
      return answer;
    },
    spend: (what, who, bytes) => {
      const denied = admission.spend(what, who, bytes);
      if (denied !== undefined) metrics.denied(what, denied.of);
      else if (what === 'relayed') metrics.relayed(bytes);
      return denied;
    },
    quotasOf: who => admission.quotasOf(who),
  };
}

function countEvent(metrics: Metrics, event: KeeperEvent): void {
  switch (event.event) {
    case 'upload':
      return metrics.uploaded(event.result);
    case 'received':
      return metrics.received(event.bytes);
    case 'served':
      return metrics.served(event.bytes);
    case 'renewal':
      return metrics.renewed();
    case 'expiry':
      return metrics.expired();
    case 'withdrawal':
      return metrics.withdrawn();
    case 'grant':
      return metrics.granted();
  }
}

/** What is told to everybody. The operator's own tier is nobody else's business. */
function infoOf({ relay, limits, tiers, roles }: RelayConfig, peer: string, addresses: readonly string[]): RelayInfo {
  const limitsOf = (tier: RelayConfig['tiers']['anonymous']): TierLimits => ({
    reservationSeconds: tier.reservation_time,
    circuitBytes: tier.circuit_bytes,
    circuitSeconds: tier.circuit_time,
    leases: Math.min(tier.leases, limits.leases),
    storedBytes: Math.min(tier.stored_bytes, limits.stored_bytes),
    leaseSeconds: tier.lease_time,
  });
  const { dht, circuit, autonat, store } = roles;
  return {
    shoal: 1,
    name: relay.name,
    ...(relay.operator === undefined ? {} : { operator: relay.operator }),
    ...(relay.contact === undefined ? {} : { contact: relay.contact }),
    ...(relay.terms === undefined ? {} : { terms: relay.terms }),
    version: VERSION,
    peer,
    addresses: addresses.slice(0, MAX_RELAY_ADDRESSES),
    roles: { dht, circuit, autonat, store },
    limits: { anonymous: limitsOf(tiers.anonymous), token: limitsOf(tiers.token) },
    retention: RETENTION,
    lists: [],
  };
}

const RETENTION =
  'Ciphertext until its lease ends or its owner withdraws it. Whose it is, as a keyed hash of an address prefix. No address is logged; the address book of the DHT holds those of up to a thousand peers, and forgets the oldest.';

function certificateOf({ http }: RelayConfig, pathOf: (path: string) => string): { tls?: CertificatePaths } {
  const { tls_cert, tls_key } = http;
  if (tls_cert === undefined || tls_key === undefined) return {};
  return { tls: { certificate: pathOf(tls_cert), key: pathOf(tls_key) } };
}

async function adminAt(config: RelayConfig, place: RelayOptions['place']): Promise<AdminOptions['at']> {
  const { listen, tokenFile } = adminOf(config, place);
  if (listen.kind === 'socket') return { socket: listen.path };
  return { host: listen.host, port: listen.port, token: await loadAdminToken(tokenFile) };
}
