import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { encode } from '../../src/format/canonical.ts';
import { MAX_BLOCK_BYTES, MAX_NOTE_BYTES } from '../../src/limits.ts';
import { decodeNotice, encodeNoticeMessage } from '../../src/protocol/notice-messages.ts';
import {
  decodeStoreAnswer,
  decodeStoreRequest,
  encodeStoreMessage,
  STORE_REFUSALS,
  type StoreAnswer,
  type StoreRequest,
} from '../../src/protocol/store-messages.ts';

describe('messages of the store protocol', () => {
  const requests: StoreRequest[] = [{ type: 'ask', until: 1_800_000_000 }, { type: 'renew' }, { type: 'grant' }];
  const answers: [answer: StoreAnswer, bodyBytes: number][] = [
    [{ type: 'accept', until: 1_800_000_000 }, 0],
    [{ type: 'moved', bytes: 2 ** 40 }, 0],
    [{ type: 'receipt' }, 200],
    [{ type: 'stored' }, 0],
    ...STORE_REFUSALS.map((reason): [StoreAnswer, number] => [{ type: 'refuse', reason }, 0]),
    [{ type: 'refuse', reason: 'full', detail: 'the disk', retryAfter: 60 }, 0],
  ];

  it('are read as they were written', () => {
    for (const request of requests) expect(decodeStoreRequest(encodeStoreMessage(request), 1)).to.deep.equal(request);
    for (const [answer, bodyBytes] of answers)
      expect(decodeStoreAnswer(encodeStoreMessage(answer), bodyBytes)).to.deep.equal(answer);
  });

  it('have a block or statement behind them exactly where one belongs', () => {
    for (const request of requests)
      for (const bodyBytes of [0, MAX_BLOCK_BYTES + 1])
        expect(() => decodeStoreRequest(encodeStoreMessage(request), bodyBytes)).to.throw(
          ShoalError,
          'bytes behind it',
        );
    for (const [answer, bodyBytes] of answers)
      expect(() => decodeStoreAnswer(encodeStoreMessage(answer), bodyBytes === 0 ? 1 : 0)).to.throw(
        ShoalError,
        'behind it',
      );
  });

  const hostile: Record<string, unknown> = {
    'no map': [1],
    'without a type': { until: 1 },
    'of an unknown type': { type: 'give' },
    'of the other side': { type: 'accept', until: 1 },
    'with a time before 1970': { type: 'ask', until: -1 },
    'with a time that is not whole': { type: 'ask', until: 1.5 },
    'with a time that is text': { type: 'ask', until: '1' },
    'without its time': { type: 'ask' },
    'with a field too many': { type: 'renew', until: 1 },
    'with the name of what every object has': { type: 'constructor' },
  };
  for (const [how, message] of Object.entries(hostile))
    it(`from who asks are refused when one is ${how}`, () => {
      expect(() => decodeStoreRequest(encode(message), 1))
        .to.throw(ShoalError)
        .with.property('code', 'protocol');
    });

  const lies: Record<string, unknown> = {
    'of who asks': { type: 'ask', until: 1 },
    'with an unknown reason': { type: 'refuse', reason: 'mood' },
    'with a reason that is a number': { type: 'refuse', reason: 1 },
    'with too long a detail': { type: 'refuse', reason: 'full', detail: 'x'.repeat(MAX_NOTE_BYTES + 1) },
    'with a negative pause': { type: 'refuse', reason: 'busy', retryAfter: -1 },
    'with fewer bytes than none': { type: 'moved', bytes: -1 },
    'with a field too many': { type: 'stored', more: true },
  };
  for (const [how, message] of Object.entries(lies))
    it(`from a relay are refused when one is ${how}`, () => {
      expect(() => decodeStoreAnswer(encode(message), 0))
        .to.throw(ShoalError)
        .with.property('code', 'protocol');
    });

  it('are refused when their bytes are not canonical', () => {
    const header = encodeStoreMessage({ type: 'renew' });
    const longer = Uint8Array.of(...header, 0);
    expect(() => decodeStoreRequest(longer, 1))
      .to.throw(ShoalError)
      .with.property('code', 'protocol');
  });
});

describe('messages of the notice protocol', () => {
  const statement = Uint8Array.of(1, 2, 3);

  it('are read as they were written', () => {
    const notice = { type: 'withdrawal', statement } as const;
    expect(decodeNotice(encodeNoticeMessage(notice), 10)).to.deep.equal(notice);
  });

  const hostile: Record<string, [message: unknown, bodyBytes: number]> = {
    'without the block': [{ type: 'withdrawal', statement }, 0],
    'with too much behind it': [{ type: 'withdrawal', statement }, MAX_BLOCK_BYTES + 1],
    'of an unknown type': [{ type: 'appeal', statement }, 10],
    'without its statement': [{ type: 'withdrawal' }, 10],
    'with a statement that is text': [{ type: 'withdrawal', statement: 'abc' }, 10],
    'with a field too many': [{ type: 'withdrawal', statement, at: 1 }, 10],
  };
  for (const [how, [message, bodyBytes]] of Object.entries(hostile))
    it(`are refused when one is ${how}`, () => {
      expect(() => decodeNotice(encode(message), bodyBytes))
        .to.throw(ShoalError)
        .with.property('code', 'protocol');
    });
});
