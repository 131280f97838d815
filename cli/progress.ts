/**
 * What goes on, in one line: how much of what, how fast, how long still, from how many peers; and what is waited for when
 * nothing moves. The line is drawn here and not by a package, because it is text far more than a bar: it must drop its parts
 * by rank where columns are few, count wide characters, and become plain lines where no terminal is.
 */
import { escaped } from '../src/format/quoted.ts';
import { fit, widthOf } from './columns.ts';
import type { Terminal } from './terminal.ts';
import { formatBytes } from '../src/format/sizes.ts';
import { count, formatSeconds } from './units.ts';

/** A live line is drawn so often. */
const LIVE_MS = 200;
/** The first plain line, and how often one follows. */
const FIRST_PLAIN_MS = 2_000;
const PLAIN_MS = 5_000;
/** Rates are smoothed over about so long. */
const SMOOTHING_MS = 4_000;
/** When nothing has come for so long, there is no telling how long it takes still. */
const STANDSTILL_MS = 3_000;

/** Shows what `line` returns, again and again, until it is stopped. Nothing where there is no talk. */
export function showLine(
  terminal: Terminal,
  line: Line,
  clock: () => number = () => performance.now(),
): { stop(): void } {
  if (!terminal.isTalking) return { stop: () => undefined };
  const drawing = new Drawing(terminal, line, clock());
  const timer = setInterval(() => drawing.tick(clock()), LIVE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      terminal.live('');
    },
  };
}

/** What is to be shown at a time (milliseconds that only go forward), in at most `columns`; nothing where it is empty. */
export type Line = (nowMs: number, columns: number) => string;

/** When the line is drawn: on a live terminal each time, elsewhere seldom, and only when it says something new. */
export class Drawing {
  readonly #terminal: Terminal;
  readonly #line: Line;
  #nextMs: number;
  #last = '';

  constructor(terminal: Terminal, line: Line, nowMs: number) {
    this.#terminal = terminal;
    this.#line = line;
    this.#nextMs = nowMs + FIRST_PLAIN_MS;
  }

  tick(nowMs: number): void {
    const line = this.#line(nowMs, this.#terminal.liveColumns);
    if (this.#terminal.isLive) {
      this.#terminal.live(line);
    } else if (nowMs >= this.#nextMs && line !== '' && line !== this.#last) {
      this.#terminal.say(line);
      this.#last = line;
      this.#nextMs = nowMs + PLAIN_MS;
    }
  }
}

/** Bytes per second, smoothed: what came in the last seconds counts most. */
export class Rate {
  #bytes: number | undefined;
  #sampledMs = 0;
  #movedMs = 0;
  #average = 0;
  /** How much of the average is measured; the rest is the zero that it began with. */
  #weight = 0;

  /** Takes note of the bytes so far. The first sample is where counting begins. */
  sample(bytes: number, nowMs: number): void {
    if (this.#bytes === undefined) {
      [this.#bytes, this.#sampledMs, this.#movedMs] = [bytes, nowMs, nowMs];
      return;
    }
    const elapsedMs = nowMs - this.#sampledMs;
    if (elapsedMs <= 0) return;
    const share = 1 - Math.exp(-elapsedMs / SMOOTHING_MS);
    const moved = Math.max(0, bytes - this.#bytes);
    this.#average += share * ((moved * 1000) / elapsedMs - this.#average);
    this.#weight += share * (1 - this.#weight);
    if (moved > 0) this.#movedMs = nowMs;
    [this.#bytes, this.#sampledMs] = [bytes, nowMs];
  }

  perSecond(): number {
    return this.#weight === 0 ? 0 : this.#average / this.#weight;
  }

  /** Whether nothing has moved for a while. */
  stands(nowMs: number): boolean {
    return nowMs - this.#movedMs >= STANDSTILL_MS;
  }
}

/** A transfer at one moment. */
export interface Transfer {
  readonly name: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  /** Nothing moves; `waitingFor` says why, where that is known. */
  readonly stands: boolean;
  readonly waitingFor?: string;
  /** Where from; absent where no peer takes part. */
  readonly peers?: number;
  /** How it comes from them, as the end of a phrase. */
  readonly ways?: string;
}

/** A transfer as a line of at most `columns`. Where it is too narrow, the peers go first, then the name, then time and speed. */
export function transferLine(transfer: Transfer, columns: number): string {
  const { name, doneBytes, totalBytes, bytesPerSecond, peers } = transfer;
  const percent = `${totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)}%`;
  const bytes = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  if (transfer.stands) {
    const reason = fit(escaped(transfer.waitingFor ?? 'waiting'), columns - percent.length - GAP.length, 'end');
    return joined(name, [percent, reason], bytes, columns);
  }
  const left = formatSeconds((totalBytes - doneBytes) / bytesPerSecond);
  const pace = bytesPerSecond >= 1 ? [`${formatBytes(bytesPerSecond)}/s`, `${left} left`] : [];
  return joined(
    name,
    [percent, bytes, ...pace],
    peers === undefined ? '' : `from ${count(peers, 'peer')}${transfer.ways ?? ''}`,
    columns,
  );
}

/** What is read from a stream whose end is not known, as a line of at most `columns`; it is cut like that of a transfer. */
export function readingLine(
  { name, doneBytes, bytesPerSecond, stands }: Omit<Transfer, 'totalBytes' | 'waitingFor' | 'peers'>,
  columns: number,
): string {
  const pace = stands ? 'waiting for more' : `${formatBytes(bytesPerSecond)}/s`;
  return joined(name, [formatBytes(doneBytes), pace], '', columns);
}

const GAP = '  ';
/** Cut to fewer columns than this, a name says nothing any more. */
const MIN_NAME_COLUMNS = 8;

/** As many of the parts as fit; if all do, the name in front of them, cut to the room that is left; and the rest if that fits too. */
function joined(name: string, parts: readonly string[], rest: string, columns: number): string {
  const whole = parts.join(GAP);
  if (widthOf(whole) > columns) return fitting(parts, columns);
  const shown = escaped(name);
  const room = columns - widthOf(whole) - GAP.length;
  if (room < Math.min(MIN_NAME_COLUMNS, widthOf(shown))) return whole;
  const line = fit(shown, room) + GAP + whole;
  return rest === '' || widthOf(line) + GAP.length + widthOf(rest) > columns ? line : line + GAP + rest;
}

function fitting(parts: readonly string[], columns: number): string {
  const lines = parts.map((_, n) => parts.slice(0, n + 1).join(GAP));
  return lines.findLast(line => widthOf(line) <= columns) ?? fit(lines[0] ?? '', columns);
}
