/** What can be typed about who may read: identities, and contacts. */
import type { Command, Option } from 'commander';
import { ShoalError } from '../src/errors.ts';
import type { Context, Surroundings } from './context.ts';
import type { PassphraseFlags } from './passphrase.ts';
import { passphraseFile, passphraseOption } from './program-granting.ts';
import { repeatable } from './definitions.ts';

/** What opens grants, for commands that read a share. */
export function identityOption(): Option {
  return repeatable('--identity <file>', 'opens grants: a file with your age identity (default: those of this home)');
}

export function accessPassphrase(): Option {
  return passphraseOption('opens a grant that was made for one, or an identity; it is asked for on a terminal');
}

interface KeygenFlags extends PassphraseFlags {
  readonly x25519?: true;
  readonly name?: string;
  readonly output?: string;
}

const DEFAULT_NAME = 'default';

/** @param surroundings for commands that need no settings */
export function addPeople(
  program: Command,
  contextOf: (command: Command) => Promise<Context>,
  surroundings: () => Surroundings,
): void {
  program
    .command('keygen')
    .description('make an age identity for reading what others grant you, and print its recipient')
    .option('--x25519', 'of the older kind, which a quantum computer could break')
    .option('--name <name>', `what it is called in this home (default: ${DEFAULT_NAME})`)
    .option('-o, --output <file>', 'write it there, and not into this home')
    .addOption(passphraseOption('lock it with a passphrase, which is made and shown once; =ask for your own'))
    .addOption(passphraseFile())
    .action(async ({ x25519, name, output, ...flags }: KeygenFlags) => {
      if (name !== undefined && output !== undefined)
        throw new ShoalError('usage', '--name and --output do not go together');
      const commands = await import('./commands/keygen.ts');
      const to = output === undefined ? {} : { output };
      await commands.keygen(surroundings(), {
        ...flags,
        ...to,
        isClassic: x25519 ?? false,
        name: name ?? DEFAULT_NAME,
      });
    });

  program
    .command('identities')
    .description('the age identities of this home, and their recipients')
    .action(async () => {
      const { identities } = await import('./commands/keygen.ts');
      await identities(surroundings());
    });

  addContacts(program, contextOf);
}

function addContacts(program: Command, contextOf: (command: Command) => Promise<Context>): void {
  const load = () => import('./commands/contacts.ts');
  const contacts = program
    .command('contacts')
    .description('an address book of recipients, each with a fingerprint to compare over the phone')
    .action(async (_flags: unknown, command: Command) => (await load()).list(await contextOf(command)));
  contacts
    .command('list')
    .description('the contacts of this home')
    .action(async (_flags: unknown, command: Command) => (await load()).list(await contextOf(command)));
  contacts
    .command('add')
    .description('give a recipient a name')
    .argument('<name>', 'what they are called here')
    .argument('<recipient>', 'their age recipient, as "shoal keygen" has printed it')
    .option('--replace', 'also where the name has another recipient')
    .action(async (name: string, recipient: string, flags: { readonly replace?: true }, command: Command) =>
      (await load()).add(await contextOf(command), name, recipient, flags.replace ?? false),
    );
  contacts
    .command('remove')
    .description('forget a name')
    .argument('<name>', 'as it is listed')
    .action(async (name: string, _flags: unknown, command: Command) =>
      (await load()).remove(await contextOf(command), name),
    );
  contacts
    .command('show')
    .description('a recipient in full')
    .argument('<name>', 'as it is listed')
    .action(async (name: string, _flags: unknown, command: Command) =>
      (await load()).show(await contextOf(command), name),
    );
}
