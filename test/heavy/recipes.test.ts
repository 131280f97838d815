/** The shares of test/vectors that are too large to ship: made from what values.json says of them. Each takes seconds. */
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { sealShareBlock } from '../../src/format/commitment.ts';
import { DIGEST_BYTES, type BlockId } from '../../src/format/ids.ts';
import { fileKey, streamKey, type FileKey } from '../../src/format/keys.ts';
import { encodeManifest } from '../../src/format/manifest.ts';
import { chunkCount, pieceLength } from '../../src/format/pieces.ts';
import { listStream } from '../../src/format/share-block.ts';

interface Recipe {
  readonly name: string;
  readonly contents: string;
  readonly size: number;
  readonly key: string;
  readonly owner: string;
  readonly id: string;
}

const text = await readFile(new URL('../vectors/values.json', import.meta.url), 'utf8');
const { recipes } = JSON.parse(text) as { readonly recipes: readonly Recipe[] };

const unhex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

describe('shares too large to ship', function () {
  this.timeout(120_000);
  this.slow(60_000);

  for (const row of recipes) {
    it(`come out with the id of the vectors: ${row.name}`, async () => {
      const { name, contents, size, key, owner, id, ...unknown } = row;
      expect(unknown, 'entries that this test does not know').to.deep.equal({});
      expect(contents).to.equal(`${size} zero bytes, one file, no padding, no modified time`);
      expect(await shareOfZeros(name, size, fileKey(unhex(key)), unhex(owner))).to.equal(id);
    });
  }
});

/** The id of the unpadded share of one file of zeros, which is called like the recipe. */
async function shareOfZeros(name: string, size: number, key: FileKey, owner: Uint8Array): Promise<BlockId> {
  const crypto = nodeCrypto();
  const nothing = new Uint8Array();
  const dataKey = streamKey(key, 'data');
  const digests = new Uint8Array(chunkCount(size) * DIGEST_BYTES);
  for (let index = 0; index < chunkCount(size); index++) {
    const piece = { index, content: nothing, zeros: pieceLength(size, index) };
    for (const { digest } of await crypto.seal(dataKey, [piece], false)) digests.set(digest, index * DIGEST_BYTES);
  }
  const manifest = encodeManifest({ kind: 'file', name, entries: [{ path: name, size }] });
  const [sealed] = await crypto.seal(streamKey(key, 'manifest'), [{ index: 0, content: manifest, zeros: 0 }], false);
  const names = listStream(manifest.length, sealed?.digest ?? nothing).list;
  return sealShareBlock(key, { owner, manifest: names, data: listStream(size, digests).list }).id;
}
