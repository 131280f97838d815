/**
 * The rules for what is printed:
 *
 * - stdout is data: results, and with --json nothing but JSON. stderr is talk.
 * - Everything goes through this file, which escapes it: names, notes, reasons and addresses come from others, and what is
 *   stored in a log is shown on a terminal some day. No text of ours has a control character, so nothing is exempt.
 *   The one thing that goes past it is the content of a file that is fetched to stdout.
 * - The only control codes are those of the live line, and the two colours of a QR code, since cameras want dark on light
 *   whatever the terminal's colours are. They are used on a terminal that understands them, and never with NO_COLOR;
 *   everywhere else there are plain lines. We use no other colours.
 * - There is no live line while the command runs in the background of its terminal: that is where somebody types.
 * - A link is a result of "shoal share", and stands nowhere else: whatever goes to stderr, and every error, loses its keys
 *   here. A QR code of it is what its user has asked for.
 * - --quiet silences talk, but neither results nor warnings, questions and errors.
 */
import { escaped, escapedJson } from '../src/format/quoted.ts';
import { fit, widthOf } from './columns.ts';
import { withoutKeys } from './secrets.ts';

/** A standard stream, as far as it is needed here. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface TerminalOptions {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Whether another command has the terminal now; asked before each change of the live line. */
  readonly isInBackground?: () => boolean;
}

const RETURN_AND_CLEAR = '\r\u001b[K';
/** From `rows` above on, to the end of the screen. */
const climbAndClear = (rows: number): string => `\r\u001b[${rows}A\u001b[J`;
const BLACK_ON_WHITE = '\u001b[30;107m';
const USUAL_COLORS = '\u001b[0m';
const USUAL_COLUMNS = 80;

/** The two streams, and the live line at the end of stderr, which goes out of the way of all other lines. */
export class Terminal {
  readonly isJson: boolean;
  /** Whether there is talk at all. */
  readonly isTalking: boolean;
  /** Whether a person sits in front of it. */
  readonly isInteractive: boolean;
  /** Whether there is a live line, and control codes at all. */
  readonly isLive: boolean;
  readonly #stdout: Output;
  readonly #stderr: Output;
  readonly #isInBackground: () => boolean;
  #live = '';

  constructor(options: TerminalOptions) {
    const { stdout, stderr, env, json, quiet, isInBackground = (): boolean => false } = options;
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#isInBackground = isInBackground;
    this.isJson = json;
    this.isTalking = !quiet && !json;
    this.isInteractive = stderr.isTTY === true;
    this.isLive = this.isTalking && this.isInteractive && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  }

  /** Columns for a result; no end where it does not go to a terminal. */
  get columns(): number {
    return this.#stdout.isTTY === true ? (this.#stdout.columns ?? USUAL_COLUMNS) : Infinity;
  }

  /** Columns for the live line: the last is left free, since some terminals wrap there. */
  get liveColumns(): number {
    return this.isLive ? (this.#stderr.columns ?? USUAL_COLUMNS) - 1 : Infinity;
  }

  /** Columns for talk; no end where it does not go to a terminal. */
  get talkColumns(): number {
    return this.isInteractive ? (this.#stderr.columns ?? USUAL_COLUMNS) : Infinity;
  }

  /** A line of a result, to stdout. */
  result(line: string): void {
    this.results([line]);
  }

  /** Any number of such lines. */
  results(lines: readonly string[]): void {
    if (lines.length > 0) this.#print(this.#stdout, lines.map(line => `${escaped(line)}\n`).join(''));
  }

  /** One JSON value on a line of stdout. */
  json(value: unknown): void {
    this.#print(this.#stdout, `${escapedJson(value)}\n`);
  }

  /** A line of talk. */
  say(line: string): void {
    if (this.isTalking) this.#print(this.#stderr, `${escaped(withoutKeys(line))}\n`);
  }

  /** A question to who sits there, also where talk is silenced: the answer is typed behind it. */
  ask(question: string): void {
    this.#print(this.#stderr, `${escaped(withoutKeys(question))} `);
  }

  /** The end of the line of a question whose answer was not shown. */
  answered(): void {
    this.#print(this.#stderr, '\n');
  }

  /**
   * Lines of a picture among the talk, of block characters. With control codes they are black on white; without them they are
   * what the terminal's colours make of them.
   */
  draw(lines: readonly string[]): void {
    if (!this.isTalking) return;
    const [before, after] = this.isLive ? [BLACK_ON_WHITE, USUAL_COLORS] : ['', ''];
    this.#print(this.#stderr, lines.map(line => `${before}${escaped(line)}${after}\n`).join(''));
  }

  /** Something that people must know. Lines of `message` after its first are kept where they are indented, as no line of ours is. */
  warn(message: string): void {
    const lines = `shoal: ${withoutKeys(message)}`.split('\n  ').map(escaped);
    this.#print(this.#stderr, `${lines.join('\n  ')}\n`);
  }

  /** One JSON value on a line of stderr, for a log. */
  record(value: unknown): void {
    this.#print(this.#stderr, `${withoutKeys(escapedJson(value))}\n`);
  }

  /** Why the command failed. */
  fail(code: string, message: string, exitCode: number): void {
    if (this.isJson) this.json({ event: 'error', code, message: withoutKeys(message), exitCode });
    else this.warn(message);
  }

  /** Draws the live line, or takes it away where `line` is empty. Nothing where there is none. */
  live(line: string): void {
    if (!this.isLive) return;
    if (this.#isInBackground()) {
      // A shell has printed below the line, which is not ours to erase any more.
      this.#live = '';
      return;
    }
    const shown = fit(escaped(withoutKeys(line)), this.liveColumns);
    if (shown === this.#live) return;
    const erasing = this.#erasing();
    this.#live = shown;
    this.#stderr.write(erasing + shown);
  }

  #print(stream: Output, text: string): void {
    if (this.#live !== '' && this.#isInBackground()) this.#live = '';
    if (this.#live === '') {
      stream.write(text);
      return;
    }
    this.#stderr.write(this.#erasing());
    stream.write(text);
    this.#live = fit(this.#live, this.liveColumns);
    this.#stderr.write(this.#live);
  }

  /** Where the terminal has become narrower, it has wrapped the line, and the cursor is in the last of its rows. */
  #erasing(): string {
    const rows = Math.ceil(widthOf(this.#live) / (this.#stderr.columns ?? USUAL_COLUMNS));
    return rows > 1 ? climbAndClear(rows - 1) : RETURN_AND_CLEAR;
  }
}
