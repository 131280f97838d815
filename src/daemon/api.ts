/**
 * The socket of a home's holder: HTTP over a Unix socket that only its user can open. `POST /v1/<action>` with the action's
 * parameters answers with one JSON object a line: events as they happen, in the end `done` or `failed`. When the asker goes
 * away the action is stopped. Nothing of a request is logged: links hold keys.
 */
import { chmod, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import fastify from 'fastify';
import { isShoalError } from '../errors.ts';
import { MAX_API_BACKLOG_BYTES, MAX_API_BODY_BYTES } from '../limits.ts';
import type { Log } from '../ports.ts';
import { PARAMETERS, type ActionEvent, type ActionName, type Actor, type Ending } from './actions.ts';
import { pidPath } from './socket.ts';

export interface Api {
  /** Ends all actions that are under way, and the socket. */
  close(): Promise<void>;
}

/** Serves `actor` at the Unix socket `path`, taking the place of one that a dead process left. Only for who holds the home. */
export async function serveApi(actor: Actor, path: string, log: Log): Promise<Api> {
  const app = fastify({ logger: false, bodyLimit: MAX_API_BODY_BYTES, forceCloseConnections: true });
  for (const action of Object.keys(PARAMETERS) as ActionName[]) {
    app.post(`/v1/${action}`, async (request, reply) => {
      reply.hijack();
      await answer(actor, action, request.body, reply.raw, log);
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
    tell({ event: 'done', result: await actor.run(action, parameters as never, onEvent, gone.signal) });
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
  }
}
