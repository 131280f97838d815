import { encode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_REFUSAL_CHARS, MAX_TOKEN_CHARS } from '../../src/limits.ts';
import {
  decodeAdmissionAnswer,
  decodePresented,
  encodeAdmission,
  type AdmissionRefusal,
  type Admitted,
  type Presented,
} from '../../src/protocol/admission-messages.ts';

const uint = fc.nat(Number.MAX_SAFE_INTEGER);
const presented: fc.Arbitrary<Presented> = fc.record({
  type: fc.constant('present' as const),
  token: fc.string({ maxLength: MAX_TOKEN_CHARS }),
});
const admitted: fc.Arbitrary<Admitted> = fc.record({
  type: fc.constant('admitted' as const),
  tier: fc.constantFrom('anonymous', 'token', 'operator' as const),
  until: uint,
  storedBytes: uint,
  leaseSeconds: uint,
});
const refused = fc.record(
  {
    type: fc.constant('refuse' as const),
    reason: fc.constantFrom('bad-token', 'expired', 'revoked', 'busy' as const),
    detail: fc.string({ maxLength: MAX_REFUSAL_CHARS }),
    retryAfter: uint,
  },
  { requiredKeys: ['type', 'reason'] },
) as fc.Arbitrary<AdmissionRefusal>;

describe('messages of admission', () => {
  it('come back as they were sent', () => {
    fc.assert(
      fc.property(presented, message => {
        expect(decodePresented(encodeAdmission(message), 0)).to.deep.equal(message);
      }),
    );
    fc.assert(
      fc.property(fc.oneof(admitted, refused), message => {
        expect(decodeAdmissionAnswer(encodeAdmission(message), 0)).to.deep.equal({ ...message });
      }),
    );
  });

  it('fail with a ShoalError of code protocol, or are right, whatever the bytes are', () => {
    const any = fc.oneof(presented, admitted, refused);
    const mutated = fc
      .tuple(any, fc.array(fc.tuple(uint, fc.nat(255)), { minLength: 1, maxLength: 4 }))
      .map(([message, changes]) => {
        const header = encodeAdmission(message);
        for (const [at, byte] of changes) header[at % header.length] = byte;
        return header;
      });
    const cut = fc.tuple(any, uint).map(([message, length]) => {
      const header = encodeAdmission(message);
      return header.subarray(0, length % header.length);
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated, cut), fc.nat(1), (header, body) => {
        for (const decode of [decodePresented, decodeAdmissionAnswer]) {
          try {
            decode(header, body);
          } catch (error) {
            expect(error).to.include({ name: 'ShoalError', code: 'protocol' });
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  const good = { type: 'admitted', tier: 'token', until: 1, storedBytes: 2, leaseSeconds: 3 };
  const hostile: Record<string, [decode: (header: Uint8Array) => unknown, message: unknown, why: string]> = {
    'a token that is too long': [
      header => decodePresented(header, 0),
      { type: 'present', token: 'x'.repeat(MAX_TOKEN_CHARS + 1) },
      'its token has 513 characters',
    ],
    'a token that is bytes': [
      header => decodePresented(header, 0),
      { type: 'present', token: new Uint8Array(3) },
      '"token" is not text',
    ],
    'a request with a field too many': [
      header => decodePresented(header, 0),
      { type: 'present', token: 'x', tier: 'operator' },
      'which the format does not list',
    ],
    'an answer where a request is due': [header => decodePresented(header, 0), good, 'its type is unknown'],
    'a request where an answer is due': [
      header => decodeAdmissionAnswer(header, 0),
      { type: 'present', token: 'x' },
      'its type is unknown',
    ],
    'bytes behind it': [header => decodePresented(header, 1), { type: 'present', token: 'x' }, '1 bytes behind it'],
    'a tier that is none': [
      header => decodeAdmissionAnswer(header, 0),
      { ...good, tier: 'root' },
      'its tier is unknown',
    ],
    'a quota that is negative': [
      header => decodeAdmissionAnswer(header, 0),
      { ...good, storedBytes: -1 },
      'is not an unsigned integer',
    ],
    'a reason that is none': [
      header => decodeAdmissionAnswer(header, 0),
      { type: 'refuse', reason: 'constructor' },
      'its reason is unknown',
    ],
    'a detail that is too long': [
      header => decodeAdmissionAnswer(header, 0),
      { type: 'refuse', reason: 'busy', detail: 'x'.repeat(MAX_REFUSAL_CHARS + 1) },
      'its detail has 257 characters',
    ],
    'no map': [header => decodeAdmissionAnswer(header, 0), null, 'its type is unknown'],
  };
  for (const [name, [decode, message, why]] of Object.entries(hostile)) {
    it(`are refused with ${name}`, () => {
      expect(() => decode(encode(message)))
        .to.throw(why)
        .with.property('code', 'protocol');
    });
  }
});
