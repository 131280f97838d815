/**
 * Answers peers from a chunk source, after the refusals gate; knows no keys (protocol.md).
 *
 * Who asks proves that it knows the share id, gets the share block, and then as many blocks as it asks for, within the
 * credit that it was told. Nothing is sent that was not asked for.
 */
import { toString } from 'uint8arrays/to-string';
import { isShoalError, ShoalError } from './errors.ts';
import { decodeShareBlock, indexCount, type ShareBlock } from './format/share-block.ts';
import { dayOf, rendezvous, type BlockId } from './format/ids.ts';
import { chunkCount, chunkLength } from './format/pieces.ts';
import {
  CREDIT_BYTES,
  HELLO_TIMEOUT_MS,
  IDLE_CHANNEL_TIMEOUT_MS,
  MAX_ASKED,
  MAX_BLOCK_BYTES,
  MAX_CHANNELS,
  MAX_CHANNELS_PER_PEER,
  MAX_READS,
  READS_PER_CHANNEL,
  YIELDING_CHANNEL_MS,
} from './limits.ts';
import { freeOnceRead } from './memory.ts';
import type {
  Channel,
  ChunkSource,
  Clock,
  Frame,
  Holdings,
  Log,
  Network,
  Refusal,
  Refusals,
  StreamName,
} from './ports.ts';
import {
  CHUNKS_PROTOCOL,
  decodeAskerMessage,
  encodeMessage,
  type AskerMessage,
  type Blocks,
  type WireRefusal,
} from './protocol/messages.ts';
import { proves } from './protocol/proof.ts';
import { checkRanges, countOf, indicesOf, rangesOf } from './protocol/ranges.ts';
import { within } from './within.ts';

export interface ServeDeps {
  readonly network: Network;
  readonly source: ChunkSource;
  readonly refusals: Refusals;
  readonly clock: Clock;
  readonly log: Log;
  /** How many complete deliveries of a share are still wanted; any number when absent. So many peers get it at once. */
  readonly deliveriesLeft?: (id: BlockId) => number | undefined;
  /** The block of a grant and the share that it names, where an id is a grant's. */
  readonly grantOf?: (id: BlockId) => { readonly share: BlockId; readonly bytes: Uint8Array } | undefined;
  /** Asked before each block leaves: whether this peer may have so many bytes more. */
  readonly charge?: (peer: Pick<Channel, 'peer' | 'address'>, bytes: number) => WireRefusal | undefined;
  /** Called as bytes leave; `complete` once when the peer says that it has all it wanted. */
  readonly onServed?: (served: Served) => void;
}

export interface Served {
  readonly id: BlockId;
  readonly peer: string;
  readonly address: string;
  /** Bytes of blocks that left with this event. */
  readonly bytes: number;
  readonly event: 'joined' | 'sent' | 'complete' | 'left';
}

/** How one channel stands. */
interface Visit {
  /** The share that it is for; undefined before the proof. */
  id: BlockId | undefined;
  /** The grant through which it came, where it did. */
  grant: BlockId | undefined;
  /** Since when nothing is owed on it, by the monotonic clock; Infinity while something is. */
  idleSinceMs: number;
  /** Tells who asks that there is no more, and why; undefined while nothing is being given yet. */
  refuse?: (refusal: Refusal) => void;
}

/** Serves shares on a network until it is stopped. */
export class Server {
  readonly #deps: ServeDeps;
  readonly #shares = new Set<BlockId>();
  /** The shares by their rendezvous keys of yesterday, today and tomorrow, as text; made when they are first asked for on a day. */
  #byKey = new Map<string, BlockId>();
  #keysOfDay: number | undefined;
  readonly #visits = new Map<Channel, Visit>();
  /** What is known only so that who asks for it is told why it is refused. */
  readonly #refused = new Set<BlockId>();
  /** Shares whose share block could not be read, which has been said. */
  readonly #unreadable = new Set<BlockId>();
  readonly #work: Work = { senders: 0 };

  private constructor(deps: ServeDeps) {
    this.#deps = deps;
  }

  static async start(deps: ServeDeps): Promise<Server> {
    const server = new Server(deps);
    await deps.network.serve(CHUNKS_PROTOCOL, channel => server.#answer(channel));
    return server;
  }

  /** Serves and announces `id` from now on. Who asks for what has expired is told so, and it is not announced until it is released. */
  add(id: BlockId): void {
    this.#know(id);
    this.#refused.delete(id);
    if (this.#refusalOf(id)?.reason !== 'expired') this.#deps.network.announce(id);
  }

  /** Tells who asks for a share that the refusals gate refuses why that is, without announcing it. */
  refuse(id: BlockId): void {
    this.#know(id);
    this.#refused.add(id);
  }

  /** A relay has many shares, and new ones all the time: what there is of keys is added to, not made again. */
  #know(id: BlockId): void {
    if (this.#shares.has(id)) return;
    this.#shares.add(id);
    if (this.#keysOfDay !== undefined) for (const key of keysOf(id, this.#keysOfDay)) this.#byKey.set(key, id);
  }

  /** Stops announcing a share that the refusals gate refuses by now; who asks for it is told why. */
  withhold(id: BlockId): void {
    if (this.#shares.has(id)) this.#deps.network.unannounce(id);
  }

  /** Announces what was withheld and is not refused any more, and knows no more what was only to be refused. */
  release(id: BlockId): void {
    if (!this.#shares.has(id) || this.#refusalOf(id) !== undefined) return;
    if (this.#refused.has(id)) this.remove(id);
    else this.#deps.network.announce(id);
  }

  /** Withholds it, and tells those who are being served why, also those who came through a grant of it. */
  end(id: BlockId): void {
    this.withhold(id);
    const refusal = this.#refusalOf(id);
    if (refusal === undefined) return;
    for (const visit of this.#visits.values()) if (visit.id === id || visit.grant === id) visit.refuse?.(refusal);
  }

  /** Who is being served a share, by peer id. */
  peersOf(id: BlockId): string[] {
    const visits = [...this.#visits].filter(([, visit]) => visit.id === id || visit.grant === id);
    return [...new Set(visits.map(([{ peer }]) => peer))];
  }

  /** Stops serving and announcing it, also to those who are being served. */
  remove(id: BlockId): void {
    this.#refused.delete(id);
    if (!this.#shares.delete(id)) return;
    if (this.#keysOfDay !== undefined) for (const key of keysOf(id, this.#keysOfDay)) this.#byKey.delete(key);
    this.#deps.network.unannounce(id);
    for (const [channel, visit] of this.#visits) {
      if (visit.id === id || visit.grant === id)
        channel.abort(new ShoalError('interrupted', 'this share is not served here any more'));
    }
  }

  has(id: BlockId): boolean {
    return this.#shares.has(id);
  }

  async #answer(channel: Channel): Promise<void> {
    const ofPeer = [...this.#visits.keys()].filter(other => other.peer === channel.peer).length;
    if (ofPeer >= MAX_CHANNELS_PER_PEER || (this.#visits.size >= MAX_CHANNELS && !this.#makeRoom())) {
      await refuse(channel, { reason: 'busy', retryAfter: 5 });
      return;
    }
    const visit: Visit = { id: undefined, grant: undefined, idleSinceMs: this.#deps.clock.monotonic() };
    this.#visits.set(channel, visit);
    try {
      await this.#converse(channel, visit);
    } finally {
      this.#visits.delete(channel);
    }
  }

  /**
   * Ends the channel that has been open longest without a proof: who knows no id must not take the places of those who do.
   * Where all have proved it, the one that has been idle longest gives way, so that nobody keeps a place without using it.
   */
  #makeRoom(): boolean {
    const visits = [...this.#visits];
    const unproven = visits.find(([, { id }]) => id === undefined);
    const idle = visits.reduce((longest, visit) => (visit[1].idleSinceMs < longest[1].idleSinceMs ? visit : longest));
    const isLate = idle[1].idleSinceMs + YIELDING_CHANNEL_MS <= this.#deps.clock.monotonic();
    const leaving = unproven ?? (isLate ? idle : undefined);
    if (leaving === undefined) return false;
    const [channel] = leaving;
    this.#visits.delete(channel);
    channel.abort(new ShoalError('protocol', 'cannot serve: others are waiting, and nothing was asked for'));
    return true;
  }

  async #converse(channel: Channel, visit: Visit): Promise<void> {
    const frames = channel.frames()[Symbol.asyncIterator]();
    const first = await within(this.#deps.clock, HELLO_TIMEOUT_MS, frames.next());
    if (first === undefined) throw tooQuiet(HELLO_TIMEOUT_MS);
    if (first.done === true) return;
    const hello = messageOf(first.value);
    if (hello.type !== 'hello')
      throw new ShoalError('protocol', `cannot serve: the first message is "${hello.type}", not "hello"`);
    const asked = this.#find(hello, channel.peer);
    const grant = asked === undefined ? undefined : this.#deps.grantOf?.(asked);
    const id = grant?.share ?? asked;
    const ofAsked = this.#refusalOf(asked);
    const refusal = ofAsked ?? this.#refusalOf(grant?.share);
    if (id === undefined || refusal !== undefined) {
      // What is said of the share can be checked only by who knows that the grant names it.
      if (grant !== undefined && ofAsked === undefined)
        await channel.send(encodeMessage({ type: 'grant' }), grant.bytes);
      await refuse(channel, refusal === undefined ? { reason: 'unknown' } : wireRefusal(refusal), refusal?.withdrawal);
      return;
    }
    if (this.#others(id, channel.peer) >= (this.#deps.deliveriesLeft?.(id) ?? Infinity)) {
      await refuse(channel, { reason: 'busy', retryAfter: 5 });
      return;
    }
    Object.assign(visit, {
      id,
      grant: grant === undefined ? undefined : asked,
      idleSinceMs: this.#deps.clock.monotonic(),
    });
    const found = await this.#look(id);
    if (found === undefined) {
      await refuse(channel, { reason: 'unknown' });
      return;
    }
    const { have, bytes, block } = found;
    if (grant !== undefined) await channel.send(encodeMessage({ type: 'grant' }), grant.bytes);
    await channel.send(encodeMessage({ type: 'hello', have: wireHave(have), credit: CREDIT_BYTES }), bytes);
    await new Conversation(this.#deps, this.#work, channel, visit, id, block).run(frames);
  }

  #refusalOf(id: BlockId | undefined): Refusal | undefined {
    return id === undefined ? undefined : this.#deps.refusals.for(id, this.#nowSeconds());
  }

  /** How many peers but this one are being served a share. */
  #others(id: BlockId, peer: string): number {
    const peers = [...this.#visits].filter(([, visit]) => visit.id === id).map(([channel]) => channel.peer);
    return new Set(peers.filter(other => other !== peer)).size;
  }

  /** What there is of a share. Who asks learns nothing of what is wrong with it, who shares it has to. */
  async #look(id: BlockId): Promise<{ have: Holdings; bytes: Uint8Array; block: ShareBlock } | undefined> {
    try {
      const have = await this.#deps.source.have(id);
      if (have === undefined) return undefined;
      const bytes = await this.#deps.source.read(id, { kind: 'share' });
      const block = decodeShareBlock(bytes);
      this.#unreadable.delete(id);
      return { have, bytes, block };
    } catch (error) {
      // Anyone with the link may ask again and again.
      if (!this.#unreadable.has(id)) {
        const code = isShoalError(error) ? error.code : 'bug';
        this.#deps.log('warn', 'a share is not served: its share block can not be read', { code });
      }
      this.#unreadable.add(id);
      throw error;
    }
  }

  /** The share whose key this is, if its asker has proved that it knows the id; else it is as if there were none. */
  #find(hello: { key: Uint8Array; proof: Uint8Array }, asker: string): BlockId | undefined {
    const day = dayOf(this.#nowSeconds());
    if (this.#keysOfDay !== day) {
      this.#byKey = new Map([...this.#shares].flatMap(id => keysOf(id, day).map(key => [key, id] as const)));
      this.#keysOfDay = day;
    }
    const id = this.#byKey.get(toString(hello.key, 'hex'));
    return id !== undefined && proves(hello.proof, id, asker, this.#deps.network.self) ? id : undefined;
  }

  #nowSeconds(): number {
    return Math.floor(this.#deps.clock.now() / 1000);
  }
}

function keysOf(id: BlockId, day: number): string[] {
  return [day - 1, day, day + 1].map(on => toString(rendezvous(id, on).bytes, 'hex'));
}

/** The credit, and what the asker does not count because it cancelled it when it was being read already. */
const MOST_OWED_BYTES = CREDIT_BYTES + READS_PER_CHANNEL * MAX_BLOCK_BYTES;

interface Wanted {
  readonly kind: Blocks['kind'];
  readonly stream: StreamName;
  readonly index: number;
}

/** What all conversations do together: how many blocks are being made or sent. */
interface Work {
  senders: number;
}

/** One peer being served one share: what it asked for, in the order it asked, a few blocks being made at once. */
class Conversation {
  readonly #deps: ServeDeps;
  readonly #work: Work;
  readonly #channel: Channel;
  readonly #visit: Visit;
  readonly #id: BlockId;
  readonly #block: ShareBlock;
  readonly #queue = new Map<string, Wanted>();
  /** Bytes of what was asked for and has not left. */
  #owedBytes = 0;
  #senders = 0;
  #failure: Error | undefined;
  #isOver = false;

  constructor(deps: ServeDeps, work: Work, channel: Channel, visit: Visit, id: BlockId, block: ShareBlock) {
    this.#deps = deps;
    this.#work = work;
    this.#channel = channel;
    this.#visit = visit;
    this.#id = id;
    this.#block = block;
  }

  async run(frames: AsyncIterator<Frame>): Promise<void> {
    this.#report('joined', 0);
    this.#visit.refuse = refusal => void this.#fail(new Refused(wireRefusal(refusal), refusal.withdrawal));
    try {
      for (;;) {
        const next = await this.#next(frames);
        if (next.done === true || this.#failure !== undefined) break;
        const message = messageOf(next.value);
        if (message.type === 'hello') throw new ShoalError('protocol', 'cannot serve: a second hello');
        if (message.type === 'bye') {
          if (message.complete === true) this.#report('complete', 0);
          break;
        }
        if (message.type === 'get') this.#take(message);
        else this.#cancel(message);
      }
      this.#isOver = true;
      await this.#channel.close();
    } finally {
      this.#isOver = true;
      this.#queue.clear();
      this.#report('left', 0);
    }
  }

  /** Who still waits for blocks need not say anything meanwhile. */
  async #next(frames: AsyncIterator<Frame>): Promise<IteratorResult<Frame>> {
    const next = frames.next();
    for (;;) {
      const frame = await within(this.#deps.clock, IDLE_CHANNEL_TIMEOUT_MS, next);
      if (frame !== undefined) return frame;
      if (this.#owedBytes === 0) throw tooQuiet(IDLE_CHANNEL_TIMEOUT_MS);
    }
  }

  #take(blocks: Blocks): void {
    for (const wanted of this.#wanted(blocks)) {
      const key = keyOf(wanted);
      if (this.#queue.has(key)) continue;
      this.#queue.set(key, wanted);
      this.#owe(this.#lengthOf(wanted));
    }
    if (this.#owedBytes > MOST_OWED_BYTES) {
      throw new ShoalError('protocol', `cannot serve: more was asked for than the credit of ${CREDIT_BYTES} bytes`);
    }
    while (this.#mayBegin() && this.#queue.size > 0) void this.#sendQueued();
  }

  #owe(bytes: number): void {
    this.#owedBytes += bytes;
    this.#visit.idleSinceMs = this.#owedBytes > 0 ? Infinity : this.#deps.clock.monotonic();
  }

  /** One block at a time is always made; more as long as all channels together, some of which may be stalled, do not hold many. */
  #mayBegin(): boolean {
    if (this.#senders === 0) return true;
    return this.#senders < READS_PER_CHANNEL && this.#work.senders < MAX_READS;
  }

  /** What is being read or sent already still arrives, and is owed until then. */
  #cancel(blocks: Blocks): void {
    for (const wanted of this.#wanted(blocks)) {
      if (this.#queue.delete(keyOf(wanted))) this.#owe(-this.#lengthOf(wanted));
    }
  }

  /** Sends what is queued, one block after the other; several of these run side by side. A failure ends the conversation. */
  async #sendQueued(): Promise<void> {
    this.#senders++;
    this.#work.senders++;
    try {
      for (const [key, wanted] of this.#queue) {
        if (this.#isOver) return;
        this.#queue.delete(key);
        await this.#send(wanted);
        this.#owe(-this.#lengthOf(wanted));
      }
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#senders--;
      this.#work.senders--;
    }
  }

  async #send(wanted: Wanted): Promise<void> {
    const refusal = this.#refusalNow();
    if (refusal !== undefined) throw new Refused(wireRefusal(refusal), refusal.withdrawal);
    const isOver = this.#deps.charge?.(this.#channel, this.#lengthOf(wanted));
    if (isOver !== undefined) throw new Refused(isOver);
    let bytes;
    try {
      bytes = await this.#deps.source.read(this.#id, wanted);
    } catch (error) {
      if (isShoalError(error, 'changed')) throw new Refused({ reason: 'changed' });
      if (!isShoalError(error)) throw error;
      const { kind, stream, index } = wanted;
      await this.#channel.send(encodeMessage({ type: 'lacks', kind, stream, ranges: [index, 1] }));
      return;
    }
    if (this.#failure !== undefined || this.#isOver) return;
    // The garbage collector is slow to see a mebibyte; and what the asker says is no proof that it has arrived.
    const { length } = bytes;
    freeOnceRead(bytes);
    await this.#channel.send(encodeMessage({ type: 'block', ...wanted }), bytes);
    this.#report('sent', length);
  }

  /** Of the share, or of the grant through which it is got: what was fine at the beginning may have ended. */
  #refusalNow(): Refusal | undefined {
    const { refusals, clock } = this.#deps;
    const { grant } = this.#visit;
    const nowSeconds = Math.floor(clock.now() / 1000);
    return refusals.for(this.#id, nowSeconds) ?? (grant === undefined ? undefined : refusals.for(grant, nowSeconds));
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#failure !== undefined || this.#isOver) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#queue.clear();
    if (error instanceof Refused) await refuse(this.#channel, error.refusal, error.withdrawal).catch(() => undefined);
    else this.#channel.abort(this.#failure);
  }

  /** @throws ShoalError `protocol` where it is more than a message may ask for, or beyond what the share has */
  #wanted(blocks: Blocks): Wanted[] {
    const { kind, stream } = blocks;
    const { size } = this.#block[stream];
    const ranges = checkRanges(blocks.ranges, kind === 'chunk' ? chunkCount(size) : indexCount(size));
    if (countOf(ranges) > MAX_ASKED)
      throw new ShoalError('protocol', `cannot serve: ${countOf(ranges)} blocks in one message are too many`);
    return [...indicesOf(ranges)].map(index => ({ kind, stream, index }));
  }

  #lengthOf({ kind, stream, index }: Wanted): number {
    return kind === 'chunk' ? chunkLength(this.#block[stream].size, index) : MAX_BLOCK_BYTES;
  }

  #report(event: Served['event'], bytes: number): void {
    this.#deps.onServed?.({ id: this.#id, peer: this.#channel.peer, address: this.#channel.address, bytes, event });
  }
}

/** A refusal on its way to the peer. */
class Refused extends Error {
  readonly refusal: WireRefusal;
  readonly withdrawal: Refusal['withdrawal'];

  constructor(refusal: WireRefusal, withdrawal?: Refusal['withdrawal']) {
    super(`refused: ${refusal.reason}`);
    this.refusal = refusal;
    this.withdrawal = withdrawal;
  }
}

async function refuse(channel: Channel, refusal: WireRefusal, withdrawal?: Refusal['withdrawal']): Promise<void> {
  await channel.send(
    encodeMessage({ type: 'refuse', ...refusal, statement: withdrawal?.statement }),
    withdrawal?.block,
  );
  await channel.close();
}

function wireRefusal({ reason, detail, until }: Refusal): WireRefusal {
  return { reason, ...(detail === undefined ? {} : { detail }), ...(until === undefined ? {} : { until }) };
}

function messageOf(frame: Frame): AskerMessage {
  return decodeAskerMessage(frame.header, frame.body.length);
}

function keyOf({ kind, stream, index }: Wanted): string {
  return `${kind} ${stream} ${index}`;
}

function wireHave(have: Holdings): Holdings {
  if (have === 'all') return have;
  return { manifest: rangesOf(indicesOf(have.manifest)), data: rangesOf(indicesOf(have.data)) };
}

function tooQuiet(ms: number): ShoalError {
  return new ShoalError('protocol', `cannot serve: nothing was heard for ${Math.round(ms / 1000)} s`);
}
