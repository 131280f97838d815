/**
 * Store and forward (docs/relay.md): keeps shares under leases for who may have them kept, and serves them to whoever proves
 * to know their ids. Knows no keys.
 *
 * Who asks is told yes or no before a block moves. The relay then gets the blocks from who asked, as a fetcher does: each is
 * asked for because the share block lists it, has to match its CID and to have exactly its length, and what is there already
 * is not asked for again.
 */
import { getData, getListing, type CarryEvent } from '../src/carry.ts';
import { Download } from '../src/download.ts';
import { isShoalError, ShoalError } from '../src/errors.ts';
import { decodeGrant } from '../src/format/grant.ts';
import { idOf, sameBytes, sha256, type BlockId } from '../src/format/ids.ts';
import { ciphertextBytes, decodeShareBlock, type ShareBlock } from '../src/format/share-block.ts';
import {
  decodeStatement,
  encodeStatement,
  signStatement,
  verifyOwnerStatement,
  type Receipt,
} from '../src/format/statement.ts';
import {
  EXPIRY_CHECK_MS,
  MAX_GRANTS_OF_STRANGERS,
  MAX_GRANTS_PER_SHARE,
  MAX_GRANTS_PER_STRANGER,
  RELAY_SPARE_BYTES,
  STEADY_CLOCK_MS,
  STORE_HELLO_MS,
  STORE_PROGRESS_MS,
  UPLOAD_STALL_MS,
} from '../src/limits.ts';
import { Steady } from '../src/steady.ts';
import { onlyPeer } from '../src/only-peer.ts';
import { Turns } from '../src/parallel.ts';
import type { Channel, ChunkStore, Clock, Crypto, Log, Network, Refusal } from '../src/ports.ts';
import type { Admission } from '../src/protocol/admission.ts';
import { peerBytes } from '../src/protocol/proof.ts';
import { decodeNotice, encodeNoticeMessage, NOTICE_PROTOCOL } from '../src/protocol/notice-messages.ts';
import { checkedWithdrawal } from '../src/protocol/withdrawn.ts';
import {
  decodeStoreRequest,
  encodeStoreMessage,
  STORE_PROTOCOL,
  type StoreAnswer,
  type StoreRefusal,
} from '../src/protocol/store-messages.ts';
import { Server, type Served } from '../src/serve.ts';
import type { Ending } from '../src/protocol/swarm.ts';
import type { Step } from '../src/search.ts';
import type { Holding, Lease, LeftGrant, Leases } from './leases.ts';
import { Waiting } from './waiting.ts';

export interface KeeperDeps {
  readonly network: Network;
  readonly leases: Leases;
  readonly store: ChunkStore;
  readonly crypto: Pick<Crypto, 'verify'>;
  readonly admission: Admission;
  /** The seed of the relay's peer key, which signs receipts: 32 bytes. */
  readonly seed: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  /** Leases that may be held, and bytes that may be promised, to all together. */
  readonly mostLeases: () => number;
  readonly capacityBytes: () => number;
  /** Bytes that are free on the disk of the store. */
  readonly freeBytes: () => Promise<number>;
  /** What the operator has decided about a share or grant. */
  readonly decided?: (id: BlockId) => Refusal | undefined;
  /** How long the clock must have run evenly before what has run out is removed; STEADY_CLOCK_MS when absent. */
  readonly steadyClockMs?: number;
  readonly onEvent?: (event: KeeperEvent) => void;
}

/** What has happened, for who counts. */
export type KeeperEvent =
  | { readonly event: 'upload'; readonly result: 'kept' | 'there' | StoreRefusal['reason'] | 'gone' }
  | { readonly event: 'received'; readonly bytes: number }
  | { readonly event: 'served'; readonly bytes: number }
  | { readonly event: 'renewal' | 'expiry' | 'withdrawal' | 'grant' };

interface SignedReceipt {
  readonly type: 'receipt';
  readonly body: Uint8Array;
}

/** An upload under way. */
interface Upload {
  readonly stop: AbortController;
  /** Bytes that are still to come. */
  leftBytes: number;
}

export class Keeper {
  readonly #deps: KeeperDeps;
  readonly #server: Server;
  readonly #waiting: Waiting;
  readonly #uploads = new Map<BlockId, Upload>();
  /** Of each share, one at a time is uploaded or removed. */
  readonly #turns = new Turns<BlockId>();
  readonly #withdrawn: Set<BlockId>;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;

  private constructor(deps: KeeperDeps, server: Server, withdrawn: Set<BlockId>) {
    this.#deps = deps;
    this.#server = server;
    this.#withdrawn = withdrawn;
    this.#waiting = new Waiting(deps.clock);
    for (const id of deps.leases.kept()) server.add(id);
    for (const id of withdrawn) server.refuse(id);
    this.#ended = this.#expire().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted)
        deps.log('error', 'leases do not end any more', { reason: (error as Error).message });
    });
  }

  /** Serves what is kept, and takes what may be. */
  static async start(deps: KeeperDeps): Promise<Keeper> {
    const { network, leases, store, admission, clock, log } = deps;
    const withdrawn = new Set(leases.withdrawn());
    const server = await Server.start({
      network,
      source: store,
      refusals: { for: (id, now) => refusalOf(deps, withdrawn, id, now) },
      grantOf: id => leases.grantOf(id),
      charge: (peer, bytes) => {
        const denied = admission.spend('served', peer, bytes);
        return (
          denied && { reason: 'over-quota', detail: denied.denied, retryAfter: Math.ceil(denied.retryAfterSeconds) }
        );
      },
      onServed: served => onServed(deps, served),
      clock,
      log,
    });
    const keeper = new Keeper(deps, server, withdrawn);
    await network.serve(STORE_PROTOCOL, channel => keeper.#answer(channel));
    await network.serve(NOTICE_PROTOCOL, channel => keeper.#hear(channel));
    return keeper;
  }

  /** Ends the uploads that are under way; their blocks stay for the next attempt. */
  async stop(): Promise<void> {
    this.#stopping.abort(new ShoalError('interrupted', 'the relay stops'));
    for (const { stop } of this.#uploads.values()) stop.abort(this.#stopping.signal.reason);
    await this.#ended;
    const forever = new AbortController().signal;
    for (const id of this.#uploads.keys()) await this.#turns.run(id, forever, () => Promise.resolve());
  }

  /** Uploads under way. */
  get uploads(): number {
    return this.#uploads.size;
  }

  /** Whether who asks for a share gets it. */
  serves(id: BlockId): boolean {
    return this.#server.has(id);
  }

  async #answer(channel: Channel): Promise<void> {
    const asked = await this.#waiting.first(channel, STORE_HELLO_MS);
    if (asked === undefined) return;
    const { header, body } = asked.first;
    const request = decodeStoreRequest(header, body.length);
    try {
      if (request.type === 'ask') await this.#ask(channel, asked.rest, request.until, body);
      else if (request.type === 'renew') await this.#say(channel, await this.#renew(channel, body));
      else await this.#say(channel, await this.#grant(channel, body));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (request.type === 'ask') this.#deps.onEvent?.({ event: 'upload', result: error.refusal.reason });
      await this.#say(channel, { type: 'refuse', ...error.refusal });
    }
    await channel.close();
  }

  async #say(channel: Channel, { body, ...answer }: StoreAnswer & { readonly body?: Uint8Array }): Promise<void> {
    await channel.send(encodeStoreMessage(answer), body);
  }

  /** Preflight, upload, promise, receipt. */
  async #ask(channel: Channel, frames: AsyncIterator<unknown>, until: number, bytes: Uint8Array): Promise<void> {
    const { admission } = this.#deps;
    // Also what turns out to need no upload costs reading and checking.
    const permit = admission.admit('upload', channel);
    if ('denied' in permit) throw new Refused('over-limit', permit.denied, permit.retryAfterSeconds);
    try {
      const block = readBlock(bytes, decodeShareBlock);
      const id = idOf(sha256(bytes));
      const end = this.#endOf(channel, until, block);
      this.#refuseDecided(id);
      if (await this.#isComplete(id)) this.#deps.onEvent?.({ event: 'upload', result: 'there' });
      else await this.#take(channel, frames, id, { block, bytes }, end);
      await this.#say(channel, this.#receipt(id));
    } finally {
      permit.release();
    }
  }

  /** Gets a share from who asked, and promises to keep it until `end`. @throws Refused */
  async #take(
    channel: Channel,
    frames: AsyncIterator<unknown>,
    id: BlockId,
    { block, bytes }: { readonly block: ShareBlock; readonly bytes: Uint8Array },
    end: number,
  ): Promise<void> {
    if (this.#uploads.has(id)) throw new Refused('busy', 'the same share is being uploaded already', 5);
    const stop = new AbortController();
    // What is claimed takes no room from others before it is known that who asks may have it.
    const upload: Upload = { stop, leftBytes: 0 };
    this.#uploads.set(id, upload);
    try {
      await this.#turns.run(id, stop.signal, async () => {
        const sizeBytes = ciphertextBytes(block);
        await this.#refuseUnlessRoom(channel, id, sizeBytes);
        upload.leftBytes = sizeBytes;
        // It may have been decided about while others had their turn.
        this.#refuseDecided(id);
        this.#begin(channel, id, block);
        await this.#say(channel, { type: 'accept', until: end });
        void abortWhenGone(frames, stop);
        await this.#pull(channel, id, bytes, upload);
        stop.signal.throwIfAborted();
        await this.#keep(id, end);
      });
    } catch (error) {
      if (error instanceof Refused || !isShoalError(error)) throw error;
      const why = stop.signal.aborted ? (stop.signal.reason as Error) : error;
      throw new Refused('incomplete', why.message, 5);
    } finally {
      this.#uploads.delete(id);
    }
  }

  /** When the lease would end. @throws Refused where that is no time to come */
  #endOf(channel: Channel, until: number, { expires = Infinity }: ShareBlock): number {
    const now = this.#nowSeconds();
    if (expires <= now) throw new Refused('expired', 'the share has expired');
    if (until <= now) throw new Refused('invalid', 'the lease would have ended already; is a clock wrong?');
    return Math.min(until, expires, now + this.#deps.admission.quotasOf(channel).leaseSeconds);
  }

  #refuseDecided(id: BlockId): void {
    const refusal = this.#deps.decided?.(id);
    if (refusal !== undefined) throw new Refused('blocked', refusal.detail ?? 'this relay does not keep it');
    if (this.#withdrawn.has(id)) throw new Refused('withdrawn', 'its owner has withdrawn it');
  }

  async #isComplete(id: BlockId): Promise<boolean> {
    const { leases, store } = this.#deps;
    const lease = leases.get(id);
    return lease?.state === 'kept' && lease.until > this.#nowSeconds() && (await store.have(id)) === 'all';
  }

  async #refuseUnlessRoom(channel: Channel, id: BlockId, sizeBytes: number): Promise<void> {
    const { leases, admission, mostLeases, freeBytes } = this.#deps;
    const free = await freeBytes();
    const lease = leases.get(id);
    const { account, leases: most, storedBytes } = admission.quotasOf(channel);
    // What another has begun becomes the lease of who asks now, and counts for that one.
    if (lease === undefined || (lease.state === 'begun' && lease.account !== account)) {
      const own = leases.holding(account);
      if (own.leases >= most) throw new Refused('over-limit', `${most} leases at once`);
      refuseOverQuota(own, sizeBytes, storedBytes);
    }
    if (lease === undefined) {
      if (leases.holding().leases >= mostLeases()) throw new Refused('full', 'the relay is full', 3600);
      this.#refuseOverCapacity(sizeBytes);
    }
    this.#refuseOnFullDisk(free, sizeBytes);
  }

  #refuseOverCapacity(sizeBytes: number): void {
    const { leases, capacityBytes } = this.#deps;
    if (leases.holding().bytes + sizeBytes > capacityBytes()) throw new Refused('full', 'the relay is full', 3600);
  }

  /** @param free bytes on the disk, of which uploads under way are still to take theirs */
  #refuseOnFullDisk(free: number, sizeBytes: number): void {
    const pending = [...this.#uploads.values()].reduce((sum, { leftBytes }) => sum + leftBytes, sizeBytes);
    if (free - pending < RELAY_SPARE_BYTES) throw new Refused('full', "the relay's disk is nearly full", 3600);
  }

  #begin(channel: Channel, id: BlockId, block: ShareBlock): void {
    const { leases, admission } = this.#deps;
    const { account } = admission.quotasOf(channel);
    const { expires } = block;
    leases.begin({ id, account, sizeBytes: ciphertextBytes(block), ...(expires === undefined ? {} : { expires }) });
  }

  /** Gets from who asked what is not there yet. @throws ShoalError as a download does */
  async #pull(channel: Channel, id: BlockId, bytes: Uint8Array, upload: Upload): Promise<void> {
    const { clock, crypto, store } = this.#deps;
    const { stop } = upload;
    const { signal } = stop;
    const totalBytes = upload.leftBytes;
    const network = onlyPeer(this.#deps.network, { peer: channel.peer, addresses: [], via: 'hint' });
    // Who is not asked again is nobody to wait for: nobody else is asked.
    const onStep = (step: Step): void => {
      if (step.step === 'ended' && FINAL.includes(step.ending.why))
        stop.abort(new ShoalError('unavailable', `the upload has ended: ${step.detail}`));
    };
    const download = new Download(
      { network, crypto, clock, onStep },
      { id, hints: [], timeoutMs: UPLOAD_STALL_MS, signal, onEvent: () => undefined },
    );
    let toldMs = clock.monotonic();
    const onEvent = (event: CarryEvent): void => {
      const doneBytes = event.event === 'resumed' ? event.bytes : event.doneBytes;
      const leftBytes = Math.max(0, totalBytes - doneBytes);
      if (event.event === 'progress')
        this.#deps.onEvent?.({ event: 'received', bytes: Math.max(0, upload.leftBytes - leftBytes) });
      upload.leftBytes = leftBytes;
      if (clock.monotonic() - toldMs < STORE_PROGRESS_MS) return;
      toldMs = clock.monotonic();
      this.#say(channel, { type: 'moved', bytes: doneBytes }).catch(() => undefined);
    };
    try {
      download.knowShareBlock(bytes);
      const listing = await getListing(download, store, crypto, id);
      await getData({ store, crypto }, download, id, listing, onEvent, signal);
    } finally {
      // What is kept is no delivery: who shares it counts those.
      await download.close(false);
    }
  }

  /** Makes the promise. A share that was kept before, and of which blocks were missing, stays kept until then at least. */
  async #keep(id: BlockId, until: number): Promise<void> {
    const { leases } = this.#deps;
    const before = leases.get(id);
    await leases.keep(id, before?.state === 'kept' ? Math.max(before.until, until) : until);
    // It may have been withdrawn while it was made durable.
    this.#refuseDecided(id);
    this.#serve(id);
    this.#deps.onEvent?.({ event: 'upload', result: 'kept' });
  }

  /** Of what is promised at this moment. @throws Refused where that is nothing any more */
  #receipt(id: BlockId): SignedReceipt {
    const { sizeBytes, until } = this.#lease(id);
    const relay = peerBytes(this.#deps.network.self);
    const receipt: Receipt = { type: 'receipt', id, size: sizeBytes, at: this.#nowSeconds(), until, relay };
    return { type: 'receipt', body: encodeStatement(signStatement(receipt, this.#deps.seed)) };
  }

  /** @throws Refused unless the owner asks this relay for a longer lease than there is */
  async #renew(channel: Channel, bytes: Uint8Array): Promise<SignedReceipt> {
    const { leases, network, store } = this.#deps;
    const renewal = readBlock(bytes, given => decodeStatement(given, 'renewal'));
    const { id, relay } = renewal;
    this.#lease(id);
    if (!sameBytes(relay, peerBytes(network.self))) throw new Refused('invalid', 'the renewal is for another relay');
    const block = await store.read(id, { kind: 'share' });
    if (!verifyOwnerStatement(renewal, block)) throw new Refused('invalid', "the renewal is not its owner's");
    const until = this.#endOf(channel, renewal.until, decodeShareBlock(block));
    // It may have ended while its block was read.
    if (until <= this.#lease(id).until) throw new Refused('over-limit', 'the lease lasts as long as it may already');
    leases.extend(id, until);
    this.#deps.onEvent?.({ event: 'renewal' });
    return this.#receipt(id);
  }

  /** @throws Refused where it is not kept, or not any more */
  #lease(id: BlockId): Lease {
    this.#refuseDecided(id);
    const lease = this.#deps.leases.get(id);
    if (lease?.state === 'kept' && lease.until > this.#nowSeconds()) return lease;
    throw new Refused('unknown', 'it is not kept here');
  }

  /** @throws Refused unless it names a share that is kept, and who asks may have it kept beside that */
  async #grant(channel: Channel, bytes: Uint8Array): Promise<{ readonly type: 'stored' }> {
    const { admission, freeBytes } = this.#deps;
    const permit = admission.admit('upload', channel);
    if ('denied' in permit) throw new Refused('over-limit', permit.denied, permit.retryAfterSeconds);
    try {
      const { share, expires } = readBlock(bytes, decodeGrant);
      const id = idOf(sha256(bytes));
      const free = await freeBytes();
      // From here on nothing comes in between: what is looked at holds when the grant is written.
      this.#keepGrant(channel, { id, share, block: bytes, ...(expires === undefined ? {} : { expires }) }, free);
      return { type: 'stored' };
    } finally {
      permit.release();
    }
  }

  /**
   * Anybody who knows a share's id can make grants of it, and withdraw them, which leaves a record for good: each is counted
   * for who left it, as a share would be. One that is there already is so at no further cost.
   * @throws Refused
   */
  #keepGrant(channel: Channel, grant: Omit<LeftGrant, 'account'>, free: number): void {
    const { leases, admission } = this.#deps;
    const { id, share, block, expires = Infinity } = grant;
    this.#refuseDecided(id);
    this.#refuseDecided(share);
    if (expires <= this.#nowSeconds()) throw new Refused('expired', 'the grant has expired');
    const lease = leases.get(share);
    if (lease?.state !== 'kept') throw new Refused('unknown', 'its share is not kept here');
    if (leases.grantOf(id) !== undefined) return;
    const { account, storedBytes } = admission.quotasOf(channel);
    this.#refuseWithoutPlace(lease, account);
    refuseOverQuota(leases.holding(account), block.length, storedBytes);
    this.#refuseOverCapacity(block.length);
    this.#refuseOnFullDisk(free, block.length);
    leases.addGrant({ ...grant, account });
    this.#server.add(id);
    this.#deps.onEvent?.({ event: 'grant' });
  }

  /** @throws Refused where there are as many grants of a share as `account` may leave there */
  #refuseWithoutPlace(lease: Lease, account: string): void {
    const { ofAccount, ofStrangers } = this.#deps.leases.countGrants(lease.id, account);
    const isOwn = lease.account === account;
    const most = isOwn ? MAX_GRANTS_PER_SHARE : MAX_GRANTS_PER_STRANGER;
    if (ofAccount >= most) throw new Refused('over-limit', `${most} grants of one share`);
    if (!isOwn && ofStrangers >= MAX_GRANTS_OF_STRANGERS)
      throw new Refused(
        'over-limit',
        `${MAX_GRANTS_OF_STRANGERS} grants of one share by all who do not have its lease`,
      );
  }

  /** A withdrawal: of what is held here and by its owner it is obeyed, anything else is dropped. */
  async #hear(channel: Channel): Promise<void> {
    const noticed = await this.#waiting.first(channel, STORE_HELLO_MS);
    if (noticed === undefined) throw new ShoalError('protocol', 'cannot hear: no notice came');
    const { header, body } = noticed.first;
    const { statement } = decodeNotice(header, body.length);
    const isObeyed = await this.#withdraw(statement, body);
    await channel.send(encodeNoticeMessage({ type: isObeyed ? 'obeyed' : 'dropped' }));
    await channel.close();
  }

  async #withdraw(statement: Uint8Array, block: Uint8Array): Promise<boolean> {
    const { leases } = this.#deps;
    const isHeld = (id: BlockId): boolean => leases.get(id) !== undefined || leases.grantOf(id) !== undefined;
    const isKnown = (id: BlockId): boolean => this.#withdrawn.has(id) || isHeld(id);
    const withdrawal = checkedWithdrawal(statement, block, isKnown);
    if (withdrawal === undefined) return false;
    const { id } = withdrawal;
    if (this.#withdrawn.has(id) && (await this.#isOnRecord(id))) return true;
    // From here on until it is in force nothing else may come in between, such as the same once more.
    if (!isHeld(id)) return false;
    // In force at once; what is being uploaded ends, and the record follows.
    this.#withdrawn.add(id);
    this.#uploads.get(id)?.stop.abort(new ShoalError('refused', 'its owner has withdrawn it'));
    this.#stopServing(id);
    await this.#turns.run(id, this.#stopping.signal, () => leases.withdraw(id, { statement, block }));
    this.#server.refuse(id);
    this.#deps.onEvent?.({ event: 'withdrawal' });
    return true;
  }

  /** Whether a withdrawal that is in force is on record, and its share gone: who says it again waits until that is so. */
  async #isOnRecord(id: BlockId): Promise<boolean> {
    await this.#turns.run(id, this.#stopping.signal, () => Promise.resolve());
    return this.#deps.leases.withdrawalOf(id) !== undefined;
  }

  #stopServing(id: BlockId): void {
    for (const grant of this.#deps.leases.grantsOf(id)) this.#server.remove(grant);
    this.#server.remove(id);
  }

  /** Announces a share no more, nor the grants that name it; who asks is told why. */
  #withhold(id: BlockId): void {
    for (const one of [id, ...this.#deps.leases.grantsOf(id)]) this.#server.withhold(one);
  }

  /** Stops serving what has run out, and removes it once the clock is to be believed; else it may come back. */
  async #expire(): Promise<void> {
    const { clock, steadyClockMs = STEADY_CLOCK_MS } = this.#deps;
    const steady = new Steady(clock);
    const stopped = new Set<BlockId>();
    for (;;) {
      await clock.sleep(Math.min(EXPIRY_CHECK_MS, Math.max(steadyClockMs, 1)), this.#stopping.signal);
      await this.#sweep(stopped, steadyClockMs, steady.look().evenMs);
    }
  }

  /** @param stopped what is not served because it seemed to have run out */
  async #sweep(stopped: Set<BlockId>, steadyClockMs: number, evenMs: number): Promise<void> {
    const { leases } = this.#deps;
    // What ended by itself is known for as long after that, so that who asks is told why.
    const isLongOver = (id: BlockId): boolean => {
      const agoMs = this.#deps.clock.now() - (leases.expiresOf(id) ?? 0) * 1000;
      return evenMs >= steadyClockMs && (agoMs < 0 || agoMs >= steadyClockMs);
    };
    const over = leases.over();
    for (const id of stopped) {
      if (over.leases.includes(id) || over.grants.includes(id)) continue;
      // The clock was wrong, or it was renewed.
      stopped.delete(id);
      if (leases.get(id)?.state === 'kept' || leases.grantOf(id) !== undefined) this.#serve(id);
    }
    for (const id of over.grants) {
      this.#server.withhold(id);
      stopped.add(id);
      if (!isLongOver(id)) continue;
      leases.endGrant(id);
      this.#server.remove(id);
    }
    for (const id of over.leases) {
      if (this.#uploads.has(id)) continue;
      if ((leases.expiresOf(id) ?? Infinity) <= this.#nowSeconds()) this.#withhold(id);
      else this.#stopServing(id);
      stopped.add(id);
      if (!isLongOver(id)) continue;
      // It may have been renewed or asked for again while others had their turn.
      await this.#turns.run(id, this.#stopping.signal, async () => {
        if (!leases.over().leases.includes(id)) return;
        this.#stopServing(id);
        await leases.end(id);
        this.#deps.onEvent?.({ event: 'expiry' });
      });
    }
  }

  /** A share, and the grants that name it. */
  #serve(id: BlockId): void {
    for (const one of [id, ...this.#deps.leases.grantsOf(id)]) this.#server.add(one);
  }

  #nowSeconds(): number {
    return Math.floor(this.#deps.clock.now() / 1000);
  }
}

/** Endings after which a peer is not asked again. */
const FINAL: readonly Ending['why'][] = ['lied', 'broke-protocol'];

/** The answer is no. */
class Refused extends Error {
  readonly refusal: StoreRefusal;

  constructor(reason: StoreRefusal['reason'], detail: string, retryAfterSeconds?: number) {
    super(`${reason}: ${detail}`);
    const retryAfter = retryAfterSeconds === undefined ? {} : { retryAfter: Math.ceil(retryAfterSeconds) };
    this.refusal = { reason, detail, ...retryAfter };
  }
}

/** @param own what is kept for who asks */
function refuseOverQuota(own: Holding, sizeBytes: number, storedBytes: number): void {
  if (own.bytes + sizeBytes > storedBytes)
    throw new Refused('over-limit', `${storedBytes} bytes at once, of which ${own.bytes} are used`);
}

/** @throws Refused where `read` finds the bytes wrong */
function readBlock<T>(bytes: Uint8Array, read: (bytes: Uint8Array) => T): T {
  try {
    return read(bytes);
  } catch (error) {
    if (!isShoalError(error)) throw error;
    throw new Refused('invalid', error.message);
  }
}

function refusalOf(
  { leases, decided }: KeeperDeps,
  withdrawn: ReadonlySet<BlockId>,
  id: BlockId,
  nowSeconds: number,
): Refusal | undefined {
  const decision = decided?.(id);
  if (decision !== undefined) return decision;
  if (withdrawn.has(id)) {
    const withdrawal = leases.withdrawalOf(id);
    return { reason: 'withdrawn', ...(withdrawal === undefined ? {} : { withdrawal }) };
  }
  const expires = leases.expiresOf(id) ?? Infinity;
  return expires <= nowSeconds ? { reason: 'expired', until: expires } : undefined;
}

function onServed({ onEvent }: KeeperDeps, { event, bytes }: Served): void {
  if (event === 'sent') onEvent?.({ event: 'served', bytes });
}

/** Who asked says nothing more; when the channel ends, nobody waits for the receipt. */
async function abortWhenGone(frames: AsyncIterator<unknown>, stop: AbortController): Promise<void> {
  const next = await frames.next().catch(() => undefined);
  const why = next?.done === false ? 'more was said than belongs there' : 'who asked has gone';
  stop.abort(new ShoalError('unavailable', why));
}
