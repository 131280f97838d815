import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { poolCrypto } from '../../src/crypto/pool.ts';
import { MIN_POOL_BYTES, PIECE_BYTES } from '../../src/limits.ts';
import type { Crypto, PieceToSeal } from '../../src/ports.ts';
import { cryptoContract, failureOf } from '../contract/crypto.ts';

const key = randomBytes(32);

describe('crypto on worker threads', () => {
  for (const workers of [2, 3]) {
    describe(`${workers} of them`, () => {
      cryptoContract(async () => {
        const crypto = poolCrypto(workers);
        await pastTheThreshold(crypto);
        return crypto;
      });
    });
  }

  it('starts no thread for little work, and threads for more', async function () {
    if (process.platform !== 'linux') this.skip();
    const crypto = poolCrypto(3);
    try {
      await crypto.seal(key, [padding(0)], true);
      const before = threads();
      await crypto.seal(key, [padding(1)], true);
      expect(threads()).to.equal(before);
      await pastTheThreshold(crypto);
      expect(threads()).to.be.greaterThan(before);
    } finally {
      await crypto.close();
    }
  });

  it('works on single blocks without a thread where there are few processors, until a disk turns out to be slow', async function () {
    if (process.platform !== 'linux') this.skip();
    const crypto = poolCrypto(2);
    const folder = await mkdtemp(join(tmpdir(), 'shoal-pool-'));
    try {
      const paths = ['a', 'b'].map(name => join(folder, name));
      await Promise.all(paths.map(path => writeFile(path, 'x')));
      const before = threads();
      for (let index = 0; index < (2 * MIN_POOL_BYTES) / PIECE_BYTES; index++) {
        const [sealed] = await crypto.seal(key, [padding(index)], true);
        await crypto.open(key, index, sealed!.chunk!, sealed!.digest);
      }
      expect(threads()).to.equal(before);
      // Opening a file for each byte stands for a disk that takes its time: more than enough to move the average at once.
      const content = Array.from({ length: 50_000 }, (_, n) => ({ path: paths[n % 2]!, offset: 0, length: 1 }));
      await crypto.seal(key, [{ index: 0, content, zeros: 0 }], true);
      expect(threads()).to.equal(before);
      await crypto.seal(key, [{ index: 0, content, zeros: 0 }], true);
      expect(threads()).to.be.greaterThan(before);
    } finally {
      await crypto.close();
      await rm(folder, { recursive: true });
    }
  });

  it('takes over the memory of a chunk that is opened', async () => {
    const crypto = poolCrypto(3);
    try {
      await pastTheThreshold(crypto);
      const [sealed] = await crypto.seal(key, [padding(5)], true);
      const chunk = sealed!.chunk!;
      const piece = await crypto.open(key, 5, chunk, sealed!.digest);
      expect(piece.length).to.equal(PIECE_BYTES);
      expect(chunk.length).to.equal(0);
    } finally {
      await crypto.close();
    }
  });

  it('passes bugs on as they are', async () => {
    const crypto = poolCrypto(3);
    try {
      await pastTheThreshold(crypto);
      const piece = { index: 0.5, content: new Uint8Array(1), zeros: 0 };
      expect((await failureOf(crypto.seal(key, [piece], false))).message).to.include('natural number');
    } finally {
      await crypto.close();
    }
  });

  it('can be closed twice, and before it was used', async () => {
    const crypto = poolCrypto(3);
    await crypto.close();
    await crypto.close();
  });

  it('does not keep a process alive that has forgotten to close it', async () => {
    const pool = new URL('../../src/crypto/pool.ts', import.meta.url).href;
    const script = `
      import { poolCrypto } from ${JSON.stringify(pool)};
      const pieces = Array.from({ length: 12 }, (_, index) => ({ index, content: [], zeros: ${PIECE_BYTES} }));
      const sealed = await poolCrypto(3).seal(new Uint8Array(32), pieces, false);
      console.log(sealed.length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
    expect(stdout.trim()).to.equal('12');
  });
});

function threads(): number {
  return readdirSync('/proc/self/task').length;
}

function padding(index: number): PieceToSeal {
  return { index, content: [], zeros: PIECE_BYTES };
}

async function pastTheThreshold(crypto: Crypto): Promise<void> {
  const count = Math.ceil(MIN_POOL_BYTES / PIECE_BYTES) + 1;
  await crypto.seal(
    key,
    Array.from({ length: count }, (_, index) => padding(index)),
    false,
  );
}
