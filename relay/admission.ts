/**
 * Who may have how much of this relay: the port `Admission`, in one synchronous check over all buckets that concern who asks.
 * A bucket counts what is lent of one key (the relay, an address prefix, a peer, a token) and what passed in fixed windows of
 * time. Nothing is taken where one of them is full. Why by hand: docs/decisions/0017.
 */
import { strict as assert } from 'node:assert';
import { createHmac } from 'node:crypto';
import { formatBytes } from '../src/format/sizes.ts';
import {
  KEYS_SWEPT_PER_NEW,
  KEYS_SWEPT_PER_NEW_WHEN_FULL,
  LENT_RETRY_SECONDS,
  MAX_COUNTED_KEYS,
  REQUESTS_PER_MINUTE_PER_PREFIX,
  TOKENS_PER_MINUTE_PER_PREFIX,
  WIDE_PREFIX_FACTOR,
} from '../src/limits.ts';
import type { Clock } from '../src/ports.ts';
import type { Admission, Asker, Denied, Loan, Permit, Quotas } from '../src/protocol/admission.ts';
import type { Limits, RelayConfig } from './config.ts';
import { prefixesOf } from './prefixes.ts';

/** What a token gives its holders; what it does not say is as the configuration has it for all tokens. */
export interface HeldToken {
  readonly id: string;
  readonly storedBytes?: number;
  readonly leaseSeconds?: number;
  /** Unix seconds. */
  readonly until: number;
}

/** What limits are made of. */
export type AdmissionConfig = Pick<RelayConfig, 'limits' | 'tiers' | 'operator'>;

export interface AdmissionDeps {
  readonly config: AdmissionConfig;
  /** Hides address prefixes in the names of accounts; stays the same as long as those are to. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  /** How many keys may be counted at once. */
  readonly maxKeys?: number;
}

/** A rate: how much passes in a window of so many seconds. */
interface Rate {
  /** Of the configuration, or how many pass. */
  readonly key: keyof Limits | number;
  readonly seconds: number;
  /** Completes "64 …". */
  readonly noun: string;
}

const DAY = 86_400;
const RATES = {
  connection: { key: 'connections_per_second', seconds: 1, noun: 'new connections a second' },
  reservation: { key: 'reservations_per_minute', seconds: 60, noun: 'reservations a minute' },
  circuit: { key: 'circuits_per_minute', seconds: 60, noun: 'new circuits a minute' },
  relayed: { key: 'circuit_bytes_per_day', seconds: DAY, noun: 'a day through circuits' },
  served: { key: 'served_bytes_per_day', seconds: DAY, noun: 'a day of stored blocks' },
  token: { key: TOKENS_PER_MINUTE_PER_PREFIX, seconds: 60, noun: 'tokens a minute' },
  request: { key: REQUESTS_PER_MINUTE_PER_PREFIX, seconds: 60, noun: 'requests a minute' },
} as const satisfies Record<string, Rate>;

const LOANS: Readonly<Record<Loan, { readonly key: keyof Limits; readonly rate?: Rate }>> = {
  connection: { key: 'connections', rate: RATES.connection },
  reservation: { key: 'reservations', rate: RATES.reservation },
  circuit: { key: 'circuits', rate: RATES.circuit },
  upload: { key: 'uploads' },
};

/** One key that concerns who asks, with its limits. */
interface Concern {
  readonly key: string;
  readonly limits: Limits;
  /** How many times the limits hold. */
  readonly factor: number;
  /** Completes "64 reservations …". */
  readonly whose: string;
  readonly of: Denied['of'];
}

/** The key of the bucket that is never dropped. */
const WHOLE = 'relay';
const PER_PREFIX = 'per address prefix';
/** Of the HMAC that stands for a prefix: too long to meet another's by chance. */
const ACCOUNT_BYTES = 16;

export class RelayAdmission implements Admission {
  readonly #secret: Uint8Array;
  readonly #clock: Clock;
  readonly #maxKeys: number;
  #config: AdmissionConfig;
  #operators: ReadonlySet<string>;
  /** Those looked at longest ago first. */
  readonly #buckets = new Map<string, Bucket>();
  /** Tokens by the peers that have presented them. */
  readonly #held = new Map<string, HeldToken>();

  constructor({ config, secret, clock, maxKeys = MAX_COUNTED_KEYS }: AdmissionDeps) {
    this.#maxKeys = maxKeys;
    this.#secret = secret;
    this.#clock = clock;
    this.#config = config;
    this.#operators = new Set(config.operator.peers);
  }

  admit(loan: Loan, who: Asker): Permit | Denied {
    const { key, rate } = LOANS[loan];
    const nowMs = this.#clock.monotonic();
    const concerns = this.#concernsOf(who);
    for (const { key: name, limits, factor, whose, of } of concerns) {
      const bucket = this.#buckets.get(name);
      const most = limits[key] * factor;
      if ((bucket?.lent(loan) ?? 0) >= most)
        return { denied: `${most} ${key} at once ${whose}`, of, retryAfterSeconds: LENT_RETRY_SECONDS };
    }
    const late = rate === undefined ? undefined : this.#overRate(concerns, rate, 1, nowMs);
    if (late !== undefined) return late;
    const taken = this.#take(concerns, nowMs, bucket => {
      bucket.lend(loan, 1);
      if (rate !== undefined) bucket.pass(rate, 1, nowMs);
    });
    let isLent = true;
    return {
      release: () => {
        if (isLent) for (const bucket of taken) bucket.lend(loan, -1);
        isLent = false;
      },
    };
  }

  spend(what: 'relayed' | 'served', who: Asker, bytes: number): Denied | undefined {
    assert(Number.isSafeInteger(bytes) && bytes >= 0, 'a number of bytes');
    return this.#pass(this.#concernsOf(who), RATES[what], bytes);
  }

  /** Counts a token that is presented, whatever it is worth. */
  present(who: Asker): Denied | undefined {
    return this.#passOfPrefix(who, RATES.token);
  }

  /** Counts a request over HTTP. */
  request(who: Asker): Denied | undefined {
    return this.#passOfPrefix(who, RATES.request);
  }

  quotasOf(who: Asker): Quotas {
    const { tiers } = this.#config;
    const token = this.#tokenOf(who);
    if (who.peer !== undefined && this.#operators.has(who.peer))
      return { account: `peer:${who.peer}`, tier: 'operator', ...quotasIn(tiers.operator) };
    if (token === undefined)
      return { account: `prefix:${this.#hidden(who)}`, tier: 'anonymous', ...quotasIn(tiers.anonymous) };
    const quotas = quotasIn(tiers.token);
    const { storedBytes = quotas.storedBytes, leaseSeconds = quotas.leaseSeconds } = token;
    return { account: `token:${token.id}`, tier: 'token', ...quotas, storedBytes, leaseSeconds };
  }

  /** The holders of `token` are in its tier from now on, in place of that of an earlier one. @returns false where too many are held */
  hold(peer: string, token: HeldToken): boolean {
    if (!this.#held.has(peer) && this.#held.size >= this.#config.limits.connections) return false;
    this.#held.set(peer, token);
    return true;
  }

  letGo(peer: string): void {
    this.#held.delete(peer);
  }

  /** Who has presented a token, and which. */
  get held(): ReadonlyMap<string, HeldToken> {
    return this.#held;
  }

  /** New limits hold from now on; what is lent stays lent, and counts. */
  replace(config: AdmissionConfig): void {
    this.#config = config;
    this.#operators = new Set(config.operator.peers);
  }

  /** How many keys are counted, and what is lent by the whole relay. */
  status(): { readonly keys: number; readonly lent: Readonly<Record<Loan, number>> } {
    const whole = this.#buckets.get(WHOLE);
    const lent = (loan: Loan): number => whole?.lent(loan) ?? 0;
    return {
      keys: this.#buckets.size,
      lent: {
        connection: lent('connection'),
        reservation: lent('reservation'),
        circuit: lent('circuit'),
        upload: lent('upload'),
      },
    };
  }

  #passOfPrefix({ address }: Asker, rate: Rate): Denied | undefined {
    const { near } = prefixesOf(address);
    const { prefix: limits } = this.#config.limits;
    return this.#pass([{ key: `prefix ${near}`, limits, factor: 1, whose: PER_PREFIX, of: 'prefix' }], rate, 1);
  }

  #pass(concerns: readonly Concern[], rate: Rate, amount: number): Denied | undefined {
    const nowMs = this.#clock.monotonic();
    const late = this.#overRate(concerns, rate, amount, nowMs);
    if (late !== undefined || amount === 0) return late;
    this.#take(concerns, nowMs, bucket => bucket.pass(rate, amount, nowMs));
    return undefined;
  }

  #overRate(concerns: readonly Concern[], rate: Rate, amount: number, nowMs: number): Denied | undefined {
    for (const { key, limits, factor, whose, of } of concerns) {
      const most = typeof rate.key === 'number' ? rate.key : limits[rate.key] * factor;
      if ((this.#buckets.get(key)?.passed(rate, nowMs) ?? 0) + amount <= most) continue;
      const shown = rate.seconds === DAY ? formatBytes(most) : String(most);
      return { denied: `${shown} ${rate.noun} ${whose}`, of, retryAfterSeconds: secondsLeft(rate, nowMs) };
    }
    return undefined;
  }

  /** What concerns who asks: the most particular last, so that the relay's own limit is told first. */
  #concernsOf(who: Asker): Concern[] {
    const { limits, tiers } = this.#config;
    const concerns: Concern[] = [{ key: WHOLE, limits, factor: 1, whose: 'of this relay', of: 'relay' }];
    if (who.peer !== undefined && this.#operators.has(who.peer)) return concerns;
    const { near, wide } = prefixesOf(who.address);
    if (wide !== undefined)
      concerns.push({
        key: `wide ${wide}`,
        limits: limits.prefix,
        factor: WIDE_PREFIX_FACTOR,
        whose: 'per IPv6 /32',
        of: 'prefix',
      });
    concerns.push({ key: `prefix ${near}`, limits: limits.prefix, factor: 1, whose: PER_PREFIX, of: 'prefix' });
    if (who.peer !== undefined)
      concerns.push({ key: `peer ${who.peer}`, limits: limits.peer, factor: 1, whose: 'per peer', of: 'peer' });
    const token = this.#tokenOf(who);
    if (token !== undefined)
      concerns.push({ key: `token ${token.id}`, limits: tiers.token, factor: 1, whose: 'per token', of: 'token' });
    return concerns;
  }

  /** The token that who asks has presented, while it holds. */
  #tokenOf({ peer }: Asker): HeldToken | undefined {
    const token = peer === undefined ? undefined : this.#held.get(peer);
    return token !== undefined && token.until * 1000 > this.#clock.now() ? token : undefined;
  }

  /** What `use` does with the bucket of each concern happens before any is dropped: one that counts nothing yet might be. */
  #take(concerns: readonly Concern[], nowMs: number, use: (bucket: Bucket) => void): readonly Bucket[] {
    const before = this.#buckets.size;
    const taken = concerns.map(({ key }) => {
      const bucket = this.#buckets.get(key) ?? new Bucket();
      this.#buckets.set(key, bucket);
      use(bucket);
      return bucket;
    });
    this.#sweep(this.#buckets.size - before, nowMs);
    return taken;
  }

  /**
   * Looks at the oldest buckets: drops those that may go, and puts the others behind all. While there are too many, those may
   * go that lend nothing: what passed in a window is forgotten then, but for the whole relay. What is lent is bounded by the
   * relay's own limits, and never forgotten.
   */
  #sweep(added: number, nowMs: number): void {
    const isFull = this.#buckets.size > this.#maxKeys;
    let left = added * (isFull ? KEYS_SWEPT_PER_NEW_WHEN_FULL : KEYS_SWEPT_PER_NEW);
    for (const [key, bucket] of this.#buckets) {
      if (left-- <= 0 || (isFull && this.#buckets.size <= this.#maxKeys)) return;
      this.#buckets.delete(key);
      const stays = key === WHOLE || bucket.isLending || (!isFull && !bucket.isIdle(nowMs));
      if (stays) this.#buckets.set(key, bucket);
    }
  }

  #hidden({ address }: Asker): string {
    return createHmac('sha256', this.#secret)
      .update(prefixesOf(address).near)
      .digest('hex')
      .slice(0, 2 * ACCOUNT_BYTES);
  }
}

/** What is counted of one key. */
class Bucket {
  readonly #lent = new Map<Loan, number>();
  readonly #passed = new Map<Rate, { window: number; sum: number }>();

  lent(loan: Loan): number {
    return this.#lent.get(loan) ?? 0;
  }

  lend(loan: Loan, change: 1 | -1): void {
    const count = this.lent(loan) + change;
    assert(count >= 0, 'nothing is given back that was not lent');
    if (count === 0) this.#lent.delete(loan);
    else this.#lent.set(loan, count);
  }

  /** In the window that it is now. */
  passed(rate: Rate, nowMs: number): number {
    const found = this.#passed.get(rate);
    return found?.window === windowOf(rate, nowMs) ? found.sum : 0;
  }

  pass(rate: Rate, amount: number, nowMs: number): void {
    this.#passed.set(rate, { window: windowOf(rate, nowMs), sum: this.passed(rate, nowMs) + amount });
  }

  get isLending(): boolean {
    return this.#lent.size > 0;
  }

  /** Whether it is as one that was never used. */
  isIdle(nowMs: number): boolean {
    return !this.isLending && [...this.#passed].every(([rate, { window }]) => window !== windowOf(rate, nowMs));
  }
}

function windowOf({ seconds }: Rate, nowMs: number): number {
  return Math.floor(nowMs / (1000 * seconds));
}

function secondsLeft(rate: Rate, nowMs: number): number {
  return Math.max(1, Math.ceil((windowOf(rate, nowMs) + 1) * rate.seconds - nowMs / 1000));
}

function quotasIn(tier: RelayConfig['tiers']['anonymous']): Omit<Quotas, 'account' | 'tier'> {
  return {
    reservationSeconds: tier.reservation_time,
    circuitBytes: tier.circuit_bytes,
    circuitSeconds: tier.circuit_time,
    leases: tier.leases,
    storedBytes: tier.stored_bytes,
    leaseSeconds: tier.lease_time,
  };
}
