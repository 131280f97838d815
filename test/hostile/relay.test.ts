import { decode, encode } from '@ipld/dag-cbor';
import { peerIdFromString } from '@libp2p/peer-id';
import { ed25519 } from '@noble/curves/ed25519.js';
import { expect } from 'chai';
import { CID } from 'multiformats/cid';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  inAnHour,
  NOTICE,
  Owner,
  ownShare,
  renewal,
  STORE,
  vanishingAtTheLast,
  withdrawal,
  type OwnShare,
} from './owners.ts';
import { dagCid, listedIn, PIECE, rawCid, rawFrame, sha256, type Fields, type Message, type Share } from './peer.ts';
import { Relay } from './relays.ts';
import { answer, BREAKERS, greet, honest, LIARS, silent, type Behaviour } from './servers.ts';

const MiB = 2 ** 20;
const DAY = 86_400;
/** format.md §5. */
const CHUNKS_PER_INDEX = 16_384;
/** So many fit into a share block. */
const INDEX_BLOCKS = 24_000;
const VANISHINGS = 1000;
/** Those between lose their streams only, which costs less time here. */
const ROUNDS_OF_A_CONNECTION = 10;
const UPLOADS = 6;
/** Enough to vanish often, and as few uploads at once and leases of one prefix as there are by default. */
const GENEROUS = `
[limits]
connections_per_second = 10000
[limits.prefix]
connections_per_second = 10000
connections = 1000
uploads = ${UPLOADS}
[limits.peer]
connections_per_second = 10000
uploads = ${UPLOADS}
`;
/** Points of small order, as public keys (RFC 8032 has eight, of which these have canonical encodings). */
const SMALL_ORDER = [
  `01${'00'.repeat(31)}`,
  '00'.repeat(32),
  `ecff${'ff'.repeat(29)}7f`,
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
];

describe('A relay, among hostile owners,', () => {
  const owners: Owner[] = [];
  let folder = '';
  let relay: Relay;
  let good: OwnShare;
  let prefixes = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-hostile-'));
    relay = await Relay.start({ home: join(folder, 'relay'), more: GENEROUS });
    good = ownShare(2 * MiB + 100);
    expect(typeOf(await (await newOwner()).keep(relay.hint, good))).to.equal('receipt');
  });
  afterEach(async () => {
    await Promise.all(owners.splice(0).map(owner => owner.stop()));
    // Nothing that a test did has ended it, and it has forgotten no upload.
    expect(relay.isRunning, relay.stderr).to.equal(true);
    await relay.stands(({ uploads }) => uploads === 0);
  });
  after(async () => {
    const { code, stderr } = await relay.stop();
    await rm(folder, { recursive: true });
    expect(code, stderr).to.equal(0);
    expect(linesOf(stderr).filter(({ level }) => level !== 'info')).to.deep.equal([]);
  });

  /** From an address prefix of its own. */
  const newOwner = async (): Promise<Owner> => {
    const owner = await Owner.start({ from: `127.1.${++prefixes}.1` });
    owners.push(owner);
    return owner;
  };

  /** Somebody else is given what an honest owner has had kept. */
  const expectServed = async (): Promise<void> => {
    const asker = await newOwner();
    expect(await asker.chunk(relay.hint, good, 1)).to.deep.equal(good.chunks.data[1]);
  };

  /** Nobody is given anything of it, and the files that there are hold bytes that it lists. */
  const expectNotKept = async (share: Share, name: string): Promise<void> => {
    const asker = await newOwner();
    expect((await asker.look(relay.hint, share)).first?.header, name).to.deep.equal({
      type: 'refuse',
      reason: 'unknown',
    });
    const listed = [...listedIn(share.root, 'manifest'), ...listedIn(share.root, 'data')];
    for (const path of await relay.blocks(share.id.toString())) {
      if (path.endsWith('share')) continue;
      expect(listed, `${name}: ${path}`).to.include(Buffer.from(sha256(await readFile(path))).toString('hex'));
    }
  };

  const attacks: readonly (readonly [what: string, behaviours: Readonly<Record<string, Behaviour>>])[] = [
    ['are wrong, short or long', LIARS],
    [
      'were not asked for, are not listed or break the protocol',
      Object.fromEntries(
        [
          'a block that was not asked for',
          'a block of the stream that is not at hand',
          'an index of 2^53 - 1',
          'a negative index',
          'a body of 2^32 - 1 bytes',
          'random bytes after the hello',
          'a flood of blocks that nobody asked for',
          "another share's block",
          'no share block',
          'have of 2^53',
          'a second hello',
        ].map(name => [name, BREAKERS[name]!]),
      ),
    ],
  ];
  for (const [what, behaviours] of attacks) {
    it(`keeps no share whose owner sends blocks that ${what}, says so soon, and serves others meanwhile`, async () => {
      await Promise.all(
        Object.entries(behaviours)
          .map(async ([name, behaviour]) => {
            const share = ownShare(3 * MiB);
            const owner = await newOwner();
            const began = performance.now();
            const last = await owner.keep(relay.hint, share, behaviour);
            expect(last?.header, name).to.include({ type: 'refuse', reason: 'incomplete' });
            expect(performance.now() - began, `${name}: ms`).to.be.lessThan(20_000);
            await expectNotKept(share, name);
          })
          .concat(expectServed()),
      );
    }).timeout(60_000);
  }

  it('keeps nothing more of itself, and no place taken, for a thousand who begin an upload and vanish half-way', async () => {
    const vanishers = await Promise.all(Array.from({ length: 4 }, newOwner));
    const shares = vanishers.map(() => [ownShare(MiB + 5000), ownShare(MiB + 5000)]);
    // Each with its share block, the chunk of its manifest, and all of its data but the last chunk.
    const mostFiles = shares
      .flat()
      .reduce((sum, share) => sum + 1 + share.chunks.data.length, (await relay.blocks()).length);
    const stand = async (): Promise<{ memory: number; descriptors: number; files: number; leases: number }> => {
      for (const owner of vanishers) owner.peer.hangUpAll();
      const { leases } = await relay.stands(({ uploads, connections }) => uploads === 0 && connections === 0);
      const [memory, descriptors, files] = [relay.memoryMiB(), relay.descriptors(), relay.blocks()];
      return { memory: await memory, descriptors: await descriptors, files: (await files).length, leases };
    };
    const vanish = async (times: number): Promise<void> => {
      await Promise.all(
        vanishers.map(async (owner, n) => {
          for (let round = 0; round < times / vanishers.length; round++) {
            const share = shares[n]![round % 2]!;
            const what = round % ROUNDS_OF_A_CONNECTION === 0 ? 'connection' : 'stream';
            const wire = await owner.ask(relay.hint, share, vanishingAtTheLast(what));
            const first = await wire.next();
            // It may not have seen yet that who asked has gone.
            expect(reasonOf(first) ?? typeOf(first)).to.be.oneOf(['accept', 'busy']);
            if (typeOf(first) === 'accept') await owner.hadTurn;
            else round--;
            wire.stream.abort(new Error('gone'));
          }
        }),
      );
    };
    await Promise.all(owners.filter(owner => !vanishers.includes(owner)).map(owner => owner.stop()));
    await vanish(VANISHINGS / 5);
    const before = await stand();
    await vanish(VANISHINGS);
    const after = await stand();
    expect(after.memory - before.memory, 'MiB more').to.be.lessThan(40);
    expect(after.descriptors - before.descriptors, 'descriptors more').to.be.at.most(2);
    expect(after.files).to.be.at.most(mostFiles);
    expect(after.leases).to.equal(before.leases);
    await expectNotKept(shares[0]![0]!, 'after all');

    // All places are free again, and no more than there are.
    const [owner] = vanishers as [Owner];
    const held = await Promise.all(
      Array.from({ length: UPLOADS }, async () => {
        const wire = await owner.ask(relay.hint, ownShare(MiB), silent);
        expect(typeOf(await wire.next())).to.equal('accept');
        return wire;
      }),
    );
    const neighbour = await Owner.start({ from: `127.1.${prefixes - 3}.9` });
    owners.push(neighbour);
    expect(reasonOf(await owner.keep(relay.hint, ownShare(MiB)))).to.equal('over-limit');
    for (const wire of held) wire.stream.abort(new Error('gone'));
    await relay.stands(({ uploads }) => uploads === 0);
    expect(typeOf(await owner.keep(relay.hint, shares[0]![0]!))).to.equal('receipt');
  }).timeout(180_000);

  it('refuses what claims more bytes than there are, and what one may have stored, before a block moves', async () => {
    const owner = await newOwner();
    const honestly = ownShare(MiB);
    const claims: Record<string, [Fields, string]> = {
      '2^52 bytes in one chunk': [{ data: { size: 2 ** 52, chunks: [rawCid(randomBytes(32))] } }, 'invalid'],
      '2^52 bytes in one index block': [{ data: { size: 2 ** 52, index: [blockCid()] } }, 'invalid'],
      '2^53 - 1 bytes': [{ data: { size: 2 ** 53 - 1, index: [] } }, 'invalid'],
      'a manifest of 2^40 bytes': [{ manifest: { size: 2 ** 40, chunks: [] } }, 'invalid'],
    };
    for (const [name, [fields, reason]] of Object.entries(claims)) {
      const share = ownShare(MiB, root => ({ ...root, ...fields }));
      expect(reasonOf(await owner.keep(relay.hint, share)), name).to.equal(reason);
    }
    // As much as a share block can list: it is refused as too much, and keeps nobody else from having room meanwhile.
    const huge = hugeShare();
    const [other, refusals] = [
      await newOwner(),
      await Promise.all(Array.from({ length: UPLOADS }, () => owner.keep(relay.hint, huge))),
    ];
    for (const refusal of refusals) expect(reasonOf(refusal)).to.be.oneOf(['over-limit', 'busy']);
    expect(refusals.map(reasonOf)).to.include('over-limit');
    const [kept] = await Promise.all([
      other.keep(relay.hint, honestly),
      ...Array.from({ length: 50 }, () => owner.keep(relay.hint, huge)),
    ]);
    expect(typeOf(kept)).to.equal('receipt');
    expect(owner.log.hellos, 'nothing was asked for').to.equal(0);
  });

  it('refuses share blocks that are not canonical or have an owner whose signatures anyone can make', async () => {
    const owner = await newOwner();
    const { root, ...rest } = ownShare(MiB);
    const blocks: Record<string, Uint8Array> = {
      'a byte behind it': Buffer.concat([root, Uint8Array.of(0)]),
      'a map of any length': Buffer.concat([Uint8Array.of(0xbf), root.subarray(1), Uint8Array.of(0xff)]),
      'a map longer written than needed': Buffer.concat([Uint8Array.of(0xb8, root[0]! & 0x1f), root.subarray(1)]),
      'an unknown entry': ownShare(MiB, block => ({ ...block, more: 1 })).root,
      'nothing that is CBOR': randomBytes(300),
    };
    for (const key of SMALL_ORDER) {
      blocks[`the owner ${key}`] = ownShare(MiB, block => ({ ...block, owner: Buffer.from(key, 'hex') })).root;
    }
    for (const [name, bytes] of Object.entries(blocks)) {
      const id = CID.createV1(0x71, rawCid(sha256(bytes)).multihash);
      expect(reasonOf(await owner.keep(relay.hint, { ...rest, id, root: bytes })), name).to.equal('invalid');
    }
    expect(owner.log.hellos, 'nothing was asked for').to.equal(0);
  });

  it("gives nobody another share's chunks for a share block that lists them", async () => {
    const thief = await newOwner();
    const listed = decode<Fields>(good.root)['data'];
    const stolen = ownShare(MiB, root => ({ ...root, data: listed }));
    // The thief has not the chunks, and says that it has.
    const claiming: Behaviour = async talk => {
      await greet(talk);
      await answer(talk, async ({ kind, stream, index }, chunk) => {
        if (stream === 'manifest') await talk.wire.say({ type: 'block', kind, stream, index }, chunk);
        else await talk.wire.say({ type: 'lacks', kind, stream, ranges: [index, 1] });
        if (stream === 'data') talk.hadTurn();
      });
    };
    const wire = await thief.ask(relay.hint, stolen, claiming);
    expect(typeOf(await wire.next())).to.equal('accept');
    await thief.hadTurn;
    const asker = await newOwner();
    expect(await asker.chunk(relay.hint, stolen, 1)).to.equal(undefined);
    await expectNotKept(stolen, 'while it is being uploaded');
    wire.stream.abort(new Error('gone'));
    await relay.stands(({ uploads }) => uploads === 0);
    await expectNotKept(stolen, 'afterwards');
    const paths = await relay.blocks(stolen.id.toString());
    expect(paths.filter(path => path.includes('data-'))).to.deep.equal([]);
    // Nor are the chunks gone of the share that they belong to, when the other is withdrawn.
    expect(typeOf(await thief.withdraw(relay.hint, withdrawal(stolen), stolen.root))).to.equal('obeyed');
    await expectServed();
  });

  it("counts an upload that another has begun as one's own, before it goes on with it", async () => {
    const [first, second] = [await newOwner(), await newOwner()];
    const begun = ownShare(MiB);
    const begin = await first.ask(relay.hint, begun, silent);
    expect(typeOf(await begin.next())).to.equal('accept');
    begin.stream.abort(new Error('gone'));
    await relay.stands(({ uploads }) => uploads === 0);
    const most = 64;
    for (let n = 0; n < most; n++) {
      expect(typeOf(await second.keep(relay.hint, ownShare(4096)))).to.equal('receipt');
    }
    for (const share of [ownShare(4096), begun]) {
      expect(reasonOf(await second.keep(relay.hint, share))).to.equal('over-limit');
    }
    expect(typeOf(await first.keep(relay.hint, begun))).to.equal('receipt');
  }).timeout(60_000);

  it('lengthens a lease for its owner alone, who names this relay, and by nothing that was said before', async () => {
    const elsewhere = await Relay.start({ home: join(folder, 'elsewhere') });
    try {
      const owner = await newOwner();
      const share = ownShare(MiB);
      const until = inAnHour();
      const [here, there] = [relay, elsewhere].map(({ hint }) => hint) as [string, string];
      const [selfHere, selfThere] = [bytesOf(relay), bytesOf(elsewhere)];
      const receipts = [
        await owner.keep(here, share, honest, until),
        await owner.keep(there, share, honest, until),
      ] as const;
      expect(receipts.map(typeOf)).to.deep.equal(['receipt', 'receipt']);
      const [ofHere, ofThere] = receipts.map(receipt => receipt!.body) as [Uint8Array, Uint8Array];
      const later = until + DAY;
      const refused: Record<string, [Uint8Array, string]> = {
        "another relay's receipt": [ofThere, 'invalid'],
        'a receipt of its own': [ofHere, 'invalid'],
        'a renewal for another relay': [renewal(share, selfThere, later), 'invalid'],
        'a renewal by somebody else': [renewal(share, selfHere, later, randomBytes(32)), 'invalid'],
        'the signature of another renewal': [grafted(share, selfHere, later), 'invalid'],
        'a withdrawal': [withdrawal(share), 'invalid'],
        'a renewal of what is not kept': [renewal(ownShare(MiB), selfHere, later), 'unknown'],
        'a renewal of another share by its owner': [renewal({ ...good, seed: share.seed }, selfHere, later), 'invalid'],
        'a renewal that is not canonical': [
          Buffer.concat([renewal(share, selfHere, later), Uint8Array.of(0)]),
          'invalid',
        ],
        'a renewal to the end there is': [renewal(share, selfHere, until), 'over-limit'],
      };
      const stranger = await newOwner();
      for (const [name, [bytes, reason]] of Object.entries(refused)) {
        expect(reasonOf(await stranger.renew(here, bytes)), name).to.equal(reason);
      }
      const [early, late] = [renewal(share, selfHere, until + DAY), renewal(share, selfHere, until + 2 * DAY)];
      expect(typeOf(await owner.renew(here, early))).to.equal('receipt');
      expect(typeOf(await owner.renew(here, late))).to.equal('receipt');
      for (const replayed of [early, late]) {
        expect(reasonOf(await stranger.renew(here, replayed))).to.equal('over-limit');
        expect(reasonOf(await stranger.renew(there, replayed))).to.equal('invalid');
      }
      expect(typeOf(await owner.withdraw(here, withdrawal(share), share.root))).to.equal('obeyed');
      expect(reasonOf(await stranger.renew(here, renewal(share, selfHere, until + 3 * DAY)))).to.equal('withdrawn');
    } finally {
      await elsewhere.kill();
    }
  }).timeout(60_000);

  it('obeys the withdrawal of what it keeps, by its owner, and no other', async () => {
    const owner = await newOwner();
    const [share, other] = [ownShare(MiB), ownShare(MiB)];
    for (const each of [share, other]) expect(typeOf(await owner.keep(relay.hint, each))).to.equal('receipt');
    const right = withdrawal(share);
    const forged: Record<string, [Uint8Array, Uint8Array]> = {
      'by somebody else': [withdrawal(share, randomBytes(32)), share.root],
      'for another id, by its owner': [withdrawal({ ...other, seed: share.seed }), other.root],
      'with the block of another': [right, other.root],
      'for one, with the block of the other': [withdrawal({ ...other, seed: share.seed }), share.root],
      'with a signature of zeros': [unsigned(share), share.root],
      'with a block that only the forger made': [withdrawal(share, randomBytes(32)), ownShare(MiB).root],
      'that is a renewal': [renewal(share, bytesOf(relay), inAnHour()), share.root],
      'of nothing that is here': [withdrawal(ownShare(MiB)), share.root],
      'that is noise': [randomBytes(120), share.root],
    };
    const stranger = await newOwner();
    for (const [name, [signed, block]] of Object.entries(forged)) {
      expect(typeOf(await stranger.withdraw(relay.hint, signed, block)), name).to.equal('dropped');
    }
    for (const each of [share, other]) {
      expect(await stranger.chunk(relay.hint, each)).to.deep.equal(each.chunks.data[0]);
    }
    // Whoever passes it on: it is the owner who has said so.
    expect(typeOf(await stranger.withdraw(relay.hint, right, share.root))).to.equal('obeyed');
    expect((await stranger.look(relay.hint, share)).first?.header).to.include({ type: 'refuse', reason: 'withdrawn' });
    expect(await relay.blocks(share.id.toString())).to.deep.equal([]);
    // Said again it does nothing to what is there, and the share does not come back.
    expect(typeOf(await stranger.withdraw(relay.hint, right, share.root))).to.equal('obeyed');
    expect(typeOf(await stranger.withdraw(relay.hint, right, other.root))).to.equal('dropped');
    expect(await stranger.chunk(relay.hint, other)).to.deep.equal(other.chunks.data[0]);
    expect(reasonOf(await owner.keep(relay.hint, share))).to.equal('withdrawn');
  });

  it('keeps few grants of strangers, who fill no disk by withdrawing them, and all places of the owner', async () => {
    const most = 1_000_000;
    const small = await Relay.start({
      home: join(folder, 'small'),
      more: `${GENEROUS}\n[tiers.anonymous]\nstored_bytes = "1 MB"\n`,
    });
    try {
      const [owner, stranger] = [await newOwner(), await newOwner()];
      const share = ownShare(4096);
      expect(typeOf(await owner.keep(small.hint, share))).to.equal('receipt');
      const leave = (who: Owner, { root }: OwnShare): Promise<Message | undefined> =>
        who.say(small.hint, STORE, { type: 'grant' }, root);
      const before = (await small.status()).storedBytes;
      // Each takes its place away again, and leaves a record.
      let left = 0;
      for (; left < 100; left++) {
        const grant = ownGrant(share, 60_000);
        const said = await leave(stranger, grant);
        if (typeOf(said) !== 'stored') {
          expect(reasonOf(said)).to.equal('over-limit');
          break;
        }
        expect(typeOf(await stranger.withdraw(small.hint, withdrawal(grant), grant.root))).to.equal('obeyed');
      }
      expect(left).to.be.within(10, Math.floor(most / 60_000));
      expect((await small.status()).storedBytes).to.be.within(before + left * 60_000, before + most);
      // Those who come from many places have some places together.
      const kept: OwnShare[] = [];
      for (let n = 0; n < 5; n++) {
        const another = await newOwner();
        for (let grants = 0; grants < 5; grants++) {
          const grant = ownGrant(share, 100);
          if (typeOf(await leave(another, grant)) === 'stored') kept.push(grant);
        }
      }
      expect(kept.length).to.equal(16);
      for (let n = 0; n < 64; n++) expect(typeOf(await leave(owner, ownGrant(share, 100)))).to.equal('stored');
      expect(reasonOf(await leave(owner, ownGrant(share, 100)))).to.equal('over-limit');
      expect(typeOf(await leave(stranger, kept[0]!))).to.equal('stored');
      expect(await owner.chunk(small.hint, share)).to.deep.equal(share.chunks.data[0]);
    } finally {
      await small.stop();
    }
  }).timeout(60_000);

  it('cuts off who says to it what is in no protocol', async () => {
    const stranger = await newOwner();
    const nothing = new Uint8Array();
    const said: readonly (readonly [string, Uint8Array])[] = [
      [STORE, randomBytes(4000)],
      [STORE, rawFrame(randomBytes(8), nothing, [2 ** 32 - 1, 2 ** 32 - 1])],
      [STORE, rawFrame(Buffer.alloc(1000, 0x81))],
      [STORE, rawFrame(encode({ type: 'ask', until: -1 }), good.root)],
      [STORE, rawFrame(encode({ type: 'ask', until: 0.5 }), good.root)],
      [STORE, rawFrame(encode({ type: 'ask', until: inAnHour() }))],
      [STORE, rawFrame(encode({ type: 'receipt' }), good.root)],
      [NOTICE, rawFrame(encode({ type: 'withdrawal', statement: 7 }), good.root)],
      [NOTICE, rawFrame(encode({ type: 'withdrawal', statement: nothing }))],
      [NOTICE, randomBytes(4000)],
    ];
    for (const [n, [protocol, bytes]] of said.entries()) {
      const wire = await stranger.peer.open(relay.hint, protocol);
      await wire.send(bytes);
      await wire.over;
      expect(wire.receivedBytes, `${protocol} ${n}`).to.equal(0);
    }
    await expectServed();
  });
});

/** A grant of somebody's own making, as whoever knows the share's id can make it; it opens nothing. */
function ownGrant(share: OwnShare, sealedBytes: number): OwnShare {
  const seed = randomBytes(32);
  const owner = ed25519.getPublicKey(seed);
  const root = encode({ type: 'grant', version: 1, share: share.id, owner, sealed: randomBytes(sealedBytes) });
  return { ...share, seed, root, id: dagCid(root) };
}

function typeOf(message: Message | undefined): unknown {
  return message?.header['type'];
}

function reasonOf(message: Message | undefined): unknown {
  return message?.header['reason'];
}

function linesOf(stderr: string): { level: string }[] {
  const lines = stderr.split('\n').filter(line => line !== '');
  return lines.map(line => JSON.parse(line) as { level: string });
}

/** The binary id of a peer. */
function bytesOf({ hint }: Relay): Uint8Array {
  return peerIdFromString(hint.split('/').at(-1) ?? '').toMultihash().bytes;
}

/** The CID of some index block. */
function blockCid(): CID {
  return CID.createV1(0x71, rawCid(randomBytes(32)).multihash);
}

/** A right share block that lists as much as fits into it. */
function hugeShare(): OwnShare {
  const size = INDEX_BLOCKS * CHUNKS_PER_INDEX * PIECE;
  const index = Array.from({ length: INDEX_BLOCKS }, blockCid);
  return ownShare(4096, root => ({ ...root, data: { size, index } }));
}

/** A renewal with the signature that its owner made under another one. */
function grafted(share: OwnShare, relay: Uint8Array, until: number): Uint8Array {
  const { signature } = decode<Fields>(renewal(share, relay, until - 1));
  return encode({ ...decode<Fields>(renewal(share, relay, until)), signature });
}

function unsigned(share: OwnShare): Uint8Array {
  return encode({ ...decode<Fields>(withdrawal(share)), signature: new Uint8Array(64) });
}
