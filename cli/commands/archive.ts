/** `shoal export` and `shoal import`: a share's ciphertext as a CAR file. */
import type { ActionEvent } from '../../src/daemon/actions.ts';
import { ShoalError } from '../../src/errors.ts';
import type { Context } from '../context.ts';
import { droppedLine } from '../dropped.ts';
import { pathAt } from '../paths.ts';
import { Rate, showLine } from '../progress.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { count } from '../units.ts';

/** Writes a share to a file. @throws ShoalError `usage`, `unknown-share`, `exists` unless `force`, `unavailable`, by `fileError` */
export async function exportCar(
  context: Context,
  id: string,
  options: { readonly output: string; readonly force: boolean },
): Promise<void> {
  const { terminal, performer, signal, cwd } = context;
  if (options.output === '-')
    throw new ShoalError(
      'usage',
      'cannot export to stdout: the file is written whole, and then given its name; name one with --output',
    );
  const request = { id, output: pathAt(cwd, options.output), force: options.force };
  const exported = await withProgress(context, 'exporting', onEvent =>
    performer.run('export', request, onEvent, signal),
  );
  if (terminal.isJson) {
    terminal.json(exported);
    return;
  }
  terminal.result(exported.path);
  terminal.say(`exported ${contents(exported)}; who imports it still needs the link to read it`);
}

/** Takes in the blocks of a file. @throws ShoalError `malformed`, `mismatch`, by `fileError` */
export async function importCar(context: Context, path: string): Promise<void> {
  const { terminal, performer, signal, cwd } = context;
  const imported = await withProgress(context, 'importing', onEvent =>
    performer.run('import', { path: pathAt(cwd, path) }, onEvent, signal),
  );
  if (terminal.isJson) {
    terminal.json(imported);
    return;
  }
  terminal.result(imported.id);
  const missing = imported.complete ? '' : '; some blocks are missing, which a fetch gets from peers';
  terminal.say(`imported ${contents(imported)}${missing}; "shoal fetch LINK" now uses them`);
}

function contents({ blocks, bytes }: { readonly blocks: number; readonly bytes: number }): string {
  return `${count(blocks, 'block')}, ${formatBytes(bytes)}`;
}

async function withProgress<T>(
  { terminal }: Context,
  doing: string,
  work: (onEvent: (event: ActionEvent) => void) => Promise<T>,
): Promise<T> {
  const rate = new Rate();
  let done = { blocks: 0, bytes: 0 };
  const line = showLine(terminal, nowMs => {
    rate.sample(done.bytes, nowMs);
    return `${doing}  ${contents(done)}  ${formatBytes(rate.perSecond())}/s`;
  });
  return await work(event => {
    if (event.event === 'blocks') done = event;
    if (event.event === 'dropped') terminal.say(droppedLine(event));
  }).finally(() => line.stop());
}
