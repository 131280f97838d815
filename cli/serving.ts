/** What people see of a share that is served: who takes it, how much, how fast. */
import type { ActionEvent } from '../src/daemon/actions.ts';
import { Rate } from './progress.ts';
import type { Terminal } from './terminal.ts';
import { formatBytes } from '../src/format/sizes.ts';
import { count } from './units.ts';

type Served = Extract<ActionEvent, { event: 'served' }>;

/** Why serving has ended, where the share itself has. */
export const HAS_EXPIRED = 'the share has expired; it is not served any more';

/** The peers of one share, for as long as a command serves it. */
export class Serving {
  readonly #terminal: Terminal;
  readonly #rate = new Rate();
  /** How many channels each peer has open. */
  readonly #present = new Map<string, number>();
  readonly #served = new Set<string>();
  readonly #complete = new Set<string>();
  #bytes = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  add({ peer, what, bytes }: Served): void {
    switch (what) {
      case 'joined':
        this.#present.set(peer, (this.#present.get(peer) ?? 0) + 1);
        break;
      case 'sent':
        this.#served.add(peer);
        this.#bytes += bytes;
        break;
      case 'complete':
        if (this.#complete.has(peer)) return;
        this.#complete.add(peer);
        this.#terminal.say(`a peer has it all: ${shortPeer(peer)}; ${formatBytes(this.#bytes)} up so far`);
        break;
      case 'left': {
        const channels = (this.#present.get(peer) ?? 0) - 1;
        if (channels > 0) this.#present.set(peer, channels);
        else this.#present.delete(peer);
        break;
      }
    }
  }

  /** Plain lines only tell when something moves. */
  line(nowMs: number): string {
    this.#rate.sample(this.#bytes, nowMs);
    const stands = this.#rate.stands(nowMs);
    if (stands && !this.#terminal.isLive) return '';
    if (this.#served.size === 0 && this.#present.size === 0) return this.#terminal.isLive ? 'waiting for peers' : '';
    const parts = [`serving ${count(this.#present.size, 'peer')}`, `${formatBytes(this.#bytes)} up`];
    if (!stands) parts.push(`${formatBytes(this.#rate.perSecond())}/s`);
    if (this.#complete.size > 0) parts.push(`${this.#complete.size} got it all`);
    return parts.join('  ');
  }

  /** What came of it, when it ends. */
  summary(how: 'stopped' | 'done' = 'stopped'): string {
    if (this.#served.size === 0) return `${how}; nobody fetched it meanwhile`;
    const all = this.#complete.size === 0 ? '' : `, ${this.#complete.size} of which got it all`;
    return `${how}; ${formatBytes(this.#bytes)} went to ${count(this.#served.size, 'peer')}${all}`;
  }
}

/** The end of a peer id, in which they differ. */
function shortPeer(peer: string): string {
  return peer.length > 12 ? `…${peer.slice(-8)}` : peer;
}
