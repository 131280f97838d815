/** The relay as it is run: `bin/shoal-relay.js run` as a process of its own, in a data folder of its own. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { makeRelayFolder } from '../../relay/folder.ts';
import { startProgram, type Program } from '../harness.ts';

const BIN = join(import.meta.dirname, '../../bin/shoal-relay.js');

export interface RelayProcess {
  readonly pid: number;
  /** A multiaddr that ends in its peer id. */
  readonly address: string;
  /** From when it was started until it said that it is ready. */
  readonly readySeconds: number;
  /** What it says of itself to its operator. */
  status(): Promise<Status>;
  /** Stops it, and waits until it has ended. */
  stop(): Promise<void>;
}

interface Status {
  readonly addresses: readonly string[];
  readonly connections: number;
  readonly reservations: number;
  readonly leases: number;
}

/** What is counted of everyone together must not be what is measured; and one machine plays all who visit. */
const UNLIMITED = `
[network]
listen = ["/ip4/127.0.0.1/tcp/0"]
[http]
listen = "127.0.0.1:0"
[limits]
connections_per_second = 100_000
reservations_per_minute = 100_000
stored_bytes = "1 TB"
[tiers.anonymous]
circuit_bytes = "100 GB"
stored_bytes = "1 TB"
`;

/** A new data folder with a key below `folder`. @returns its path */
export async function makeDataFolder(folder: string): Promise<string> {
  const data = await mkdtemp(join(folder, 'relay-'));
  await makeRelayFolder(data, randomBytes);
  return data;
}

/**
 * Starts a relay, and returns once it is ready.
 * @param data from `makeDataFolder`
 * @param reservations as many as it lends at once, where those are others than by default
 * @param nodeOptions of the Node that runs it
 */
export async function startRelay(
  data: string,
  { reservations, nodeOptions = [] }: { reservations?: number; nodeOptions?: readonly string[] | undefined } = {},
): Promise<RelayProcess> {
  const lent = reservations === undefined ? '[limits]' : `[limits]\nreservations = ${reservations}`;
  await writeFile(join(data, 'config.toml'), UNLIMITED.replace('[limits]', lent), { mode: 0o600 });
  const startedMs = performance.now();
  // What it tells on stderr is read as the other programs' results are.
  const inShell = ['sh', '-c', 'exec "$@" 2>&1', 'sh', process.execPath, ...nodeOptions, BIN, 'run'] as const;
  const program = startProgram(inShell, { ...process.env, SHOAL_RELAY_HOME: data });
  try {
    await untilItRuns(program);
    const readySeconds = (performance.now() - startedMs) / 1000;
    const status = (): Promise<Status> => askStatus(join(data, 'admin.sock'));
    const [address] = (await status()).addresses;
    if (address === undefined) throw new Error('the relay has no address');
    return { pid: program.pid, address, readySeconds, status, stop: () => program.stop() };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

async function untilItRuns(program: Program): Promise<void> {
  const said: string[] = [];
  try {
    while (said.at(-1)?.includes('"the relay runs"') !== true) said.push(await program.nextLine());
  } catch (cause) {
    throw new Error(`the relay did not start:\n${said.join('\n')}`, { cause });
  }
}

async function askStatus(socketPath: string): Promise<Status> {
  const asked = request({ socketPath, path: '/status' }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return JSON.parse(await text(response)) as Status;
}
