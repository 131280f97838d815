/** Whom something is for, as it is typed: age recipients, names of contacts, and files of them. */
import { readFile, stat } from 'node:fs/promises';
import { fileError, isShoalError, ShoalError } from '../src/errors.ts';
import { contactName, isRecipientLike, kindOf } from '../src/format/recipient.ts';
import { escaped } from '../src/format/quoted.ts';
import { MAX_RECIPIENTS_FILE_BYTES } from '../src/limits.ts';
import type { Surroundings } from './context.ts';
import { pathAt } from './paths.ts';

/**
 * Recipients and names of contacts, with those that the files hold in the place of each `@FILE`: one a line, where `#` begins
 * a comment. Whether there are such contacts is for the home to say.
 * @throws ShoalError `usage` that names what is wrong, and in which line of which file; by `fileError`
 */
export async function recipientTexts(context: Surroundings, texts: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for (const text of texts.map(one => one.trim())) {
    if (text.startsWith('@')) all.push(...(await textsIn(context, text.slice(1))));
    else all.push(checked(text));
  }
  return all;
}

async function textsIn({ cwd, signal }: Surroundings, file: string): Promise<string[]> {
  const text = await read(pathAt(cwd, file), file, signal);
  const texts = text.split(/\r?\n/).flatMap((line, n) => {
    const one = line.trim();
    if (one === '' || one.startsWith('#')) return [];
    try {
      return [checked(one)];
    } catch (error) {
      if (!isShoalError(error)) throw error;
      throw new ShoalError(error.code, `line ${n + 1} of "${escaped(file)}": ${error.message}`, { cause: error });
    }
  });
  if (texts.length > 0) return texts;
  throw new ShoalError('usage', `cannot take recipients from "${escaped(file)}": none stands there; write one a line`);
}

async function read(path: string, file: string, signal: AbortSignal): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size <= MAX_RECIPIENTS_FILE_BYTES) return await readFile(path, { encoding: 'utf8', signal });
  } catch (error) {
    signal.throwIfAborted();
    throw fileError(error, `read the recipients in "${escaped(file)}"`);
  }
  throw new ShoalError(
    'usage',
    `cannot take recipients from "${escaped(file)}": it is larger than ${MAX_RECIPIENTS_FILE_BYTES} bytes; is this the right file?`,
  );
}

/** A recipient, or what can be a name. */
function checked(text: string): string {
  if (!isRecipientLike(text)) return contactName(text);
  kindOf(text);
  return text;
}
