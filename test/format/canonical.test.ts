import { decode as libraryDecode, encode as libraryEncode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { decode, decodeTyped, encode, fieldsOf, Link, peekHeader } from '../../src/format/canonical.ts';
import { blockCid, chunkCid } from '../../src/format/ids.ts';
import { failureOf } from './failure.ts';

describe('canonical dag-cbor', () => {
  it('decodes what it encoded', () => {
    fc.assert(
      fc.property(anyValue(5), value => {
        expect(plain(decode(encode(value), 'value'))).to.deep.equal(plain(value));
      }),
    );
  });

  it('accepts exactly the bytes that decoding and encoding again with the library gives back', () => {
    fc.assert(
      fc.property(mutated(), bytes => {
        expect(accepts(bytes), Buffer.from(bytes).toString('hex')).to.equal(libraryAccepts(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  it('gives a ShoalError for any other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), bytes => void accepts(bytes)),
      { numRuns: 3000 },
    );
  });

  const refused: [why: string, hex: string][] = [
    ['keys in the wrong order', 'a2616201616102'],
    ['a longer key before a shorter one', 'a262616101616202'],
    ['the same key twice', 'a2616101616102'],
    ['a key that is not text', 'a10102'],
    ['a small number in two bytes', '1817'],
    ['a number of one byte in three', '190001'],
    ['a number of two bytes in five', '1a0000ffff'],
    ['a number of four bytes in nine', '1b00000000ffffffff'],
    ['a length in a longer form', '780161'],
    ['an array of indefinite length', '9fff'],
    ['a map of indefinite length', 'bfff'],
    ['text of indefinite length', '7fff'],
    ['bytes of indefinite length', '5fff'],
    ['2^53', '1b0020000000000000'],
    ['-2^53', '3b001fffffffffffff'],
    ['a float of eight bytes', 'fb3ff0000000000000'],
    ['a float of two bytes', 'f93c00'],
    ['undefined', 'f7'],
    ['another simple value', 'e0'],
    ['a date', 'c000'],
    ['a tag 42 in a longer form', `d9002a582500`],
    ['a CID without the zero in front', `d82a5824${cidHex(1, 0x71, 0x12, 32)}`],
    ['a CID of version 0', `d82a5823001220${'11'.repeat(32)}`],
    ['a CID of another codec', `d82a582500${cidHex(1, 0x70, 0x12, 32)}`],
    ['a CID of another hash', `d82a582500${cidHex(1, 0x71, 0x16, 32)}`],
    ['a CID of a shorter digest', `d82a582400${cidHex(1, 0x71, 0x12, 31)}`],
    ['text that is not UTF-8', '61ff'],
    ['a long text that is not UTF-8', `781e${'61'.repeat(29)}ff`],
    ['half a surrogate pair', '63eda080'],
    ['something behind its end', '0000'],
    ['nothing', ''],
    ['a map without its last value', 'a16161'],
  ];
  for (const [why, hex] of refused) {
    it(`refuses ${why}`, async () => {
      expect((await failureOf(() => decode(unhex(hex), 'value'))).code).to.equal('malformed');
    });
  }

  for (const [kind, initial] of [
    ['bytes', '5b'],
    ['text', '7b'],
    ['elements', '9b'],
    ['entries', 'bb'],
  ] as const) {
    it(`refuses nine bytes that claim 2^40 ${kind}, without reserving them`, async () => {
      const before = process.memoryUsage();
      for (let i = 0; i < 100; i++) await failureOf(() => decode(unhex(`${initial}0000010000000000`), 'value'));
      const after = process.memoryUsage();
      expect(after.arrayBuffers - before.arrayBuffers).to.be.lessThan(2 ** 20);
      expect(after.heapUsed - before.heapUsed).to.be.lessThan(2 ** 25);
    });
  }

  it('nests eight deep and not nine', async () => {
    const nested = (depth: number): Uint8Array => Uint8Array.of(...new Array<number>(depth - 1).fill(0x81), 0x80);
    expect(decode(nested(8), 'value')).to.be.an('array');
    expect((await failureOf(() => decode(nested(9), 'value'))).message).to.include('nested deeper');
  });

  it('does not use up the stack on a megabyte of opening arrays', async () => {
    await failureOf(() => decode(new Uint8Array(2 ** 20).fill(0x81), 'value'));
  });

  it('keeps a byte order mark, which a file name may begin with', () => {
    expect(decode(encode('\ufeffa'), 'value')).to.equal('\ufeffa');
  });

  it('takes "__proto__" for a key like any other', () => {
    const fields = decode(encode(JSON.parse('{"__proto__": {"a": 1}}')), 'value') as Record<string, unknown>;
    expect(Object.keys(fields)).to.deep.equal(['__proto__']);
    expect(fields['a']).to.equal(undefined);
  });

  it('returns bytes that do not change with those it was given', () => {
    const bytes = encode(Uint8Array.of(1, 2, 3));
    const value = decode(bytes, 'value');
    bytes.fill(0);
    expect(value).to.deep.equal(Uint8Array.of(1, 2, 3));
  });

  it('builds no more values than allowed', async () => {
    expect(decode(encode([1, [2]]), 'value', { maxValues: 4 })).to.deep.equal([1, [2]]);
    expect((await failureOf(() => decode(encode([1, [2]]), 'value', { maxValues: 3 }))).message).to.include(
      'too many values',
    );
  });

  describe('below a key that is skipped', () => {
    const decodeSkipping = (value: unknown): unknown => plain(decode(libraryEncode(value), 'value', { skip: 'extra' }));

    it('leaves out whatever is canonical, floats included', () => {
      expect(
        decodeSkipping({ a: 1, extra: { float: 1.5, list: [null, { deep: chunkCid(new Uint8Array(32)) }] } }),
      ).to.deep.equal({ a: 1 });
    });

    const refusedBelow: [why: string, hex: string][] = [
      ['keys in the wrong order', 'a2616201616102'],
      ['a float of two bytes', 'a16161f93c00'],
      ['a float that is not a number', 'a16161fb7ff8000000000000'],
      ['text that is not UTF-8', 'a1616161ff'],
      ['a key that is not UTF-8', 'a161ff00'],
      ['a number in a longer form', 'a161611817'],
      ['anything but a map', '01'],
      ['what nests too deep', `a16161${'81'.repeat(6)}80`],
    ];
    for (const [why, hex] of refusedBelow) {
      it(`refuses ${why}`, async () => {
        const bytes = unhex(`a1656578747261${hex}`);
        expect((await failureOf(() => decode(bytes, 'value', { skip: 'extra' }))).code).to.equal('malformed');
      });
    }
  });
});

describe('decodeTyped', () => {
  it('says that another version needs a newer program, whatever else that version breaks', async () => {
    const newer = libraryEncode({ type: 'share', version: 2, float: 1.5, nothing: null });
    expect(peekHeader(newer)).to.deep.equal({ type: 'share', version: 2 });
    expect((await failureOf(() => decodeTyped(newer, 'share block', 'share'))).code).to.equal('unsupported');
  });

  it('takes another type for malformed, whatever its version', async () => {
    const other = encode({ type: 'grant', version: 2 });
    expect((await failureOf(() => decodeTyped(other, 'share block', 'share'))).code).to.equal('malformed');
  });

  it('refuses what has no version, or one that is no number', async () => {
    for (const version of [{}, { version: '1' }, { version: true }]) {
      expect(
        (await failureOf(() => decodeTyped(encode({ type: 'share', ...version }), 'share block', 'share'))).code,
      ).to.equal('malformed');
    }
  });

  it('finds no header in arbitrary bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), bytes => void peekHeader(bytes)));
  });
});

describe('fieldsOf', () => {
  it('wants each required key and no key that is not listed', async () => {
    const value = decode(encode({ a: 1, b: 2 }), 'value');
    expect(plain(fieldsOf(value, 'value', ['a'], ['b', 'c']))).to.deep.equal({ a: 1, b: 2 });
    expect((await failureOf(() => fieldsOf(value, 'value', ['a']))).message).to.equal(
      'cannot decode value: it has "b", which the format does not list',
    );
    expect((await failureOf(() => fieldsOf(value, 'value', ['a', 'b', 'c']))).message).to.equal(
      'cannot decode value: it has no "c"',
    );
  });

  it('refuses arrays, bytes, CIDs and null', async () => {
    for (const value of [[], new Uint8Array(), blockCid(new Uint8Array(32)), null, 1, 'text']) {
      expect((await failureOf(() => fieldsOf(decode(encode(value), 'value'), 'value', []))).message).to.include(
        'not a map',
      );
    }
  });
});

/** Values of the kinds that the format has, nested up to `depth` deep. */
function anyValue(depth: number): fc.Arbitrary<unknown> {
  return fc.letrec<{ value: unknown; leaf: unknown }>(tie => ({
    leaf: fc.oneof(
      fc.maxSafeInteger(),
      fc.integer({ min: -300, max: 70_000 }),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.boolean(),
      fc.constant(null),
      fc
        .uint8Array({ minLength: 32, maxLength: 32 })
        .chain(digest => fc.constantFrom(chunkCid(digest), blockCid(digest))),
    ),
    value: fc.oneof(
      { maxDepth: depth, withCrossShrink: true },
      tie('leaf'),
      fc.array(tie('value'), { maxLength: 5 }),
      fc.dictionary(fc.string({ maxLength: 12 }), tie('value'), { maxKeys: 5 }),
    ),
  })).value;
}

/** Encoded values, often with a byte or two changed, cut or put in: some still canonical, most nearly so. */
function mutated(): fc.Arbitrary<Uint8Array> {
  const change = fc.record({ at: fc.nat(), remove: fc.nat({ max: 2 }), insert: fc.uint8Array({ maxLength: 2 }) });
  return fc.tuple(anyValue(3), fc.array(change, { maxLength: 2 })).map(([value, changes]) => {
    const bytes = [...encode(value)];
    for (const { at, remove, insert } of changes) bytes.splice(at % (bytes.length + 1), remove, ...insert);
    return Uint8Array.from(bytes);
  });
}

function accepts(bytes: Uint8Array): boolean {
  try {
    decode(bytes, 'value');
    return true;
  } catch (error) {
    expect(error).to.have.property('code', 'malformed');
    return false;
  }
}

function libraryAccepts(bytes: Uint8Array): boolean {
  try {
    const value: unknown = libraryDecode(bytes);
    return Buffer.compare(libraryEncode(value), bytes) === 0 && isOfTheFormat(value);
  } catch {
    return false;
  }
}

/** The library allows floats, larger numbers and other CIDs. */
function isOfTheFormat(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value === 'bigint') return false;
  const cid = CID.asCID(value);
  if (cid !== null)
    return (
      cid.version === 1 && [0x55, 0x71].includes(cid.code) && cid.multihash.code === 0x12 && cid.multihash.size === 32
    );
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return true;
  return Object.values(value).every(isOfTheFormat);
}

/** Both CIDs and links as text, and objects with the usual prototype. */
function plain(value: unknown): unknown {
  if (value instanceof Link) return `cid ${(value.codec === 0x55 ? chunkCid : blockCid)(value.digest).toString()}`;
  const cid = CID.asCID(value);
  if (cid !== null) return `cid ${cid.toString()}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Uint8Array) return [...value];
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
}

function cidHex(version: number, codec: number, hash: number, length: number): string {
  return Buffer.from([version, codec, hash, length, ...new Array<number>(length).fill(0x11)]).toString('hex');
}

function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
