/** `shoal ls`: names and sizes, without the data. */
import type { ActionEvent } from '../../src/daemon/actions.ts';
import { givenLink, type AccessFlags } from '../access.ts';
import { timeoutOf, type Context } from '../context.ts';
import { padded } from '../columns.ts';
import { showLine } from '../progress.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { count, formatDate } from '../units.ts';

const DATE_COLUMNS = 'YYYY-MM-DD hh:mm'.length;

/** @throws ShoalError as `list` does */
export async function ls(context: Context, argument: string | undefined, options: AccessFlags): Promise<void> {
  const { terminal, performer, signal } = context;
  const link = await givenLink(context, argument, options);
  let waitingFor = terminal.isLive ? 'looking for peers' : '';
  const line = showLine(terminal, () => waitingFor);
  const onEvent = (event: ActionEvent): void => {
    if (event.event === 'waiting') waitingFor = event.why;
  };
  const request = { link, ...timeoutOf(terminal, options.timeout) };
  const listing = await performer.run('list', request, onEvent, signal).finally(() => line.stop());

  const sizeBytes = listing.entries.reduce((sum, { size }) => sum + size, 0);
  const files = listing.entries.filter(({ directory }) => directory !== true).length;
  if (terminal.isJson) {
    terminal.json({ ...listing, sizeBytes, files });
    return;
  }
  const sizes = listing.entries.map(({ size, directory }) => (directory === true ? '-' : formatBytes(size)));
  const widest = sizes.reduce((most, text) => Math.max(most, text.length), 0);
  terminal.results(
    listing.entries.map(({ path, modified, directory }, n) => {
      const date = padded(modified === undefined ? '' : formatDate(modified), DATE_COLUMNS);
      return `${padded(sizes[n] ?? '', widest, 'right')}  ${date}  ${path}${directory === true ? '/' : ''}`;
    }),
  );
  if (listing.note !== undefined) terminal.say(`note: ${listing.note}`);
  if (listing.kind === 'folder') terminal.say(`${listing.name}: ${count(files, 'file')}, ${formatBytes(sizeBytes)}`);
}
