/** Seals a file key into a grant with age, and opens it (format.md §7). Relays do not import this file. */
import { Decrypter, Encrypter } from 'age-encryption';
import { ShoalError, isShoalError } from '../errors.ts';
import { MAX_SEALED_BYTES, SCRYPT_LOG_N } from '../limits.ts';
import { addIdentity, isNoMatch, StanzaGate, type AgeKind, type AgeRecipients, type AgeSecrets } from './age.ts';
import { malformed } from './canonical.ts';
import type { Grant } from './grant.ts';
import { CID_BYTES, DAG_CBOR_CODEC, cidBytes, digestOf, sameBytes } from './ids.ts';
import { FILE_KEY_BYTES, fileKey, type FileKey } from './keys.ts';
import { kindOf } from './recipient.ts';

const WHAT = 'grant';

/**
 * The grant of `key` to `to`, complete but for its encoding. A passphrase costs about a second of computing.
 * @throws ShoalError `usage` when a recipient is none that the format has, kinds are mixed, or there are too many
 */
export async function sealGrant(key: FileKey, grant: Omit<Grant, 'sealed'>, to: AgeRecipients): Promise<Grant> {
  const encrypter = new Encrypter();
  if ('passphrase' in to) {
    encrypter.setPassphrase(to.passphrase.normalize('NFC'));
    encrypter.setScryptWorkFactor(SCRYPT_LOG_N);
  } else {
    if (to.recipients.length === 0) throw new ShoalError('usage', 'cannot seal grant: no recipient is given');
    // One recipient of the older kind would take from the others what theirs is for.
    if (new Set(to.recipients.map(kindOf)).size > 1) {
      throw new ShoalError(
        'usage',
        'cannot seal grant: post-quantum recipients (age1pq1…) are not mixed with others; make a grant for each kind',
      );
    }
    for (const recipient of to.recipients) encrypter.addRecipient(recipient);
  }
  const sealed = await encrypter.encrypt(sealedContent(key, grant)).catch((cause: unknown) => {
    throw new ShoalError('usage', 'cannot seal grant: a recipient is not a key that anything can be sealed to', {
      cause,
    });
  });
  if (sealed.length > MAX_SEALED_BYTES) {
    throw new ShoalError('usage', 'cannot seal grant: too many recipients; make several grants of the share');
  }
  return { ...grant, sealed };
}

/**
 * For what kinds of secret a grant was made. One that is made for a passphrase is made for nothing else.
 * @throws ShoalError `malformed` as by `openGrant`
 */
export async function kindsOf(grant: Pick<Grant, 'sealed'>): Promise<readonly AgeKind[]> {
  const decrypter = new Decrypter();
  const gate = new StanzaGate({}, WHAT);
  decrypter.addIdentity(gate);
  try {
    await decrypter.decrypt(grant.sealed);
  } catch (cause) {
    if (isShoalError(cause)) throw cause;
    if (!isNoMatch(cause)) throw malformed(WHAT, 'its sealed part is not a valid age file', { cause });
  }
  return gate.kinds;
}

/**
 * Opens a grant and compares what is sealed with what it says outside.
 * @throws ShoalError `wrong-key` when no identity fits or the passphrase is wrong, `usage` when an identity can't be read,
 *   `malformed` when it is not what format.md §7 allows, or someone changed it on its way
 */
export async function openGrant(grant: Grant, secrets: AgeSecrets): Promise<FileKey> {
  const decrypter = new Decrypter();
  const gate = new StanzaGate(secrets, WHAT);
  decrypter.addIdentity(gate);
  for (const identity of secrets.identities ?? []) addIdentity(decrypter, identity, 'cannot open grant');
  if (secrets.passphrase !== undefined) decrypter.addPassphrase(secrets.passphrase.normalize('NFC'));

  let content: Uint8Array;
  try {
    content = await decrypter.decrypt(grant.sealed);
  } catch (cause) {
    if (isShoalError(cause)) throw cause;
    if (isNoMatch(cause)) throw gate.wrongKey(cause);
    throw malformed(WHAT, 'its sealed part is not a valid age file', { cause });
  }
  if (content.length !== CONTENT_BYTES)
    throw malformed(WHAT, `${content.length} bytes are sealed in it instead of ${CONTENT_BYTES}`);
  const key = fileKey(content.slice(0, FILE_KEY_BYTES));
  if (!sameBytes(content, sealedContent(key, grant))) {
    throw malformed(WHAT, 'what is sealed in it is not what it says outside; someone changed it');
  }
  return key;
}

const OWNER_BYTES = 32;
const CONTENT_BYTES = FILE_KEY_BYTES + CID_BYTES + OWNER_BYTES + 8;

/** `K || binary share CID || owner || uint64(expires, 0 if absent)` */
function sealedContent(key: FileKey, { share, owner, expires }: Omit<Grant, 'sealed'>): Uint8Array {
  const content = new Uint8Array(CONTENT_BYTES);
  content.set(key);
  content.set(cidBytes(DAG_CBOR_CODEC, digestOf(share)), FILE_KEY_BYTES);
  content.set(owner, FILE_KEY_BYTES + CID_BYTES);
  new DataView(content.buffer).setBigUint64(CONTENT_BYTES - 8, BigInt(expires ?? 0));
  return content;
}
