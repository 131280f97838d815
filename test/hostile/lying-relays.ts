/** Relays that do not do what they sign for, on the independent implementation in peer.ts. */
import { decode, encode } from '@ipld/dag-cbor';
import type { Connection } from '@libp2p/interface';
import { ed25519 } from '@noble/curves/ed25519.js';
import { CID } from 'multiformats/cid';
import * as Digest from 'multiformats/hashes/digest';
import { randomBytes } from 'node:crypto';
import { helloTo, Peer, PROTOCOL, rawFrame, sha256, Wire, type Fields, type Share, type StreamName } from './peer.ts';
import { answer, greet, refusing, type Behaviour, type Talk, type Wanted } from './servers.ts';

const STORE_PROTOCOL = '/shoal/store/1.0.0';

/** What is left with a relay: the share block, and what it has got of the chunks. */
type Left = Omit<Share, 'key'>;
const NOTHING: Left = {
  id: CID.createV1(0x71, Digest.create(0x12, new Uint8Array(32))),
  root: new Uint8Array(),
  chunks: { manifest: [], data: [] },
};

/** A request to keep a share, and how to answer it. */
export interface Asked {
  readonly wire: Wire;
  readonly left: Left;
  /** Gets all chunks from who asks, as an honest relay does. */
  readonly pull: () => Promise<void>;
  /** The receipt that an honest relay would sign, with changes. */
  readonly receipt: (changes?: Fields, seed?: Uint8Array) => Uint8Array;
}

export interface Lie {
  readonly store: (asked: Asked) => Promise<void>;
  /** To who fetches; without it, the share is unknown. */
  readonly serve?: Behaviour;
}

/** A relay in this process. */
export interface LyingRelay {
  /** As it stands behind --relay. */
  readonly address: string;
  readonly id: string;
  stop(): Promise<void>;
}

export async function lyingRelay(lie: Lie): Promise<LyingRelay> {
  const seed = randomBytes(32);
  const peer = await Peer.start({ seed });
  let left: Left | undefined;
  const talkOn = (wire: Wire, { id, root, chunks }: Left = NOTHING): Talk => ({
    ...{ wire, peer, share: { id, root, chunks, key: new Uint8Array() } },
    ...{ log: { hellos: 0, asked: [] }, hadTurn: () => undefined },
  });
  await peer.serve(async (wire, connection) => {
    const request = await wire.next();
    if (request?.header['type'] === 'ask') {
      const asked = askedBy(wire, connection, peer, request.body, Number(request.header['until']), seed);
      left = asked.left;
      await lie.store(asked);
    }
    await wire.close();
  }, STORE_PROTOCOL);
  await peer.serve(async wire => {
    if (left === undefined || lie.serve === undefined) await refusing({ reason: 'unknown' })(talkOn(wire));
    else await lie.serve(talkOn(wire, left));
  });
  return { address: peer.hint, id: peer.node.peerId.toString(), stop: () => peer.stop() };
}

function askedBy(
  wire: Wire,
  connection: Connection,
  peer: Peer,
  root: Uint8Array,
  until: number,
  seed: Uint8Array,
): Asked {
  const id = CID.createV1(0x71, Digest.create(0x12, sha256(root)));
  const lists = decode<Record<StreamName, { size: number; chunks: CID[] }>>(root);
  const chunks: Record<StreamName, Uint8Array[]> = { manifest: [], data: [] };
  const tags = 16 * (lists.manifest.chunks.length + lists.data.chunks.length);
  const honest = {
    type: 'receipt',
    version: 1,
    id,
    size: lists.manifest.size + lists.data.size + tags,
    at: Math.floor(Date.now() / 1000),
    until: Math.min(until, Math.floor(Date.now() / 1000) + 7 * 86_400),
    relay: peer.node.peerId.toMultihash().bytes,
  };
  const pull = async (): Promise<void> => {
    const got = new Wire(await connection.newStream(PROTOCOL), connection.remotePeer);
    await got.say(helloTo(got, id, peer.node.peerId));
    await got.next();
    for (const stream of ['manifest', 'data'] as const)
      for (const index of lists[stream].chunks.keys()) {
        await got.say({ type: 'get', kind: 'chunk', stream, ranges: [index, 1] });
        let message = await got.next();
        while (message !== undefined && message.header['type'] !== 'block') message = await got.next();
        chunks[stream].push(message?.body ?? new Uint8Array());
      }
    await got.close();
  };
  const receipt = (changes: Fields = {}, key = seed): Uint8Array => {
    const statement = { ...honest, ...changes };
    const signed = Buffer.concat([Buffer.from('shoal/1/receipt'), encode(statement)]);
    return encode({ ...statement, signature: ed25519.sign(signed, key) });
  };
  return { wire, left: { id, root, chunks }, pull, receipt };
}

/** Gets all, and signs for it. */
async function keep({ wire, pull, receipt }: Asked): Promise<void> {
  await wire.say({ type: 'accept', until: Math.floor(Date.now() / 1000) + 86_400 });
  await pull();
  await wire.say({ type: 'receipt' }, receipt());
}

function signing(changes: Fields, seed?: Uint8Array): Lie['store'] {
  return async ({ wire, receipt }) => {
    await wire.say({ type: 'receipt' }, receipt(changes, seed));
  };
}

/** Is honest about the manifest; of the data it says what `give` says. */
function serving(
  give: (wanted: Wanted, chunk: Uint8Array) => readonly [Fields, Uint8Array?],
  have?: Fields,
): Behaviour {
  return async talk => {
    await greet(talk, have);
    await answer(talk, (wanted, chunk) =>
      wanted.stream === 'manifest'
        ? talk.wire.say({ type: 'block', ...wanted }, chunk)
        : talk.wire.say(...give(wanted, chunk)),
    );
  };
}

const lacks = ({ kind, stream, index }: Wanted): readonly [Fields] => [
  { type: 'lacks', kind, stream, ranges: [index, 1] },
];

/** Does all as it should. */
export const honestRelay: Lie = {
  store: keep,
  serve: serving((wanted, chunk) => [{ type: 'block', ...wanted }, chunk]),
};

/** Each takes a share of three chunks and can not be relied on; with what a home says of it. */
export const LIES: Readonly<Record<string, Lie & { readonly why: RegExp }>> = {
  'signs and keeps nothing': { store: signing({}), why: /^it does not have the share$/ },
  'keeps a part': {
    store: keep,
    serve: serving(lacks, { have: { manifest: [0, 1], data: [0, 1] } }),
    why: /^it has 1 of 3 chunks, though it has signed for all of them$/,
  },
  'says it has all and lacks a part': {
    store: keep,
    serve: serving((wanted, chunk) => (wanted.index === 1 ? lacks(wanted) : [{ type: 'block', ...wanted }, chunk])),
    why: /^it lacks chunks that it said it has$/,
  },
  'serves rubbish': {
    store: keep,
    serve: serving((wanted, chunk) => [{ type: 'block', ...wanted }, randomBytes(chunk.length)]),
    why: /can not be fetched from it: it sent wrong bytes/,
  },
  'hangs up in the middle of a block': {
    store: keep,
    serve: async talk => {
      await greet(talk);
      await answer(talk, async (wanted, chunk) => {
        if (wanted.stream === 'manifest') return await talk.wire.say({ type: 'block', ...wanted }, chunk);
        await talk.wire.send(rawFrame(encode({ type: 'block', ...wanted }), randomBytes(100), [4, 2 ** 20]));
        talk.wire.stream.abort(new Error('gone'));
        return undefined;
      });
    },
    why: /can not be fetched from it/,
  },
  'hangs up in the middle of the upload': {
    store: async ({ wire }) => {
      await wire.say({ type: 'accept', until: Math.floor(Date.now() / 1000) + 86_400 });
      await wire.say({ type: 'moved', bytes: 1_000_000 });
      wire.stream.abort(new Error('gone'));
    },
    why: /closed|reset|ended/,
  },
  "signs with another's key": { store: signing({}, randomBytes(32)), why: /receipt does not hold/ },
  'signs for less than all': { store: signing({ size: 1 }), why: /receipt does not hold/ },
  'signs for a time that has passed': { store: signing({ until: 1 }), why: /receipt is for a time that has passed/ },
};
