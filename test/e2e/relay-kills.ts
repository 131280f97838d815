/**
 * Kills a relay again and again, each time at a chosen moment while shares are left at it, renewed, withdrawn and over, and
 * starts it again on the same data folder. Then all that it has promised must be there, what was withdrawn must not, and
 * nothing else may take room. The tests and the heavy tests run it with different numbers of moments.
 *
 * Moments are right before a call that changes a file (kill-before.ts), counted from the start of the relay or from when it is
 * about to be asked; or right when an answer of the relay has come.
 */
import { AssertionError, expect } from 'chai';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { getData, getListing } from '../../src/carry.ts';
import { systemClock } from '../../src/clock.ts';
import { verifier } from '../../src/crypto/verify.ts';
import { Download } from '../../src/download.ts';
import { isShoalError } from '../../src/errors.ts';
import { openDatabase } from '../../src/files/sqlite.ts';
import { decode } from '../../src/format/canonical.ts';
import { dayOf, rendezvous, type BlockId, type Digest } from '../../src/format/ids.ts';
import { createNetwork } from '../../src/net/node.ts';
import type { Candidate, ChunkSource, Network } from '../../src/ports.ts';
import { CHUNKS_PROTOCOL, encodeMessage } from '../../src/protocol/messages.ts';
import { encodeNoticeMessage, NOTICE_PROTOCOL } from '../../src/protocol/notice-messages.ts';
import { proofOf } from '../../src/protocol/proof.ts';
import { Server } from '../../src/serve.ts';
import { onlyPeer } from '../../src/only-peer.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { renew, upload } from '../../src/upload.ts';
import { blockOf, expectSame, makeShare, withdrawalOf, type TestShare } from '../contract/chunk-source.ts';
import { loopbackNode } from '../net/harness.ts';
import { Command } from './harness.ts';
import { randoms } from './kills.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/shoal-relay.js', import.meta.url));
const PRELOAD = new URL('kill-before.ts', import.meta.url).href;
const MIB = 1024 * 1024;
/** Far more than any one moment takes. */
const MOMENT_TIMEOUT_MS = 30_000;
/** Far more than it takes until the end of a process is noticed, or what was removed is gone. */
const NOTICED_MS = 10_000;
/** Of the leases that are not to end while the test runs. */
const LONG_SECONDS = 86_400;
/** Shares that are kept at once; with more, one is withdrawn. */
const MOST_KEPT = 5;
/** The moments that come first end with all answered, and count what calls there are. */
const COUNTED = 3;

const CONFIG = `
[relay]
name = "to be killed"
steady_clock = "20ms"
[network]
listen = ["/ip4/127.0.0.1/tcp/0"]
[log]
level = "debug"
[roles]
dht = false
circuit = false
autonat = false
http = false
[limits]
uploads = 1000
[limits.prefix]
uploads = 1000
connections_per_second = 1000
served_bytes_per_day = "100 TB"
[limits.peer]
uploads = 1000
connections_per_second = 1000
served_bytes_per_day = "100 TB"
[tiers.anonymous]
leases = 100000
stored_bytes = "10 TB"
lease_time = "30 days"
`;

export function relayKillTests({ seed, moments }: { readonly seed: number; readonly moments: number }): void {
  let trial: Trial | undefined;
  afterEach(async () => {
    await trial?.close();
    trial = undefined;
  });

  it(`a relay that is killed at ${moments} moments loses nothing that it has promised, and keeps nothing else`, async function () {
    this.timeout((moments + 10) * MOMENT_TIMEOUT_MS);
    trial = await Trial.begin(seed);
    await trial.init();
    for (let n = 0; n < moments; n++) await trial.moment(n);
    await trial.end();
    expect(
      Object.entries(trial.counts).filter(([, count]) => count === 0),
      `seed ${seed}`,
    ).to.deep.equal([]);
  });
}

/** A share that was left at the relay, by what its owner knows. Times are Unix seconds. */
interface Left {
  readonly share: TestShare;
  /** Of its blocks but the share block. */
  readonly sizeBytes: number;
  /** How long it is to be kept at first. */
  readonly wantedSeconds: number;
  /** The latest end for which there is a receipt; 0 for none. */
  promised: number;
  /** The latest end that was asked for. */
  asked: number;
  withdrawal: 'none' | 'asked' | 'obeyed';
  /** Bytes of its blocks that the relay had when it was last started, where it is being uploaded. */
  thereBytes: number;
}

/** A relay that runs, or has been killed. */
interface Running {
  readonly command: Command;
  readonly log: string;
  readonly place: Candidate;
}

interface LeaseRow {
  readonly state: string;
  readonly until: number;
}

class Trial {
  readonly counts = { resumed: 0, renewed: 0, withdrawn: 0, ended: 0, interrupted: 0, idle: 0 };
  readonly #seed: number;
  readonly #choose: () => number;
  readonly #folder: string;
  readonly #sharer: Network;
  readonly #reader: Network;
  readonly #server: Server;
  readonly #shares: Map<BlockId, TestShare>;
  /** Bytes of each share that have left the sharer. */
  readonly #sent: Map<BlockId, number>;
  readonly #left = new Map<BlockId, Left>();
  readonly #withdrawn = new Map<BlockId, Left>();
  /** The most calls there were: from the start until it runs, and from then on. */
  readonly #calls = { starting: 1, asked: 1 };
  #relay: Command | undefined;
  #before = '';
  /** What the sharer gets for its own reading. */
  #wrong = 0;
  /** Called at each answer. */
  #onAnswer = (): void => undefined;

  private constructor(
    seed: number,
    folder: string,
    [sharer, reader]: readonly [Network, Network],
    [shares, sent]: readonly [Map<BlockId, TestShare>, Map<BlockId, number>],
    server: Server,
  ) {
    this.#seed = seed;
    this.#choose = randoms(seed);
    this.#folder = folder;
    [this.#sharer, this.#reader, this.#server] = [sharer, reader, server];
    [this.#shares, this.#sent] = [shares, sent];
  }

  static async begin(seed: number): Promise<Trial> {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-relay-kill-'));
    const sharer = await createNetwork(loopbackNode());
    const reader = await createNetwork(loopbackNode());
    const shares = new Map<BlockId, TestShare>();
    const sent = new Map<BlockId, number>();
    const server = await Server.start({
      network: sharer,
      source: sourceOf(shares),
      refusals: { for: () => undefined },
      clock: systemClock,
      log: () => undefined,
      onServed: ({ id, bytes }) => sent.set(id, (sent.get(id) ?? 0) + bytes),
    });
    return new Trial(seed, folder, [sharer, reader], [shares, sent], server);
  }

  async init(): Promise<void> {
    await mkdir(this.#home, { mode: 0o700 });
    const made = await this.#spawn(['init', '--name', 'x']).ended;
    expect(made.code, made.stderr).to.equal(0);
    await writeFile(join(this.#home, 'config.toml'), CONFIG);
    // An orderly end writes the compile cache, by which all others start faster.
    const first = this.#spawn(['run']);
    await first.says(/the relay runs/);
    first.kill('SIGTERM');
    expect((await first.ended).code, first.stderr).to.equal(0);
  }

  /** One life of the relay, which ends by SIGKILL. */
  async moment(n: number): Promise<void> {
    const kind = n < COUNTED ? 'idle' : (['asked', 'start', 'asked', 'answer', 'asked'] as const)[n % 5]!;
    const when = this.#when(kind);
    await this.#explained(`moment ${n} (${kind} ${when})`, async () => {
      const command = this.#spawn(['run'], when);
      const isKilled = await this.#isKilledIn(command, async () => {
        const relay = await this.#started(command, n);
        await this.#look(relay);
        command.kill('SIGUSR2');
        let answers = kind === 'answer' ? 1 + Math.floor(this.#choose() * 5) : Infinity;
        this.#onAnswer = () => {
          if (--answers === 0) command.kill();
        };
        await this.#ask(relay);
        if (n < COUNTED) await this.#count(relay);
      });
      if (!isKilled) this.counts.idle++;
      await command.destroy();
      await this.#lookAtDisk();
    });
  }

  /** A last life, in which all that is over goes. */
  async end(): Promise<void> {
    await this.#explained('the end', async () => {
      const command = this.#spawn(['run']);
      const relay = await this.#started(command, -1);
      await this.#look(relay);
      const isOver = ({ promised }: Left): boolean => promised > 0 && promised <= nowSeconds() + LONG_SECONDS / 2;
      const remain = [...this.#left.values()].filter(left => !isOver(left));
      const begun = remain.filter(({ promised, withdrawal }) => promised === 0 || withdrawal === 'asked');
      await eventually(command, 'what is over is gone', async () => {
        const folders = new Set(await readdir(this.#chunks));
        for (const { share } of begun) folders.delete(share.id);
        const kept = remain.filter(left => !begun.includes(left)).map(({ share }) => share.id);
        expect([...folders]).to.have.members(kept);
      });
      command.kill('SIGTERM');
      expect((await command.ended).code).to.equal(0);
    });
  }

  async close(): Promise<void> {
    await this.#relay?.destroy();
    await this.#sharer.stop();
    await this.#reader.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #home(): string {
    return join(this.#folder, 'relay');
  }

  get #chunks(): string {
    return join(this.#home, 'chunks');
  }

  #when(kind: 'idle' | 'asked' | 'start' | 'answer'): string {
    const { starting, asked } = this.#calls;
    // Somewhat beyond what a start takes: there it ends what is over.
    if (kind === 'start') return String(1 + Math.floor(this.#choose() * (starting + 20)));
    if (kind === 'asked') return `signal+${1 + Math.floor(this.#choose() * asked)}`;
    return 'signal+1000000';
  }

  #spawn(args: readonly string[], when = ''): Command {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: this.#folder,
        SHOAL_RELAY_HOME: this.#home,
        NODE_COMPILE_CACHE: join(this.#folder, 'compiled'),
        NODE_OPTIONS: `--import=${PRELOAD} --disable-warning=ExperimentalWarning`,
        KILL_BEFORE: when,
        KILL_LOG: this.#log,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#relay = new Command(child, 'relay', args);
    return this.#relay;
  }

  get #log(): string {
    return join(this.#folder, 'calls');
  }

  /** Until it has an address. */
  async #started(command: Command, n: number): Promise<Running> {
    await command.says(/the relay runs/);
    const { peer, addresses } = await statusAt(join(this.#home, 'admin.sock'));
    if (n >= 0 && n < COUNTED) {
      const calls = (await readFile(this.#log, 'utf8')).trimEnd().split('\n').length;
      this.#calls.starting = Math.max(this.#calls.starting, calls);
    }
    return { command, log: this.#log, place: { peer, addresses, via: 'hint' } };
  }

  async #count({ log }: Running): Promise<void> {
    const calls = (await readFile(log, 'utf8')).trimEnd().split('\n');
    this.#calls.asked = Math.max(this.#calls.asked, calls.length - calls.lastIndexOf('signal') - 1);
  }

  /** Whether `work` ended because the relay was killed. What was found to be wrong is wrong nevertheless. */
  async #isKilledIn(command: Command, work: () => Promise<void>): Promise<boolean> {
    let failure: unknown;
    try {
      await work();
    } catch (error) {
      failure = error;
    } finally {
      this.#onAnswer = () => undefined;
    }
    expect(this.#wrong, 'wrong bytes').to.equal(0);
    if (failure === undefined) return false;
    if (failure instanceof AssertionError) throw failure;
    const ended = await Promise.race([command.ended, sleep(NOTICED_MS, undefined, { ref: false })]);
    if (ended === undefined) throw failure as Error;
    expect(ended.code, `it ended by itself: ${ended.stderr}`).to.equal(null);
    return true;
  }

  /** Says of a failure in which moment it was, and what the relay said. */
  async #explained(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await rm(this.#log, { force: true });
      await work();
      expect(this.#relay?.stderr).not.to.match(/"level":"(warn|error)"/);
      this.#before = `${what}: killed before ${await lastLine(this.#log)}`;
    } catch (error) {
      const last = await lastLine(this.#log);
      const report = `after ${this.#before}\nlast call: ${last}\n${this.#relay?.report() ?? ''}`;
      throw new Error(`seed ${this.#seed}, ${what}: ${(error as Error).message}\n${report}`, { cause: error });
    }
  }

  /** What has to hold of what a kill leaves: at no moment is a lease without its blocks. */
  async #lookAtDisk(): Promise<void> {
    const copy = await mkdtemp(join(this.#folder, 'left-'));
    for (const name of await readdir(this.#home)) {
      if (/^leases\.sqlite(-wal)?$/.test(name)) await copyFile(join(this.#home, name), join(copy, name));
    }
    const { leases, withdrawn } = recordsIn(copy);
    await rm(copy, { recursive: true });
    for (const [id, { state }] of leases) {
      if (state !== 'kept') continue;
      const left = this.#left.get(id);
      expect(left, 'a lease that nobody asked for').not.to.equal(undefined);
      expect(await blockBytesIn(join(this.#chunks, id)), 'bytes of a lease').to.equal(left?.sizeBytes);
    }
    for (const id of this.#withdrawn.keys())
      expect([leases.has(id), withdrawn.has(id)], 'withdrawn').to.deep.equal([false, true]);
  }

  /** What has to hold whenever the relay has started again. */
  async #look(relay: Running): Promise<void> {
    const { leases, withdrawn } = recordsIn(this.#home);
    const now = nowSeconds();
    for (const { share, promised, withdrawal } of this.#left.values()) {
      const row = leases.get(share.id);
      const [isGone, isOver] = [withdrawn.has(share.id), promised <= now];
      expect(isGone && withdrawal === 'none', 'nobody has withdrawn it').to.equal(false);
      if (isOver || isGone) continue;
      expect(row, 'a lease that was promised').to.include({ state: 'kept' });
      expect(row?.until, 'its end').to.be.at.least(promised);
    }
    for (const [id] of this.#withdrawn) {
      expect([leases.has(id), withdrawn.has(id)], 'withdrawn').to.deep.equal([false, true]);
    }
    await this.#lookAtFolders(relay);
    for (const left of [...this.#left.values()]) await this.#lookAt(relay, left, leases, withdrawn);
    for (const { share } of [...this.#withdrawn.values()].slice(-2)) await this.#expectWithdrawn(relay, share);
  }

  /** Folders are there for leases, and for nothing else. */
  async #lookAtFolders({ command }: Running): Promise<void> {
    const gone = (await readdir(this.#chunks)).filter(id => this.#withdrawn.has(id as BlockId));
    expect(gone, 'bytes of what was withdrawn').to.deep.equal([]);
    // Of what is over just now, the folder goes after the row.
    await eventually(command, 'each folder is of a lease, and each lease has one', async () => {
      const folders = await readdir(this.#chunks);
      const { leases } = recordsIn(this.#home);
      expect(folders.filter(id => !leases.has(id as BlockId))).to.deep.equal([]);
      const kept = [...leases].filter(([, { state }]) => state === 'kept').map(([id]) => id);
      expect(folders).to.include.members(kept);
    });
  }

  async #lookAt(
    relay: Running,
    left: Left,
    leases: ReadonlyMap<BlockId, LeaseRow>,
    withdrawn: ReadonlySet<BlockId>,
  ): Promise<void> {
    const { id } = left.share;
    const row = leases.get(id);
    if (withdrawn.has(id)) {
      this.#noteWithdrawn(left);
    } else if (left.promised > 0 && left.promised <= nowSeconds()) {
      // It may have been renewed without that we heard of it.
      if (row !== undefined) return;
      this.counts.ended++;
      this.#forget(id);
    } else if (row?.state === 'kept') {
      await this.#fetch(relay, left).catch((error: unknown) => {
        if (row.until > nowSeconds()) throw error;
      });
    } else {
      left.thereBytes = await blockBytesIn(join(this.#chunks, id));
    }
  }

  /** Gets all of a share from the relay as anyone does, and compares each block with what was left there. */
  async #fetch({ place }: Running, { share }: Left): Promise<void> {
    const store = memoryStore();
    const verify = async (bytes: Uint8Array, digest: Digest): Promise<void> => {
      await verifier()
        .verify(bytes, digest)
        .catch((error: unknown) => {
          this.#wrong++;
          throw error;
        });
    };
    const { signal } = new AbortController();
    const download = new Download(
      { network: onlyPeer(this.#reader, place), crypto: { verify }, clock: systemClock },
      { id: share.id, hints: [], timeoutMs: NOTICED_MS, signal, onEvent: () => undefined },
    );
    try {
      const listing = await getListing(download, store, { verify }, share.id);
      await getData({ store, crypto: { verify } }, download, share.id, listing, () => undefined, signal);
    } finally {
      await download.close(false);
    }
    for (const { at, bytes } of share.blocks) expectSame(await store.read(share.id, at), bytes);
  }

  /** Nobody gets it, and nobody can bring it back. */
  async #expectWithdrawn(relay: Running, share: TestShare): Promise<void> {
    expect(await this.#greet(relay, share.id), 'who asks for what was withdrawn').to.include({
      type: 'refuse',
      reason: 'withdrawn',
    });
    const failure = await this.#upload(relay, share, nowSeconds() + LONG_SECONDS).then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(failure, 'an upload of what was withdrawn').not.to.equal(undefined);
    // Otherwise the relay must have been killed meanwhile, for which others look.
    if (!isShoalError(failure, 'refused')) throw failure!;
    expect(failure.message).to.include('withdrawn');
  }

  /** Asks for a share, as a fetch begins. @returns the header of the answer */
  async #greet({ place }: Running, id: BlockId): Promise<unknown> {
    const channel = await this.#reader.connect(place, CHUNKS_PROTOCOL, new AbortController().signal);
    const { bytes: key } = rendezvous(id, dayOf(Date.now() / 1000));
    const proof = proofOf(id, this.#reader.self, place.peer);
    await channel.send(encodeMessage({ type: 'hello', key, proof }));
    for await (const { header } of channel.frames()) return decode(header, 'answer');
    throw new Error('the relay said nothing to who asked for a share');
  }

  /** All at once: shares are left, some again; leases are renewed; shares are withdrawn. Fails as the first of it that does. */
  async #ask(relay: Running): Promise<void> {
    const all = [...this.#left.values()];
    const isLong = ({ promised }: Left): boolean => promised > nowSeconds() + LONG_SECONDS / 2;
    const kept = this.#shuffled(all.filter(({ promised, withdrawal }) => promised > 0 && withdrawal === 'none'));
    const unfinished = all.filter(({ promised, withdrawal }) => promised === 0 && withdrawal === 'none');
    const toLeave = [...unfinished];
    if (unfinished.length < 4) {
      toLeave.push(await this.#newShare(Math.ceil((1.2 + 2 * this.#choose()) * MIB), LONG_SECONDS));
      toLeave.push(await this.#newShare(Math.ceil(this.#choose() * 100_000), 2 + Math.floor(this.#choose() * 2)));
    }
    const withdrawn = [
      ...all.filter(({ withdrawal }) => withdrawal === 'asked'),
      ...kept.filter(isLong).slice(MOST_KEPT - 1),
      // While it is being uploaded.
      ...unfinished.slice(0, this.#choose() < 0.3 ? 1 : 0),
      ...kept.filter(left => !isLong(left)).slice(0, this.#choose() < 0.2 ? 1 : 0),
    ];
    // Some of what is renewed is withdrawn at the same time, some is nearly over.
    const work = [
      ...toLeave.map(left => this.#leave(relay, left)),
      ...kept.slice(0, 3).map(left => this.#renew(relay, left)),
      // Who hears nothing says it again.
      ...[...withdrawn, ...withdrawn].map(left => this.#withdraw(relay, left)),
    ];
    const failed = (await Promise.allSettled(work)).filter(({ status }) => status === 'rejected');
    const [first] = failed.map(result => (result as PromiseRejectedResult).reason as unknown);
    const wrong = failed.map(result => (result as PromiseRejectedResult).reason as unknown).find(isWrong);
    if (first !== undefined) throw (wrong ?? first) as Error;
  }

  async #newShare(size: number, wantedSeconds: number): Promise<Left> {
    const share = await makeShare('file', { file: randomBytes(size) });
    const sizeBytes = share.blocks.reduce((sum, { at, bytes }) => sum + (at.kind === 'share' ? 0 : bytes.length), 0);
    const left: Left = { share, sizeBytes, wantedSeconds, promised: 0, asked: 0, withdrawal: 'none', thereBytes: 0 };
    this.#shares.set(share.id, share);
    this.#server.add(share.id);
    this.#left.set(share.id, left);
    return left;
  }

  async #upload({ place }: Running, share: TestShare, until: number): Promise<number> {
    const request = { relay: place, id: share.id, block: blockOf(share), until };
    const deps = { network: this.#sharer, clock: systemClock };
    const stored = await upload(deps, request, () => undefined, new AbortController().signal);
    this.#onAnswer();
    return stored.until;
  }

  async #leave(relay: Running, left: Left): Promise<void> {
    const { share, sizeBytes, wantedSeconds, thereBytes } = left;
    left.asked = Math.max(left.asked, nowSeconds() + wantedSeconds);
    this.#sent.set(share.id, 0);
    try {
      left.promised = Math.max(left.promised, await this.#upload(relay, share, left.asked));
    } catch (error) {
      this.counts.interrupted++;
      // Who withdraws it stops it; and on a slow machine it may take longer than it was to be kept.
      if ((left.withdrawal !== 'none' && isAnswer(error)) || isLate(error, left.asked)) return;
      throw error;
    }
    expect(this.#sent.get(share.id), 'what was there is not asked for again').to.be.at.most(sizeBytes - thereBytes);
    if (thereBytes > 0) this.counts.resumed++;
  }

  async #renew({ place }: Running, left: Left): Promise<void> {
    const { share } = left;
    const until = (left.asked = Math.max(left.asked, left.promised) + 1);
    const request = { relay: place, id: share.id, block: blockOf(share), until, ownerSeed: share.ownerSeed };
    const deps = { network: this.#sharer, clock: systemClock };
    try {
      const stored = await renew(deps, request, new AbortController().signal);
      this.#onAnswer();
      if (stored === undefined) {
        expect(left.promised, 'a lease that the relay knows nothing of').to.be.at.most(nowSeconds());
        return;
      }
      expect(stored.until).to.equal(until);
      left.promised = Math.max(left.promised, stored.until);
      this.counts.renewed++;
    } catch (error) {
      if ((left.withdrawal !== 'none' && isAnswer(error)) || isLate(error, until)) return;
      throw error;
    }
  }

  async #withdraw({ place }: Running, left: Left): Promise<void> {
    if (left.withdrawal === 'none') left.withdrawal = 'asked';
    const { statement, block } = withdrawalOf(left.share);
    const channel = await this.#sharer.connect(place, NOTICE_PROTOCOL, new AbortController().signal);
    await channel.send(encodeNoticeMessage({ type: 'withdrawal', statement }), block);
    for await (const { header } of channel.frames()) {
      const { type } = decode(header, 'answer') as { type: string };
      this.#onAnswer();
      if (type === 'obeyed') {
        this.#noteWithdrawn(left);
        expect(await readdir(this.#chunks)).not.to.include(left.share.id);
      } else {
        // Nothing is held of what is over, or had not yet been asked for.
        expect(left.promised, 'a withdrawal that is dropped').to.be.at.most(nowSeconds());
        expect(left.withdrawal, 'a withdrawal that is dropped').to.equal('asked');
      }
      return;
    }
    throw new Error('the relay said nothing to a withdrawal');
  }

  #noteWithdrawn(left: Left): void {
    if (left.withdrawal !== 'obeyed') this.counts.withdrawn++;
    left.withdrawal = 'obeyed';
    this.#withdrawn.set(left.share.id, left);
    this.#forget(left.share.id);
  }

  #forget(id: BlockId): void {
    this.#left.delete(id);
    if (this.#withdrawn.has(id)) return;
    this.#server.remove(id);
    this.#shares.delete(id);
  }

  #shuffled<T>(all: readonly T[]): T[] {
    return all
      .map(one => ({ one, at: this.#choose() }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
  }
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** What is read of a share when the relay asks for it. */
function sourceOf(shares: ReadonlyMap<BlockId, TestShare>): ChunkSource {
  return {
    have: id => Promise.resolve(shares.has(id) ? 'all' : undefined),
    read: (id, at) => {
      const same = (other: typeof at): boolean => JSON.stringify(Object.entries(other)) === wanted;
      const { kind } = at;
      const wanted = JSON.stringify(
        Object.entries(kind === 'share' ? { kind } : { kind, stream: at.stream, index: at.index }),
      );
      const found = shares.get(id)?.blocks.find(block => same(block.at));
      if (found === undefined) throw new Error('the relay asks for a block that there is not');
      return Promise.resolve(Uint8Array.from(found.bytes));
    },
  };
}

/** A relay's records, as they are on the disk. */
function recordsIn(folder: string): { leases: Map<BlockId, LeaseRow>; withdrawn: Set<BlockId> } {
  const database = openDatabase(join(folder, 'leases.sqlite'), { readOnly: true, busyTimeoutMs: NOTICED_MS });
  try {
    const leases = database.prepare('SELECT id, state, until FROM leases').all();
    const withdrawals = database.prepare('SELECT id FROM withdrawals').all();
    return {
      // The table is strict, so that each column is of its type.
      leases: new Map(leases.map(({ id, state, until }) => [id, { state, until }] as unknown as [BlockId, LeaseRow])),
      withdrawn: new Set(withdrawals.map(({ id }) => id as BlockId)),
    };
  } finally {
    database.close();
  }
}

/** A relay that answers and says no has not been killed. */
function isAnswer(error: unknown): boolean {
  return isShoalError(error) && error.message.startsWith('the relay does not keep the share');
}

/** Whether something failed by which a lease was to have ended already. */
function isLate(error: unknown, until: number): boolean {
  return isShoalError(error) && until <= nowSeconds();
}

function isWrong(error: unknown): boolean {
  return error instanceof AssertionError || isAnswer(error) || isShoalError(error, 'protocol');
}

/** Bytes of the blocks in the folder of a share, but for the share block and what is not finished. */
async function blockBytesIn(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = names.filter(entry => entry.isFile() && !entry.name.startsWith('part-') && entry.name !== 'share');
  const sizes = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name))));
  return sizes.reduce((sum, { size }) => sum + size, 0);
}

async function statusAt(socketPath: string): Promise<{ peer: string; addresses: string[] }> {
  const text = await new Promise<string>((resolve, reject) => {
    const request = get({ socketPath, path: '/status' }, response => {
      let all = '';
      response.setEncoding('utf8').on('data', (part: string) => (all += part));
      response.on('end', () => resolve(all)).on('error', reject);
    });
    request.on('error', reject);
  });
  return JSON.parse(text) as { peer: string; addresses: string[] };
}

async function lastLine(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').at(-1) ?? '';
}

/**
 * Waits until something holds that a relay brings about by itself. Fails as `look` does where it does not, and otherwise where
 * the relay has been killed meanwhile.
 */
async function eventually(command: Command, what: string, look: () => Promise<void>): Promise<void> {
  const end = { hasCome: false };
  void command.ended.then(() => (end.hasCome = true));
  for (const deadline = performance.now() + NOTICED_MS; ;) {
    try {
      await look();
      return;
    } catch (error) {
      if (end.hasCome) throw new Error(`killed before it held that ${what}`, { cause: error });
      if (performance.now() > deadline) throw new AssertionError(`${what}: ${(error as Error).message}`);
    }
    await sleep(10);
  }
}
