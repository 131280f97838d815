import { expect } from 'chai';
import { isShoalError } from '../../src/errors.ts';
import {
  MAX_RELAY_ADDRESS_CHARS,
  MAX_RELAY_ADDRESSES,
  MAX_RELAY_LINE_CHARS,
  MAX_RELAY_LISTS,
  MAX_RELAY_TEXT_CHARS,
} from '../../src/limits.ts';
import { readRelayInfo } from '../../src/protocol/relay-info.ts';
import { INFO, OTHER_PEER, PEER } from '../relay/document.ts';

const LIMITS = INFO.limits.anonymous!;
const [ADDRESS = ''] = INFO.addresses;

/** As it comes over the wire. */
const wire = (changes: object = {}): unknown => JSON.parse(JSON.stringify({ ...INFO, ...changes }));

function refusal(document: unknown): { readonly code: string; readonly message: string } {
  try {
    readRelayInfo(document);
  } catch (error) {
    if (isShoalError(error)) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe("a relay's document", () => {
  it('is read as it was written', () => {
    expect(readRelayInfo(wire())).to.deep.equal(INFO);
  });

  it('needs neither operator, contact nor terms, and may follow no list', () => {
    const { operator, contact, terms, ...rest } = INFO;
    expect([operator, contact, terms]).not.to.include(undefined);
    expect(readRelayInfo({ ...rest, lists: [] })).to.deep.equal({ ...rest, lists: [] });
  });

  it('may have keys and tiers that this program does not know, which are passed over', () => {
    const more = wire({
      motto: 'x',
      roles: { ...INFO.roles, oracle: 7 },
      limits: { anonymous: { ...LIMITS, wishes: 3 }, friend: 'all' },
    });
    expect(readRelayInfo(more)).to.deep.equal(INFO);
    const prototype = JSON.parse(JSON.stringify(INFO).replace('{', '{"__proto__":{"operator":"x"},')) as unknown;
    expect(readRelayInfo(prototype)).to.deep.equal(INFO);
  });

  it('does not take what objects inherit for what stands in it', () => {
    expect(refusal(Object.create(INFO) as unknown).message).to.include('"shoal"');
  });

  it('of another version is for another program', () => {
    const { code, message } = refusal(wire({ shoal: 2 }));
    expect([code, message]).to.deep.equal([
      'unsupported',
      'cannot read what the relay tells of itself: it is version 2, and this program knows 1; is there a newer one?',
    ]);
  });

  it('comes back with its texts escaped', () => {
    const { name, lists } = readRelayInfo(wire({ name: 'a\u001b[2Jb\u202ec', lists: ['\u0007'] }));
    expect([name, lists]).to.deep.equal(['a\\u{1b}[2Jb\\u{202e}c', ['\\u{7}']]);
  });

  const long = (chars: number): string => 'x'.repeat(chars + 1);
  const hostile: readonly (readonly [what: string, document: unknown, why: string])[] = [
    ['null', null, 'the document: it is no object'],
    ['a list', [INFO], 'the document: it is no object'],
    ['a text', 'relay', 'the document: it is no object'],
    ['without a version', wire({ shoal: undefined }), '"shoal": it is no number'],
    ['whose version is a text', wire({ shoal: '1' }), '"shoal": it is no number'],
    ['without a name', wire({ name: undefined }), '"name": it is no text'],
    ['with an empty name', wire({ name: ' \n' }), '"name": it is empty'],
    ['with a long name', wire({ name: long(MAX_RELAY_LINE_CHARS) }), '"name": it has more than'],
    ['whose operator is null', wire({ operator: null }), '"operator": it is no text'],
    ['whose contact is a list', wire({ contact: ['x'] }), '"contact": it is no text'],
    ['with long terms', wire({ terms: long(MAX_RELAY_LINE_CHARS) }), '"terms": it has more than'],
    ['whose version of the program is a number', wire({ version: 1 }), '"version": it is no text'],
    ['without a peer', wire({ peer: undefined }), '"peer": it is no text'],
    ['whose peer is none', wire({ peer: 'relay' }), '"peer": "/p2p/relay" is no multiaddr'],
    ['whose peer is a path', wire({ peer: `${OTHER_PEER}/p2p/${PEER}` }), '"peer":'],
    ['whose addresses are a text', wire({ addresses: ADDRESS }), '"addresses": it is no list'],
    ['without addresses', wire({ addresses: [] }), '"addresses": there is none'],
    [
      'with too many addresses',
      wire({ addresses: Array(MAX_RELAY_ADDRESSES + 1).fill(ADDRESS) }),
      `"addresses": it has ${MAX_RELAY_ADDRESSES + 1} entries`,
    ],
    ['with an address that is a number', wire({ addresses: [ADDRESS, 1] }), 'address 1: it is no text'],
    [
      'with an address that is none',
      wire({ addresses: ['/ip4/127.0.0/tcp/1'] }),
      'address 0: "/ip4/127.0.0/tcp/1" is no',
    ],
    [
      'with an address of a name alone',
      wire({ addresses: ['relay.example'] }),
      'address 0: "relay.example" is no multiaddr',
    ],
    ['with an address without peer', wire({ addresses: ['/ip4/127.0.0.1/tcp/1'] }), 'address 0:'],
    [
      'with an address of another peer',
      wire({ addresses: [ADDRESS, `/ip4/127.0.0.1/tcp/1/p2p/${OTHER_PEER}`] }),
      'address 1: it ends in another peer id',
    ],
    [
      'with a long address',
      wire({ addresses: [`/dns4/${long(MAX_RELAY_ADDRESS_CHARS)}/p2p/${PEER}`] }),
      'address 0: it has more than',
    ],
    ['without roles', wire({ roles: undefined }), '"roles": it is no object'],
    ['with a role that is a number', wire({ roles: { ...INFO.roles, store: 1 } }), 'role "store": it is neither'],
    ['with a role less', wire({ roles: { ...INFO.roles, dht: undefined } }), 'role "dht": it is neither'],
    ['without limits', wire({ limits: undefined }), '"limits": it is no object'],
    ['with limits of nobody', wire({ limits: { friend: LIMITS } }), '"limits": there is none of anonymous'],
    ['with limits that are a number', wire({ limits: { anonymous: 7 } }), 'the limits of "anonymous": it is no object'],
    ...[-1, 0.5, '7', null, 2 ** 53].map(
      leases =>
        [
          `with ${JSON.stringify(leases)} leases`,
          wire({ limits: { anonymous: LIMITS, token: { ...LIMITS, leases } } }),
          'limit "leases" of "token": it is no whole number',
        ] as const,
    ),
    ['without a word on what is kept', wire({ retention: undefined }), '"retention": it is no text'],
    ['with many words on that', wire({ retention: long(MAX_RELAY_TEXT_CHARS) }), '"retention": it has more than'],
    ['without lists', wire({ lists: undefined }), '"lists": it is no list'],
    ['with too many lists', wire({ lists: Array(MAX_RELAY_LISTS + 1).fill('x') }), '"lists": it has'],
    ['with a list that is none', wire({ lists: ['x', {}] }), 'list 1: it is no text'],
  ];
  for (const [what, document, why] of hostile) {
    it(`${what} is refused, by the field that is wrong`, () => {
      const { code, message } = refusal(document);
      expect(code).to.equal('protocol');
      expect(message).to.match(/^cannot read what the relay tells of itself: .+; its operator has to mend that$/);
      expect(message).to.include(why);
    });
  }

  it('can not bring its own control characters into a message', () => {
    const { message } = refusal(wire({ addresses: ['/ip4/\u001b[2J'] }));
    expect(message).not.to.include('\u001b');
  });
});
