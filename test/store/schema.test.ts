/** Catalogs that somebody has made to harm who opens them. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { openDatabase } from '../../src/files/sqlite.ts';
import { catalogProblem, openCatalog } from '../../src/store/catalog.ts';
import { schemaProblem } from '../../src/store/schema.ts';
import { failureOf } from '../contract/crypto.ts';

const ENDLESS = 'WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS id FROM n';

describe('the schema of a catalog that others may have made', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-schema-'));
    path = join(folder, 'catalog.sqlite');
    const options = { secret: randomBytes(32), random: randomBytes, clock: systemClock };
    (await openCatalog(path, options)).close();
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function tamper(sql: string): void {
    const database = openDatabase(path);
    database.exec(sql);
    database.close();
  }

  it('is as the program makes it, and the file is left as it is', () => {
    const before = readFileSync(path);
    expect(catalogProblem(path)).to.equal(undefined);
    expect(readFileSync(path).equals(before)).to.equal(true);
  });

  it('is that of its version, though it is laid out otherwise and has other comments', () => {
    const first = 'CREATE TABLE a (x TEXT, y TEXT) STRICT; CREATE INDEX a_by_x ON a (x)';
    const migrations = [first, 'ALTER TABLE a ADD COLUMN z TEXT', 'CREATE TABLE b (x TEXT)'];
    rmSync(path);
    tamper('CREATE TABLE a ( -- as it was\n x TEXT,\n  y TEXT ) STRICT; CREATE INDEX a_by_x ON a (x)');
    tamper('PRAGMA user_version = 1');
    expect(schemaProblem(path, { migrations })).to.equal(undefined);
    tamper('ALTER TABLE a ADD COLUMN z TEXT; PRAGMA user_version = 2');
    expect(schemaProblem(path, { migrations })).to.equal(undefined);
    tamper('PRAGMA user_version = 3');
    expect(schemaProblem(path, { migrations })).to.equal('has other tables than shoal makes');
    // Who opens it says that a newer program is needed.
    tamper('PRAGMA user_version = 4');
    expect(schemaProblem(path, { migrations })).to.equal(undefined);
  });

  const OTHER = 'has other tables than shoal makes';
  const hostile: readonly [what: string, sql: string, problem: string][] = [
    ['a view without end in the place of a table', `DROP TABLE shares; CREATE VIEW shares AS ${ENDLESS}`, OTHER],
    ['a view beside the tables', `CREATE VIEW more AS ${ENDLESS}`, OTHER],
    ['a trigger', `CREATE TRIGGER t AFTER UPDATE ON transfers BEGIN INSERT INTO debris ${ENDLESS}; END`, OTHER],
    ['a virtual table', 'CREATE VIRTUAL TABLE words USING fts5 (text)', OTHER],
    ['a table that is missing', 'DROP TABLE contacts', OTHER],
    ['an index on what is computed', 'CREATE INDEX i ON transfers (hex(zeroblob(100000000)))', OTHER],
    [
      'a column that is computed',
      'DROP TABLE debris; CREATE TABLE debris (id TEXT PRIMARY KEY, x TEXT GENERATED ALWAYS AS (hex(id)) VIRTUAL) STRICT',
      OTHER,
    ],
    [
      'a check that is computed',
      'DROP TABLE debris; CREATE TABLE debris (id TEXT PRIMARY KEY CHECK (hex(zeroblob(100000000)) > id)) STRICT',
      OTHER,
    ],
    [
      'what is hidden behind a comment that is none',
      `DROP TABLE debris; CREATE TABLE debris (id TEXT PRIMARY KEY DEFAULT '--', x TEXT CHECK (x > 'a')\n) STRICT`,
      OTHER,
    ],
    ['version 0', 'PRAGMA user_version = 0', 'is empty, or none'],
    ['a version below that', 'PRAGMA user_version = -1', 'is empty, or none'],
  ];
  for (const [what, sql, problem] of hostile)
    it(`refuses ${what}`, () => {
      tamper(sql);
      expect(catalogProblem(path)).to.equal(problem);
    });

  it('refuses a file that is empty, cut short or no database, and one that is not there', async () => {
    truncateSync(path, 8192);
    expect(catalogProblem(path)).to.match(/^is damaged/);
    truncateSync(path, 0);
    expect(catalogProblem(path)).to.equal('is empty, or none');
    writeFileSync(path, 'no database, but as long as the header of one is: '.repeat(3));
    expect(catalogProblem(path)).to.equal('is damaged, or none');
    rmSync(path);
    const asked = Promise.resolve().then(() => catalogProblem(path));
    expect(await failureOf(asked)).to.include({ code: 'io' });
  });

  it('refuses pages that lead to one page again and again', () => {
    const values = Array.from({ length: 400 }, (_, n) => `('${n}', '${'x'.repeat(200)}')`).join(', ');
    tamper(`PRAGMA journal_mode = DELETE; INSERT INTO settings VALUES ${values}`);
    const database = openDatabase(path, { readOnly: true });
    const root = Number(
      database.prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'settings'`).get()?.['rootpage'],
    );
    database.close();
    expect(catalogProblem(path)).to.equal(undefined);
    const bytes = readFileSync(path);
    const page = bytes.subarray((root - 1) * 4096, root * 4096);
    expect(page[0], 'it has pages below it').to.equal(5);
    const cells = Array.from({ length: page.readUInt16BE(3) }, (_, n) => page.readUInt16BE(12 + 2 * n));
    expect(cells.length).to.be.greaterThan(2);
    for (const cell of cells) page.writeUInt32BE(page.readUInt32BE(8), cell);
    writeFileSync(path, bytes);
    expect(catalogProblem(path)).to.equal('is damaged');
  });
});
