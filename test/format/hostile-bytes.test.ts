/** Bytes and text that nobody made on purpose, or that somebody made with a purpose: each decoder ends in a value or a ShoalError, soon and in little memory. */
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { ShoalError } from '../../src/errors.ts';
import { readCar } from '../../src/format/car.ts';
import { decode, encode, peekHeader } from '../../src/format/canonical.ts';
import { decodeGrant, encodeGrant } from '../../src/format/grant.ts';
import { openGrant } from '../../src/format/grant-seal.ts';
import { blockCid, chunkCid, idOf, sha256 } from '../../src/format/ids.ts';
import { parseHint } from '../../src/format/hint.ts';
import { parseLink } from '../../src/format/link.ts';
import { decodeManifest, encodeManifest } from '../../src/format/manifest.ts';
import { pad } from '../../src/format/pieces.ts';
import {
  decodeIndex,
  decodeShareBlock,
  encodeShareBlock,
  ownerOf,
  type ShareBlock,
} from '../../src/format/share-block.ts';
import { decodeStatement, encodeStatement, signStatement, verifyOwnerStatement } from '../../src/format/statement.ts';
import { PIECE_BYTES } from '../../src/limits.ts';

const MiB = 2 ** 20;
const VECTORS = new URL('../vectors/', import.meta.url);
const SEED = new Uint8Array(32).fill(3);
const DIGEST = sha256(Uint8Array.of(1));
const ID = idOf(DIGEST);
const text = new TextEncoder();

const SHARE: ShareBlock = {
  owner: ownerOf(SEED),
  commitment: new Uint8Array(32),
  manifest: { size: 4096, chunks: DIGEST },
  data: { size: PIECE_BYTES + 1, chunks: Uint8Array.of(...DIGEST, ...sha256(DIGEST)) },
  expires: 3600,
};
const INDEX = encode([chunkCid(DIGEST), chunkCid(sha256(DIGEST))]);
const MANIFEST = encodeManifest({
  kind: 'folder',
  name: 'things',
  note: 'a note',
  entries: [
    { path: 'a', size: 3, executable: true, modified: -5 },
    { path: 'b', size: 0, directory: true },
  ],
});
const GRANT = { share: ID, owner: ownerOf(SEED), sealed: new Uint8Array(200), expires: 3600 };
const WITHDRAWAL = signStatement({ type: 'withdrawal', id: ID, at: 5 }, SEED);
const RECEIPT = signStatement({ type: 'receipt', id: ID, size: 1, at: 2, until: 3, relay: new Uint8Array(38) }, SEED);
const APPEAL = signStatement({ type: 'appeal', id: ID, relay: new Uint8Array(38), case: 'c', text: 't', at: 1 }, SEED);

const grantCar = await readFile(new URL('grant.car', VECTORS));
const helloCar = await readFile(new URL('hello.car', VECTORS));
const AGE = await ageFileOf(grantCar);

async function ageFileOf(car: Uint8Array): Promise<Uint8Array> {
  for await (const { bytes } of (await readCar([car])).blocks) {
    if (peekHeader(bytes).type === 'grant') return decodeGrant(bytes).sealed;
  }
  throw new Error('the file holds no grant');
}

async function drain(car: Uint8Array): Promise<void> {
  for await (const { digest, bytes } of (await readCar([car])).blocks) expect(sha256(bytes)).to.deep.equal(digest);
}

interface Decoder {
  readonly name: string;
  /** An input that it accepts. */
  readonly good: Uint8Array;
  readonly run: (bytes: Uint8Array) => unknown;
}

const block: ShareBlock = { ...SHARE, data: { size: 3, chunks: DIGEST } };

const DECODERS: readonly Decoder[] = [
  { name: 'canonical', good: INDEX, run: bytes => decode(bytes, 'test') },
  { name: 'share block', good: encodeShareBlock(SHARE), run: bytes => decodeShareBlock(bytes) },
  { name: 'index block', good: INDEX, run: bytes => decodeIndex(bytes, 2 * PIECE_BYTES, 0) },
  {
    name: 'manifest',
    good: MANIFEST,
    // The sizes are what the share block says of the very bytes, so that the check of the sizes does not hide the rest.
    run: bytes => decodeManifest(bytes, { ...block, manifest: { size: bytes.length, chunks: DIGEST } }),
  },
  { name: 'grant', good: encodeGrant(GRANT).bytes, run: bytes => decodeGrant(bytes) },
  { name: 'withdrawal', good: encodeStatement(WITHDRAWAL), run: bytes => decodeStatement(bytes, 'withdrawal') },
  { name: 'receipt', good: encodeStatement(RECEIPT), run: bytes => decodeStatement(bytes, 'receipt') },
  { name: 'appeal', good: encodeStatement(APPEAL), run: bytes => decodeStatement(bytes, 'appeal') },
  { name: 'CAR file', good: grantCar.subarray(0, 600), run: drain },
  { name: 'header', good: encodeShareBlock(SHARE), run: bytes => peekHeader(bytes) },
];

/** Runs a decoder; what it throws must be a ShoalError of a kind that broken input has. */
async function survive(run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
    expect(error.code).to.be.oneOf(['malformed', 'unsupported', 'corrupt', 'bad-link', 'wrong-key']);
  }
}

/** `good` with some bytes changed, cut out or put in: most of it still makes sense. */
function mutated(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const at = fc.nat({ max: good.length - 1 });
  const change = fc.record({
    at,
    remove: fc.nat({ max: 4 }),
    put: fc.oneof(fc.uint8Array({ maxLength: 9 }), fc.constantFrom(...SPLICES)),
  });
  return fc.array(change, { minLength: 1, maxLength: 4 }).map(changes => {
    let bytes = good;
    for (const { at: start, remove, put } of changes) {
      bytes = Uint8Array.of(...bytes.subarray(0, start), ...put, ...bytes.subarray(start + remove));
    }
    return bytes;
  });
}

/** Heads of CBOR items that claim much, and items that dag-cbor does not have. */
const CLAIMS = [0x9b, 0xbb, 0x5b, 0x7b].map(head => Uint8Array.of(head, 0, 0, 1, 0, 0, 0, 0, 0));
const SPLICES = [
  ...CLAIMS,
  Uint8Array.of(0x9f),
  Uint8Array.of(0xbf),
  Uint8Array.of(0xf7),
  Uint8Array.of(0xf9, 0, 0),
  Uint8Array.of(0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0),
  Uint8Array.of(0xc0),
  Uint8Array.of(0xd8, 42, 0x40),
  text.encode('\u{1f41f}'),
  Uint8Array.of(0xed, 0xa0, 0x80),
];

describe('hostile bytes', () => {
  for (const { name, good, run } of DECODERS) {
    it(`${name}: anything at all ends in a value or a ShoalError`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), bytes => survive(() => run(bytes))),
        {
          numRuns: 300,
        },
      );
    });

    it(`${name}: what is nearly right does too`, async () => {
      await fc.assert(
        fc.asyncProperty(mutated(good), bytes => survive(() => run(bytes))),
        { numRuns: 500 },
      );
    });

    it(`${name}: every beginning of something right does too, and the whole is right`, async () => {
      for (let length = 0; length < Math.min(good.length, 600); length++)
        await survive(() => run(good.subarray(0, length)));
      if (name !== 'CAR file') await run(good);
    });
  }

  it('a CAR file of a share that is mutated yields nothing that does not match', async () => {
    await fc.assert(
      fc.asyncProperty(mutated(helloCar), bytes => survive(() => drain(bytes))),
      { numRuns: 60 },
    );
  });

  it('an age file that is mutated opens to nothing but the key', async () => {
    const identities = (await readFile(new URL('identity.txt', VECTORS), 'utf8'))
      .split('\n')
      .filter(line => line.startsWith('AGE'));
    await fc.assert(
      fc.asyncProperty(mutated(AGE), sealed => survive(() => openGrant({ ...GRANT, sealed }, { identities }))),
      { numRuns: 100 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), sealed => survive(() => openGrant({ ...GRANT, sealed }, {}))),
      { numRuns: 100 },
    );
  });

  it('a statement is never verified by a block that is not one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), bytes =>
        survive(() => {
          expect(verifyOwnerStatement({ ...WITHDRAWAL, id: idOf(sha256(bytes)) }, bytes)).to.equal(false);
        }),
      ),
    );
  });

  it('links and hints of any text end in a value or a ShoalError', async () => {
    const link = `shoal:${ID}.${'A'.repeat(43)}@/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWLQ1adSwoj3uusiCfr4gDm7xya9Z6AnKRYD2oi7Ybx4QM,r.example:1`;
    const near = fc
      .tuple(fc.nat({ max: link.length }), fc.nat({ max: 3 }), fc.string({ unit: 'binary', maxLength: 3 }))
      .map(([at, remove, put]) => link.slice(0, at) + put + link.slice(at + remove));
    await fc.assert(
      fc.asyncProperty(fc.oneof(near, fc.string({ unit: 'binary' }), fc.webUrl()), async pasted => {
        await survive(() => parseLink(pasted));
        await survive(() => parseHint(pasted));
      }),
      { numRuns: 400 },
    );
  });
});

/** Memory that `run` leaves in use at its end, without a collection in between; heap and buffers, in bytes. */
async function grownBy(run: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage();
  await run();
  const after = process.memoryUsage();
  return after.heapUsed - before.heapUsed + (after.external - before.external);
}

describe('bytes that claim more than they hold', () => {
  for (const { name, run } of DECODERS.filter(({ name }) => name !== 'CAR file' && name !== 'manifest')) {
    it(`${name}: nine bytes that claim 2^40 items cost nothing`, async () => {
      const grown = await grownBy(async () => {
        for (let i = 0; i < 100; i++) for (const claim of CLAIMS) await survive(() => run(claim));
      });
      expect(grown).to.be.below(16 * MiB);
    });
  }

  it('a manifest that claims more entries, or more text, than it holds costs nothing', async () => {
    const inside = [...CLAIMS, ...CLAIMS.map(claim => Uint8Array.of(0xa3, 0x64, ...text.encode('kind'), ...claim))];
    const grown = await grownBy(async () => {
      for (const cbor of inside) {
        const stream = new Uint8Array(pad(4 + cbor.length));
        stream.set([0, 0, 0, cbor.length]);
        stream.set(cbor, 4);
        let error: unknown;
        try {
          decodeManifest(stream, block);
        } catch (caught) {
          error = caught;
        }
        expect(error).to.have.property('code', 'malformed');
      }
    });
    expect(grown).to.be.below(8 * MiB);
  });

  it('a manifest whose length goes beyond its stream is refused', () => {
    for (const length of [4093, 2 ** 26, 2 ** 32 - 1]) {
      const stream = new Uint8Array(4096);
      new DataView(stream.buffer).setUint32(0, length);
      expect(() => decodeManifest(stream, block)).to.throw(ShoalError, /goes beyond its stream/);
    }
  });

  it('a block that is all nesting is refused without an overflow of the stack', async () => {
    const deep = [0x81, 0xa1, 0xc0, 0xd8].map(head => new Uint8Array(MiB).fill(head));
    for (const bytes of deep) for (const { run } of DECODERS) await survive(() => run(bytes));
  });

  it('a share block that claims chunks without listing them is refused', () => {
    const claims = [2 ** 40, 2 ** 50, Number.MAX_SAFE_INTEGER];
    for (const size of claims) {
      const bytes = encodeShareBlock({ ...SHARE, data: { size, index: DIGEST } });
      expect(() => decodeShareBlock(bytes)).to.throw(ShoalError, /instead of/);
    }
    const tooLarge = encode({
      type: 'share',
      version: 1,
      commitment: SHARE.commitment,
      owner: SHARE.owner,
      manifest: { size: pad(4 + 2 ** 26) + PIECE_BYTES, chunks: Array.from({ length: 66 }, () => chunkCid(DIGEST)) },
      data: { size: 0, chunks: [] },
    });
    expect(() => decodeShareBlock(tooLarge)).to.throw(ShoalError);
    expect(() => decodeShareBlock(encode({ x: blockCid(DIGEST) }))).to.throw(ShoalError, /its type is not "share"/);
  });
});
