/** Seals a file key into a grant with age, and opens it (format.md §7). Relays do not import this file. */
import { Decrypter, Encrypter, type Identity, type Stanza } from 'age-encryption';
import { ShoalError, isShoalError } from '../errors.ts';
import { MAX_SCRYPT_LOG_N, MAX_SEALED_BYTES, SCRYPT_LOG_N } from '../limits.ts';
import { malformed } from './canonical.ts';
import type { Grant } from './grant.ts';
import { CID_BYTES, DAG_CBOR_CODEC, cidBytes, digestOf, sameBytes } from './ids.ts';
import { FILE_KEY_BYTES, fileKey, type FileKey } from './keys.ts';
import { quoted } from './quoted.ts';
import { kindOf, type RecipientKind } from './recipient.ts';

/** Who can open a grant: age recipients, all of one kind (age1… or age1pq1…), or whoever knows a passphrase. */
export type GrantRecipients = { readonly recipients: readonly string[] } | { readonly passphrase: string };

/** What a reader has to open grants with. */
export interface GrantSecrets {
  /** AGE-SECRET-KEY-1… and AGE-SECRET-KEY-PQ-1… */
  readonly identities?: readonly string[];
  readonly passphrase?: string;
}

const WHAT = 'grant';

/**
 * The grant of `key` to `to`, complete but for its encoding. A passphrase costs about a second of computing.
 * @throws ShoalError `usage` when a recipient is none that the format has, kinds are mixed, or there are too many
 */
export async function sealGrant(key: FileKey, grant: Omit<Grant, 'sealed'>, to: GrantRecipients): Promise<Grant> {
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

/** Whom a grant was made for. */
export type GrantKind = RecipientKind | 'passphrase';

/**
 * For what kinds of secret a grant was made. One that is made for a passphrase is made for nothing else.
 * @throws ShoalError `malformed` as by `openGrant`
 */
export async function kindsOf(grant: Pick<Grant, 'sealed'>): Promise<readonly GrantKind[]> {
  const decrypter = new Decrypter();
  const gate = new StanzaGate({});
  decrypter.addIdentity(gate);
  try {
    await decrypter.decrypt(grant.sealed);
  } catch (cause) {
    if (isShoalError(cause)) throw cause;
    if (!isNoMatch(cause)) throw malformed(WHAT, 'its sealed part is not a valid age file', { cause });
  }
  return gate.kinds;
}

/** Kinds as people know them: `age recipients (age1…)`. */
export function kindWords(kinds: readonly GrantKind[]): string {
  return kinds.map(kind => WORDS[kind]).join(' and ');
}

/**
 * Opens a grant and compares what is sealed with what it says outside.
 * @throws ShoalError `wrong-key` when no identity fits or the passphrase is wrong, `usage` when an identity can't be read,
 *   `malformed` when it is not what format.md §7 allows, or someone changed it on its way
 */
export async function openGrant(grant: Grant, secrets: GrantSecrets): Promise<FileKey> {
  const decrypter = new Decrypter();
  const gate = new StanzaGate(secrets);
  decrypter.addIdentity(gate);
  for (const identity of secrets.identities ?? []) addIdentity(decrypter, identity);
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

function addIdentity(decrypter: Decrypter, identity: string): void {
  try {
    decrypter.addIdentity(identity);
  } catch {
    // The cause is dropped: it may quote the identity, which is a secret.
    throw new ShoalError(
      'usage',
      'cannot open grant: an identity can not be read; it should begin with AGE-SECRET-KEY-',
    );
  }
}

function isNoMatch(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('no identity matched');
}

/** What is wrong with an age file that a passphrase is to open, seen before anything is computed; undefined where nothing is. */
export function scryptProblem(stanzas: readonly Stanza[]): string | undefined {
  const logN = stanzas.find(({ args }) => args[0] === 'scrypt')?.args[2] ?? '';
  if (stanzas.length > 1) return 'it is sealed to a passphrase and to others';
  if (/^[1-9][0-9]?$/.test(logN) && Number(logN) <= MAX_SCRYPT_LOG_N) return undefined;
  return `its passphrase work factor is not between 1 and ${MAX_SCRYPT_LOG_N}`;
}

/** The types of an age file's stanzas that the format has. */
const KINDS = new Map<string, GrantKind>([
  ['X25519', 'x25519'],
  ['mlkem768x25519', 'post-quantum'],
  ['scrypt', 'passphrase'],
]);

const WORDS: Readonly<Record<GrantKind, string>> = {
  x25519: 'age recipients (age1…)',
  'post-quantum': 'post-quantum age recipients (age1pq1…)',
  passphrase: 'a passphrase',
};

/**
 * Sees a file's stanzas before any identity does, and refuses what the format does not have before anything is computed.
 */
class StanzaGate implements Identity {
  readonly #secrets: GrantSecrets;
  readonly #kinds = new Set<GrantKind>();

  constructor(secrets: GrantSecrets) {
    this.#secrets = secrets;
  }

  get kinds(): readonly GrantKind[] {
    return [...this.#kinds];
  }

  unwrapFileKey(stanzas: Stanza[]): null {
    if (stanzas.length === 0) throw malformed(WHAT, 'it is sealed to nobody');
    for (const { args } of stanzas) {
      const [type = ''] = args;
      const kind = KINDS.get(type);
      if (kind === undefined) {
        throw malformed(WHAT, `it is sealed to a kind of recipient that the format does not have, ${quoted(type)}`);
      }
      const problem = kind === 'passphrase' ? scryptProblem(stanzas) : undefined;
      if (problem !== undefined) throw malformed(WHAT, problem);
      this.#kinds.add(kind);
    }
    return null;
  }

  wrongKey(cause: unknown): ShoalError {
    const madeFor = kindWords(this.kinds);
    return new ShoalError('wrong-key', `cannot open grant: it was made for ${madeFor}, and ${this.#why()}`, { cause });
  }

  #why(): string {
    const { identities = [], passphrase } = this.#secrets;
    if (this.#kinds.has('passphrase')) return passphrase === undefined ? 'none is given' : 'the one given is another';
    return identities.length === 0 ? 'no identity is given' : 'none of the identities given is one of theirs';
  }
}
