/** Actions of a home that are about its relays, and about who else has its shares. */
import type { CopyEvent } from '../copies.ts';
import { ShoalError } from '../errors.ts';
import { parseHint, type Hint } from '../format/hint.ts';
import type { BlockId } from '../format/ids.ts';
import type { Link } from '../format/link.ts';
import { systemClock } from '../clock.ts';
import type { ShoalNode } from '../node.ts';
import type { CopyRecord, RelayRecord } from '../catalog.ts';
import type { RelayInfo } from '../protocol/relay-info.ts';
import type { Network } from '../ports.ts';
import type { Relays } from '../relays.ts';
import { candidateOf, nameOf } from '../relay-name.ts';
import { verify, type Holder } from '../verify.ts';
import type { ActionEvent, Results } from './actions.ts';

type Emit = (event: ActionEvent) => void;

/** What is shown of the relays of a home. */
export function relayViews(node: ShoalNode): Results['relays'] {
  if (node.home === undefined) return { relays: [] };
  const { catalog } = node.home;
  const copies = Map.groupBy(catalog.copies.list(), ({ relay }) => relay);
  const places = node.network?.reservations() ?? [];
  return {
    relays: relaysOf(node)
      .list()
      .map(({ peer, ...relay }) => {
        const place = places.find(one => one.peer === peer);
        return {
          peer,
          ...relay,
          token: catalog.relays.tokenOf(peer) !== undefined,
          copies: (copies.get(peer) ?? []).filter(({ state }) => state === 'stored').length,
          ...(place === undefined ? {} : { reservation: place }),
        };
      }),
  };
}

export async function showRelay(node: ShoalNode, text: string, signal: AbortSignal): Promise<Results['relay']> {
  const relays = relaysOf(node);
  const relay = relays.find(text);
  return { ...viewOf(node, relay), ...infoView(await relays.infoOf(relay, signal)) };
}

/** Adds a relay; where its origin was given, with what it tells of itself. */
export async function addRelay(
  node: ShoalNode,
  { relay: text, token, always }: { relay: string; token?: string | undefined; always: boolean },
  signal: AbortSignal,
): Promise<Results['addRelay']> {
  const relays = relaysOf(node);
  const relay = await relays.add(text, token, always, signal);
  return { ...viewOf(node, relay), ...infoView(await relays.infoOf(relay, signal)) };
}

export function removeRelay(node: ShoalNode, text: string): Results['removeRelay'] {
  const view = viewOf(node, relaysOf(node).find(text));
  relaysOf(node).remove(text);
  return view;
}

/** The link that is told last is the one that is shown. */
export function noteHints({ home }: ShoalNode, id: BlockId, hints: readonly Hint[]): void {
  const record = home?.catalog.get(id);
  const texts = hints.map(({ text }) => text);
  if (record === undefined || record.hints.join() === texts.join()) return;
  home?.catalog.add({ ...record, hints: texts }, {});
}

/** Tells of the copies of a share until the returned function is called. */
export function tellCopies(node: ShoalNode, id: BlockId, emit: Emit): () => void {
  const tell = (event: CopyEvent): void => {
    if (event.id === id) emit(event);
  };
  return node.relays?.copies?.onEvent(tell) ?? (() => undefined);
}

/** Tells of the copies of a share that there are already. */
export function tellStored(node: ShoalNode, id: BlockId, emit: Emit): void {
  const { catalog } = homeOf(node);
  const names = new Map(catalog.relays.list().map(relay => [relay.peer, nameOf(relay)]));
  for (const { relay, until = 0 } of catalog.copies.list(id).filter(isThere))
    emit({ event: 'copy', id, relay, name: names.get(relay) ?? relay, state: 'stored', until });
}

/** Resolves when so many of some relays, or of all, keep a share and have shown it. @throws ShoalError `refused` where too many will not; the signal's reason */
export async function copiesThere(
  node: ShoalNode,
  id: BlockId,
  count: number,
  relays: readonly Pick<RelayRecord, 'peer'>[] | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { catalog } = homeOf(node);
  const asked = (): CopyRecord[] =>
    catalog.copies.list(id).filter(copy => relays?.some(({ peer }) => peer === copy.relay) !== false);
  const enough = (): boolean => asked().filter(isThere).length >= count;
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const refusing = new Set<string>();
  const off = node.relays?.copies?.onEvent(event => {
    if (event.id !== id) return;
    if (event.state === 'failed' && event.forGood) refusing.add(event.relay);
    else refusing.delete(event.relay);
    if (enough()) resolve(undefined);
    else if (event.state === 'failed' && asked().length - refusing.size < count)
      reject(new ShoalError('refused', `cannot wait for ${count} copies: ${event.name}: ${event.why}`));
  });
  if (enough()) resolve(undefined);
  try {
    await unlessAborted(promise, signal);
  } finally {
    off?.();
  }
}

/** Asks everybody who is found, and the relays that keep it, what they have of a share; relays that lack it get it again. */
export async function verifyShare(
  node: ShoalNode,
  { id, hints }: Pick<Link, 'id' | 'hints'>,
  repair: boolean,
  emit: Emit,
  signal: AbortSignal,
): Promise<Results['verify']> {
  const relays = relaysOf(node);
  const { catalog } = homeOf(node);
  const names = new Map(relays.list().map(relay => [relay.peer, nameOf(relay)]));
  const view = (holder: Holder) => {
    const name = names.get(holder.peer);
    return { ...holder, ...(name === undefined ? {} : { name }) };
  };
  const known = catalog.copies.list(id).flatMap(({ relay }) => {
    const found = relays.list().find(({ peer }) => peer === relay);
    return found === undefined ? [] : [{ ...candidateOf(found), via: 'relay' as const }];
  });
  const record = catalog.get(id);
  const search = async (network: Network | undefined): Promise<Holder[]> => {
    if (network === undefined) throw new Error('who has a share is asked over the network');
    const self = node.service.apart.get(id)?.self ?? network.self;
    const looking = { self, find: network.find.bind(network), status: network.status.bind(network) };
    return await verify(
      { network: looking, clock: systemClock, sample: (share, from, stop) => relays.sample(share, from, stop) },
      { id, hints: [...hints, ...(record?.hints ?? []).map(parseHint)], known },
      holder => emit({ event: 'holder', ...view(holder) }),
      signal,
    );
  };
  // Others know already that the home has what it serves under its own peer id.
  const isKnown = record !== undefined && !node.service.isApart(id);
  const holders = await (isKnown ? search(node.network) : node.asStranger(search));
  for (const { peer, problem } of holders) if (problem !== undefined) node.relays?.copies?.doubt(id, peer, problem);
  const repaired = repair ? await repairCopies(node, id, holders, emit, signal) : 0;
  return {
    id,
    holders: holders.map(view),
    copies: holders.filter(({ problem }) => problem === undefined).length,
    repaired,
  };
}

/** Has relays get a share again that have promised to keep it and lack some of it. @returns how many have it then */
async function repairCopies(
  node: ShoalNode,
  id: BlockId,
  holders: readonly Holder[],
  emit: Emit,
  signal: AbortSignal,
): Promise<number> {
  const { catalog } = homeOf(node);
  const copies = node.relays?.copies;
  if (copies === undefined)
    throw new ShoalError('usage', 'cannot repair: only who holds the home can give its shares to relays');
  const broken = catalog.copies
    .list(id)
    .flatMap(copy =>
      holders
        .filter(({ peer, problem }) => peer === copy.relay && problem !== undefined)
        .map(({ problem = '' }) => ({ copy, problem })),
    );
  const off = tellCopies(node, id, emit);
  try {
    const repaired = Promise.all(broken.map(({ copy, problem }) => copies.again(copy, problem)));
    return (await unlessAborted(repaired, signal)).filter(({ state }) => state === 'stored').length;
  } finally {
    off();
  }
}

/** @throws the signal's reason */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Whether it was seen at the relay, and is kept there still. */
function isThere({ state, checkedAt, until = 0 }: CopyRecord): boolean {
  return state === 'stored' && checkedAt !== undefined && until * 1000 > systemClock.now();
}

function viewOf(node: ShoalNode, { peer }: RelayRecord): Results['relays']['relays'][number] {
  const view = relayViews(node).relays.find(relay => relay.peer === peer);
  if (view === undefined) throw new Error('a relay of this home is among its relays');
  return view;
}

function infoView(info: RelayInfo | undefined): Pick<Results['relay'], 'info'> {
  if (info === undefined) return {};
  const { name, operator, contact, terms, version, roles, limits, retention, lists } = info;
  const who = {
    ...(operator === undefined ? {} : { operator }),
    ...(contact === undefined ? {} : { contact }),
    ...(terms === undefined ? {} : { terms }),
  };
  return { info: { name, ...who, version, roles, limits, retention, lists } };
}

function relaysOf(node: ShoalNode): Relays {
  if (node.relays === undefined)
    throw new ShoalError('usage', 'this home has no relays yet; "shoal relays add" adds one');
  return node.relays;
}

function homeOf(node: ShoalNode): NonNullable<ShoalNode['home']> {
  if (node.home === undefined) throw new Error('only a home has relays');
  return node.home;
}
