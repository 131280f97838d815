/**
 * Runs an action in the right place. Whoever holds a home is its node: the first command that serves becomes the holder,
 * every other one attaches to it, and when it ends, one that still serves takes over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isShoalError, ShoalError } from '../errors.ts';
import { lock, type Lock } from '../files/lock.ts';
import { HOLDER_PATIENCE_MS, HOLDER_RETRY_MS } from '../limits.ts';
import type { NetworkSettings } from '../networks.ts';
import type { NodeOptions } from '../node.ts';
import type { Log } from '../ports.ts';
import { isHome, makeHomeFolder } from '../records.ts';
import type { Fetching } from './actor.ts';
import type { ActionEvent, ActionName, Actor, Parameters, Results } from './actions.ts';
import { attach, HolderGone, type Holder } from './client.ts';
import { sharesOf, statusOf } from './shares.ts';
import { socketPath } from './socket.ts';

export { homeFolder } from './socket.ts';

export interface SessionOptions {
  /** The home's folder. */
  readonly home: string;
  readonly network: NetworkSettings;
  /** What of `network` was asked for, and by which option or variable; the rest are defaults. */
  readonly asked?: { readonly [S in keyof NetworkSettings]?: string };
  /** What the ciphertext in the home may take, in bytes; no limit but the disk when absent. */
  readonly quotaBytes?: number | undefined;
  readonly log: Log;
  /** Something the user should know that is no event of the action. */
  readonly onNotice: (text: string) => void;
  /** What does actions in this process, while it holds the home. */
  held?: Actor;
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
    if (event.event === 'shared' || event.event === 'keeping' || event.event === 'seeding')
      work.serves = event.share.id;
    onEvent(event);
  };
  const work: Work<A> = { action, parameters, onEvent: watch, signal, serves: undefined };
  let isWarned = false;
  let waitUntil = Date.now() + HOLDER_PATIENCE_MS;
  for (;;) {
    if (signal.aborted) throw new ShoalError('interrupted', 'stopped on request');
    try {
      if (options.held !== undefined) return await runOn(options.held, work);
      // A daemon of any version can be stopped.
      const onNotice = action === 'stop' ? undefined : options.onNotice;
      const holder = await attach(socket, HOLDER_PATIENCE_MS, onNotice, signal);
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
  if (needs !== 'serving' && needs !== 'peers' && needs !== 'peers-unless-known') return;
  const settings = Object.keys(asked) as (keyof NetworkSettings)[];
  const ignored = settings.filter(name => !isDeepStrictEqual(network[name], holder.network[name]));
  const names = ignored.flatMap(name => asked[name] ?? []);
  if (names.length > 0)
    onNotice(`ignored: ${names.join(', ')}; another process holds this home and does the work, as it was started`);
}

async function runOn<A extends ActionName>(actor: Actor, work: Work<A>): Promise<Results[A]> {
  const { action, parameters, serves, onEvent, signal } = work;
  if (serves === undefined) return await actor.run(action, parameters, onEvent, signal);
  const { waitCopies } = action === 'share' ? (parameters as Parameters<'share'>) : {};
  return (await actor.run('serve', { id: serves, waitCopies }, onEvent, signal)) as Results[A];
}

/** In this process; undefined when another holds the home after all. */
async function runHere<A extends ActionName>(
  options: SessionOptions,
  socket: string,
  work: Work<A>,
): Promise<{ result: Results[A] } | undefined> {
  const needs = needsOf(work.action, work.parameters);
  if (work.action === 'shares') return { result: (await sharesOf(options.home)) as Results[A] };
  if (work.action === 'status') return { result: (await statusOf(options.home, options.network)) as Results[A] };
  if (needs === 'holder') {
    await isHome(options.home);
    if (work.action === 'stop') return { result: {} as Results[A] };
    throw new ShoalError('usage', `cannot do "${work.action}": no process holds this home`);
  }
  const isHolding = needs === 'serving' || needs === 'changing';
  const held = isHolding ? await lockHome(options.home) : undefined;
  if (held === undefined && isHolding) return undefined;
  try {
    if (needs === 'serving') return { result: await runHolding(options, socket, work) };
    const { ShoalNode, actorOf, parseLink } = await nodeParts();
    const isThere = needs === 'changing' || (await isHome(options.home));
    const start = (network?: NetworkSettings): ReturnType<typeof ShoalNode.start> =>
      ShoalNode.start({
        log: options.log,
        holds: needs === 'changing',
        quotaBytes: options.quotaBytes,
        ...(isThere ? { home: options.home } : {}),
        ...(network === undefined ? {} : { network }),
      });
    let node = await start(needs === 'peers' ? fetchersNetwork(options) : undefined);
    if (
      needs === 'peers-unless-known' &&
      !(await node.knows(parseLink((work.parameters as Parameters<'check'>).link).id))
    ) {
      await node.stop();
      node = await start(fetchersNetwork(options));
    }
    try {
      return { result: await runOn(actorOf(node, options.network), work) };
    } finally {
      await node.stop();
    }
  } finally {
    held?.release();
  }
}

/** Who only fetches listens where it was told to for this time, and not where the home does: several may fetch at once. */
function fetchersNetwork({ network, asked }: SessionOptions): NetworkSettings {
  return asked?.listen === undefined ? { ...network, listen: [] } : network;
}

/** As the holder of the home, with a socket for others, until the action ends. */
async function runHolding<A extends ActionName>(
  options: SessionOptions,
  socket: string,
  work: Work<A>,
): Promise<Results[A]> {
  const { ShoalNode, actorOf } = await nodeParts();
  const { home, network, quotaBytes, log } = options;
  const node = await ShoalNode.start({ home, network, quotaBytes, holds: true, log });
  try {
    const actor = actorOf(node, options.network);
    options.held = actor;
    const { serveApi } = await import('./api.ts');
    const api = await serveApi(actor, socket, options.log);
    try {
      return await runOn(actor, work);
    } finally {
      await api.close();
    }
  } finally {
    delete options.held;
    await node.stop();
  }
}

/** What does actions in this process: to load it takes longer than most commands that attach to a holder. */
async function nodeParts() {
  const [node, actor, link] = await Promise.all([
    import('../node.ts'),
    import('./actor.ts'),
    import('../format/link.ts'),
  ]);
  return { ...node, ...actor, ...link };
}

/** What an action needs of the home when nobody holds it. */
type Needs = 'serving' | 'changing' | 'catalog' | 'peers' | 'peers-unless-known' | 'holder';

function needsOf<A extends ActionName>(action: A, parameters: Parameters<A>): Needs {
  switch (action) {
    case 'share':
    case 'serve':
    case 'daemon':
    case 'doctor':
    case 'seed':
    case 'verify':
    case 'grant':
    case 'withdraw':
      return 'serving';
    case 'fetch':
      return (parameters as Parameters<'fetch'>).keep ? 'serving' : 'peers';
    case 'list':
    case 'resolve':
    case 'plan':
      return 'peers';
    case 'check':
      return 'peers-unless-known';
    case 'shares':
    case 'show':
    case 'export':
    case 'status':
    case 'transfers':
    case 'relays':
    case 'relay':
    case 'contacts':
      return 'catalog';
    case 'forget':
    case 'import':
    case 'transfer':
    case 'pause':
    case 'resume':
    case 'cancel':
    case 'addRelay':
    case 'removeRelay':
    case 'addContact':
    case 'removeContact':
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
  parameters: { readonly link: string; readonly explain: boolean; readonly timeoutMs?: number },
  output: NodeJS.WritableStream,
  onEvent: OnEvent,
  signal: AbortSignal,
): Promise<Results['fetch']> {
  const { ShoalNode, explained, fetchedView, parseLink } = await nodeParts();
  const link = parseLink(parameters.link);
  const start: NodeOptions = {
    holds: false,
    network: fetchersNetwork(options),
    log: options.log,
    ...((await isHome(options.home)) ? { home: options.home } : {}),
  };
  const node = await ShoalNode.start(start);
  try {
    const { timeoutMs, explain } = parameters;
    const work: Fetching = (tell, told) =>
      node.fetchTo({ link, force: false, timeoutMs, ...told }, output, tell, signal);
    return fetchedView(await (explain ? explained(link, onEvent, work) : work(onEvent)));
  } catch (error) {
    if (signal.aborted && !isShoalError(error))
      throw new ShoalError('interrupted', 'stopped on request', { cause: error });
    throw error;
  } finally {
    await node.stop();
  }
}
