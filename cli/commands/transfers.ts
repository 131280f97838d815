/** `shoal transfers`: the fetches of this home, and what can be done with them. */
import type { Results } from '../../src/daemon/actions.ts';
import { table, type Column } from '../columns.ts';
import type { Context } from '../context.ts';
import { formatBytes } from '../../src/format/sizes.ts';

type Transfer = Results['transfer'];

const HEADS: readonly Column[] = [
  { title: 'ID', side: 'left' },
  { title: 'NAME', side: 'left', shrinks: true },
  { title: 'STATE', side: 'left' },
  { title: 'DONE', side: 'right' },
  { title: 'SIZE', side: 'right' },
  { title: 'SPEED', side: 'right' },
  { title: 'PEERS', side: 'right' },
];

/** @throws ShoalError */
export async function list({ terminal, performer, signal }: Context): Promise<void> {
  const result = await performer.run('transfers', {}, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(result);
    return;
  }
  if (result.transfers.length === 0) {
    terminal.say('nothing is under way in this home; "shoal fetch --detach LINK" gives the daemon something to do');
    return;
  }
  terminal.results(table(HEADS, result.transfers.map(rowOf), terminal.columns));
  for (const { id, state, detail, path } of result.transfers) {
    if (detail !== undefined) terminal.say(`${id} ${state === 'running' ? 'waits' : state}: ${detail}`);
    else if (path !== undefined) terminal.say(`${id} is in ${path}`);
  }
}

function rowOf({ id, name, output, state, doneBytes, totalBytes, bytesPerSecond, peers }: Transfer): string[] {
  const done = totalBytes === undefined || totalBytes === 0 ? 0 : Math.floor((100 * doneBytes) / totalBytes);
  return [
    id,
    name ?? `(to ${output})`,
    state,
    state === 'done' ? '100%' : `${Math.min(done, 99)}%`,
    totalBytes === undefined ? '' : formatBytes(totalBytes),
    bytesPerSecond > 0 ? `${formatBytes(bytesPerSecond)}/s` : '',
    String(peers),
  ];
}

/** @throws ShoalError `unknown-share`, `usage` */
export async function pause(context: Context, id: string): Promise<void> {
  const { terminal, performer, signal } = context;
  const paused = await performer.run('pause', { id }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(paused);
    return;
  }
  if ('source' in paused)
    terminal.say(`the daemon does not serve ${paused.name || paused.id} any more, until it is resumed`);
  else terminal.say(`paused ${nameOf(paused)}`);
}

/** @throws ShoalError `unknown-share`, `usage` */
export async function resume(context: Context, id: string): Promise<void> {
  const { terminal, performer, signal } = context;
  const resumed = await performer.run('resume', { id }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(resumed);
    return;
  }
  const { daemon } = await performer.run('status', {}, () => undefined, signal);
  const what = 'source' in resumed ? `${resumed.name || resumed.id} is served` : `${nameOf(resumed)} goes on`;
  const when = daemon === undefined ? ' when there is a daemon; "shoal daemon --detach" starts one' : '';
  terminal.say(what + when);
}

/** @throws ShoalError `unknown-share` */
export async function cancel(context: Context, id: string): Promise<void> {
  const { terminal, performer, signal } = context;
  const cancelled = await performer.run('cancel', { id }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(cancelled);
    return;
  }
  const { path } = cancelled;
  terminal.say(
    path === undefined
      ? `cancelled ${nameOf(cancelled)}; what was fetched of it so far is removed`
      : `${nameOf(cancelled)} is off the list; its files stay in ${path}`,
  );
}

function nameOf({ id, name }: Transfer): string {
  return name === undefined ? id : `${id} (${name})`;
}
