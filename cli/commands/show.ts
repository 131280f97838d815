/** `shoal show`: one share of this home in full. */
import type { Results } from '../../src/daemon/actions.ts';
import { fieldLines } from '../columns.ts';
import type { Context } from '../context.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { formatDate } from '../units.ts';
import { NAMELESS } from './shares.ts';
import { withdrawalLines } from './withdraw.ts';

/** @throws ShoalError `unknown-share`; `key-missing` where its link is asked for and has no key */
export async function show(
  { terminal, performer, signal }: Context,
  id: string,
  options: { readonly link: boolean },
): Promise<void> {
  const shown = await performer.run('show', { id, withLink: options.link }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(shown);
    return;
  }
  if (shown.link === undefined) {
    terminal.results(fieldLines(fieldsOf(shown)));
    return;
  }
  terminal.result(shown.link);
  if (terminal.isInteractive) terminal.say('who has this link can read the share');
}

const HOW: Readonly<Record<Results['show']['source'], string>> = {
  original: 'the files that were shared',
  spooled: 'what came from stdin, kept in the home',
  copy: 'an encrypted copy',
  fetched: 'the files that were fetched',
  imported: 'encrypted blocks from elsewhere',
};

function fieldsOf(share: Results['show']): [string, string | undefined][] {
  const { id, name, kind, sizeBytes, files, note, source, path, state, detail, createdAt, hints } = share;
  const isOver = state === 'expired' || state === 'withdrawn';
  const { expires, chunks, chunksKept, diskBytes, padded, peersServed, bytesUp, hasKey, withdrawal } = share;
  return [
    ['id', id],
    ['name', name || NAMELESS],
    [
      'carried',
      hasKey ? undefined : 'for others: it can not be read here, not even its name; "shoal forget" removes it',
    ],
    ['kind', hasKey ? kind : undefined],
    ['size', `${formatBytes(sizeBytes)} (${sizeBytes} bytes)`],
    ['files', hasKey ? String(files) : undefined],
    ['note', note],
    ['source', HOW[source]],
    ['path', path],
    ['state', detail === undefined ? state : `${state}: ${detail}`],
    ['withdrawn', withdrawal && `${formatDate(withdrawal.at)}, ${withdrawal.own ? 'from this home' : 'by the sharer'}`],
    ['grant of', withdrawal?.what === 'grant' ? withdrawal.share : undefined],
    ...(withdrawal?.notices ?? []).map((notice): [string, string] => ['told', withdrawalLines([notice]).join()]),
    [hasKey ? 'created' : 'since', formatDate(createdAt)],
    ['copies elsewhere', hasKey ? undefined : elsewhere(share)],
    ['expires', expires === undefined ? undefined : formatDate(expires)],
    ['padded', padded === undefined ? undefined : padded ? 'yes, its exact size is hidden' : 'no'],
    ['hints', hints.length === 0 ? 'none' : hints.join(', ')],
    [
      'chunks',
      chunks === undefined
        ? isOver
          ? undefined
          : 'unknown, as blocks are damaged'
        : `${chunks}, ${chunksKept ?? 0} of them kept here`,
    ],
    ...share.copies.map(({ name: relay, state: how, until, detail: why }): [string, string] => [
      'stored at',
      `${relay} ${how === 'stored' ? `until ${formatDate(until ?? 0)}` : '(not yet)'}${why === undefined ? '' : `: ${why}`}`,
    ]),
    ...share.grants.map(({ id: grant, madeFor, expires }): [string, string] => [
      'granted',
      `${madeFor.join(', ') || 'by another'}${expires === undefined ? '' : ` until ${formatDate(expires)}`} (${grant})`,
    ]),
    ['on disk', diskBytes === undefined ? undefined : formatBytes(diskBytes)],
    ['peers served', String(peersServed)],
    ['bytes up', formatBytes(bytesUp)],
  ];
}

function elsewhere({ copiesElsewhere, lookedAt = 0 }: Results['show']): string {
  if (copiesElsewhere === undefined) return 'not known yet';
  return `${copiesElsewhere} complete when that was looked at last, ${formatDate(lookedAt)}`;
}
