/**
 * Runs an action in the right place. Whoever holds a home is its node: the first command that serves becomes the holder,
 * every other one attaches to it, and when it ends, one that still serves takes over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isShoalError, ShoalError } from '../errors.ts';
import { lock, type Lock } from '../files/lock.ts';
import { parseLink } from '../format/link.ts';
import { isHome, makeHomeFolder } from '../home.ts';
import { HOLDER_PATIENCE_MS, HOLDER_RETRY_MS } from '../limits.ts';
import { ShoalNode, type NetworkSettings, type NodeOptions } from '../node.ts';
import type { Log } from '../ports.ts';
import { actorOf, fetchedView } from './actor.ts';
import type { ActionEvent, ActionName, Actor, Parameters, Results } from './actions.ts';
import { attach, HolderGone, type Holder } from './client.ts';
import { socketPath } from './socket.ts';

export { homeFolder } from './socket.ts';

export interface SessionOptions {
  /** The home's folder. */
  readonly home: string;
  readonly network: NetworkSettings;
  /** What of `network` was asked for, and by which option or variable; the rest are defaults. */
  readonly asked?: { readonly [S in keyof NetworkSettings]?: string };
  readonly log: Log;
  /** Something the user should know that is no event of the action. */
  readonly onNotice: (text: string) => void;
}

type OnEvent = (event: ActionEvent) => void;

/** What is to be run, wherever that turns out to be. */
interface Work<A extends ActionName> {
  readonly action: A;
  readonly parameters: Parameters<A>;
  readonly onEvent: OnEvent;
  readonly signal: AbortSignal;
  /** The id of the share that it has come to serve; after a takeover that goes on, and the share is not made a second time. */
  serves: string | undefined;
}

/**
 * Runs one action, here or by the process that holds the home. What serves goes on until the signal, also when the process
 * that it was attached to ends.
 * @throws ShoalError; `interrupted` when the signal ended it
 */
export async function perform<A extends ActionName>(
  options: SessionOptions,
  action: A,
  parameters: Parameters<A>,
  onEvent: OnEvent,
  signal: AbortSignal,
): Promise<Results[A]> {
  const socket = await socketPath(options.home, process.env);
  const watch: OnEvent = event => {
    if (event.event === 'shared' || event.event === 'keeping') work.serves = event.share.id;
    onEvent(event);
  };
  const work: Work<A> = { action, parameters, onEvent: watch, signal, serves: undefined };
  let isWarned = false;
  let waitUntil = Date.now() + HOLDER_PATIENCE_MS;
  for (;;) {
    if (signal.aborted) throw new ShoalError('interrupted', 'stopped on request');
    try {
      const holder = await attach(socket, HOLDER_PATIENCE_MS, options.onNotice, signal);
      if (holder !== undefined) {
        if (!isWarned) warnOfIgnored(options, holder, needsOf(action, parameters));
        isWarned = true;
        return await runOn(holder, work);
      }
      const done = await runHere(options, socket, work);
      if (done !== undefined) return done.result;
    } catch (error) {
      if (!(error instanceof HolderGone)) throw error;
      if (work.serves !== undefined) options.onNotice('the process that served for this home has ended; going on');
      // Another one may be taking over, which has all the time again.
      waitUntil = Date.now() + HOLDER_PATIENCE_MS;
      continue;
    }
    if (Date.now() > waitUntil)
      throw new ShoalError(
        'in-use',
        `cannot use the home "${options.home}": another process holds it and does not answer; end that one and try again`,
      );
    await sleep(HOLDER_RETRY_MS);
  }
}

/** The holder's node does the work, and meets others in its own way. */
function warnOfIgnored({ asked = {}, network, onNotice }: SessionOptions, holder: Holder, needs: Needs): void {
  if (needs !== 'serving' && needs !== 'peers') return;
  const settings = ['listen', 'bootstrap', 'mdns', 'dht', 'maxUp', 'maxDown', 'maxConnections', 'portMapping'] as const;
  const ignored = settings.filter(name => !isDeepStrictEqual(network[name], holder.network[name]));
  const names = ignored.flatMap(name => asked[name] ?? []);
  if (names.length > 0)
    onNotice(`ignored: ${names.join(', ')}; another process holds this home and does the work, as it was started`);
}

async function runOn<A extends ActionName>(actor: Actor, work: Work<A>): Promise<Results[A]> {
  const { action, parameters, serves, onEvent, signal } = work;
  if (serves === undefined) return await actor.run(action, parameters, onEvent, signal);
  return (await actor.run('serve', { id: serves }, onEvent, signal)) as Results[A];
}

/** In this process; undefined when another holds the home after all. */
async function runHere<A extends ActionName>(
  options: SessionOptions,
  socket: string,
  work: Work<A>,
): Promise<{ result: Results[A] } | undefined> {
  const needs = needsOf(work.action, work.parameters);
  if (needs === 'holder') throw new ShoalError('usage', 'no process holds this home at the moment');
  const held = needs === 'peers' || needs === 'catalog' ? undefined : await lockHome(options.home);
  if (held === undefined && (needs === 'serving' || needs === 'changing')) return undefined;
  try {
    if (needs === 'serving') return { result: await runHolding(options, socket, work) };
    const known = needs === 'changing' || (await isHome(options.home));
    const node = await ShoalNode.start({
      log: options.log,
      holds: needs === 'changing',
      ...(known ? { home: options.home } : {}),
      ...(needs === 'peers' ? { network: options.network } : {}),
    });
    try {
      return { result: await runOn(actorOf(node, options.network), work) };
    } finally {
      await node.stop();
    }
  } finally {
    held?.release();
  }
}

/** As the holder of the home, with a socket for others, until the action ends. */
async function runHolding<A extends ActionName>(
  options: SessionOptions,
  socket: string,
  work: Work<A>,
): Promise<Results[A]> {
  const node = await ShoalNode.start({ home: options.home, network: options.network, holds: true, log: options.log });
  try {
    const actor = actorOf(node, options.network);
    const { serveApi } = await import('./api.ts');
    const api = await serveApi(actor, socket, options.log);
    try {
      return await runOn(actor, work);
    } finally {
      await api.close();
    }
  } finally {
    await node.stop();
  }
}

/** What an action needs of the home when nobody holds it. */
type Needs = 'serving' | 'changing' | 'catalog' | 'peers' | 'holder';

function needsOf<A extends ActionName>(action: A, parameters: Parameters<A>): Needs {
  switch (action) {
    case 'share':
    case 'serve':
      return 'serving';
    case 'fetch':
      return (parameters as Parameters<'fetch'>).keep === true ? 'serving' : 'peers';
    case 'list':
      return 'peers';
    case 'shares':
    case 'export':
      return 'catalog';
    case 'forget':
    case 'import':
      return 'changing';
    default:
      return 'holder';
  }
}

async function lockHome(home: string): Promise<Lock | undefined> {
  await makeHomeFolder(home);
  return await lock(join(home, 'lock'));
}

/** Gets a share of one file to a stream, always in this process; a process that holds the home is one of the peers to ask. */
export async function fetchTo(
  options: SessionOptions,
  parameters: { readonly link: string; readonly timeoutMs?: number },
  output: NodeJS.WritableStream,
  onEvent: OnEvent,
  signal: AbortSignal,
): Promise<Results['fetch']> {
  const link = parseLink(parameters.link);
  const start: NodeOptions = {
    holds: false,
    network: options.network,
    log: options.log,
    ...((await isHome(options.home)) ? { home: options.home } : {}),
  };
  const node = await ShoalNode.start(start);
  try {
    const { timeoutMs } = parameters;
    return fetchedView(await node.fetchTo({ link, force: false, timeoutMs }, output, onEvent, signal));
  } catch (error) {
    if (signal.aborted && !isShoalError(error))
      throw new ShoalError('interrupted', 'stopped on request', { cause: error });
    throw error;
  } finally {
    await node.stop();
  }
}
