/** What may be sealed with age to whom, for grants and backups alike: the kinds of recipients that format.md §7 has. */
import type { Decrypter, Encrypter, Identity, Stanza } from 'age-encryption';
import { ShoalError } from '../errors.ts';
import { MAX_SCRYPT_LOG_N } from '../limits.ts';
import { malformed } from './canonical.ts';
import { quoted } from './quoted.ts';

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

/** The types of an age file's stanzas that the format has, as people know what they were made for. */
const KINDS = new Map([
  ['X25519', 'age recipients (age1…)'],
  ['mlkem768x25519', 'post-quantum age recipients (age1pq1…)'],
  ['scrypt', 'a passphrase'],
]);

/**
 * Sees a file's stanzas before any identity does, and refuses what the format does not have before anything is computed.
 */
export class StanzaGate implements Identity {
  readonly #secrets: AgeSecrets;
  readonly #what: string;
  readonly #tried: string;
  readonly #types = new Set<string>();

  /** @param what the file is, as messages call it @param tried as by `addRecipients` */
  constructor(secrets: AgeSecrets, what: string, tried: string) {
    this.#secrets = secrets;
    this.#what = what;
    this.#tried = tried;
  }

  unwrapFileKey(stanzas: Stanza[]): null {
    if (stanzas.length === 0) throw malformed(this.#what, 'it is sealed to nobody');
    for (const { args } of stanzas) {
      const [type = '', , logN = ''] = args;
      if (!KINDS.has(type)) {
        throw malformed(
          this.#what,
          `it is sealed to a kind of recipient that the format does not have, ${quoted(type)}`,
        );
      }
      if (type === 'scrypt') {
        if (stanzas.length > 1) throw malformed(this.#what, 'it is sealed to a passphrase and to others');
        if (!/^[1-9][0-9]?$/.test(logN) || Number(logN) > MAX_SCRYPT_LOG_N) {
          throw malformed(this.#what, `its passphrase work factor is not between 1 and ${MAX_SCRYPT_LOG_N}`);
        }
      }
      this.#types.add(type);
    }
    return null;
  }

  wrongKey(cause: unknown): ShoalError {
    const madeFor = [...this.#types].map(type => KINDS.get(type)).join(' and ');
    return new ShoalError('wrong-key', `${this.#tried}: it was made for ${madeFor}, and ${this.#why()}`, { cause });
  }

  #why(): string {
    const { identities = [], passphrase } = this.#secrets;
    if (this.#types.has('scrypt')) return passphrase === undefined ? 'none is given' : 'the one given is another';
    return identities.length === 0 ? 'no identity is given' : 'none of the identities given is one of theirs';
  }
}
