/** The program as it is shipped, as a process of its own: on loopback, in a home of its own, watched from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'shoal.js');
const LOOK_MS = 25;
/** Alone on loopback: it finds what it is told of. */
const ALONE = ['--no-mdns', '--dht', 'off', '--listen', '/ip4/127.0.0.1/tcp/0'];

/** Where a process runs, if not alone on loopback. */
export interface Place {
  /** Options in front of the command. */
  readonly options: readonly string[];
  /** A network namespace; only for root. */
  readonly namespace?: string;
}

export interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** What is left of a process that has ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** The most memory that it had at once. */
  readonly peakMiB: number;
  /** Of its NDJSON output. */
  readonly events: readonly Event[];
}

/** A process of the program, while it runs. */
export class Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  peakMiB = 0;
  readonly #events: Event[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], home: string, { options, namespace }: Place = { options: ALONE }) {
    const env = { ...process.env, SHOAL_HOME: home, NODE_OPTIONS: '' };
    const command = [process.execPath, PROGRAM, ...options, ...args];
    const [first = '', ...rest] = namespace === undefined ? command : ['ip', 'netns', 'exec', namespace, ...command];
    const child = spawn(first, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    let line = '';
    child.stdout.on('data', (bytes: Buffer) => {
      stdout.push(bytes);
      const lines = (line + bytes.toString()).split('\n');
      line = lines.pop() ?? '';
      for (const text of lines) if (text.startsWith('{')) this.#events.push(JSON.parse(text) as Event);
      for (const wake of this.#waiting) wake();
    });
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
    const timer = setInterval(() => void this.look(), LOOK_MS);
    this.ended = new Promise(resolve => {
      child.once('close', code => {
        clearInterval(timer);
        for (const wake of this.#waiting) wake();
        resolve({
          code,
          stdout: Buffer.concat(stdout),
          stderr: Buffer.concat(stderr),
          peakMiB: this.peakMiB,
          events: this.#events,
        });
      });
    });
  }

  /** Notes the most memory so far. */
  async look(): Promise<number> {
    const status = await readFile(`/proc/${this.child.pid}/status`, 'utf8').catch(() => '');
    const [, kib] = /VmHWM:\s+(\d+)/.exec(status) ?? [];
    if (kib !== undefined) this.peakMiB = Math.max(this.peakMiB, Number(kib) / 1024);
    return this.peakMiB;
  }

  /** The first event that fits, of the past too. */
  async event(fits: (event: Event) => boolean): Promise<Event> {
    for (;;) {
      const found = this.#events.find(fits);
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        const { stdout, stderr } = await this.ended;
        throw new Error(`the process ended before that: ${stdout.toString()}${stderr.toString()}`);
      }
      await new Promise<void>(resolve => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  /** Stops it as Ctrl-C does. */
  async stop(): Promise<Ended> {
    this.child.kill('SIGINT');
    return await this.ended;
  }
}

/** A folder for one suite, and the processes that were started in it. */
export class Stage {
  readonly folder: string;
  readonly #runs = new Set<Run>();
  #homes = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'shoal-hostile-')));
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  start(args: readonly string[], home = this.path(`home-${this.#homes++}`), place?: Place): Run {
    const run = new Run(args, home, place);
    this.#runs.add(run);
    void run.ended.then(() => this.#runs.delete(run));
    return run;
  }

  /** Fetches, and waits for the end. */
  fetch(link: string, output: string, ...more: string[]): Promise<Ended> {
    return this.start(['--json', 'fetch', '-o', output, ...more, link]).ended;
  }

  /** Shares, and waits until it is served. */
  async share(path: string, ...more: string[]): Promise<{ run: Run; link: string }> {
    const run = this.start(['--json', 'share', '--hint', 'self', ...more, path]);
    const { link } = await run.event(({ event }) => event === 'shared');
    return { run, link: String(link) };
  }

  async clear(): Promise<void> {
    for (const run of this.#runs) {
      run.child.kill('SIGKILL');
      await run.ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
