import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { expect } from 'chai';
import fc from 'fast-check';
import { encode } from '../../src/format/canonical.ts';
import { encodeGrant } from '../../src/format/grant.ts';
import { blockCid, chunkCid, idOf, sha256, type BlockId } from '../../src/format/ids.ts';
import { encodeShareBlock, ownerOf } from '../../src/format/share-block.ts';
import {
  decodeStatement,
  encodeStatement,
  signStatement,
  verifyOwnerStatement,
  verifyReceipt,
  verifySignature,
  type Appeal,
  type Receipt,
  type Renewal,
  type Signed,
  type Statement,
  type Withdrawal,
} from '../../src/format/statement.ts';
import { failureOf } from './failure.ts';

const SEED = new Uint8Array(32).fill(3);
const OTHER_SEED = new Uint8Array(32).fill(4);
const DIGEST = sha256(Uint8Array.of(1));

const SHARE = {
  owner: ownerOf(SEED),
  commitment: new Uint8Array(32),
  manifest: { size: 4096, chunks: DIGEST },
  data: { size: 0, chunks: new Uint8Array() },
};
const share = encodeShareBlock(SHARE);
const ID = idOf(sha256(share));

const relayKey = await generateKeyPair('Ed25519');
const RELAY = peerIdFromPrivateKey(relayKey).toMultihash().bytes;
/** libp2p's private key is the seed and the public key. */
const RELAY_SEED = relayKey.raw.slice(0, 32);

const withdrawal: Withdrawal = { type: 'withdrawal', id: ID, at: 1_800_000_000 };
const renewal: Renewal = { type: 'renewal', id: ID, relay: RELAY, until: 1_900_000_000 };
const appeal: Appeal = { type: 'appeal', id: ID, relay: RELAY, case: 'c-1', text: 'It is mine.', at: 1 };
const receipt: Receipt = { type: 'receipt', id: ID, size: 5, at: 1, until: 2, relay: RELAY };

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3] = copy[bit >> 3]! ^ (1 << (bit & 7));
  return copy;
}

describe('statements', () => {
  const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(idOf);
  const uint = fc.maxSafeNat();
  const relay = fc.uint8Array({ maxLength: 60 });
  const text = fc.string({ unit: 'grapheme' });
  const any: fc.Arbitrary<Statement> = fc.oneof(
    fc.record({ type: fc.constant('withdrawal' as const), id, at: uint }),
    fc.record({ type: fc.constant('renewal' as const), id, relay, until: uint }),
    fc.record({ type: fc.constant('appeal' as const), id, relay, case: text, text, at: uint }),
    fc.record({ type: fc.constant('receipt' as const), id, size: uint, at: uint, until: uint, relay }),
  );

  it('read back as they were signed', () => {
    fc.assert(
      fc.property(any, statement => {
        const signed = signStatement(statement, SEED);
        const read = decodeStatement(encodeStatement(signed), statement.type);
        expect(read).to.deep.equal(signed);
        expect(verifySignature(read, ownerOf(SEED))).to.equal(true);
        expect(verifySignature(read, ownerOf(OTHER_SEED))).to.equal(false);
      }),
      { numRuns: 30 },
    );
  });

  it('are not verified once a bit of them is flipped', () => {
    const bytes = encodeStatement(signStatement(withdrawal, SEED));
    let read = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const statement = tryDecode(flipped(bytes, bit));
      if (statement === undefined) continue;
      read++;
      expect(verifySignature(statement, ownerOf(SEED)), `bit ${bit}`).to.equal(false);
    }
    expect(read, 'statements that can be read at all').to.be.above(700);
  });

  it('of one type are not taken for another', async () => {
    const bytes = encodeStatement(signStatement(withdrawal, SEED));
    expect((await failureOf(() => decodeStatement(bytes, 'receipt'))).code).to.equal('malformed');
    // The type is part of what is signed, twice.
    const other = { ...receipt, signature: signStatement({ ...withdrawal }, SEED).signature };
    expect(verifySignature(other, ownerOf(SEED))).to.equal(false);
  });

  it('of another version need a newer program', async () => {
    const bytes = encode({ type: 'withdrawal', version: 2, id: 'of another kind', signatures: [] });
    expect((await failureOf(() => decodeStatement(bytes, 'withdrawal'))).code).to.equal('unsupported');
  });

  const signature = new Uint8Array(64);
  const good = { type: 'withdrawal', version: 1, id: blockCid(DIGEST), at: 1, signature };
  const refused: [why: string, value: unknown][] = [
    ['no signature', { type: 'withdrawal', version: 1, id: blockCid(DIGEST), at: 1 }],
    ['a signature that is cut short', { ...good, signature: signature.subarray(1) }],
    ['a time before 1970', { ...good, at: -1 }],
    ['a time with a fraction', { ...good, at: 1.5 }],
    ['an id as text', { ...good, id: ID }],
    ['the id of a chunk', { ...good, id: chunkCid(DIGEST) }],
    ['an entry that the format does not list', { ...good, reason: 'none' }],
    ['another type', { ...good, type: 'share' }],
  ];
  for (const [why, value] of refused) {
    it(`are refused with ${why}`, async () => {
      expect((await failureOf(() => decodeStatement(encode(value), 'withdrawal'))).code).to.equal('malformed');
    });
  }
});

describe('what the owner of a block says', () => {
  it('is verified by the block itself, a share as well as a grant', () => {
    for (const statement of [withdrawal, renewal, appeal]) {
      expect(verifyOwnerStatement(signStatement(statement, SEED), share)).to.equal(true);
    }
    const grant = encodeGrant({ share: ID, owner: ownerOf(OTHER_SEED), sealed: new Uint8Array(200) });
    expect(verifyOwnerStatement(signStatement({ ...withdrawal, id: grant.id }, OTHER_SEED), grant.bytes)).to.equal(
      true,
    );
    // Who made the share does not own a grant that another made.
    expect(verifyOwnerStatement(signStatement({ ...withdrawal, id: grant.id }, SEED), grant.bytes)).to.equal(false);
  });

  it('is nothing when another says it, or of another block', () => {
    expect(verifyOwnerStatement(signStatement(withdrawal, OTHER_SEED), share)).to.equal(false);
    const another = encodeShareBlock({ ...SHARE, expires: 3600 });
    expect(verifyOwnerStatement(signStatement(withdrawal, SEED), another)).to.equal(false);
  });

  it('can not be verified by a block that is none', async () => {
    const nonsense = encode({ owner: ownerOf(SEED) });
    const of = (id: BlockId): Signed<Withdrawal> => signStatement({ ...withdrawal, id }, SEED);
    const failure = await failureOf(() => verifyOwnerStatement(of(idOf(sha256(nonsense))), nonsense));
    expect(failure.code).to.equal('malformed');
  });
});

describe('signatures', () => {
  // RFC 8032 §5.1.7, strict: what a lenient verifier takes for good.
  const signed = signStatement(withdrawal, SEED);
  const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

  it('with a scalar that is not reduced are refused', () => {
    const scalar = signed.signature.slice(32).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n) + ORDER;
    const signature = Uint8Array.from(signed.signature);
    for (let i = 0, rest = scalar; i < 32; i++, rest /= 256n) signature[32 + i] = Number(rest % 256n);
    expect(verifySignature({ ...signed, signature }, ownerOf(SEED))).to.equal(false);
  });

  it('by a key of small order are refused, whatever they are of', () => {
    // With R = A = the neutral element and S = 0, the equation holds for every message.
    const neutral = Uint8Array.of(1, ...new Uint8Array(31));
    const signature = Uint8Array.of(...neutral, ...new Uint8Array(32));
    expect(verifySignature({ ...withdrawal, signature }, neutral)).to.equal(false);
  });

  it('by what is no key are refused', () => {
    for (const key of [new Uint8Array(32).fill(255), new Uint8Array(32).fill(2)]) {
      expect(verifySignature(signed, key)).to.equal(false);
    }
  });
});

describe('receipts', () => {
  it('are verified by the key in the peer id of the relay', () => {
    expect(RELAY).to.have.lengthOf(38);
    expect(verifyReceipt(signStatement(receipt, RELAY_SEED))).to.equal(true);
  });

  it('that a relay signed for another are not', async () => {
    const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toMultihash().bytes;
    expect(verifyReceipt(signStatement({ ...receipt, relay: other }, RELAY_SEED))).to.equal(false);
    expect(verifyReceipt(signStatement(receipt, SEED))).to.equal(false);
  });

  it('of peers without an Ed25519 key in their id are not', async () => {
    const secp256k1 = peerIdFromPrivateKey(await generateKeyPair('secp256k1')).toMultihash().bytes;
    const ids = [secp256k1, RELAY.subarray(1), Uint8Array.of(...RELAY, 0), new Uint8Array(), sha256(RELAY)];
    for (const relay of ids) expect(verifyReceipt(signStatement({ ...receipt, relay }, RELAY_SEED))).to.equal(false);
    for (let bit = 0; bit < 6 * 8; bit++) {
      const relay = flipped(RELAY, bit);
      expect(verifyReceipt(signStatement({ ...receipt, relay }, RELAY_SEED)), `bit ${bit}`).to.equal(false);
    }
  });

  it('by a key of small order are not', () => {
    const neutral = Uint8Array.of(1, ...new Uint8Array(31));
    const relay = Uint8Array.of(...RELAY.subarray(0, 6), ...neutral);
    expect(verifyReceipt({ ...receipt, relay, signature: Uint8Array.of(...neutral, ...new Uint8Array(32)) })).to.equal(
      false,
    );
  });
});

function tryDecode(bytes: Uint8Array): Signed<Withdrawal> | undefined {
  try {
    return decodeStatement(bytes, 'withdrawal');
  } catch (error) {
    expect(error).to.have.property('code').that.is.oneOf(['malformed', 'unsupported']);
    return undefined;
  }
}
