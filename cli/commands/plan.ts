/** `shoal fetch --dry-run`: what a fetch would do now. */
import type { ActionEvent, Parameters, Results } from '../../src/daemon/actions.ts';
import { exitCodeOf, ShoalError } from '../../src/errors.ts';
import { fieldLines } from '../columns.ts';
import { Told, type Context } from '../context.ts';
import { showLine } from '../progress.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { count } from '../units.ts';

/** @throws ShoalError as `fetch` would at once */
export async function planFetch({ terminal, performer, signal }: Context, request: Parameters<'plan'>): Promise<void> {
  let doing = terminal.isLive ? 'looking for peers' : '';
  const line = showLine(terminal, () => doing);
  const onEvent = (event: ActionEvent): void => {
    if (event.event === 'waiting') doing = event.why;
    if (event.event === 'opened') doing = terminal.isLive ? `${event.name}: looking around` : '';
  };
  const planned = await performer.run('plan', request, onEvent, signal).finally(() => line.stop());
  const { failure } = planned;
  if (terminal.isJson) {
    terminal.json(planned);
    if (failure !== undefined) throw new Told(exitCodeOf(failure.code));
    return;
  }
  terminal.results(fieldLines(fieldsOf(planned)));
  if (failure !== undefined) throw new ShoalError(failure.code, failure.message);
}

function fieldsOf(planned: Results['plan']): [string, string | undefined][] {
  const { name, kind, note, sizeBytes, files, path, neededBytes, roomBytes, peers } = planned;
  return [
    ['name', name],
    ['kind', kind],
    ['note', note],
    ['size', formatBytes(sizeBytes)],
    ['files', kind === 'file' ? undefined : String(files)],
    ['path', path],
    ['there', thereOf(planned)],
    ['to write', formatBytes(neededBytes)],
    ['room', roomBytes === undefined ? undefined : formatBytes(roomBytes)],
    ['peers', `${count(peers, 'source')} at the moment`],
  ];
}

function thereOf({ standing, partBytes }: Results['plan']): string {
  switch (standing) {
    case 'nothing':
      return 'nothing';
    case 'complete':
      return 'all of it, complete and right';
    case 'some':
      return `some of it, right as far as it is wanted; the rest is added${partBytes > 0 ? `, of which an earlier run has ${formatBytes(partBytes)}` : ''}`;
    case 'other':
      return 'something else';
    case 'part':
      return `nothing; beside it ${formatBytes(partBytes)} of an earlier run, to be checked`;
  }
}
