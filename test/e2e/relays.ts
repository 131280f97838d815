/** Relays of one test: processes of the real program with data folders in the sandbox, which can be killed and started again. */
import { request } from 'node:http';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectDone, type Command, type Ended, type Sandbox, type StartOptions } from './harness.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/shoal-relay.js', import.meta.url));

export interface RelayOptions extends Pick<StartOptions, 'namespace' | 'env'> {
  /** The address that it listens on: of this machine by default. */
  readonly host?: string;
  /** TOML behind what a test needs in any case. */
  readonly config?: string;
}

/** One relay. It has the same addresses, key and data whenever it is started. */
export class Relay {
  readonly #box: Sandbox;
  readonly #name: string;
  readonly #start: StartOptions;
  #command: Command | undefined;
  readonly origin: string;
  readonly port: number;
  readonly host: string;
  #peer = '';

  private constructor(
    box: Sandbox,
    name: string,
    host: string,
    ports: readonly number[],
    { namespace, env = {} }: RelayOptions,
  ) {
    this.#box = box;
    this.#name = name;
    this.host = host;
    const [port = 0, httpPort = 0] = ports;
    this.port = port;
    this.origin = `http://${host}:${httpPort}`;
    this.#start = {
      program: [process.execPath, PROGRAM],
      env: { ...env, SHOAL_RELAY_HOME: this.folder },
      ...(namespace === undefined ? {} : { namespace }),
    };
  }

  /** Sets one up, and starts it. */
  static async start(box: Sandbox, name: string, options: RelayOptions = {}): Promise<Relay> {
    const { host = '127.0.0.1', config = '' } = options;
    const relay = new Relay(box, name, host, await freePorts(2), options);
    expectDone(await relay.run(['init', '--name', name, '--data', relay.folder, '--json']));
    await relay.configure(config);
    await relay.again();
    return relay;
  }

  get folder(): string {
    return this.#box.path('relays', this.#name);
  }

  /** What it has logged since it was started last. */
  get stderr(): string {
    return this.#command?.stderr ?? '';
  }

  /** Its peer id. */
  get peer(): string {
    return this.#peer;
  }

  /** As it stands in links and behind `relays add`. */
  get address(): string {
    return `/ip4/${this.host}/tcp/${this.port}/p2p/${this.#peer}`;
  }

  /** Writes its configuration, which holds from the next start. */
  async configure(more: string): Promise<void> {
    const [listen, http] = [`/ip4/${this.host}/tcp/${this.port}`, this.origin.slice('http://'.length)];
    const lines = [
      `relay.name = "${this.#name}"`,
      `relay.data = ${JSON.stringify(this.folder)}`,
      `relay.lan = ${this.host === '127.0.0.1'}`,
      `network.listen = ["${listen}"]`,
      `network.announce = ["${listen}"]`,
      `http.listen = "${http}"`,
      more,
    ];
    await writeFile(join(this.folder, 'config.toml'), `${lines.join('\n')}\n`);
  }

  /** Starts it on what it had before. */
  async again(): Promise<void> {
    this.#command = this.#box.start(`relay ${this.#name}`, ['run'], this.#start);
    await this.#command.says(/the relay runs/);
    this.#peer = String((await this.status())['peer']);
  }

  /** Runs another command of its program. */
  async run(args: readonly string[]): Promise<Ended> {
    return await this.#box.run(`relay ${this.#name}`, args, this.#start);
  }

  /** Ends it without a warning. */
  async kill(): Promise<void> {
    await this.#command?.destroy();
  }

  async status(): Promise<Readonly<Record<string, unknown>>> {
    return JSON.parse(await this.#ask('/status')) as Readonly<Record<string, unknown>>;
  }

  /** Bytes of blocks that it got since it was started. */
  async receivedBytes(): Promise<number> {
    return await this.metric('shoal_relay_received_bytes_total');
  }

  /** One of its figures; with labels, as they are written. */
  async metric(name: string): Promise<number> {
    const line = (await this.#ask('/metrics')).split('\n').find(one => one.startsWith(`${name} `));
    if (line === undefined) throw new Error(`the relay has no metric ${name}`);
    return Number(line.slice(name.length));
  }

  /** Files with blocks that it keeps. */
  async blockFiles(): Promise<string[]> {
    const chunks = join(this.folder, 'chunks');
    const found = await readdir(chunks, { recursive: true, withFileTypes: true });
    return found.filter(one => one.isFile()).map(one => join(one.parentPath, one.name));
  }

  async #ask(path: string): Promise<string> {
    const asking = request({ socketPath: join(this.folder, 'admin.sock'), path, agent: false });
    asking.end();
    const [response] = (await once(asking, 'response')) as [NodeJS.ReadableStream];
    return await text(response);
  }
}

/** Ports with nobody on them, below those that the system gives out to whoever asks: none of these is taken until a relay listens. */
export async function freePorts(count: number): Promise<number[]> {
  const free: number[] = [];
  while (free.length < count) {
    const port = nextPort++;
    if (await isFree(port)) free.push(port);
  }
  return free;
}

// Each process of a parallel run has a range of its own.
let nextPort = 20_000 + 1_000 * Number(process.env['MOCHA_WORKER_ID'] ?? 0);

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}
