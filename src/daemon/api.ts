/**
 * The API of a home's holder: HTTP over a Unix socket that only its user can open, and over TCP for who has the token. An
 * action's parameters go to `POST /v1/<action>`; what happens comes back as it happens, and in the end how it ended
 * (openapi.ts). When the asker goes away the action is stopped. Nothing of a request is logged: links hold keys.
 */
import { chmod, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { finished } from 'node:stream/promises';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { bearerRefusal } from '../bearer.ts';
import { fileError, isShoalError, ShoalError, type ErrorCode } from '../errors.ts';
import {
  API_ALIVE_MS,
  API_REQUEST_MS,
  MAX_API_BACKLOG_BYTES,
  MAX_API_BODY_BYTES,
  MAX_API_CONNECTIONS,
} from '../limits.ts';
import type { Log } from '../ports.ts';
import type { ActionEvent, ActionName, Actor, Ending, Parameters } from './actions.ts';
import { LOOKING, openApi, STATUS_OF } from './openapi.ts';
import { PARAMETERS } from './schemas.ts';
import { pidPath } from './socket.ts';

/** Actions that do not last long, go on to their end in any case, and would end otherwise if they were asked for a second time. */
const FINISHED: readonly ActionName[] = ['forget', 'cancel', 'stop', 'withdraw'];
/** What is said to who may not ask. */
const SAID = {
  pages: 'pages of other origins may not ask',
  which: 'the token in the file "api-token" of the home',
} as const;

/** Where the description of the API is. */
const DOCUMENT_PATH = '/v1/openapi.json';

export interface Api {
  /** Ends the actions that are under way and the socket, once those that have to be finished are. */
  close(): Promise<void>;
}

/** Serves `actor` at the Unix socket `path`, taking the place of one that a dead process left. Only for who holds the home. */
export async function serveApi(actor: Actor, path: string, log: Log): Promise<Api> {
  const { app, close } = application(actor, log);
  await rm(path, { force: true });
  await writeFile(pidPath(path), String(process.pid), { mode: 0o600 });
  const umask = process.umask(0o177);
  try {
    await app.listen({ path });
  } finally {
    process.umask(umask);
  }
  await chmod(path, 0o600);
  return {
    close: async () => {
      await close();
      await rm(pidPath(path), { force: true });
    },
  };
}

export interface TcpListener {
  /** An address of this machine's own. */
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  readonly token: string;
}

/**
 * Serves `actor` over TCP for who has the token. Requests under a name that is not this machine's, or from a page of another
 * origin, are refused before it is looked at (DNS rebinding).
 * @throws ShoalError `in-use`, `denied`, `io` when the address can not be listened on
 */
export async function serveTcp(
  actor: Actor,
  { host, port, token }: TcpListener,
  log: Log,
): Promise<Api & { readonly port: number }> {
  const { app, close } = application(actor, log);
  let allowed: readonly string[] = [];
  app.addHook('onRequest', async (request, reply) => {
    const refused = bearerRefusal(request.headers, { hosts: allowed, origins: allowed, token, ...SAID });
    if (refused === undefined) return;
    if (refused.status === 401) reply.header('www-authenticate', 'Bearer');
    await reply.code(refused.status).send({ event: 'failed', code: 'denied', message: refused.message });
  });
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw fileError(error, `listen on ${host}:${port}`);
    throw new ShoalError(
      'in-use',
      `cannot listen on ${host}:${port}: another program uses the port; choose another one with --api-listen or daemon.api-listen`,
    );
  }
  const actual = (app.server.address() as AddressInfo).port;
  const names = new Set([host.includes(':') ? `[${host}]` : host, 'localhost', '127.0.0.1', '[::1]']);
  allowed = [...names].map(name => `${name}:${actual}`);
  return { close, port: actual };
}

function application(actor: Actor, log: Log): { readonly app: FastifyInstance; readonly close: () => Promise<void> } {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_API_BODY_BYTES,
    forceCloseConnections: true,
    // Who asks for ever is hung up on; answers may take as long as they like.
    requestTimeout: API_REQUEST_MS,
    http: { headersTimeout: API_REQUEST_MS, connectionsCheckingInterval: API_REQUEST_MS / 2 },
    frameworkErrors: (_error, _request, reply: FastifyReply) =>
      void reply.code(400).send(failure('usage', 'the address of the request can not be read')),
  });
  app.server.maxConnections = MAX_API_CONNECTIONS;
  // Who connects and asks for nothing is too, which Node leaves to us.
  app.server.on('connection', socket => socket.setTimeout(API_REQUEST_MS, () => socket.destroy()));
  app.server.on('request', ({ socket }) => socket.setTimeout(0));
  // What calls itself plain text would be taken for a parameter.
  app.removeContentTypeParser('text/plain');
  const underWay = new Map<ServerResponse, { readonly action: ActionName; readonly answered: Promise<void> }>();
  for (const action of Object.keys(PARAMETERS) as ActionName[]) {
    app.route({
      url: `/v1/${action}`,
      method: [...methodsOf(action)],
      handler: async (request, reply) => {
        reply.hijack();
        const writer = writerFor(request.headers.accept ?? '', reply.raw);
        const answered = answer(actor, action, request.body ?? {}, reply.raw, writer, log);
        underWay.set(reply.raw, { action, answered });
        await answered.finally(() => underWay.delete(reply.raw));
      },
    });
  }
  const document = openApi();
  app.get(DOCUMENT_PATH, (_request, reply) => reply.send(document));
  app.setNotFoundHandler((request, reply) => {
    const methods = methodsAt(request.url.replace(/\?.*$/s, ''));
    if (methods === undefined)
      return reply.code(404).send(failure('usage', `there is nothing at this address; see ${DOCUMENT_PATH}`));
    const message = `this address can not be asked by ${request.method}, but by ${methods.join(' and ')}`;
    return reply.code(405).header('allow', methods.join(', ')).send(failure('usage', message));
  });
  app.setErrorHandler(({ statusCode = 500 }: { statusCode?: number }, _request, reply) =>
    reply.code(statusCode).send(failure('usage', WRONG_WITH[statusCode] ?? 'the request is no JSON object')),
  );
  const close = async (): Promise<void> => {
    const finishing: Promise<void>[] = [];
    for (const [response, { action, answered }] of underWay) {
      if (FINISHED.includes(action)) finishing.push(answered);
      else response.destroy();
    }
    await Promise.all(finishing);
    await app.close();
  };
  return { app, close };
}

/** What is wrong with a request, by the status it is answered with; said without repeating it. */
const WRONG_WITH: Readonly<Record<number, string>> = {
  413: 'the request is too large',
  415: 'the request does not say that it is JSON; give it the header "Content-Type: application/json"',
};

/** By which methods a path can be asked; undefined where nothing is. */
function methodsAt(path: string): readonly string[] | undefined {
  if (path === DOCUMENT_PATH) return ['GET'];
  const action = (Object.keys(PARAMETERS) as ActionName[]).find(name => path === `/v1/${name}`);
  return action && methodsOf(action);
}

/** Actions that only look at what needs no parameters can be asked by GET, too. */
function methodsOf(action: ActionName): readonly ('GET' | 'POST')[] {
  return LOOKING.includes(action) ? ['GET', 'POST'] : ['POST'];
}

function failure(code: ErrorCode, message: string): Ending<ActionName> {
  return { event: 'failed', code, message };
}

async function answer(
  actor: Actor,
  action: ActionName,
  parameters: unknown,
  response: ServerResponse,
  writer: Writer,
  log: Log,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  response.on('error', () => gone.abort());
  writer.begin();
  const onEvent = (event: ActionEvent): void => {
    // Who reads slowly misses some of what repeats itself; nothing piles up.
    if (!isPassing(event) || response.writableLength < MAX_API_BACKLOG_BYTES) writer.tell(event);
  };
  try {
    const result = await actor.run(action, checked(action, parameters), onEvent, gone.signal);
    writer.end({ event: 'done', result });
  } catch (error) {
    if (!isShoalError(error))
      log('error', `the action ${action} failed`, { error: error instanceof Error ? error.stack : String(error) });
    if (isShoalError(error)) writer.end(failure(error.code, error.message));
    else writer.end(failure('io', `cannot ${action}: ${error instanceof Error ? error.message : String(error)}`));
  } finally {
    response.end();
    // What is in the response when the socket is closed would be lost.
    await finished(response).catch(() => undefined);
  }
}

function isPassing({ event }: ActionEvent): boolean {
  return ['progress', 'sealing', 'blocks', 'transfer'].includes(event);
}

/** @throws ShoalError `usage` for parameters that do not fit */
function checked<A extends ActionName>(action: A, parameters: unknown): Parameters<A> {
  const parsed = PARAMETERS[action].safeParse(parameters);
  if (parsed.success) return parsed.data as Parameters<A>;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.');
  throw new ShoalError(
    'usage',
    `cannot ${action}: ${where ? `${where}: ` : ''}${issue?.message ?? 'wrong parameters'}`,
  );
}

/** How an answer is written: what happens, and how it ended. */
interface Writer {
  begin(): void;
  tell(event: ActionEvent): void;
  end(ending: Ending<ActionName>): void;
}

function writerFor(accept: string, response: ServerResponse): Writer {
  if (accept.includes('text/event-stream')) return serverSentEvents(response);
  if (accept.includes('application/json')) return resultAlone(response);
  return lines(response);
}

const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

/** One JSON object a line. */
function lines(response: ServerResponse): Writer {
  const tell = (line: ActionEvent | Ending<ActionName>): void => void response.write(`${JSON.stringify(line)}\n`);
  return {
    begin: () => response.writeHead(200, { ...HEADERS, 'content-type': 'application/x-ndjson' }),
    tell,
    end: tell,
  };
}

/** As browsers read them (HTML, Server-sent events). */
function serverSentEvents(response: ServerResponse): Writer {
  const tell = (event: ActionEvent | Ending<ActionName>): void =>
    void response.write(`event: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`);
  return {
    begin: () => {
      response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
      response.flushHeaders();
      // Keeps the connection from being taken for dead.
      const alive = setInterval(() => response.write(': still here\n\n'), API_ALIVE_MS);
      response.once('close', () => clearInterval(alive));
    },
    tell,
    end: tell,
  };
}

function resultAlone(response: ServerResponse): Writer {
  return {
    begin: () => undefined,
    tell: () => undefined,
    end: ending => {
      const status = ending.event === 'done' ? 200 : (STATUS_OF[ending.code] ?? 500);
      response.writeHead(status, { ...HEADERS, 'content-type': 'application/json' });
      response.write(JSON.stringify(ending.event === 'done' ? ending.result : ending));
    },
  };
}
