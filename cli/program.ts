/** What can be typed: commands, options, and the help. What a command does is loaded when it is called. */
import { Argument, Command, Option } from 'commander';
import { ShoalError } from '../src/errors.ts';
import { parseDuration } from '../src/format/durations.ts';
import { parseExpiry } from '../src/format/expiry.ts';
import { parseLocalPort } from '../src/format/host-port.ts';
import type { AccessFlags } from './access.ts';
import type { Shell } from './commands/completion.ts';
import type { ConfigContext } from './commands/config.ts';
import type { Context, Surroundings } from './context.ts';
import { epilogue } from './epilogue.ts';
import { addGranting, passphraseFile, passphraseOption, readerOption } from './program-granting.ts';
import { HELP } from './help.ts';
import { accessPassphrase, addPeople, identityOption } from './program-people.ts';
import { addBackups } from './program-backup.ts';
import { addWithdrawing } from './program-withdraw.ts';
import { holdsKey } from './secrets.ts';
import { settingList, type GlobalOptions, type Setting } from './settings.ts';
import { repeatable, type ContextFor } from './definitions.ts';
import { parseCount } from './units.ts';

/** Makes what a command needs, when it is called. */
export type MakeContext = (options: GlobalOptions) => Promise<Context>;

/** What can be typed, for who describes it: nothing can be called. */
export function definitionsOf(version: string): Command {
  const none = (): never => {
    throw new Error('these commands are only described');
  };
  return programOf(version, none, none, none);
}

/**
 * @param version of the package
 * @param print takes help and version; usage errors are thrown as commander's own
 * @param surroundings for commands that need no settings
 */
export function programOf(
  version: string,
  print: (text: string) => void,
  contextOf: MakeContext,
  surroundings: () => Surroundings,
): Command {
  const program = new Command('shoal')
    .description(
      'Share files privately: encrypted on your machine, carried by peers, readable by whom you gave the link.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .configureHelp(HELP)
    .configureOutput({ writeOut: print, writeErr: () => undefined, getErrHasColors: () => false })
    .exitOverride()
    .option('--json', 'print JSON: one object, or an event per line for work that takes long')
    .option('-q, --quiet', 'print results and errors only')
    .option('--debug', 'print what goes on inside, and traces of errors')
    .option('--config <file>', 'the configuration file (default: config.toml, see below)')
    .addHelpText('after', ({ command }) => epilogue(command.configureOutput().getOutHelpWidth?.()));

  for (const { setting } of settingList()) if (setting.option !== undefined) program.addOption(optionOf(setting));

  const optionsOf = (command: Command): GlobalOptions => {
    const options = Object.entries(command.optsWithGlobals<GlobalOptions>());
    // Commander says true of "--no-…" where it was not given; then the environment and the file are to be asked.
    const absent = settingList().filter(({ name }) => program.getOptionValueSource(name) !== 'cli');
    return Object.fromEntries(options.filter(([option]) => !absent.some(({ name }) => name === option)));
  };
  const context = (command: Command): Promise<Context> => contextOf(optionsOf(command));
  addSharing(program, context);
  addFetching(program, context);
  addHome(program, context);
  addGranting(program, context);
  addPeople(program, context, surroundings);
  addWithdrawing(program, context);
  addDaemon(program, context);
  const unconfigured = (command: Command): ConfigContext => {
    const options = optionsOf(command);
    return { ...surroundings(), options, contextOf: () => contextOf(options) };
  };
  addBackups(program, surroundings);
  addDoctor(program, unconfigured);
  addConfig(program, unconfigured);
  addCompletion(program, print);
  return program;
}

interface ShareFlags {
  readonly name?: string;
  readonly note?: string;
  readonly exclude?: readonly string[];
  readonly qr?: true;
  readonly skip?: true;
  readonly copy?: true;
  readonly pad: boolean;
  readonly new?: true;
  readonly freshId?: true;
  readonly hint?: readonly string[];
  readonly hints: boolean;
  readonly detach?: true;
  readonly once?: true;
  readonly downloads?: number;
  /** False for --no-relay. */
  readonly relay?: readonly string[] | false;
  readonly waitCopies?: number;
  readonly to?: readonly string[];
  readonly passphrase?: string | true;
  readonly passphraseFile?: string;
  readonly expires?: number;
}

function addSharing(program: Command, contextOf: ContextFor): void {
  program
    .command('share')
    .description('print a link to files or folders, and serve it until Ctrl-C')
    .argument('<path...>', 'a file or folder, several to be one folder, or "-" for what comes from stdin')
    .option('--name <name>', 'what readers see in place of its name')
    .option('--note <text>', 'what readers are told of it')
    .addOption(repeatable('--exclude <glob>', 'leave these out'))
    .option('--skip', 'go on without what can not be shared')
    .option('--copy', 'keep an encrypted copy, so that the files may change')
    .option('--no-pad', 'do not hide the exact size')
    .option('--new', 'a new key and link, also where the same files were shared before')
    .option('--fresh-id', 'serve it under a peer id of its own, by which nobody can tell that it is yours')
    .addOption(
      repeatable('--relay <relay>', 'leave it at this relay too, by origin or multiaddr (default: those added)'),
    )
    .option('--no-relay', 'leave it at no relay')
    .addOption(
      new Option('--wait-copies <n>', 'end once so many relays have it, and have shown that').argParser(parseCount),
    )
    .addOption(
      repeatable(
        '--hint <addr>',
        'put this address or relay into the link; "self" stands for the addresses of this node (default: the relays)',
      ),
    )
    .option('--no-hints', 'put no addresses into the link')
    .addOption(readerOption())
    .addOption(
      passphraseOption('print a link for who knows a passphrase, which is made and shown once; =ask for your own'),
    )
    .addOption(passphraseFile())
    .option('--qr', 'show the link as a QR code too')
    .option('--detach', 'have the daemon serve it, which is started where none runs')
    .option('--once', 'serve it until one has got it all')
    .addOption(new Option('--downloads <n>', 'serve it until so many have got it all').argParser(parseCount))
    .addOption(
      new Option(
        '--expires <when>',
        'nobody is to serve it after 12h, 7d, 2w, or that day or time: 2026-12-24, 2026-12-24T18:00',
      ).argParser(text => parseExpiry(text, Date.now() / 1000)),
    )
    .action(async (paths: string[], flags: ShareFlags, command: Command) => {
      const { name, note, exclude = [], qr = false, hints, hint, detach = false, relay, waitCopies } = flags;
      const { skip = false, copy = false, pad, new: anew = false, freshId } = flags;
      const { to, passphrase, passphraseFile: file } = flags;
      if (flags.once === true && flags.downloads !== undefined)
        throw new ShoalError('usage', '--once and --downloads do not go together');
      const downloads = flags.once === true ? 1 : flags.downloads;
      if (relay === false && waitCopies !== undefined)
        throw new ShoalError('usage', '--wait-copies waits for relays, and --no-relay asks for none');
      if (!hints && hint !== undefined) throw new ShoalError('usage', '--hint and --no-hints do not go together');
      // It could pass for the name of a relay, and the key would stand in the link of another share.
      if (hint?.some(holdsKey) === true) throw new ShoalError('usage', '--hint takes an address, and a link was given');
      const context = await contextOf(command);
      const { share } = await import('./commands/share.ts');
      const words = { ...(name === undefined ? {} : { name }), ...(note ? { note } : {}) };
      const limit = {
        ...(downloads === undefined ? {} : { downloads }),
        ...(flags.expires === undefined ? {} : { expires: flags.expires }),
      };
      const wanted = hints ? hint : [];
      const copies = {
        ...(relay === undefined ? {} : { relays: relay === false ? [] : relay }),
        ...(waitCopies === undefined ? {} : { waitCopies }),
        ...(wanted === undefined ? {} : { hints: wanted }),
      };
      const readers = {
        ...(to === undefined ? {} : { to }),
        ...(passphrase === undefined ? {} : { passphrase }),
        ...(file === undefined ? {} : { passphraseFile: file }),
      };
      await share(context, paths, {
        ...words,
        ...limit,
        ...copies,
        exclude,
        skip,
        copy,
        pad,
        anew,
        ...(freshId === true ? { freshId } : {}),
        qr,
        detach,
        readers,
      });
    });
}

interface FetchFlags extends AccessFlags {
  readonly output: string;
  readonly only?: readonly string[];
  readonly keep?: true;
  readonly force?: true;
  readonly detach?: true;
  readonly dryRun?: true;
  readonly explain?: true;
}

interface SeedFlags {
  readonly timeout?: number;
  readonly detach?: true;
}

interface CheckFlags extends AccessFlags {
  readonly allowExtra?: true;
}

function addFetching(program: Command, contextOf: ContextFor): void {
  program
    .command('fetch')
    .description('download, verify and decrypt; goes on where an earlier run stopped')
    .argument('[link]', 'a link, or "-" to read it from stdin (default: SHOAL_LINK)')
    .option(
      '-o, --output <path>',
      'a folder to put it into, or its final place; "-" writes a single file to stdout',
      '.',
    )
    .addOption(repeatable('--only <glob>', 'only these files of a folder'))
    .option('--keep', 'serve it on afterwards, until Ctrl-C')
    .option('--force', 'replace what stands there; refused where that would delete files that are not fetched')
    .option('--detach', 'have the daemon fetch it, which is started where none runs; "shoal transfers" follows it')
    .option('--dry-run', 'say what it would do now, and write nothing')
    .option('--explain', 'in the end, show its stages with their times and outcomes')
    .addOption(timeout())
    .addOption(identityOption())
    .addOption(accessPassphrase())
    .addOption(passphraseFile())
    .action(async (link: string | undefined, flags: FetchFlags, command: Command) => {
      const { only = [], keep = false, force = false } = flags;
      const { detach = false, dryRun = false, explain = false } = flags;
      if (detach && explain) throw new ShoalError('usage', '--explain and --detach do not go together');
      const context = await contextOf(command);
      const { fetch } = await import('./commands/fetch.ts');
      await fetch(context, link, { ...flags, only, keep, force, detach, dryRun, explain });
    });

  program
    .command('seed')
    .description('carry a share: get its encrypted blocks into this home, and serve them until Ctrl-C')
    .argument('[link]', 'a link, the id of a share, or "-" to read that from stdin (default: SHOAL_LINK)')
    .option('--detach', 'have the daemon serve it from then on, which is started where none runs')
    .addOption(timeout())
    .action(async (link: string | undefined, flags: SeedFlags, command: Command) => {
      const context = await contextOf(command);
      const { seed } = await import('./commands/seed.ts');
      await seed(context, link, { ...flags, detach: flags.detach ?? false });
    });

  program
    .command('check')
    .description('is a local copy, under whatever name, exactly what a link names?')
    .argument('<link>', 'a link, or "-" to read it from stdin')
    .argument('<path>', 'a file or folder')
    .option('--allow-extra', 'what the link does not name may be there, too')
    .addOption(timeout())
    .addOption(identityOption())
    .addOption(accessPassphrase())
    .addOption(passphraseFile())
    .action(async (link: string, path: string, flags: CheckFlags, command: Command) => {
      const context = await contextOf(command);
      const { check } = await import('./commands/check.ts');
      await check(context, link, path, { ...flags, allowExtra: flags.allowExtra ?? false });
    });

  program
    .command('ls')
    .description('names and sizes, without downloading the data')
    .argument('[link]', 'a link, or "-" to read it from stdin (default: SHOAL_LINK)')
    .addOption(timeout())
    .addOption(identityOption())
    .addOption(accessPassphrase())
    .addOption(passphraseFile())
    .action(async (link: string | undefined, flags: AccessFlags, command: Command) => {
      const context = await contextOf(command);
      const { ls } = await import('./commands/ls.ts');
      await ls(context, link, flags);
    });
}

function addHome(program: Command, contextOf: ContextFor): void {
  program
    .command('shares')
    .description('what this home shares')
    .action(async (_flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { shares } = await import('./commands/shares.ts');
      await shares(context);
    });

  program
    .command('show')
    .description('one share of this home in full')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .option('--link', 'print its link and nothing else; who has that can read it')
    .action(async (id: string, flags: { readonly link?: true }, command: Command) => {
      const context = await contextOf(command);
      const { show } = await import('./commands/show.ts');
      await show(context, id, { link: flags.link ?? false });
    });

  program
    .command('forget')
    .description('stop serving a share here, and forget it; files stay')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { forget } = await import('./commands/shares.ts');
      await forget(context, id);
    });

  program
    .command('verify')
    .description('who has a share: how much of it, and whether random chunks of that are right')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .option('--repair', 'give it again to relays of this home that lack some of it')
    .action(async (id: string, flags: { readonly repair?: true }, command: Command) => {
      const context = await contextOf(command);
      const { verify } = await import('./commands/verify.ts');
      await verify(context, id, { repair: flags.repair ?? false });
    });

  program
    .command('export')
    .description('write the encrypted blocks of a share to a CAR file')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .requiredOption('-o, --output <file>', 'the file to write')
    .option('--force', 'replace what stands there')
    .action(async (id: string, flags: { readonly output: string; readonly force?: true }, command: Command) => {
      const context = await contextOf(command);
      const { exportCar } = await import('./commands/archive.ts');
      await exportCar(context, id, { output: flags.output, force: flags.force ?? false });
    });

  program
    .command('import')
    .description('take in the blocks of a CAR file, for "shoal fetch" to use')
    .argument('<file>', 'the file to read')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { importCar } = await import('./commands/archive.ts');
      await importCar(context, file);
    });
}

interface DaemonFlags {
  readonly detach?: true;
  readonly stop?: true;
  readonly apiListen?: ReturnType<typeof parseLocalPort>;
  readonly logFile?: string;
  readonly logLevel?: (typeof LOG_LEVELS)[number];
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

function addDaemon(program: Command, contextOf: ContextFor): void {
  program
    .command('daemon')
    .description('serve what is to be served always, and carry out transfers, until it is stopped')
    .option('--detach', 'start it in the background, and wait until it is ready')
    .option('--stop', 'stop the one that runs')
    .addOption(
      new Option(
        '--api-listen <host:port>',
        'open the API on this address of this machine too; the token is in the home',
      ).argParser(parseLocalPort),
    )
    .option('--log-file <file>', 'write the log there, and no more than 10 MB')
    .addOption(new Option('--log-level <level>', 'what is logged (default: info)').choices(LOG_LEVELS))
    .action(async ({ detach, stop, ...flags }: DaemonFlags, command: Command) => {
      if (stop === true && detach === true) throw new ShoalError('usage', '--stop and --detach do not go together');
      if (detach === true && flags.logFile !== undefined)
        throw new ShoalError(
          'usage',
          '--log-file and --detach do not go together: its log is "daemon.log" in the home',
        );
      const context = await contextOf(command);
      const commands = await import('./commands/daemon.ts');
      if (stop === true) await commands.stop(context);
      else if (detach === true) await commands.detach(context, flags);
      else await commands.daemon(context, flags);
    });

  program
    .command('status')
    .description('how the process that holds this home stands')
    .action(async (_flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { status } = await import('./commands/status.ts');
      await status(context);
    });

  program
    .command('peers')
    .description('whom the process that holds this home is connected with')
    .action(async (_flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { peers } = await import('./commands/status.ts');
      await peers(context);
    });

  const relays = program
    .command('relays')
    .description('relays that keep and pass on what is shared')
    .action(async (_flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { list } = await import('./commands/relays.ts');
      await list(context);
    });
  relays
    .command('list')
    .description('the relays of this home')
    .action(async (_flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { list } = await import('./commands/relays.ts');
      await list(context);
    });
  relays
    .command('add')
    .description('use a relay for all that is shared from now on, and be reached through it')
    .argument('<relay>', 'its origin, as in https://relay.example, or a multiaddr that ends in /p2p/ and its peer id')
    .option('--token-file <file>', 'an invite token of the relay; "-" reads it from stdin')
    .action(async (relay: string, flags: { readonly tokenFile?: string }, command: Command) => {
      const context = await contextOf(command);
      const { add } = await import('./commands/relays.ts');
      await add(context, relay, flags);
    });
  relays
    .command('remove')
    .description('use a relay no more')
    .argument('<relay>', 'as it is listed')
    .action(async (relay: string, _flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { remove } = await import('./commands/relays.ts');
      await remove(context, relay);
    });
  relays
    .command('show')
    .description('what a relay is, and what it allows')
    .argument('<relay>', 'as it is listed')
    .action(async (relay: string, _flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { show } = await import('./commands/relays.ts');
      await show(context, relay);
    });

  const transfers = program
    .command('transfers')
    .description('what is being fetched in this home')
    .action(async (_flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { list } = await import('./commands/transfers.ts');
      await list(context);
    });
  const doings = {
    pause: 'stop one for now, or what the daemon serves',
    resume: 'go on with one that is paused or failed, or have the daemon serve a share',
    cancel: 'end one, and remove what it has fetched so far',
  } as const;
  for (const [name, description] of Object.entries(doings) as [keyof typeof doings, string][]) {
    transfers
      .command(name)
      .description(description)
      .argument('<id>', name === 'cancel' ? 'of a transfer' : 'of a transfer, or of a share')
      .action(async (id: string, _flags: unknown, command: Command) => {
        const context = await contextOf(command);
        const commands = await import('./commands/transfers.ts');
        await commands[name](context, id);
      });
  }
}

function addDoctor(program: Command, contextOf: (command: Command) => ConfigContext): void {
  program
    .command('doctor')
    .description('look for what may be wrong with this home and its node, and say what to do about it')
    .action(async (_flags: unknown, command: Command) => {
      const { contextOf: load, ...surroundings } = contextOf(command);
      const { doctor } = await import('./commands/doctor.ts');
      await doctor(surroundings, load);
    });
}

function addConfig(program: Command, contextOf: (command: Command) => ConfigContext): void {
  const load = () => import('./commands/config.ts');
  const config = program
    .command('config')
    .description('the settings that hold, and where each comes from')
    .action(async (_flags: unknown, command: Command) => (await load()).config(contextOf(command)));

  config
    .command('get')
    .description('print the value that holds')
    .argument('<key>', 'section and key, as in network.port')
    .action(async (key: string, _flags: unknown, command: Command) =>
      (await load()).getConfig(contextOf(command), key),
    );

  config
    .command('set')
    .description('set a key in the configuration file, and keep all else in it')
    .argument('<key>', 'section and key, as in network.port')
    .argument('<value...>', 'its value; several for a list')
    .action(async (key: string, values: string[], _flags: unknown, command: Command) =>
      (await load()).setConfig(contextOf(command), key, values),
    );

  config
    .command('unset')
    .description('take a key out of the configuration file')
    .argument('<key>', 'section and key, as in network.port')
    .action(async (key: string, _flags: unknown, command: Command) =>
      (await load()).unsetConfig(contextOf(command), key),
    );

  config
    .command('edit')
    .description('edit the configuration file with VISUAL, EDITOR or vi; it is changed when the text is right')
    .option('--anew', 'drop what an earlier edit has left')
    .action(async (flags: { readonly anew?: true }, command: Command) =>
      (await load()).editConfig(contextOf(command), { anew: flags.anew ?? false }),
    );

  config
    .command('path')
    .description('print where the configuration file is, or would be')
    .action(async (_flags: unknown, command: Command) => (await load()).configPath(contextOf(command)));
}

/** A setting as an option of all commands. */
function optionOf({ option, kind }: Setting): Option {
  const { flags = '', description = '' } = option ?? {};
  if (kind.type === 'list') return repeatable(flags, description);
  const made = new Option(flags, description);
  return kind.choices === undefined ? made : made.choices(kind.choices);
}

const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

const COMPLETION_EPILOGUE = `
To install it, for bash (with the package bash-completion), zsh and fish:
  shoal completion bash > ~/.local/share/bash-completion/completions/shoal
  shoal completion zsh > ~/.zfunc/_shoal     with "fpath=(~/.zfunc $fpath)" before "compinit" in ~/.zshrc
  shoal completion fish > ~/.config/fish/completions/shoal.fish

For bash without that package, a line of ~/.bashrc:
  source <(shoal completion bash)
`;

function addCompletion(program: Command, print: (text: string) => void): void {
  program
    .command('completion')
    .description('print a script that completes command lines in your shell')
    .addArgument(new Argument('[shell]', 'the shell that is to run it').choices(SHELLS))
    .usage(SHELLS.join('|'))
    .addHelpText('after', COMPLETION_EPILOGUE)
    .action(async (shell: Shell | undefined) => {
      if (shell === undefined)
        throw new ShoalError('usage', `no shell is given: it is ${SHELLS.join(', ')}, as in "shoal completion bash"`);
      const { completion } = await import('./commands/completion.ts');
      print(completion(shell, program));
    });
}

function timeout(): Option {
  const description =
    'give up when nothing has moved for so long: 30s, 5m, 2h, never (default: never on a terminal, else 5m)';
  return new Option('--timeout <duration>', description).argParser(parseDuration);
}
