/** `shoal fetch`: gets what a link names. */
import { resolve, sep } from 'node:path';
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { isShoalError, ShoalError } from '../../src/errors.ts';
import { linkOf, timeoutOf, type Context } from '../context.ts';
import { EventPrinter } from '../events.ts';
import { FetchView } from '../fetching.ts';
import { showLine } from '../progress.ts';

export interface FetchOptions {
  /** As typed; `-` is stdout. */
  readonly output: string;
  readonly only: readonly string[];
  readonly keep: boolean;
  readonly force: boolean;
  /** Milliseconds; Infinity for never. */
  readonly timeout?: number;
}

/** @throws ShoalError as `fetch` does */
export async function fetch(context: Context, argument: string | undefined, options: FetchOptions): Promise<void> {
  const { terminal, signal } = context;
  const toStdout = options.output === '-';
  if (toStdout) refuseWithStdout(options, terminal.isJson);
  const link = await linkOf(context, argument);
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

function refuseWithStdout({ only, keep, force }: FetchOptions, isJson: boolean): void {
  const other = Object.entries({ '--json': isJson, '--keep': keep, '--force': force, '--only': only.length > 0 });
  const refused = other.find(([, isGiven]) => isGiven);
  if (refused !== undefined) throw new ShoalError('usage', `${refused[0]} and --output - do not go together`);
}

async function run(
  context: Context,
  link: string,
  options: FetchOptions,
  onEvent: (event: ActionEvent) => void,
): Promise<Results['fetch']> {
  const { performer, signal, cwd, stdout, terminal } = context;
  const timeout = timeoutOf(terminal, options.timeout);
  if (options.output === '-') return await performer.fetchTo({ link, ...timeout }, stdout, onEvent, signal);
  const { output, only, keep, force } = options;
  const request = { link, output: absolute(cwd, output), only: [...only], keep, force, ...timeout };
  return await performer.run('fetch', request, onEvent, signal);
}

/** With the slash at its end, where one is typed: it says that a folder is meant. */
function absolute(cwd: string, output: string): string {
  const path = resolve(cwd, output);
  return /[/\\]$/.test(output) && !path.endsWith(sep) ? path + sep : path;
}
