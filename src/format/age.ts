/** What may be sealed with age to whom, for grants and backups alike: the kinds of recipients that format.md §7 has. */
import type { Decrypter, Encrypter, Identity, Stanza } from 'age-encryption';
import { ShoalError } from '../errors.ts';
import { MAX_SCRYPT_LOG_N } from '../limits.ts';
import { malformed } from './canonical.ts';
import { quoted } from './quoted.ts';
import type { RecipientKind } from './recipient.ts';

/** Who can open what is sealed: age recipients, all of one kind (age1… or age1pq1…), or whoever knows a passphrase. */
export type AgeRecipients = { readonly recipients: readonly string[] } | { readonly passphrase: string };

/** What somebody has to open it with. */
export interface AgeSecrets {
  /** AGE-SECRET-KEY-1… and AGE-SECRET-KEY-PQ-1… */
  readonly identities?: readonly string[];
  readonly passphrase?: string;
}

/**
 * @param tried how messages begin, as in `cannot seal grant`
 * @param instead what to do where kinds are mixed
 * @throws ShoalError `usage` when there is none, one is none that the format has, or kinds are mixed
 */
export function addRecipients(
  encrypter: Encrypter,
  recipients: readonly string[],
  tried: string,
  instead: string,
): void {
  if (recipients.length === 0) throw new ShoalError('usage', `${tried}: no recipient is given`);
  // One recipient of the older kind would take from the others what theirs is for.
  if (recipients.some(isPostQuantum) && !recipients.every(isPostQuantum)) {
    throw new ShoalError('usage', `${tried}: post-quantum recipients (age1pq1…) are not mixed with others; ${instead}`);
  }
  for (const recipient of recipients) addRecipient(encrypter, recipient, tried);
}

function isPostQuantum(recipient: string): boolean {
  return recipient.startsWith('age1pq1');
}

function addRecipient(encrypter: Encrypter, recipient: string, tried: string): void {
  try {
    if (!/^age1(?:pq1)?[a-z0-9]+$/.test(recipient) || /^age1tag(?:pq)?1/.test(recipient))
      throw new Error('of another kind');
    encrypter.addRecipient(recipient);
  } catch (cause) {
    throw new ShoalError('usage', `${tried}: ${quoted(recipient)} is not an age recipient (age1… or age1pq1…)`, {
      cause,
    });
  }
}

/** @param tried as by `addRecipients` @throws ShoalError `usage`, without the identity */
export function addIdentity(decrypter: Decrypter, identity: string, tried: string): void {
  try {
    decrypter.addIdentity(identity);
  } catch {
    // The cause is dropped: it may quote the identity, which is a secret.
    throw new ShoalError('usage', `${tried}: an identity can not be read; it should begin with AGE-SECRET-KEY-`);
  }
}

/** Whether decrypting failed since nothing that was given fits. */
export function isNoMatch(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('no identity matched');
}

/** What is wrong with an age file that a passphrase is to open, seen before anything is computed; undefined where nothing is. */
export function scryptProblem(stanzas: readonly Stanza[]): string | undefined {
  const logN = stanzas.find(({ args }) => args[0] === 'scrypt')?.args[2] ?? '';
  if (stanzas.length > 1) return 'it is sealed to a passphrase and to others';
  if (/^[1-9][0-9]?$/.test(logN) && Number(logN) <= MAX_SCRYPT_LOG_N) return undefined;
  return `its passphrase work factor is not between 1 and ${MAX_SCRYPT_LOG_N}`;
}

/** Whom something was sealed to. */
export type AgeKind = RecipientKind | 'passphrase';

/** The types of an age file's stanzas that the format has. */
const KINDS = new Map<string, AgeKind>([
  ['X25519', 'x25519'],
  ['mlkem768x25519', 'post-quantum'],
  ['scrypt', 'passphrase'],
]);

const WORDS: Readonly<Record<AgeKind, string>> = {
  x25519: 'age recipients (age1…)',
  'post-quantum': 'post-quantum age recipients (age1pq1…)',
  passphrase: 'a passphrase',
};

/** Kinds as people know them: `age recipients (age1…)`. */
export function kindWords(kinds: readonly AgeKind[]): string {
  return kinds.map(kind => WORDS[kind]).join(' and ');
}

/**
 * Sees a file's stanzas before any identity does, and refuses what the format does not have before anything is computed.
 */
export class StanzaGate implements Identity {
  readonly #secrets: AgeSecrets;
  readonly #what: string;
  readonly #kinds = new Set<AgeKind>();

  /** @param what the file is, as messages call it: `grant` */
  constructor(secrets: AgeSecrets, what: string) {
    this.#secrets = secrets;
    this.#what = what;
  }

  get kinds(): readonly AgeKind[] {
    return [...this.#kinds];
  }

  unwrapFileKey(stanzas: Stanza[]): null {
    if (stanzas.length === 0) throw malformed(this.#what, 'it is sealed to nobody');
    for (const { args } of stanzas) {
      const [type = ''] = args;
      const kind = KINDS.get(type);
      if (kind === undefined)
        throw malformed(
          this.#what,
          `it is sealed to a kind of recipient that the format does not have, ${quoted(type)}`,
        );
      const problem = kind === 'passphrase' ? scryptProblem(stanzas) : undefined;
      if (problem !== undefined) throw malformed(this.#what, problem);
      this.#kinds.add(kind);
    }
    return null;
  }

  wrongKey(cause: unknown): ShoalError {
    const madeFor = kindWords(this.kinds);
    return new ShoalError('wrong-key', `cannot open ${this.#what}: it was made for ${madeFor}, and ${this.#why()}`, {
      cause,
    });
  }

  #why(): string {
    const { identities = [], passphrase } = this.#secrets;
    if (this.#kinds.has('passphrase')) return passphrase === undefined ? 'none is given' : 'the one given is another';
    return identities.length === 0 ? 'no identity is given' : 'none of the identities given is one of theirs';
  }
}
