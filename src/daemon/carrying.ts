/** What is told of what a home carries for others, and of the room that its ciphertext takes. */
import type { ShareRecord } from '../catalog.ts';
import { isShoalError, ShoalError } from '../errors.ts';
import { parseHint } from '../format/hint.ts';
import { parseId } from '../format/ids.ts';
import { parseLink, type Link } from '../format/link.ts';
import { formatBytes } from '../format/sizes.ts';
import { NEARLY_FULL } from '../limits.ts';
import type { ShoalNode } from '../node.ts';
import type { ActionEvent, Results } from './actions.ts';
import { carryLink } from './granting.ts';

type Emit = (event: ActionEvent) => void;

/**
 * What is to be carried: by a link, with or without a key, or by the id of a share or grant, of which this home may know where to look.
 * @throws ShoalError `bad-link`; `refused` for what nobody is to serve any more, before anybody is asked for it; as `resolve`
 */
export async function shareToCarry(
  node: ShoalNode,
  text: string,
  timeoutMs: number | undefined,
  emit: Emit,
  signal: AbortSignal,
): Promise<Link> {
  const link = linkIn(node, text.trim());
  node.refuseEnded(link.id);
  return await carryLink(node, link, timeoutMs, emit, signal);
}

function linkIn({ home }: ShoalNode, text: string): Link {
  if (!/^b[a-z2-7]*$/.test(text)) return parseLink(text);
  const [record, ...others] = home?.catalog.findByPrefix(text) ?? [];
  if (record === undefined || others.length > 0) return { id: parseId(text), hints: [] };
  return { id: record.id, hints: record.hints.map(parseHint) };
}

interface Carriage {
  readonly timeoutMs: number | undefined;
  /** Whether a daemon is to serve it. */
  readonly always: boolean;
  readonly isDaemonThere: () => boolean;
  /** What there is of it can be served. */
  readonly onKnown: () => void;
}

/** Gets a share, and tells of what is dropped for it. @returns who gave how much @throws ShoalError as `seed` */
export async function getToCarry(
  node: ShoalNode,
  link: Link,
  { timeoutMs, always, isDaemonThere, onKnown }: Carriage,
  emit: Emit,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<ShoalNode['seed']>>> {
  const { id } = link;
  const wasAlways = node.home?.catalog.get(id)?.serveAlways === true;
  const whenKnown = (): void => {
    onKnown();
    // One that comes after a daemon that was killed goes on with it then.
    if (always) node.service.serveAs(id, { serveAlways: true });
  };
  try {
    return await tellingDropped(node, emit, () => node.seed(link, timeoutMs, emit, whenKnown, signal));
  } catch (error) {
    // Not so with what was stopped while the daemon stays.
    const isKnown = node.home?.catalog.get(id) !== undefined;
    if (isKnown && isDaemonThere()) node.service.serveAs(id, { serveAlways: wasAlways });
    throw error;
  }
}

/**
 * Gets what is to be carried always and is not all here, as a daemon that was killed has left it.
 * @returns ends that, once what is under way has stopped
 */
export function carryOn(node: ShoalNode): () => Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  const work = unfinished(node).then(records =>
    Promise.all(records.map(record => getRest(node, record, signal).catch(unlessFailed))),
  );
  return async () => {
    stop.abort(new ShoalError('interrupted', 'the daemon stops'));
    await work;
  };
}

async function unfinished({ home }: ShoalNode): Promise<ShareRecord[]> {
  const found: ShareRecord[] = [];
  for (const record of home?.catalog.list() ?? []) {
    const { id, source, serveAlways, state } = record;
    if (source !== 'imported' || !serveAlways || state !== 'ready') continue;
    if ((await home?.store.have(id)) !== 'all') found.push(record);
  }
  return found;
}

async function getRest(node: ShoalNode, { id, hints }: ShareRecord, signal: AbortSignal): Promise<void> {
  const nothing = (): void => undefined;
  await node.seed({ id, hints: hints.map(parseHint) }, undefined, nothing, nothing, signal);
}

/** The next daemon tries it again, and `shoal seed` tells why it fails. */
function unlessFailed(error: unknown): void {
  if (!isShoalError(error)) throw error;
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
