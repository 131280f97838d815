/** `shoal backup` and `shoal restore`, as they are typed. They need no settings, so that they work where those are damaged. */
import { Option, type Command } from 'commander';
import type { RestoreFlags } from './commands/restore.ts';
import type { BackupFlags } from './commands/backup.ts';
import type { Surroundings } from './context.ts';
import { passphraseOptions } from './passphrase.ts';

export function addBackups(program: Command, surroundings: () => Surroundings): void {
  const [newPassphrase, newPassphraseFile] = passphraseOptions(
    'seal it with a passphrase, which is made and shown once (the default), or asked for with --passphrase=ask',
  );
  const backup = program
    .command('backup')
    .description('write a sealed backup of this home, whoever holds it: all but the files and data that it shares')
    .argument('<file>', 'the file to write, or "-" for stdout')
    .addOption(listed('--to <recipient>', 'seal it to this age recipient, in the place of a passphrase'))
    .option('--force', 'replace what stands there');
  for (const option of [newPassphrase, newPassphraseFile]) if (option !== undefined) backup.addOption(option);
  backup.action(async (file: string, flags: BackupFlags) => {
    const { backup: backUp } = await import('./commands/backup.ts');
    await backUp(surroundings(), file, flags);
  });

  const [passphrase, passphraseFile] = passphraseOptions('ask for the passphrase, whatever SHOAL_PASSPHRASE is');
  const restore = program
    .command('restore')
    .description('make a home again from its backup, where there is none')
    .argument('<file>', 'the backup, or "-" to read it from stdin')
    .addOption(listed('--identity <file>', 'a file with age identities that it is sealed to'));
  for (const option of [passphrase, passphraseFile]) if (option !== undefined) restore.addOption(option);
  restore.action(async (file: string, flags: RestoreFlags) => {
    const { restore: makeAgain } = await import('./commands/restore.ts');
    await makeAgain(surroundings(), file, flags);
  });
}

function listed(flags: string, description: string): Option {
  return new Option(flags, `${description}; repeatable`).argParser((value: string, before: unknown) => [
    ...(Array.isArray(before) ? (before as string[]) : []),
    value,
  ]);
}
