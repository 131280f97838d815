/** Signed statements about a share or grant (format.md §9). */
import { ed25519 } from '@noble/curves/ed25519.js';
import { MAX_BLOCK_BYTES } from '../limits.ts';
import {
  bytesField,
  decodeTyped,
  encode,
  fieldsOf,
  linkField,
  malformed,
  peekHeader,
  textField,
  uintField,
} from './canonical.ts';
import { decodeGrant } from './grant.ts';
import { DAG_CBOR_CODEC, blockCid, digestOf, idOf, sameBytes, sha256, type BlockId } from './ids.ts';
import { decodeShareBlock } from './share-block.ts';

/** By the owner: nobody is to serve what `id` names any more. `at`, in unix seconds, only informs. */
export interface Withdrawal {
  readonly type: 'withdrawal';
  readonly id: BlockId;
  readonly at: number;
}

/** By the owner: the lease at a relay (its binary peer id) is to run until a later time, in unix seconds. */
export interface Renewal {
  readonly type: 'renewal';
  readonly id: BlockId;
  readonly relay: Uint8Array;
  readonly until: number;
}

/** By the owner: against a decision of a relay. */
export interface Appeal {
  readonly type: 'appeal';
  readonly id: BlockId;
  readonly relay: Uint8Array;
  readonly case: string;
  readonly text: string;
  readonly at: number;
}

/** By a relay's peer key: it holds `size` bytes of `id` until then. Times are unix seconds. */
export interface Receipt {
  readonly type: 'receipt';
  readonly id: BlockId;
  readonly size: number;
  readonly at: number;
  readonly until: number;
  readonly relay: Uint8Array;
}

export type Statement = Withdrawal | Renewal | Appeal | Receipt;
export type StatementType = Statement['type'];
export type StatementOf<T extends StatementType> = Extract<Statement, { readonly type: T }>;
/** A statement with its Ed25519 signature of 64 bytes, which is not yet checked. */
export type Signed<S extends Statement = Statement> = S & { readonly signature: Uint8Array };

/** Signs a statement. @param seed the Ed25519 secret of the owner or, for a receipt, of the relay's peer key: 32 bytes */
export function signStatement<S extends Statement>(statement: S, seed: Uint8Array): Signed<S> {
  return { ...statement, signature: ed25519.sign(signedBytes(statement), seed) };
}

export function encodeStatement(statement: Signed): Uint8Array {
  return encode({ ...unsigned(statement), signature: statement.signature });
}

const FIELDS: Record<StatementType, readonly string[]> = {
  withdrawal: ['at'],
  renewal: ['relay', 'until'],
  appeal: ['relay', 'case', 'text', 'at'],
  receipt: ['size', 'at', 'until', 'relay'],
};

/**
 * Reads a statement of one type. Its signature is not checked by this.
 * @throws ShoalError `unsupported` for another version; `malformed`
 */
export function decodeStatement<T extends StatementType>(bytes: Uint8Array, type: T): Signed<StatementOf<T>>;
export function decodeStatement(bytes: Uint8Array, type: StatementType): Signed {
  if (bytes.length > MAX_BLOCK_BYTES)
    throw malformed(type, `it has ${bytes.length} bytes, at most ${MAX_BLOCK_BYTES} are allowed`);
  const fields = fieldsOf(decodeTyped(bytes, type, type), type, [
    'type',
    'version',
    'id',
    'signature',
    ...FIELDS[type],
  ]);
  const id = idOf(linkField(fields, 'id', type, DAG_CBOR_CODEC));
  const signature = bytesField(fields, 'signature', type, SIGNATURE_BYTES);
  const uint = (key: string): number => uintField(fields, key, type);
  const relay = (): Uint8Array => bytesField(fields, 'relay', type);
  switch (type) {
    case 'withdrawal':
      return { type, id, at: uint('at'), signature };
    case 'renewal':
      return { type, id, relay: relay(), until: uint('until'), signature };
    case 'appeal': {
      const text = textField(fields, 'text', type);
      return { type, id, relay: relay(), case: textField(fields, 'case', type), text, at: uint('at'), signature };
    }
    case 'receipt':
      return { type, id, size: uint('size'), at: uint('at'), until: uint('until'), relay: relay(), signature };
  }
}

/**
 * Whether the owner of `block` made the statement, and `block` (the bytes of a share block or grant) is what it names. A
 * receipt is not an owner's: see `verifyReceipt`.
 */
export function verifyOwnerStatement(statement: Signed<Withdrawal | Renewal | Appeal>, block: Uint8Array): boolean {
  if (!sameBytes(sha256(block), digestOf(statement.id))) return false;
  return verifySignature(statement, ownerInBlock(block));
}

/** Whether the relay that a receipt names made it: its Ed25519 key is in its peer id. */
export function verifyReceipt(receipt: Signed<Receipt>): boolean {
  const key = keyInPeerId(receipt.relay);
  return key !== undefined && verifySignature(receipt, key);
}

/** Whether `publicKey` made the signature: RFC 8032, strict (canonical encodings only, no key of small order). */
export function verifySignature(statement: Signed, publicKey: Uint8Array): boolean {
  return ed25519.verify(statement.signature, signedBytes(statement), publicKey, { zip215: false });
}

const SIGNATURE_BYTES = 64;

function signedBytes(statement: Statement): Uint8Array {
  const prefix = new TextEncoder().encode(`shoal/1/${statement.type}`);
  const body = encode(unsigned(statement));
  const bytes = new Uint8Array(prefix.length + body.length);
  bytes.set(prefix);
  bytes.set(body, prefix.length);
  return bytes;
}

function unsigned(statement: Statement): Record<string, unknown> {
  const body: Record<string, unknown> = { ...statement, version: 1, id: blockCid(digestOf(statement.id)) };
  delete body['signature'];
  return body;
}

/** The owner's public key in a share block or grant. @throws ShoalError `malformed`, `unsupported` */
function ownerInBlock(block: Uint8Array): Uint8Array {
  return peekHeader(block).type === 'grant' ? decodeGrant(block).owner : decodeShareBlock(block).owner;
}

/** Identity multihash of 36 bytes, protobuf: key type Ed25519, key of 32 bytes. */
const ED25519_PEER_ID = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20);

/** The Ed25519 public key in a binary peer id; undefined where it holds another kind of key, or only a hash of one. */
function keyInPeerId(peerId: Uint8Array): Uint8Array | undefined {
  const key = peerId.subarray(ED25519_PEER_ID.length);
  const prefix = peerId.subarray(0, ED25519_PEER_ID.length);
  return key.length === 32 && sameBytes(prefix, ED25519_PEER_ID) ? key : undefined;
}
