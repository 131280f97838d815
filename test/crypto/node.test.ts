import { expect } from 'chai';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node.ts';
import type { PieceToSeal } from '../../src/ports.ts';
import { cryptoContract, failureOf } from '../contract/crypto.ts';

describe('crypto in the calling thread', () => {
  cryptoContract(async () => nodeCrypto());

  it('notices that a file was written to while it was read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shoal-node-'));
    try {
      const path = join(folder, 'file');
      writeFileSync(path, Buffer.alloc(200_000));
      const { size, mtimeNs, ino } = statSync(path, { bigint: true });
      const expected = { sizeBytes: Number(size), modifiedNs: mtimeNs, inode: ino };
      const piece = (index: number): PieceToSeal => ({
        index,
        content: [{ path, offset: index * 100_000, length: 100_000, expect: expected }],
        zeros: 0,
      });
      const sealing = nodeCrypto().seal(new Uint8Array(32), [piece(0), piece(1)], true);
      // The first piece has been read by now, the second is read in a later turn.
      const fd = openSync(path, 'r+');
      writeSync(fd, Buffer.from('x'), 0, 1, 150_000);
      closeSync(fd);
      expect(await failureOf(sealing))
        .to.include({ code: 'changed' })
        .and.to.have.property('message')
        .that.includes('was modified');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('stops between two pieces when the signal aborts', async () => {
    const stop = new AbortController();
    const pieces = Array.from({ length: 1000 }, (_, index) => ({ index, content: new Uint8Array(1), zeros: 0 }));
    const sealing = nodeCrypto().seal(new Uint8Array(32), pieces, false, stop.signal);
    const aborted = once(stop.signal, 'abort');
    stop.abort(new Error('enough'));
    await aborted;
    expect((await failureOf(sealing)).message).to.equal('enough');
  });

  it('refuses to seal an empty piece, one that is too long, or one without a number', async () => {
    const key = new Uint8Array(32);
    const bad: PieceToSeal[] = [
      { index: 0, content: new Uint8Array(0), zeros: 0 },
      { index: 0, content: new Uint8Array(1_048_560), zeros: 1 },
      { index: -1, content: new Uint8Array(1), zeros: 0 },
      { index: 0.5, content: new Uint8Array(1), zeros: 0 },
      { index: 2 ** 53, content: new Uint8Array(1), zeros: 0 },
    ];
    for (const piece of bad) {
      expect(await failureOf(nodeCrypto().seal(key, [piece], true))).to.include({ name: 'AssertionError' });
    }
  });
});
