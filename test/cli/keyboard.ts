/** What somebody types on, in memory. */
import { PassThrough } from 'node:stream';

/** The stdin of a process, and whether what is typed there is shown. */
export class Keyboard extends PassThrough {
  readonly isTTY: boolean;
  isRaw = false;
  /** How often it was changed. */
  changes = 0;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
    this.changes++;
  }
}
