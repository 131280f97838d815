/** `shoal check`: is a local copy what a link names? */
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { givenLink, type AccessFlags } from '../access.ts';
import { timeoutOf, Told, type Context } from '../context.ts';
import { pathAt } from '../paths.ts';
import { Rate, showLine, transferLine, type Line } from '../progress.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { count } from '../units.ts';

export interface CheckOptions extends AccessFlags {
  /** What the link does not name may be there, too. */
  readonly allowExtra: boolean;
}

/** So many lines fit a screen with what is said below them. */
const MOST_ON_A_TERMINAL = 20;
const DIFFERS = 1;

/** @throws ShoalError as `compare` does; `Told` when it differs */
export async function check(context: Context, argument: string, path: string, options: CheckOptions): Promise<void> {
  const { terminal, performer, signal, cwd } = context;
  const link = await givenLink(context, argument, options);
  const request = { link, path: pathAt(cwd, path), ...timeoutOf(terminal, options.timeout) };
  const view = new CheckView(path, terminal.isLive);
  const line = showLine(terminal, view.line);
  const checked = await performer.run('check', request, event => view.tell(event), signal).finally(() => line.stop());
  const counting = checked.differences.filter(({ what }) => !(options.allowExtra && what === 'extra'));
  const exact = counting.length === 0;
  if (terminal.isJson) terminal.json({ ...checked, exact });
  else if (exact) terminal.result(`${path} ${exactly(checked, checked.differences.length)}`);
  else {
    const shown = counting.slice(0, terminal.columns === Infinity ? Infinity : MOST_ON_A_TERMINAL);
    terminal.results(shown.map(({ what, path: entry, why }) => `${what}: ${entry}: ${why}`));
    const more = counting.length - shown.length;
    if (more > 0) terminal.say(`… and ${more} more; --json lists them all`);
    terminal.warn(`${path} is not what the link names: ${count(counting.length, 'difference')}${onlyExtra(counting)}`);
  }
  if (!exact) throw new Told(DIFFERS);
}

function exactly({ kind, files, sizeBytes }: Results['check'], extra: number): string {
  const contents = kind === 'file' ? formatBytes(sizeBytes) : `${count(files, 'file')}, ${formatBytes(sizeBytes)}`;
  const besides = extra === 0 ? 'is exactly what the link names' : `has all that the link names, and ${extra} more`;
  return `${besides}: ${contents}`;
}

function onlyExtra(differences: Results['check']['differences']): string {
  return differences.every(({ what }) => what === 'extra')
    ? '; all that it names is there, and right (--allow-extra takes that for enough)'
    : '';
}

/** Finding the names, then reading. */
class CheckView {
  readonly #path: string;
  readonly #isLive: boolean;
  readonly #rate = new Rate();
  #waitingFor = '';
  #progress: Extract<ActionEvent, { event: 'progress' }> | undefined;

  constructor(path: string, isLive: boolean) {
    this.#path = path;
    this.#isLive = isLive;
  }

  tell(event: ActionEvent): void {
    if (event.event === 'waiting') this.#waitingFor = event.why;
    if (event.event === 'opened') this.#waitingFor = '';
    if (event.event === 'progress') this.#progress = event;
  }

  readonly line: Line = (nowMs, columns) => {
    if (this.#progress === undefined) return this.#waitingFor || (this.#isLive ? 'looking at it' : '');
    const { doneBytes, totalBytes } = this.#progress;
    this.#rate.sample(doneBytes, nowMs);
    const [stands, bytesPerSecond] = [this.#rate.stands(nowMs), this.#rate.perSecond()];
    return transferLine({ name: `checking ${this.#path}`, doneBytes, totalBytes, stands, bytesPerSecond }, columns);
  };
}
