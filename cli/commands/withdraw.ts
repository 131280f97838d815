/** `shoal withdraw`: ends a share or grant for good, and says who has confirmed that. */
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { ShoalError } from '../../src/errors.ts';
import { isTyped, typedLine, type Context } from '../context.ts';
import { parseLink } from '../../src/format/link.ts';
import { EventPrinter } from '../events.ts';
import { showLine } from '../progress.ts';
import { count, formatDate } from '../units.ts';
import { NAMELESS } from './shares.ts';

type Withdrawn = Results['withdraw'];
type Notice = Withdrawn['notices'][number];

/**
 * Asks first, where a person is there to answer.
 * @throws ShoalError `usage` where this home may not withdraw it, or the answer is no; `unknown-share`, `refused`
 */
export async function withdraw(context: Context, id: string, options: { readonly yes: boolean }): Promise<void> {
  const { terminal, performer, signal } = context;
  const canAsk = terminal.isInteractive && isTyped(context.stdin) && !terminal.isJson;
  if (!options.yes && !canAsk)
    throw new ShoalError('usage', 'cannot withdraw without a question, and nobody is there to answer it: give --yes');
  if (!options.yes) await confirm(context, id);
  const printer = new EventPrinter(terminal);
  const telling = new Set<string>();
  const line = showLine(terminal, () =>
    telling.size === 0 ? 'looking for others who have it' : `telling ${[...telling].join(', ')}`,
  );
  const onEvent = (event: ActionEvent): void => {
    if (terminal.isJson) return printer.print(event);
    if (event.event !== 'notice') return;
    const name = shortName(event);
    if (event.state === 'telling') telling.add(name);
    else telling.delete(name);
    if (event.state === 'obeyed') terminal.say(`${name} has confirmed: it does not give it any more`);
    if (event.state === 'dropped') terminal.say(`${name} says that it does not hold it`);
    if (event.state === 'pending') terminal.say(`${name} is not told yet: ${event.why ?? 'it was not reached'}`);
  };
  let done: Withdrawn;
  try {
    done = await performer.run('withdraw', { id }, onEvent, signal);
  } finally {
    line.stop();
    printer.close();
  }
  if (terminal.isJson) terminal.json({ event: 'done', ...done });
  else report(context, done);
}

async function confirm(context: Context, id: string): Promise<void> {
  const { terminal, performer, signal } = context;
  const { name, grants, id: share } = await performer.run('show', { id, withLink: false }, () => undefined, signal);
  const named = id.includes(':') ? parseLink(id).id : id.trim();
  const grant = share.startsWith(named) ? undefined : grants.find(one => one.id.startsWith(named));
  const ends = grants.length === 0 ? '' : ` Its grants end, too: ${grants.length}.`;
  terminal.say(
    grant === undefined
      ? `withdraw ${name || NAMELESS}? Nobody is to give it to anybody any more, and that is for good.${ends}`
      : `withdraw the grant of ${name || NAMELESS} that was made for ${grant.madeFor.join(', ')}? It is for good; the share goes on.`,
  );
  terminal.say(TRUTH);
  terminal.say('type "yes" and press Enter to go on');
  const answer = (await typedLine(context)).trim().toLowerCase();
  if (answer !== 'yes') throw new ShoalError('usage', 'nothing was withdrawn: the answer was not "yes"');
}

const TRUTH = 'who has fetched it keeps it, and can share it anew; that can not be undone by anybody';

function report({ terminal }: Context, { what, share, name, at, again, notices }: Withdrawn): void {
  const called = `${what === 'grant' ? 'a grant of ' : ''}${name ?? share}`;
  terminal.say(
    again
      ? `${called} was withdrawn on ${formatDate(at)} already; this is how it stands`
      : `withdrew ${called}; your files stay where they are`,
  );
  if (what === 'grant') terminal.say('the share, and its other grants, go on');
  const of = (state: Notice['state']): Notice[] => notices.filter(notice => notice.state === state);
  terminal.results(withdrawalLines(notices));
  const pending = of('pending').length;
  if (notices.length === 0) terminal.say('nobody else was found who has it');
  terminal.say(
    `${pending === 0 ? 'others who turn out to have it are told' : `${count(pending, 'peer')} and others who turn out to have it are told`} whenever a process holds this home ("shoal daemon"); "shoal show" says how it stands`,
  );
  terminal.say(TRUTH);
}

/** Who has confirmed a withdrawal, and who has not, and why. */
export function withdrawalLines(notices: readonly Notice[]): string[] {
  return notices.map(notice => {
    const name = notice.relay ? notice.name : `peer ${notice.name}`;
    if (notice.state === 'obeyed') return `confirmed: ${name} (${formatDate(notice.at)})`;
    if (notice.state === 'dropped') return `not held: ${name}`;
    return `not told yet: ${name}${notice.detail === undefined ? '' : `: ${notice.detail}`}`;
  });
}

/** A relay by its name, a peer by the end of its id, in which they differ. */
function shortName({ name, peer }: { readonly name: string; readonly peer: string }): string {
  return name === peer ? `…${peer.slice(-8)}` : name;
}
