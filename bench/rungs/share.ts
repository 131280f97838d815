/** share() of a file, in place: one process with its workers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureSelf, rungOptions } from '../harness.ts';
import { builtLibrary, NEVER, SHARE_OPTIONS } from './built.ts';

const { size, file = '' } = rungOptions('file');
const { ShoalNode } = await builtLibrary();
const home = await mkdtemp(join(tmpdir(), 'shoal-bench-home-'));
try {
  const node = await ShoalNode.start({ home, holds: true, log: () => undefined });
  await measureSelf('share', size, async () => {
    await node.share({ ...SHARE_OPTIONS, paths: [file] }, () => undefined, NEVER);
  });
  await node.stop();
} finally {
  await rm(home, { recursive: true });
}
