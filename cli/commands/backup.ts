/** `shoal backup`: what this home can not make again, in a sealed file. */
import { randomBytes } from 'node:crypto';
import { backUp, backUpTo, type BackedUp } from '../../src/backup.ts';
import { systemClock } from '../../src/clock.ts';
import { homeFolder } from '../../src/daemon/socket.ts';
import { fileError, ShoalError } from '../../src/errors.ts';
import type { AgeRecipients } from '../../src/format/age.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import type { Surroundings } from '../context.ts';
import { newPassphrase, type PassphraseFlags } from '../passphrase.ts';
import { pathAt } from '../paths.ts';
import type { Terminal } from '../terminal.ts';
import { count } from '../units.ts';

export interface BackupFlags extends PassphraseFlags {
  readonly to?: readonly string[];
  readonly force?: true;
}

/**
 * Reads the home itself, whoever holds it: SQLite gives a copy of the catalog as it was at one moment, and no key has to leave
 * another process for this.
 * @throws ShoalError `usage`, `exists` unless forced, `home`, `newer-home`, `in-use`, by `fileError`
 */
export async function backup(context: Surroundings, file: string, flags: BackupFlags): Promise<void> {
  const { terminal, env, cwd, signal, stdout } = context;
  // A stream to a terminal has columns, any other has no end of them.
  if (file === '-' && terminal.columns !== Infinity)
    throw new ShoalError('usage', 'cannot write the backup to a terminal: it is no text; name a file, or use a pipe');
  const { to, made } = await recipientsOf(context, flags);
  const home = homeFolder(env);
  const deps = { clock: systemClock, random: randomBytes };
  if (file === '-') {
    const done = await backUp(home, to, deps, signal, bytes => writeTo(stdout, bytes));
    if (made !== undefined) terminal.warn(passphraseLine(made));
    tell(terminal, done);
    return;
  }
  const path = pathAt(cwd, file);
  const done = await backUpTo(path, flags.force ?? false, home, to, deps, signal);
  if (terminal.isJson) {
    terminal.json({ path, ...done, ...(made === undefined ? {} : { passphrase: made }) });
    return;
  }
  terminal.result(path);
  if (made !== undefined) terminal.warn(passphraseLine(made));
  tell(terminal, done);
}

interface Chosen {
  readonly to: AgeRecipients;
  /** A passphrase that nobody knows yet. */
  readonly made?: string;
}

async function recipientsOf(context: Surroundings, flags: BackupFlags): Promise<Chosen> {
  const { to, passphrase, passphraseFile } = flags;
  if (to !== undefined) {
    if (passphrase !== undefined || passphraseFile !== undefined)
      throw new ShoalError('usage', '--to and --passphrase do not go together; make a backup for each');
    return { to: { recipients: to } };
  }
  const chosen = await newPassphrase(context, flags);
  return { to: { passphrase: chosen.passphrase }, ...(chosen.isGenerated ? { made: chosen.passphrase } : {}) };
}

function passphraseLine(passphrase: string): string {
  return `the passphrase of the backup is ${passphrase}  (it is shown this once, and kept nowhere; without it nobody can open the backup)`;
}

function tell(terminal: Terminal, { shares, bytes, notInIt, damaged }: BackedUp): void {
  terminal.say(
    `backed up ${count(shares, 'share')}, ${formatBytes(bytes)}; it can do all that this home can: keep it where nobody else gets it`,
  );
  if (notInIt.shares > 0)
    terminal.say(
      `not in it: the data of ${count(notInIt.shares, 'share')} that this home keeps itself, ${formatBytes(notInIt.bytes)}; "shoal export" writes such a share to a file`,
    );
  if (damaged > 0)
    terminal.warn(
      `${count(damaged, 'share')} can not be served from the restored home: blocks of this home are damaged or gone; "shoal doctor" says more, and to share the files again mends it`,
    );
}

function writeTo(stdout: NodeJS.WritableStream, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stdout.write(bytes, error => {
      if (error) reject(fileError(error, 'write to stdout'));
      else resolve();
    });
  });
}
