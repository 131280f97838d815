/** `shoal seed`: carries a share, and serves it until it is stopped. */
import type { ActionEvent } from '../../src/daemon/actions.ts';
import { isShoalError } from '../../src/errors.ts';
import { needDaemon } from '../background.ts';
import { linkOf, timeoutOf, type Context } from '../context.ts';
import { EventPrinter } from '../events.ts';
import { FetchView } from '../fetching.ts';
import { showLine } from '../progress.ts';

/** @throws ShoalError as `seed` does; `interrupted` in the end */
export async function seed(
  context: Context,
  argument: string | undefined,
  options: { readonly timeout?: number; readonly detach: boolean },
): Promise<void> {
  const { terminal, performer, signal } = context;
  const link = await linkOf(context, argument);
  if (options.detach) await needDaemon(context);
  const printer = new EventPrinter(terminal);
  const view = new FetchView(terminal, false);
  const line = showLine(terminal, (nowMs, columns) => view.line(nowMs, columns));
  const onEvent = (event: ActionEvent): void => (terminal.isJson ? printer.print(event) : view.tell(event));
  try {
    const always = options.detach ? { always: true } : {};
    const request = { link, ...always, ...timeoutOf(terminal, options.timeout) };
    const done = await performer.run('seed', request, onEvent, signal);
    if (terminal.isJson) terminal.json({ event: 'done', ...done });
  } catch (error) {
    line.stop();
    if (isShoalError(error, 'interrupted') || signal.aborted) view.stopped();
    throw error;
  } finally {
    line.stop();
    printer.close();
  }
}
