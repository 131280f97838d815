/** Does the actions of a home on a node in this process. */
import { isShoalError, ShoalError } from '../errors.ts';
import { parseId, type BlockId } from '../format/ids.ts';
import type { Hint } from '../format/hint.ts';
import { parseLink, type Link } from '../format/link.ts';
import { CLOSE_LINGER_MS } from '../limits.ts';
import { systemClock } from '../clock.ts';
import { refuseOver } from '../expired.ts';
import { Explanation } from '../explain.ts';
import type { Fetched, FetchEvent } from '../fetch.ts';
import type { NetworkSettings } from '../networks.ts';
import type { FolderFetch, ShoalNode } from '../node.ts';
import type { RelayRecord, ShareRecord } from '../catalog.ts';
import type { Network, NetworkStatus } from '../ports.ts';
import type { Served } from '../serve.ts';
import { API_VERSION, VERSION } from '../version.ts';
import { aborted } from './aborted.ts';
import type { ActionEvent, ActionName, Actor, Parameters, Results, ShareView } from './actions.ts';
import { addContact, contactViews, removeContact } from './contacts.ts';
import { carryOn, getToCarry, shareToCarry, storeOf, tellDropped, tellingDropped } from './carrying.ts';
import { clockWarning } from './clock-checks.ts';
import { nodeChecks } from './doctor.ts';
import {
  chosenFor,
  grantAgain,
  grantTo,
  grantViews,
  namedShare,
  resolveLink,
  linkNamed,
  refuseGrant,
} from './granting.ts';
import { findGrant, findShare, unknownShare } from './naming.ts';
import { onlyOf } from './only.ts';
import {
  addRelay,
  copiesThere,
  noteHints,
  relayViews,
  removeRelay,
  showRelay,
  tellCopies,
  tellStored,
  verifyShare,
} from './relaying.ts';
import { copiesOf, meetingOf, viewOfRecord, viewsOf, warningOf } from './shares.ts';
import { isTransferId, Transfers } from './transfers.ts';
import { showWithdrawn, withdraw, withdrawalOf, withdrawnElsewhere } from './withdrawing.ts';

type Emit = (event: ActionEvent) => void;
type Action<A extends ActionName> = (
  on: Holder,
  parameters: Parameters<A>,
  emit: Emit,
  signal: AbortSignal,
) => Promise<Results[A]>;

/** A node, and what goes on in it. */
interface Holder {
  readonly node: ShoalNode;
  /** That the node was started with, or would be. */
  readonly network: NetworkSettings;
  readonly transfers: Transfers;
  /** Unix seconds. */
  readonly since: number;
  /** The daemon that this node works for, in this process or attached to it. */
  daemon: { readonly pid: number; readonly stop: AbortController } | undefined;
}

/** @param network that the node was started with, or would be */
export function actorOf(node: ShoalNode, network: NetworkSettings): Actor {
  const on: Holder = {
    node,
    network,
    transfers: new Transfers(node),
    since: Math.floor(Date.now() / 1000),
    daemon: undefined,
  };
  return {
    async run<A extends ActionName>(
      action: A,
      parameters: Parameters<A>,
      onEvent: Emit,
      signal: AbortSignal,
    ): Promise<Results[A]> {
      try {
        return await (ACTIONS[action] as Action<A>)(on, parameters, onEvent, signal);
      } catch (error) {
        if (signal.aborted && !isShoalError(error))
          throw new ShoalError('interrupted', 'stopped on request', { cause: error });
        throw error;
      }
    },
  };
}

const ACTIONS: { readonly [A in ActionName]: Action<A> } = {
  async share(
    { node, daemon },
    { hints, always = daemon !== undefined, downloads, relays, waitCopies, to, ...options },
    emit,
    signal,
  ) {
    if (downloads !== undefined && relays !== undefined && relays.length > 0)
      throw new ShoalError(
        'usage',
        'cannot count what a relay delivers: --relay does not go with --once and --downloads',
      );
    const keepers = downloads === undefined ? ((await node.relays?.chosen(relays, signal)) ?? []) : [];
    if (waitCopies !== undefined && waitCopies > keepers.length)
      throw new ShoalError(
        'usage',
        `cannot wait for ${waitCopies} copies: relays that are to keep the share: ${keepers.length}; name more with --relay, or add them with "shoal relays add"`,
      );
    const readers = to === undefined ? undefined : chosenFor(node, to);
    const hintsOver = async (network: Network | undefined): Promise<Hint[]> => {
      if (hints?.includes('self') === true) await network?.settled(signal);
      return hints === undefined ? (node.relays?.hintsOf(keepers) ?? []) : node.hintsOf(hints, network);
    };
    if (options.freshId === true) node.service.checkRoomApart();
    // Under a peer id of its own it has addresses only once it is there.
    const given = await hintsOver(options.freshId === true ? undefined : node.network);
    const shared = await tellingDropped(node, emit, () =>
      node.share({ ...options, serveAlways: always, hints: given }, emit, signal),
    );
    const stop = node.service.serve(shared.id);
    const off = tellCopies(node, shared.id, emit);
    try {
      const network = options.freshId === true ? await node.service.apartNetworkOf(shared.id) : node.network;
      const chosen = options.freshId === true ? await hintsOver(network) : given;
      noteHints(node, shared.id, chosen);
      const granted = readers && (await grantTo(node, shared.id, readers, chosen));
      // What the daemon serves already goes on being served by it.
      const serveAlways = always || node.home?.catalog.get(shared.id)?.serveAlways === true;
      node.service.serveAs(shared.id, {
        serveAlways,
        ...(downloads === undefined ? {} : { downloadsLeft: downloads }),
      });
      const share = await viewOf(node, shared.id);
      emit({
        event: 'shared',
        share,
        link: node.linkOf(shared.id, chosen),
        ...granted,
        again: shared.again,
        addresses: network?.addresses() ?? [],
      });
      const wrong = options.expires === undefined ? undefined : node.home && clockWarning(node.home.catalog);
      if (wrong !== undefined) emit({ event: 'clock', why: wrong });
      tellStored(node, shared.id, emit);
      node.relays?.copies?.want(shared.id, keepers, waitCopies !== undefined);
      if (always && waitCopies === undefined) return share;
      const wait = waitCopies === undefined ? undefined : { copies: waitCopies, at: keepers };
      return await serving(node, share, wait, emit, signal);
    } finally {
      off();
      stop();
    }
  },

  async serve({ node }, { id: text, waitCopies }, emit, signal) {
    const { id } = findShare(node, text);
    refuseOver(node.home, id, 'serve the share', systemClock);
    const stop = node.service.serve(id);
    const off = tellCopies(node, id, emit);
    try {
      if (node.service.isApart(id)) await node.service.apartNetworkOf(id);
      const wait = waitCopies === undefined ? undefined : { copies: waitCopies };
      return await serving(node, await viewOf(node, id), wait, emit, signal);
    } finally {
      off();
      stop();
    }
  },

  async fetch({ node, transfers, daemon }, { explain, ...wanted }, emit, signal) {
    const { link, keep } = fetchOf(wanted);
    const work: Fetching = (tell, told) => transfers.follow(wanted, tell, signal, told);
    const fetched = fetchedView(await (explain ? explained(link, emit, work) : work(emit)));
    if (!keep) return fetched;
    const stop = node.service.serve(link.id);
    try {
      if (daemon !== undefined) node.service.serveAs(link.id, { serveAlways: true });
      const share = await viewOf(node, link.id);
      emit({ event: 'keeping', fetched, share });
      if (daemon === undefined) await serving(node, share, undefined, emit, signal);
      return fetched;
    } finally {
      stop();
    }
  },

  async plan({ node }, parameters, emit, signal) {
    const { manifest, failure, ...planned } = await node.plan(fetchOf(parameters), emit, signal);
    const { kind, name, note } = manifest;
    return {
      name,
      kind,
      ...(note === undefined ? {} : { note }),
      ...planned,
      ...(failure === undefined ? {} : { failure: { code: failure.code, message: failure.message } }),
    };
  },

  async check({ node }, { link: text, path, timeoutMs }, emit, signal) {
    const link = parseLink(text);
    const { manifest, ...compared } = await node.check({ link, path, timeoutMs }, emit, signal);
    return { id: link.id, name: manifest.name, kind: manifest.kind, path, ...compared };
  },

  async seed(on, { link: text, timeoutMs, always = on.daemon !== undefined }, emit, signal) {
    const { node } = on;
    const link = await shareToCarry(node, text, timeoutMs, emit, signal);
    let stop: (() => void) | undefined;
    const off = node.service.onServed(served => {
      if (served.id === link.id) emit(servedEvent(served));
    });
    try {
      const onKnown = (): void => void (stop ??= node.service.serve(link.id));
      const how = { timeoutMs, always, isDaemonThere: () => on.daemon !== undefined, onKnown };
      const sources = await getToCarry(node, link, how, emit, signal);
      off();
      const share = await viewOf(node, link.id);
      emit({ event: 'seeding', share, sources });
      return always ? share : await serving(node, share, undefined, emit, signal);
    } finally {
      off();
      stop?.();
    }
  },

  async show({ node }, { id: text, withLink }) {
    const withdrawn = showWithdrawn(node, text);
    if (withdrawn !== undefined) return withdrawn;
    const record = findShare(node, text);
    const { id, hasKey, hints } = record;
    if (withLink && !hasKey && findGrant(node, text) === undefined)
      throw new ShoalError(
        'key-missing',
        'cannot show the link of the share: this home carries it without the key; whoever gave you the link has it',
      );
    return {
      ...(await viewIn(node, record)),
      hints,
      hasKey,
      grants: node.home === undefined ? [] : grantViews(node.home, id),
      ...(await node.contentsOf(id)),
      ...withdrawalOf(node, id),
      ...(withLink ? { link: linkNamed(node, text, record) } : {}),
    };
  },

  async list({ node }, { link, timeoutMs }, emit, signal) {
    const { kind, name, note, entries } = await node.list({ link: parseLink(link), timeoutMs }, emit, signal);
    return { kind, name, ...(note === undefined ? {} : { note }), entries };
  },

  async shares({ node }) {
    if (node.home === undefined) return { shares: [] };
    const records = node.home.catalog.list();
    return {
      shares: await viewsOf(
        node.home.catalog,
        records,
        ({ id }) => node.service.has(id),
        record => node.isSpooled(record),
        node.home.blocksFolder,
      ),
      ...warningOf(node.home.catalog),
    };
  },

  async forget({ node }, { id: text }, _emit, signal) {
    refuseGrant(node, text, 'forget');
    const record = findShare(node, text);
    const view = await viewIn(node, record);
    await node.forget(record.id, signal);
    return view;
  },

  async export({ node }, { id: text, output, force }, emit, signal) {
    const { id } = findShare(node, text);
    const { blocks, bytes } = await node.export(
      id,
      output,
      force,
      (done, doneBytes) => emit({ event: 'blocks', blocks: done, bytes: doneBytes }),
      signal,
    );
    return { id, path: output, blocks, bytes };
  },

  async import({ node }, { path }, emit, signal) {
    return await tellingDropped(node, emit, () =>
      node.import(path, (blocks, bytes) => emit({ event: 'blocks', blocks, bytes }), signal),
    );
  },

  async status({ node, network, transfers, since, daemon }) {
    const status = node.network?.status();
    const all = transfers.list();
    return {
      version: VERSION,
      api: API_VERSION,
      pid: process.pid,
      peer: node.network?.self ?? '',
      addresses: node.network?.addresses() ?? [],
      network,
      holds: node.service.isOn,
      ...(daemon === undefined ? {} : { daemon: { pid: daemon.pid } }),
      since,
      ...(status === undefined ? { connections: 0 } : meetingOf(status)),
      apart: [...node.service.apart].map(([id, one]) => ({ id, peer: one.self, addresses: one.addresses() })),
      shares: { total: node.home?.catalog.count() ?? 0, serving: node.service.count },
      transfers: { total: all.length, running: all.filter(({ state }) => state === 'running').length },
      ...(await storeOf(node)),
    };
  },

  peers({ node }) {
    const peers = [node.network, ...node.service.apart.values()].flatMap(network => network?.peers() ?? []);
    return Promise.resolve({ peers: peers.map(one => ({ ...one, ...node.service.trafficWith(one.peer) })) });
  },

  async transfer({ transfers }, parameters) {
    fetchOf(parameters);
    return Promise.resolve(transfers.add(parameters));
  },

  transfers({ transfers }) {
    return Promise.resolve({ transfers: transfers.list() });
  },

  async pause({ node, transfers }, { id }) {
    return isTransferId(id) ? transfers.pause(id) : await serveAlways(node, id, false);
  },

  async resume({ node, transfers }, { id }) {
    return isTransferId(id) ? transfers.resume(id) : await serveAlways(node, id, true);
  },

  async cancel({ transfers }, { id }, _emit, signal) {
    return await transfers.cancel(id, signal);
  },

  resolve: async ({ node }, parameters, emit, signal) => await resolveLink(node, parameters, emit, signal),

  grant: async ({ node }, parameters, _emit, signal) =>
    await grantAgain(node, findShare(node, parameters.id).id, parameters, signal),

  async relays({ node }) {
    return Promise.resolve(relayViews(node));
  },

  relay: async ({ node }, { relay }, _emit, signal) => await showRelay(node, relay, signal),

  addRelay: async ({ node }, parameters, _emit, signal) => await addRelay(node, parameters, signal),

  async removeRelay({ node }, { relay }) {
    return Promise.resolve(removeRelay(node, relay));
  },

  contacts: async ({ node }) => Promise.resolve(contactViews(node)),

  addContact: async ({ node }, parameters) => Promise.resolve(addContact(node, parameters)),

  removeContact: async ({ node }, parameters) => Promise.resolve(removeContact(node, parameters)),

  async verify({ node }, { id: text, repair }, emit, signal) {
    return await verifyShare(node, await namedShare(node, linkOrShare(node, text), signal), repair, emit, signal);
  },

  withdraw: async ({ node }, { id }, emit, signal) => await withdraw(node, id, emit, signal),

  async doctor({ node }, _parameters, _emit, signal) {
    return { checks: await nodeChecks(node, signal) };
  },

  async events(on, _parameters, emit, signal) {
    const end = watch(on, emit);
    await aborted(signal);
    end();
    return {};
  },

  async daemon(on, { pid }, emit, signal) {
    if (on.daemon !== undefined)
      throw new ShoalError(
        'in-use',
        `cannot start a daemon: one runs for this home already (process ${on.daemon.pid}); "shoal daemon --stop" ends it`,
      );
    const stop = new AbortController();
    on.daemon = { pid, stop };
    const { node, transfers } = on;
    const ends = [watch(on, emit), node.service.serveAlways(), transfers.carryOut()];
    const endCarrying = carryOn(node);
    try {
      emit({ event: 'ready', addresses: node.network?.addresses() ?? [], shares: node.service.count });
      await aborted(AbortSignal.any([signal, stop.signal]));
      signal.throwIfAborted();
      return {};
    } finally {
      on.daemon = undefined;
      for (const end of ends) end();
      await endCarrying();
    }
  },

  stop({ daemon }) {
    daemon?.stop.abort();
    return Promise.resolve(daemon === undefined ? {} : { pid: daemon.pid });
  },
};

/** Tells all that happens, until the returned function is called. */
function watch({ node, transfers }: Holder, emit: Emit): () => void {
  const offs = [
    node.service.onServed(({ id, peer, event, bytes }) => emit({ event: 'served', id, peer, what: event, bytes })),
    node.service.onChanged((id, why) => emit({ event: 'changed', id, why })),
    node.service.onEnded(id => emit({ event: 'ended', id })),
    transfers.onChange(transfer => emit({ event: 'transfer', transfer })),
    tellDropped(node, emit),
  ];
  return () => {
    for (const off of offs) off();
  };
}

/** Whether a daemon serves a share, whenever there is one. */
async function serveAlways(node: ShoalNode, text: string, always: boolean): Promise<ShareView> {
  const { id, downloadsLeft } = findShare(node, text);
  if (always) refuseOver(node.home, id, 'serve the share', systemClock);
  if (always) node.home?.refuseWithdrawn(id, 'serve the share');
  node.service.serveAs(id, { serveAlways: always, ...(downloadsLeft === undefined ? {} : { downloadsLeft }) });
  return await viewOf(node, id);
}

/**
 * Tells of a share's peers until the signal, until the share is not served any more, or until so many relays have it as are waited for,
 * where that is given. Peers that are there when its files turn out to have changed are told so first: this may be the end of
 * the process.
 */
async function serving(
  node: ShoalNode,
  share: ShareView,
  wait: { readonly copies: number; readonly at?: readonly RelayRecord[] } | undefined,
  emit: Emit,
  signal: AbortSignal,
): Promise<ShareView> {
  const id = share.id as BlockId;
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  let present = 0;
  let failure: ShoalError | undefined;
  let timer: NodeJS.Timeout | undefined;
  const offs = [
    node.service.onServed(served => {
      if (served.id !== id) return;
      emit(servedEvent(served));
      const { event } = served;
      if (event === 'joined') present++;
      if (event === 'left') present--;
      if (failure !== undefined && present <= 0) reject(failure);
    }),
    node.service.onChanged((changed, why) => {
      if (changed !== id || failure !== undefined) return;
      emit({ event: 'changed', id, why });
      const error = new ShoalError('changed', `cannot go on serving: ${why}; share it again for a new link`);
      failure = error;
      if (present <= 0) reject(error);
      else timer = setTimeout(() => reject(error), CLOSE_LINGER_MS);
    }),
    node.service.onEnded(ended => {
      if (ended !== id) return;
      const why = withdrawnElsewhere(node, id);
      if (why === undefined) resolve(undefined);
      else reject(why);
    }),
  ];
  const onAbort = (): void => reject(new ShoalError('interrupted', 'stopped on request'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const over = new AbortController();
  let isStored = false;
  const onStored = (): void => {
    isStored = true;
    resolve(undefined);
  };
  const onRefused = (error: unknown): void => {
    if (isShoalError(error, 'refused')) reject(error);
  };
  if (wait !== undefined) copiesThere(node, id, wait.copies, wait.at, over.signal).then(onStored, onRefused);
  try {
    await promise;
    if (wait !== undefined && !isStored)
      throw new ShoalError(
        'unavailable',
        'cannot wait for copies of the share any longer: it was forgotten, withdrawn or has expired before there were so many; share it again',
      );
    const record = node.home?.catalog.get(id);
    // A forgotten one is as it was before.
    const view: ShareView = record === undefined ? { ...share, state: 'idle' } : await viewIn(node, record);
    if (view.state === 'expired') emit({ event: 'ended', id, why: 'expired' });
    return view;
  } finally {
    over.abort();
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    for (const off of offs) off();
  }
}

function servedEvent({ id, peer, event, bytes }: Served): ActionEvent {
  return { event: 'served', id, peer, what: event, bytes };
}

/** @throws ShoalError `bad-link`, `usage` */
function fetchOf({ link, output, only, force, keep, timeoutMs }: Parameters<'plan'>): FolderFetch {
  if (keep && only.length > 0)
    throw new ShoalError('usage', 'cannot keep a part of a share: --keep and --only do not go together');
  return { link: parseLink(link), output, force, keep, ...onlyOf(only), timeoutMs };
}

/** A fetch that tells of what happens, and where somebody wants to know, of its steps and its network. */
export type Fetching = (
  onEvent: (event: FetchEvent) => void,
  told?: Pick<FolderFetch, 'onStep' | 'onStatus'>,
) => Promise<Fetched>;

/** Does a fetch, and tells in the end how it went, also when it fails. */
export async function explained(link: Link, emit: Emit, fetching: Fetching): Promise<Fetched> {
  let statusNow: () => NetworkStatus | undefined = () => undefined;
  const explanation = new Explanation(systemClock, link.hints, () => statusNow());
  const onEvent = (event: FetchEvent): void => {
    explanation.onEvent(event);
    emit(event);
  };
  try {
    const fetched = await fetching(onEvent, {
      onStep: step => explanation.onStep(step),
      onStatus: status => (statusNow = status),
    });
    explanation.done(fetched.alreadyThere);
    emit({ event: 'explained', ...explanation.stages() });
    return fetched;
  } catch (error) {
    emit({ event: 'explained', ...explanation.stages(error) });
    throw error;
  }
}

/** What is to be verified: also a share that this home has not got, by its id or a link. */
function linkOrShare(node: ShoalNode, text: string): Link {
  const trimmed = text.trim();
  if (trimmed.includes(':')) return parseLink(trimmed);
  try {
    return { id: findShare(node, trimmed).id, hints: [] };
  } catch (error) {
    if (!isShoalError(error, 'unknown-share')) throw error;
    return { id: parseId(trimmed), hints: [] };
  }
}

async function viewOf(node: ShoalNode, id: BlockId): Promise<ShareView> {
  const record = node.home?.catalog.get(id);
  if (record === undefined) throw unknownShare(id);
  return viewIn(node, record);
}

async function viewIn(node: ShoalNode, record: ShareRecord): Promise<ShareView> {
  const { home } = node;
  const copies = home === undefined ? [] : copiesOf(home.catalog, record.id);
  return viewOfRecord(record, await node.stateOf(record), node.isSpooled(record), copies);
}

/** What is shown of a fetch that is complete. */
export function fetchedView({ manifest, path, sizeBytes, files, alreadyThere, sources }: Fetched): Results['fetch'] {
  const [first] = sources;
  return {
    name: manifest.name,
    kind: manifest.kind,
    path,
    sizeBytes,
    files,
    alreadyThere,
    ...(first === undefined ? {} : { found: first.via }),
    sources,
  };
}
