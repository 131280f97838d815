import { createHmac } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';
import { expect } from 'chai';
import { idOf, multihashOf } from '../../src/format/ids.ts';
import { proofOf, proves } from '../../src/protocol/proof.ts';

const peer = (n: number): string =>
  base58btc.baseEncode(Uint8Array.from([0, 36, 8, 1, 18, 32, ...Array.from({ length: 32 }, () => n)]));
const [asker, server, other] = [peer(1), peer(2), peer(3)];
const id = idOf(new Uint8Array(32).fill(7));

describe('a proof', () => {
  it('is what protocol.md says, computed by another implementation', () => {
    const hmac = createHmac('sha256', multihashOf(id));
    hmac.update('shoal/1/hello').update(base58btc.baseDecode(asker)).update(base58btc.baseDecode(server));
    const expected = hmac.digest('hex');
    expect(Buffer.from(proofOf(id, asker, server)).toString('hex')).to.equal(expected);
  });

  it('has the value that it has always had', () => {
    expect(Buffer.from(proofOf(id, asker, server)).toString('hex')).to.equal(
      '884e4ff6522486aaa105e8d28938f97d9b3d66d85ec5dbd2b1dab93cb506642e',
    );
  });

  it('is good for this id and this pair of peers only', () => {
    const proof = proofOf(id, asker, server);
    expect(proves(proof, id, asker, server)).to.equal(true);
    expect(proves(proof, id, server, asker), 'sent back').to.equal(false);
    expect(proves(proof, id, other, server), 'passed on by another').to.equal(false);
    expect(proves(proof, id, asker, other), 'shown to another').to.equal(false);
    expect(proves(proof, idOf(new Uint8Array(32).fill(8)), asker, server)).to.equal(false);
    for (let bit = 0; bit < 256; bit++) {
      const wrong = proof.slice();
      wrong[bit >> 3]! ^= 1 << (bit & 7);
      expect(proves(wrong, id, asker, server)).to.equal(false);
    }
    expect(proves(proof.subarray(0, 31), id, asker, server)).to.equal(false);
    expect(proves(new Uint8Array(), id, asker, server)).to.equal(false);
  });
});
