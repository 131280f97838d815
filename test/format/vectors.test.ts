/** Every row of test/vectors but the recipes (test/heavy). A row or a kind of row that the driver does not know fails. */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { commitmentOf, fileKey, streamKey } from '../../src/format/keys.ts';
import { identitiesIn } from '../../src/format/identity.ts';
import { parseId, rendezvous } from '../../src/format/ids.ts';
import { formatLink, parseLink } from '../../src/format/link.ts';
import { pad } from '../../src/format/pieces.ts';
import { decodeStatement, encodeStatement, signStatement, verifySignature } from '../../src/format/statement.ts';
import { blocksOfCar, hex, openShare, sha256 } from './open-share.ts';
import { failureOf } from './failure.ts';

const VECTORS = new URL('../vectors/', import.meta.url);

interface FileRow {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly modified?: number;
  readonly executable?: true;
  readonly directory?: true;
}

interface ShareRow {
  readonly name: string;
  readonly link: string;
  readonly expect: string;
  readonly why: string;
  readonly files?: readonly FileRow[];
  readonly identity?: string;
}

interface Values {
  readonly keys: Record<'K' | 'data' | 'manifest' | 'commitment', string>;
  readonly pad: readonly (readonly [number, number])[];
  readonly rendezvous: readonly { readonly id: string; readonly day: number; readonly cid: string }[];
  readonly withdrawal: {
    readonly ownerSeed: string;
    readonly owner: string;
    readonly statement: {
      readonly type: string;
      readonly version: number;
      readonly id: string;
      readonly at: number;
      readonly signature: string;
    };
    readonly bytes: string;
  };
  readonly recipes: unknown;
  readonly links: readonly { readonly text: string; readonly ok: boolean; readonly why: string }[];
}

const shares = JSON.parse(await readText('index.json')) as readonly ShareRow[];
const values = JSON.parse(await readText('values.json')) as Values;

const REFUSALS = ['bad-link', 'wrong-key', 'unsupported', 'malformed', 'corrupt', 'unavailable'];

describe('vectors: shares', () => {
  for (const row of shares) {
    it(`${row.expect === 'ok' ? 'opens' : 'refuses'} ${row.name}: ${row.why}`, async () => {
      expectOnly(row, ['name', 'link', 'expect', 'why', 'files', 'identity']);
      const found = row.identity === undefined ? [] : await identitiesIn(await readText(row.identity));
      const identities = found.map(({ secret }) => secret);
      const blocks = await blocksOfCar(await readFile(new URL(`${row.name}.car`, VECTORS)));
      if (row.expect !== 'ok') {
        expect(REFUSALS, 'kinds of refusal').to.include(row.expect);
        expect((await failureOf(() => openShare(blocks, row.link, identities))).code).to.equal(row.expect);
        return;
      }
      const { manifest, contents } = await openShare(blocks, row.link, identities);
      const files = manifest.entries.map((entry, i) => ({ ...entry, sha256: hex(sha256(contents[i]!)) }));
      expect(files).to.deep.equal(row.files);
    });
  }
});

describe('vectors: values', () => {
  it('are all of kinds that this test knows', () => {
    expectOnly(values, ['keys', 'pad', 'rendezvous', 'withdrawal', 'recipes', 'links']);
  });

  it('derives the keys', () => {
    const { K, ...derived } = values.keys;
    expectOnly(derived, ['data', 'manifest', 'commitment']);
    const key = fileKey(unhex(K));
    expect(hex(streamKey(key, 'data'))).to.equal(derived.data);
    expect(hex(streamKey(key, 'manifest'))).to.equal(derived.manifest);
    const bytes = new TextEncoder().encode('anything');
    expect(hex(commitmentOf(key, bytes))).to.equal(
      createHmac('sha256', unhex(derived.commitment)).update(bytes).digest('hex'),
    );
  });

  for (const [length, padded] of values.pad) {
    it(`pads ${length} bytes to ${padded}`, () => {
      expect(pad(length)).to.equal(padded);
    });
  }

  for (const row of values.rendezvous) {
    it(`finds the rendezvous key of day ${row.day}`, () => {
      expectOnly(row, ['id', 'day', 'cid']);
      expect(rendezvous(parseId(row.id), row.day).toString()).to.equal(row.cid);
    });
  }

  it('signs, reads and verifies the withdrawal', () => {
    const { ownerSeed, owner, statement, bytes } = values.withdrawal;
    expectOnly(values.withdrawal, ['ownerSeed', 'owner', 'statement', 'bytes']);
    expectOnly(statement, ['type', 'version', 'id', 'at', 'signature']);
    const signed = signStatement({ type: 'withdrawal', id: parseId(statement.id), at: statement.at }, unhex(ownerSeed));
    expect(hex(signed.signature)).to.equal(statement.signature);
    expect(hex(encodeStatement(signed))).to.equal(bytes);
    const read = decodeStatement(unhex(bytes), 'withdrawal');
    expect(read).to.deep.equal(signed);
    expect(verifySignature(read, unhex(owner))).to.equal(true);
  });

  for (const row of values.links) {
    it(`${row.ok ? 'reads' : 'refuses'} a link: ${row.why}`, async () => {
      expectOnly(row, ['text', 'ok', 'why']);
      if (!row.ok) {
        expect((await failureOf(() => parseLink(row.text))).code).to.equal('bad-link');
        return;
      }
      const link = parseLink(row.text);
      if (link.origin === undefined) expect(formatLink(link)).to.equal(row.text);
      else
        expect(row.text).to.equal(
          `${link.origin}/#${formatLink({ ...link, hints: link.hints.slice(1) }).slice('shoal:'.length)}`,
        );
    });
  }
});

function expectOnly(row: object, known: readonly string[]): void {
  expect(
    Object.keys(row).filter(key => !known.includes(key)),
    'keys that this test does not know',
  ).to.deep.equal([]);
}

async function readText(name: string): Promise<string> {
  return readFile(new URL(name, VECTORS), 'utf8');
}

function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
