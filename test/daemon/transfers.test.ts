/** The fetches of a home that no command waits for: noted, gone on with, and remembered. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { Transfers } from '../../src/daemon/transfers.ts';
import { ShoalError } from '../../src/errors.ts';
import type { Fetched, FetchEvent } from '../../src/fetch.ts';
import { fileKey } from '../../src/format/keys.ts';
import { formatLink } from '../../src/format/link.ts';
import type { ShoalNode } from '../../src/node.ts';
import type { Catalog } from '../../src/catalog.ts';
import { openRecords } from '../../src/records.ts';
import { someId } from '../contract/catalog.ts';

const never = new AbortController().signal;

describe('The transfers of a home', () => {
  let folder: string;
  let catalog: Catalog;
  /** What is told of each fetch, which then goes on until it is stopped, or ends as `ending` says. */
  let events: FetchEvent[];
  let ending: (() => Promise<Fetched>) | undefined;
  let abandoned: string[];
  /** Called when all of that is told of one that goes on. */
  let onTold: () => void;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-transfers-'));
    ({ catalog } = await openRecords(join(folder, 'home'), { clock: systemClock, random: randomBytes }));
    [events, ending, abandoned, onTold] = [[], undefined, [], () => undefined];
  });
  afterEach(() => {
    catalog.close();
    rmSync(folder, { recursive: true });
  });

  /** As a process that holds the home has them. */
  function open(): Transfers {
    const fetch: ShoalNode['fetch'] = async (_request, onEvent, signal) => {
      for (const event of events) onEvent(event);
      if (ending !== undefined) return await ending();
      onTold();
      return await new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason as Error);
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    };
    const abandon: ShoalNode['abandon'] = (_id, output) => Promise.resolve(void abandoned.push(output));
    // All of a node that transfers use.
    return new Transfers({ home: { catalog }, fetch, abandon } as unknown as ShoalNode);
  }

  const link = linkOf();
  const wanted = { link, output: '/home/me/to', only: ['*.pdf'], force: false, keep: false };

  it('are the same where all that is wanted is the same', () => {
    const transfers = open();
    const { id } = transfers.add(wanted);
    expect(transfers.add({ ...wanted, link: `${link}@relay.example` }).id).to.equal(id);
    expect(transfers.list()).to.have.length(1);
    for (const change of [
      { link: linkOf() },
      { output: '/home/me/elsewhere' },
      { only: [] },
      { only: ['*.pdf', '*.txt'] },
      { force: true },
      { keep: true },
    ])
      expect(transfers.add({ ...wanted, ...change }).id, JSON.stringify(change)).not.to.equal(id);
    expect(transfers.list()).to.have.length(7);
  });

  it('are gone on with where the same is wanted again, but for those that are done', async () => {
    const transfers = open();
    const stop = transfers.carryOut();
    const { id } = transfers.add(wanted);
    transfers.pause(id);
    expect(transfers.add(wanted)).to.include({ id, state: 'running' });
    transfers.pause(id);
    ending = () => Promise.reject(new ShoalError('disk-full', 'no room'));
    transfers.resume(id);
    await stateOf(transfers, id, 'failed');
    ending = () => Promise.resolve(fetchedTo('/home/me/to/x'));
    expect(transfers.add(wanted).id).to.equal(id);
    await stateOf(transfers, id, 'done');
    expect(transfers.add(wanted).id).not.to.equal(id);
    stop();
  });

  it('show how far they are when they are paused, or the process has ended, also to the next one', async () => {
    events = [
      { event: 'opened', kind: 'folder', name: 'x', sizeBytes: 90, files: 2 },
      { event: 'progress', doneBytes: 41, totalBytes: 100, peers: 1 },
    ];
    const transfers = open();
    const stop = transfers.carryOut();
    const begun = async (changes: Partial<typeof wanted>): Promise<string> => {
      const told = new Promise<void>(resolve => (onTold = resolve));
      const { id } = transfers.add({ ...wanted, ...changes });
      await told;
      return id;
    };
    const paused = await begun({});
    const running = await begun({ only: [] });
    transfers.pause(paused);
    stop();
    const next = open().list();
    expect(next.find(({ id }) => id === paused)).to.include({ state: 'paused', doneBytes: 41, totalBytes: 100 });
    expect(next.find(({ id }) => id === running)).to.include({ state: 'queued', doneBytes: 41, totalBytes: 100 });
  });

  it('say how they stood when they are cancelled, and only those that are done keep what they have', async () => {
    const transfers = open();
    const stop = transfers.carryOut();
    const running = transfers.add({ ...wanted, output: '/running' }).id;
    expect(await transfers.cancel(running, never)).to.include({ state: 'paused' });
    ending = () => Promise.reject(new ShoalError('disk-full', 'no room'));
    const failed = transfers.add({ ...wanted, output: '/failed' }).id;
    await stateOf(transfers, failed, 'failed');
    expect(await transfers.cancel(failed, never)).to.include({ state: 'failed', detail: 'no room' });
    ending = () => Promise.resolve(fetchedTo('/done/x'));
    const done = transfers.add({ ...wanted, output: '/done' }).id;
    await stateOf(transfers, done, 'done');
    expect(await transfers.cancel(done, never)).to.include({ state: 'done', path: '/done/x', doneBytes: 9 });
    expect(abandoned).to.deep.equal(['/running', '/failed']);
    expect(transfers.list()).to.deep.equal([]);
    stop();
  });
});

function linkOf(): string {
  return formatLink({ id: someId(), key: fileKey(randomBytes(32)), hints: [] });
}

type View = ReturnType<Transfers['list']>[number];

function stateOf(transfers: Transfers, id: string, state: View['state']): Promise<void> {
  return changed(transfers, transfer => transfer.id === id && transfer.state === state);
}

/** Resolves when one is as wanted. */
async function changed(transfers: Transfers, isRight: (transfer: View) => boolean): Promise<void> {
  if (transfers.list().some(isRight)) return;
  await new Promise<void>(resolve => {
    const off = transfers.onChange(transfer => {
      if (!isRight(transfer)) return;
      off();
      resolve();
    });
  });
}

/** What transfers look at of a fetch that is complete. */
function fetchedTo(path: string): Fetched {
  return { path, manifest: { name: 'x' }, sizeBytes: 9 } as unknown as Fetched;
}
