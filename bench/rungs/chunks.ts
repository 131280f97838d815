/**
 * Rung: /shoal/chunks/1.0.0 between two processes without anything behind it: the server has its chunks in memory, the
 * asker neither verifies nor opens what arrives.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { Download } from '../../src/download.ts';
import { parseHint } from '../../src/format/hint.ts';
import { idOf, parseId, sha256 } from '../../src/format/ids.ts';
import { encodeShareBlock, ownerOf } from '../../src/format/share-block.ts';
import { chunkCount, chunkLength, pad } from '../../src/format/pieces.ts';
import { MAX_BLOCK_BYTES } from '../../src/limits.ts';
import { giveMemory, takeMemory } from '../../src/memory.ts';
import { createNetwork } from '../../src/net/node.ts';
import type { ChunkSource, Clock } from '../../src/ports.ts';
import { Server } from '../../src/serve.ts';
import { measureSelf, rungOptions } from '../harness.ts';
import { LOOPBACK, NEVER } from './built.ts';

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleepFor(ms, undefined, signal === undefined ? {} : { signal }),
};

const { size, to } = rungOptions('to');
const network = await createNetwork({
  ...LOOPBACK,
  ...(to === undefined ? {} : { listen: [] }),
  seed: randomBytes(32),
  clock,
  log: () => undefined,
});
await (to === undefined ? serve() : ask(to));
await network.stop();

async function serve(): Promise<void> {
  const dataSize = pad(size);
  const count = chunkCount(dataSize);
  const bytes = encodeShareBlock({
    owner: ownerOf(randomBytes(32)),
    commitment: randomBytes(32),
    manifest: { size: pad(1), chunks: randomBytes(32) },
    data: { size: dataSize, chunks: randomBytes(32 * count) },
  });
  const id = idOf(sha256(bytes));
  const content = randomBytes(MAX_BLOCK_BYTES);
  const source: ChunkSource = {
    have: () => Promise.resolve('all'),
    async read(_share, at) {
      if (at.kind !== 'chunk') return bytes;
      const length = chunkLength(dataSize, at.index);
      const chunk = takeMemory(length);
      chunk.set(content.subarray(0, length));
      return chunk;
    },
  };
  const begun = Promise.withResolvers<undefined>();
  const ended = Promise.withResolvers<undefined>();
  const server = await Server.start({
    ...{ network, source, clock },
    log: () => undefined,
    refusals: { for: () => undefined },
    onServed({ event }) {
      if (event === 'joined') begun.resolve(undefined);
      if (event === 'complete') ended.resolve(undefined);
    },
  });
  server.add(id);
  console.log(`${String(network.addresses()[0])} ${id}`);
  await begun.promise;
  await measureSelf('chunks/serve', size, async () => {
    await ended.promise;
  });
}

async function ask(text: string): Promise<void> {
  const [address = '', id = ''] = text.split(' ');
  await measureSelf('chunks/ask', size, async () => {
    const download = new Download(
      { network, clock, crypto: nodeCrypto() },
      { id: parseId(id), hints: [parseHint(address)], signal: NEVER, onEvent: () => undefined },
    );
    const { block } = await download.shareBlock();
    const indices = Array.from({ length: chunkCount(block.data.size) }, (_, index) => index);
    await download.blocks({ kind: 'chunk', stream: 'data', indices }, (_, chunk) => {
      giveMemory(chunk);
      return Promise.resolve();
    });
    await download.close(true);
  });
}
