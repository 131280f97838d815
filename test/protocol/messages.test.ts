import { encode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_BLOCK_BYTES, MAX_HEADER_BYTES, MAX_NOTE_BYTES, MAX_RANGE_NUMBERS } from '../../src/limits.ts';
import {
  decodeAskerMessage,
  decodeServerMessage,
  encodeMessage,
  type AskerMessage,
  type ServerMessage,
} from '../../src/protocol/messages.ts';
import { rangesOf } from '../../src/protocol/ranges.ts';

const ranges = fc.uniqueArray(fc.nat(100)).map(list => rangesOf(list.sort((a, b) => a - b)));
const stream = fc.constantFrom('manifest' as const, 'data' as const);
const blocks = { kind: fc.constantFrom('chunk' as const, 'index' as const), stream, ranges };
const uint = fc.nat(Number.MAX_SAFE_INTEGER);
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });

const fromAsker: fc.Arbitrary<AskerMessage> = fc.oneof(
  fc.record({ type: fc.constant('hello' as const), key: bytes(36), proof: bytes(32) }),
  fc.record({ type: fc.constantFrom('get' as const, 'cancel' as const), ...blocks }),
  fc.record({ type: fc.constant('bye' as const) }),
  fc.record({ type: fc.constant('bye' as const), complete: fc.constant(true as const) }),
);
const fromServer: fc.Arbitrary<ServerMessage> = fc.oneof(
  fc.record({
    type: fc.constant('hello' as const),
    have: fc.oneof(fc.constant('all' as const), fc.record({ manifest: ranges, data: ranges })),
    credit: uint,
  }),
  fc.record(
    {
      type: fc.constant('refuse' as const),
      reason: fc.constantFrom('unknown', 'blocked', 'withdrawn', 'expired', 'changed', 'busy', 'over-quota' as const),
      detail: fc.string({ maxLength: 100 }),
      until: uint,
      retryAfter: uint,
    },
    { requiredKeys: ['type', 'reason'] },
  ) as fc.Arbitrary<ServerMessage>,
  fc.record({ type: fc.constant('block' as const), kind: blocks.kind, stream, index: uint }),
  fc.record({ type: fc.constant('lacks' as const), ...blocks }),
  fc.record({ type: fc.constant('have' as const), stream, ranges }),
);

describe('messages', () => {
  it('come back as they were sent', () => {
    fc.assert(
      fc.property(fromAsker, message => {
        expect(decodeAskerMessage(encodeMessage(message), 0)).to.deep.equal(message);
      }),
    );
    fc.assert(
      fc.property(fromServer, message => {
        expect(decodeServerMessage(encodeMessage(message), 0)).to.deep.equal({ ...message });
      }),
    );
  });

  it('fail with a ShoalError of code protocol, or are right, whatever the bytes are', () => {
    const garbage = fc.uint8Array({ maxLength: 200 });
    const mutated = fc
      .tuple(fc.oneof(fromAsker, fromServer), fc.array(fc.tuple(uint, fc.nat(255)), { minLength: 1, maxLength: 4 }))
      .map(([message, changes]) => {
        const header = encodeMessage(message);
        for (const [at, byte] of changes) header[at % header.length] = byte;
        return header;
      });
    const cut = fc
      .tuple(fc.oneof(fromAsker, fromServer), uint)
      .map(([message, length]) => encodeMessage(message).subarray(0, length % encodeMessage(message).length));
    fc.assert(
      fc.property(fc.oneof(garbage, mutated, cut), fc.nat(3), (header, body) => {
        for (const decode of [decodeAskerMessage, decodeServerMessage]) {
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

  const get = { type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 1] };
  const hello = { type: 'hello', have: 'all', credit: 1 };
  const hostileAsker: Record<string, unknown> = {
    'of an unknown type': { ...get, type: 'give' },
    'without a type': { kind: 'chunk' },
    'that is no map': ['get'],
    'that is null': null,
    'of a server': hello,
    'with a field too many': { ...get, priority: 1 },
    'with a field missing': { type: 'get', kind: 'chunk', stream: 'data' },
    'of an unknown kind': { ...get, kind: 'share' },
    'of an unknown stream': { ...get, stream: 'keys' },
    'with ranges that are bytes': { ...get, ranges: new Uint8Array(2) },
    'with too many ranges': {
      ...get,
      ranges: Array.from({ length: MAX_RANGE_NUMBERS + 2 }, (_, n) => (n % 2 ? 1 : n)),
    },
    'with a short proof': { type: 'hello', key: new Uint8Array(36), proof: new Uint8Array(31) },
    'with a long key': { type: 'hello', key: new Uint8Array(37), proof: new Uint8Array(32) },
    'with a proof that is text': { type: 'hello', key: new Uint8Array(36), proof: 'x'.repeat(32) },
    'with a flag that is false': { type: 'bye', complete: false },
    'with the name of what every object has': { ...get, type: 'constructor' },
  };
  for (const [name, message] of Object.entries(hostileAsker)) {
    it(`from an asker are refused when one is ${name}`, () => {
      expect(() => decodeAskerMessage(encode(message), 0))
        .to.throw()
        .with.property('code', 'protocol');
    });
  }

  const hostileServer: Record<string, unknown> = {
    'of an unknown type': { ...hello, type: 'hi' },
    'of an asker': get,
    'with a holding of another kind': { ...hello, have: 'most' },
    'with a holding of one stream only': { ...hello, have: { data: [] } },
    'with a third stream': { ...hello, have: { data: [], manifest: [], keys: [] } },
    'with a negative credit': { ...hello, credit: -1 },
    'with a credit that is not whole': { ...hello, credit: 1.5 },
    'with an unknown reason': { type: 'refuse', reason: 'mood' },
    'with a reason that is a number': { type: 'refuse', reason: 1 },
    'with too long a detail': { type: 'refuse', reason: 'busy', detail: 'x'.repeat(MAX_NOTE_BYTES + 1) },
    'with a negative index': { type: 'block', kind: 'chunk', stream: 'data', index: -1 },
    'with a field too many': { type: 'have', stream: 'data', ranges: [], kind: 'chunk' },
  };
  for (const [name, message] of Object.entries(hostileServer)) {
    it(`from a server are refused when one is ${name}`, () => {
      expect(() => decodeServerMessage(encode(message), 0))
        .to.throw()
        .with.property('code', 'protocol');
    });
  }

  it('have bytes behind them only where a block may be', () => {
    fc.assert(
      fc.property(fromServer, message => {
        const decode = (): unknown => decodeServerMessage(encodeMessage(message), 1);
        if (message.type === 'hello' || message.type === 'block') decode();
        else expect(decode).to.throw().with.property('code', 'protocol');
      }),
    );
    fc.assert(
      fc.property(fromAsker, message => {
        expect(() => decodeAskerMessage(encodeMessage(message), 1))
          .to.throw()
          .with.property('code', 'protocol');
      }),
    );
    const block = encodeMessage({ type: 'block', kind: 'chunk', stream: 'data', index: 0 });
    decodeServerMessage(block, MAX_BLOCK_BYTES);
    expect(() => decodeServerMessage(block, MAX_BLOCK_BYTES + 1))
      .to.throw()
      .with.property('code', 'protocol');
  });

  it('fit into a header, however large', () => {
    const most = Array.from({ length: MAX_RANGE_NUMBERS }, (_, n) => (n % 2 ? 1 : Number.MAX_SAFE_INTEGER - 9999 + n));
    const header = encodeMessage({ type: 'hello', have: { manifest: most, data: most }, credit: 2 ** 50 });
    expect(header.length).to.be.at.most(MAX_HEADER_BYTES);
    expect(decodeServerMessage(header, 0)).to.deep.include({ have: { manifest: most, data: most } });
  });
});
