/**
 * Who wants a relay to keep shares, honestly and otherwise: the protocols of relays by docs/protocol.md and statements by
 * format.md §9, on the independent implementation in peer.ts.
 */
import { encode } from '@ipld/dag-cbor';
import { ed25519 } from '@noble/curves/ed25519.js';
import { randomBytes } from 'node:crypto';
import {
  frame,
  helloTo,
  makeShare,
  manifestStream,
  padded,
  Peer,
  type Fields,
  type Message,
  type PeerOptions,
  type Share,
  type Wire,
} from './peer.ts';
import { answer, greet, honest, type Behaviour, type Log } from './servers.ts';

export const STORE = '/shoal/store/1.0.0';
export const NOTICE = '/shoal/notice/1.0.0';
export const ADMISSION = '/shoal/admission/1.0.0';
const HOUR = 3600;

export interface OwnShare extends Share {
  /** The owner's secret. */
  readonly seed: Uint8Array;
}

export function inAnHour(): number {
  return Math.floor(Date.now() / 1000) + HOUR;
}

/** A share of random bytes, with an owner who can sign. @param twist changes the share block before the commitment */
export function ownShare(dataBytes: number, twist: (root: Fields) => Fields = root => root): OwnShare {
  const seed = randomBytes(32);
  const owner = ed25519.getPublicKey(seed);
  const manifest = encode({ kind: 'file', name: 'f', entries: [{ path: 'f', size: dataBytes }] });
  const share = makeShare({
    manifest: manifestStream(manifest),
    data: padded(randomBytes(dataBytes)),
    twist: root => twist({ ...root, owner }),
  });
  return { ...share, seed };
}

/** A signed statement. */
export function statement(type: string, { id }: Pick<Share, 'id'>, fields: Fields, seed: Uint8Array): Uint8Array {
  const bare = { type, version: 1, id, ...fields };
  const signature = ed25519.sign(Buffer.concat([Buffer.from(`shoal/1/${type}`), encode(bare)]), seed);
  return encode({ ...bare, signature });
}

export function renewal(share: OwnShare, relay: Uint8Array, until: number, seed = share.seed): Uint8Array {
  return statement('renewal', share, { relay, until }, seed);
}

export function withdrawal(share: OwnShare, seed = share.seed): Uint8Array {
  return statement('withdrawal', share, { at: Math.floor(Date.now() / 1000) }, seed);
}

/** Somebody who asks relays to keep shares, and gives the blocks to whoever knows the ids. */
export class Owner {
  readonly peer: Peer;
  readonly #shares = new Map<string, { readonly share: Share; readonly behaviour: Behaviour }>();
  /** What it was asked for. */
  readonly log: Log = { hellos: 0, asked: [] };
  #hadTurn = Promise.withResolvers<undefined>();

  private constructor(peer: Peer) {
    this.peer = peer;
  }

  static async start(options: PeerOptions = {}): Promise<Owner> {
    const owner = new Owner(await Peer.start(options));
    await owner.peer.serve(async wire => {
      owner.log.hellos++;
      // The relay gets what it was asked to keep last.
      const { share, behaviour } = [...owner.#shares.values()].at(-1)!;
      const hadTurn = (): void => owner.#hadTurn.resolve(undefined);
      try {
        await behaviour({ wire, share, peer: owner.peer, log: owner.log, hadTurn });
      } finally {
        hadTurn();
      }
    });
    return owner;
  }

  /** Resolves when the behaviour given last has had its turn. */
  get hadTurn(): Promise<undefined> {
    return this.#hadTurn.promise;
  }

  /** Asks `relay` to keep a share. What it answers comes over the wire. */
  async ask(relay: string, share: Share, behaviour: Behaviour = honest, until = inAnHour()): Promise<Wire> {
    this.#hadTurn = Promise.withResolvers();
    this.#shares.delete(share.id.toString());
    this.#shares.set(share.id.toString(), { share, behaviour });
    const wire = await this.peer.open(relay, STORE);
    await wire.say({ type: 'ask', until }, share.root);
    return wire;
  }

  /** Has a share kept, or not: the last answer. */
  async keep(relay: string, share: Share, behaviour?: Behaviour, until?: number): Promise<Message | undefined> {
    return await lastOf(await this.ask(relay, share, behaviour, until));
  }

  /** Says one thing with a body, and returns the last answer. */
  async say(relay: string, protocol: string, header: Fields, body?: Uint8Array): Promise<Message | undefined> {
    const wire = await this.peer.open(relay, protocol);
    await wire.say(header, body);
    return await lastOf(wire);
  }

  renew(relay: string, signed: Uint8Array): Promise<Message | undefined> {
    return this.say(relay, STORE, { type: 'renew' }, signed);
  }

  withdraw(relay: string, signed: Uint8Array, block: Uint8Array): Promise<Message | undefined> {
    return this.say(relay, NOTICE, { type: 'withdrawal', statement: signed }, block);
  }

  /** The first thing that who knows the id is told: a hello with what there is, or a refusal. */
  async look(relay: string, { id }: Pick<Share, 'id'>): Promise<{ wire: Wire; first: Message | undefined }> {
    const wire = await this.peer.open(relay);
    await wire.say(helloTo(wire, id, this.peer.node.peerId));
    return { wire, first: await wire.next() };
  }

  /** Gets a chunk of the data; undefined where it is not given. */
  async chunk(relay: string, share: Share, index = 0): Promise<Uint8Array | undefined> {
    const { wire, first } = await this.look(relay, share);
    if (first?.header['type'] !== 'hello') return undefined;
    await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [index, 1] });
    const block = await wire.next();
    await wire.say({ type: 'bye' });
    await wire.close();
    return block?.header['type'] === 'block' ? block.body : undefined;
  }

  stop(): Promise<void> {
    return this.peer.stop();
  }
}

/** What a wire says last before it ends. */
export async function lastOf(wire: Wire): Promise<Message | undefined> {
  let last: Message | undefined;
  for (let next = await wire.next(); next !== undefined; next = await wire.next()) last = next;
  await wire.close();
  return last;
}

/** Gives all but the last chunk of the data; of that the half, and then breaks off `what`, without a word. */
export function vanishingAtTheLast(what: 'connection' | 'stream'): Behaviour {
  return async talk => {
    const { wire, share, peer } = talk;
    await greet(talk, { credit: 4 * 2 ** 20 });
    await answer(talk, async (wanted, chunk) => {
      const whole = frame({ type: 'block', ...wanted }, chunk);
      const isLast = wanted.stream === 'data' && wanted.index === share.chunks.data.length - 1;
      await wire.send(isLast ? whole.subarray(0, whole.length / 2) : whole);
      if (!isLast) return;
      if (what === 'connection') peer.hangUp(wire.remote);
      else wire.stream.abort(new Error('gone'));
    });
  };
}
