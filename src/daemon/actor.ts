/** Does the actions of a home on a node in this process. */
import picomatch from 'picomatch';
import { isShoalError, ShoalError } from '../errors.ts';
import { parseId, type BlockId } from '../format/ids.ts';
import { parseLink } from '../format/link.ts';
import { CLOSE_LINGER_MS } from '../limits.ts';
import type { Fetched } from '../fetch.ts';
import type { NetworkSettings, ShoalNode } from '../node.ts';
import type { ShareRecord } from '../ports.ts';
import { API_VERSION, VERSION } from '../version.ts';
import {
  PARAMETERS,
  type ActionEvent,
  type ActionName,
  type Actor,
  type Parameters,
  type Results,
  type ShareView,
} from './actions.ts';

type Emit = (event: ActionEvent) => void;
type Action<A extends ActionName> = (
  node: ShoalNode,
  parameters: ReturnType<(typeof PARAMETERS)[A]['parse']>,
  emit: Emit,
  signal: AbortSignal,
  network: NetworkSettings,
) => Promise<Results[A]>;

/**
 * @param network that the node was started with, or would be
 * @throws ShoalError `usage` for parameters that do not fit
 */
export function actorOf(node: ShoalNode, network: NetworkSettings): Actor {
  return {
    async run<A extends ActionName>(
      action: A,
      parameters: Parameters<A>,
      onEvent: Emit,
      signal: AbortSignal,
    ): Promise<Results[A]> {
      const parsed = PARAMETERS[action].safeParse(parameters);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new ShoalError(
          'usage',
          `cannot ${action}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is wrong'}`,
        );
      }
      try {
        return await (ACTIONS[action] as Action<A>)(node, parsed.data as never, onEvent, signal, network);
      } catch (error) {
        if (signal.aborted && !isShoalError(error))
          throw new ShoalError('interrupted', 'stopped on request', { cause: error });
        throw error;
      }
    },
  };
}

const ACTIONS: { readonly [A in ActionName]: Action<A> } = {
  async share(node, { path, hints, ...options }, emit, signal) {
    if (hints.includes('self')) await node.network?.settled(signal);
    const chosen = node.hintsOf(hints);
    const shared = await node.share({ path, ...options, serveAlways: false, hints: chosen }, emit, signal);
    const stop = node.serve(shared.id);
    try {
      const share = await viewOf(node, shared.id);
      emit({
        event: 'shared',
        share,
        link: node.linkOf(shared.id, chosen),
        again: shared.again,
        addresses: node.network?.addresses() ?? [],
      });
      await serving(node, shared.id, emit, signal);
      return forgotten(share);
    } finally {
      stop();
    }
  },

  async serve(node, { id: text }, emit, signal) {
    const { id } = findShare(node, text);
    const stop = node.serve(id);
    try {
      const share = await viewOf(node, id);
      await serving(node, id, emit, signal);
      return forgotten(share);
    } finally {
      stop();
    }
  },

  async fetch(node, { link: text, output, only, force, keep, timeoutMs }, emit, signal) {
    const link = parseLink(text);
    if (keep && only.length > 0)
      throw new ShoalError('usage', 'cannot keep a part of a share: --keep and --only do not go together');
    const request = { link, output, force, keep, ...onlyOf(only), timeoutMs };
    const fetched = fetchedView(await node.fetch(request, emit, signal));
    if (!keep) return fetched;
    const stop = node.serve(link.id);
    try {
      emit({ event: 'keeping', fetched, share: await viewOf(node, link.id) });
      await serving(node, link.id, emit, signal);
      return fetched;
    } finally {
      stop();
    }
  },

  async list(node, { link, timeoutMs }, emit, signal) {
    const { kind, name, note, entries } = await node.list({ link: parseLink(link), timeoutMs }, emit, signal);
    return { kind, name, ...(note === undefined ? {} : { note }), entries };
  },

  async shares(node) {
    const records = node.home?.catalog.list() ?? [];
    return { shares: await Promise.all(records.map(record => viewOfRecord(node, record))) };
  },

  async forget(node, { id: text }, _emit, signal) {
    const record = findShare(node, text);
    const view = await viewOfRecord(node, record);
    await node.forget(record.id, signal);
    return view;
  },

  async export(node, { id: text, output, force }, emit, signal) {
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

  async import(node, { path }, emit, signal) {
    return await node.import(path, (blocks, bytes) => emit({ event: 'blocks', blocks, bytes }), signal);
  },

  status(node, _parameters, _emit, _signal, network) {
    return Promise.resolve({
      version: VERSION,
      api: API_VERSION,
      pid: process.pid,
      peer: node.network?.self ?? '',
      addresses: node.network?.addresses() ?? [],
      network,
    });
  },
};

/**
 * Tells of a share's peers until the signal, or until the share can't be served any more. Peers that are there when its files
 * turn out to have changed are told so first: this may be the end of the process.
 */
async function serving(node: ShoalNode, id: BlockId, emit: Emit, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  let present = 0;
  let failure: ShoalError | undefined;
  let timer: NodeJS.Timeout | undefined;
  const offs = [
    node.onServed(({ id: served, peer, event, bytes }) => {
      if (served !== id) return;
      emit({ event: 'served', id, peer, what: event, bytes });
      if (event === 'joined') present++;
      if (event === 'left') present--;
      if (failure !== undefined && present <= 0) reject(failure);
    }),
    node.onChanged((changed, why) => {
      if (changed !== id || failure !== undefined) return;
      emit({ event: 'changed', id, why });
      const error = new ShoalError('changed', `cannot go on serving: ${why}; share it again for a new link`);
      failure = error;
      if (present <= 0) reject(error);
      else timer = setTimeout(() => reject(error), CLOSE_LINGER_MS);
    }),
    node.onForgotten(forgotten => {
      if (forgotten === id) resolve(undefined);
    }),
  ];
  const onAbort = (): void => reject(new ShoalError('interrupted', 'stopped on request'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    for (const off of offs) off();
  }
}

/** The share of this home that a text names: by its id, a link of it, or the beginning of its id. */
function findShare(node: ShoalNode, text: string): ShareRecord {
  const catalog = node.home?.catalog;
  const trimmed = text.trim();
  const isPrefix = /^b[a-z2-7]*$/.test(trimmed);
  const id = isPrefix ? undefined : trimmed.includes(':') ? parseLink(trimmed).id : parseId(trimmed);
  const matches =
    catalog?.list().filter(record => (id === undefined ? record.id.startsWith(trimmed) : record.id === id)) ?? [];
  const [record] = matches;
  if (record === undefined)
    throw new ShoalError('unknown-share', 'this home has no such share; "shoal shares" lists those it has');
  if (matches.length > 1)
    throw new ShoalError('usage', `this beginning of an id fits ${matches.length} shares; give more of it`);
  return record;
}

/** A share whose serving ended as it was forgotten, as it was before. */
function forgotten(share: ShareView): ShareView {
  return { ...share, state: 'idle' };
}

async function viewOf(node: ShoalNode, id: BlockId): Promise<ShareView> {
  return viewOfRecord(node, findShare(node, id));
}

async function viewOfRecord(node: ShoalNode, record: ShareRecord): Promise<ShareView> {
  const { id, name, kind, sizeBytes, files, source, root, changedWhy, createdAt, peersServed, bytesUp } = record;
  return {
    id,
    name,
    kind,
    sizeBytes,
    files,
    source,
    ...(root === undefined ? {} : { path: root }),
    state: await node.stateOf(record),
    ...(changedWhy === undefined ? {} : { detail: changedWhy }),
    createdAt,
    peersServed,
    bytesUp,
  };
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

/** Entries by globs: a pattern without a slash is held against the last segment, and one that names a folder takes all in it. */
function onlyOf(globs: readonly string[]): { only?: (path: string) => boolean } {
  if (globs.length === 0) return {};
  const matchers = globs.flatMap(glob => {
    const plain = glob.replace(/\/+$/, '');
    // With matchBase only the last segment would be looked at, also where the pattern has several.
    return [picomatch(plain, { dot: true, matchBase: !plain.includes('/') }), picomatch(`${plain}/**`, { dot: true })];
  });
  return { only: path => matchers.some(matches => matches(path)) };
}
