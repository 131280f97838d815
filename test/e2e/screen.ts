/** A real terminal with a shell in it, which is tmux: a test types, looks at what stands on the screen, and changes its size. */
import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { setTimeout as passed } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PROGRAM, TEST_TIMEOUT_MS, type Sandbox } from './harness.ts';

const ROWS = 24;
/** A terminal tells nobody that its screen has changed. */
const LOOK_MS = 50;

export const hasScreens = spawnSync('tmux', ['-V']).status === 0;

export class Screen {
  readonly #socket: string;
  readonly #env: Readonly<Record<string, string>>;

  /** Its shell is in the sandbox's folder, has `shoal` with this home, and its prompt is a dollar sign. */
  static async open(box: Sandbox, home: string, columns: number): Promise<Screen> {
    const rc = box.path('rc');
    // What a shell writes when it ends would be written while the folder is removed.
    await writeFile(rc, `unset HISTFILE\nPS1='$ '\nshoal() { '${process.execPath}' '${PROGRAM}' "$@"; }\n`);
    const screen = new Screen(box.path('tmux'), { ...box.env(home), LANG: 'C.UTF-8' });
    const size = ['-x', String(columns), '-y', String(ROWS)];
    await screen.#tmux('new-session', '-d', '-c', box.folder, ...size, 'bash', '--noprofile', '--rcfile', rc);
    await screen.until(rows => rows.at(-1) === '$', 'a prompt');
    return screen;
  }

  private constructor(socket: string, env: Readonly<Record<string, string>>) {
    this.#socket = socket;
    this.#env = env;
  }

  /** What stands there, without what is empty below it. */
  async rows(): Promise<string[]> {
    return (await this.#tmux('capture-pane', '-p')).trimEnd().split('\n');
  }

  /** The column in which the cursor is, from 0 on. */
  async cursor(): Promise<number> {
    return Number(await this.#tmux('display-message', '-p', '#{cursor_x}'));
  }

  async type(text: string): Promise<void> {
    await this.#tmux('send-keys', '-l', text);
  }

  /** @param key as tmux names it: `Enter`, `C-c` */
  async press(key: string): Promise<void> {
    await this.#tmux('send-keys', key);
  }

  async enter(line: string): Promise<void> {
    await this.type(line);
    await this.press('Enter');
  }

  async resize(columns: number): Promise<void> {
    await this.#tmux('resize-window', '-x', String(columns), '-y', String(ROWS));
  }

  /** Looks until the rows fit, and returns them. */
  async until(fits: (rows: string[]) => boolean, what: string): Promise<string[]> {
    const endMs = performance.now() + TEST_TIMEOUT_MS / 2;
    for (;;) {
      const rows = await this.rows();
      if (fits(rows)) return rows;
      if (performance.now() > endMs) throw new Error(`the screen never showed ${what}:\n${rows.join('\n')}`);
      await passed(LOOK_MS);
    }
  }

  async close(): Promise<void> {
    await this.#tmux('kill-server').catch(() => undefined);
  }

  async #tmux(...args: string[]): Promise<string> {
    const options = { env: this.#env, encoding: 'utf8' as const };
    const { stdout } = await promisify(execFile)(
      'tmux',
      ['-u', '-f', '/dev/null', '-S', this.#socket, ...args],
      options,
    );
    return stdout;
  }
}

/** Screens for each test of a suite, which are closed afterwards. Set up after the sandbox, so that it is there still. */
export function useScreens(sandbox: () => Sandbox): (home: string, columns: number) => Promise<Screen> {
  const screens: Screen[] = [];
  afterEach(async () => {
    for (const screen of screens.splice(0)) await screen.close();
  });
  return async (home, columns) => {
    const screen = await Screen.open(sandbox(), home, columns);
    screens.push(screen);
    return screen;
  };
}
