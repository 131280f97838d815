/** Actions of a home that are about who may read: grants, and what they lead to. */
import type { GrantRecord, ShareRecord } from '../catalog.ts';
import { isShoalError, ShoalError } from '../errors.ts';
import type { FetchEvent } from '../fetch.ts';
import { checkExpiry } from '../format/expiry.ts';
import { parseHint, type Hint } from '../format/hint.ts';
import type { BlockId } from '../format/ids.ts';
import { formatLink, parseLink, type Link } from '../format/link.ts';
import type { GrantRequest } from '../grant.ts';
import type { Home } from '../home.ts';
import { GRANT_PATIENCE_MS, VERIFY_LOOK_MS } from '../limits.ts';
import type { ShoalNode } from '../node.ts';
import { nameOf } from '../relay-name.ts';
import type { Parameters, Results } from './actions.ts';
import { recipientsOf } from './contacts.ts';
import { findGrant } from './naming.ts';

/** Whom a grant is for. */
export type Chosen = Pick<GrantRequest, 'to' | 'madeFor'>;

/** Whom a grant is for, checked: to be known before anything else is done. @throws ShoalError `usage` */
export function chosenFor(node: ShoalNode, to: Parameters<'grant'>['to']): Chosen {
  if ('passphrase' in to) return { to, madeFor: ['a passphrase'] };
  const { recipients, madeFor } = recipientsOf(homeOf(node).catalog, to.recipients);
  return { to: { recipients }, madeFor };
}

/** Makes a grant of a share, and its link. @param expires Unix seconds, a full hour */
export async function grantTo(
  node: ShoalNode,
  share: BlockId,
  chosen: Chosen,
  hints: readonly Hint[],
  expires?: number,
): Promise<{ readonly grant: Results['grant']['grant']; readonly link: string }> {
  const refusal = homeOf(node).refusalOf(share, Math.floor(Date.now() / 1000));
  if (refusal !== undefined)
    throw new ShoalError('refused', `cannot grant the share to anybody: it is ${refusal.reason}; share it anew`);
  if (expires !== undefined) checkExpiry(expires, Date.now() / 1000);
  const id = await node.grants.make({ share, ...chosen, expires });
  const made = homeOf(node).catalog.grants.get(id);
  if (made === undefined) throw new Error('a grant that was made is in the catalog');
  return { grant: grantViewOf(made), link: formatLink({ id, hints }) };
}

/** Makes another grant of a share, and waits a little for the relays that keep the share to have it. */
export async function grantAgain(
  node: ShoalNode,
  share: BlockId,
  { to, expires }: Parameters<'grant'>,
  signal: AbortSignal,
): Promise<Results['grant']> {
  const { catalog } = homeOf(node);
  const hints = (catalog.get(share)?.hints ?? []).map(parseHint);
  const made = await grantTo(node, share, chosenFor(node, to), hints, expires);
  await atRelays(node, share, signal);
  const names = new Map(catalog.relays.list().map(relay => [relay.peer, nameOf(relay)]));
  const lacking = new Set(catalog.grants.missing(made.grant.id as BlockId));
  const keeping = catalog.copies.list(share).filter(({ state }) => state === 'stored');
  const named = (has: boolean): string[] =>
    keeping.filter(({ relay }) => lacking.has(relay) !== has).map(({ relay }) => names.get(relay) ?? relay);
  return { share, ...made, relays: named(true), lacking: named(false) };
}

/** Resolves when all relays that keep a share have its grants, when one has failed to take them, or after a while. */
async function atRelays(node: ShoalNode, share: BlockId, signal: AbortSignal): Promise<void> {
  const { catalog } = homeOf(node);
  const isDone = (): boolean => !catalog.grants.lacking().some(one => one.share === share);
  if (isDone()) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const off = node.relays?.copies?.onEvent(({ id, state }) => {
    if (id === share && (state === 'failed' || isDone())) resolve(undefined);
  });
  const over = AbortSignal.any([signal, AbortSignal.timeout(GRANT_PATIENCE_MS)]);
  over.addEventListener('abort', () => resolve(undefined), { once: true });
  try {
    await promise;
    signal.throwIfAborted();
  } finally {
    off?.();
  }
}

export async function resolveLink(
  node: ShoalNode,
  { link: text, timeoutMs }: Parameters<'resolve'>,
  emit: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<Results['resolve']> {
  const { share, grant } = await node.resolve(parseLink(text), timeoutMs, emit, signal);
  if (grant === undefined) return { id: share };
  const { block, ...rest } = grant;
  return { id: share, grant: { ...rest, block: Buffer.from(block).toString('base64') } };
}

/** The link of the share itself, where one without a key may be of a grant. @throws ShoalError as `resolve` */
export async function carryLink(
  node: ShoalNode,
  link: Link,
  timeoutMs: number | undefined,
  emit: (event: FetchEvent) => void,
  signal: AbortSignal,
): Promise<Link> {
  if (link.key !== undefined) return link;
  const { share } = await node.resolve(link, timeoutMs, emit, signal);
  return { ...link, id: share };
}

/** The share to be verified, also where a link is of a grant. What nobody knows is looked for as it is. */
export async function namedShare(node: ShoalNode, link: Link, signal: AbortSignal): Promise<Link> {
  try {
    return await carryLink(node, link, VERIFY_LOOK_MS, () => undefined, signal);
  } catch (error) {
    if (isShoalError(error, 'not-found') || isShoalError(error, 'unavailable') || isShoalError(error, 'refused'))
      return link;
    throw error;
  }
}

/** The link by which a share of this home was named: that of a grant has no key. */
export function linkNamed(node: ShoalNode, text: string, { id, hints }: ShareRecord): string {
  const grant = findGrant(node, text);
  const parsed = hints.map(parseHint);
  return grant === undefined ? node.linkOf(id, parsed) : formatLink({ id: grant.id, hints: parsed });
}

/** What is done to a share is not done by naming one of its grants. @throws ShoalError `usage` */
export function refuseGrant(node: ShoalNode, text: string, doing: string): void {
  const grant = findGrant(node, text);
  if (grant === undefined) return;
  throw new ShoalError(
    'usage',
    `cannot ${doing} a grant: "shoal withdraw" ends it, and the share that it is of is ${grant.share}`,
  );
}

/** The grants of a share, as they are shown. */
export function grantViews({ catalog }: Home, share: BlockId): Results['show']['grants'] {
  return catalog.grants.list(share).map(grantViewOf);
}

function grantViewOf({ id, madeFor, createdAt, expires, isOwn }: GrantRecord): Results['grant']['grant'] {
  return { id, madeFor, createdAt, ...(expires === undefined ? {} : { expires }), own: isOwn };
}

function homeOf(node: ShoalNode): Home {
  if (node.home === undefined) throw new Error('only a home grants anything');
  return node.home;
}
