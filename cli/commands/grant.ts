/** `shoal grant`: another grant of a share that is there already. */
import { ShoalError } from '../../src/errors.ts';
import type { Context } from '../context.ts';
import { readersLine, readersOf, tellPassphrase, type ReaderFlags } from '../readers.ts';
import { formatDate } from '../units.ts';

export interface GrantFlags extends ReaderFlags {
  /** Unix seconds, a full hour. */
  readonly expires?: number;
}

/** @throws ShoalError as the action; `usage` */
export async function grant(context: Context, id: string, flags: GrantFlags): Promise<void> {
  const { terminal, performer, signal } = context;
  const readers = await readersOf(context, flags);
  if (readers === undefined)
    throw new ShoalError('usage', 'cannot grant the share to nobody: name who may read with --to, or use --passphrase');
  const { expires } = flags;
  const request = { id, to: readers.to, ...(expires === undefined ? {} : { expires }) };
  const granted = await performer.run('grant', request, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json({ ...granted, ...(readers.made === undefined ? {} : { passphrase: readers.made }) });
    return;
  }
  terminal.result(granted.link);
  if (readers.made !== undefined) tellPassphrase(terminal, readers.made);
  terminal.say(readersLine(granted.grant.madeFor));
  if (granted.grant.expires !== undefined) terminal.say(`until ${formatDate(granted.grant.expires)}`);
  if (granted.relays.length > 0) terminal.say(`it is at ${granted.relays.join(', ')}`);
  if (granted.lacking.length > 0)
    terminal.say(`not yet at ${granted.lacking.join(', ')}: it is left there whenever this home runs`);
}
