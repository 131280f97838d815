/** Looks for secrets in what processes leave behind: in their output, their logs, their files, and in what others see of them. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Something that is nobody's business, in all forms in which it could be written. */
export interface Secret {
  readonly name: string;
  readonly forms: readonly Buffer[];
}

/** What was left behind somewhere. */
export interface Leaving {
  readonly where: string;
  readonly bytes: Buffer;
}

/** As much of a secret as gives it away, when something shows only its beginning or its end. */
const TELLING_CHARS = 20;

/** A text, whole or cut. */
export function secretText(name: string, text: string): Secret {
  if (text.length < 12) throw new Error(`${name} is too short to be found for certain`);
  return { name, forms: partsOf(text).map(part => Buffer.from(part)) };
}

/** Bytes: as they are, as hexadecimal digits, and in both forms of base64. */
export function secretBytes(name: string, bytes: Uint8Array): Secret {
  const raw = Buffer.from(bytes);
  const texts = [
    raw.toString('base64url'),
    raw.toString('base64'),
    raw.toString('hex'),
    raw.toString('hex').toUpperCase(),
  ];
  return { name, forms: [raw, ...texts.flatMap(partsOf).map(part => Buffer.from(part))] };
}

/** What of all that was left holds which secret. */
export function findSecrets(secrets: readonly Secret[], leavings: readonly Leaving[]): string[] {
  return leavings.flatMap(({ where, bytes }) =>
    secrets.filter(({ forms }) => forms.some(form => bytes.includes(form))).map(({ name }) => `${where}: ${name}`),
  );
}

/** All files below a folder, but for those that are named; what goes away meanwhile is not there. */
export async function filesBelow(folder: string, but: readonly string[]): Promise<Leaving[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = found.filter(one => one.isFile() && !but.includes(one.name));
  return await Promise.all(
    files.map(async one => {
      const path = join(one.parentPath, one.name);
      return { where: path.slice(folder.length + 1), bytes: await readFile(path).catch(() => Buffer.alloc(0)) };
    }),
  );
}

/** Looks at all processes of one sandbox, again and again, until it is stopped. */
export class ProcessWatch {
  readonly #mark: Buffer;
  readonly #seen = new Map<string, Leaving>();
  /** Those that the test itself has given secrets in their environment. */
  readonly #given = new Set<number>();
  readonly #titles = new Set<string>();
  #isOver = false;
  readonly #running: Promise<void>;

  /** @param mark that stands in the environment of each process of the sandbox */
  constructor(mark: string) {
    this.#mark = Buffer.from(mark);
    this.#running = this.#watch();
  }

  /** The command lines that were seen. */
  get titles(): ReadonlySet<string> {
    return this.#titles;
  }

  /** Its environment is what the test has made it, for as long as it lives. */
  gave(pid: number): void {
    this.#given.add(pid);
  }

  /** What others could have seen. */
  async stop(): Promise<Leaving[]> {
    this.#isOver = true;
    await this.#running;
    return [...this.#seen.values()];
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const pids = (await readdir('/proc')).filter(name => /^[0-9]+$/.test(name));
      for (const pid of pids) await this.#look(pid);
      await new Promise(resolve => setTimeout(resolve, LOOK_MS));
    }
  }

  async #look(pid: string): Promise<void> {
    const [environ, cmdline, comm] = await Promise.all(
      ['environ', 'cmdline', 'comm'].map(name => readFile(`/proc/${pid}/${name}`).catch(() => Buffer.alloc(0))),
    );
    if (environ === undefined || cmdline === undefined || comm === undefined) return;
    if (!environ.includes(this.#mark)) return;
    if (!this.#given.has(Number(pid))) this.#keep(`environment of ${comm.toString().trim()}`, environ);
    // Until the program has begun, it is Node that is called with arguments, and nobody can hide them.
    if (!comm.toString().startsWith('shoal')) return;
    this.#titles.add(cmdline.toString().replace(/\0+$/, ''));
    this.#keep('command line', cmdline);
  }

  #keep(where: string, bytes: Buffer): void {
    this.#seen.set(`${where} ${bytes.toString('latin1')}`, { where, bytes });
  }
}

const LOOK_MS = 20;

function partsOf(text: string): string[] {
  return text.length <= TELLING_CHARS ? [text] : [text.slice(0, TELLING_CHARS), text.slice(-TELLING_CHARS)];
}
