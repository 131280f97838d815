import { CarReader, CarWriter } from '@ipld/car';
import { expect } from 'chai';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { carBlock, carHeader, readCar, type CarBlock } from '../../src/format/car.ts';
import { encode } from '../../src/format/canonical.ts';
import {
  DAG_CBOR_CODEC,
  RAW_CODEC,
  blockCid,
  chunkCid,
  cidBytes,
  idOf,
  sha256,
  type BlockId,
  type Codec,
} from '../../src/format/ids.ts';
import { MAX_BLOCK_BYTES, MAX_CAR_HEADER_BYTES } from '../../src/limits.ts';
import { failureOf } from './failure.ts';

const ROOT = idOf(sha256(Uint8Array.of(1)));
const ROOT_CID = blockCid(sha256(Uint8Array.of(1)));

const block = (bytes: Uint8Array, codec: Codec = RAW_CODEC): CarBlock => ({ codec, digest: sha256(bytes), bytes });

const anyBlocks = fc.array(
  fc
    .tuple(fc.uint8Array({ maxLength: 300 }), fc.constantFrom<Codec>(RAW_CODEC, DAG_CBOR_CODEC))
    .map(([bytes, codec]) => block(bytes, codec)),
  { maxLength: 8 },
);

function carOf(root: BlockId, blocks: readonly CarBlock[]): Uint8Array {
  return Buffer.concat([
    carHeader(root),
    ...blocks.flatMap(({ codec, digest, bytes }) => carBlock(codec, digest, bytes)),
  ]);
}

async function read(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<[BlockId, CarBlock[]]> {
  const { root, blocks } = await readCar(source);
  const all: CarBlock[] = [];
  for await (const one of blocks) all.push(one);
  return [root, all];
}

const readAll = (bytes: Uint8Array): Promise<[BlockId, CarBlock[]]> => read([bytes]);
const codeOf = async (bytes: Uint8Array): Promise<string> => (await failureOf(() => readAll(bytes))).code;

/** `length` in front of `bytes`, as CAR has it. */
function section(bytes: Uint8Array, length: readonly number[] = leb128(bytes.length)): Uint8Array {
  return Buffer.concat([Uint8Array.from(length), bytes]);
}

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...leb128(Math.floor(value / 128))];
}

/** A source that counts what is taken from it and notices when it is let go of. */
function watched(parts: readonly Uint8Array[]): { source: AsyncIterable<Uint8Array>; taken: number; closed: boolean } {
  const watch = { taken: 0, closed: false, source: generate() };
  async function* generate(): AsyncGenerator<Uint8Array> {
    try {
      for (const part of parts) {
        watch.taken++;
        yield part;
      }
    } finally {
      watch.closed = true;
    }
  }
  return watch;
}

describe('CAR files', () => {
  it('read back as they were written, however the bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(anyBlocks, fc.integer({ min: 1, max: 400 }), async (blocks, size) => {
        const car = carOf(ROOT, blocks);
        const parts = Array.from({ length: Math.ceil(car.length / size) }, (_, i) =>
          car.subarray(i * size, (i + 1) * size),
        );
        expect(await read(parts)).to.deep.equal([ROOT, blocks]);
      }),
      { numRuns: 50 },
    );
  });

  it('can be read by @ipld/car', async () => {
    await fc.assert(
      fc.asyncProperty(anyBlocks, async blocks => {
        const reader = await CarReader.fromBytes(carOf(ROOT, blocks));
        expect((await reader.getRoots()).map(String)).to.deep.equal([ROOT]);
        const theirs: { cid: CID; bytes: Uint8Array }[] = [];
        for await (const one of reader.blocks()) theirs.push(one);
        expect(theirs.map(({ cid }) => cid.toString())).to.deep.equal(
          blocks.map(({ codec, digest }) => String(codec === RAW_CODEC ? chunkCid(digest) : blockCid(digest))),
        );
        expect(theirs.map(({ bytes }) => Buffer.from(bytes))).to.deep.equal(
          blocks.map(({ bytes }) => Buffer.from(bytes)),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('by @ipld/car are read', async () => {
    await fc.assert(
      fc.asyncProperty(anyBlocks, async blocks => {
        const { writer, out } = CarWriter.create([ROOT_CID]);
        const write = async (): Promise<void> => {
          for (const { codec, digest, bytes } of blocks) {
            await writer.put({ cid: codec === RAW_CODEC ? chunkCid(digest) : blockCid(digest), bytes });
          }
          await writer.close();
        };
        const [, found] = await Promise.all([write(), read(out)]);
        expect(found).to.deep.equal([ROOT, blocks]);
      }),
      { numRuns: 50 },
    );
  });

  it('are read one block at a time', async () => {
    const blocks = [block(Uint8Array.of(1)), block(Uint8Array.of(2)), block(Uint8Array.of(3))];
    const parts = blocks.map(({ codec, digest, bytes }) => Buffer.concat(carBlock(codec, digest, bytes)));
    const watch = watched([carHeader(ROOT), ...parts]);
    const car = await readCar(watch.source);
    expect(watch.taken).to.equal(1);
    await car.blocks.next();
    expect(watch.taken).to.equal(2);
  });

  it('let go of their source at the end, at an error, and when the reader stops', async () => {
    const parts = [carHeader(ROOT), ...carBlock(RAW_CODEC, sha256(Uint8Array.of(1)), Uint8Array.of(1))];
    const whole = watched(parts);
    await read(whole.source);
    expect(whole.closed).to.equal(true);

    const broken = watched([...parts, Uint8Array.of(5, 5)]);
    await failureOf(() => read(broken.source));
    expect(broken.closed).to.equal(true);

    const headless = watched([Uint8Array.of(1, 0xff), Uint8Array.of(1)]);
    await failureOf(() => read(headless.source));
    expect(headless.closed).to.equal(true);

    const left = watched([...parts, ...parts.slice(1)]);
    const { blocks } = await readCar(left.source);
    await blocks.next();
    await blocks.return();
    expect(left.closed).to.equal(true);
  });

  it('pass on what their source throws', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield carHeader(ROOT);
      throw new RangeError('the disk is gone');
    }
    let error: unknown;
    await read(failing()).catch((caught: unknown) => (error = caught));
    expect(error).to.be.an.instanceOf(RangeError);
  });

  it('are hashed by whom the reader likes', async () => {
    const hashed: Uint8Array[] = [];
    const { blocks } = await readCar([carOf(ROOT, [block(Uint8Array.of(9))])], async bytes => {
      hashed.push(bytes);
      return sha256(bytes);
    });
    for await (const one of blocks) expect(hashed).to.deep.equal([one.bytes]);
    expect(hashed).to.have.lengthOf(1);
  });

  it('are refused where they are cut, and the message says after how many bytes', async () => {
    const car = carOf(ROOT, [block(Uint8Array.of(1, 2, 3)), block(new Uint8Array(200))]);
    const ends = new Set([carHeader(ROOT).length, carOf(ROOT, [block(Uint8Array.of(1, 2, 3))]).length]);
    for (let length = 0; length < car.length; length++) {
      if (ends.has(length)) continue;
      const failure = await failureOf(() => readAll(car.subarray(0, length)));
      expect(failure.code, `cut after ${length}`).to.equal('corrupt');
      expect(failure.message).to.match(length === 0 ? /empty/ : new RegExp(`after ${length} bytes`));
    }
  });

  it('never yield other bytes for a CID than those it stands for, whichever bit is flipped', async () => {
    const good = [block(Uint8Array.of(1, 2, 3)), block(Uint8Array.of(4, 5))];
    const car = carOf(ROOT, good);
    const seen = new Set<string>();
    for (let bit = 0; bit < car.length * 8; bit++) {
      const flipped = Uint8Array.from(car);
      flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7));
      try {
        const [root, blocks] = await readAll(flipped);
        // The codec and the root's digest are all that nothing in the file tells against.
        for (const { digest, bytes } of blocks) expect(sha256(bytes)).to.deep.equal(digest);
        expect(root !== ROOT || blocks.some(({ codec }) => codec !== RAW_CODEC), `bit ${bit}`).to.equal(true);
      } catch (error) {
        seen.add((error as { code?: string }).code ?? String(error));
      }
    }
    expect([...seen].sort()).to.deep.equal(['corrupt', 'malformed', 'unsupported']);
  });

  it('say at which byte a block does not match', async () => {
    const first = carOf(ROOT, [block(Uint8Array.of(1))]);
    const car = Buffer.concat([first, ...carBlock(RAW_CODEC, sha256(Uint8Array.of(2)), Uint8Array.of(3))]);
    const failure = await failureOf(() => readAll(car));
    expect(failure.code).to.equal('corrupt');
    expect(failure.message).to.include(`at byte ${first.length} `);
  });

  it('may hold a block of the full size, and none that is larger', async () => {
    const largest = block(new Uint8Array(MAX_BLOCK_BYTES));
    expect((await readAll(carOf(ROOT, [largest])))[1]).to.have.lengthOf(1);
    const larger = block(new Uint8Array(MAX_BLOCK_BYTES + 1));
    expect(await codeOf(carOf(ROOT, [larger]))).to.equal('malformed');
  });

  it('have one root, of a kind that a share or grant can have', async () => {
    const header = (value: unknown): Uint8Array => section(encode(value));
    expect(await readAll(header({ version: 1, roots: [ROOT_CID] }))).to.deep.equal([ROOT, []]);
    const refused = [
      { version: 1, roots: [] },
      { version: 1, roots: [ROOT_CID, ROOT_CID] },
      { version: 1, roots: [chunkCid(sha256(Uint8Array.of(1)))] },
      { version: 1, roots: [CID.parse('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG')] },
      { version: 1, roots: [1] },
      { version: 1, roots: ROOT },
      { version: 1 },
      { version: 1, roots: [ROOT_CID], more: true },
      { roots: [ROOT_CID] },
      { version: '1', roots: [ROOT_CID] },
      [],
    ];
    for (const value of refused) expect(await codeOf(header(value)), JSON.stringify(value)).to.equal('malformed');
  });

  it('of another version are named as such', async () => {
    expect(await codeOf(section(encode({ version: 2 })))).to.equal('unsupported');
    expect(await codeOf(section(encode({ version: 3, roots: [ROOT_CID] })))).to.equal('unsupported');
  });

  it('have lengths in their shortest form, and within the limits, before anything more is read', async () => {
    const one = Buffer.concat([cidBytes(RAW_CODEC, sha256(Uint8Array.of(1))), Uint8Array.of(1)]);
    const after = (...more: Uint8Array[]): Uint8Array => Buffer.concat([carHeader(ROOT), ...more]);
    expect((await readAll(after(section(one))))[1]).to.have.lengthOf(1);
    expect(await codeOf(after(section(one, [37 + 128, 0])))).to.equal('malformed');
    expect(await codeOf(after(section(one, [37 + 128, 128, 128, 128, 0])))).to.equal('malformed');
    expect(await codeOf(after(section(new Uint8Array(), [0])))).to.equal('malformed');
    expect(await codeOf(after(section(one.subarray(0, 35))))).to.equal('malformed');

    const huge = [leb128(MAX_BLOCK_BYTES + 37), leb128(2 ** 40), leb128(2 ** 53 - 1), Array<number>(100).fill(255)];
    for (const length of huge) {
      const watch = watched([after(Uint8Array.from(length)), new Uint8Array(1)]);
      expect((await failureOf(() => read(watch.source))).code).to.equal('malformed');
      expect(watch.taken).to.equal(1);
    }
    expect(await codeOf(Uint8Array.from(leb128(MAX_CAR_HEADER_BYTES + 1)))).to.equal('malformed');
    expect(await codeOf(Uint8Array.from(Array<number>(100).fill(128)))).to.equal('malformed');
  });

  it('refuse blocks under any other kind of CID', async () => {
    const digest = sha256(Uint8Array.of(1));
    const good = cidBytes(RAW_CODEC, digest);
    const kinds: [string, Uint8Array][] = [
      ['CIDv0', Buffer.concat([Uint8Array.of(0x12, 0x20), digest])],
      ['dag-pb', Uint8Array.from(good, (byte, i) => (i === 1 ? 0x70 : byte))],
      ['sha3-256', Uint8Array.from(good, (byte, i) => (i === 2 ? 0x16 : byte))],
      ['a digest cut to 31 bytes', Uint8Array.from(good, (byte, i) => (i === 3 ? 31 : byte))],
      ['identity', Uint8Array.of(1, 0x55, 0, 1, 1)],
      ['version 2', Uint8Array.from(good, (byte, i) => (i === 0 ? 2 : byte))],
    ];
    for (const [name, cid] of kinds) {
      const car = Buffer.concat([carHeader(ROOT), section(Buffer.concat([cid, Uint8Array.of(1)]))]);
      expect(await codeOf(car), name).to.equal('malformed');
    }
  });
});
