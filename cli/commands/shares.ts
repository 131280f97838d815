/** `shoal shares` and `shoal forget`: the shares of this home. */
import type { ShareView } from '../../src/daemon/actions.ts';
import { table, type Column } from '../columns.ts';
import type { Context } from '../context.ts';
import { storedAt } from '../copies.ts';
import { SHORT_ID_CHARS } from '../../src/limits.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { formatDate } from '../units.ts';

const HEADS: readonly Column[] = [
  { title: 'ID', side: 'left' },
  { title: 'NAME', side: 'left', shrinks: true },
  { title: 'SIZE', side: 'right' },
  { title: 'STATE', side: 'left' },
  { title: 'PEERS', side: 'right' },
  { title: 'UP', side: 'right' },
];
/** Where relays are used. */
const STORED: Column = { title: 'STORED', side: 'left' };
/** Where shares are carried without their keys. */
const CARRIED: readonly Column[] = [
  { title: 'SINCE', side: 'left' },
  { title: 'ELSEWHERE', side: 'left' },
];
/** What is carried without its key has no name that could be read. */
export const NAMELESS = 'carried, without its key';
/** Where some of them end. */
const ENDING: Column = { title: 'EXPIRES', side: 'left' };

/** @throws ShoalError */
export async function shares({ terminal, performer, signal }: Context): Promise<void> {
  const result = await performer.run('shares', {}, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(result);
    return;
  }
  if (result.shares.length === 0) {
    terminal.say('nothing is shared from this home yet; "shoal share PATH" shares a file or folder');
    return;
  }
  const isStored = result.shares.some(({ copies }) => copies.length > 0);
  const isCarrying = result.shares.some(({ name }) => name === '');
  const isEnding = result.shares.some(({ expires }) => expires !== undefined);
  const heads = [
    ...HEADS,
    ...(isStored ? [STORED] : []),
    ...(isEnding ? [ENDING] : []),
    ...(isCarrying ? CARRIED : []),
  ];
  const rows = result.shares.map(share => [
    ...rowOf(share),
    ...(isStored ? [storedAt(share.copies)] : []),
    ...(isEnding ? [share.expires === undefined ? '' : formatDate(share.expires)] : []),
    ...(isCarrying ? carriedOf(share) : []),
  ]);
  terminal.results(table(heads, rows, terminal.columns));
  if (result.clock !== undefined) terminal.warn(result.clock);
  for (const { id, state, detail, copies } of result.shares) {
    for (const copy of copies)
      if (copy.detail !== undefined) terminal.say(`${id.slice(0, SHORT_ID_CHARS)} at ${copy.name}: ${copy.detail}`);
    if (detail !== undefined) terminal.say(`${id.slice(0, SHORT_ID_CHARS)} is ${state}: ${detail}`);
  }
}

function rowOf(share: ShareView): string[] {
  const { id, name, kind, sizeBytes, state, peersServed, bytesUp } = share;
  const shown = name === '' ? NAMELESS : kind === 'folder' ? `${name}/` : name;
  return [id.slice(0, SHORT_ID_CHARS), shown, formatBytes(sizeBytes), state, String(peersServed), formatBytes(bytesUp)];
}

function carriedOf({ name, createdAt, copiesElsewhere }: ShareView): string[] {
  if (name !== '') return ['', ''];
  const copies = copiesElsewhere === undefined ? 'not known yet' : String(copiesElsewhere);
  return [formatDate(createdAt), copies];
}

/** @throws ShoalError `unknown-share` */
export async function forget({ terminal, performer, signal }: Context, id: string): Promise<void> {
  const forgotten = await performer.run('forget', { id }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(forgotten);
    return;
  }
  const { name, source } = forgotten;
  const kept = source === 'original' || source === 'fetched' ? '; your files stay where they are' : '';
  terminal.say(`forgot ${name || NAMELESS} (${forgotten.id}): this home does not serve it any more${kept}`);
}
