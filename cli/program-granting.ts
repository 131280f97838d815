/** What can be typed about who may read: options of the commands that make grants, and those commands. */
import { Option, type Command } from 'commander';
import { parseExpiry } from '../src/format/expiry.ts';
import type { GrantFlags } from './commands/grant.ts';
import { repeatable, type ContextFor } from './definitions.ts';

export function readerOption(): Option {
  return repeatable(
    '--to <recipient>',
    'print a link that only these can read by: an age recipient, a contact, or @ and a file of such',
  );
}

/** Both are looked at in passphrase.ts, which is loaded with the command. */
export function passphraseOption(description: string): Option {
  return new Option('--passphrase [ask]', description).argParser(text => (text === '' ? true : text));
}

export function passphraseFile(): Option {
  return new Option(
    '--passphrase-file <file>',
    'the passphrase is the first line of this file; "-" reads it from stdin',
  );
}

export function expiryOption(description: string): Option {
  return new Option('--expires <when>', description).argParser(text => parseExpiry(text, Date.now() / 1000));
}

export function addGranting(program: Command, contextOf: ContextFor): void {
  program
    .command('grant')
    .description('let others read a share that is there already: print another link to it, which holds no key')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .addOption(readerOption())
    .addOption(passphraseOption('let who knows a passphrase read it, which is made and shown once; =ask for your own'))
    .addOption(passphraseFile())
    .addOption(expiryOption('who comes by it is served until then; the share goes on: 12h, 7d, 2026-12-24'))
    .action(async (id: string, flags: GrantFlags, command: Command) => {
      const context = await contextOf(command);
      const { grant } = await import('./commands/grant.ts');
      await grant(context, id, flags);
    });
}
