/** Asks the process that holds a home to do something. */
import { lstat, readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileError, ShoalError } from '../errors.ts';
import { HOLDER_RETRY_MS } from '../limits.ts';
import type { NetworkSettings } from '../networks.ts';
import { API_VERSION, VERSION } from '../version.ts';
import type { ActionEvent, ActionName, Actor, Ending, Parameters, Results } from './actions.ts';
import { pidPath } from './socket.ts';

/** The process that holds a home. */
export interface Holder extends Actor {
  readonly network: NetworkSettings;
}

/** The holder went away in the middle of an action. */
export class HolderGone extends Error {
  constructor() {
    super('the process that held the home has ended');
  }
}

/**
 * The holder of the home behind a socket, if there is one.
 * @param patienceMs how long it may take to answer: one that was stopped (SIGSTOP, Ctrl-Z) accepts, and never answers
 * @param onNotice told when the holder is of another version; without it, that does not matter
 * @throws ShoalError `in-use` when it does not answer; `skew` when it is so different that they can't work together
 */
export async function attach(
  path: string,
  patienceMs: number,
  onNotice: ((text: string) => void) | undefined,
  signal: AbortSignal,
): Promise<Holder | undefined> {
  if (!(await isThere(path))) return undefined;
  const actor: Actor = { run: (action, parameters, onEvent, stop) => runOver(path, action, parameters, onEvent, stop) };
  const late = AbortSignal.timeout(patienceMs);
  let status;
  try {
    status = await actor.run('status', {}, () => undefined, AbortSignal.any([signal, late]));
  } catch (error) {
    if (error instanceof HolderGone) return undefined;
    if (late.aborted && !signal.aborted) throw silent(await pidOf(path));
    throw error;
  }
  if (onNotice === undefined) return { ...actor, network: status.network };
  const remedy =
    status.daemon === undefined
      ? `stop it (process ${status.pid}) and run this again, or use the same version`
      : 'restart the daemon: "shoal daemon --stop", then "shoal daemon --detach"';
  if (status.api !== API_VERSION) {
    throw new ShoalError(
      'skew',
      `cannot work with the process that holds this home: it is shoal ${status.version}, this is ${VERSION}; ${remedy}`,
    );
  }
  if (status.version !== VERSION)
    onNotice(
      `the process that holds this home is shoal ${status.version}, this is ${VERSION}; should anything fail, ${remedy}`,
    );
  return { ...actor, network: status.network };
}

/** Whether somebody listens at a socket, or did and was killed. */
async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

/** The process that listens at a socket, as it has noted itself. */
async function pidOf(path: string): Promise<number | undefined> {
  const pid = Number(await readFile(pidPath(path), 'utf8').catch(() => ''));
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

function silent(pid: number | undefined): ShoalError {
  const [who, next, last] =
    pid === undefined ? ['', '', ''] : [` (${pid})`, ` (kill -CONT ${pid})`, ` (kill -KILL ${pid})`];
  return new ShoalError(
    'in-use',
    `cannot use this home: the process that holds it${who} does not answer; if it was stopped, continue it${next}, else end it${last}, and try again`,
  );
}

async function runOver<A extends ActionName>(
  path: string,
  action: A,
  parameters: Parameters<A>,
  onEvent: (event: ActionEvent) => void,
  signal: AbortSignal,
): Promise<Results[A]> {
  const interrupted = (): ShoalError =>
    new ShoalError('interrupted', 'stopped on request; the same command goes on where this one stopped');
  if (signal.aborted) throw interrupted();
  let response: IncomingMessage;
  try {
    response = await postWhenFree(path, `/v1/${action}`, JSON.stringify(parameters), signal);
    for await (const line of linesOf(response)) {
      const event = eventIn<A>(line);
      if (event.event === 'done') return event.result;
      if (event.event === 'failed') throw new ShoalError(event.code, event.message);
      onEvent(event);
    }
  } catch (error) {
    if (error instanceof ShoalError) throw error;
    if (signal.aborted) throw interrupted();
    if (GONE.includes((error as NodeJS.ErrnoException).code ?? '')) throw new HolderGone();
    throw fileError(error, 'ask the process that holds this home');
  }
  throw signal.aborted ? interrupted() : new HolderGone();
}

/** What connecting, or reading an answer, fails with where the process has ended. */
const GONE = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

/** As `post`, once so few others wait to be heard that there is a place. */
async function postWhenFree(socket: string, path: string, body: string, signal: AbortSignal): Promise<IncomingMessage> {
  for (;;) {
    try {
      return await post(socket, path, body, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await sleep(HOLDER_RETRY_MS, undefined, { signal });
    }
  }
}

/** @throws ShoalError `in-use` where that is nothing that a holder says */
function eventIn<A extends ActionName>(line: string): ActionEvent | Ending<A> {
  try {
    const event = JSON.parse(line) as ActionEvent | Ending<A> | null;
    if (typeof event?.event === 'string' && (event.event !== 'done' || isObject(event.result))) return event;
  } catch {
    // It is no JSON.
  }
  throw new ShoalError(
    'in-use',
    'cannot use this home: what answers at its socket is no shoal; end that program and try again',
  );
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function post(socketPath: string, path: string, body: string, signal: AbortSignal): Promise<IncomingMessage> {
  // An import would load all that the module can offer, which takes longer than the answer.
  const { request: httpRequest } = process.getBuiltinModule('node:http');
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = httpRequest({ socketPath, path, method: 'POST', headers, agent: false, signal }, resolve);
    request.on('error', reject);
    request.end(body);
  });
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const text of response) {
    const lines = (rest + (text as string)).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}
