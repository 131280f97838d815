/**
 * Rung: reads a file in pieces, seals and hashes them (format.md §4).
 *
 *   --by bare   a loop of read, AES-256-GCM and SHA-256 in --workers threads: what the machine gives (the default)
 *   --by pool   the project's own crypto on as many workers, chunks dropped there (--chunks keep: dropped here)
 */
import { createCipheriv, hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { openSync, readSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { poolCrypto } from '../../src/crypto/pool.ts';
import { giveMemory } from '../../src/memory.ts';
import { PIECES_PER_TASK, PIECE_BYTES } from '../../src/limits.ts';
import { inParallel } from '../../src/parallel.ts';
import { measureSelf, rungOptions } from '../harness.ts';

/** What one bare thread does: every `step`-th piece from `first` on. */
interface BareWork {
  readonly file: string;
  readonly size: number;
  readonly first: number;
  readonly step: number;
}

if (isMainThread) await main();
else sealBare(workerData as BareWork);

async function main(): Promise<void> {
  const {
    size,
    file,
    workers: count = '1',
    by = 'bare',
    chunks = 'drop',
  } = rungOptions('file', 'workers', 'by', 'chunks');
  if (file === undefined) throw new TypeError('needs --file PATH');
  const workers = Number(count);
  if (by === 'bare') await measureSelf(`seal/bare/${count}`, size, () => bare(file, size, workers));
  else await measureSelf(`seal/pool/${count}/${chunks}`, size, () => pooled(file, size, workers, chunks === 'keep'));
}

async function bare(file: string, size: number, workers: number): Promise<void> {
  const threads = Array.from({ length: workers }, (_, first) => {
    const work: BareWork = { file, size, first, step: workers };
    return new Worker(new URL(import.meta.url), { workerData: work });
  });
  await Promise.all(threads.map(thread => once(thread, 'exit')));
}

function sealBare({ file, size, first, step }: BareWork): void {
  const fd = openSync(file, 'r');
  const key = randomBytes(32);
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  const nonce = Buffer.alloc(12);
  for (let i = first; i * PIECE_BYTES < size; i += step) {
    const length = readSync(fd, piece, 0, piece.length, i * PIECE_BYTES);
    nonce.writeUInt32BE(i, 8);
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    const sealed = cipher.update(piece.subarray(0, length));
    cipher.final();
    hash('sha256', Buffer.concat([sealed, cipher.getAuthTag()]), 'buffer');
  }
}

/** Tasks of PIECES_PER_TASK pieces, two per worker under way at once, so that none waits for its next one. */
async function pooled(file: string, size: number, workers: number, keep: boolean): Promise<void> {
  const crypto = poolCrypto(workers);
  const key = randomBytes(32);
  const taskBytes = PIECES_PER_TASK * PIECE_BYTES;
  const tasks = Array.from({ length: Math.ceil(size / taskBytes) }, (_, task) => task * PIECES_PER_TASK);
  await inParallel(tasks, 2 * workers, async first => {
    const pieces = [];
    for (let i = first; i < first + PIECES_PER_TASK && i * PIECE_BYTES < size; i++) {
      const offset = i * PIECE_BYTES;
      const length = Math.min(PIECE_BYTES, size - offset);
      pieces.push({ index: i, content: [{ path: file, offset, length }], zeros: 0 });
    }
    for (const { chunk } of await crypto.seal(key, pieces, keep)) if (chunk !== undefined) giveMemory(chunk);
  });
  await crypto.close();
}
