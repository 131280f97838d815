/** `shoal share`: prints a link and serves it until it is stopped. */
import { resolve } from 'node:path';
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { needDaemon } from '../background.ts';
import type { Context } from '../context.ts';
import { EventPrinter } from '../events.ts';
import { Rate, showLine, transferLine } from '../progress.ts';
import { Serving } from '../serving.ts';
import type { Terminal } from '../terminal.ts';
import { count, formatBytes, SHORT_ID_CHARS } from '../units.ts';

export interface ShareOptions {
  readonly name?: string;
  readonly skip: boolean;
  readonly copy: boolean;
  readonly pad: boolean;
  readonly anew: boolean;
  readonly hints: readonly string[];
  /** The daemon serves it, and one is started where none runs. */
  readonly detach: boolean;
  readonly downloads?: number;
}

/** @throws ShoalError as `share` does; `interrupted` in the end */
export async function share(context: Context, path: string, options: ShareOptions): Promise<void> {
  const { terminal, performer, signal, cwd } = context;
  const { hints, detach, ...choices } = options;
  if (detach) await needDaemon(context);
  const request = { ...choices, hints: [...hints], path: resolve(cwd, path), ...(detach ? { always: true } : {}) };
  const printer = new EventPrinter(terminal);
  const view = new ShareView(terminal, path);
  const line = showLine(terminal, (nowMs, columns) => view.line(nowMs, columns));
  const onEvent = (event: ActionEvent): void => (terminal.isJson ? printer.print(event) : view.tell(event));
  try {
    const done = await performer.run('share', request, onEvent, signal);
    if (terminal.isJson) terminal.json({ event: 'done', ...done });
  } finally {
    line.stop();
    printer.close();
    if ((view.isShared && !view.isHandedOver) || signal.aborted) terminal.say(view.summary());
  }
}

/** Sealing first, then serving. */
class ShareView {
  readonly #terminal: Terminal;
  readonly #serving: Serving;
  readonly #rate = new Rate();
  readonly #path: string;
  #sealing: { doneBytes: number; totalBytes: number } | undefined;
  #isShared = false;
  #isHandedOver = false;

  constructor(terminal: Terminal, path: string) {
    this.#terminal = terminal;
    this.#serving = new Serving(terminal);
    this.#path = path;
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
      case 'damaged':
        this.#terminal.say(`it was shared before, but not all is there that is needed to serve that: ${event.why}`);
        this.#terminal.say('so it is shared anew, and the link is a new one');
        break;
      case 'sealing':
        this.#sealing = event;
        break;
      case 'shared': {
        const { share: shared, again } = event;
        this.#isShared = true;
        const what = shared.kind === 'file' ? '' : `${count(shared.files, 'file')}, `;
        const before = again ? '; it is as it was when it was shared before, so the link is the same' : '';
        this.#terminal.say(`sharing ${shared.name} (${what}${formatBytes(shared.sizeBytes)})${before}`);
        this.#terminal.result(event.link);
        this.#terminal.say(`who has this link can read it; ${this.#until(shared)}`);
        break;
      }
      case 'served':
        this.#serving.add(event);
        break;
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
    if (!always) return `serving${times || ' until Ctrl-C'}`;
    this.#isHandedOver = true;
    return `the daemon serves it${times}; to stop that: shoal forget ${id.slice(0, SHORT_ID_CHARS)}`;
  }

  line(nowMs: number, columns: number): string {
    if (this.#isShared) return this.#serving.line(nowMs);
    if (this.#sealing === undefined) return '';
    this.#rate.sample(this.#sealing.doneBytes, nowMs);
    const [stands, bytesPerSecond] = [this.#rate.stands(nowMs), this.#rate.perSecond()];
    const transfer = { name: `sealing ${this.#path}`, ...this.#sealing, stands, bytesPerSecond };
    return transferLine(transfer, columns);
  }

  summary(): string {
    return this.#isShared ? this.#serving.summary() : 'stopped; nothing is shared';
  }
}
