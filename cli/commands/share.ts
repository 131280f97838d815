/** `shoal share`: prints a link and serves it until it is stopped. */
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { ShoalError } from '../../src/errors.ts';
import { needDaemon } from '../background.ts';
import { isTyped, type Context } from '../context.ts';
import { EventPrinter } from '../events.ts';
import { pathAt } from '../paths.ts';
import { Rate, readingLine, showLine, transferLine } from '../progress.ts';
import { HAS_EXPIRED, Serving } from '../serving.ts';
import type { Terminal } from '../terminal.ts';
import { SHORT_ID_CHARS } from '../../src/limits.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { copyLine } from '../copies.ts';
import { readersLine, readersOf, tellPassphrase, type ReaderFlags } from '../readers.ts';
import { droppedLine } from '../dropped.ts';
import { count, formatDate } from '../units.ts';

export interface ShareOptions {
  readonly name?: string;
  readonly note?: string;
  readonly exclude: readonly string[];
  readonly skip: boolean;
  readonly copy: boolean;
  readonly pad: boolean;
  readonly anew: boolean;
  readonly freshId?: true;
  /** The relays where it is left, where none are given. */
  readonly hints?: readonly string[];
  /** Where it is left; at the relays of this home where none are given. */
  readonly relays?: readonly string[];
  readonly waitCopies?: number;
  readonly qr: boolean;
  /** The daemon serves it, and one is started where none runs. */
  readonly detach: boolean;
  readonly downloads?: number;
  /** Whom a grant is made for. */
  readonly readers: ReaderFlags;
  /** Unix seconds, a full hour. */
  readonly expires?: number;
}

/** @throws ShoalError as `share` does; `usage`; `interrupted` in the end */
export async function share(context: Context, paths: readonly string[], options: ShareOptions): Promise<void> {
  const { terminal, performer, signal, cwd, stdin } = context;
  const { hints, relays, exclude, qr, detach, readers: flags, ...choices } = options;
  if (paths.includes('-')) checkStdin(context, paths, options);
  const readers = await readersOf(context, flags);
  const drawCode = qr ? await codeDrawer(terminal) : undefined;
  if (detach) await needDaemon(context);
  const printer = new EventPrinter(terminal);
  const [first = ''] = paths;
  const view = new ShareView(
    terminal,
    choices.name ?? (paths.length === 1 ? first : count(paths.length, 'path')),
    drawCode,
    choices.waitCopies,
    readers?.made,
  );
  const line = showLine(terminal, (nowMs, columns) => view.line(nowMs, columns));
  const onEvent = (event: ActionEvent): void => {
    if (terminal.isJson) printer.print(event);
    else view.tell(event);
    if (terminal.isJson && event.event === 'shared' && readers?.made !== undefined)
      tellPassphrase(terminal, readers.made);
  };
  const request = {
    ...choices,
    ...(hints === undefined ? {} : { hints: [...hints] }),
    ...(relays === undefined ? {} : { relays: [...relays] }),
    ...(readers === undefined ? {} : { to: readers.to }),
    ...(detach ? { always: true } : {}),
  };
  let isDone = false;
  try {
    const done = paths.includes('-')
      ? await performer.shareStream(request, stdin, onEvent, signal)
      : await performer.run(
          'share',
          { ...request, paths: paths.map(path => pathAt(cwd, path)), exclude: [...exclude], spooled: false },
          onEvent,
          signal,
        );
    const isOver = done.state === 'delivered' || done.state === 'expired' || done.state === 'withdrawn';
    isDone = isOver || options.waitCopies !== undefined;
    if (terminal.isJson) terminal.json({ event: 'done', ...done });
  } finally {
    line.stop();
    printer.close();
    if ((view.isShared && !view.isHandedOver) || signal.aborted)
      terminal.say(view.summary(isDone ? 'done' : 'stopped'));
  }
}

function checkStdin({ stdin }: Context, paths: readonly string[], { name, exclude }: ShareOptions): void {
  const refuse = (why: string): never => {
    throw new ShoalError('usage', why);
  };
  if (paths.length > 1) refuse('"-" stands alone: what comes from stdin is a share of its own');
  if (name === undefined) refuse('what comes from stdin has no name: give it one with --name');
  if (exclude.length > 0) refuse('--exclude does not go with "-": what comes from stdin is one file');
  if (isTyped(stdin))
    refuse(
      'stdin is a terminal: pipe something into it, as in "pg_dump | shoal share - --name db.sql", or give a path',
    );
}

/** Draws a link as a QR code, or says why not. */
type DrawCode = (link: string) => void;

async function codeDrawer(terminal: Terminal): Promise<DrawCode> {
  if (!terminal.isTalking) throw new ShoalError('usage', '--qr does not go with --json or --quiet');
  if (!terminal.isInteractive)
    throw new ShoalError('usage', '--qr needs a terminal to show the code on, and stderr is none');
  const { qrLines } = await import('../qr.ts');
  return link => {
    const lines = qrLines(link, terminal.isLive ? 'dark' : 'light');
    const columns = lines[0]?.length ?? 0;
    if (columns <= terminal.talkColumns) terminal.draw(lines);
    else
      terminal.warn(
        `cannot show the QR code: it takes ${columns} columns and the terminal has ${terminal.talkColumns}; make it wider, or the link shorter by leaving out --hint, and run this again: the share stays the same`,
      );
  };
}

/** Reading stdin where that is asked for, then sealing, then serving. */
class ShareView {
  readonly #terminal: Terminal;
  readonly #serving: Serving;
  #rate = new Rate();
  readonly #name: string;
  readonly #drawCode: DrawCode | undefined;
  #readBytes: number | undefined;
  #sealing: { doneBytes: number; totalBytes: number } | undefined;
  #isShared = false;
  #isHandedOver = false;
  readonly #waitCopies: number | undefined;
  /** Bytes at the relay that gets it just now. */
  #uploading: { readonly name: string; readonly doneBytes: number } | undefined;
  #storedAt = 0;
  /** Made here, and not shown yet. */
  readonly #passphrase: string | undefined;
  /** Whether relays were asked to keep it. */
  #isLeaving = false;

  constructor(
    terminal: Terminal,
    name: string,
    drawCode: DrawCode | undefined,
    waitCopies: number | undefined,
    passphrase: string | undefined,
  ) {
    this.#passphrase = passphrase;
    this.#waitCopies = waitCopies;
    this.#terminal = terminal;
    this.#serving = new Serving(terminal);
    this.#name = name;
    this.#drawCode = drawCode;
  }

  /** Whether the daemon serves it, and this command has nothing more to do. */
  get isHandedOver(): boolean {
    return this.#isHandedOver;
  }

  get isShared(): boolean {
    return this.#isShared;
  }

  tell(event: ActionEvent): void {
    switch (event.event) {
      case 'skipped':
        this.#terminal.say(`left out ${event.path}: ${event.why}`);
        break;
      case 'dropped':
        this.#terminal.say(droppedLine(event));
        break;
      case 'unmatched':
        this.#terminal.say(`--exclude ${event.glob} matches nothing`);
        break;
      case 'reading':
        this.#readBytes = event.doneBytes;
        break;
      case 'damaged':
        this.#terminal.say(`it was shared before, but not all is there that is needed to serve that: ${event.why}`);
        this.#terminal.say('so it is shared anew, and the link is a new one');
        break;
      case 'sealing':
        // What was read came at another speed.
        if (this.#sealing === undefined) this.#rate = new Rate();
        this.#sealing = event;
        break;
      case 'shared': {
        const { share: shared, again, grant } = event;
        this.#isShared = true;
        const what = shared.kind === 'file' ? '' : `${count(shared.files, 'file')}, `;
        const same = grant === undefined ? 'so the link is the same' : 'so nothing is uploaded again';
        const before = again ? `; it is as it was when it was shared before, ${same}` : '';
        this.#terminal.say(`sharing ${shared.name} (${what}${formatBytes(shared.sizeBytes)})${before}`);
        this.#terminal.result(event.link);
        this.#drawCode?.(event.link);
        if (this.#passphrase !== undefined) tellPassphrase(this.#terminal, this.#passphrase);
        const readers = grant === undefined ? 'who has this link can read it' : readersLine(grant.madeFor);
        this.#terminal.say(`${readers}; ${this.#until(shared)}`);
        if (shared.expires !== undefined)
          this.#terminal.say(`it expires at ${formatDate(shared.expires)}; what was fetched by then stays readable`);
        break;
      }
      case 'served':
        this.#serving.add(event);
        break;
      case 'clock':
        this.#terminal.warn(event.why);
        break;
      case 'ended':
        if (event.why === 'expired') this.#terminal.say(HAS_EXPIRED);
        break;
      case 'copy': {
        const { state, name, doneBytes = 0 } = event;
        this.#uploading = state === 'uploading' ? { name, doneBytes } : undefined;
        this.#isLeaving = true;
        if (state === 'stored') this.#storedAt++;
        const line = copyLine(event);
        if (line !== undefined) this.#terminal.say(line);
        if (state === 'stored' && this.#storedAt === 1 && !this.#isHandedOver)
          this.#terminal.say('others can fetch it there from now on, also while this machine is off');
        break;
      }
      default:
        // That the files changed is what the command then fails with.
        break;
    }
  }

  #until({ id, always, downloadsLeft }: Results['share']): string {
    const times =
      downloadsLeft === undefined
        ? ''
        : ` until ${count(downloadsLeft, 'peer')} ${downloadsLeft === 1 ? 'has' : 'have'} got it all`;
    if (this.#waitCopies !== undefined) {
      this.#isHandedOver = always;
      return `waiting until ${count(this.#waitCopies, 'relay')} ${this.#waitCopies === 1 ? 'has' : 'have'} it`;
    }
    if (!always) return `serving${times || ' until Ctrl-C'}`;
    this.#isHandedOver = true;
    return `the daemon serves it${times}; to stop that: shoal forget ${id.slice(0, SHORT_ID_CHARS)}`;
  }

  line(nowMs: number, columns: number): string {
    if (this.#isShared && this.#uploading !== undefined) {
      const { name, doneBytes } = this.#uploading;
      return `leaving it at ${name}${doneBytes === 0 ? '' : `: ${formatBytes(doneBytes)}`}`;
    }
    if (this.#isShared) return this.#serving.line(nowMs);
    const doneBytes = this.#sealing?.doneBytes ?? this.#readBytes;
    if (doneBytes === undefined) return '';
    this.#rate.sample(doneBytes, nowMs);
    const pace = { stands: this.#rate.stands(nowMs), bytesPerSecond: this.#rate.perSecond() };
    if (this.#sealing === undefined) return readingLine({ name: `reading ${this.#name}`, doneBytes, ...pace }, columns);
    return transferLine({ name: `sealing ${this.#name}`, ...this.#sealing, ...pace }, columns);
  }

  summary(how: 'stopped' | 'done'): string {
    if (how === 'done' && this.#waitCopies !== undefined)
      return `done; ${count(this.#waitCopies, 'relay')} ${this.#waitCopies === 1 ? 'has' : 'have'} it`;
    if (!this.#isShared) return 'stopped; nothing is shared';
    const left =
      this.#isLeaving && this.#storedAt === 0 ? '; no relay has all of it yet, the home goes on the next time' : '';
    return `${this.#serving.summary(how)}${left}`;
  }
}
