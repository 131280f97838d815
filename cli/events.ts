/** Events as NDJSON on stdout (docs/cli.md), at a pace that a reader can follow. */
import type { ActionEvent } from '../src/daemon/actions.ts';
import type { Terminal } from './terminal.ts';

/** Progress is told no more often than this; what peers take is summed up over as long. */
const INTERVAL_MS = 500;

/**
 * Prints events, but leaves out progress that comes too soon after other progress, and adds up what each peer was sent.
 * `close` prints what is still held back.
 */
export class EventPrinter {
  readonly #terminal: Terminal;
  readonly #clock: () => number;
  readonly #sent = new Map<string, { id: string; peer: string; bytes: number }>();
  #toldMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, clock: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#clock = clock;
  }

  print(event: ActionEvent): void {
    switch (event.event) {
      case 'progress':
      case 'sealing':
        if (event.doneBytes === event.totalBytes || this.#isDue()) this.#terminal.json(event);
        break;
      case 'blocks':
      case 'reading':
        if (this.#isDue()) this.#terminal.json(event);
        break;
      case 'served':
        if (event.what === 'sent') this.#addUp(event);
        else this.#printNow(event);
        break;
      case 'shared': {
        const { share, ...rest } = event;
        this.#printNow({ ...rest, ...share });
        break;
      }
      case 'seeding': {
        const { share, ...rest } = event;
        this.#printNow({ ...rest, ...share });
        break;
      }
      case 'keeping':
        this.#printNow({ event: 'done', ...event.fetched });
        this.#printNow({ event: 'keeping', ...event.share });
        break;
      default:
        this.#printNow(event);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { id, peer, bytes } of this.#sent.values()) {
      this.#terminal.json({ event: 'served', id, peer, what: 'sent', bytes });
    }
    this.#sent.clear();
  }

  #printNow(event: object): void {
    this.close();
    this.#terminal.json(event);
  }

  #isDue(): boolean {
    const now = this.#clock();
    if (now - this.#toldMs < INTERVAL_MS) return false;
    this.#toldMs = now;
    return true;
  }

  #addUp({ id, peer, bytes }: { readonly id: string; readonly peer: string; readonly bytes: number }): void {
    const sum = this.#sent.get(peer) ?? { id, peer, bytes: 0 };
    sum.bytes += bytes;
    this.#sent.set(peer, sum);
    this.#timer ??= setTimeout(() => this.close(), INTERVAL_MS);
  }
}
