/** How an asker shows that it knows a share id without sending it (protocol.md, Proof). */
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { base58btc } from 'multiformats/bases/base58';
import { multihashOf, sameBytes, type BlockId } from '../format/ids.ts';

const LABEL = new TextEncoder().encode('shoal/1/hello');

/**
 * `HMAC-SHA-256(multihash of id, "shoal/1/hello" || asker || server)`, 32 bytes. Bound to both peer ids, so that who
 * receives it can't use it elsewhere.
 * @param asker peer id as text, as is `server`
 */
export function proofOf(id: BlockId, asker: string, server: string): Uint8Array {
  return hmac.create(sha256, multihashOf(id)).update(LABEL).update(peerBytes(asker)).update(peerBytes(server)).digest();
}

/** Whether `proof` is `asker`'s proof towards `server` that it knows `id`; constant time. */
export function proves(proof: Uint8Array, id: BlockId, asker: string, server: string): boolean {
  return sameBytes(proof, proofOf(id, asker, server));
}

/** A peer id's bytes (a multihash) from its text, base58btc without a multibase prefix. */
export function peerBytes(peer: string): Uint8Array {
  return base58btc.baseDecode(peer);
}
