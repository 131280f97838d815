/** `shoal fetch`: gets what a link names. */
import { sep } from 'node:path';
import type { ActionEvent, Parameters, Results } from '../../src/daemon/actions.ts';
import { isShoalError, ShoalError } from '../../src/errors.ts';
import { needDaemon } from '../background.ts';
import { givenLink, type AccessFlags } from '../access.ts';
import { timeoutOf, type Context } from '../context.ts';
import { EventPrinter } from '../events.ts';
import { FetchView } from '../fetching.ts';
import { pathAt } from '../paths.ts';
import { showLine } from '../progress.ts';
import { planFetch } from './plan.ts';

export interface FetchOptions extends AccessFlags {
  /** As typed; `-` is stdout. */
  readonly output: string;
  readonly only: readonly string[];
  readonly keep: boolean;
  readonly force: boolean;
  /** The daemon fetches it, and one is started where none runs. */
  readonly detach: boolean;
  readonly dryRun: boolean;
  readonly explain: boolean;
}

/** @throws ShoalError as `fetch` does */
export async function fetch(context: Context, argument: string | undefined, options: FetchOptions): Promise<void> {
  const { terminal, signal } = context;
  const toStdout = options.output === '-';
  if (toStdout) refuseWithStdout(options, terminal.isJson);
  if (options.dryRun && options.explain) throw new ShoalError('usage', '--dry-run and --explain do not go together');
  if (options.detach && options.timeout !== undefined)
    throw new ShoalError('usage', '--timeout and --detach do not go together: the daemon does not give up');
  const link = await givenLink(context, argument, options);
  if (options.dryRun) {
    await planFetch(context, requestOf(context, link, options));
    return;
  }
  if (options.detach) {
    await handOver(context, link, options);
    return;
  }
  const printer = new EventPrinter(terminal);
  const view = new FetchView(terminal, toStdout);
  const line = showLine(terminal, (nowMs, columns) => view.line(nowMs, columns));
  const onEvent = (event: ActionEvent): void => (terminal.isJson ? printer.print(event) : view.tell(event));
  try {
    const fetched = await run(context, link, options, onEvent);
    line.stop();
    if (view.isKeeping || (terminal.isJson && options.keep)) return;
    if (terminal.isJson) terminal.json({ event: 'done', ...fetched });
    else view.done(fetched);
  } catch (error) {
    line.stop();
    if (isShoalError(error, 'interrupted') || signal.aborted) view.stopped();
    throw error;
  } finally {
    line.stop();
    printer.close();
  }
}

/** Gives it to the daemon. */
async function handOver(context: Context, link: string, options: FetchOptions): Promise<void> {
  const { terminal, performer, signal } = context;
  await needDaemon(context);
  const { output, only, force, keep } = requestOf(context, link, options);
  const wanted = { link, output, only, force, keep };
  const transfer = await performer.run('transfer', wanted, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(transfer);
    return;
  }
  terminal.result(transfer.id);
  terminal.say('the daemon fetches it; "shoal transfers" tells how far it is');
}

function refuseWithStdout({ only, keep, force, detach, dryRun }: FetchOptions, isJson: boolean): void {
  const others = {
    '--json': isJson,
    '--keep': keep,
    '--force': force,
    '--detach': detach,
    '--dry-run': dryRun,
    '--only': only.length > 0,
  };
  const other = Object.entries(others);
  const refused = other.find(([, isGiven]) => isGiven);
  if (refused !== undefined) throw new ShoalError('usage', `${refused[0]} and --output - do not go together`);
}

async function run(
  context: Context,
  link: string,
  options: FetchOptions,
  onEvent: (event: ActionEvent) => void,
): Promise<Results['fetch']> {
  const { performer, signal, stdout, terminal } = context;
  const { output, explain } = options;
  if (output !== '-')
    return await performer.run('fetch', { ...requestOf(context, link, options), explain }, onEvent, signal);
  const request = { link, explain, ...timeoutOf(terminal, options.timeout) };
  return await performer.fetchTo(request, stdout, onEvent, signal);
}

function requestOf(
  { cwd, terminal }: Context,
  link: string,
  { output, only, keep, force, timeout }: FetchOptions,
): Parameters<'plan'> {
  return { link, output: absolute(cwd, output), only: [...only], keep, force, ...timeoutOf(terminal, timeout) };
}

/** With the slash at its end, where one is typed: it says that a folder is meant. */
function absolute(cwd: string, output: string): string {
  const path = pathAt(cwd, output);
  return /[/\\]$/.test(output) && !path.endsWith(sep) ? path + sep : path;
}
