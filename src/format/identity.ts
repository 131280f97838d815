/**
 * Age identities, the secret halves of recipients, and the files that they are kept in: those of age-keygen, as they are or
 * sealed with a passphrase. Relays do not import this file.
 */
import {
  armor,
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
  type Stanza,
} from 'age-encryption';
import { isShoalError, ShoalError } from '../errors.ts';
import { SCRYPT_LOG_N } from '../limits.ts';
import { malformed } from './canonical.ts';
import { isNoMatch, scryptProblem } from './age.ts';
import { kindOf, type RecipientKind } from './recipient.ts';

export interface Identity {
  /** AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…: who has it can read all that is granted to its recipient. */
  readonly secret: string;
  readonly recipient: string;
  readonly kind: RecipientKind;
}

/** A new one. */
export async function makeIdentity(kind: RecipientKind): Promise<Identity> {
  const secret = await (kind === 'x25519' ? generateX25519Identity() : generateHybridIdentity());
  return { secret, recipient: await identityToRecipient(secret), kind };
}

/** A file of one identity, as age-keygen writes it. @param createdAt Unix seconds */
export function identityText({ secret, recipient }: Identity, createdAt: number): string {
  const created = new Date(createdAt * 1000).toISOString().replace('.000', '');
  return `# created: ${created}\n# public key: ${recipient}\n${secret}\n`;
}

/**
 * The identities in such a text: one a line, `#` begins a comment.
 * @throws ShoalError `usage` that names the line which is none, and does not show it
 */
export async function identitiesIn(text: string): Promise<Identity[]> {
  const identities: Identity[] = [];
  for (const [n, line] of text.split(/\r?\n/).entries()) {
    const secret = line.trim();
    if (secret === '' || secret.startsWith('#')) continue;
    identities.push(await identityOf(secret, n + 1));
  }
  return identities;
}

async function identityOf(secret: string, line: number): Promise<Identity> {
  try {
    const recipient = await identityToRecipient(secret);
    return { secret, recipient, kind: kindOf(recipient) };
  } catch {
    // The cause is dropped: it may quote the identity, which is a secret.
    throw new ShoalError(
      'usage',
      `line ${line} is not an identity that grants have, which begins with AGE-SECRET-KEY-1 or AGE-SECRET-KEY-PQ-1, or is damaged`,
    );
  }
}

/** Where an age file begins that is in bytes, and one that is in text. */
const BINARY = 'age-encryption.org/v1';
const ARMORED = '-----BEGIN AGE ENCRYPTED FILE-----';

/** Whether the content of a file is an age file, such as identities that are sealed with a passphrase. */
export function isSealed(content: Uint8Array): boolean {
  const beginning = new TextDecoder().decode(content.subarray(0, 2 * ARMORED.length)).trimStart();
  return beginning.startsWith(BINARY) || beginning.startsWith(ARMORED);
}

/** An age file, in text, of a text that opens with a passphrase. That costs about a second of computing. */
export async function sealText(text: string, passphrase: string): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase.normalize('NFC'));
  encrypter.setScryptWorkFactor(SCRYPT_LOG_N);
  return armor.encode(await encrypter.encrypt(text));
}

/**
 * The text in an age file that was sealed with a passphrase.
 * @param what is opened, for messages
 * @throws ShoalError `wrong-key` where the passphrase is another, `malformed` where it is damaged, asks for too much computing, or
 *   is sealed in another way
 */
export async function unsealText(content: Uint8Array, passphrase: string, what: string): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity({
    unwrapFileKey: (stanzas: Stanza[]): null => {
      if (!stanzas.some(({ args }) => args[0] === 'scrypt'))
        throw malformed(what, 'it is not sealed with a passphrase');
      const problem = scryptProblem(stanzas);
      if (problem !== undefined) throw malformed(what, problem);
      return null;
    },
  });
  decrypter.addPassphrase(passphrase.normalize('NFC'));
  try {
    const isBinary = new TextDecoder().decode(content.subarray(0, BINARY.length)) === BINARY;
    const sealed = isBinary ? content : armor.decode(new TextDecoder().decode(content));
    return await decrypter.decrypt(sealed, 'text');
  } catch (cause) {
    if (isShoalError(cause)) throw cause;
    if (isNoMatch(cause))
      throw new ShoalError('wrong-key', `cannot open ${what}: the passphrase is another`, { cause });
    throw malformed(what, 'it is not a valid age file; restore it from a backup', { cause });
  }
}
