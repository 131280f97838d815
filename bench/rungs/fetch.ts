/**
 * fetch() between two processes: one shares a file or folder and prints its link, the other, started with `--to LINK`,
 * fetches it to disk. Each measures itself from the first request to the last byte; start-up and sealing are not counted.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureSelf, rungOptions } from '../harness.ts';
import { builtLibrary, LOOPBACK, NEVER, SHARE_OPTIONS } from './built.ts';

const { size, file = '', to, from = 'original' } = rungOptions('file', 'to', 'from');
const { ShoalNode, parseLink } = await builtLibrary();
const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-fetch-'));
try {
  await (to === undefined ? serve() : fetch(to));
} finally {
  await rm(folder, { recursive: true });
}

async function serve(): Promise<void> {
  const node = await ShoalNode.start({ home: folder, network: LOOPBACK, holds: true, log: () => undefined });
  const shared = await node.share({ ...SHARE_OPTIONS, path: file, copy: from === 'copy' }, () => undefined, NEVER);
  const begun = Promise.withResolvers<undefined>();
  const complete = Promise.withResolvers<undefined>();
  node.onServed(({ event }) => {
    if (event === 'joined') begun.resolve(undefined);
    if (event === 'complete') complete.resolve(undefined);
  });
  node.serve(shared.id);
  console.log(node.linkOf(shared.id, node.hintsOf(['self'])));
  await begun.promise;
  await measureSelf('fetch/share', size, async () => {
    await complete.promise;
  });
  await node.stop();
}

async function fetch(text: string): Promise<void> {
  const node = await ShoalNode.start({ network: LOOPBACK, holds: false, log: () => undefined });
  const request = { link: parseLink(text), output: join(folder, 'output'), force: false, keep: false };
  await measureSelf('fetch/fetch', size, async () => {
    await node.fetch(request, () => undefined, NEVER);
  });
  await node.stop();
}
