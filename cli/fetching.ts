/** What people see of a fetch: looking for peers, the transfer, what came of it, and serving it on. */
import type { ActionEvent, Results, ShareView } from '../src/daemon/actions.ts';
import { table, type Column } from './columns.ts';
import { droppedLine } from './dropped.ts';
import { Rate, transferLine } from './progress.ts';
import { HAS_EXPIRED, Serving } from './serving.ts';
import type { Terminal } from './terminal.ts';
import { formatBytes } from '../src/format/sizes.ts';
import { count, formatSeconds } from './units.ts';
import { waysOf } from './ways.ts';
import type { Path } from '../src/ports.ts';

/** What is carried without its key has no name that could be read. */
const NO_NAME = 'a share without its key';

export class FetchView {
  readonly #terminal: Terminal;
  readonly #isQuietAboutPath: boolean;
  readonly #serving: Serving;
  #rate = new Rate();
  readonly #clock: () => number;
  #beganMs: number;
  #opened: { readonly name: string; readonly sizeBytes: number; readonly files: number } | undefined;
  #preparing = '';
  #resumedBytes = 0;
  #progress: { readonly doneBytes: number; readonly totalBytes: number; readonly peers: number } | undefined;
  /** Of the peers at work; their number is in the progress. */
  readonly #paths = new Map<string, Path>();
  #waitingFor: string | undefined;
  #isFinishing = false;
  #isKeeping = false;

  /** @param toStdout the content goes to stdout, so nothing else may */
  constructor(terminal: Terminal, toStdout: boolean, clock: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#isQuietAboutPath = toStdout;
    this.#serving = new Serving(terminal);
    this.#clock = clock;
    this.#beganMs = clock();
  }

  /** Whether the fetch is done and told of, and what it got is served on. */
  get isKeeping(): boolean {
    return this.#isKeeping;
  }

  tell(event: ActionEvent): void {
    switch (event.event) {
      case 'waiting':
        this.#waitingFor = event.why;
        break;
      case 'opened':
        this.#opened = { ...event, name: event.name || NO_NAME };
        this.#waitingFor = undefined;
        this.#beganMs = this.#clock();
        this.#terminal.say(`${this.#opened.name}: ${contents(event)}`);
        if (event.note !== undefined) this.#terminal.say(`note: ${event.note}`);
        break;
      case 'preparing':
        this.#preparing = preparing(event.step, this.#opened?.files ?? 0);
        break;
      case 'resumed':
        this.#resumedBytes = event.bytes;
        // What was there already came at no speed.
        this.#rate = new Rate();
        this.#terminal.say(`going on where it stopped: ${formatBytes(event.bytes)} are here already`);
        break;
      case 'renamed':
        this.#terminal.say(`this file system can not hold ${event.path}, or keep it apart; it becomes ${event.as}`);
        break;
      case 'put-back':
        this.#terminal.say(
          `an earlier fetch was killed as it replaced what was here; that is back as ${event.as}, as its name is taken`,
        );
        break;
      case 'progress':
        this.#progress = event;
        this.#waitingFor = undefined;
        break;
      case 'dropped':
        this.#terminal.say(droppedLine(event));
        break;
      case 'finishing':
        this.#isFinishing = true;
        break;
      case 'keeping':
        this.done(event.fetched);
        this.#isKeeping = true;
        this.#terminal.say(onward(event.share));
        break;
      case 'seeding': {
        const { share, sources } = event;
        const origin = sources.length === 0 ? ', all of which was here already' : originOf(sources);
        this.#isKeeping = true;
        this.#terminal.result(share.id);
        this.#terminal.say(`carrying ${share.name || NO_NAME} (${contents(share)})${origin}`);
        this.#terminal.say(onward(share));
        break;
      }
      case 'explained':
        for (const line of table(STAGE_HEADS, event.stages.map(stageRow), Infinity)) this.#terminal.say(line);
        if (event.failed !== undefined) this.#terminal.say(failedLine(event.failed, event.next));
        break;
      case 'served':
        this.#serving.add(event);
        break;
      case 'ended':
        if (event.why === 'expired') this.#terminal.say(HAS_EXPIRED);
        break;
      case 'found':
        if (event.via !== 'local') this.#paths.set(event.peer, event.path);
        break;
      case 'lost':
        this.#paths.delete(event.peer);
        break;
      default:
        break;
    }
  }

  line(nowMs: number, columns: number): string {
    if (this.#isKeeping) return this.#serving.line(nowMs);
    if (this.#opened === undefined) return this.#waitingFor ?? (this.#terminal.isLive ? 'looking for peers' : '');
    const { name, sizeBytes } = this.#opened;
    if (this.#preparing !== '') return `${name}: ${this.#preparing}`;
    if (this.#isFinishing) return `${name}: writing it to disk`;
    const progress = this.#progress ?? { doneBytes: this.#resumedBytes, totalBytes: sizeBytes };
    this.#rate.sample(progress.doneBytes, nowMs);
    const isWaiting = this.#waitingFor !== undefined || this.#rate.stands(nowMs);
    const waiting = this.#waitingFor === undefined ? {} : { waitingFor: this.#waitingFor };
    const bytesPerSecond = this.#rate.perSecond();
    const ways = waysOf([...this.#paths.values()]);
    return transferLine({ name, ...progress, ways, ...waiting, stands: isWaiting, bytesPerSecond }, columns);
  }

  /** Tells of a fetch that is complete; where it is goes to stdout. */
  done(fetched: Results['fetch']): void {
    const { path, alreadyThere, sizeBytes, sources } = fetched;
    if (!this.#isQuietAboutPath) this.#terminal.result(path);
    if (alreadyThere) {
      this.#terminal.say(`already there, verified: ${contents(fetched)}`);
      return;
    }
    const seconds = (this.#clock() - this.#beganMs) / 1000;
    const came = sources.reduce((sum, { bytes }) => sum + bytes, 0) || sizeBytes;
    const speed = seconds > 0.5 ? ` in ${formatSeconds(seconds)} (${formatBytes(came / seconds)}/s)` : '';
    this.#terminal.say(`done: ${contents(fetched)}${speed}${originOf(sources)}`);
  }

  /** Says what is left when it was interrupted. */
  stopped(): void {
    if (this.#isKeeping) this.#terminal.say(this.#serving.summary());
    else if (!this.#isQuietAboutPath) this.#terminal.say('stopped; the same command goes on from here');
  }
}

/** What this process is at, while nothing comes. */
function preparing(step: Extract<ActionEvent, { event: 'preparing' }>['step'], files: number): string {
  switch (step) {
    case 'compare':
      return 'comparing it with what stands there';
    case 'make':
      return `making ${count(files, 'file')}`;
    case 'verify':
      return 'verifying what an earlier run has left';
    case 'ready':
      return '';
  }
}

const STAGE_HEADS: readonly Column[] = [
  { title: 'STAGE', side: 'left' },
  { title: 'FROM', side: 'right' },
  { title: 'TO', side: 'right' },
  { title: 'OUTCOME', side: 'left' },
];

type Explained = Extract<ActionEvent, { event: 'explained' }>;

function stageRow({ stage, state, beganMs, endedMs, outcome }: Explained['stages'][number]): string[] {
  const seconds = (ms: number | undefined): string => (ms === undefined ? '' : `${(ms / 1000).toFixed(2)} s`);
  return [stage, seconds(beganMs), seconds(endedMs), state === 'failed' ? `failed: ${outcome}` : outcome];
}

function failedLine(failed: string, next: string | undefined): string {
  const where = failed === 'search' ? 'nobody was found' : `it ended at the stage "${failed}"`;
  return next === undefined ? where : `${where}; ${next}`;
}

const VIA: Readonly<Record<string, string>> = { hint: 'the link', mdns: 'mdns', dht: 'the DHT', relay: 'a relay' };

/** What becomes of what is kept. */
function onward({ always }: ShareView): string {
  return always ? 'the daemon serves it on' : 'serving it on until Ctrl-C';
}

function originOf(sources: Results['fetch']['sources']): string {
  const peers = sources.filter(({ via }) => via !== 'local');
  const vias = [...new Set(peers.map(({ via }) => VIA[via] ?? via))].join(', ');
  const parts = [
    ...(peers.length < sources.length ? ['this home'] : []),
    ...(peers.length > 0
      ? [`${count(peers.length, 'peer')} found by ${vias}${waysOf(peers.map(({ path }) => path))}`]
      : []),
  ];
  return parts.length === 0 ? '' : `, from ${parts.join(' and ')}`;
}

function contents(what: {
  readonly kind: 'file' | 'folder';
  readonly files: number;
  readonly sizeBytes: number;
}): string {
  const size = formatBytes(what.sizeBytes);
  return what.kind === 'file' ? size : `${count(what.files, 'file')}, ${size}`;
}
