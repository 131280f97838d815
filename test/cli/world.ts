/** A terminal, standard streams and a performer for commands, all in memory. */
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ActionEvent, ActionName, ShareView } from '../../src/daemon/actions.ts';
import type { Performer } from '../../cli/context.ts';
import { run, terminalOf } from '../../cli/main.ts';
import { networkOf, type NetworkChoice } from '../../cli/settings.ts';
import type { Output } from '../../cli/terminal.ts';

/** A stream that keeps what is written to it. */
export class Screen implements Output {
  text = '';
  readonly isTTY: boolean;
  columns: number;

  /** @param columns of a terminal; none for a pipe */
  constructor(columns?: number) {
    this.isTTY = columns !== undefined;
    this.columns = columns ?? 0;
  }

  write(text: string): void {
    this.text += text;
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }
}

/** What a fake performer does when it is asked for one thing: tell of events, and return or throw. */
export type Script = (onEvent: (event: ActionEvent) => void, signal: AbortSignal, parameters: unknown) => unknown;

interface Asked {
  readonly action: ActionName | 'fetchTo' | 'shareStream';
  readonly parameters: unknown;
}

export interface Ran {
  readonly exitCode: number;
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly asked: readonly Asked[];
  /** How the performer that was made meets others. */
  readonly network: NetworkChoice | undefined;
  /** Each line of stdout as JSON. */
  readonly json: readonly Record<string, unknown>[];
}

export interface Setting {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Whether somebody types what is on stdin. */
  readonly isTyped?: boolean;
  /** Columns of a terminal at both streams; pipes when absent. */
  readonly columns?: number;
  readonly stop?: AbortController;
}

/** Runs a command line against a performer that follows `script`. */
export async function runWith(args: readonly string[], script: Script, setting: Setting = {}): Promise<Ran> {
  // No configuration of who runs the tests.
  const env = { SHOAL_HOME: '/home/me/shoal', ...setting.env };
  const { stdin = '', isTyped = false, columns, stop = new AbortController() } = setting;
  const [stdout, stderr] = [new Screen(columns), new Screen(columns)];
  const content = new PassThrough().setEncoding('utf8').on('data', (part: string) => stdout.write(part));
  const asked: Asked[] = [];
  const performer: Performer = {
    run: async (action, parameters, onEvent, signal) => {
      asked.push({ action, parameters });
      return (await script(onEvent, signal, parameters)) as never;
    },
    shareStream: async (parameters, input, onEvent, signal) => {
      asked.push({ action: 'shareStream', parameters: { ...parameters, content: await text(input) } });
      return (await script(onEvent, signal, parameters)) as never;
    },
    fetchTo: async (parameters, output, onEvent, signal) => {
      asked.push({ action: 'fetchTo', parameters });
      output.write('the content\u001b');
      return (await script(onEvent, signal, parameters)) as never;
    },
  };
  let network: NetworkChoice | undefined;
  const exitCode = await run({
    args,
    env,
    cwd: '/home/me',
    stdin: Object.assign(Readable.from([stdin]), { isTTY: isTyped }),
    stdout: content,
    terminal: terminalOf(args, { env, stdout, stderr }),
    signal: stop.signal,
    performerOf: given => {
      network = networkOf(given.settings);
      return Promise.resolve(performer);
    },
  });
  const json = args.includes('--json') ? stdout.lines.map(line => JSON.parse(line) as Record<string, unknown>) : [];
  return { exitCode, stdout, stderr, asked, network, json };
}

/** Rejects with the signal's reason once it is aborted, as serving does. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

export const SHARE_ID = 'bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3brue';

export function shareView(changes: Partial<ShareView> = {}): ShareView {
  return {
    id: SHARE_ID,
    name: 'photos',
    kind: 'folder',
    sizeBytes: 2_700_000_000,
    files: 12,
    copies: [],
    source: 'original',
    path: '/home/me/photos',
    state: 'serving',
    createdAt: 1_790_000_000,
    peersServed: 3,
    bytesUp: 1_234_567,
    always: false,
    ...changes,
  };
}
