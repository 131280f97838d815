/** The command line of a relay: from arguments to an exit code. */

import { format } from 'node:util';
import { CommanderError, type Command } from 'commander';
import { exitCodeOf, isShoalError, ShoalError } from '../src/errors.ts';
import { HANG_UP_MS } from '../src/limits.ts';
import { VERSION } from '../src/version.ts';
import type { RunContext, StartRelay } from './commands/run.ts';
import type { Typed } from './context.ts';
import { relayPlace } from './folder.ts';
import { Output } from './output.ts';
import { programOf } from './program.ts';

/** What a run of the program meets. */
export interface World {
  /** Without the program's own name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly isRoot: boolean;
  readonly output: Output;
  /** Where somebody is asked; undefined where nobody is there. */
  readonly typed?: Typed;
  /** Aborted with a ShoalError that says why. */
  readonly signal: AbortSignal;
  readonly onReload: RunContext['onReload'];
  readonly start: StartRelay;
  /** Told what is run, by its name alone, as in "token create". */
  readonly onCommand?: (name: string) => void;
}

/** Runs one command. Whatever goes wrong is printed; the exit code says what it was. */
export async function run(world: World): Promise<number> {
  const { args, env, cwd, isRoot, output, typed, signal, onReload, start, onCommand } = world;
  let exitCode = 0;
  const program = programOf({
    version: VERSION,
    print: text => output.results(text.trimEnd().split('\n')),
    contextOf: config => ({
      place: relayPlace(config, env, cwd, isRoot),
      cwd,
      output,
      signal,
      onReload,
      ...(typed === undefined ? {} : { typed }),
    }),
    start,
    onExitCode: code => (exitCode = code),
  });
  program.hook('preAction', (_program, command) => onCommand?.(nameOf(command)));
  try {
    if (args.length === 0) throw new ShoalError('usage', 'no command is given; "shoal-relay --help" lists them');
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return report(error instanceof CommanderError ? usageError(error) : error, output, args.includes('--debug'));
  }
}

/** With what it stands below, without the program's own name. */
function nameOf(command: Command): string {
  const { parent } = command;
  return parent?.parent ? `${nameOf(parent)} ${command.name()}` : command.name();
}

/** In the words of commander, but for its frame. */
function usageError(error: CommanderError): ShoalError {
  const isHelp = error.code === 'commander.help';
  const said = isHelp ? 'no command is given' : (error.message.split('\n')[0] ?? '');
  const what = said.replace(/^error: /, '').replace(/\.$/, '');
  return new ShoalError('usage', `${what}; "shoal-relay --help" says more`, { cause: error });
}

/** Prints an error and returns its exit code. An interruption is what its user wanted. */
function report(error: unknown, output: Output, debug: boolean): number {
  const code = isShoalError(error) ? error.code : 'internal';
  const exitCode = code === 'internal' ? 1 : exitCodeOf(code);
  const message = error instanceof Error ? error.message : format(error);
  const told = isShoalError(error)
    ? message
    : `internal error: ${message}; this is a bug, run it again with --debug for its trace`;
  if (output.isJson || code !== 'interrupted') output.fail(code, told, exitCode);
  if (debug && error instanceof Error) output.warn((error.stack ?? message).replaceAll(/\n\s*/g, '\n  '));
  return exitCode;
}

/** Runs the program in this process. */
export async function main(): Promise<void> {
  const { stdin, stdout, stderr, env } = process;
  const args = process.argv.slice(2);
  const output = new Output(stdout, stderr, args.includes('--json'));
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // Who asks a second time does not want to wait for an orderly end.
      if (signal === 'SIGINT' && stop.signal.aborted) process.exit(exitCodeOf('interrupted'));
      stop.abort(new ShoalError('interrupted', 'stopped on request'));
    });
  }
  // Whoever read it has gone, as `head` does.
  stdout.on('error', () => process.exit(1));
  stderr.on('error', () => undefined);
  process.exitCode = await run({
    args,
    env,
    cwd: process.cwd(),
    isRoot: process.getuid?.() === 0,
    output,
    ...(stdin.isTTY && stderr.isTTY ? { typed: { from: stdin, shown: stderr } } : {}),
    signal: stop.signal,
    onReload: onHangUp,
    // Lists of processes show this and nothing of the arguments (bin/shoal-relay.js).
    onCommand: name => void (process.title = `shoal-relay ${name}`),
    start: async options => (await import('./server.ts')).startRelay(options),
  });
  // All has ended by now. A listener of libp2p was once seen to stay open, with nobody left who could close it.
  setTimeout(() => process.exit(), HANG_UP_MS).unref();
}

function onHangUp(listener: () => void, signal: AbortSignal): void {
  process.on('SIGHUP', listener);
  signal.addEventListener('abort', () => process.off('SIGHUP', listener), { once: true });
}
