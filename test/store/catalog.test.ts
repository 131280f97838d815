import { expect } from 'chai';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseId } from '../../src/format/ids.ts';
import type { Catalog } from '../../src/catalog.ts';
import type { Clock } from '../../src/ports.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { openDatabase } from '../../src/files/sqlite.ts';
import { catalogContract, someRecord } from '../contract/catalog.ts';
import { failureOf } from '../contract/crypto.ts';

const WRITER = fileURLToPath(new URL('./catalog-writer.ts', import.meta.url));
const clock: Clock = { now: () => 0, monotonic: () => performance.now(), sleep: ms => sleep(ms) };
const secret = randomBytes(32);

describe('the catalog', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-catalog-'));
    path = join(folder, 'catalog.db');
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const openIt = (): Promise<Catalog> => openCatalog(path, { secret, random: randomBytes, clock });

  describe('as any catalog', () => {
    catalogContract(openIt, catalog => {
      catalog.close();
      return openIt();
    });
  });

  /** Runs SQL on the closed catalog. */
  function tamper(sql: string): void {
    const database = openDatabase(path);
    database.exec(sql);
    database.close();
  }

  /** All bytes of all files of the catalog. */
  function allBytes(): Buffer {
    return Buffer.concat(readdirSync(folder).map(name => readFileSync(join(folder, name))));
  }

  it('can be read by its user only', async () => {
    const catalog = await openIt();
    catalog.add(someRecord(), {});
    const modes = readdirSync(folder).map(name => [name, statSync(join(folder, name)).mode & 0o777]);
    expect(modes.map(([name]) => name)).to.include('catalog.db-wal');
    expect(modes.every(([, mode]) => mode === 0o600)).to.equal(true);
    catalog.close();
  });

  it('holds no secret in clear', async () => {
    const [key, ownerSalt] = [randomBytes(32), randomBytes(32)];
    const record = someRecord();
    const catalog = await openIt();
    catalog.add(record, { key, ownerSalt });
    for (let round = 0; round < 2; round++) {
      const bytes = allBytes();
      expect(bytes.includes(record.name)).to.equal(true); // it would be found
      for (const hidden of [key, ownerSalt, secret, catalog.ownerSeed(ownerSalt)]) {
        expect(bytes.includes(Buffer.from(hidden))).to.equal(false);
        expect(bytes.includes(Buffer.from(hidden).toString('hex'))).to.equal(false);
        expect(bytes.includes(Buffer.from(hidden).toString('base64url'))).to.equal(false);
      }
      catalog.close(); // what was in the log is in the database now
    }
  });

  it('refuses another secret than its own', async () => {
    (await openIt()).close();
    const error = await failureOf(openCatalog(path, { secret: randomBytes(32), random: randomBytes, clock }));
    expect(error).to.include({ code: 'home' });
    expect(error.message).to.include('another secret');
    (await openIt()).close();
  });

  it('refuses a catalog of a newer program and leaves every byte of it', async () => {
    const catalog = await openIt();
    catalog.add(someRecord(), {});
    catalog.close();
    tamper('PRAGMA user_version = 999; CREATE TABLE future (x)');
    const before = readFileSync(path);
    const error = await failureOf(openIt());
    expect(error).to.include({ code: 'newer-home' });
    expect(error.message).to.include('update shoal');
    expect(readFileSync(path).equals(before)).to.equal(true);
  });

  it('says of a file that is no database what can be done', async () => {
    writeFileSync(path, randomBytes(10_000));
    const before = readFileSync(path);
    const error = await failureOf(openIt());
    expect(error).to.include({ code: 'home' });
    expect(error.message).to.include(path).and.to.include('move it away');
    expect(readFileSync(path).equals(before)).to.equal(true);
  });

  it('starts again after a crash that left an empty file', async () => {
    writeFileSync(path, '', { mode: 0o600 });
    const catalog = await openIt();
    catalog.add(someRecord(), {});
    expect(catalog.list()).to.have.length(1);
    catalog.close();
  });

  it('lists what is whole when rows are damaged, and says so when such a one is asked for', async () => {
    let catalog = await openIt();
    const good = someRecord({ createdAt: 1 });
    catalog.add(good, { key: secret });
    const damages: [string, string][] = [
      ['kind', `'tree'`],
      ['source', `''`],
      ['state', `'lost'`],
      ['hints', `'[1]'`],
      ['hints', `'{'`],
      ['parts', `'{'`],
      ['parts', `'[["a"]]'`],
      ['parts', `'[["a", 1]]'`],
      ['size_bytes', '-1'],
      ['size_bytes', '9223372036854775807'],
      ['files', '-5'],
      ['created_at', '9007199254740993'],
      ['bytes_up', '-9223372036854775808'],
    ];
    const records = damages.map(() => someRecord({ createdAt: 2 }));
    for (const record of records) catalog.add(record, {});
    catalog.close();
    for (const [i, [column, value]] of damages.entries()) {
      tamper(`UPDATE shares SET ${column} = ${value} WHERE id = '${records[i]!.id}'`);
    }
    tamper(`INSERT INTO shares (id, kind, name, size_bytes, files, source, hints, created_at, state, serve_always)
      VALUES ('../../etc', 'file', 'x', 1, 1, 'copy', '[]', 1, 'ready', 0)`);
    catalog = await openIt();
    expect(catalog.list().map(({ id }) => id)).to.deep.equal([good.id]);
    for (const { id } of records)
      expect(() => catalog.get(id))
        .to.throw('it is damaged')
        .with.property('code', 'home');
    catalog.close();
  });

  it('gives no key that was damaged, or put in the place of another', async () => {
    let catalog = await openIt();
    const [a, b, c] = [someRecord(), someRecord(), someRecord()];
    for (const record of [a, b, c]) catalog.add(record, { key: randomBytes(32), ownerSalt: randomBytes(32) });
    catalog.close();
    tamper(`UPDATE shares SET key = (SELECT key FROM shares WHERE id = '${b.id}') WHERE id = '${a.id}'`);
    tamper(`UPDATE shares SET owner_salt = key WHERE id = '${b.id}'`);
    tamper(`UPDATE shares SET key = x'00', owner_salt = zeroblob(60) WHERE id = '${c.id}'`);
    catalog = await openIt();
    const damaged = (get: () => unknown): void => {
      expect(get).to.throw('it is damaged').with.property('code', 'home');
    };
    damaged(() => catalog.keyOf(a.id));
    damaged(() => catalog.ownerSeedOf(b.id));
    damaged(() => catalog.keyOf(c.id));
    damaged(() => catalog.ownerSeedOf(c.id));
    expect(catalog.keyOf(b.id)).to.have.length(32);
    catalog.close();
  });

  it('takes what several processes write at once, from the first moment on', async () => {
    const run = promisify(execFile);
    const writers = await Promise.all(
      [1, 2, 3].map(() => run(process.execPath, [WRITER, path, secret.toString('hex'), '40'])),
    );
    const ids = writers.flatMap(({ stdout }) => stdout.trim().split('\n'));
    const catalog = await openIt();
    expect(new Set(catalog.list().map(({ id }) => id))).to.deep.equal(new Set(ids));
    expect(ids).to.have.length(120);
    catalog.close();
  });

  it('has all that it said it had when the process is killed', async () => {
    const ids: string[] = [];
    for (let round = 0; round < 4; round++) {
      const child = spawn(process.execPath, [WRITER, path, secret.toString('hex')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const wanted = ids.length + 5 * (round + 1);
      for await (const line of createInterface({ input: child.stdout })) {
        ids.push(line);
        if (ids.length === wanted) child.kill('SIGKILL');
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    const catalog = await openIt();
    expect(catalog.list().map(({ id }) => id as string)).to.include.members(ids);
    for (const id of ids) expect(catalog.keyOf(parseId(id))).to.have.length(32);
    catalog.close();
  });
});
