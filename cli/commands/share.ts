/** `shoal share`: prints a link and serves it until it is stopped. */
import { resolve } from 'node:path';
import type { ActionEvent } from '../../src/daemon/actions.ts';
import type { Context } from '../context.ts';
import { EventPrinter } from '../events.ts';
import { Rate, showLine, transferLine } from '../progress.ts';
import { Serving } from '../serving.ts';
import type { Terminal } from '../terminal.ts';
import { count, formatBytes } from '../units.ts';

export interface ShareOptions {
  readonly name?: string;
  readonly note?: string;
  readonly exclude: readonly string[];
  readonly skip: boolean;
  readonly copy: boolean;
  readonly pad: boolean;
  readonly anew: boolean;
  readonly hints: readonly string[];
}

/** @throws ShoalError as `share` does; `interrupted` in the end */
export async function share(context: Context, paths: readonly string[], options: ShareOptions): Promise<void> {
  const { terminal, performer, signal, cwd } = context;
  const { hints, exclude, ...choices } = options;
  const printer = new EventPrinter(terminal);
  const [first = ''] = paths;
  const view = new ShareView(terminal, choices.name ?? (paths.length === 1 ? first : count(paths.length, 'path')));
  const line = showLine(terminal, (nowMs, columns) => view.line(nowMs, columns));
  const onEvent = (event: ActionEvent): void => (terminal.isJson ? printer.print(event) : view.tell(event));
  const request = {
    ...choices,
    hints: [...hints],
    exclude: [...exclude],
    paths: paths.map(path => resolve(cwd, path)),
  };
  try {
    const done = await performer.run('share', request, onEvent, signal);
    if (terminal.isJson) terminal.json({ event: 'done', ...done });
  } finally {
    line.stop();
    printer.close();
    if (view.isShared || signal.aborted) terminal.say(view.summary());
  }
}

/** Sealing first, then serving. */
class ShareView {
  readonly #terminal: Terminal;
  readonly #serving: Serving;
  readonly #rate = new Rate();
  readonly #name: string;
  #sealing: { doneBytes: number; totalBytes: number } | undefined;
  #isShared = false;

  constructor(terminal: Terminal, name: string) {
    this.#terminal = terminal;
    this.#serving = new Serving(terminal);
    this.#name = name;
  }

  get isShared(): boolean {
    return this.#isShared;
  }

  tell(event: ActionEvent): void {
    switch (event.event) {
      case 'skipped':
        this.#terminal.say(`left out ${event.path}: ${event.why}`);
        break;
      case 'unmatched':
        this.#terminal.say(`--exclude ${event.glob} matches nothing`);
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
        this.#terminal.say('who has this link can read it; serving until Ctrl-C');
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

  line(nowMs: number, columns: number): string {
    if (this.#isShared) return this.#serving.line(nowMs);
    if (this.#sealing === undefined) return '';
    this.#rate.sample(this.#sealing.doneBytes, nowMs);
    const [stands, bytesPerSecond] = [this.#rate.stands(nowMs), this.#rate.perSecond()];
    const transfer = { name: `sealing ${this.#name}`, ...this.#sealing, stands, bytesPerSecond };
    return transferLine(transfer, columns);
  }

  summary(): string {
    return this.#isShared ? this.#serving.summary() : 'stopped; nothing is shared';
  }
}
