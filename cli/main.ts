/** The command line: from arguments to an exit code. */
import { resolve } from 'node:path';
import { format } from 'node:util';
import type { Readable } from 'node:stream';
import { CommanderError, type Command } from 'commander';
import { exitCodeOf, fileError, isShoalError, ShoalError } from '../src/errors.ts';
import type { Log } from '../src/ports.ts';
import { VERSION } from '../src/version.ts';
import { loadSettings } from './config-place.ts';
import { Told, type Performer } from './context.ts';
import { isInBackground } from './foreground.ts';
import { programOf, type MakeContext } from './program.ts';
import { holdsKey, takeSecrets } from './secrets.ts';
import { askedOf, networkArgs, networkOf, type Settings } from './settings.ts';
import { standardOutput } from './stdout.ts';
import { Terminal, type TerminalOptions } from './terminal.ts';
import { usageError } from './usage.ts';

/** What a performer is made for. */
export interface Asked {
  readonly settings: Settings;
  /** Tell what goes on inside. */
  readonly debug: boolean;
}

/** What a run of the program meets. */
export interface World {
  /** Without the program's own name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: NodeJS.WritableStream;
  readonly terminal: Terminal;
  /** Aborted with a ShoalError that says why. */
  readonly signal: AbortSignal;
  /** Told what is run, by its name alone, as in "relays add". */
  readonly onCommand?: (name: string) => void;
  readonly performerOf: (asked: Asked, terminal: Terminal, log?: Log) => Promise<Performer>;
}

/** Runs one command. Whatever goes wrong is printed; the exit code says what it was. */
export async function run(world: World): Promise<number> {
  const { args, terminal, signal, performerOf, onCommand, ...others } = world;
  const print = (text: string): void => terminal.results(text.trimEnd().split('\n'));
  const surroundings = { ...others, terminal, signal };
  const contextOf: MakeContext = async options => {
    if (isRunByNpm(others.env) && args.some(holdsKey)) terminal.say(SHOWN_BY_NPM);
    const settings = await loadSettings(options, others.env, others.cwd);
    const perform = (log?: Log): Promise<Performer> =>
      performerOf({ settings, debug: options.debug === true }, terminal, log);
    const config = options.config === undefined ? [] : ['--config', resolve(others.cwd, options.config)];
    return {
      ...surroundings,
      settings,
      performer: await perform(),
      performerWith: perform,
      argsForOthers: [...config, ...networkArgs(options)],
    };
  };
  const program = programOf(VERSION, print, contextOf, () => surroundings);
  program.hook('preAction', (_program, command) => onCommand?.(nameOf(command)));
  try {
    if (args.length === 0) throw new ShoalError('usage', 'no command is given; "shoal --help" lists them');
    await program.parseAsync(withBarePassphrase(args), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (signal.reason instanceof ReaderGone) return 1;
    if (error instanceof Told) return error.exitCode;
    // What was aborted says only that; the reason of the signal says why.
    const why: unknown = isShoalError(error, 'interrupted') && signal.aborted ? signal.reason : error;
    const told = why instanceof CommanderError ? usageError(why, args, program) : why;
    return report(told, terminal, isSet(args, '--debug'));
  } finally {
    terminal.live('');
  }
}

/** With what it stands below, without the program's own name. */
function nameOf(command: Command): string {
  const { parent } = command;
  return parent?.parent ? `${nameOf(parent)} ${command.name()}` : command.name();
}

/** This process hides its own arguments; npm and the shell that it starts are there for as long, and do not. */
const SHOWN_BY_NPM =
  'other users of this machine can see the link while this runs, in the command line of npm; "npx shoal fetch -" reads it from stdin';

/** As `npx` or `npm exec`. */
function isRunByNpm(env: World['env']): boolean {
  return env['npm_command'] === 'exec' || env['npm_lifecycle_event'] === 'npx';
}

/** The terminal as the options want it, which must be known before they are parsed, as that may fail. */
export function terminalOf(args: readonly string[], streams: Omit<TerminalOptions, 'json' | 'quiet'>): Terminal {
  const quiet = isSet(args, '--quiet') || isSet(args, '-q');
  return new Terminal({ ...streams, json: isSet(args, '--json'), quiet });
}

function isSet(args: readonly string[], option: string): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes(option);
}

/** Prints an error and returns its exit code. An interruption is what the user wanted; what it left, its command has said. */
function report(error: unknown, terminal: Terminal, debug: boolean): number {
  const code = isShoalError(error) ? error.code : 'internal';
  const exitCode = code === 'internal' ? 1 : exitCodeOf(code);
  if (terminal.isJson || code !== 'interrupted')
    terminal.fail(code, messageOf(error, debug || terminal.isJson), exitCode);
  if (debug) terminal.warn(traceOf(error));
  return exitCode;
}

function messageOf(error: unknown, isTraced: boolean): string {
  if (isShoalError(error)) return error.message;
  const message = `internal error: ${error instanceof Error ? error.message : format(error)}`;
  return isTraced ? message : `${message}; this is a bug, run it again with --debug for its trace`;
}

/** Stacks only: other properties of an error might hold what is secret. */
function traceOf(error: unknown): string {
  const stacks: string[] = [];
  for (let one = error; one instanceof Error; one = one.cause) stacks.push(one.stack ?? one.message);
  return stacks.join('\ncaused by ').replaceAll(/\n\s*/g, '\n  ');
}

/** Whoever read stdout has gone, as `head` does: there is nothing to tell, and nobody to tell it. */
class ReaderGone extends Error {}

/** Signals closer together than this are one press of Ctrl-C that came both from the terminal and through a parent. */
const SAME_PRESS_MS = 300;
/** A process that has nothing left to do and does not end by itself is ended after this time. */
const LINGER_MS = 3_000;

/** Runs the program in this process. */
export async function main(): Promise<void> {
  const { stdin, stderr } = process;
  const env = takeSecrets(process.env);
  const stdout = standardOutput();
  const args = process.argv.slice(2);
  const terminal = terminalOf(args, { env, stdout, stderr, isInBackground });
  const stop = new AbortController();
  stopOnSignals(stop);
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    const why = error.code === 'EPIPE' ? new ReaderGone() : fileError(error, 'write to stdout');
    stop.abort(why);
    // What was written last fails when the command has ended already.
    if (process.exitCode === 0)
      process.exitCode = why instanceof ReaderGone ? 1 : report(why, terminal, isSet(args, '--debug'));
  });
  // Where nobody listens to the talk, it is not missed.
  stderr.on('error', () => undefined);
  process.on('exit', () => terminal.live(''));
  process.on('uncaughtException', error => {
    terminal.live('');
    process.exit(report(error, terminal, isSet(args, '--debug')));
  });
  const cwd = process.cwd();
  const { signal } = stop;
  // Lists of processes show this and nothing of the arguments (bin/shoal.js).
  const onCommand = (name: string): void => void (process.title = `shoal ${name}`);
  const world = { args, env, cwd, stdin, stdout, terminal, signal, onCommand, performerOf: sessionPerformer };
  process.exitCode = await run(world);
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

/** The first signal stops the work, which tidies up; a second one of Ctrl-C ends the process at once. */
function stopOnSignals(stop: AbortController): void {
  let pressedMs = -Infinity;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const now = performance.now();
      const isSamePress = now - pressedMs < SAME_PRESS_MS;
      if (signal === 'SIGINT' && stop.signal.aborted && !isSamePress) process.exit(exitCodeOf('interrupted'));
      pressedMs = now;
      stop.abort(new ShoalError('interrupted', 'stopped on request'));
    });
  }
}

/** What a command says of what goes on inside: errors only, unless it is asked for more. */
function talkingLog(terminal: Terminal, debug: boolean): Log {
  return (level, message, fields) => {
    if (debug) terminal.warn(`${level}: ${message}${fields === undefined ? '' : ` ${format('%j', fields)}`}`);
    else if (level === 'error') terminal.warn(message);
  };
}

async function sessionPerformer({ settings, debug }: Asked, terminal: Terminal, log?: Log): Promise<Performer> {
  const { fetchTo, homeFolder, perform } = await import('../src/daemon/session.ts');
  const session = {
    home: homeFolder(process.env),
    network: networkOf(settings),
    quotaBytes: settings.quota.value,
    asked: askedOf(settings),
    log: log ?? talkingLog(terminal, debug),
    onNotice: (text: string): void => terminal.say(text),
  };
  return {
    run: (action, parameters, onEvent, signal) => perform(session, action, parameters, onEvent, signal),
    shareStream: async (parameters, input, onEvent, signal) => {
      const { shareStream } = await import('../src/daemon/stdin.ts');
      return await shareStream(session, parameters, input, onEvent, signal);
    },
    fetchTo: (parameters, output, onEvent, signal) => fetchTo(session, parameters, output, onEvent, signal),
  };
}

/** What stands behind a bare `--passphrase` is never its value: a passphrase there would be seen by others, and a path is none. */
function withBarePassphrase(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, n) => (arg === '--passphrase' && (end < 0 || n < end) ? `${arg}=` : arg));
}
