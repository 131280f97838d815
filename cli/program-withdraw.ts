/** What can be typed about withdrawals (program.ts). */
import type { Command } from 'commander';
import type { Context } from './context.ts';

export function addWithdrawing(program: Command, contextOf: (command: Command) => Promise<Context>): void {
  program
    .command('withdraw')
    .description('end a share or grant of yours for good: relays and peers are told; who has the file keeps it')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .option('--yes', 'do not ask first')
    .action(async (id: string, flags: { readonly yes?: true }, command: Command) => {
      const context = await contextOf(command);
      const { withdraw } = await import('./commands/withdraw.ts');
      await withdraw(context, id, { yes: flags.yes ?? false });
    });
}
