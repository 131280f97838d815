import { expect } from 'chai';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import {
  blockCid,
  chunkCid,
  cidBytes,
  dayOf,
  digestOf,
  idOf,
  multihashOf,
  parseId,
  readCid,
  rendezvous,
  sameBytes,
  sha256,
} from '../../src/format/ids.ts';
import { failureOf } from './failure.ts';

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 });
const ID = idOf(sha256(new Uint8Array()));

describe('ids', () => {
  it('are the CIDs that others compute', () => {
    fc.assert(
      fc.property(digests, digest => {
        const id = idOf(digest);
        expect(id).to.equal(blockCid(digest).toString());
        expect(parseId(id)).to.equal(id);
        expect(digestOf(id)).to.deep.equal(digest);
        expect(multihashOf(id)).to.deep.equal(CID.parse(id).multihash.bytes);
        expect(cidBytes(0x55, digest)).to.deep.equal(chunkCid(digest).bytes);
        expect(readCid(blockCid(digest).bytes)).to.deep.equal({ codec: 0x71, digest });
      }),
    );
  });

  it('have one spelling: with any character replaced it is another id or none', () => {
    const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
    let accepted = 0;
    for (let i = 0; i < ID.length; i++) {
      for (const character of alphabet) {
        const text = ID.slice(0, i) + character + ID.slice(i + 1);
        const id = tryParse(text);
        if (id === undefined) continue;
        accepted++;
        expect(idOf(digestOf(id))).to.equal(text);
      }
    }
    expect(accepted).to.be.greaterThan(1000);
  });

  const refused: [why: string, text: string, says: RegExp][] = [
    ['a shorter one', ID.slice(0, -1), /cut short: it has 58 of 59/],
    ['a longer one', `${ID}a`, /too long/],
    ['upper case', ID.toUpperCase(), /"B" at position 1/],
    ['a digit that base32 lacks', ID.replace('y', '1'), /"1" at position/],
    [
      'unused bits that are not zero',
      `${ID.slice(0, -1)}${String.fromCharCode(ID.charCodeAt(58) + 1)}`,
      /last character/,
    ],
    ['another multibase prefix', `a${ID.slice(1)}`, /begin with "b"/],
    ['the CID of a chunk', chunkCid(sha256(new Uint8Array())).toString(), /id of a chunk/],
    ['CIDv0', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', /does not belong/],
    ['a CID in base58', CID.parse(ID).toString(), /./],
    ['nothing', '', /cut short/],
    ['half a surrogate pair', `\ud800${ID}`, /does not belong/],
  ];
  for (const [why, text, says] of refused) {
    if (text === ID) continue;
    it(`refuses ${why}`, async () => {
      const failure = await failureOf(() => parseId(text));
      expect(failure.code).to.equal('bad-link');
      expect(failure.message).to.match(says);
    });
  }

  it('refuse any other text with a ShoalError', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => void tryParse(text)));
  });
});

describe('readCid', () => {
  it('knows no CIDs but those of the format', () => {
    const good = cidBytes(0x71, sha256(new Uint8Array()));
    for (const [at, value] of [
      [0, 0],
      [0, 2],
      [1, 0x70],
      [1, 0x51],
      [2, 0x13],
      [2, 0x00],
      [3, 31],
      [3, 33],
    ] as const) {
      const bytes = good.slice();
      bytes[at] = value;
      expect(readCid(bytes)).to.equal(undefined);
    }
    expect(readCid(good.subarray(0, 35))).to.equal(undefined);
    expect(readCid(Uint8Array.of(...good, 0))).to.equal(undefined);
  });
});

describe('sameBytes', () => {
  it('is true of equal bytes only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, at, change) => {
        expect(sameBytes(bytes, bytes.slice())).to.equal(true);
        expect(sameBytes(bytes, bytes.subarray(1))).to.equal(false);
        const other = bytes.slice();
        other[at % bytes.length] = other[at % bytes.length]! ^ change;
        expect(sameBytes(bytes, other)).to.equal(false);
      }),
    );
  });
});

describe('rendezvous keys', () => {
  it('change at midnight UTC, not within a day, and with the id', () => {
    const midnight = Date.UTC(2026, 10, 24) / 1000;
    expect(dayOf(midnight)).to.equal(dayOf(midnight + 86_399));
    expect(dayOf(midnight - 1)).to.equal(dayOf(midnight) - 1);
    const day = dayOf(midnight);
    const keys = [rendezvous(ID, day), rendezvous(ID, day + 1), rendezvous(idOf(sha256(Uint8Array.of(1))), day)];
    expect(new Set(keys.map(String)).size).to.equal(3);
  });
});

function tryParse(text: string): ReturnType<typeof parseId> | undefined {
  try {
    return parseId(text);
  } catch (error) {
    expect(error).to.have.property('code', 'bad-link');
    return undefined;
  }
}
