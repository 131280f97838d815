/** What a command is given: where it prints, whom it asks, and when it has to stop. */
import type { Readable } from 'node:stream';
import type { ActionEvent, Actor, Results } from '../src/daemon/actions.ts';
import type { StreamParameters } from '../src/daemon/stdin.ts';
import { ShoalError } from '../src/errors.ts';
import { DEFAULT_TIMEOUT_MS, MAX_LINK_CHARS } from '../src/limits.ts';
import type { Log } from '../src/ports.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';

/** Who carries out what a command asks for: this process, or the one that holds the home. */
export interface Performer extends Actor {
  /** Shares all that a stream gives as one file. */
  shareStream(
    parameters: StreamParameters,
    input: Readable,
    onEvent: (event: ActionEvent) => void,
    signal: AbortSignal,
  ): Promise<Results['share']>;
  /** Gets a share of one file to a stream, always in this process. */
  fetchTo(
    parameters: { readonly link: string; readonly explain: boolean; readonly timeoutMs?: number },
    output: NodeJS.WritableStream,
    onEvent: (event: ActionEvent) => void,
    signal: AbortSignal,
  ): Promise<Results['fetch']>;
}

/** What there is before any setting is read. */
export interface Surroundings {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** What relative paths are relative to. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  /** For the content of a file; all else goes through the terminal. */
  readonly stdout: NodeJS.WritableStream;
}

/** A command has told what it found, and that is a failure: only the exit code is left to give. */
export class Told extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('what was found has been told');
    this.exitCode = exitCode;
  }
}

export interface Context extends Surroundings {
  readonly performer: Performer;
  /** One that has this log. */
  performerWith(log: Log): Promise<Performer>;
  readonly settings: Settings;
  /** The options that were given and that another process of this program needs to do the same, as they are typed. */
  readonly argsForOthers: readonly string[];
}

/**
 * The link that a command is about: its argument, the first line of stdin where that is `-`, or SHOAL_LINK.
 * @throws ShoalError `usage` when there is none, `bad-link` when stdin holds something else, `interrupted`
 */
export async function linkOf({ env, stdin, terminal, signal }: Context, argument: string | undefined): Promise<string> {
  if (argument === '-') {
    if (isTyped(stdin)) terminal.say('paste the link and press Enter');
    return await firstLine(stdin, signal);
  }
  const link = argument ?? env['SHOAL_LINK'];
  if (!link) throw new ShoalError('usage', 'no link: give one, or "-" to read it from stdin, or set SHOAL_LINK');
  return link;
}

/** A line that a person types, as an answer. @throws ShoalError `interrupted`; `usage` where nothing comes */
export async function typedLine({ stdin, signal }: Context): Promise<string> {
  return await firstLine(stdin, signal, 'no answer was given on stdin');
}

/** Whether a person types what is read. */
export function isTyped(input: Readable): boolean {
  return 'isTTY' in input && input.isTTY === true;
}

async function firstLine(
  input: Readable,
  signal: AbortSignal,
  ifEmpty = 'no link: nothing was given on stdin',
): Promise<string> {
  let text = '';
  // A read of a terminal can't be cancelled; the stream can be ended, and nobody else reads it.
  const stop = (): unknown => input.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    // What it is read for may need a passphrase, which is typed behind it.
    for await (const chunk of input.iterator({ destroyOnReturn: false })) {
      text = (text + String(chunk)).trimStart();
      if (text.includes('\n')) break;
      if (text.length > 2 * MAX_LINK_CHARS)
        throw new ShoalError(
          'bad-link',
          'cannot read link: what stdin gives is longer than any link; give the link alone',
        );
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  const [line = ''] = text.split('\n');
  if (line.trim() === '') throw new ShoalError('usage', ifEmpty);
  return line;
}

/** When to give up: as asked for (Infinity for never), else never for a person who watches, and after a while for a script. */
export function timeoutOf(terminal: Terminal, asked: number | undefined): { timeoutMs?: number } {
  const timeoutMs = asked ?? (terminal.isInteractive ? Infinity : DEFAULT_TIMEOUT_MS);
  return timeoutMs === Infinity ? {} : { timeoutMs };
}
