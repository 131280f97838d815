/**
 * What a relay shows to its operator over HTTP: whether it lives, whether it is ready, its metrics and its state. It is at
 * a Unix socket that only its user can open, or at an address of this machine's own for who has the token.
 */
import { once } from 'node:events';
import { chmod, lstat, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { bearerRefusal } from '../../src/bearer.ts';
import { fileError, ShoalError } from '../../src/errors.ts';
import { MAX_RELAY_ADMIN_CONNECTIONS, RELAY_CHECKS_MS } from '../../src/limits.ts';
import type { Log } from '../../src/ports.ts';
import { application, listen, problem, urlHost, type Served } from './server.ts';

/** What is said to who may not ask. */
const SAID = { pages: 'pages may not ask', which: 'the token of the relay' } as const;

export interface AdminOptions {
  readonly at: { readonly socket: string } | TokenListener;
  /** What the relay needs to be of use, by name: true, or what is wrong with it, for people. */
  readonly checks: () => Promise<Readonly<Record<string, string | true>>>;
  /** How long they may take, in ms. */
  readonly checksMs?: number;
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> };
  /** The state of the relay, or a promise of it; shown as JSON. */
  readonly status: () => unknown;
  readonly log: Log;
}

export interface TokenListener {
  /** An address of this machine's own (127.0.0.1, ::1). */
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  readonly token: string;
}

/**
 * @throws ShoalError `in-use` when a living process is there, `exists` when something else than a socket is in its place,
 *   `usage` when the address is none of this machine's own or the token is empty; `denied`, `io`
 */
export async function serveAdmin(options: AdminOptions): Promise<Served> {
  const { at, log } = options;
  const app = application({ maxConnections: MAX_RELAY_ADMIN_CONNECTIONS, log });
  if ('socket' in at) {
    addRoutes(app, options);
    await listenAtSocket(app, at.socket);
    return { address: at.socket, close: () => app.close() };
  }
  const { host, port, token } = at;
  checkListener(at);
  let allowed: readonly string[] = [];
  app.addHook('onRequest', async (request, reply) => {
    const refused = reply.sent
      ? undefined
      : bearerRefusal(request.headers, { hosts: allowed, origins: [], token, ...SAID });
    if (refused === undefined) return;
    if (refused.status === 401) reply.header('www-authenticate', 'Bearer');
    await problem(reply, refused.status, refused.message);
  });
  addRoutes(app, options);
  const actual = await listen(app, host, port);
  const names = new Set([urlHost(host), 'localhost', '127.0.0.1', '[::1]']);
  allowed = [...names].map(name => `${name}:${actual.port}`);
  return { address: `http://${urlHost(host)}:${actual.port}`, close: () => app.close() };
}

function addRoutes(app: FastifyInstance, { checks, checksMs = RELAY_CHECKS_MS, metrics, status }: AdminOptions): void {
  app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'));
  // That it is answered shows that the event loop turns.
  app.get('/livez', (_request, reply) => reply.send({ live: true }));
  app.get('/readyz', async (_request, reply) => {
    const found = await within(checks, checksMs);
    const failed = Object.entries(found).filter(([, result]) => result !== true);
    if (failed.length === 0) return reply.send({ ready: true, checks: found });
    return reply.code(503).send({ ready: false, checks: Object.fromEntries(failed) });
  });
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  app.get('/status', async (_request, reply) => reply.type('application/json').send(JSON.stringify(await status())));
}

/** The checks, or that they fail or take too long, which is as bad. */
async function within(
  checks: AdminOptions['checks'],
  checksMs: number,
): Promise<Readonly<Record<string, string | true>>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<{ readonly checks: string }>(resolve => {
    const answer = { checks: `they took more than ${checksMs / 1000} s` };
    timer = setTimeout(resolve, checksMs, answer);
  });
  try {
    return await Promise.race([checks(), late]);
  } catch (error) {
    return { checks: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Takes the place of a socket that a dead process left. */
async function listenAtSocket(app: FastifyInstance, path: string): Promise<void> {
  try {
    await makeRoom(path);
    const umask = process.umask(0o177);
    try {
      await app.listen({ path });
    } finally {
      process.umask(umask);
    }
    await chmod(path, 0o600);
  } catch (error) {
    await app.close();
    throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      ? inUse(path)
      : fileError(error, `listen at the socket "${path}"`);
  }
}

async function makeRoom(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new ShoalError(
      'exists',
      `cannot listen at the socket "${path}": it exists already, and is no socket; choose another place, or remove it`,
    );
  if (await isAlive(path)) throw inUse(path);
  await rm(path, { force: true });
}

/** Whether a process listens at the socket; one that can not be asked counts as alive. */
async function isAlive(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false;
    // Its queue is full: it is there, and busy.
    if (code === 'EAGAIN') return true;
    throw error;
  } finally {
    socket.destroy();
  }
}

function inUse(path: string): ShoalError {
  return new ShoalError(
    'in-use',
    `cannot listen at the socket "${path}": a process listens there, perhaps another relay; end it, or choose another place`,
  );
}

/** Whoever reaches other addresses could watch the token on its way. */
function checkListener({ host, token }: TokenListener): void {
  if (host !== '::1' && host !== 'localhost' && !/^127(\.\d{1,3}){3}$/.test(host))
    throw new ShoalError(
      'usage',
      `cannot show metrics and state at ${host}: it is no address of this machine's own; give 127.0.0.1, or a Unix socket`,
    );
  if (token === '')
    throw new ShoalError('usage', 'cannot show metrics and state over TCP: the token is empty; make one');
}
