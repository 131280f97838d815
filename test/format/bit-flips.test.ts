/** What a carrier, a disk or a line can do to a share: nothing that ends in wrong plaintext. Every bit of a small share, in turn. */
import { expect } from 'chai';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { isShoalError } from '../../src/errors.ts';
import { checkCommitment } from '../../src/format/commitment.ts';
import { digestAt, digestOf, idOf } from '../../src/format/ids.ts';
import { fileKey, streamKey } from '../../src/format/keys.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../../src/format/manifest.ts';
import { decodeShareBlock, ownerOf, type ShareBlock, type StreamName } from '../../src/format/share-block.ts';
import { formatLink } from '../../src/format/link.ts';
import { hex, makeShare, openChunk, openShare, put, sha256, type Blocks } from './open-share.ts';
import { failureOf } from './failure.ts';

const KEY = fileKey(new Uint8Array(32).fill(7));
const OWNER = ownerOf(new Uint8Array(32).fill(9));
const HELLO = new TextEncoder().encode('hello, shoal\n');

const { id, blocks } = makeShare({ kind: 'file', name: 'hello.txt' }, [{ path: 'hello.txt', bytes: HELLO }], {
  key: KEY,
  owner: OWNER,
  expires: 3600 * 500_000,
});
const root = blockOf(digestOf(id));
const share = decodeShareBlock(root);

function blockOf(digest: Uint8Array): Uint8Array {
  const bytes = blocks.get(hex(digest));
  if (bytes === undefined) throw new Error('the share has no such block');
  return bytes;
}

function chunkOf(stream: StreamName): { digest: Uint8Array; chunk: Uint8Array } {
  const digest = digestAt(share[stream].chunks!, 0);
  return { digest, chunk: blockOf(digest) };
}

/** Each way to flip one bit of `bytes`. What is yielded is the caller's own. */
function* flips(bytes: Uint8Array): Generator<[flipped: Uint8Array, bit: number]> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Uint8Array.from(bytes);
    flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7));
    yield [flipped, bit];
  }
}

async function codesOf(attempts: Iterable<() => unknown>): Promise<string[]> {
  const codes = new Set<string>();
  for (const attempt of attempts) codes.add((await failureOf(attempt)).code);
  return [...codes].sort();
}

/** The share with one block exchanged, under the digest that the old one had. */
function exchanged(digest: Uint8Array, bytes: Uint8Array): Blocks {
  return new Map(blocks).set(hex(digest), bytes);
}

describe('a share of which one bit is flipped', () => {
  const crypto = nodeCrypto();
  const link = formatLink({ id, key: KEY, hints: [] });

  it('opens as long as none is', async () => {
    const { contents } = await openShare(blocks, link);
    expect(contents.map(hex)).to.deep.equal([hex(HELLO)]);
    expect(blocks.size).to.equal(3);
  });

  it('is noticed by the CID of the block, wherever in the share it is', async () => {
    for (const bytes of blocks.values()) {
      const digest = sha256(bytes);
      const attempts = function* (): Generator<() => unknown> {
        for (const [flipped] of flips(bytes)) yield () => crypto.verify(flipped, digest);
      };
      expect(await codesOf(attempts())).to.deep.equal(['mismatch']);
    }
  });

  it('does not open, whichever block it is', async () => {
    for (const bytes of blocks.values()) {
      const digest = sha256(bytes);
      for (const byte of [0, bytes.length >> 1, bytes.length - 1]) {
        const flipped = Uint8Array.from(bytes);
        flipped[byte] = flipped[byte]! ^ 1;
        expect((await failureOf(() => openShare(exchanged(digest, flipped), link))).code).to.equal('mismatch');
      }
    }
  });

  it('in its share block does not open under the id that the block then has', async function () {
    this.timeout(60_000);
    const attempts = function* (): Generator<() => unknown> {
      for (const [flipped] of flips(root)) {
        yield () => {
          checkCommitment(KEY, decodeShareBlock(flipped));
        };
      }
    };
    expect(await codesOf(attempts())).to.deep.equal(['malformed', 'unsupported', 'wrong-key']);

    // The same through the front door, for a flip of each kind.
    const front = [...flips(root)].filter(([, bit]) => bit % 97 === 0);
    for (const [flipped] of front) {
      const other = new Map(blocks);
      const link = formatLink({ id: idOf(put(other, flipped)), key: KEY, hints: [] });
      const failure = await failureOf(() => openShare(other, link));
      expect(failure.code).to.be.oneOf(['malformed', 'unsupported', 'wrong-key']);
    }
  });

  for (const stream of ['manifest', 'data'] as const) {
    it(`in a ${stream} chunk is refused before anything is decrypted`, async () => {
      const { digest, chunk } = chunkOf(stream);
      const attempts = function* (): Generator<() => unknown> {
        for (const [flipped, bit] of flips(chunk)) {
          if (bit % 5 === 0) yield () => crypto.open(streamKey(KEY, stream), 0, flipped, digest);
        }
      };
      expect(await codesOf(attempts())).to.deep.equal(['mismatch']);
    });

    it(`in a ${stream} chunk fails to authenticate even where the share block lists it`, async () => {
      const { chunk } = chunkOf(stream);
      const attempts = function* (): Generator<() => unknown> {
        for (const [flipped, bit] of flips(chunk)) {
          if (bit % 5 === 0) yield () => crypto.open(streamKey(KEY, stream), 0, flipped, sha256(flipped));
        }
      };
      expect(await codesOf(attempts())).to.deep.equal(['corrupt']);
    });
  }

  it('in its key does not open', async () => {
    for (const [flipped] of flips(KEY)) {
      const failure = await failureOf(() => {
        checkCommitment(fileKey(flipped), share);
      });
      expect(failure.code).to.equal('wrong-key');
    }
  });

  // Who has the key can seal any manifest. What holds then: a reader takes it for what it says or refuses it, and no two
  // streams say the same, so that nothing hides beside what is shown.
  it('in its manifest, sealed anew by who has the key, is refused or says exactly what it then holds', () => {
    const stream = openChunk(streamKey(KEY, 'manifest'), 0, chunkOf('manifest').chunk);
    const said = decodeManifest(stream, share);
    let accepted = 0;
    for (const [flipped, bit] of flips(stream)) {
      const manifest = manifestOrError(flipped, share);
      if (manifest === undefined) continue;
      accepted++;
      expect(manifest, `bit ${bit}`).to.not.deep.equal(said);
      expect(hex(encodeManifest(manifest)), `bit ${bit}`).to.equal(hex(flipped));
    }
    // Of a file, name and path are held against each other, and the size against the stream that is padded to 4 KiB.
    expect(accepted).to.be.greaterThan(0);
  });
});

function manifestOrError(stream: Uint8Array, block: ShareBlock): Manifest | undefined {
  try {
    return decodeManifest(stream, block);
  } catch (error) {
    if (!isShoalError(error, 'malformed')) throw error;
    return undefined;
  }
}
