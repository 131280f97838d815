/**
 * What a relay counts, in the form that Prometheus collects. docs/metrics.md describes it for operators. Labels have a few
 * values that are listed here, and never say who: no peer id, share id or address gets into them, whatever is given.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Loan } from '../src/protocol/admission.ts';
import { STORE_REFUSALS } from '../src/protocol/store-messages.ts';

const PREFIX = 'shoal_relay_';

/** Where a value that is not listed is counted. */
const OTHER = 'other';

const LOANS = ['connection', 'reservation', 'circuit', 'upload', 'relayed', 'served', 'request'] as const;
const LIMITS = ['relay', 'prefix', 'peer', 'token'] as const;
const RESULTS = ['kept', 'there', ...STORE_REFUSALS, 'gone'] as const;
const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx'] as const;

/** What was asked for and denied: a loan, bytes to relay or to serve, or a request over HTTP. */
export type Asked = Loan | 'relayed' | 'served' | 'request';
/** Whose limit was hit: the relay's own, or that of an address prefix, a peer or a token. */
export type LimitKind = (typeof LIMITS)[number];
/** How an upload ended: kept; nothing to do, since all was there; refused, by the reason; or who asked has gone. */
export type UploadResult = (typeof RESULTS)[number];

/** What is looked up when metrics are collected. One that can't be had is NaN. */
export interface Gauges {
  readonly connections: () => number;
  readonly reservations: () => number;
  readonly circuits: () => number;
  readonly leases: () => number;
  readonly storedBytes: () => number;
  readonly diskFreeBytes: () => number | Promise<number>;
  readonly dhtPeers: () => number;
}

const GAUGES: Readonly<Record<keyof Gauges, readonly [name: string, help: string]>> = {
  connections: ['connections', 'Connections to peers that are open'],
  reservations: ['reservations', 'Reservations that are in force'],
  circuits: ['circuits', 'Circuits that are open'],
  leases: ['leases', 'Leases that are in force'],
  storedBytes: ['stored_bytes', 'Bytes of blocks that are stored'],
  diskFreeBytes: ['disk_free_bytes', 'Bytes that are free where blocks are stored'],
  dhtPeers: ['dht_peers', 'Peers in the routing table of the DHT'],
};

export interface Metrics {
  /** Of what `text` gives. */
  readonly contentType: string;
  readonly text: () => Promise<string>;
  /** Bytes passed on through circuits, both directions together. */
  readonly relayed: (bytes: number) => void;
  /** Bytes of blocks sent to who fetches. */
  readonly served: (bytes: number) => void;
  /** Bytes of blocks received in uploads. */
  readonly received: (bytes: number) => void;
  readonly uploaded: (result: UploadResult) => void;
  readonly denied: (asked: Asked, limit: LimitKind) => void;
  readonly renewed: () => void;
  readonly expired: () => void;
  readonly withdrawn: () => void;
  readonly granted: () => void;
  /** An answer over the public HTTP, by its status. */
  readonly answered: (status: number) => void;
}

/** Metrics of one relay, and of its process. */
export function relayMetrics(gauges: Gauges): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: PREFIX });
  for (const [key, [name, help]] of Object.entries(GAUGES) as [keyof Gauges, readonly [string, string]][]) {
    new Gauge({
      name: PREFIX + name,
      help,
      registers,
      async collect() {
        this.set(await valueOf(gauges[key]));
      },
    });
  }
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name: PREFIX + name, help, labelNames, registers });
  const relayed = counter('relayed_bytes_total', 'Bytes passed on through circuits, both directions together');
  const served = counter('served_bytes_total', 'Bytes of blocks sent to who fetches');
  const received = counter('received_bytes_total', 'Bytes of blocks received in uploads');
  const uploads = counter('uploads_total', 'Uploads that have ended, by how', ['result']);
  const denials = counter('denials_total', 'What was denied, by what was asked for and whose limit was hit', [
    'loan',
    'limit',
  ]);
  const renewals = counter('renewals_total', 'Leases that were renewed');
  const expiries = counter('expiries_total', 'Leases that have run out');
  const withdrawals = counter('withdrawals_total', 'Shares that their owners withdrew');
  const grants = counter('grants_total', 'Grants that were stored beside their shares');
  const requests = counter('http_requests_total', 'Requests over the public HTTP, by the class of their status', [
    'class',
  ]);
  // A rate can only be told of what has been there from the beginning.
  for (const result of RESULTS) uploads.inc({ result }, 0);
  for (const name of STATUS_CLASSES) requests.inc({ class: name }, 0);
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    relayed: bytes => relayed.inc(bytes),
    served: bytes => served.inc(bytes),
    received: bytes => received.inc(bytes),
    uploaded: result => uploads.inc({ result: listed(result, RESULTS) }),
    denied: (asked, limit) => denials.inc({ loan: listed(asked, LOANS), limit: listed(limit, LIMITS) }),
    renewed: () => renewals.inc(),
    expired: () => expiries.inc(),
    withdrawn: () => withdrawals.inc(),
    granted: () => grants.inc(),
    answered: status => requests.inc({ class: listed(`${Math.floor(status / 100)}xx`, STATUS_CLASSES) }),
  };
}

async function valueOf(gauge: () => number | Promise<number>): Promise<number> {
  try {
    return await gauge();
  } catch {
    // One that fails must not hide the others.
    return Number.NaN;
  }
}

/** `value` where it is one of `values`: types don't keep what a label must not say from being given. */
function listed(value: string, values: readonly string[]): string {
  return values.includes(value) ? value : OTHER;
}
