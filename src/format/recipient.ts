/** Age recipients as text, and the names that people give them: what a grant can be made for (format.md §7). */
import { Encrypter } from 'age-encryption';
import { ShoalError } from '../errors.ts';
import { MAX_CONTACT_NAME_CHARS } from '../limits.ts';
import { sha256 } from './ids.ts';
import { escaped, quoted } from './quoted.ts';

/** `age1…`, or `age1pq1…`, which also withstands a quantum computer. */
export type RecipientKind = 'x25519' | 'post-quantum';

/** Characters of a recipient of each kind: its key in base32, with a prefix and a checksum of six. */
const CHARS: Readonly<Record<RecipientKind, number>> = { x25519: 62, 'post-quantum': 1959 };

/** What the secret half of a recipient looks like, also where its beginning was lost in copying. */
const SECRET = /secret-key|age-plugin-/i;

/**
 * The kind of a recipient, which is held to its checksum.
 * @throws ShoalError `usage` that says what is wrong with it, and never shows a secret that was given by mistake
 */
export function kindOf(recipient: string): RecipientKind {
  refuseSecret(recipient);
  const refused = (why: string, cause?: unknown): ShoalError =>
    new ShoalError('usage', `cannot use ${quoted(recipient)} as a recipient: ${why}`, { cause });
  if (/^(?:ssh|ecdsa|sk)-/.test(recipient))
    throw refused('it is an SSH key, and an age recipient is needed; "shoal keygen" makes one');
  if (recipient.startsWith('AGE1')) throw refused('it is in upper case; write it in lower case');
  if (!recipient.startsWith('age1')) throw refused('it does not begin with "age1", as age recipients do');
  const kind = recipient.startsWith('age1pq1') ? 'post-quantum' : 'x25519';
  // No key has a "1": what is in front of another one names a kind.
  if (kind === 'x25519' && recipient.includes('1', 'age1'.length))
    throw refused(
      'it is of a kind that grants do not have, as those of hardware tokens and plugins; "shoal keygen" makes one that they have',
    );
  try {
    new Encrypter().addRecipient(recipient);
  } catch (cause) {
    const { length } = recipient;
    throw length === CHARS[kind]
      ? refused('a character of it is wrong; copy all of it again', cause)
      : refused(`it has ${length} characters instead of ${CHARS[kind]}; copy all of it again`, cause);
  }
  return kind;
}

/** @throws ShoalError `usage` for the secret half of a recipient, which is not shown */
function refuseSecret(text: string): void {
  if (SECRET.test(text))
    throw new ShoalError(
      'usage',
      'cannot use a secret identity (AGE-SECRET-KEY-…) as a recipient or a name: who has it can read what is granted to it; give its recipient, which "shoal identities" shows, and make another identity where somebody may have seen this one',
    );
}

const FINGERPRINT_LABEL = 'shoal/1/recipient';
const GROUPS = 6;
/** Of a group of the fingerprint: so many more than five digits need that all of these are alike probable. */
const GROUP_BYTES = 5;

/**
 * What two people compare over the phone: six groups of five digits, which are about 100 bits of
 * `SHA-256(utf8("shoal/1/recipient" || recipient))`. To make another recipient with the same ones is beyond anybody.
 */
export function fingerprint(recipient: string): string {
  const digest = sha256(new TextEncoder().encode(FINGERPRINT_LABEL + recipient));
  const groups = Array.from({ length: GROUPS }, (_, n) => {
    const bytes = digest.subarray(n * GROUP_BYTES, (n + 1) * GROUP_BYTES);
    const number = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    return String(number % 100_000).padStart(5, '0');
  });
  return groups.join(' ');
}

/** A recipient as it is named where it has no name: enough to tell two apart. */
export function shortRecipient(recipient: string): string {
  return recipient.length <= 24 ? recipient : `${recipient.slice(0, 14)}…${recipient.slice(-6)}`;
}

/** Whether a text is meant to be a recipient, and not somebody's name. */
export function isRecipientLike(text: string): boolean {
  return /^age1/i.test(text) || SECRET.test(text);
}

/**
 * The name of a contact in the one way in which it is kept.
 * @throws ShoalError `usage` where it could be taken for a recipient, a file or a comment, or does not show as it is
 */
export function contactName(text: string): string {
  refuseSecret(text);
  const name = text.trim().normalize('NFC');
  const refused = (why: string): ShoalError => new ShoalError('usage', `cannot use ${quoted(name)} as a name: ${why}`);
  const length = Array.from(name).length;
  if (length === 0) throw refused('it is empty; give one');
  if (length > MAX_CONTACT_NAME_CHARS)
    throw refused(`it has ${length} characters, and at most ${MAX_CONTACT_NAME_CHARS} are possible`);
  if (isRecipientLike(name)) throw refused('it begins with "age1", as recipients do; the name comes first');
  if (/^[@#-]/.test(name)) throw refused('it begins with "@", "#" or "-", which have a meaning of their own there');
  if (escaped(name) !== name) throw refused('it has characters that do not show; leave them out');
  return name;
}
