/** What every adapter of the Crypto port does (format.md §4). */
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { expect } from 'chai';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ShoalError } from '../../src/errors.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { openGrant } from '../../src/format/grant-seal.ts';
import { idOf } from '../../src/format/ids.ts';
import { fileKey } from '../../src/format/keys.ts';
import { ownerOf } from '../../src/format/share-block.ts';
import { MAX_BLOCK_BYTES, PIECE_BYTES, TAG_BYTES } from '../../src/limits.ts';
import { giveMemory } from '../../src/memory.ts';
import type { Crypto, PieceToSeal, Segment } from '../../src/ports.ts';

/** Runs the suite on what `make` makes; it is closed at the end. */
export function cryptoContract(make: () => Promise<Crypto>): void {
  let crypto: Crypto;
  let folder: string;
  const key = randomBytes(32);

  before(async () => {
    crypto = await make();
    folder = mkdtempSync(join(tmpdir(), 'shoal-crypto-'));
  });
  after(async () => {
    await crypto.close();
    rmSync(folder, { recursive: true });
  });

  const inMemory = (index: number, content: Uint8Array, zeros = 0): PieceToSeal => ({ index, content, zeros });
  const sealOne = async (piece: PieceToSeal): Promise<{ digest: Uint8Array; chunk: Uint8Array }> => {
    const [sealed] = await crypto.seal(key, [piece], true);
    if (sealed?.chunk === undefined) throw new Error('no chunk was kept');
    return { digest: sealed.digest, chunk: sealed.chunk };
  };

  describe('seal a grant', () => {
    const fileKeyOf = fileKey(randomBytes(32));
    const outside = { share: idOf(randomBytes(32)), owner: ownerOf(randomBytes(32)) };

    it('to recipients and to a passphrase, who open it', async () => {
      const identity = await generateX25519Identity();
      const recipients = [await identityToRecipient(identity)];
      for (const [to, secrets] of [
        [{ recipients }, { identities: [identity] }],
        [{ passphrase: 'correct horse' }, { passphrase: 'correct horse' }],
      ] as const) {
        const grant = await crypto.sealGrant(fileKeyOf, outside, to);
        expect({ share: grant.share, owner: hex(grant.owner) }).to.deep.equal({
          ...outside,
          owner: hex(outside.owner),
        });
        expect(hex(await openGrant(grant, secrets))).to.equal(hex(fileKeyOf));
      }
    }).timeout(30_000);

    it('says what is wrong with a recipient', async () => {
      const failure = await failureOf(crypto.sealGrant(fileKeyOf, outside, { recipients: ['age1nobody'] }));
      expect(failure.message).to.include('age1nobody');
    });
  });

  describe('seal', () => {
    it('gives the same chunk as WebCrypto does, under the number of the piece as nonce', async () => {
      for (const index of [0, 1, 255, 2 ** 32, 2 ** 40 + 5]) {
        const piece = randomBytes(1000);
        const { chunk, digest } = await sealOne(inMemory(index, piece));
        expect(hex(chunk)).to.equal(hex(await sealIndependently(key, index, piece)));
        expect(hex(digest)).to.equal(hex(sha256(chunk)));
      }
    });

    it('seals pieces of every length up to the largest', async () => {
      for (const length of [1, 15, 16, 65_535, 65_536, 65_537, PIECE_BYTES - 1, PIECE_BYTES]) {
        const piece = randomBytes(length);
        const { chunk } = await sealOne(inMemory(3, piece));
        expect(chunk.length).to.equal(length + TAG_BYTES);
        expect(Buffer.compare(chunk, await sealIndependently(key, 3, piece))).to.equal(0);
      }
    });

    it('reads runs of several files and adds the zeros', async () => {
      const [a, b] = [randomBytes(200_000), randomBytes(70_001)];
      const [pathA, pathB] = [join(folder, 'a'), join(folder, 'b')];
      writeFileSync(pathA, a);
      writeFileSync(pathB, b);
      const content: Segment[] = [
        { path: pathA, offset: 10, length: 150_000 },
        { path: pathB, offset: 0, length: 70_001 },
        { path: pathB, offset: 5, length: 1 },
        { path: pathA, offset: 0, length: 10 },
      ];
      const { chunk } = await sealOne({ index: 7, content, zeros: 100_000 });
      const piece = Buffer.concat([
        a.subarray(10, 150_010),
        b,
        b.subarray(5, 6),
        a.subarray(0, 10),
        Buffer.alloc(100_000),
      ]);
      expect(Buffer.compare(chunk, await sealIndependently(key, 7, piece))).to.equal(0);
    });

    it('seals a piece of nothing but padding', async () => {
      const { chunk } = await sealOne({ index: 0, content: [], zeros: 70_000 });
      expect(Buffer.compare(chunk, await sealIndependently(key, 0, Buffer.alloc(70_000)))).to.equal(0);
    });

    it('keeps the order of many pieces, and hands out digests alone unless chunks are kept', async () => {
      const pieces = Array.from({ length: 11 }, (_, i) => randomBytes(1000 * i + 1));
      const batch = pieces.map((piece, i) => inMemory(i, piece));
      const kept = await crypto.seal(key, batch, true);
      const dropped = await crypto.seal(key, batch, false);
      expect(kept).to.have.length(pieces.length);
      for (const [i, piece] of pieces.entries()) {
        const chunk = await sealIndependently(key, i, piece);
        expect(hex(kept[i]!.chunk!)).to.equal(hex(chunk));
        expect(hex(kept[i]!.digest)).to.equal(hex(sha256(chunk)));
        expect(hex(dropped[i]!.digest)).to.equal(hex(sha256(chunk)));
        expect(dropped[i]).to.have.all.keys('digest');
      }
    });

    it('leaves the caller its contents and key', async () => {
      const large = randomBytes(5000);
      const piece = large.subarray(100, 300);
      const copy = hex(large);
      await crypto.seal(key, [inMemory(0, piece)], true);
      expect(hex(large)).to.equal(copy);
      expect(key.length).to.equal(32);
    });

    it('makes right chunks of memory that was given back, even twice', async () => {
      for (const length of [PIECE_BYTES, PIECE_BYTES, 5, PIECE_BYTES]) {
        const piece = randomBytes(length);
        const { chunk } = await sealOne(inMemory(1, piece));
        expect(Buffer.compare(chunk, await sealIndependently(key, 1, piece))).to.equal(0);
        giveMemory(chunk);
        giveMemory(chunk);
      }
    });

    it('gives the signal’s reason when it was aborted', async () => {
      const reason = new ShoalError('interrupted', 'enough');
      const outcome = crypto.seal(key, [inMemory(0, randomBytes(5))], false, AbortSignal.abort(reason));
      expect(await failureOf(outcome)).to.equal(reason);
    });
  });

  describe('seal of files that are not what they were', () => {
    let count = 0;
    const setUp = (): { path: string; expected: Segment } => {
      const path = join(folder, `file-${count++}`);
      writeFileSync(path, randomBytes(300_000));
      const { size, mtimeNs, ino } = statSync(path, { bigint: true });
      const expect = { sizeBytes: Number(size), modifiedNs: mtimeNs, inode: ino };
      return { path, expected: { path, offset: 0, length: 300_000, expect } };
    };
    const fails = async (segment: Segment, code: ErrorCode, how: string): Promise<void> => {
      const error = await failureOf(crypto.seal(key, [{ index: 0, content: [segment], zeros: 0 }], true));
      expect(error).to.be.instanceOf(ShoalError);
      expect(error).to.include({ code });
      expect(error.message).to.include(segment.path).and.to.include(how);
    };

    it('accepts a file that looks as expected', async () => {
      const { expected } = setUp();
      await crypto.seal(key, [{ index: 0, content: [expected], zeros: 0 }], true);
    });

    it('names a file that grew, shrank, was modified, vanished or was replaced', async () => {
      const cases: [string, (path: string) => void][] = [
        ['grew', path => appendFileSync(path, 'x')],
        ['shrank', path => truncateSync(path, 299_999)],
        ['was modified', path => utimesSync(path, 1, 1)],
        ['vanished', path => rmSync(path)],
        [
          'was replaced',
          path => {
            writeFileSync(`${path}.new`, randomBytes(300_000));
            renameSync(`${path}.new`, path);
          },
        ],
      ];
      for (const [how, change] of cases) {
        const { path, expected } = setUp();
        change(path);
        await fails(expected, 'changed', how);
      }
    });

    it('names a file that is too short, though nothing was known of it', async () => {
      const { path } = setUp();
      await fails({ path, offset: 0, length: 300_001 }, 'changed', 'shrank');
      await fails({ path, offset: 400_000, length: 1 }, 'changed', 'shrank');
    });

    it('tells a missing file from a changed one where nothing was known of it', async () => {
      await fails({ path: join(folder, 'nowhere'), offset: 0, length: 1 }, 'unavailable', 'no longer there');
      const { path } = setUp();
      await fails({ path: join(path, 'below'), offset: 0, length: 1 }, 'unavailable', 'no longer there');
    });

    it('reads neither through links nor from folders and pipes', async () => {
      const { path } = setUp();
      const at = (name: string): Segment => ({ path: join(folder, name), offset: 0, length: 1 });
      symlinkSync(path, join(folder, 'link'));
      mkdirSync(join(folder, 'folder'));
      execFileSync('mkfifo', [join(folder, 'pipe')]);
      await fails(at('link'), 'changed', 'symbolic link');
      await fails(at('folder'), 'changed', 'regular file');
      await fails(at('pipe'), 'changed', 'regular file');
    });

    it('says when it may not read', async function () {
      if (process.getuid?.() === 0) this.skip(); // root may read everything
      const { path } = setUp();
      chmodSync(path, 0);
      await fails({ path, offset: 0, length: 1 }, 'denied', 'permission');
    });

    it('keeps no file open, whether it worked or not', async function () {
      if (process.platform !== 'linux') this.skip();
      const { path, expected } = setUp();
      await crypto.seal(key, [{ index: 0, content: [expected], zeros: 0 }], true);
      truncateSync(path, 5);
      await fails({ path, offset: 0, length: 300_000 }, 'changed', 'shrank');
      const open = execFileSync('ls', ['-l', `/proc/${process.pid}/fd`], { encoding: 'utf8' });
      expect(open).not.to.include(path);
    });
  });

  describe('open', () => {
    it('gives back what was sealed', async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3000 }), fc.nat(), async (piece, index) => {
          const { chunk, digest } = await sealOne(inMemory(index, piece));
          expect(hex(await crypto.open(key, index, chunk, digest))).to.equal(hex(piece));
        }),
        { numRuns: 20 },
      );
      const piece = randomBytes(PIECE_BYTES);
      const chunk = await sealIndependently(key, 9, piece);
      expect(Buffer.compare(await crypto.open(key, 9, chunk, sha256(chunk)), piece)).to.equal(0);
    });

    it('opens a chunk that is a view into larger memory, and leaves what is beside it', async () => {
      const piece = randomBytes(500);
      const memory = new Uint8Array(1000).fill(7);
      const chunk = memory.subarray(100, 100 + 516);
      chunk.set(await sealIndependently(key, 0, piece));
      const digest = sha256(chunk);
      expect(hex(await crypto.open(key, 0, chunk, digest))).to.equal(hex(piece));
      expect(memory.length).to.equal(1000);
      expect(memory.subarray(0, 100).every(byte => byte === 7)).to.equal(true);
      expect(memory.subarray(616).every(byte => byte === 7)).to.equal(true);
    });

    it('says `mismatch` when any byte is not that of the digest', async () => {
      const { chunk, digest } = await sealOne(inMemory(0, randomBytes(100_000)));
      for (const at of [0, 50_000, chunk.length - 1]) {
        const wrong = Uint8Array.from(chunk);
        wrong[at]! ^= 1;
        expect(await failureOf(crypto.open(key, 0, wrong, digest))).to.include({ code: 'mismatch' });
      }
      const short = Uint8Array.from(chunk.subarray(0, -1));
      expect(await failureOf(crypto.open(key, 0, short, digest))).to.include({ code: 'mismatch' });
    });

    it('says `corrupt` when the bytes are those of the digest and do not authenticate', async () => {
      const { chunk } = await sealOne(inMemory(0, randomBytes(100_000)));
      const digest = sha256(chunk);
      expect(await failureOf(crypto.open(key, 1, Uint8Array.from(chunk), digest))).to.include({ code: 'corrupt' });
      const other = randomBytes(32);
      expect(await failureOf(crypto.open(other, 0, Uint8Array.from(chunk), digest))).to.include({ code: 'corrupt' });
    });

    it('refuses chunks that are longer than a block or shorter than a tag', async () => {
      const long = new Uint8Array(MAX_BLOCK_BYTES + 1);
      expect(await failureOf(crypto.open(key, 0, long, sha256(long)))).to.include({ code: 'mismatch' });
      const short = new Uint8Array(TAG_BYTES - 1);
      expect(await failureOf(crypto.open(key, 0, short, sha256(short)))).to.include({ code: 'corrupt' });
    });
  });

  describe('verify', () => {
    it('passes what matches and leaves it to the caller', async () => {
      const bytes = randomBytes(70_000);
      const copy = hex(bytes);
      await crypto.verify(bytes, sha256(bytes));
      expect(hex(bytes)).to.equal(copy);
    });

    it('says `mismatch` for anything else', async () => {
      const bytes = randomBytes(1000);
      const digest = sha256(bytes);
      bytes[999]! ^= 0x80;
      expect(await failureOf(crypto.verify(bytes, digest))).to.include({ code: 'mismatch' });
      expect(await failureOf(crypto.verify(bytes, digest.subarray(1)))).to.include({ code: 'mismatch' });
    });
  });
}

/** What `outcome` fails with. */
export async function failureOf(outcome: Promise<unknown>): Promise<Error> {
  try {
    await outcome;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

/** A chunk by another implementation: WebCrypto's. */
async function sealIndependently(key: Uint8Array<ArrayBuffer>, index: number, piece: Uint8Array): Promise<Uint8Array> {
  const nonce = Uint8Array.from(Buffer.from(index.toString(16).padStart(24, '0'), 'hex'));
  const imported = await webcrypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt']);
  const sealed = await webcrypto.subtle.encrypt({ name: 'AES-GCM', iv: nonce }, imported, Uint8Array.from(piece));
  return new Uint8Array(sealed);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
