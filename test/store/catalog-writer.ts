/** A process that adds shares to a catalog until it is killed, and says after each that it is durable. */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCatalog } from '../../src/store/catalog.ts';
import { someRecord } from '../contract/catalog.ts';

const [path, secret, count] = process.argv.slice(2);
if (path === undefined || secret === undefined) throw new TypeError('needs a path and a secret');
const catalog = await openCatalog(path, {
  secret: Buffer.from(secret, 'hex'),
  random: randomBytes,
  clock: { now: Date.now, monotonic: () => performance.now(), sleep: ms => sleep(ms) },
});
for (let i = 0; i < Number(count ?? Infinity); i++) {
  const record = someRecord({ createdAt: i });
  catalog.add(record, { key: randomBytes(32) });
  writeSync(1, `${record.id}\n`);
}
catalog.close();
