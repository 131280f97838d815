/** `shoal backup` and `shoal restore`, as they are typed. They need no settings, so that they work where those are damaged. */
import type { Command } from 'commander';
import type { BackupFlags } from './commands/backup.ts';
import type { RestoreFlags } from './commands/restore.ts';
import type { Surroundings } from './context.ts';
import { passphraseFile, passphraseOption } from './program-granting.ts';
import { repeatable } from './definitions.ts';

export function addBackups(program: Command, surroundings: () => Surroundings): void {
  program
    .command('backup')
    .description('write a sealed backup of this home: all but the files and data that it shares')
    .argument('<file>', 'the file to write, or "-" for stdout')
    .addOption(repeatable('--to <recipient>', 'seal it to this age recipient (age1…), in the place of a passphrase'))
    .addOption(passphraseOption('seal it with a passphrase, as is usual: made and shown once; =ask for your own'))
    .addOption(passphraseFile())
    .option('--force', 'replace what stands there')
    .action(async (file: string, flags: BackupFlags) => {
      const { backup } = await import('./commands/backup.ts');
      await backup(surroundings(), file, flags);
    });

  program
    .command('restore')
    .description('make a home again from its backup, where there is none')
    .argument('<file>', 'the backup, or "-" to read it from stdin')
    .addOption(repeatable('--identity <file>', 'a file with age identities, of which it is sealed to one'))
    .addOption(passphraseOption('of the backup; =ask asks for it even where SHOAL_PASSPHRASE is set'))
    .addOption(passphraseFile())
    .action(async (file: string, flags: RestoreFlags) => {
      const { restore } = await import('./commands/restore.ts');
      await restore(surroundings(), file, flags);
    });
}
