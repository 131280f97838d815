/** Seals a backup with age as it is made, and opens one as it is read. Relays do not import this file. */
import { Decrypter, Encrypter } from 'age-encryption';
import { isShoalError, ShoalError } from '../errors.ts';
import { SCRYPT_LOG_N } from '../limits.ts';
import { addIdentity, addRecipients, isNoMatch, StanzaGate, type AgeRecipients, type AgeSecrets } from './age.ts';
import { BACKUP } from './backup.ts';
import { malformed } from './canonical.ts';

/** How an age file begins, and one that was sealed to a passphrase: its first stanza is its only one. */
const AGE = 'age-encryption.org/v1\n';
const FOR_PASSPHRASE = `${AGE}-> scrypt `;
/** Bytes of a file that `sealedTo` has to see. */
export const SEAL_HEAD_BYTES = FOR_PASSPHRASE.length;

/** What a file is opened with that begins like this. @throws ShoalError `malformed` when it is no age file */
export function sealedTo(head: Uint8Array): 'passphrase' | 'recipients' {
  const text = new TextDecoder().decode(head.subarray(0, SEAL_HEAD_BYTES));
  if (text === FOR_PASSPHRASE) return 'passphrase';
  if (text.startsWith(AGE)) return 'recipients';
  throw noAgeFile();
}

function noAgeFile(cause?: unknown): ShoalError {
  return malformed(BACKUP, 'it is not a valid age file; is it the right one, and all of it?', { cause });
}

/**
 * @returns the sealed bytes, as `content` comes
 * @throws ShoalError `usage` when a recipient is none that can be sealed to; while reading, what `content` throws
 */
export async function sealBackup(
  content: AsyncIterable<Uint8Array>,
  to: AgeRecipients,
): Promise<AsyncIterable<Uint8Array>> {
  const encrypter = new Encrypter();
  if ('passphrase' in to) {
    encrypter.setPassphrase(to.passphrase.normalize('NFC'));
    encrypter.setScryptWorkFactor(SCRYPT_LOG_N);
  } else addRecipients(encrypter, to.recipients, 'cannot seal backup', 'make a backup for each kind');
  return await encrypter.encrypt(streamOf(content)).catch((cause: unknown) => {
    throw new ShoalError('usage', 'cannot seal backup: a recipient is not a key that anything can be sealed to', {
      cause,
    });
  });
}

/**
 * @returns what is sealed, as `sealed` comes; it is all of it, and as it was made, only where reading comes to its end
 * @throws ShoalError `wrong-key` when no identity fits or the passphrase is wrong, `usage` when an identity can't be read,
 *   `malformed` when it is no such file; while reading `corrupt`, where it was damaged or cut short
 */
export async function openBackup(
  sealed: AsyncIterable<Uint8Array>,
  secrets: AgeSecrets,
): Promise<AsyncIterable<Uint8Array>> {
  const tried = 'cannot open backup';
  const decrypter = new Decrypter();
  const gate = new StanzaGate(secrets, BACKUP);
  decrypter.addIdentity(gate);
  for (const identity of secrets.identities ?? []) addIdentity(decrypter, identity, tried);
  if (secrets.passphrase !== undefined) decrypter.addPassphrase(secrets.passphrase.normalize('NFC'));
  try {
    return whole(await decrypter.decrypt(streamOf(sealed)));
  } catch (cause) {
    if (isShoalError(cause)) throw cause;
    if (isNoMatch(cause)) throw gate.wrongKey(cause);
    throw noAgeFile(cause);
  }
}

/** What fails while it is opened is what was done to it since it was made. */
async function* whole(opened: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* opened;
  } catch (cause) {
    if (isShoalError(cause)) throw cause;
    throw new ShoalError(
      'corrupt',
      'cannot open backup: it is cut short, or was changed since it was made; take another copy of it',
      { cause },
    );
  }
}

/** Asked for one piece at a time, so that no more than a few are in memory. */
function streamOf(bytes: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
