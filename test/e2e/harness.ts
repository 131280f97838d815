/**
 * Homes, folders and processes of one test: real processes of the real program, which are waited for by what they print, by
 * their end, or by files, and which are gone with all they made when the test has ended, however it ended.
 */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, glob, mkdir, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export const PROGRAM = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url));
/** Enough for any one test on a slow machine; a test that hangs fails by it. */
export const TEST_TIMEOUT_MS = 120_000;

/** A line of `--json`: an event, or the one object of a command that has no events. Which of these are there depends on `event`. */
export interface Told {
  readonly event?: string;
  readonly id?: string;
  readonly link?: string;
  readonly again?: boolean;
  readonly addresses?: readonly string[];
  readonly name?: string;
  readonly path?: string;
  readonly paths?: readonly string[];
  readonly source?: string;
  readonly glob?: string;
  readonly note?: string;
  readonly as?: string;
  readonly state?: string;
  readonly peersServed?: number;
  readonly doneBytes?: number;
  readonly totalBytes?: number;
  readonly bytes?: number;
  readonly what?: string;
  readonly via?: string;
  readonly found?: string;
  readonly alreadyThere?: boolean;
  readonly why?: string;
  readonly code?: string;
  /** Unix seconds. */
  readonly expires?: number;
  readonly message?: string;
  readonly exitCode?: number;
  readonly complete?: boolean;
  readonly sources?: readonly {
    readonly peer: string;
    readonly via: string;
    readonly path: string;
    readonly bytes: number;
  }[];
  readonly shares?: readonly Told[];
  readonly transfers?: readonly Told[];
  readonly attached?: boolean;
  readonly detail?: string;
  readonly downloadsLeft?: number;
  readonly pid?: number;
  readonly log?: string;
  readonly daemon?: { readonly pid: number };
  readonly standing?: string;
  readonly exact?: boolean;
  readonly chunks?: number;
  readonly chunksKept?: number;
  readonly next?: string;
  readonly failed?: string;
  readonly stages?: readonly { readonly stage: string; readonly state: string; readonly outcome: string }[];
  readonly differences?: readonly { readonly path: string; readonly what: string }[];
  readonly entries?: readonly { readonly path: string; readonly size: number }[];
  readonly relay?: string;
  /** Unix seconds. */
  readonly until?: number;
  readonly sampled?: number;
  readonly copies?: unknown;
  readonly reservations?: readonly { readonly peer: string; readonly state: string; readonly why?: string }[];
  readonly relays?: readonly Told[];
  readonly holders?: readonly Told[];
  readonly peer?: string;
  readonly origin?: string;
  readonly token?: boolean;
  readonly has?: number;
  readonly problem?: string;
  readonly repaired?: number;
  readonly bytesUp?: number;
  readonly sizeBytes?: number;
  readonly copiesElsewhere?: number;
  readonly store?: { readonly usedBytes: number; readonly quotaBytes?: number; readonly roomBytes: number };
  readonly checks?: readonly { readonly name: string; readonly state: string; readonly message: string }[];
  readonly apart?: readonly { readonly id: string; readonly peer: string; readonly addresses: readonly string[] }[];
}

export interface Ended {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly told: readonly Told[];
  readonly stdout: Buffer;
  readonly stderr: string;
  /** The last event of this name. It is an error when there was none. */
  last(event: string): Told;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Given on stdin, a stream as it comes; without it stdin is empty. */
  readonly stdin?: string | Readable;
  readonly cwd?: string;
  /** A user other than this one; only for root. */
  readonly uid?: number;
  /** A network namespace to run in; only for root. */
  readonly namespace?: string;
  /** Program and arguments in front of the command, which has to become it (exec). */
  readonly before?: readonly string[];
  /** Run instead of this checkout's program by this Node. */
  readonly program?: readonly string[];
}

const alive = new Set<ChildProcess>();
process.once('exit', () => alive.forEach(child => child.kill('SIGKILL')));

/** A command of the program, under way or ended. */
export class Command {
  readonly home: string;
  readonly args: readonly string[];
  readonly pid: number;
  readonly told: Told[] = [];
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  #stderr = '';
  #rest = '';
  #end: Ended | undefined;
  readonly #news = new EventTarget();

  constructor(child: ChildProcess, home: string, args: readonly string[]) {
    this.#child = child;
    this.home = home;
    this.args = args;
    this.pid = child.pid ?? -1;
    alive.add(child);
    const isJson = args.includes('--json');
    child.stdout?.on('data', (bytes: Buffer) => {
      this.#stdout.push(bytes);
      if (isJson) this.#read(bytes.toString('utf8'));
      this.#tell();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#tell();
    });
    this.ended = once(child, 'close').then(([code]) => {
      alive.delete(child);
      this.#end = this.#result(code as number | null);
      this.#tell();
      return this.#end;
    });
    this.ended.catch(() => undefined);
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString('utf8');
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The first event of this name that fits, which may have been told already. Fails when the command ends without it. */
  event(name: string, fits: (told: Told) => boolean = () => true): Promise<Told> {
    return this.#until(() => this.told.find(told => told.event === name && fits(told)), `the event "${name}"`);
  }

  /** Text on stdout or stderr, which may have been printed already. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return await this.#until(() => pattern.exec(this.stdout + this.#stderr) ?? undefined, String(pattern));
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }

  /** Ends it like Ctrl-C, and says how it ended. */
  async interrupt(): Promise<Ended> {
    this.kill('SIGINT');
    return await this.ended;
  }

  /** Ends it at once, and waits until it is gone. */
  async destroy(): Promise<void> {
    this.kill('SIGKILL');
    await this.ended;
  }

  /** For a failed test: all that it printed. */
  report(): string {
    const how = this.#end === undefined ? 'is under way' : `ended with ${this.#end.code}`;
    return `  ${this.home}: shoal ${this.args.join(' ')}: ${how}\n${this.stdout.slice(-4000)}${this.#stderr.slice(-4000)}`;
  }

  async #until<T>(find: () => T | undefined, what: string): Promise<T> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.#end !== undefined) throw new Error(`the command ended without ${what}:\n${this.report()}`);
      await once(this.#news, 'news');
    }
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    this.told.push(...lines.map(line => JSON.parse(line) as Told));
  }

  #tell(): void {
    this.#news.dispatchEvent(new Event('news'));
  }

  #result(code: number | null): Ended {
    const last = (event: string): Told => {
      const found = this.told.findLast(told => told.event === event);
      if (found === undefined) throw new Error(`there was no event "${event}":\n${this.report()}`);
      return found;
    };
    return { code, told: this.told, stdout: Buffer.concat(this.#stdout), stderr: this.#stderr, last };
  }
}

/** A share that is served. */
export interface Sharing {
  readonly command: Command;
  readonly id: string;
  readonly link: string;
  readonly shared: Told;
}

/** Where one test lives. */
export class Sandbox {
  readonly folder: string;
  readonly #commands: Command[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  path(...segments: string[]): string {
    return join(this.folder, ...segments);
  }

  home(name: string): string {
    return this.path('homes', name);
  }

  /** Gives another user what this sandbox has at the moment; only for root. */
  async giveTo(uid: number): Promise<void> {
    for (const folder of [this.folder, this.path('run'), this.path('homes')]) await chown(folder, uid, uid);
  }

  start(home: string, args: readonly string[], options: StartOptions = {}): Command {
    const { env = {}, stdin, cwd = this.folder, uid, namespace, before = [] } = options;
    const { program = [process.execPath, PROGRAM] } = options;
    const inside = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
    const [file = '', ...rest] = [...inside, ...before, ...program, ...args];
    const child = spawn(file, rest, {
      cwd,
      env: { ...this.env(home), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    child.stdin.on('error', () => undefined);
    if (stdin instanceof Readable) stdin.pipe(child.stdin);
    else child.stdin.end(stdin ?? '');
    const command = new Command(child, home, args);
    this.#commands.push(command);
    return command;
  }

  /** Runs a command to its end. */
  async run(home: string, args: readonly string[], options: StartOptions = {}): Promise<Ended> {
    return await this.start(home, args, options).ended;
  }

  /** Shares a path, and waits until it is served. */
  async share(home: string, path: string, args: readonly string[] = [], options: StartOptions = {}): Promise<Sharing> {
    const command = this.start(home, ['share', path, '--json', '--hint', 'self', ...args], options);
    const shared = await command.event('shared');
    return { command, shared, id: shared.id ?? '', link: shared.link ?? '' };
  }

  /** Starts a daemon, and waits until it is ready. */
  async daemon(home: string, args: readonly string[] = [], options: StartOptions = {}): Promise<Command> {
    const command = this.start(home, ['daemon', ...args], options);
    await command.says(/the daemon of shoal \S+ is ready/);
    return command;
  }

  /** Fetches to `output` with a home of its own, to its end. */
  async fetch(link: string, output: string, args: readonly string[] = [], options: StartOptions = {}): Promise<Ended> {
    return await this.run('fetcher', ['fetch', link, '-o', output, '--json', '--timeout', '20s', ...args], options);
  }

  /** Ends all that was started and removes all that was made. No command may have printed a key where it does not belong. */
  async close(hasFailed: boolean): Promise<void> {
    await Promise.all(this.#commands.map(command => command.destroy()));
    await this.#endDaemons();
    if (hasFailed) console.error(this.#commands.map(command => command.report()).join('\n'));
    await rm(this.folder, { recursive: true, force: true });
    expectNoLeaks(this.#commands);
  }

  /** Daemons in the background are no children of ours: what a failed test has left of them is found by what they noted. */
  async #endDaemons(): Promise<void> {
    for await (const note of glob(this.path('run', '*', '*.pid'))) {
      const pid = Number(await readFile(note, 'utf8'));
      const title = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      if (pid > 1 && /^shoal\b/.test(title)) process.kill(pid, 'SIGKILL');
    }
  }

  /** What a command meets that uses this home. */
  env(home: string): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.folder,
      XDG_RUNTIME_DIR: this.path('run'),
      SHOAL_HOME: this.home(home),
      SHOAL_LISTEN: '/ip4/127.0.0.1/tcp/0',
      SHOAL_MDNS: 'off',
      SHOAL_PORT_MAPPING: 'off',
      SHOAL_DHT: 'off',
    };
  }
}

/** Gives each test of a suite a sandbox, and removes it afterwards. */
export function useSandbox(): () => Sandbox {
  let box: Sandbox | undefined;
  beforeEach(async () => {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'shoal-e2e-')));
    box = new Sandbox(folder);
    await mkdir(box.path('run'), { mode: 0o700 });
    await mkdir(box.path('homes'), { mode: 0o700 });
  });
  afterEach(async function () {
    await box?.close(this.currentTest?.state === 'failed');
    box = undefined;
  });
  return () => {
    if (box === undefined) throw new Error('a sandbox is there only within a test');
    return box;
  };
}

const KEY = /shoal:b[a-z2-7]+\.([A-Za-z0-9_-]{43})/g;

/** Links are for stdout of `share` and `show --link` only; nothing else ever shows one, and stderr never shows a key. */
function expectNoLeaks(commands: readonly Command[]): void {
  const links = commands.flatMap(({ stdout, args }) => [...`${stdout} ${args.join(' ')}`.matchAll(KEY)]);
  const keys = new Set(links.map(([, key = '']) => key));
  for (const command of commands) {
    const isAskedFor = command.args[0] === 'share' || (command.args[0] === 'show' && command.args.includes('--link'));
    const silent = isAskedFor ? command.stderr : command.stderr + command.stdout;
    for (const key of keys) expect(silent.includes(key), `a key is shown by ${command.args[0] ?? ''}`).to.equal(false);
  }
}

/** What the exit code and the last error say, for messages and comparisons. */
export function failureOf({ code, told, stderr }: Ended): { code: number | null; error?: string; stderr: string } {
  const error = told.findLast(({ event }) => event === 'error')?.code;
  return { code, ...(error === undefined ? {} : { error }), stderr };
}

export function expectDone(ended: Ended): void {
  expect(failureOf(ended)).to.deep.equal({ code: 0, stderr: '' });
}

/** It failed with this exit code, said why with this error code, and nothing else on stderr. */
export function expectFailed(ended: Ended, code: number, error: string): void {
  expect(failureOf(ended)).to.deep.equal({ code, error, stderr: '' });
}

/** `link` with its addresses led through another local port. */
export function through(link: string, port: number): string {
  return link.replaceAll(/\/tcp\/\d+\//g, `/tcp/${port}/`);
}

/** The local port that a link leads to. */
export function portOf(link: string): number {
  return Number(/\/tcp\/(\d+)\//.exec(link)?.[1]);
}
