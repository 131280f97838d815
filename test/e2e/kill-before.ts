/**
 * Loaded into the program with `--import`: counts the calls by which the main thread changes files, and ends the process
 * with SIGKILL right before one of them. So a test can end it between any two steps, exactly, without a word about that in
 * the program itself.
 *
 * KILL_BEFORE is `<n>`: the n-th call, from 1; `<name>+<n>`: the n-th call after the first one called `<name>`, which is
 * itself the 0-th; or `signal+<n>`: the n-th call, from 1, after a SIGUSR2. KILL_LOG names a file that gets the calls, a line
 * each, and a line `signal` where that came.
 */
import childProcess from 'node:child_process';
import nodeFs from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { isMainThread } from 'node:worker_threads';

type Callable = (this: unknown, ...args: unknown[]) => unknown;

const [, mark, n] = /^(?:([a-z]+)\+)?(\d+)$/.exec(process.env['KILL_BEFORE'] ?? '') ?? [];
const log = process.env['KILL_LOG'];
let left = n === undefined ? Infinity : Number(n);
let counting = mark === undefined;
let isNoting = false;

function note(line: string): void {
  if (log === undefined) return;
  isNoting = true;
  nodeFs.appendFileSync(log, `${line}\n`);
  isNoting = false;
}

function step(name: string, detail: unknown): void {
  if (isNoting) return;
  note(`${name} ${String(detail).replaceAll(/\s+/g, ' ').slice(0, 100)}`);
  if (!counting && name === mark) {
    counting = true;
    left++;
  }
  if (counting && --left === 0) process.kill(process.pid, 'SIGKILL');
}

function watch(target: object, names: readonly string[], changes: (args: unknown[]) => boolean = () => true): void {
  const record = target as Record<string, Callable>;
  for (const name of names) {
    const real = record[name];
    if (real === undefined) continue;
    record[name] = function (...args) {
      if (changes(args)) step(name, args[0]);
      return real.apply(this, args);
    };
    // By these promisify knows what a call gives.
    for (const key of Object.getOwnPropertySymbols(real))
      Object.defineProperty(record[name], key, Object.getOwnPropertyDescriptor(real, key) ?? {});
  }
}

if (isMainThread) {
  if (mark === 'signal')
    process.on('SIGUSR2', () => {
      note('signal');
      counting = true;
    });
  const probe = await fs.open(process.execPath);
  watch(Object.getPrototypeOf(probe) as object, ['write', 'writeFile', 'truncate', 'sync', 'chmod', 'utimes']);
  await probe.close();
  watch(fs, ['link', 'mkdir', 'rename', 'rmdir', 'unlink', 'writeFile']);
  const creates = ([, flags]: unknown[]): boolean =>
    typeof flags === 'number' ? (flags & 0o100) !== 0 : flags !== 'r';
  watch(fs, ['open'], args => args.length > 1 && creates(args));
  // What files are written with (src/files), at once or by another thread.
  watch(nodeFs, ['open', 'openSync'], args => args.length > 1 && creates(args));
  watch(nodeFs, ['write', 'writeSync', 'fsync', 'ftruncate'], ([descriptor]) => Number(descriptor) > 2);
  watch(childProcess, ['spawn']);
  watch(DatabaseSync.prototype, ['exec']);
  watch(StatementSync.prototype, ['run']);
  syncBuiltinESMExports();
}
