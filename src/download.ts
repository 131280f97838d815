/**
 * Gets blocks of one share from whoever has them: finds peers, proves to each that we know the id, asks by schedule, and
 * hands what arrives to the caller, who checks it (protocol.md). Survives peers that vanish, stall, lie or refuse.
 */
import { dial } from './dial.ts';
import { abortLate, hangUp } from './hang-up.ts';
import { isShoalError, ShoalError } from './errors.ts';
import { dayOf, digestOf, rendezvous, type BlockId } from './format/ids.ts';
import type { Hint } from './format/hint.ts';
import { decodeShareBlock, indexCount, type ShareBlock } from './format/share-block.ts';
import { chunkCount, chunkLength } from './format/pieces.ts';
import { HELLO_TIMEOUT_MS, MAX_BLOCK_BYTES, MAX_CHUNKS_IN_WORK, REFUSED_GRACE_MS, TICK_MS } from './limits.ts';
import { Movement } from './movement.ts';
import type { Candidate, Channel, ChunkSource, Clock, Crypto, Frame, Holdings, Network, StreamName } from './ports.ts';
import {
  CHUNKS_PROTOCOL,
  decodeServerMessage,
  encodeMessage,
  type Have,
  type ServerMessage,
  type WireRefusal,
} from './protocol/messages.ts';
import { proofOf } from './protocol/proof.ts';
import { checkRanges, IndexSet, indicesOf } from './protocol/ranges.ts';
import { Schedule } from './protocol/schedule.ts';
import { Swarm, type Ending } from './protocol/swarm.ts';
import { withdrawnError } from './refused.ts';
import { counted, endingOf, refusalsIn, refusedByAll, searchSoFar, type Step } from './search.ts';
import { blockKey, byPeer, channelSource, localSource, type Source, type SourceSummary } from './source.ts';
import { believed, type CheckedWithdrawal } from './protocol/withdrawn.ts';
import { within } from './within.ts';

/** What a download needs of a network. */
export type DownloadNetwork = Pick<Network, 'self' | 'status' | 'find' | 'connect'>;

export interface DownloadDeps {
  /** Absent when only this home is asked. */
  readonly network?: DownloadNetwork;
  readonly crypto: Pick<Crypto, 'verify'>;
  readonly clock: Clock;
  /** This home's own chunks, asked like a peer. */
  readonly local?: ChunkSource;
  /** Told of each step of the search. */
  readonly onStep?: (step: Step) => void;
  /** Told when the owner has withdrawn it, by each who shows that, before the download fails by that. */
  readonly onWithdrawn?: (withdrawal: CheckedWithdrawal) => void;
}

/** For what opens what it gets. */
export interface OpeningDeps extends DownloadDeps {
  readonly crypto: Crypto;
}

export interface DownloadOptions {
  readonly id: BlockId;
  readonly hints: readonly Hint[];
  /** Give up when nothing has moved for so long; never when absent. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: DownloadEvent) => void;
  /** Takes the grant block where the id turns out to be a grant's: its hash is the id, no more is known of it. */
  readonly onGrant?: (block: Uint8Array) => void;
}

export type DownloadEvent =
  | ({ readonly event: 'found'; readonly address: string } & Omit<SourceSummary, 'bytes'>)
  | { readonly event: 'lost'; readonly peer: string; readonly why: string }
  | { readonly event: 'waiting'; readonly why: string };

/** Which blocks to get. */
export interface Wanted {
  readonly kind: 'chunk' | 'index';
  readonly stream: StreamName;
  readonly indices: Iterable<number>;
  /** Only so many blocks ahead of the first that is missing. */
  readonly window?: number;
}

/**
 * Checks and keeps a block. Throws `mismatch` when its bytes are not those that were asked for: the peer is not used any
 * more and the block is asked elsewhere. Anything else that it throws ends the call of `blocks`. The signal tells that the
 * call has failed, and that it waits only for this to end.
 */
export type Accept = (index: number, bytes: Uint8Array, signal: AbortSignal) => Promise<void>;

/** One call of `blocks`, under way. */
interface Phase {
  readonly wanted: Wanted;
  readonly schedule: Schedule;
  readonly accept: Accept;
  readonly inWork: Set<Promise<void>>;
  /** Aborted when the phase fails. */
  readonly failed: AbortController;
  readonly finished: PromiseWithResolvers<void>;
}

export class Download {
  readonly #deps: DownloadDeps;
  readonly #options: DownloadOptions;
  readonly #swarm: Swarm;
  readonly #sources = new Map<string, Source>();
  readonly #left: SourceSummary[] = [];
  readonly #stop = new AbortController();
  readonly #shareBlock = Promise.withResolvers<{ bytes: Uint8Array; block: ShareBlock }>();
  readonly #tasks = new Set<Promise<void>>();
  #block: ShareBlock | undefined;
  #phase: Phase | undefined;
  /** What to say to peers in the end: whether all that was wanted came; nothing when the download failed. */
  #farewell: { readonly complete: boolean } | undefined;
  readonly #movement: Movement;
  #lastRefusedMs: number;
  /** All that was to be found is there: nobody who leaves is missed. */
  #isGranted = false;
  #withdrawal: CheckedWithdrawal | undefined;

  constructor(deps: DownloadDeps, options: DownloadOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#swarm = new Swarm(deps.network?.status().maxDown);
    this.#lastRefusedMs = deps.clock.monotonic();
    this.#movement = new Movement(this.#lastRefusedMs);
    this.#shareBlock.promise.catch(() => undefined);
    const onAbort = (): void =>
      this.#fail(new ShoalError('interrupted', 'stopped on request; the same command goes on where this one stopped'));
    if (options.signal.aborted) queueMicrotask(onAbort);
    else options.signal.addEventListener('abort', onAbort, { once: true, signal: this.#stop.signal });
    this.#run(this.#watch());
    if (deps.local !== undefined) this.#run(this.#joinLocal(deps.local));
    if (deps.network !== undefined) this.#run(this.#discover(deps.network));
  }

  /** The share block, from the first source that proved to have it: its bytes hash to the id; no more is known of it. */
  shareBlock(): Promise<{ bytes: Uint8Array; block: ShareBlock }> {
    return this.#shareBlock.promise;
  }

  /** Says that the share block is known already, from an earlier run. `bytes` hash to the id. */
  knowShareBlock(bytes: Uint8Array): void {
    this.#learn(bytes);
  }

  /**
   * Gets blocks and gives each to `accept`, several at once, in any order. One call at a time. No `accept` runs any more
   * when it returns or throws.
   * @throws what `accept` throws but for `mismatch`; ShoalError `not-found`, `unavailable`, `refused`, `changed`, `interrupted`
   */
  async blocks(wanted: Wanted, accept: Accept): Promise<void> {
    const block = this.#block;
    if (block === undefined) throw new Error('blocks() is called before the share block is known');
    this.#stop.signal.throwIfAborted();
    const { size } = block[wanted.stream];
    const isChunk = wanted.kind === 'chunk';
    const phase: Phase = {
      wanted,
      accept,
      inWork: new Set(),
      failed: new AbortController(),
      finished: Promise.withResolvers(),
      schedule: new Schedule({
        count: isChunk ? chunkCount(size) : indexCount(size),
        wanted: wanted.indices,
        lengthOf: index => (isChunk ? chunkLength(size, index) : MAX_BLOCK_BYTES),
        window: wanted.window,
        maxDown: this.#deps.network?.status().maxDown,
      }),
    };
    this.#phase = phase;
    this.#movement.moved(this.#now());
    for (const source of this.#sources.values()) this.#enter(source, phase);
    this.#settle(phase);
    try {
      await phase.finished.promise;
    } finally {
      await Promise.all(phase.inWork);
      this.#phase = undefined;
    }
  }

  /** Peers at work for us now. */
  get peers(): number {
    return this.#sources.size;
  }

  /** What those at work for us say that they have of a stream: chunks, by peer. */
  chunksAt(stream: StreamName): Map<string, number> {
    const all = this.#countOf('chunk', stream);
    return new Map(
      Array.from(this.#sources.values(), ({ peer, has }) => [peer, has === 'all' ? all : has[stream].size]),
    );
  }

  /** Who gave how much, those that left included. */
  summary(): SourceSummary[] {
    const now = Array.from(this.#sources.values(), ({ peer, via, path, bytes }) => ({ peer, via, path, bytes }));
    return byPeer([...this.#left, ...now]);
  }

  /** Ends all that was started; `complete` tells the peers that we have all we wanted. */
  async close(complete: boolean): Promise<void> {
    if (!this.#stop.signal.aborted) this.#farewell = { complete };
    this.#fail(new ShoalError('interrupted', 'the download was closed'));
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  async #discover(network: DownloadNetwork): Promise<void> {
    const { id, hints } = this.#options;
    const onAsked = (nodes: number): void => this.#deps.onStep?.({ step: 'asked', nodes });
    for await (const candidate of network.find(id, hints, this.#stop.signal, onAsked)) {
      if (candidate.peer === network.self) continue;
      this.#deps.onStep?.({ step: 'heard', ...candidate });
      this.#swarm.found(candidate);
      this.#dialMore(network);
    }
  }

  #dialMore(network: DownloadNetwork): void {
    for (const candidate of this.#swarm.toDial(this.#now())) this.#run(this.#join(network, candidate));
  }

  async #join(network: DownloadNetwork, candidate: Candidate): Promise<void> {
    const { peer } = candidate;
    let channel: Channel | undefined;
    let ending: Ending;
    let detail = '';
    this.#deps.onStep?.({ step: 'dialling', peer });
    try {
      channel = await dial(network, this.#deps.clock, candidate, CHUNKS_PROTOCOL, this.#stop.signal);
      this.#deps.onStep?.({ step: 'reached', peer, path: channel.path });
      ending = await this.#talk(network, candidate, channel);
    } catch (error) {
      ending = endingOf(error, channel !== undefined);
      detail = asError(error).message;
      channel?.abort(asError(error));
    }
    if (!this.#stop.signal.aborted) this.#deps.onStep?.({ step: 'ended', peer, ending, detail });
    this.#leave(peer);
    this.#swarm.left(peer, ending, this.#now());
    const isStranger = ending.why === 'refused' && ending.refusal.reason === 'unknown';
    if (ending.why === 'refused' && !isStranger) this.#lastRefusedMs = this.#now();
    if (channel !== undefined && !isStranger && !this.#isGranted && !this.#stop.signal.aborted)
      this.#options.onEvent({
        event: 'lost',
        peer,
        why: ending.why === 'refused' ? ending.refusal.reason : ending.detail,
      });
    if (this.#withdrawal !== undefined) this.#fail(withdrawnError('fetch', this.#withdrawal.at));
    if (!this.#stop.signal.aborted) this.#dialMore(network);
  }

  /** One conversation, until it ends. */
  async #talk(network: DownloadNetwork, { peer, via }: Candidate, channel: Channel): Promise<Ending> {
    const { id } = this.#options;
    this.#stop.signal.throwIfAborted();
    const over = Promise.withResolvers<undefined>();
    const end = (): void => this.#run(hangUp(channel, this.#deps.clock, this.#farewell, over.promise));
    this.#stop.signal.addEventListener('abort', end, { once: true });
    let source: (Source & { endedBy?: Error }) | undefined;
    try {
      const key = rendezvous(id, dayOf(this.#deps.clock.now() / 1000)).bytes;
      const proof = proofOf(id, network.self, peer);
      await channel.send(encodeMessage({ type: 'hello', key, proof }));
      const frames = channel.frames()[Symbol.asyncIterator]();
      const first = await this.#firstFrame(frames);
      const hello = decodeServerMessage(first.header, first.body.length);
      if (hello.type === 'refuse') return this.#refused(channel, hello, first.body);
      if (hello.type === 'grant') {
        await this.#deps.crypto.verify(first.body, digestOf(id));
        this.#granted(first.body);
        return this.#part(channel, { why: 'vanished', detail: 'gave the grant' });
      }
      if (hello.type !== 'hello') throw new ShoalError('protocol', `the answer to hello is "${hello.type}"`);
      // Nothing could ever be asked within it, and the peer's place would be taken for nothing.
      if (hello.credit < MAX_BLOCK_BYTES) throw new ShoalError('protocol', 'gives less credit than a block needs');
      this.#deps.onStep?.({ step: 'proved', peer });
      await this.#deps.crypto.verify(first.body, digestOf(id));
      this.#learn(first.body);
      source = channelSource(channel, via, this.#checkedHave(hello.have), hello.credit);
      if (!this.#swarm.joined(peer))
        return this.#part(channel, { why: 'vanished', detail: 'were not needed: enough others are at work' });
      this.#welcome(source, channel.address);
      for (;;) {
        const next = await frames.next();
        if (next.done === true) return this.#part(channel, { why: 'vanished', detail: 'closed the connection' });
        const message = decodeServerMessage(next.value.header, next.value.body.length);
        if (message.type === 'refuse') return this.#refused(channel, message, next.value.body);
        await this.#received(source, message, next.value.body);
      }
    } catch (error) {
      throw source?.endedBy ?? error;
    } finally {
      this.#stop.signal.removeEventListener('abort', end);
      over.resolve(undefined);
    }
  }

  /** A withdrawal that was checked is the end, also while others still give: it is final. */
  #refused(channel: Channel, refuse: WireRefusal, block: Uint8Array): Ending {
    const { refusal, withdrawal } = believed(refuse, this.#options.id, block);
    if (withdrawal !== undefined) this.#deps.onWithdrawn?.(withdrawal);
    this.#withdrawal ??= withdrawal;
    return this.#part(channel, { why: 'refused', refusal });
  }

  /** Closes our side of a channel on which nothing more will come. */
  #part(channel: Channel, ending: Ending): Ending {
    this.#run(abortLate(channel, this.#deps.clock, channel.close()));
    return ending;
  }

  async #firstFrame(frames: AsyncIterator<Frame>): Promise<Frame> {
    const first = await within(this.#deps.clock, HELLO_TIMEOUT_MS, frames.next());
    if (first === undefined) throw new ShoalError('unavailable', 'did not answer');
    if (first.done === true) throw new ShoalError('unavailable', 'closed the connection without an answer');
    return first.value;
  }

  /** Our own home as a source: what it reads has been hashed, so it never lies. */
  async #joinLocal(local: ChunkSource): Promise<void> {
    const { id } = this.#options;
    const have: Holdings | undefined = await local.have(id);
    if (have === undefined) return;
    try {
      this.#learn(await local.read(id, { kind: 'share' }, this.#stop.signal));
    } catch (error) {
      this.#options.onEvent({ event: 'lost', peer: 'this home', why: asError(error).message });
      return;
    }
    const read = async (kind: Wanted['kind'], stream: StreamName, index: number): Promise<void> => {
      let bytes: Uint8Array;
      try {
        bytes = await local.read(id, { kind, stream, index }, this.#stop.signal);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!isShoalError(error)) {
          this.#fail(asError(error));
          return;
        }
        return this.#received(source, { type: 'lacks', kind, stream, ranges: [index, 1] }, new Uint8Array());
      }
      return this.#received(source, { type: 'block', kind, stream, index }, bytes);
    };
    const source = localSource(this.#checkedHave(have), (...at) => this.#run(read(...at)));
    this.#welcome(source, 'this home');
  }

  #welcome(source: Source, address: string): void {
    if (this.#stop.signal.aborted) return;
    this.#sources.set(source.peer, source);
    // Who comes and goes moves nothing.
    if (!this.#left.some(({ peer }) => peer === source.peer)) this.#movement.moved(this.#now());
    const { peer, via, path } = source;
    this.#options.onEvent({ event: 'found', peer, via, path, address });
    if (this.#phase !== undefined) this.#enter(source, this.#phase);
  }

  #leave(peer: string): void {
    const source = this.#sources.get(peer);
    if (source === undefined) return;
    this.#sources.delete(peer);
    this.#left.push({ peer, via: source.via, path: source.path, bytes: source.bytes });
    this.#phase?.schedule.removePeer(peer);
    this.#askAll();
  }

  #enter(source: Source, phase: Phase): void {
    const { kind, stream } = phase.wanted;
    const has = source.has === 'all' || kind === 'index' ? 'all' : source.has[stream];
    phase.schedule.addPeer(source.peer, has, source.creditBytes, this.#now());
    this.#ask(source, phase);
  }

  #ask(source: Source, phase: Phase): void {
    if (phase.inWork.size >= MAX_CHUNKS_IN_WORK || phase.failed.signal.aborted) return;
    const indices = phase.schedule.ask(source.peer, this.#now());
    if (indices.length > 0) source.get(phase.wanted.kind, phase.wanted.stream, indices);
  }

  #askAll(): void {
    const phase = this.#phase;
    if (phase === undefined) return;
    for (const source of this.#sources.values()) this.#ask(source, phase);
  }

  async #received(source: Source, message: ServerMessage, body: Uint8Array): Promise<void> {
    const phase = this.#phase;
    switch (message.type) {
      case 'block': {
        const { kind, stream, index } = message;
        const isOfPhase = phase?.wanted.kind === kind && phase.wanted.stream === stream;
        const wasCancelled = source.late.delete(blockKey(kind, stream, index));
        const arrival = isOfPhase
          ? phase.schedule.arrived(source.peer, index, this.#now())
          : wasCancelled
            ? 'late'
            : 'unasked';
        if (arrival === 'unasked') throw new ShoalError('protocol', 'sent a block that was not asked for');
        if (arrival === 'late' || phase === undefined) return;
        await this.#work(source, phase, message.index, body);
        return;
      }
      case 'lacks':
        if (phase?.wanted.kind !== message.kind || phase.wanted.stream !== message.stream) return;
        for (const index of indicesOf(checkRanges(message.ranges, this.#countOf(message.kind, message.stream))))
          phase.schedule.lacked(source.peer, index);
        this.#deps.onStep?.({ step: 'lacks', peer: source.peer });
        this.#askAll();
        return;
      case 'have': {
        const ranges = checkRanges(message.ranges, this.#countOf('chunk', message.stream));
        if (source.has !== 'all') source.has[message.stream].addRanges(ranges);
        if (phase?.wanted.kind === 'chunk' && phase.wanted.stream === message.stream)
          phase.schedule.gained(source.peer, indicesOf(ranges));
        if (phase !== undefined) this.#ask(source, phase);
        return;
      }
      default:
        throw new ShoalError('protocol', `a second "${message.type}"`);
    }
  }

  /** Lets the caller check and keep a block, and asks for more meanwhile. Returns early: several are in work at once. */
  async #work(source: Source, phase: Phase, index: number, bytes: Uint8Array): Promise<void> {
    const done = this.#acceptOne(source, phase, index, bytes).then(() => {
      phase.inWork.delete(done);
      this.#settle(phase);
      this.#askAll();
    });
    phase.inWork.add(done);
    if (phase.inWork.size >= MAX_CHUNKS_IN_WORK) await done;
    else this.#ask(source, phase);
  }

  async #acceptOne(source: Source, phase: Phase, index: number, bytes: Uint8Array): Promise<void> {
    const { kind, stream } = phase.wanted;
    const length = bytes.length;
    try {
      await phase.accept(index, bytes, phase.failed.signal);
    } catch (error) {
      if (!isShoalError(error, 'mismatch')) {
        this.#failPhase(phase, asError(error));
        return;
      }
      phase.schedule.rejected(index);
      phase.schedule.removePeer(source.peer);
      source.end(error);
      return;
    }
    source.bytes += length;
    this.#swarm.delivered(source.peer);
    this.#movement.moved(this.#now());
    for (const other of phase.schedule.settled(index, this.#now()))
      this.#sources.get(other)?.cancel(kind, stream, [index]);
  }

  #settle(phase: Phase): void {
    if (phase.schedule.done && phase.inWork.size === 0) phase.finished.resolve();
  }

  #failPhase(phase: Phase, error: Error): void {
    phase.finished.promise.catch(() => undefined);
    phase.finished.reject(error);
    phase.failed.abort(error);
  }

  /** Looks after what no event tells: slow peers, retries, and the time that passes without anything moving. */
  async #watch(): Promise<void> {
    const received = new Map<string, number>();
    for (;;) {
      await this.#deps.clock.sleep(TICK_MS, this.#stop.signal);
      for (const source of this.#sources.values()) {
        const bytes = source.receivedBytes();
        const before = received.get(source.peer) ?? 0;
        if (bytes === before) continue;
        received.set(source.peer, bytes);
        this.#phase?.schedule.heard(source.peer, this.#now());
        this.#movement.received(Math.max(0, bytes - before), this.#now());
      }
      for (const peer of this.#dispensable())
        this.#sources.get(peer)?.end(new ShoalError('unavailable', 'sent nothing for a long time'));
      if (this.#deps.network !== undefined) this.#dialMore(this.#deps.network);
      this.#askAll();
      this.#notice();
      const hopeless = this.#hopeless();
      if (hopeless !== undefined) this.#fail(hopeless);
    }
  }

  /** Who has been silent for too long; and if others wait for a place, who does not help at present. */
  #dispensable(): string[] {
    const schedule = this.#phase?.schedule;
    if (schedule === undefined) return [];
    const now = this.#now();
    return this.#swarm.isCrowded(now) ? [...schedule.stalled(now), ...schedule.useless()] : schedule.silent(now);
  }

  /** Says by name what is waited for, when nothing moves. */
  #notice(): void {
    if (this.#movement.isToBeSaid(this.#now())) this.#options.onEvent({ event: 'waiting', why: this.#whatWeWaitFor() });
  }

  #hopeless(): ShoalError | undefined {
    const [now, nowSeconds] = [this.#now(), this.#deps.clock.now() / 1000];
    const { timeoutMs = Infinity } = this.#options;
    const isTimeUp = this.#movement.stillMs(now) >= timeoutMs;
    const refused = this.#sources.size === 0 ? refusedByAll(this.#swarm, isTimeUp, this.#block, nowSeconds) : undefined;
    if (refused !== undefined && (isTimeUp || now - this.#lastRefusedMs > REFUSED_GRACE_MS)) return refused;
    if (!isTimeUp) return undefined;
    const isFound = this.#block !== undefined && (this.#sources.size > 0 || this.#left.length > 0);
    return new ShoalError(
      isFound || refusalsIn(this.#swarm).length > 0 ? 'unavailable' : 'not-found',
      `cannot fetch: nothing moved for ${Math.round(timeoutMs / 1000)} s; ${this.#whatWeWaitFor()}`,
    );
  }

  #whatWeWaitFor(): string {
    const phase = this.#phase;
    if (phase === undefined || this.#sources.size === 0) {
      const hints = this.#options.hints.filter(({ kind }) => kind === 'multiaddr').length;
      return searchSoFar(this.#swarm, { hints, status: this.#deps.network?.status() });
    }
    const { nowhere, left } = phase.schedule;
    if (nowhere > 0) return `nobody at hand has ${nowhere} of the ${left} chunks that are missing`;
    return `waiting for ${counted(this.#sources.size, 'peer')} to send`;
  }

  /** Only once the share block is known. */
  #checkedHave(have: Have): Source['has'] {
    if (have === 'all') return have;
    const setOf = (stream: StreamName): IndexSet => {
      const count = this.#countOf('chunk', stream);
      return new IndexSet(count, checkRanges(have[stream], count));
    };
    return { manifest: setOf('manifest'), data: setOf('data') };
  }

  /** Takes a share block whose hash is the id. One that breaks the format ends the download: nobody can have another. */
  #learn(bytes: Uint8Array): void {
    if (this.#block !== undefined) return;
    try {
      this.#block = decodeShareBlock(bytes);
    } catch (error) {
      this.#fail(asError(error));
      throw error;
    }
    this.#shareBlock.resolve({ bytes, block: this.#block });
  }

  #granted(block: Uint8Array): void {
    this.#isGranted = true;
    const { onGrant } = this.#options;
    if (onGrant !== undefined) onGrant(block);
    else
      this.#fail(
        new ShoalError(
          'bad-link',
          'cannot use link: its id is that of a grant, which has no key; copy all of it again',
        ),
      );
  }

  #countOf(kind: Wanted['kind'], stream: StreamName): number {
    const size = this.#block?.[stream].size ?? 0;
    return kind === 'chunk' ? chunkCount(size) : indexCount(size);
  }

  #now(): number {
    return this.#deps.clock.monotonic();
  }

  #fail(error: Error): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(error);
    this.#shareBlock.reject(error);
    if (this.#phase !== undefined) this.#failPhase(this.#phase, error);
  }

  /** Keeps a task so that close() waits for it. What fails in it has been told elsewhere. */
  #run(task: Promise<void>): void {
    const settled = task.catch((error: unknown) => {
      if (!this.#stop.signal.aborted && !isShoalError(error)) this.#fail(asError(error));
    });
    this.#tasks.add(settled);
    void settled.then(() => this.#tasks.delete(settled));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
