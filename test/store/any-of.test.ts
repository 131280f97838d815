import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { ShoalError } from '../../src/errors.ts';
import type { ChunkSource } from '../../src/ports.ts';
import { anyOf } from '../../src/store/any-of.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { chunkAt, chunkSourceContract, expectSame, makeShare } from '../contract/chunk-source.ts';
import type { TestShare } from '../contract/chunk-source.ts';
import { fill } from '../contract/chunk-store.ts';
import { failureOf } from '../contract/crypto.ts';
import { faultySource } from '../sim/faulty-source.ts';

let share: TestShare;
let full: ReturnType<typeof memoryStore>;
before(async () => {
  share = await makeShare('small', { a: randomBytes(1_500_000), b: randomBytes(10) });
  full = memoryStore();
  await fill(full, share);
});

describe('several sources as one', () => {
  describe('as any source', () => {
    chunkSourceContract(async () => ({ source: anyOf([memoryStore(), full]), share }));
  });

  it('knows nothing where there is no source', async () => {
    expect(await anyOf([]).have(share.id)).to.equal(undefined);
    expect(await failureOf(anyOf([]).read(share.id, chunkAt('data', 0)))).to.include({ code: 'unavailable' });
  });

  it('gives a block from the second where the first has only others', async () => {
    const some = memoryStore();
    await fill(some, share, name => name === 'share' || name === 'data-0/0');
    for (const { at, bytes } of share.blocks) expectSame(await anyOf([some, full]).read(share.id, at), bytes);
    expect(await anyOf([some, full]).have(share.id)).to.equal('all');
    expect(await anyOf([memoryStore(), some]).have(share.id)).to.deep.equal({ manifest: [], data: [0, 1] });
  });

  it('asks nobody else where one says that the share changed, or breaks', async () => {
    const changed: ChunkSource = {
      have: async () => undefined,
      read: async () => {
        throw new ShoalError('changed', 'it changed');
      },
    };
    const broken = faultySource(full, { of: () => 'break' });
    expect(await failureOf(anyOf([changed, full]).read(share.id, chunkAt('data', 0)))).to.include({ code: 'changed' });
    expect(await failureOf(anyOf([broken, full]).read(share.id, chunkAt('data', 0)))).to.include({ code: 'io' });
  });
});

describe('the faulty twin of a source', () => {
  describe('without faults', () => {
    chunkSourceContract(async () => ({ source: faultySource(full, {}), share }));
  });

  it('drops, breaks, corrupts and cuts what it is told to, and nothing else', async () => {
    for (const fault of ['drop', 'break', 'corrupt', 'cut'] as const) {
      const source = faultySource(full, { of: at => (at.kind === 'chunk' && at.index === 1 ? fault : undefined) });
      const good = await full.read(share.id, chunkAt('data', 1));
      const outcome = source.read(share.id, chunkAt('data', 1));
      if (fault === 'drop') expect(await failureOf(outcome)).to.include({ code: 'unavailable' });
      else if (fault === 'break') expect(await failureOf(outcome)).to.include({ code: 'io' });
      else expect(Buffer.compare(await outcome, good)).not.to.equal(0);
      expectSame(await source.read(share.id, chunkAt('data', 0)), await full.read(share.id, chunkAt('data', 0)));
    }
  });

  it('holds a block back until it is released or not wanted any more', async () => {
    const source = faultySource(full, { of: () => 'delay' });
    const stop = new AbortController();
    const wanted = source.read(share.id, chunkAt('data', 0));
    const unwanted = source.read(share.id, chunkAt('data', 1), stop.signal);
    stop.abort(new Error('enough'));
    expect((await failureOf(unwanted)).message).to.equal('enough');
    source.release();
    expectSame(await wanted, await full.read(share.id, chunkAt('data', 0)));
    expect(source.delayed).to.equal(0);
  });

  it('lies about what it has', async () => {
    const source = faultySource(memoryStore(), { have: 'all' });
    expect(await source.have(share.id)).to.equal('all');
    expect(await failureOf(source.read(share.id, chunkAt('data', 0)))).to.include({ code: 'unavailable' });
  });
});
