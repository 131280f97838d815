/** Actions of a home that are about withdrawals: its own, and what it shows of all. */
import type { WithdrawalRecord } from '../catalog.ts';
import { isShoalError, ShoalError } from '../errors.ts';
import { ciphertextBytes, decodeShareBlock } from '../format/share-block.ts';
import type { BlockId } from '../format/ids.ts';
import type { Home } from '../home.ts';
import type { ShoalNode } from '../node.ts';
import { withdrawnOn } from '../protocol/withdrawn.ts';
import { nameOf } from '../relay-name.ts';
import type { ActionEvent, Results } from './actions.ts';
import { onlyOne, prefixIn } from './naming.ts';

type View = NonNullable<Results['show']['withdrawal']>;

/**
 * Withdraws a share or grant of this home for good, and tells those who have it and can be reached now; the others are told
 * whenever somebody holds the home. Of what is withdrawn already, those who are still to be told are told again.
 */
export async function withdraw(
  node: ShoalNode,
  text: string,
  emit: (event: ActionEvent) => void,
  signal: AbortSignal,
): Promise<Results['withdraw']> {
  const { home, withdrawals, deliveries } = node;
  if (home === undefined || withdrawals === undefined || deliveries === undefined)
    throw new Error('only who holds a home withdraws');
  const id = withdrawableIn(home, text);
  const before = home.catalog.withdrawals.get(id);
  if (before?.isOwn === false)
    throw new ShoalError(
      'refused',
      `cannot withdraw it: it was ${withdrawnOn(before.at)} already, as this home has heard`,
    );
  const name = before === undefined ? nameIn(home, id) : undefined;
  const off = deliveries.onEvent(event => {
    if (event.id === id) emit(event);
  });
  try {
    if (before === undefined) await withdrawals.withdraw(id);
    const record = home.catalog.withdrawals.get(id);
    if (record === undefined) throw new Error('what was withdrawn is on record');
    emit({ event: 'withdrawn', ...viewOf(home, record) });
    await deliveries.round(id, signal);
    return { ...viewOf(home, record), ...(name === undefined ? {} : { name }), again: before !== undefined };
  } finally {
    off();
  }
}

/** What is shown of a withdrawal beside its share; nothing where there is none. */
export function withdrawalOf({ home }: ShoalNode, id: BlockId): { readonly withdrawal?: View } {
  const record = home?.catalog.withdrawals.get(id);
  return home === undefined || record === undefined ? {} : { withdrawal: viewOf(home, record) };
}

/** What is shown of a grant that was withdrawn, or of a share that was and is forgotten; undefined where the text names neither. */
export function showWithdrawn({ home }: ShoalNode, text: string): Results['show'] | undefined {
  if (home === undefined) return undefined;
  const prefix = prefixIn(text);
  if (home.catalog.findByPrefix(prefix).length > 0) return undefined;
  const ids = home.catalog.withdrawals.ids().filter(id => id.startsWith(prefix));
  const record = ids.length === 0 ? undefined : home.catalog.withdrawals.get(onlyOne(ids, prefix));
  if (record === undefined) return undefined;
  const { id, share, at } = record;
  const { name = '', kind = 'file', createdAt = at } = home.catalog.get(share) ?? {};
  return {
    ...{
      id,
      name,
      kind,
      sizeBytes: id === share ? sizeOf(record) : 0,
      files: 0,
      source: 'imported',
      state: 'withdrawn',
    },
    ...{ createdAt, peersServed: 0, bytesUp: 0, always: false, copies: [], hints: [], hasKey: false, grants: [] },
    withdrawal: viewOf(home, record),
  };
}

/** Why serving a share has ended where its owner, who is elsewhere, has withdrawn it. */
export function withdrawnElsewhere({ home }: ShoalNode, id: BlockId): ShoalError | undefined {
  const record = home?.catalog.withdrawals.get(id);
  return record === undefined || record.isOwn
    ? undefined
    : new ShoalError(
        'refused',
        `cannot go on serving: ${withdrawnOn(record.at)}; what was kept of it is removed, and your files stay`,
      );
}

/** @throws ShoalError `unknown-share`, `usage`, `bad-link` */
function withdrawableIn({ catalog }: Home, text: string): BlockId {
  const prefix = prefixIn(text);
  const known = [...catalog.findByPrefix(prefix), ...catalog.grants.findByPrefix(prefix)].map(({ id }) => id);
  const withdrawn = catalog.withdrawals.ids().filter(id => id.startsWith(prefix));
  return onlyOne([...new Set([...known, ...withdrawn])], prefix);
}

function nameIn({ catalog }: Home, id: BlockId): string | undefined {
  const name = catalog.get(catalog.grants.get(id)?.share ?? id)?.name;
  return name === '' ? undefined : name;
}

function viewOf({ catalog }: Home, { id, share, at, isOwn }: WithdrawalRecord): View {
  const relays = new Map(catalog.relays.list().map(relay => [relay.peer, nameOf(relay)]));
  const name = catalog.get(share)?.name;
  return {
    id,
    share,
    what: id === share ? 'share' : 'grant',
    ...(name === undefined || name === '' ? {} : { name }),
    at,
    own: isOwn,
    notices: catalog.withdrawals.notices(id).map(({ peer, isRelay, state, at: since, detail }) => ({
      peer,
      name: relays.get(peer) ?? peer,
      relay: isRelay,
      state,
      at: since,
      ...(detail === undefined ? {} : { detail }),
    })),
  };
}

function sizeOf({ block }: WithdrawalRecord): number {
  try {
    return ciphertextBytes(decodeShareBlock(block));
  } catch (error) {
    if (!isShoalError(error)) throw error;
    return 0;
  }
}
