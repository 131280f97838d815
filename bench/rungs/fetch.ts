/**
 * fetch() between processes: one shares a file or folder and prints its link, others, started with `--to LINK`, fetch it to
 * disk. With `--seed LINK` one fetches it first, serves what it has, and prints a link to itself. Each measures itself from
 * the first request to the last byte; start-up and sealing are not counted.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Link, ShoalNode } from '../../src/index.ts';
import { measureSelf, rungOptions } from '../harness.ts';
import { builtLibrary, LOOPBACK, NEVER, SHARE_OPTIONS } from './built.ts';

const options = rungOptions('file', 'from', 'seeds', 'fetchers', 'seed', 'to');
const { size, file = '', from = 'original', seeds = '0', fetchers = '1', seed, to } = options;
const library = await builtLibrary();
const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-fetch-'));
try {
  if (to !== undefined) await fetch(to);
  else if (seed !== undefined) await carry(seed);
  else await share();
} finally {
  await rm(folder, { recursive: true });
}

async function share(): Promise<void> {
  const node = await startHolder();
  const shared = await node.share({ ...SHARE_OPTIONS, paths: [file], copy: from === 'copy' }, () => undefined, NEVER);
  await serve(node, shared.id, 'share', Number(seeds), Number(fetchers));
}

async function carry(text: string): Promise<void> {
  const node = await startHolder();
  const link = library.parseLink(text);
  await node.fetch(requestFor(link, true), () => undefined, NEVER);
  await serve(node, link.id, 'seed', 0, Number(fetchers));
}

async function fetch(texts: string): Promise<void> {
  const node = await library.ShoalNode.start({ network: LOOPBACK, holds: false, log: () => undefined });
  const links = texts.split(' ').map(text => library.parseLink(text));
  const [first] = links;
  if (first === undefined) throw new TypeError('--to needs a link');
  const request = requestFor({ ...first, hints: links.flatMap(({ hints }) => hints) }, false);
  await measureSelf('fetch/fetch', size, async () => {
    await node.fetch(request, () => undefined, NEVER);
  });
  await node.stop();
}

function startHolder(): Promise<ShoalNode> {
  return library.ShoalNode.start({ home: join(folder, 'home'), network: LOOPBACK, holds: true, log: () => undefined });
}

function requestFor(link: Link, keep: boolean) {
  return { link, output: join(folder, 'output'), force: false, keep };
}

/** Serves until, after the seeds, all fetchers have what they want; measures from the first of these on. */
async function serve(node: ShoalNode, id: Link['id'], role: string, seeds: number, fetchers: number): Promise<void> {
  const begun = Promise.withResolvers<undefined>();
  const ended = Promise.withResolvers<undefined>();
  let complete = 0;
  node.service.onServed(({ event }) => {
    if (event === 'complete') complete++;
    if (event === 'joined' && complete >= seeds) begun.resolve(undefined);
    if (complete >= seeds + fetchers) ended.resolve(undefined);
  });
  node.service.serve(id);
  console.log(node.linkOf(id, node.hintsOf(['self'])));
  await begun.promise;
  await measureSelf(`fetch/${role}`, size * fetchers, async () => {
    await ended.promise;
  });
  await node.stop();
}
