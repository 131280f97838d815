/**
 * A network in memory, twin of the one over libp2p: nodes joined by channels, with faults by name for each direction of
 * each link. What happens depends on the seed and on what the nodes do, not on time.
 */
import { base58btc } from 'multiformats/bases/base58';
import { ShoalError } from '../../src/errors.ts';
import type { Hint } from '../../src/format/hint.ts';
import { ownerOf } from '../../src/format/share-block.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { MAX_BLOCK_BYTES, MAX_HEADER_BYTES } from '../../src/limits.ts';
import { Inbox } from '../../src/net/inbox.ts';
import type {
  Candidate,
  Channel,
  ConnectedPeer,
  Clock,
  Frame,
  FoundVia,
  Network,
  NetworkStatus,
  RelayPlace,
  Reservation,
  Survey,
} from '../../src/ports.ts';

/** What goes wrong on the way from one node to another. Messages are counted per channel and direction, from 0. */
export interface Faults {
  /** Connecting fails. */
  refuse?: boolean;
  /** Connecting takes as long as it may. */
  hang?: boolean;
  /** The connection is lost instead of delivering this message. */
  dropAt?: number;
  /** From this message on nothing is delivered, and nothing is said. */
  stallAt?: number;
  /** One bit of the body of this message is wrong, when it has a body. */
  corruptAt?: number;
  /** Each message waits for a random number of turns of the event loop, at most so many. */
  maxDelayTurns?: number;
  /** Each message waits so long, by the network's clock. */
  delayMs?: number;
}

export interface SimNetwork {
  /** A new node; the name tells nodes apart in tests. */
  node(name: string): SimNode;
  /** Sets the faults of channels that are opened from now on, for messages from `from` to `to` (and for connecting that way). */
  fault(from: Network, to: Network, faults: Faults): void;
  /** Whether nodes find each other as neighbours; at first they do not. */
  lan: boolean;
  /** A number in [0, 1), from the seed. */
  random(): number;
}

export interface SimNode extends Network {
  readonly name: string;
  /** Of its peer key: 32 bytes. */
  readonly seed: Uint8Array;
  /** Channels that are open at this node. */
  readonly open: ReadonlySet<Channel>;
}

/** Messages sent and not delivered that a channel holds before send() waits. */
const PIPE_BYTES = MAX_BLOCK_BYTES;

export function simNetwork(seed: number, clock?: Clock): SimNetwork {
  const random = randomFrom(seed);
  const nodes = new Map<string, Node>();
  const faults = new Map<string, Faults>();
  const announced = new Map<BlockId, Set<Node>>();
  const searches = new Set<Search>();
  const world: World = {
    nodes,
    announced,
    searches,
    random,
    clock,
    isLan: () => network.lan,
    faultsOf: (from, to) => faults.get(`${from} ${to}`) ?? {},
  };
  const network: SimNetwork = {
    lan: false,
    random,
    node(name) {
      const node = new Node(world, name, seedFrom(random), nodes.size + 1);
      nodes.set(node.self, node);
      if (network.lan) searches.forEach(search => search.add(candidateOf(node, 'mdns')));
      return node;
    },
    fault: (from, to, what) => void faults.set(`${from.self} ${to.self}`, what),
  };
  return network;
}

interface World {
  readonly nodes: Map<string, Node>;
  readonly announced: Map<BlockId, Set<Node>>;
  readonly searches: Set<Search>;
  readonly random: () => number;
  readonly clock: Clock | undefined;
  isLan(): boolean;
  faultsOf(from: string, to: string): Faults;
}

class Node implements SimNode {
  readonly name: string;
  readonly seed: Uint8Array;
  readonly self: string;
  readonly open = new Set<SimChannel>();
  readonly #world: World;
  readonly #address: string;
  readonly #handlers = new Map<string, (channel: Channel) => Promise<void>>();
  /** How often each relay was asked for, by its peer id. */
  readonly #relays = new Map<string, number>();
  #stopped = false;

  constructor(world: World, name: string, seed: Uint8Array, number: number) {
    this.#world = world;
    this.name = name;
    this.seed = seed;
    this.self = peerIdOf(seed);
    this.#address = `/ip4/10.0.${number >> 8}.${number & 0xff}/tcp/4001/p2p/${this.self}`;
  }

  addresses(): string[] {
    const reserved = [...this.#relays.keys()].flatMap(peer => this.#relayAt(peer) ?? []);
    return [this.#address, ...reserved.map(relay => `${relay.#address}/p2p-circuit/p2p/${this.self}`)];
  }

  reserve({ peer }: RelayPlace): () => void {
    this.#relays.set(peer, (this.#relays.get(peer) ?? 0) + 1);
    let isReleased = false;
    return () => {
      const left = (this.#relays.get(peer) ?? 1) - 1;
      if (isReleased) return;
      isReleased = true;
      if (left === 0) this.#relays.delete(peer);
      else this.#relays.set(peer, left);
    };
  }

  reservations(): Reservation[] {
    return Array.from(this.#relays.keys(), peer =>
      this.#relayAt(peer) === undefined
        ? { peer, state: 'trying', why: 'the simulation says no' }
        : { peer, state: 'reserved' },
    );
  }

  #relayAt(peer: string): Node | undefined {
    const relay = this.#world.nodes.get(peer);
    return relay === undefined || relay.#stopped ? undefined : relay;
  }

  status(): NetworkStatus {
    const others = this.#world.nodes.size - 1;
    const lanPeers = this.#world.isLan() ? others : undefined;
    return {
      connections: this.open.size,
      dhtPeers: others,
      startingPoints: 0,
      lanPeers,
      portMapping: 'off',
      reservations: this.reservations(),
      maxConnections: Infinity,
    };
  }

  peers(): ConnectedPeer[] {
    return [...this.open].map(({ peer, address, path }) => ({ peer, address, path, direction: 'out', since: 0 }));
  }

  async survey(): Promise<Survey> {
    await turn();
    return { ...this.status(), multicast: this.#world.isLan() ? 'heard' : 'off' };
  }

  async settled(): Promise<void> {}

  async connect(candidate: Candidate, protocol: string, signal: AbortSignal): Promise<Channel> {
    await turn();
    if (signal.aborted) throw new ShoalError('interrupted', `stopped connecting to peer ${candidate.peer}`);
    const other = this.#world.nodes.get(candidate.peer);
    const { refuse: refused = false, hang = false } = this.#world.faultsOf(this.self, candidate.peer);
    if (hang) {
      await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
      throw new ShoalError('not-found', `cannot reach peer ${candidate.peer}: it did not answer`);
    }
    if (other === undefined || other.#stopped || this.#stopped || refused) {
      throw new ShoalError('not-found', `cannot reach peer ${candidate.peer}: the simulation says no`);
    }
    const handler = other.#handlers.get(protocol);
    if (handler === undefined) {
      throw new ShoalError('protocol', `cannot open a channel to peer ${other.self}: it does not speak ${protocol}`);
    }
    const near = new SimChannel(this, other, this.#world);
    const far = new SimChannel(other, this, this.#world);
    near.join(far);
    far.join(near);
    void handler(far).catch((error: unknown) => far.abort(error as Error));
    return near;
  }

  async serve(protocol: string, handler: (channel: Channel) => Promise<void>): Promise<void> {
    this.#handlers.set(protocol, handler);
  }

  async *find(
    id: BlockId,
    hints: readonly Hint[],
    signal: AbortSignal,
    onAsked?: (nodes: number) => void,
  ): AsyncGenerator<Candidate, void> {
    onAsked?.(this.#world.nodes.size - 1);
    const search = new Search(id, this.self, signal);
    for (const hint of hints) {
      if (hint.kind === 'multiaddr') search.add({ peer: hint.peer, addresses: [hint.text], via: 'hint' });
    }
    if (this.#world.isLan()) this.#world.nodes.forEach(node => search.add(candidateOf(node, 'mdns')));
    this.#world.announced.get(id)?.forEach(node => search.add(candidateOf(node, 'dht')));
    this.#world.searches.add(search);
    try {
      yield* search.candidates();
    } finally {
      this.#world.searches.delete(search);
    }
  }

  announce(id: BlockId): void {
    const providers = this.#world.announced.get(id) ?? new Set();
    this.#world.announced.set(id, providers.add(this));
    for (const search of this.#world.searches) if (search.id === id) search.add(candidateOf(this, 'dht'));
  }

  unannounce(id: BlockId): void {
    this.#world.announced.get(id)?.delete(this);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.open.forEach(channel => channel.abort(new Error('the node stops')));
    await turn();
  }
}

function candidateOf(node: Node, via: FoundVia): Candidate {
  return { peer: node.self, addresses: node.addresses(), via };
}

class Search {
  readonly id: BlockId;
  readonly #self: string;
  readonly #signal: AbortSignal;
  readonly #found: Candidate[] = [];
  #wake: () => void = () => undefined;

  constructor(id: BlockId, self: string, signal: AbortSignal) {
    this.id = id;
    this.#self = self;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  add(candidate: Candidate): void {
    if (candidate.peer === this.#self) return;
    this.#found.push(candidate);
    this.#wake();
  }

  async *candidates(): AsyncGenerator<Candidate, void> {
    while (!this.#signal.aborted) {
      const next = this.#found.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }
}

/** One end of a channel: what is sent here goes, message by message and with its faults, into the inbox of the other end. */
class SimChannel implements Channel {
  readonly peer: string;
  readonly address: string;
  readonly path = 'direct';
  receivedBytes = 0;
  readonly #node: Node;
  readonly #world: World;
  readonly #faults: Faults;
  readonly #inbox = new Inbox();
  readonly #pipe: Frame[] = [];
  #pipeBytes = 0;
  #delivered = 0;
  #other: SimChannel | undefined;
  #closed = false;
  #over: ShoalError | undefined;
  #changed = Promise.withResolvers<undefined>();

  constructor(node: Node, other: Node, world: World) {
    this.peer = other.self;
    this.address = other.addresses()[0] ?? '';
    this.#node = node;
    this.#world = world;
    this.#faults = world.faultsOf(node.self, other.self);
    node.open.add(this);
  }

  join(other: SimChannel): void {
    this.#other = other;
    void this.#deliver(other);
  }

  async send(header: Uint8Array, body: Uint8Array = new Uint8Array(0)): Promise<void> {
    if (header.length > MAX_HEADER_BYTES || body.length > MAX_BLOCK_BYTES)
      throw new RangeError('the message is too large');
    if (this.#closed) throw this.#error('the channel is closed on this side');
    if (this.#over !== undefined) throw this.#over;
    // Copies: as over a real network, what the other end does with the bytes does not change them here.
    this.#pipe.push({ header: header.slice(), body: body.slice() });
    this.#pipeBytes += header.length + body.length;
    this.#change();
    await this.#until(() => this.#pipeBytes <= PIPE_BYTES);
  }

  frames(): AsyncIterable<Frame> {
    return this.#inbox.frames();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#change();
    await this.#until(() => this.#pipe.length === 0).catch(() => undefined);
  }

  abort(reason: Error): void {
    this.#end(this.#error(`this side ended it: ${reason.message}`, reason), true);
    const other = this.#other;
    if (other !== undefined) other.#end(other.#error('the other side ended it'), false);
  }

  async #deliver(other: SimChannel): Promise<void> {
    const { dropAt, stallAt, corruptAt, maxDelayTurns = 0, delayMs = 0 } = this.#faults;
    try {
      for (;;) {
        await this.#until(() => this.#pipe.length > 0 || this.#closed);
        const frame = this.#pipe[0];
        if (frame === undefined) break;
        for (let turns = Math.floor(this.#world.random() * (maxDelayTurns + 1)); turns > 0; turns--) await turn();
        if (delayMs > 0) await this.#world.clock?.sleep(delayMs);
        const number = this.#delivered++;
        if (number === dropAt) {
          this.abort(new Error('the connection was lost'));
          return;
        }
        if (number === stallAt) return;
        if (number === corruptAt) corrupt(frame.body, this.#world.random());
        other.#receive(frame);
        this.#pipe.shift();
        this.#pipeBytes -= frame.header.length + frame.body.length;
        this.#change();
      }
      other.#inbox.end();
      if (other.#closed) this.#leave(other);
    } catch {
      // Aborted: both ends know.
    }
  }

  #receive(frame: Frame): void {
    if (this.#over !== undefined) return;
    this.receivedBytes += frame.header.length + frame.body.length;
    try {
      this.#inbox.reserve(frame.header.length + frame.body.length);
      this.#inbox.put(frame);
    } catch (error) {
      this.abort(error as Error);
    }
  }

  #end(error: ShoalError, drop: boolean): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#pipe.length = 0;
    this.#inbox.fail(error, drop);
    this.#node.open.delete(this);
    this.#change();
  }

  #leave(other: SimChannel): void {
    this.#node.open.delete(this);
    other.#node.open.delete(other);
  }

  async #until(holds: () => boolean): Promise<void> {
    while (this.#over === undefined && !holds()) await this.#changed.promise;
    if (this.#over !== undefined) throw this.#over;
  }

  #change(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }

  #error(what: string, cause?: Error): ShoalError {
    if (cause instanceof ShoalError && cause.code === 'protocol') return cause;
    return new ShoalError('unavailable', `cannot talk to peer ${this.peer}: ${what}`, { cause });
  }
}

function corrupt(body: Uint8Array, random: number): void {
  const at = Math.floor(random * body.length);
  const byte = body[at];
  if (byte !== undefined) body[at] = byte ^ 1;
}

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}

/** The peer id of an Ed25519 key that nobody has: its binary form is what proofs are made over. */
function seedFrom(random: () => number): Uint8Array {
  return Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256));
}

function peerIdOf(seed: Uint8Array): string {
  return base58btc.baseEncode(Uint8Array.from([0, 36, 8, 1, 18, 32, ...ownerOf(seed)]));
}

/** Mulberry32: small, and good enough to make faults. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
