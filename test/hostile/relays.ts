/** The relay as it is shipped, as a process of its own: on loopback or in a network namespace, watched from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'shoal-relay.js');

/** What of its answer to "how does it stand" is looked at. */
interface Status {
  readonly peer: string;
  readonly addresses: readonly string[];
  readonly http: string;
  readonly connections: number;
  readonly reservations: number;
  readonly circuits: number;
  readonly leases: number;
  readonly storedBytes: number;
  readonly uploads: number;
}

export interface RelayOptions {
  /** Where its files go; made. */
  readonly home: string;
  readonly isLan?: boolean;
  readonly listen?: readonly string[];
  readonly bootstrap?: readonly string[];
  /** How large the heap of its objects may become, where that is not for Node to choose: it ends where they need more. */
  readonly heapMiB?: number;
  /** TOML behind the sections that are always there. */
  readonly more?: string;
}

export class Relay {
  readonly child: ChildProcess;
  readonly home: string;
  /** An address that ends in its peer id. */
  hint = '';
  /** The origin of its public side. */
  http = '';
  readonly #ended: Promise<number | null>;
  #stderr = '';

  private constructor(child: ChildProcess, home: string) {
    this.child = child;
    this.home = home;
    child.stderr?.setEncoding('utf8').on('data', (part: string) => (this.#stderr += part));
    this.#ended = once(child, 'close').then(([code]) => code as number | null);
  }

  /** Resolves when it runs. */
  static async start({ home, isLan = true, listen, bootstrap = [], heapMiB, more = '' }: RelayOptions): Promise<Relay> {
    const env = { ...process.env, SHOAL_RELAY_HOME: home, NODE_OPTIONS: '' };
    await mkdir(home, { recursive: true, mode: 0o700 });
    const made = spawn(process.execPath, [PROGRAM, 'init', '--force'], { env, stdio: 'ignore' });
    await once(made, 'close');
    const config = `
[relay]
lan = ${isLan}
[network]
listen = ${JSON.stringify(listen ?? ['/ip4/127.0.0.1/tcp/0'])}
bootstrap = ${JSON.stringify(bootstrap)}
[http]
listen = "127.0.0.1:0"
${more}`;
    await writeFile(join(home, 'config.toml'), config, { mode: 0o600 });
    const heap = heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`];
    const child = spawn(process.execPath, [...heap, PROGRAM, 'run'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const relay = new Relay(child, home);
    await relay.#until('the relay runs');
    const { addresses, http } = await relay.status();
    Object.assign(relay, { hint: addresses[0], http });
    return relay;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  status(): Promise<Status> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: join(this.home, 'admin.sock'), path: '/status' }, answer => {
        text(answer).then(body => resolve(JSON.parse(body) as Status), reject);
      });
      asked.on('error', reject).end();
    });
  }

  /** Waits until it stands so. */
  async stands(fits: (status: Status) => boolean): Promise<Status> {
    for (;;) {
      const status = await this.status();
      if (fits(status)) return status;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }

  /** What it has in memory now. */
  async memoryMiB(): Promise<number> {
    const [, kib] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${this.child.pid}/status`, 'utf8')) ?? [];
    return Number(kib) / 1024;
  }

  /** Descriptors that it has open. */
  async descriptors(): Promise<number> {
    return (await readdir(`/proc/${this.child.pid}/fd`)).length;
  }

  /** Paths of the files with stored blocks, of one share or all, and of those that a store writes before it names them. */
  async blocks(id = ''): Promise<string[]> {
    const folder = join(this.home, 'chunks', id);
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    const paths = names.map(name => join(folder, name));
    const files = await Promise.all(
      paths.map(async path =>
        stat(path).then(
          found => found.isFile(),
          () => false,
        ),
      ),
    );
    return paths.filter((_, n) => files[n]);
  }

  /** Ends it as its operator does; says how it ended. */
  async stop(): Promise<{ code: number | null; stderr: string }> {
    this.child.kill('SIGTERM');
    return { code: await this.#ended, stderr: this.#stderr };
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#ended;
  }

  async #until(said: string): Promise<void> {
    while (!this.#stderr.includes(said)) {
      if (!this.isRunning) throw new Error(`the relay has ended: ${this.#stderr}`);
      await Promise.race([once(this.child.stderr!, 'data'), this.#ended]);
    }
  }
}
