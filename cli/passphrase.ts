/**
 * Passphrases, as a command is given them: in a file, in the environment, or typed without being shown. Never as an argument,
 * which other users of the machine see and the shell keeps.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileError, ShoalError } from '../src/errors.ts';
import { proquints } from '../src/format/proquint.ts';
import { GENERATED_PASSPHRASE_BYTES, MAX_PASSPHRASE_BYTES, SHORT_PASSPHRASE_CHARS } from '../src/limits.ts';
import { isTyped, type Surroundings } from './context.ts';
import { pathAt } from './paths.ts';

export interface PassphraseFlags {
  /** `ask`, or true where nothing stands behind the option. */
  readonly passphrase?: string | true;
  /** A file whose first line it is, or "-" for stdin. */
  readonly passphraseFile?: string;
}

/**
 * The passphrase that something was sealed with: from the file, SHOAL_PASSPHRASE, or whoever sits at the terminal.
 * @param prompt what they are asked for, as in `passphrase of the backup:`
 * @returns undefined where none is given and nobody can be asked
 * @throws ShoalError `usage` when it can not be used, or must be asked for and can not; `interrupted`; by `fileError`
 */
export async function givenPassphrase(
  context: Surroundings,
  flags: PassphraseFlags,
  prompt: string,
): Promise<string | undefined> {
  const given = await writtenPassphrase(context, flags);
  if (given !== undefined) return given;
  const input = typistOf(context);
  if (input !== undefined) return await ask(context, input, prompt);
  if (flags.passphrase === 'ask') throw nobodyToAsk();
  return undefined;
}

/**
 * A passphrase to seal with: asked for twice with `--passphrase=ask`, else from the file or SHOAL_PASSPHRASE, else made here.
 * Who makes it tells the user, since nobody else knows it. Warns of one that is short.
 * @throws ShoalError as by `givenPassphrase`
 */
export async function newPassphrase(
  context: Surroundings,
  flags: PassphraseFlags,
): Promise<{ readonly passphrase: string; readonly isGenerated: boolean }> {
  const passphrase = (await writtenPassphrase(context, flags)) ?? (await chosenPassphrase(context, flags));
  if (passphrase === undefined)
    return { passphrase: proquints(randomBytes(GENERATED_PASSPHRASE_BYTES)), isGenerated: true };
  if (Array.from(passphrase.normalize('NFC')).length < SHORT_PASSPHRASE_CHARS)
    context.terminal.warn(
      `the passphrase has fewer than ${SHORT_PASSPHRASE_CHARS} characters: whoever has what is sealed with it can try passphrases without end; take a longer one, or have one made`,
    );
  return { passphrase, isGenerated: false };
}

/** The one in the file, or else in the environment, unless it is to be asked for. */
async function writtenPassphrase(context: Surroundings, flags: PassphraseFlags): Promise<string | undefined> {
  const { passphrase, passphraseFile } = flags;
  if (typeof passphrase === 'string' && passphrase !== 'ask')
    throw new ShoalError(
      'usage',
      '--passphrase takes no passphrase: other users of this machine could see it in the list of processes, and the shell keeps it in its history; use --passphrase=ask, --passphrase-file or SHOAL_PASSPHRASE, and write what else the command takes in front of --passphrase',
    );
  if (passphraseFile !== undefined) {
    if (passphrase === 'ask')
      throw new ShoalError('usage', '--passphrase=ask and --passphrase-file do not go together');
    return await passphraseIn(context, passphraseFile);
  }
  const written = context.env['SHOAL_PASSPHRASE'];
  if (passphrase === 'ask' || !written) return undefined;
  return checked(Buffer.from(written));
}

async function chosenPassphrase(context: Surroundings, { passphrase }: PassphraseFlags): Promise<string | undefined> {
  if (passphrase !== 'ask') return undefined;
  const input = typistOf(context);
  if (input === undefined) throw nobodyToAsk();
  const chosen = await ask(context, input, 'new passphrase:');
  if ((await ask(context, input, 'once more:')) === chosen) return chosen;
  throw new ShoalError('usage', 'cannot use the passphrase: it was typed in two ways; run the command again');
}

async function passphraseIn({ cwd, stdin, signal }: Surroundings, file: string): Promise<string> {
  try {
    // What is longer is refused, and need not be read.
    const input = file === '-' ? stdin : createReadStream(pathAt(cwd, file), { end: MAX_PASSPHRASE_BYTES + 1, signal });
    return checked(await firstLineOf(input, signal));
  } catch (error) {
    signal.throwIfAborted();
    throw fileError(error, 'read the passphrase');
  }
}

/** As much of the first line as is allowed, and a little more. */
async function firstLineOf(input: Readable, signal: AbortSignal): Promise<Uint8Array> {
  // A read of stdin can't be cancelled; the stream can be ended, and nobody else reads it.
  const stop = (): unknown => input.destroy();
  signal.addEventListener('abort', stop, { once: true });
  let bytes = Buffer.alloc(0);
  try {
    for await (const chunk of input) {
      bytes = Buffer.concat([bytes, typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer)]);
      if (bytes.includes('\n') || bytes.length > MAX_PASSPHRASE_BYTES + 1) break;
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  const end = bytes.indexOf('\n');
  const line = end < 0 ? bytes : bytes.subarray(0, end);
  return line.at(-1) === '\r'.charCodeAt(0) ? line.subarray(0, -1) : line;
}

/** @throws ShoalError `usage`, without what was given */
function checked(bytes: Uint8Array): string {
  const refused = (why: string): ShoalError => new ShoalError('usage', `cannot use the passphrase: ${why}`);
  if (bytes.length === 0) throw refused('it is empty; give one');
  if (bytes.length > MAX_PASSPHRASE_BYTES)
    throw refused(`it is longer than ${MAX_PASSPHRASE_BYTES} bytes; is this the right file?`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refused('it is not text in UTF-8; is this the right file?');
  }
  if (text === '') throw refused('it is empty; give one');
  return text;
}

function nobodyToAsk(): ShoalError {
  return new ShoalError(
    'usage',
    'cannot ask for the passphrase: nobody sits at a terminal here; give it with --passphrase-file or in SHOAL_PASSPHRASE',
  );
}

/** A terminal that can be told not to show what is typed. */
interface Typist extends Readable {
  setRawMode(isRaw: boolean): unknown;
}

/** Who can be asked, and sees the question. */
function typistOf({ stdin, terminal }: Surroundings): Typist | undefined {
  return isTyped(stdin) && terminal.isInteractive && 'setRawMode' in stdin ? (stdin as Typist) : undefined;
}

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const CTRL_U = '\u0015';
/** Backspace, by what terminals send for it. */
const ERASERS = ['\b', '\u007f'];
/** What keys send that stand for no character, such as arrows. */
const SEQUENCES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|O.|)/g;

/**
 * Asks on the terminal, which shows nothing of what is typed. The terminal is as before afterwards, however this ends.
 * @throws ShoalError `interrupted` by Ctrl-C, `usage` when what was typed can not be used; the signal's reason
 */
async function ask({ terminal, signal }: Surroundings, input: Typist, prompt: string): Promise<string> {
  signal.throwIfAborted();
  terminal.ask(prompt);
  input.setRawMode(true);
  try {
    return checked(Buffer.from(await typedLine(input, signal)));
  } finally {
    input.setRawMode(false);
    terminal.answered();
  }
}

/** A line as it is typed, up to Enter or the end of what can be read. What comes behind it stays for the next question. */
function typedLine(input: Readable, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder();
    let line: string[] = [];
    const done = (): void => {
      input.off('data', onData).off('end', onEnd).off('error', onError).pause();
      signal.removeEventListener('abort', onAbort);
    };
    const onEnd = (): void => {
      done();
      resolve(line.join(''));
    };
    const onError = (error: Error): void => {
      done();
      reject(fileError(error, 'read the passphrase'));
    };
    const onAbort = (): void => {
      done();
      reject(signal.reason as Error);
    };
    const onData = (chunk: Buffer | string): void => {
      const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
      const typed = Array.from(text.replace(SEQUENCES, '').replaceAll('\r\n', '\r'));
      for (const [n, character] of typed.entries()) {
        if (character === CTRL_C) {
          done();
          reject(new ShoalError('interrupted', 'stopped on request'));
          return;
        }
        if (character === '\r' || character === '\n' || character === CTRL_D) {
          const rest = typed.slice(n + 1).join('');
          done();
          if (rest !== '') input.unshift(Buffer.from(rest));
          resolve(line.join(''));
          return;
        }
        if (character === CTRL_U) line = [];
        else if (ERASERS.includes(character)) line.pop();
        else if (character >= ' ') line.push(character);
      }
    };
    input.on('data', onData).on('end', onEnd).on('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    input.resume();
  });
}
