import { encode as libraryEncode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  comparePaths,
  decodeManifest,
  encodeManifest,
  pathProblem,
  segmentProblem,
  type Manifest,
  type ManifestEntry,
} from '../../src/format/manifest.ts';
import { pad } from '../../src/format/pieces.ts';
import type { ShareBlock } from '../../src/format/share-block.ts';
import { MAX_ENTRIES, MAX_MANIFEST_BYTES } from '../../src/limits.ts';
import { failureOf } from './failure.ts';

const segments = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
    fc.string({ unit: fc.constantFrom('a', '.', '-', '0', 'é', '\u{1f600}', '\uffff'), minLength: 1, maxLength: 4 }),
  )
  .filter(segment => segmentProblem(segment) === undefined);
const paths = fc.array(segments, { minLength: 1, maxLength: 4 }).map(list => list.join('/'));

const entryValues = fc.record(
  {
    size: fc.nat(),
    executable: fc.constant(true as const),
    modified: fc.integer({ min: -8.64e12, max: 8.64e12 }),
    directory: fc.constant(true as const),
  },
  { requiredKeys: ['size'] },
);

const folders: fc.Arbitrary<Manifest> = fc
  .record(
    {
      name: segments,
      note: fc.string({ unit: 'binary', maxLength: 100 }),
      tree: fc.array(fc.tuple(paths, entryValues), { maxLength: 12 }),
    },
    { requiredKeys: ['name', 'tree'] },
  )
  .map(({ tree, ...rest }) => {
    const entries: ManifestEntry[] = [];
    for (const [path, value] of tree) {
      const clash = entries.some(
        other => other.path === path || other.path.startsWith(`${path}/`) || path.startsWith(`${other.path}/`),
      );
      if (!clash) entries.push({ path, ...value, size: value.directory === true ? 0 : value.size });
    }
    entries.sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
    return { kind: 'folder', ...rest, entries };
  });

const FILE: Manifest = { kind: 'file', name: 'a', entries: [{ path: 'a', size: 5 }] };

describe('manifests', () => {
  it('of any tree read back as they were written', () => {
    fc.assert(
      fc.property(folders, fc.boolean(), (manifest, padded) => {
        const stream = encodeManifest(manifest);
        const total = totalOf(manifest);
        expect(decodeManifest(stream, blockOf(stream, padded ? pad(total) : total))).to.deep.equal(manifest);
      }),
    );
  });

  it('have a stream of their length, themselves, and zeros', () => {
    const stream = encodeManifest(FILE);
    const length = new DataView(stream.buffer).getUint32(0);
    expect(stream.length).to.equal(4096);
    expect(stream.subarray(4, 4 + length)).to.deep.equal(libraryEncode(FILE));
    expect(stream.subarray(4 + length).every(byte => byte === 0)).to.equal(true);
  });

  it('may say more below extra, which is left out', () => {
    const extra = { any: [1.5, null, { more: true }] };
    const stream = streamOf({ ...FILE, extra, entries: [{ path: 'a', size: 5, extra }] });
    expect(decodeManifest(stream, blockOf(stream, 5))).to.deep.equal(FILE);
  });

  it('survive arbitrary bytes in their stream', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 250 }), (bytes, length) => {
        const stream = new Uint8Array(4096);
        new DataView(stream.buffer).setUint32(0, length);
        stream.set(bytes, 4);
        try {
          decodeManifest(stream, blockOf(stream, 0));
        } catch (error) {
          expect(error).to.have.property('code', 'malformed');
        }
      }),
      { numRuns: 1000 },
    );
  });

  describe('are refused', () => {
    const entry = { path: 'a', size: 5 };
    const folder = { kind: 'folder', name: 'f', entries: [entry] };
    const cases: [why: string, manifest: unknown, says: RegExp][] = [
      ['when they are no map', [FILE], /not a map/],
      ['with another kind', { ...FILE, kind: 'link' }, /kind is "link"/],
      ['without a name', { kind: 'file', entries: [entry] }, /no "name"/],
      ['with a key that is not listed', { ...FILE, more: 1 }, /"more"/],
      ['with a name of two segments', { ...folder, name: 'a/b' }, /slash/],
      ['with a name that climbs', { ...folder, name: '..' }, /segment "\.\."/],
      ['with an extra that is no map', { ...FILE, extra: 1 }, /"extra" is not a map/],
      ['with a note that is too long', { ...FILE, note: 'é'.repeat(2049) }, /note is longer/],
      ['with a note that is no text', { ...FILE, note: 1 }, /"note" is not text/],
      ['with entries that are no array', { ...FILE, entries: {} }, /not an array/],
      ['with an entry that is no map', { ...folder, entries: ['a'] }, /entry 0: it is not a map/],
      ['with a key in an entry that is not listed', { ...folder, entries: [{ ...entry, mode: 1 }] }, /"mode"/],
      ['with a negative size', { ...folder, entries: [{ path: 'a', size: -1 }] }, /"size"/],
      ['with executable: false', { ...folder, entries: [{ ...entry, executable: false }] }, /"executable"/],
      ['with directory: false', { ...folder, entries: [{ ...entry, directory: false }] }, /"directory"/],
      ['with a folder that has a size', { ...folder, entries: [{ ...entry, directory: true }] }, /folder with a size/],
      ['with a time out of range', { ...folder, entries: [{ ...entry, modified: -8.64e12 - 1 }] }, /out of range/],
      ['of a file with two entries', { ...FILE, entries: [entry, { path: 'b', size: 0 }] }, /has 2 entries/],
      ['of a file with no entry', { ...FILE, entries: [] }, /has 0 entries/],
      ['of a file called otherwise', { ...FILE, name: 'b' }, /file "b" and its entry is "a"/],
      [
        'of a file that is a folder',
        { ...FILE, entries: [{ path: 'a', size: 0, directory: true }] },
        /entry is a folder/,
      ],
      [
        'when sizes add up to what can not be counted',
        {
          ...folder,
          entries: [
            { path: 'a', size: Number.MAX_SAFE_INTEGER },
            { path: 'b', size: 2 },
          ],
        },
        /more than can be counted/,
      ],
    ];
    for (const [why, manifest, says] of cases) {
      it(why, async () => {
        const stream = streamOf(manifest);
        const failure = await failureOf(() => decodeManifest(stream, blockOf(stream, 5)));
        expect(failure.code).to.equal('malformed');
        expect(failure.message).to.match(says);
      });
    }

    const conflicts: [why: string, list: readonly string[], says: RegExp][] = [
      ['in another order than that of bytes', ['b', 'a'], /entry 1, "a", is not in order/],
      ['in the order of UTF-16, where it differs', ['\u{1f600}', '\uffee'], /not in order/],
      ['with one path twice', ['a', 'a'], /same path "a"/],
      ['with a path and another below it', ['a', 'a/b'], /"a" is an entry and the parent of entry 1, "a\/b"/],
      ['with such a pair that is not adjacent', ['a', 'a.b', 'a/c'], /"a" is an entry and the parent of entry 2/],
      ['with such a pair far apart', ['a/b', 'a/b!', 'a/b!c', 'a/b-', 'a/b.x/y', 'a/b/c'], /"a\/b" is an entry/],
      ['with such a pair below others', ['x', 'x!', 'x!y', 'x!y.z', 'x!y/z'], /"x!y" is an entry/],
    ];
    for (const [why, list, says] of conflicts) {
      it(why, async () => {
        const stream = streamOf({ kind: 'folder', name: 'f', entries: list.map(path => ({ path, size: 0 })) });
        const failure = await failureOf(() => decodeManifest(stream, blockOf(stream, 0)));
        expect(failure.code).to.equal('malformed');
        expect(failure.message).to.match(says);
      });
    }

    it('when an empty folder is the parent of another entry', async () => {
      const stream = streamOf({
        kind: 'folder',
        name: 'f',
        entries: [
          { path: 'a', size: 0, directory: true },
          { path: 'a/b', size: 0 },
        ],
      });
      expect((await failureOf(() => decodeManifest(stream, blockOf(stream, 0)))).message).to.include(
        'is an entry and the parent',
      );
    });

    it('exactly when paths conflict, among any that are sorted', () => {
      const few = fc.array(
        fc
          .string({ unit: fc.constantFrom('a', '/', '.', '0'), minLength: 1, maxLength: 5 })
          .filter(path => pathProblem(path) === undefined),
        { maxLength: 8 },
      );
      fc.assert(
        fc.property(few, list => {
          const sorted = [...list].sort(comparePaths);
          const conflict = sorted.some((path, i) =>
            sorted.some((other, j) => i !== j && (other === path || other.startsWith(`${path}/`))),
          );
          const stream = streamOf({ kind: 'folder', name: 'f', entries: sorted.map(path => ({ path, size: 0 })) });
          expect(refuses(stream, 0)).to.equal(conflict);
        }),
        { numRuns: 2000 },
      );
    });

    const lengths: [why: string, change: (stream: Uint8Array) => Uint8Array, says: RegExp][] = [
      ['when padding is not zero', stream => stream.fill(1, -1), /padding is not zero/],
      [
        'when the first byte of padding is not zero',
        stream => stream.fill(1, 4 + lengthOf(stream), 5 + lengthOf(stream)),
        /padding is not zero/,
      ],
      ['when they are longer than their stream', stream => withLength(stream, 4093), /goes beyond/],
      ['when they are longer than allowed', stream => withLength(stream, MAX_MANIFEST_BYTES + 1), /goes beyond/],
      ['when they are cut short', stream => withLength(stream, lengthOf(stream) - 1), /padding is not zero/],
      ['when they go on behind their end', stream => withLength(stream, lengthOf(stream) + 1), /follow its end/],
      ['when they are empty', stream => withLength(stream.fill(0), 0), /cut short/],
      [
        'when their stream is padded too far',
        stream => Uint8Array.from({ length: 4352 }, (_, i) => stream[i] ?? 0),
        /padded/,
      ],
      ['when their stream is not padded', stream => stream.slice(0, 4 + lengthOf(stream)), /padded/],
      ['when their stream is too short for a length', () => new Uint8Array(3), /only 3 bytes/],
    ];
    for (const [why, change, says] of lengths) {
      it(why, async () => {
        const stream = change(encodeManifest(FILE));
        const failure = await failureOf(() => decodeManifest(stream, blockOf(stream, 5)));
        expect(failure.code).to.equal('malformed');
        expect(failure.message).to.match(says);
      });
    }

    it('when the stream has another size than the share block says', async () => {
      const stream = encodeManifest(FILE);
      const block = { ...blockOf(stream, 5), manifest: { size: 4352 } };
      expect((await failureOf(() => decodeManifest(stream, block))).message).to.include('padded');
    });

    it('when the data stream is neither the sum of the sizes nor padded from it', () => {
      const stream = encodeManifest(FILE);
      for (const size of [0, 4, 6, 4095, 4097, 4352]) expect(refuses(stream, size), `${size} bytes`).to.equal(true);
      for (const size of [5, 4096]) expect(refuses(stream, size), `${size} bytes`).to.equal(false);
    });
  });

  it('that a reader would refuse are not written', async () => {
    const failure = await failureOf(() => encodeManifest({ ...FILE, name: 'b' }));
    expect(failure.code).to.equal('not-shareable');
    expect(failure.message).to.equal('cannot encode manifest: it is of a file "b" and its entry is "a"');
    expect(
      (await failureOf(() => encodeManifest({ ...FILE, name: '\ud800', entries: [{ path: '\ud800', size: 5 }] }))).code,
    ).to.equal('not-shareable');
  });

  it('escape what they quote, so that a terminal can show it', async () => {
    const stream = streamOf({ kind: 'folder', name: 'f\u001b[2J\u009b\u202e', entries: [] });
    expect((await failureOf(() => decodeManifest(stream, blockOf(stream, 0)))).message).to.include(
      '"f\\u001b[2J\\u009b\\u202e"',
    );
  });

  describe('of the largest kind', function () {
    this.timeout(120_000);
    this.slow(10_000);

    it('with 2^20 entries are written and read in seconds, and with one more refused', async () => {
      const entries = Array.from({ length: MAX_ENTRIES }, (_, i) => ({
        path: `folder/${String(i).padStart(8, '0')}`,
        size: i,
      }));
      const manifest: Manifest = { kind: 'folder', name: 'many', entries };
      const stream = encodeManifest(manifest);
      const read = decodeManifest(stream, blockOf(stream, totalOf(manifest)));
      expect(read.entries.length).to.equal(MAX_ENTRIES);
      expect(read.entries.at(-1)).to.deep.equal(entries.at(-1));
      const more = { ...manifest, entries: [...entries, { path: 'z', size: 0 }] };
      expect((await failureOf(() => encodeManifest(more))).message).to.include('1048577 entries');
    });

    it('with very deep and very long paths take no longer', () => {
      // Each path begins with all those before it, then many that share a parent 2,000 segments deep.
      const chain = Array.from({ length: 250 }, (_, i) => 'a'.repeat(i + 1));
      const deep = Array.from({ length: 4_000 }, (_, i) => `b${'/b'.repeat(2_000)}/${String(i).padStart(6, '0')}`);
      const manifest: Manifest = {
        kind: 'folder',
        name: 'deep',
        entries: [...chain, ...deep].map(path => ({ path, size: 0 })),
      };
      const stream = encodeManifest(manifest);
      const begin = process.cpuUsage();
      decodeManifest(stream, blockOf(stream, 0));
      expect(process.cpuUsage(begin).user).to.be.lessThan(15_000_000);
    });

    it('do not make a reader build millions of values that are no entries', async () => {
      const cbor = new Uint8Array(MAX_MANIFEST_BYTES).fill(0xa0);
      const head = Buffer.from('a3646b696e6466666f6c646572646e616d65616667656e7472696573', 'hex');
      cbor.set(head);
      cbor[head.length] = 0x9a;
      new DataView(cbor.buffer).setUint32(head.length + 1, cbor.length - head.length - 5);
      const stream = new Uint8Array(pad(4 + cbor.length));
      new DataView(stream.buffer).setUint32(0, cbor.length);
      stream.set(cbor, 4);
      expect((await failureOf(() => decodeManifest(stream, blockOf(stream, 0)))).message).to.include('too many values');
    });
  });
});

describe('pathProblem', () => {
  const bad: [path: string, says: RegExp][] = [
    ['', /empty/],
    ['/', /absolute/],
    ['/etc/passwd', /absolute/],
    ['a//b', /empty segment/],
    ['a/', /empty segment/],
    ['.', /segment "\."/],
    ['..', /segment "\.\."/],
    ['a/../b', /segment "\.\."/],
    ['a/.', /segment "\."/],
    ['a\\b', /backslash/],
    ['a\u0000', /control/],
    ['a\u001f', /control/],
    ['a\u007f', /control/],
    ['a\u0080', /control/],
    ['a\u009f', /control/],
    ['\ud800', /Unicode/],
    ['a/\udc00b', /Unicode/],
    ['a'.repeat(256), /segment longer/],
    [`${'é'.repeat(127)}aa`, /segment longer/],
    ['\u{1f600}'.repeat(64), /segment longer/],
    [`${'a/'.repeat(2048)}a`, /longer than 4096/],
  ];
  for (const [path, says] of bad) {
    it(`names what is wrong with ${JSON.stringify(path.slice(0, 20))}`, () => {
      expect(pathProblem(path)).to.match(says);
    });
  }

  it('has nothing against names that only some systems can not hold', () => {
    const fine = [
      'a',
      '...',
      '..a',
      'a..',
      ' ',
      'CON',
      'a:b',
      'a.',
      '\u00a0',
      '\ufeffa',
      '~',
      '-rf',
      'a'.repeat(255),
      `${'é'.repeat(127)}a`,
      `${'a/'.repeat(2047)}aa`,
      '日本語/ümläut',
      'e\u0301',
      '\u{10ffff}',
    ];
    for (const path of fine) expect(pathProblem(path), path.slice(0, 20)).to.equal(undefined);
  });
});

describe('comparePaths', () => {
  it('is the order of bytes in UTF-8', () => {
    const texts = fc.string({
      unit: fc.oneof(
        fc.constantFrom('a', '/', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}'),
        fc.constantFrom('b'),
      ),
      maxLength: 4,
    });
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(Math.sign(comparePaths(a, b))).to.equal(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 2000 },
    );
  });
});

/** The stream of a manifest that need not be valid. */
function streamOf(manifest: unknown): Uint8Array {
  const cbor = libraryEncode(manifest);
  const stream = new Uint8Array(pad(4 + cbor.length));
  stream.set(cbor, 4);
  return withLength(stream, cbor.length);
}

function withLength(stream: Uint8Array, length: number): Uint8Array {
  new DataView(stream.buffer).setUint32(0, length);
  return stream;
}

function lengthOf(stream: Uint8Array): number {
  return new DataView(stream.buffer).getUint32(0);
}

function blockOf(manifest: Uint8Array, dataSize: number): ShareBlock {
  return {
    owner: new Uint8Array(32),
    commitment: new Uint8Array(32),
    manifest: { size: manifest.length },
    data: { size: dataSize },
  };
}

function totalOf(manifest: Manifest): number {
  return manifest.entries.reduce((sum, { size }) => sum + size, 0);
}

function refuses(stream: Uint8Array, dataSize: number): boolean {
  try {
    decodeManifest(stream, blockOf(stream, dataSize));
    return false;
  } catch (error) {
    expect(error).to.have.property('code', 'malformed');
    return true;
  }
}
