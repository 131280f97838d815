/** A daemon in the background: starting one, and waiting until one has ended. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ERROR_CODES, fileError, ShoalError, type ErrorCode } from '../src/errors.ts';
import { makeHomeFolder } from '../src/records.ts';
import { homeFolder } from '../src/daemon/socket.ts';
import { DAEMON_PATIENCE_MS, DAEMON_POLL_MS } from '../src/limits.ts';
import type { Context } from './context.ts';
import { openLog } from './log.ts';
import { withoutSecrets } from './secrets.ts';

/** What a daemon says to who started it. */
export type Report =
  { readonly event: 'ready' } | { readonly event: 'failed'; readonly code: string; readonly message: string };

/** Makes sure that a daemon runs for the home. @returns whether it was started just now @throws ShoalError as the daemon does */
export async function needDaemon(context: Context): Promise<boolean> {
  const { performer, signal } = context;
  const { daemon } = await performer.run('status', {}, () => undefined, signal);
  if (daemon !== undefined) return false;
  await startDaemon(context, []);
  return true;
}

/**
 * Starts a daemon that goes on when this process ends, and waits until it serves. Its log is "daemon.log" in the home.
 * @param args further options for it; those of the network are handed on
 * @throws ShoalError as the daemon does; `io` when it ends without a word
 */
export async function startDaemon(
  { env, argsForOthers, signal }: Context,
  args: readonly string[],
): Promise<{ readonly pid: number; readonly log: string }> {
  const home = homeFolder(env);
  await makeHomeFolder(home);
  const log = join(home, 'daemon.log');
  const child = spawnDaemon(['daemon', '--log-file', log, ...argsForOthers, ...args], log, env);
  const stop = (): unknown => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    await ready(child, log);
    child.disconnect();
    child.unref();
    return { pid: child.pid ?? 0, log };
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function spawnDaemon(args: readonly string[], log: string, env: Context['env']): ChildProcess {
  const [, program = ''] = process.argv;
  const stderr = openLog(log);
  try {
    // Links and passphrases that this command was given are none of the daemon's business.
    return spawn(process.execPath, [program, ...args], {
      cwd: '/',
      detached: true,
      env: withoutSecrets(env),
      stdio: ['ignore', 'ignore', stderr, 'ipc'],
    });
  } finally {
    closeSync(stderr);
  }
}

function ready(child: ChildProcess, log: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('message', (report: Report) => {
      if (report.event === 'ready') return resolve();
      reject(new ShoalError(report.code in ERROR_CODES ? (report.code as ErrorCode) : 'io', report.message));
    });
    child.on('error', error => reject(fileError(error, 'start a daemon')));
    child.on('exit', () => reject(new ShoalError('io', `cannot start a daemon: it ended at once; see "${log}"`)));
  });
}

/** Waits until a process has ended. @throws ShoalError `in-use` when it takes too long */
export async function ended(pid: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + DAEMON_PATIENCE_MS;
  while (isAlive(pid)) {
    if (performance.now() > until)
      throw new ShoalError(
        'in-use',
        `cannot stop the daemon: process ${pid} has been told to, and goes on; end it with kill ${pid}`,
      );
    await sleep(DAEMON_POLL_MS, undefined, { signal });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
