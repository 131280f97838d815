/**
 * What the rungs of the ladder share: how a process measures its own work, and how the ladder starts processes and
 * measures them from outside.
 *
 * A rung's script (bench/rungs/*.ts) is a program of its own. It is called with `--size BYTES` (and whatever else the
 * rung needs), does its work inside `measureSelf`, which prints one line of JSON on stdout, and ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

/** What one process spent on one piece of work. */
export interface Measurement {
  /** The rung, and behind a slash the role where a rung has several processes: `tcp/send`. */
  readonly name: string;
  /** Payload that was worked on. */
  readonly bytes: number;
  /** Wall time. */
  readonly seconds: number;
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  /** The most that was resident since the process started. */
  readonly maxRssBytes: number;
}

/** Runs `work` on `bytes` of payload and prints what it took as one line of JSON on stdout. Start-up is not counted. */
export async function measureSelf(name: string, bytes: number, work: () => void | Promise<void>): Promise<Measurement> {
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  await work();
  const seconds = (performance.now() - startedMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  const measurement = { name, bytes, seconds, cpuSeconds, maxRssBytes: maxRssBytes(process.pid) };
  console.log(JSON.stringify(measurement));
  return measurement;
}

/** The options of a rung's script: `--size BYTES`, and those that `names` lists, each with a value. */
export function rungOptions<Name extends string>(...names: Name[]): { size: number } & Partial<Record<Name, string>> {
  const options = Object.fromEntries(['size', ...names].map(name => [name, { type: 'string' as const }]));
  const values = parseArgs({ options }).values as Partial<Record<Name, string>> & { size?: string };
  const size = Number(values.size);
  if (!Number.isSafeInteger(size) || size <= 0) throw new TypeError('a rung needs --size BYTES');
  return { ...values, size };
}

/** A process that the ladder started. */
export interface Program {
  readonly pid: number;
  /** The next line that it prints on stdout; rejects when it ends before. */
  nextLine(): Promise<string>;
  /** Its remaining lines, when it has ended well; rejects with what it said on stderr when it failed. */
  finish(): Promise<string[]>;
  /** Interrupts it (SIGINT) and waits until it has ended, however it ends. */
  stop(): Promise<void>;
}

/** Starts `command` (program and arguments). */
export function startProgram(command: readonly [string, ...string[]], env: NodeJS.ProcessEnv = process.env): Program {
  const [file, ...args] = command;
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${file}`);
  const said: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const ended = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const failure = (what: string) => new Error(`${command.join(' ')}: ${what}\n${said.join('')}`);
  return {
    pid,
    async nextLine() {
      const line = await lines.next();
      if (!line.done) return line.value;
      await ended;
      throw failure('ended before it said what was expected');
    },
    async finish() {
      const rest = [];
      for await (const line of { [Symbol.asyncIterator]: () => lines }) rest.push(line);
      await ended;
      if (child.exitCode !== 0) throw failure(`ended with ${String(child.signalCode ?? child.exitCode)}`);
      return rest;
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
      await ended;
    },
  };
}

/** Runs one rung's script to its end and returns what its processes measured of themselves. */
export async function runScript(command: readonly [string, ...string[]]): Promise<Measurement[]> {
  return measurementsIn(await startProgram(command).finish());
}

/** Commands that are started together, once those before them have said their first line: made from all lines said so far. */
export type Stage = (lines: readonly string[]) => (readonly [string, ...string[]])[];

/**
 * Runs a rung of several processes. Each prints one line when the next stage can start, but for those of the last stage.
 * Returns what each measured of itself.
 */
export async function runStages(...stages: Stage[]): Promise<Measurement[]> {
  const running: Program[] = [];
  const lines: string[] = [];
  try {
    for (const stage of stages) {
      // Those of this stage are waited for only if there is another one.
      lines.push(...(await Promise.all(running.slice(lines.length).map(program => program.nextLine()))));
      running.push(...stage(lines).map(command => startProgram(command)));
    }
    return (await Promise.all(running.map(program => program.finish()))).flatMap(measurementsIn);
  } finally {
    // When one of them failed, the others may wait for it for ever.
    await Promise.all(running.map(program => program.stop()));
  }
}

function measurementsIn(lines: readonly string[]): Measurement[] {
  return lines.map(line => JSON.parse(line) as Measurement);
}

/** How often the tree of processes is looked at while `measureTree` runs: peaks are kept by the kernel until a process ends. */
const LOOK_INTERVAL_MS = 25;

/**
 * Measures from outside what `work` costs: whole commands, start-up included, and whatever processes they start. For
 * rungs that use the real command line. CPU time counts every process below the ladder, those that ran before `work`
 * with what they add during it; memory is the sum of each process's peak (as seen `LOOK_INTERVAL_MS` before its end).
 */
export async function measureTree(name: string, bytes: number, work: () => Promise<void>): Promise<Measurement> {
  const peaks = new Map<number, number>();
  const look = () => {
    for (const pid of descendants(process.pid)) peaks.set(pid, Math.max(peaks.get(pid) ?? 0, maxRssBytes(pid)));
  };
  const cpuBefore = cpuSecondsBelow(process.pid);
  const timer = setInterval(look, LOOK_INTERVAL_MS);
  const startedMs = performance.now();
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  look();
  const cpuSeconds = cpuSecondsBelow(process.pid) - cpuBefore;
  return { name, bytes, seconds, cpuSeconds, maxRssBytes: [...peaks.values()].reduce((sum, peak) => sum + peak, 0) };
}

/** User and system time that a process has used, all its threads together; 0 when it is gone. In steps of a hundredth of a second. */
export function cpuSecondsOf(pid: number): number {
  return procCpuSeconds(pid).own;
}

/** Resident memory of a process now, in bytes; 0 when it is gone. */
export function residentBytes(pid: number): number {
  return memoryOf(pid, 'VmRSS') ?? 0;
}

/** CPU time of all that ever ran below `pid`: when a process ends, its time moves to whoever waited for it, so the sum stays. */
function cpuSecondsBelow(pid: number): number {
  return descendants(pid)
    .map(procCpuSeconds)
    .reduce((sum, { own, reaped }) => sum + own + reaped, procCpuSeconds(pid).reaped);
}

function descendants(pid: number): number[] {
  const children = threadsOf(pid).flatMap(thread =>
    readProc(pid, `task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
  return children.flatMap(child => [child, ...descendants(child)]);
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${String(pid)}/task`);
  } catch {
    return [];
  }
}

/** Peak resident memory of a process; 0 when it is gone. Not `ru_maxrss`: that one is inherited from who started it. */
export function maxRssBytes(pid: number): number {
  return memoryOf(pid, 'VmHWM') ?? (pid === process.pid ? process.resourceUsage().maxRSS * 1024 : 0);
}

function memoryOf(pid: number, name: 'VmRSS' | 'VmHWM'): number | undefined {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readProc(pid, 'status'));
  return line?.[1] === undefined ? undefined : Number(line[1]) * 1024;
}

/** Ticks of /proc/PID/stat per second: USER_HZ, which is 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time of a process, and of its children that have ended and were waited for. */
function procCpuSeconds(pid: number): { own: number; reaped: number } {
  // The command's name, in parentheses, may hold anything: count from behind it.
  const fields = readProc(pid, 'stat').split(') ').at(-1)?.split(' ') ?? [];
  const seconds = (from: number) => (Number(fields[from] ?? 0) + Number(fields[from + 1] ?? 0)) / TICKS_PER_SECOND;
  return { own: seconds(11), reaped: seconds(13) };
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${String(pid)}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
