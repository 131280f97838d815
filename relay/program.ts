/** What can be typed to `shoal-relay`: commands, options, and the help. What a command does is loaded when it is called. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { isShoalError } from '../src/errors.ts';
import { parseDuration } from '../src/format/durations.ts';
import { parseBytes } from '../src/format/sizes.ts';
import type { InitFlags } from './commands/init.ts';
import type { RunContext, StartRelay } from './commands/run.ts';
import type { TokenFlags } from './commands/token.ts';

interface GlobalOptions {
  /** The configuration file. */
  readonly config?: string;
}

/** What the program is made of. */
export interface ProgramParts {
  readonly version: string;
  /** Takes help and version. */
  readonly print: (text: string) => void;
  readonly contextOf: (config: string | undefined) => RunContext;
  /** Starts a relay; without it, there is no command that does. */
  readonly start: StartRelay;
  /** Told where a command ends otherwise than well without an error. */
  readonly onExitCode: (exitCode: number) => void;
}

const EPILOGUE = `
The configuration is config.toml in the folder that SHOAL_RELAY_HOME names; without that in /etc/shoal-relay for
root, else in the user's folder for configurations.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no relay answers, 130 stopped before it was done.
`;

/** Usage errors are thrown as commander's own. */
export function programOf({ version, print, contextOf, start, onExitCode }: ProgramParts): Command {
  const program = new Command('shoal-relay')
    .description('A relay of the shoal network: passes on, stores and serves what it can not read.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .configureOutput({ writeOut: print, writeErr: () => undefined, getErrHasColors: () => false })
    .exitOverride()
    .option('--json', 'print one JSON object')
    .option('--debug', 'print traces of errors')
    .option('--config <file>', 'the configuration file (default: config.toml, see below)')
    .addHelpText('after', EPILOGUE);
  const context = (command: Command): RunContext => contextOf(command.optsWithGlobals<GlobalOptions>().config);

  program
    .command('init')
    .description('write a configuration, and make the data folder with the key of the relay')
    .option('--name <name>', 'what the relay is called')
    .option('--contact <contact>', 'where its operator can be reached: an e-mail address or a URL')
    .option('--public <host>', 'the host name or IP address under which it is reached from outside')
    .option('--disk <size>', 'how much it may store, like "100 GB"')
    .option('--data <folder>', 'where its key is, and what it stores')
    .option('--force', 'replace a configuration that is there; the key stays')
    .action(async (flags: InitFlags, command: Command) => {
      const { init } = await import('./commands/init.ts');
      await init(context(command), flags);
    });

  program
    .command('run')
    .description('run the relay until it is stopped; at SIGHUP it reads its configuration again')
    .action(async (_flags: unknown, command: Command) => {
      const { runRelay } = await import('./commands/run.ts');
      await runRelay(context(command), start);
    });

  program
    .command('check-config')
    .description('say what is wrong with the configuration, or what holds')
    .action(async (_flags: unknown, command: Command) => {
      const { checkConfig } = await import('./commands/check-config.ts');
      onExitCode(await checkConfig(context(command)));
    });

  program
    .command('status')
    .description('how the relay that runs here stands')
    .action(async (_flags: unknown, command: Command) => {
      const { status } = await import('./commands/status.ts');
      await status(context(command));
    });

  addToken(program, context);
  return program;
}

function addToken(program: Command, context: (command: Command) => RunContext): void {
  const load = () => import('./commands/token.ts');
  const token = program.command('token').description('invite tokens: who has one may have more of this relay');

  token
    .command('create')
    .description('print a new token; it is shown only now')
    .addOption(
      new Option('--expires <duration>', 'when it stops to hold: 12h, 30 days')
        .argParser(time)
        .default(time('30 days'), '30 days'),
    )
    .addOption(
      new Option('--disk <size>', 'what its holders may store together, like "20 GB"').argParser(reading(parseBytes)),
    )
    .addOption(new Option('--lease <duration>', 'how long that is stored, like "90 days"').argParser(time))
    .option('--note <text>', 'whom it is for; only the list shows it')
    .action(async (flags: TokenFlags, command: Command) => (await load()).createToken(context(command), flags));

  token
    .command('list')
    .description('the tokens that were made, with their notes')
    .action(async (_flags: unknown, command: Command) => (await load()).listTokens(context(command)));

  token
    .command('revoke')
    .description('let a token hold no more')
    .argument('<id>', 'its id, or the token itself')
    .action(async (id: string, _flags: unknown, command: Command) => (await load()).revokeToken(context(command), id));
}

/** Milliseconds, of an end that comes. */
function time(text: string): number {
  const ms = reading(parseDuration)(text);
  if (ms >= 1000 && ms < Infinity) return ms;
  throw new InvalidArgumentError('write it like 12h or 30 days');
}

/** `read` as commander wants it. */
function reading<T>(read: (text: string) => T): (text: string) => T {
  return text => {
    try {
      return read(text);
    } catch (error) {
      if (isShoalError(error)) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}
