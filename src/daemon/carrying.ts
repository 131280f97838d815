/** What is told of what a home carries for others, and of the room that its ciphertext takes. */
import { parseHint } from '../format/hint.ts';
import { parseId } from '../format/ids.ts';
import { parseLink, type Link } from '../format/link.ts';
import { formatBytes } from '../format/sizes.ts';
import { NEARLY_FULL } from '../limits.ts';
import type { ShoalNode } from '../node.ts';
import type { ShareRecord } from '../catalog.ts';
import type { ActionEvent, Results, ShareView } from './actions.ts';

type Emit = (event: ActionEvent) => void;

/** What is to be carried: a link, with or without a key, or the id of a share, of which this home may know where to look. */
export function carryLinkOf({ home }: ShoalNode, text: string): Link {
  const trimmed = text.trim();
  if (!/^b[a-z2-7]*$/.test(trimmed)) return parseLink(trimmed);
  const [record, ...others] = home?.catalog.findByPrefix(trimmed) ?? [];
  if (record === undefined || others.length > 0) return { id: parseId(trimmed), hints: [] };
  return { id: record.id, hints: record.hints.map(parseHint) };
}

/** Tells of shares that are dropped to make room, until the returned function is called. */
export function tellDropped(node: ShoalNode, emit: Emit): () => void {
  return node.carrying?.onDropped(dropped => emit({ event: 'dropped', ...dropped })) ?? (() => undefined);
}

/** Does `work`, and tells of what is dropped to make room meanwhile. */
export async function tellingDropped<T>(node: ShoalNode, emit: Emit, work: () => Promise<T>): Promise<T> {
  const off = tellDropped(node, emit);
  try {
    return await work();
  } finally {
    off();
  }
}

/** What a view of a share says of its copies elsewhere, which are looked for where it is carried. */
export function elsewhereOf({
  copiesElsewhere,
  lookedAt,
}: ShareRecord): Pick<ShareView, 'copiesElsewhere' | 'lookedAt'> {
  return {
    ...(copiesElsewhere === undefined ? {} : { copiesElsewhere }),
    ...(lookedAt === undefined ? {} : { lookedAt }),
  };
}

/** What the ciphertext in the home takes; nothing where there is no home. */
export async function storeOf({ home }: ShoalNode): Promise<Pick<Results['status'], 'store'>> {
  return home === undefined ? {} : { store: await home.store.usage() };
}

/** Whether what the home keeps nearly takes what it may. */
export async function quotaChecks({ home }: ShoalNode): Promise<Results['doctor']['checks']> {
  if (home === undefined) return [];
  const { usedBytes, quotaBytes } = await home.store.usage();
  const used = `encrypted blocks take ${formatBytes(usedBytes)}`;
  if (quotaBytes === undefined) return [{ name: 'quota', state: 'ok', message: `${used}; there is no quota` }];
  const message = `${used} of the ${formatBytes(quotaBytes)} that they may`;
  if (usedBytes < quotaBytes * NEARLY_FULL) return [{ name: 'quota', state: 'ok', message }];
  return [
    {
      name: 'quota',
      state: 'notice',
      message: `${message}: it is nearly full, and what is carried for others is dropped when room is needed`,
      remedy:
        'raise store.quota ("shoal config set store.quota"), or forget shares that are kept here ("shoal forget")',
    },
  ];
}
