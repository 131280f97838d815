/**
 * The fetches of a home's holder: those that a command waits for, and those that the daemon carries out by itself, which the
 * catalog remembers until they are done. Each can be paused, resumed and cancelled from elsewhere.
 */
import { randomInt } from 'node:crypto';
import { isShoalError, ShoalError } from '../errors.ts';
import type { Fetched, FetchEvent } from '../fetch.ts';
import { sameBytes } from '../format/ids.ts';
import { parseLink, type Link } from '../format/link.ts';
import { quoted } from '../format/quoted.ts';
import { MAX_DONE_TRANSFERS, MAX_TRANSFERS, TRANSFER_EVENT_MS } from '../limits.ts';
import type { FolderFetch, ShoalNode } from '../node.ts';
import { keyOf } from '../open.ts';
import type { TransferRecord } from '../catalog.ts';
import { onlyOf } from './only.ts';
import type { Parameters, Results } from './actions.ts';

export type TransferView = Results['transfer'];

/** What is to be fetched, and where to. */
type Wanted = Parameters<'transfer'> & { readonly timeoutMs?: number | undefined };
type Emit = (event: FetchEvent) => void;
/** What tells more of a fetch than its events. */
type Told = Pick<FolderFetch, 'onStep' | 'onStatus'>;

/** A fetch, and how it stands. */
interface Job {
  readonly id: string;
  readonly link: Link;
  readonly wanted: Wanted;
  readonly createdAt: number;
  /** Where a command waits for it; without one, the catalog knows it. */
  readonly attached?: {
    readonly emit: Emit;
    readonly told: Told;
    readonly settle: (ending: Ending) => void;
  };
  state: TransferView['state'];
  detail?: string | undefined;
  name?: string;
  path?: string;
  doneBytes: number;
  totalBytes?: number;
  peers: number;
  /** Bytes per second, measured since `bytes` at `ms` of the monotonic clock. */
  rate: { perSecond: number; bytes: number; ms: number };
  toldMs: number;
  /** Ends the fetch that is under way. */
  stop?: AbortController;
  /** Settles, without failing, when no fetch is under way any more. */
  over: Promise<void>;
}

type Ending = { readonly fetched: Fetched } | { readonly error: unknown };

/** Tells the id of a transfer from that of a share. */
export function isTransferId(text: string): boolean {
  return /^t[0-9]+$/.test(text);
}

export class Transfers {
  readonly #node: ShoalNode;
  readonly #jobs = new Map<string, Job>();
  readonly #listeners = new Set<(transfer: TransferView) => void>();
  /** Whether there is a daemon, which carries out those that no command waits for. */
  #isCarryingOut = false;

  constructor(node: ShoalNode) {
    this.#node = node;
    const list = node.home?.catalog.transfers;
    for (const record of list?.list() ?? []) {
      const link = list?.linkOf(record.id);
      if (link !== undefined) this.#jobs.set(record.id, jobOf(record, link));
    }
  }

  /** Fetches for a command that waits. @throws ShoalError as `fetch` does; `interrupted` also when it is cancelled from elsewhere */
  async follow(wanted: Wanted, emit: Emit, signal: AbortSignal, told: Told = {}): Promise<Fetched> {
    const { promise, resolve } = Promise.withResolvers<Ending>();
    const job = this.#newJob(wanted, { emit, told, settle: resolve });
    this.#jobs.set(job.id, job);
    const onAbort = (): void => {
      // A paused one has nothing under way that would end.
      if (job.state === 'paused') resolve({ error: signal.reason });
      else job.stop?.abort(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      this.#start(job);
      if (signal.aborted) onAbort();
      const ending = await promise;
      await job.over;
      if ('error' in ending) throw ending.error;
      return ending.fetched;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#jobs.delete(job.id);
    }
  }

  /**
   * Notes a fetch that the daemon carries out, now or when there is one; where it has the same one to do already, goes on
   * with that.
   * @throws ShoalError `bad-link`, `key-missing`
   */
  add(wanted: Wanted): TransferView {
    const same = this.#sameAs(wanted);
    if (same !== undefined) return this.resume(same.id);
    const job = this.#newJob(wanted);
    this.#list().add(recordOf(job), wanted.link);
    this.#jobs.set(job.id, job);
    this.#tell(job);
    this.#fillUp();
    return viewOf(job);
  }

  /** Carries out what no command waits for, until the returned function is called; what is under way goes on the next time. */
  carryOut(): () => void {
    this.#isCarryingOut = true;
    this.#fillUp();
    return () => {
      this.#isCarryingOut = false;
      for (const job of this.#jobs.values())
        if (job.attached === undefined && job.state === 'running') this.#haltAndKeep(job, 'queued');
    };
  }

  list(): TransferView[] {
    return [...this.#jobs.values()].map(viewOf);
  }

  /** @throws ShoalError `usage` where it is over */
  pause(id: string): TransferView {
    const job = this.#job(id);
    if (job.state === 'done' || job.state === 'failed')
      throw new ShoalError('usage', `cannot pause transfer ${id}: it is ${job.state} already`);
    this.#keep({ ...job, state: 'paused' });
    this.#halt(job, 'paused');
    job.attached?.emit({ event: 'waiting', why: `paused by another command; "shoal transfers resume ${id}" goes on` });
    this.#fillUp();
    return viewOf(job);
  }

  /** Goes on with a paused or failed one. @throws ShoalError `usage` where it is done */
  resume(id: string): TransferView {
    const job = this.#job(id);
    if (job.state === 'done') throw new ShoalError('usage', `cannot resume transfer ${id}: it is done already`);
    if (job.state === 'paused' || job.state === 'failed') {
      const changes = { state: 'queued', detail: undefined } as const;
      this.#keep({ ...job, ...changes });
      Object.assign(job, changes);
      if (job.attached !== undefined) this.#start(job);
      else this.#fillUp();
      this.#tell(job);
    }
    return viewOf(job);
  }

  /**
   * Ends one and forgets it, with what was fetched so far; a done one is only forgotten, and its output stays.
   * @returns how it stood in the end: one that was not over is `paused`
   */
  async cancel(id: string, signal: AbortSignal): Promise<TransferView> {
    const job = this.#job(id);
    const isOver = job.state === 'done' || job.state === 'failed';
    if (!isOver) this.#haltAndKeep(job, 'paused');
    job.attached?.settle({
      error: new ShoalError('interrupted', 'the transfer was cancelled by another command of this home'),
    });
    await job.over;
    // This gives back its room: where the disk is full, nothing can be noted before.
    if (job.state !== 'done') await this.#node.abandon(job.link.id, job.wanted.output, signal);
    if (job.attached === undefined) this.#list().remove(id);
    this.#jobs.delete(id);
    this.#tell(job);
    this.#fillUp();
    return viewOf(job);
  }

  /** Told as transfers move, some times a second, and whenever one changes its state. */
  onChange(listener: (transfer: TransferView) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #newJob(wanted: Wanted, attached?: Job['attached']): Job {
    const link = parseLink(wanted.link);
    keyOf(link);
    const job: Job = {
      id: this.#newId(),
      link,
      wanted,
      createdAt: Math.floor(Date.now() / 1000),
      ...(attached === undefined ? {} : { attached }),
      state: 'queued',
      ...UNMOVED,
    };
    return job;
  }

  /** The fetch without a command that has the same to do, unless it is done. */
  #sameAs(wanted: Wanted): Job | undefined {
    const link = parseLink(wanted.link);
    const key = keyOf(link);
    return [...this.#jobs.values()].find(
      job =>
        job.attached === undefined &&
        job.state !== 'done' &&
        job.link.id === link.id &&
        sameBytes(keyOf(job.link), key) &&
        job.wanted.output === wanted.output &&
        job.wanted.force === wanted.force &&
        job.wanted.keep === wanted.keep &&
        JSON.stringify(job.wanted.only) === JSON.stringify(wanted.only),
    );
  }

  #newId(): string {
    for (;;) {
      const id = `t${randomInt(1000, 1_000_000)}`;
      if (!this.#jobs.has(id)) return id;
    }
  }

  /** Starts those that wait for their turn, as many as may run at once. */
  #fillUp(): void {
    if (!this.#isCarryingOut) return;
    const own = [...this.#jobs.values()].filter(job => job.attached === undefined);
    const free = MAX_TRANSFERS - own.filter(job => job.state === 'running').length;
    for (const job of own.filter(({ state }) => state === 'queued').slice(0, Math.max(0, free))) this.#start(job);
    const done = own.filter(({ state }) => state === 'done');
    for (const job of done.slice(0, Math.max(0, done.length - MAX_DONE_TRANSFERS))) {
      this.#ifPossible(job, () => {
        this.#list().remove(job.id);
        this.#jobs.delete(job.id);
      });
    }
  }

  #start(job: Job): void {
    const stop = new AbortController();
    const before = job.over;
    Object.assign(job, { state: 'running', stop });
    this.#tell(job);
    job.over = before.then(() => this.#run(job, stop));
  }

  /** One attempt, until it is there, fails, or is halted. Never fails. */
  async #run(job: Job, stop: AbortController): Promise<void> {
    const { link, wanted, attached } = job;
    const { output, force, keep, only, timeoutMs } = wanted;
    const emit: Emit = event => {
      this.#note(job, event);
      attached?.emit(event);
    };
    let ending: Ending;
    try {
      const request = { link, output, force, keep, ...onlyOf(only), timeoutMs, ...attached?.told };
      ending = { fetched: await this.#node.fetch(request, emit, stop.signal) };
    } catch (error) {
      ending = { error };
    }
    if (job.stop !== stop || job.state !== 'running') return;
    if ('fetched' in ending) {
      const { path, manifest, sizeBytes } = ending.fetched;
      const done = { state: 'done', path, name: manifest.name, totalBytes: sizeBytes, doneBytes: sizeBytes } as const;
      Object.assign(job, { ...done, peers: 0, detail: undefined });
    } else {
      Object.assign(job, { state: 'failed', peers: 0, detail: sentenceOf(ending.error) });
    }
    this.#ifPossible(job, () => {
      if (job.state === 'done' && keep && attached === undefined)
        this.#node.service.serveAs(link.id, { serveAlways: true });
      this.#keep(job);
    });
    this.#tell(job);
    attached?.settle(ending);
    this.#fillUp();
  }

  #haltAndKeep(job: Job, state: 'queued' | 'paused'): void {
    this.#halt(job, state);
    this.#ifPossible(job, () => this.#keep(job));
  }

  #halt(job: Job, state: 'queued' | 'paused'): void {
    job.state = state;
    job.peers = 0;
    job.detail = undefined;
    job.stop?.abort(new ShoalError('interrupted', 'stopped on request'));
    this.#tell(job);
  }

  #note(job: Job, event: FetchEvent): void {
    if (event.event === 'opened') {
      Object.assign(job, { name: event.name, totalBytes: event.sizeBytes, detail: undefined });
      this.#ifPossible(job, () => this.#keep(job));
    } else if (event.event === 'waiting') {
      job.detail = event.why;
    } else if (event.event === 'resumed') {
      job.doneBytes = event.bytes;
      job.rate = { perSecond: 0, bytes: event.bytes, ms: performance.now() };
    } else if (event.event === 'progress') {
      const { doneBytes, totalBytes, peers } = event;
      Object.assign(job, { doneBytes, totalBytes, peers, detail: undefined });
      const now = performance.now();
      const { bytes, ms } = job.rate;
      if (now - ms >= 1000)
        job.rate = { perSecond: ((doneBytes - bytes) * 1000) / (now - ms), bytes: doneBytes, ms: now };
      if (now - job.toldMs < TRANSFER_EVENT_MS) return;
    } else {
      return;
    }
    this.#tell(job);
  }

  #tell(job: Job): void {
    job.toldMs = performance.now();
    const view = viewOf(job);
    for (const listener of this.#listeners) listener(view);
  }

  /** Writes down how one stands that no command waits for. */
  #keep(job: Job): void {
    if (job.attached === undefined && this.#jobs.has(job.id)) this.#list().update(recordOf(job));
  }

  /** Where it can't be noted, as on a full disk, the transfer goes on; after a restart it is as it was noted last. */
  #ifPossible(job: Job, note: () => void): void {
    try {
      note();
    } catch (error) {
      if (!isShoalError(error)) throw error;
      job.detail = `this can not be noted: ${error.message}`;
    }
  }

  #job(id: string): Job {
    const job = this.#jobs.get(id);
    if (job === undefined)
      throw new ShoalError(
        'unknown-share',
        `there is no transfer ${quoted(id)}; "shoal transfers" lists those there are`,
      );
    return job;
  }

  #list() {
    const { home } = this.#node;
    if (home === undefined) throw new Error('only a home has transfers');
    return home.catalog.transfers;
  }
}

const UNMOVED = { doneBytes: 0, peers: 0, rate: { perSecond: 0, bytes: 0, ms: 0 }, toldMs: 0, over: Promise.resolve() };
/** A rate that was measured so long ago says nothing about now. */
const RATE_GOOD_MS = 5_000;

function viewOf(job: Job): TransferView {
  const { id, link, wanted, state, detail, name, path, doneBytes, totalBytes, peers, rate, createdAt } = job;
  const isMoving = state === 'running' && performance.now() - rate.ms < RATE_GOOD_MS;
  return {
    id,
    share: link.id,
    ...(name === undefined ? {} : { name }),
    output: wanted.output,
    ...(path === undefined ? {} : { path }),
    state,
    ...(detail === undefined ? {} : { detail }),
    attached: job.attached !== undefined,
    doneBytes,
    ...(totalBytes === undefined ? {} : { totalBytes }),
    bytesPerSecond: isMoving ? Math.round(rate.perSecond) : 0,
    peers,
    createdAt,
  };
}

function jobOf(record: TransferRecord, link: string): Job {
  const { id, output, only, force, keep, state, detail, name, sizeBytes, doneBytes = 0, path, createdAt } = record;
  return {
    id,
    link: parseLink(link),
    wanted: { link, output, only: [...only], force, keep },
    createdAt,
    state: state === 'wanted' ? 'queued' : state,
    ...(detail === undefined ? {} : { detail }),
    ...(name === undefined ? {} : { name }),
    ...(sizeBytes === undefined ? {} : { totalBytes: sizeBytes }),
    ...(path === undefined ? {} : { path }),
    ...UNMOVED,
    doneBytes: state === 'done' ? (sizeBytes ?? 0) : doneBytes,
  };
}

function recordOf({
  id,
  link,
  wanted,
  state,
  detail,
  name,
  totalBytes,
  doneBytes,
  path,
  createdAt,
}: Job): TransferRecord {
  const { output, only, force, keep } = wanted;
  return {
    id,
    share: link.id,
    output,
    only,
    force,
    keep,
    state: state === 'queued' || state === 'running' ? 'wanted' : state,
    ...(detail === undefined || state !== 'failed' ? {} : { detail }),
    ...(name === undefined ? {} : { name }),
    ...(totalBytes === undefined ? {} : { sizeBytes: totalBytes }),
    ...(doneBytes === 0 ? {} : { doneBytes }),
    ...(path === undefined ? {} : { path }),
    createdAt,
  };
}

function sentenceOf(error: unknown): string {
  return isShoalError(error)
    ? error.message
    : `internal error: ${error instanceof Error ? error.message : String(error)}`;
}
