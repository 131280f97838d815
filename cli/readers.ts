/** Whom a grant is for, as the commands that make one are told. */
import { ShoalError } from '../src/errors.ts';
import type { Parameters } from '../src/daemon/actions.ts';
import type { Surroundings } from './context.ts';
import { newPassphrase, type PassphraseFlags } from './passphrase.ts';
import { recipientTexts } from './recipients.ts';
import type { Terminal } from './terminal.ts';

export interface ReaderFlags extends PassphraseFlags {
  readonly to?: readonly string[];
}

export interface Readers {
  readonly to: Parameters<'grant'>['to'];
  /** A passphrase that was made here, and that nobody knows yet. */
  readonly made?: string;
}

/** @returns undefined where nobody is named @throws ShoalError `usage`; as `newPassphrase` */
export async function readersOf(context: Surroundings, flags: ReaderFlags): Promise<Readers | undefined> {
  const { to, passphrase, passphraseFile } = flags;
  const isPassphrase = passphrase !== undefined || passphraseFile !== undefined;
  if (to === undefined && !isPassphrase) return undefined;
  if (to !== undefined && isPassphrase)
    throw new ShoalError(
      'usage',
      '--to and --passphrase do not go together; make a grant for each: "shoal grant" makes another one of the same share',
    );
  if (to !== undefined) return { to: { recipients: await recipientTexts(context, to) } };
  const chosen = await newPassphrase(context, flags);
  return { to: { passphrase: chosen.passphrase }, ...(chosen.isGenerated ? { made: chosen.passphrase } : {}) };
}

/** Shows a passphrase that was made here: this once, whatever else is not shown. */
export function tellPassphrase(terminal: Terminal, passphrase: string): void {
  if (terminal.isJson) terminal.json({ event: 'passphrase', passphrase });
  else
    terminal.warn(
      `the passphrase is ${passphrase}  (it is shown this once, and kept nowhere; tell it by another way than the link)`,
    );
}

/** Who can read what the link leads to. */
export function readersLine(madeFor: readonly string[]): string {
  const [only = ''] = madeFor;
  return only === 'a passphrase'
    ? 'who has this link and knows the passphrase can read it'
    : `only who has the identity that it was made for can read by this link: ${madeFor.join(', ')}`;
}
