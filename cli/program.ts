/** What can be typed: commands, options, and the help. What a command does is loaded when it is called. */
import { Command, Option } from 'commander';
import { ShoalError } from '../src/errors.ts';
import type { Context } from './context.ts';
import { holdsKey } from './secrets.ts';
import { DHT_MODES, type GlobalOptions } from './settings.ts';
import { parseDuration } from './units.ts';

/** Makes what a command needs, when it is called. */
export type MakeContext = (options: GlobalOptions) => Promise<Context>;

const EPILOGUE = `
Exit codes:
  0    done
  1    failed; also shares that are malformed, corrupt, or made by a newer program
  2    wrong usage, or a bad link
  3    nobody found, or who was found is busy, over quota, or lacks it
  4    wrong key, passphrase or identity
  5    every source that knew it refused: blocked, withdrawn or expired
  6    a source file changed since it was shared
  130  interrupted; the same command goes on from there

Environment:
  SHOAL_HOME       the folder of this node's identity and shares
  SHOAL_LINK       the link, where a command is given none
  SHOAL_LISTEN, SHOAL_BOOTSTRAP (separated by commas), SHOAL_MDNS (on, off), SHOAL_DHT,
  SHOAL_MAX_UP, SHOAL_MAX_DOWN, SHOAL_MAX_CONNECTIONS, SHOAL_PORT_MAPPING (on, off)
                   as the options of these names, which win
  NO_COLOR         no control codes; without a terminal there are none anyway

A link on the command line ends up in the shell's history, and with npx in lists of processes. Give "-" and the link on
stdin to keep it out of there.
`;

/** @param version of the package  @param print takes help and version; usage errors are thrown as commander's own. */
export function programOf(version: string, print: (text: string) => void, contextOf: MakeContext): Command {
  const program = new Command('shoal')
    .description(
      'Share files privately: encrypted on your machine, carried by peers, readable by whom you gave the link.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: print, writeErr: () => undefined, getErrHasColors: () => false })
    .exitOverride()
    .option('--json', 'print JSON: one object, or an event per line for work that takes long')
    .option('-q, --quiet', 'print results and errors only')
    .option('--debug', 'print what goes on inside, and traces of errors')
    .addOption(repeatable('--listen <addr>', 'listen on this multiaddr (default: all interfaces, any port)'))
    .addOption(repeatable('--bootstrap <addr>', 'begin at this peer, a multiaddr with /p2p/'))
    .option('--no-mdns', 'do not look for peers on the local network')
    .addOption(new Option('--dht <mode>', 'part taken in the DHT (default: auto)').choices(DHT_MODES))
    .option('--no-port-mapping', 'do not ask the router for a port that others can reach')
    .option('--max-up <rate>', 'send no more than this of blocks, like "500 kB/s", to all peers together')
    .option('--max-down <rate>', 'receive no more than this, from all peers together')
    .option('--max-connections <n>', 'have no more connections than this (default: 300)')
    .addHelpText('after', EPILOGUE);

  const context = (command: Command): Promise<Context> => {
    const { mdns, portMapping, ...options } = command.optsWithGlobals<GlobalOptions>();
    // Commander says true where it was not given; then the environment is to be asked.
    return contextOf({
      ...options,
      ...(mdns === false ? { mdns } : {}),
      ...(portMapping === false ? { portMapping } : {}),
    });
  };
  addSharing(program, context);
  addFetching(program, context);
  addHome(program, context);
  return program;
}

type ContextFor = (command: Command) => Promise<Context>;

interface ShareFlags {
  readonly name?: string;
  readonly skip?: true;
  readonly copy?: true;
  readonly pad: boolean;
  readonly new?: true;
  readonly hint?: readonly string[];
  readonly hints: boolean;
}

function addSharing(program: Command, contextOf: ContextFor): void {
  program
    .command('share')
    .description('print a link to a file or folder, and serve it until Ctrl-C')
    .argument('<path>', 'a file or folder')
    .option('--name <name>', 'what readers see in place of its name')
    .option('--skip', 'go on without what can not be shared')
    .option('--copy', 'keep an encrypted copy, so that the files may change')
    .option('--no-pad', 'do not hide the exact size')
    .option('--new', 'a new key and link, also where the same files were shared before')
    .addOption(repeatable('--hint <addr>', 'put this address into the link; "self" stands for those of this node'))
    .option('--no-hints', 'put no addresses into the link')
    .action(async (path: string, flags: ShareFlags, command: Command) => {
      const { name, skip = false, copy = false, pad, new: anew = false, hint = [], hints } = flags;
      if (!hints && hint.length > 0) throw new ShoalError('usage', '--hint and --no-hints do not go together');
      // It could pass for the name of a relay, and the key would stand in the link of another share.
      if (hint.some(holdsKey)) throw new ShoalError('usage', '--hint takes an address, and a link was given');
      const context = await contextOf(command);
      const { share } = await import('./commands/share.ts');
      await share(context, path, { ...(name === undefined ? {} : { name }), skip, copy, pad, anew, hints: hint });
    });
}

interface FetchFlags {
  readonly output: string;
  readonly only?: readonly string[];
  readonly keep?: true;
  readonly force?: true;
  readonly timeout?: number;
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
    .addOption(timeout())
    .action(async (link: string | undefined, flags: FetchFlags, command: Command) => {
      const { only = [], keep = false, force = false } = flags;
      const context = await contextOf(command);
      const { fetch } = await import('./commands/fetch.ts');
      await fetch(context, link, { ...flags, only, keep, force });
    });

  program
    .command('ls')
    .description('names and sizes, without downloading the data')
    .argument('[link]', 'a link, or "-" to read it from stdin (default: SHOAL_LINK)')
    .addOption(timeout())
    .action(async (link: string | undefined, flags: { readonly timeout?: number }, command: Command) => {
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
    .command('forget')
    .description('stop serving a share here, and forget it; files stay')
    .argument('<id>', 'an id, the beginning of one, or a link')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const context = await contextOf(command);
      const { forget } = await import('./commands/shares.ts');
      await forget(context, id);
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

function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; repeatable`).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);
}

function timeout(): Option {
  const description =
    'give up when nothing has moved for so long: 30s, 5m, 2h, never (default: never on a terminal, else 5m)';
  return new Option('--timeout <duration>', description).argParser(parseDuration);
}
