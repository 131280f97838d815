/** The grant block: a file key sealed to chosen recipients (format.md §7). Opening it is grant-seal.ts's matter. */
import { MAX_BLOCK_BYTES, MAX_SEALED_BYTES } from '../limits.ts';
import { bytesField, decodeTyped, encode, fieldsOf, linkField, malformed, uintField } from './canonical.ts';
import { DAG_CBOR_CODEC, blockCid, digestOf, idOf, sha256, type BlockId } from './ids.ts';
import { expiresField, ownerField } from './share-block.ts';

export interface Grant {
  readonly share: BlockId;
  /** Ed25519 public key of whoever made the grant, 32 bytes; fresh for each grant. */
  readonly owner: Uint8Array;
  /** A binary age file. */
  readonly sealed: Uint8Array;
  /** Unix seconds, a full hour. */
  readonly expires?: number;
}

const WHAT = 'grant';

/** @throws ShoalError `unsupported` for another version; `malformed` for anything that format.md §7 does not allow */
export function decodeGrant(bytes: Uint8Array): Grant {
  if (bytes.length > MAX_BLOCK_BYTES)
    throw malformed(WHAT, `it has ${bytes.length} bytes, at most ${MAX_BLOCK_BYTES} are allowed`);
  const fields = fieldsOf(
    decodeTyped(bytes, WHAT, 'grant'),
    WHAT,
    ['type', 'version', 'share', 'owner', 'sealed'],
    ['expires'],
  );
  const sealed = bytesField(fields, 'sealed', WHAT);
  if (sealed.length > MAX_SEALED_BYTES) {
    throw malformed(WHAT, `"sealed" has ${sealed.length} bytes, at most ${MAX_SEALED_BYTES} are allowed`);
  }
  return {
    share: idOf(linkField(fields, 'share', WHAT, DAG_CBOR_CODEC)),
    owner: ownerField(bytesField(fields, 'owner', WHAT, 32), WHAT),
    sealed,
    ...('expires' in fields ? { expires: expiresField(uintField(fields, 'expires', WHAT), WHAT) } : {}),
  };
}

export function encodeGrant({ share, owner, sealed, expires }: Grant): { id: BlockId; bytes: Uint8Array } {
  const bytes = encode({
    type: 'grant',
    version: 1,
    share: blockCid(digestOf(share)),
    owner,
    sealed,
    ...(expires === undefined ? {} : { expires }),
  });
  return { id: idOf(sha256(bytes)), bytes };
}
