/**
 * The socket of a home's holder: HTTP over a Unix socket that only its user can open. `POST /v1/<action>` with the action's
 * parameters answers with one JSON object a line: events as they happen, in the end `done` or `failed`. When the asker goes
 * away the action is stopped. Nothing of a request is logged: links hold keys.
 */
import { chmod, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { finished } from 'node:stream/promises';
import fastify from 'fastify';
import { isShoalError, ShoalError } from '../errors.ts';
import { MAX_API_BACKLOG_BYTES, MAX_API_BODY_BYTES } from '../limits.ts';
import type { Log } from '../ports.ts';
import type { ActionEvent, ActionName, Actor, Ending, Parameters } from './actions.ts';
import { PARAMETERS } from './schemas.ts';
import { pidPath } from './socket.ts';

/** Actions that last moments, go on to their end in any case, and would fail if they were asked for a second time. */
const FINISHED: readonly ActionName[] = ['forget'];

export interface Api {
  /** Ends the actions that are under way and the socket, once those that have to be finished are. */
  close(): Promise<void>;
}

/** Serves `actor` at the Unix socket `path`, taking the place of one that a dead process left. Only for who holds the home. */
export async function serveApi(actor: Actor, path: string, log: Log): Promise<Api> {
  const app = fastify({ logger: false, bodyLimit: MAX_API_BODY_BYTES, forceCloseConnections: true });
  const underWay = new Map<ServerResponse, { readonly action: ActionName; readonly answered: Promise<void> }>();
  for (const action of Object.keys(PARAMETERS) as ActionName[]) {
    app.post(`/v1/${action}`, async (request, reply) => {
      reply.hijack();
      const answered = answer(actor, action, request.body, reply.raw, log);
      underWay.set(reply.raw, { action, answered });
      await answered.finally(() => underWay.delete(reply.raw));
    });
  }
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
      const finishing: Promise<void>[] = [];
      for (const [response, { action, answered }] of underWay) {
        if (FINISHED.includes(action)) finishing.push(answered);
        else response.destroy();
      }
      await Promise.all(finishing);
      await app.close();
      await rm(pidPath(path), { force: true });
    },
  };
}

async function answer(
  actor: Actor,
  action: ActionName,
  parameters: unknown,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  response.on('error', () => gone.abort());
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  const tell = (line: ActionEvent | Ending<ActionName>): void => void response.write(`${JSON.stringify(line)}\n`);
  const onEvent = (event: ActionEvent): void => {
    // Who reads slowly misses some of what repeats itself; nothing piles up.
    const isPassing = event.event === 'progress' || event.event === 'sealing' || event.event === 'blocks';
    if (!isPassing || response.writableLength < MAX_API_BACKLOG_BYTES) tell(event);
  };
  try {
    tell({ event: 'done', result: await actor.run(action, checked(action, parameters), onEvent, gone.signal) });
  } catch (error) {
    if (!isShoalError(error))
      log('error', `the action ${action} failed`, { error: error instanceof Error ? error.stack : String(error) });
    if (isShoalError(error)) tell({ event: 'failed', code: error.code, message: error.message });
    else
      tell({
        event: 'failed',
        code: 'io',
        message: `cannot ${action}: ${error instanceof Error ? error.message : String(error)}`,
      });
  } finally {
    response.end();
    // What is in the response when the socket is closed would be lost.
    await finished(response).catch(() => undefined);
  }
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
