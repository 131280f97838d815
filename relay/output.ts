/**
 * What `shoal-relay` prints: results to stdout, all else to stderr, with nothing in either that a terminal could act on. A token
 * is a result of "token create", and stands nowhere else.
 */
import { escaped, escapedJson } from '../src/format/quoted.ts';
import { withoutTokens } from './tokens.ts';

interface Stream {
  write(text: string): unknown;
}

export class Output {
  readonly isJson: boolean;
  readonly #stdout: Stream;
  readonly #stderr: Stream;

  constructor(stdout: Stream, stderr: Stream, isJson: boolean) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.isJson = isJson;
  }

  /** Lines of a result. */
  results(lines: readonly string[]): void {
    if (lines.length > 0) this.#stdout.write(lines.map(line => `${escaped(line)}\n`).join(''));
  }

  /** One JSON value on a line of stdout. */
  json(value: unknown): void {
    this.#stdout.write(`${escapedJson(value)}\n`);
  }

  /** A line for who sits in front of it. */
  say(line: string): void {
    if (!this.isJson) this.#stderr.write(`${escaped(withoutTokens(line))}\n`);
  }

  /** Something that must be known. Lines of `message` after its first are kept where they are indented. */
  warn(message: string): void {
    const lines = `shoal-relay: ${withoutTokens(message)}`.split('\n  ').map(escaped);
    this.#stderr.write(`${lines.join('\n  ')}\n`);
  }

  /** Why the command failed. */
  fail(code: string, message: string, exitCode: number): void {
    if (this.isJson) this.json({ event: 'error', code, message: withoutTokens(message), exitCode });
    else this.warn(message);
  }
}
