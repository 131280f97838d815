/**
 * Loaded into a process by a test (--import): its wall clock is that of the machine, moved by what stands in a file, so that
 * days pass in a moment. The monotonic clock stays as it is, as where somebody sets the clock.
 */
import { readFileSync } from 'node:fs';

/** How often the file is read again. */
const READ_MS = 20;

const RealDate = Date;
let aheadMs = 0;

function read(): void {
  const text = readFileSync(process.env['MOVED_CLOCK_FILE'] ?? '', 'utf8');
  // While it is written, it may be empty.
  if (text !== '') aheadMs = Number(text);
}

read();
setInterval(read, READ_MS).unref();

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [target.now() + aheadMs] : args, newTarget) as Date,
  get: (target, name, receiver) =>
    name === 'now' ? (): number => target.now() + aheadMs : (Reflect.get(target, name, receiver) as unknown),
});
