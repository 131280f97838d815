/** `shoal daemon`: holds the home, serves what is to be served always, and carries out transfers, until it is stopped. */
import type { ActionEvent } from '../../src/daemon/actions.ts';
import { homeFolder } from '../../src/daemon/socket.ts';
import { isShoalError } from '../../src/errors.ts';
import type { Log } from '../../src/ports.ts';
import { VERSION } from '../../src/version.ts';
import { ended, startDaemon, type Report } from '../background.ts';
import type { Context, Performer } from '../context.ts';
import { checkLogFile, fileTerminal, logOf, type Level } from '../log.ts';
import { pathAt } from '../paths.ts';
import { count } from '../units.ts';

export interface DaemonOptions {
  /** For the API over TCP. */
  readonly apiListen?: { readonly host: string; readonly port: number };
  readonly logFile?: string;
  readonly logLevel?: Level;
}

/** @throws ShoalError `usage`, `in-use`, `home`, `io`; being stopped is no failure */
export async function daemon(context: Context, options: DaemonOptions): Promise<void> {
  const { cwd, signal, settings } = context;
  const logFile = options.logFile === undefined ? undefined : pathAt(cwd, options.logFile);
  if (logFile !== undefined) checkLogFile(logFile);
  const log = logOf(
    logFile === undefined ? context.terminal : fileTerminal(logFile),
    options.logLevel ?? settings.logLevel.value,
  );
  try {
    const listen = options.apiListen ?? settings.apiListen.value;
    const performer = await context.performerWith(log);
    const closeTcp = listen === undefined ? undefined : await openTcp(context, performer, listen, log);
    try {
      await performer.run('daemon', { pid: process.pid }, event => tell(log, event), signal);
    } finally {
      await closeTcp?.();
    }
  } catch (error) {
    if (!isShoalError(error, 'interrupted') && !signal.aborted) {
      if (isShoalError(error)) report({ event: 'failed', code: error.code, message: error.message });
      throw error;
    }
  }
  log('info', 'stopped');
}

/** Starts one in the background. */
export async function detach(context: Context, { apiListen, logLevel }: Omit<DaemonOptions, 'logFile'>): Promise<void> {
  const args = [
    ...(apiListen === undefined ? [] : ['--api-listen', `${bracketed(apiListen.host)}:${apiListen.port}`]),
    ...(logLevel === undefined ? [] : ['--log-level', logLevel]),
  ];
  const { pid, log } = await startDaemon(context, args);
  const { terminal } = context;
  if (terminal.isJson) {
    terminal.json({ pid, log });
    return;
  }
  terminal.say(`the daemon runs (process ${pid}); its log is ${log}`);
}

/** Sees to it that none runs: that none did is no failure. */
export async function stop({ terminal, performer, signal }: Context): Promise<void> {
  const { pid } = await performer.run('stop', {}, () => undefined, signal);
  if (pid !== undefined) await ended(pid, signal);
  if (terminal.isJson) {
    terminal.json({ pid: pid ?? null });
    return;
  }
  if (pid === undefined) {
    terminal.say('no daemon runs for this home');
    return;
  }
  terminal.say(`stopped the daemon (process ${pid})`);
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

async function openTcp(
  { env, signal }: Context,
  performer: Performer,
  listen: { readonly host: string; readonly port: number },
  log: Log,
): Promise<(() => Promise<void>) | undefined> {
  // Where a daemon runs already, that is what is to be said, and not that its port is taken.
  const { daemon: other } = await performer.run('status', {}, () => undefined, signal);
  if (other !== undefined) return undefined;
  const { makeHomeFolder } = await import('../../src/records.ts');
  const { serveTcp } = await import('../../src/daemon/api.ts');
  const { loadToken } = await import('../../src/daemon/token.ts');
  const home = homeFolder(env);
  await makeHomeFolder(home);
  const { token, path } = await loadToken(home);
  const api = await serveTcp(performer, { ...listen, token }, log);
  log('info', 'the API listens', { host: listen.host, port: api.port, token: path });
  return () => api.close();
}

/** What is worth a line of the log. */
function tell(log: Log, event: ActionEvent): void {
  switch (event.event) {
    case 'ready':
      log('info', `the daemon of shoal ${VERSION} is ready and serves ${count(event.shares, 'share')}`);
      report({ event: 'ready' });
      break;
    case 'transfer': {
      const { id, state, detail, attached } = event.transfer;
      if (attached) break;
      if (state === 'done') log('info', `transfer ${id} is done`);
      if (state === 'failed') log('warn', `transfer ${id} failed: ${detail ?? ''}`);
      break;
    }
    case 'changed':
      log('warn', 'a share is not served any more, as its files were changed; "shoal shares" tells which one');
      break;
    case 'ended':
      log('info', 'a share is not served any more: it was forgotten, or delivered as often as was wanted');
      break;
    default:
      break;
  }
}

/** To the command that started this one in the background, as long as it listens. */
function report(message: Report): void {
  if (process.connected) process.send?.(message);
}
