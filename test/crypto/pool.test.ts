import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { poolCrypto } from '../../src/crypto/pool.ts';
import { MIN_POOL_BYTES, PIECE_BYTES } from '../../src/limits.ts';
import type { Crypto, PieceToSeal } from '../../src/ports.ts';
import { cryptoContract, failureOf } from '../contract/crypto.ts';

const key = randomBytes(32);

describe('crypto on worker threads', () => {
  cryptoContract(async () => {
    const crypto = poolCrypto(2);
    await pastTheThreshold(crypto);
    return crypto;
  });

  it('starts no thread for little work, and threads for more', async function () {
    if (process.platform !== 'linux') this.skip();
    const crypto = poolCrypto(2);
    try {
      const threads = (): number => readdirSync('/proc/self/task').length;
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

  it('takes over the memory of a chunk that is opened', async () => {
    const crypto = poolCrypto(1);
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
    const crypto = poolCrypto(1);
    try {
      await pastTheThreshold(crypto);
      const piece = { index: 0.5, content: new Uint8Array(1), zeros: 0 };
      expect((await failureOf(crypto.seal(key, [piece], false))).message).to.include('natural number');
    } finally {
      await crypto.close();
    }
  });

  it('can be closed twice, and before it was used', async () => {
    const crypto = poolCrypto(2);
    await crypto.close();
    await crypto.close();
  });

  it('does not keep a process alive that has forgotten to close it', async () => {
    const pool = new URL('../../src/crypto/pool.ts', import.meta.url).href;
    const script = `
      import { poolCrypto } from ${JSON.stringify(pool)};
      const pieces = Array.from({ length: 12 }, (_, index) => ({ index, content: [], zeros: ${PIECE_BYTES} }));
      const sealed = await poolCrypto(2).seal(new Uint8Array(32), pieces, false);
      console.log(sealed.length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
    expect(stdout.trim()).to.equal('12');
  });
});

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
