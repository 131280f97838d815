import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { ShoalNode } from '../src/node.ts';
const [, , home = '', n = '1000'] = process.argv;
mkdirSync('/tmp/many', { recursive: true });
const node = await ShoalNode.start({ home, holds: true, log: () => undefined });
for (let i = 0; i < Number(n); i++) {
  const path = `/tmp/many/${i}`;
  writeFileSync(path, randomBytes(1000));
  await node.share(
    {
      paths: [path],
      exclude: [],
      spooled: false,
      skip: false,
      copy: false,
      pad: true,
      anew: false,
      serveAlways: true,
      hints: [],
    },
    () => undefined,
    new AbortController().signal,
  );
}
await node.stop();
