/** Sharers, fetchers and peers of bad will in one process: a network in memory, a clock that tests move, and no sockets. */
import { randomInt } from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { ShoalError } from '../../src/errors.ts';
import { fetch, type Fetched, type FetchEvent, type FetchRequest } from '../../src/fetch.ts';
import { openSink } from '../../src/files/sink.ts';
import { decode } from '../../src/format/canonical.ts';
import type { Hint } from '../../src/format/hint.ts';
import { dayOf, rendezvous, type BlockId } from '../../src/format/ids.ts';
import { CREDIT_BYTES } from '../../src/limits.ts';
import type {
  Channel,
  ChunkSource,
  ChunkStore,
  Crypto,
  Destination,
  Directory,
  Frame,
  Log,
  Refusal,
} from '../../src/ports.ts';
import { CHUNKS_PROTOCOL, encodeMessage, type AskerMessage, type ServerMessage } from '../../src/protocol/messages.ts';
import { proofOf } from '../../src/protocol/proof.ts';
import type { CheckedWithdrawal } from '../../src/protocol/withdrawn.ts';
import type { Step } from '../../src/search.ts';
import { Server, type Served } from '../../src/serve.ts';
import { memoryStore } from '../../src/store/memory.ts';
import type { TestShare } from '../contract/chunk-source.ts';
import { simClock, type SimClock } from '../sim/clock.ts';
import { Forgetful } from '../sim/forgetful.ts';
import { simNetwork, type SimNetwork, type SimNode } from '../sim/network.ts';

export interface World {
  readonly seed: number;
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly crypto: Crypto;
}

/** A seed that fails is printed with the failure; give it here to see it again. */
export function newWorld(seed: number = randomInt(2 ** 31)): World {
  const clock = simClock();
  return { seed, clock, network: simNetwork(seed, clock), crypto: nodeCrypto() };
}

export interface Seeder {
  readonly node: SimNode;
  readonly server: Server;
  readonly served: Served[];
  /** What it logged, with the fields. */
  readonly logged: Parameters<Log>[];
  /** Set to have the gate refuse. */
  refusal: Refusal | undefined;
}

/** An honest node that serves what `source` has. */
export async function seeder(world: World, name: string, id: BlockId, source: ChunkSource): Promise<Seeder> {
  const node = world.network.node(name);
  const served: Served[] = [];
  const logged: Parameters<Log>[] = [];
  const refusals = { for: (): Refusal | undefined => seeding.refusal };
  const server = await Server.start({
    network: node,
    source,
    refusals,
    clock: world.clock,
    log: (...line) => logged.push(line),
    onServed: event => served.push(event),
  });
  const seeding: Seeder = { node, server, served, logged, refusal: undefined };
  server.add(id);
  return seeding;
}

/** All blocks of a share, or those that `isThere`. */
export async function storeOf(share: TestShare, isThere: (at: string) => boolean = () => true): Promise<ChunkStore> {
  const store = memoryStore();
  for (const { at, bytes } of share.blocks) {
    const name = at.kind === 'share' ? at.kind : `${at.kind} ${at.stream} ${at.index}`;
    if (isThere(name)) await store.write(share.id, at, bytes);
  }
  return store;
}

/** A destination on a file system in memory; the output's final name is that of the share. */
export function memoryDestination(parent: Directory, store: ChunkStore): Destination {
  return {
    store,
    standing: () => Promise.resolve(undefined),
    strangers: () => Promise.resolve([]),
    pathOf: manifest => `/${manifest.name}`,
    open: (content, signal) => openSink({ parent, tag: 'test', finalName: content.manifest.name, ...content }, signal),
    discard: () => Promise.resolve(),
  };
}

export interface Fetching {
  readonly node: SimNode;
  readonly disk: Forgetful;
  readonly store: ChunkStore;
  readonly events: FetchEvent[];
  readonly stop: AbortController;
  /** Handled, so that a test may look at it late. */
  readonly outcome: Promise<Fetched>;
}

export interface FetchOptions extends Partial<Omit<FetchRequest, 'link'>> {
  readonly node?: SimNode;
  readonly disk?: Forgetful;
  readonly store?: ChunkStore;
  readonly crypto?: Crypto;
  readonly local?: ChunkSource;
  readonly onStep?: (step: Step) => void;
  readonly onWithdrawn?: (withdrawal: CheckedWithdrawal) => void;
  readonly onEvent?: (event: FetchEvent) => void;
  readonly hints?: readonly Hint[];
}

export function startFetch(world: World, share: Pick<TestShare, 'id' | 'key'>, options: FetchOptions = {}): Fetching {
  const { disk = new Forgetful(), store = memoryStore(), crypto = world.crypto, local, onStep, ...others } = options;
  const { onEvent, onWithdrawn, hints = [], ...request } = others;
  const parent = disk.root();
  const node = options.node ?? world.network.node('fetcher');
  const stop = new AbortController();
  const events: FetchEvent[] = [];
  const outcome = fetch(
    { network: node, crypto, clock: world.clock, ...(local === undefined ? {} : { local }), onStep, onWithdrawn },
    {
      link: { id: share.id, key: share.key, hints },
      destination: memoryDestination(parent, store),
      force: false,
      ...request,
    },
    event => {
      events.push(event);
      onEvent?.(event);
    },
    stop.signal,
  ).finally(() => parent.close());
  outcome.catch(() => undefined);
  return { node, disk, store, events, stop, outcome };
}

/** Runs a fetch to its end. Afterwards nothing of it is left: no sleeper, and no open channel. */
export async function fetchAll(
  world: World,
  share: Pick<TestShare, 'id' | 'key'>,
  options: FetchOptions = {},
): Promise<Fetching & { readonly fetched: Fetched | undefined; readonly failure: ShoalError | undefined }> {
  const fetching = startFetch(world, share, options);
  const { fetched, failure } = await world.clock.run(
    fetching.outcome.then(
      fetched => ({ fetched, failure: undefined }),
      (error: unknown) => {
        if (error instanceof ShoalError) return { fetched: undefined, failure: error };
        throw error;
      },
    ),
  );
  return { ...fetching, fetched, failure };
}

/** The contents of a share as they are at the final place. */
export function outputOf(disk: Forgetful): Record<string, Uint8Array> {
  const files = [...disk.contents()].filter(([path]) => !path.startsWith('.shoal-') && !path.endsWith('/'));
  return Object.fromEntries(files.map(([path, bytes]) => [path, Uint8Array.from(bytes)]));
}

export type Header = AskerMessage;

/** A peer that does what a test says. `says` gets the decoded header of each message from the asker. */
export async function actor(
  world: World,
  name: string,
  id: BlockId,
  answer: (channel: Channel, frames: AsyncIterator<Frame>) => Promise<void>,
): Promise<SimNode> {
  const node = world.network.node(name);
  await node.serve(CHUNKS_PROTOCOL, channel => answer(channel, channel.frames()[Symbol.asyncIterator]()));
  node.announce(id);
  return node;
}

/** The next message that an actor gets; undefined at the end. */
export async function hear(frames: AsyncIterator<Frame>): Promise<AskerMessage | undefined> {
  const next = await frames.next();
  return next.done === true ? undefined : (decode(next.value.header, 'message') as AskerMessage);
}

export async function say(channel: Channel, message: ServerMessage | AskerMessage, body?: Uint8Array): Promise<void> {
  await channel.send(encodeMessage(message), body);
}

/** Reads until the other side ends the channel, in whatever way. */
export async function untilEnd(frames: AsyncIterator<Frame>): Promise<Frame[]> {
  const heard: Frame[] = [];
  try {
    for (let next = await frames.next(); next.done !== true; next = await frames.next()) heard.push(next.value);
  } catch {
    // Aborted.
  }
  return heard;
}

export function blockOf(share: TestShare, name: string): Uint8Array {
  const found = share.blocks.find(({ at }) =>
    at.kind === 'share' ? name === 'share' : name === `${at.kind} ${at.stream} ${at.index}`,
  );
  if (found === undefined) throw new Error(`the share has no block ${name}`);
  return found.bytes;
}

/** Opens a channel to `server` as an asker and says hello, with a right proof unless another is given. */
export async function greet(
  world: World,
  node: SimNode,
  server: SimNode,
  id: BlockId,
  hello: { readonly key?: Uint8Array; readonly proof?: Uint8Array } = {},
): Promise<{ channel: Channel; frames: AsyncIterator<Frame> }> {
  const candidate = { peer: server.self, addresses: server.addresses(), via: 'hint' } as const;
  const channel = await node.connect(candidate, CHUNKS_PROTOCOL, new AbortController().signal);
  const key = hello.key ?? rendezvous(id, dayOf(world.clock.now() / 1000)).bytes;
  await say(channel, { type: 'hello', key, proof: hello.proof ?? proofOf(id, node.self, server.self) });
  return { channel, frames: channel.frames()[Symbol.asyncIterator]() };
}

/** An actor that begins as an honest server does, and then does what the test says with each `get`. */
export async function turncoat(
  world: World,
  name: string,
  share: TestShare,
  onGet: (
    channel: Channel,
    get: { kind: 'chunk' | 'index'; stream: 'manifest' | 'data'; ranges: readonly number[] },
  ) => Promise<void>,
  hello: Partial<Extract<ServerMessage, { type: 'hello' }>> = {},
): Promise<SimNode & { readonly heard: string[] }> {
  const heard: string[] = [];
  const node = await actor(world, name, share.id, async (channel, frames) => {
    for (let message = await hear(frames); message !== undefined; message = await hear(frames)) {
      heard.push(message.type);
      if (message.type === 'hello')
        await say(channel, { type: 'hello', have: 'all', credit: CREDIT_BYTES, ...hello }, blockOf(share, 'share'));
      if (message.type === 'get') await onGet(channel, message);
      if (message.type === 'bye') {
        await channel.close();
        return;
      }
    }
    await channel.close();
  });
  return Object.assign(node, { heard });
}
