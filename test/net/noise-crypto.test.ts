import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { Uint8ArrayList } from 'uint8arraylist';
import { freeOnceRead } from '../../src/memory.ts';
import { noiseCrypto } from '../../src/net/noise-crypto.ts';

const NONCE = new Uint8Array(12);
const AD = new Uint8Array(0);

describe('noiseCrypto', () => {
  const key = randomBytes(32);
  const seal = (...parts: Uint8Array[]): Uint8Array => {
    const list = new Uint8ArrayList(...parts) as unknown as Parameters<typeof noiseCrypto.hashSHA256>[0];
    return noiseCrypto.chaCha20Poly1305Encrypt(list, NONCE, AD, key).subarray();
  };
  const open = (packet: Uint8Array): Uint8Array => {
    return noiseCrypto.chaCha20Poly1305Decrypt(packet.slice(), NONCE, AD, key).subarray();
  };
  const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

  /** Bytes in memory of their own. */
  const block = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

  it('frees what was given to be freed when its end is sealed, after the turn, and not before', async () => {
    const [first, second] = [block(1000), block(500)];
    const sent = Buffer.concat([first, second]);
    freeOnceRead(first);
    freeOnceRead(second);
    const packets = [seal(first.subarray(0, 400))];
    await turn();
    expect(first.length).to.equal(1000);
    packets.push(seal(first.subarray(400), second.subarray(0, 499)));
    expect(first.length, 'its views are still counted').to.equal(1000);
    await turn();
    expect([first.length, second.length]).to.deep.equal([0, 500]);
    packets.push(seal(second.subarray(499)));
    await turn();
    expect(second.length).to.equal(0);
    expect(Buffer.concat(packets.map(open)).equals(sent)).to.equal(true);
  });

  it('leaves all other memory alone', async () => {
    const kept = block(1000);
    const shared = new Uint8Array(kept.buffer, 0, 900);
    freeOnceRead(shared);
    seal(shared);
    seal(kept);
    await turn();
    expect(kept.length).to.equal(1000);
  });
});
