import { expect } from 'chai';
import { proquints } from '../../src/format/proquint.ts';

describe('Proquints', () => {
  it('are those of the paper, for addresses', () => {
    expect(proquints(Uint8Array.of(127, 0, 0, 1))).to.equal('lusab-babad');
    expect(proquints(Uint8Array.of(63, 84, 220, 193))).to.equal('gutih-tugad');
    expect(proquints(Uint8Array.of(212, 58, 253, 68))).to.equal('tibup-zujah');
    expect(proquints(Uint8Array.of(140, 98, 193, 141))).to.equal('mudof-sakat');
  });

  it('differ for all that 16 bits can be', () => {
    const all = Array.from({ length: 65_536 }, (_, n) => proquints(Uint8Array.of(n >> 8, n & 255)));
    expect(new Set(all).size).to.equal(65_536);
    expect(all.every(one => /^[^aiou][aiou][^aiou][aiou][^aiou]$/.test(one))).to.equal(true);
  });

  it('are of the bytes of a part of a buffer', () => {
    expect(proquints(Uint8Array.of(9, 127, 0, 0, 1, 9).subarray(1, 5))).to.equal('lusab-babad');
    expect(proquints(new Uint8Array(0))).to.equal('');
  });
});
