/**
 * What both sides of a relay's HTTP have in common: an application that only reads (GET and HEAD), takes no bodies, waits
 * for nobody, and says what is wrong as problem documents (RFC 9457).
 */
import {
  createServer as createHttp,
  STATUS_CODES,
  type RequestListener,
  type Server,
  type ServerOptions,
} from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { fileError, isShoalError, ShoalError } from '../../src/errors.ts';
import { RELAY_HTTP_REQUEST_MS } from '../../src/limits.ts';
import type { Log } from '../../src/ports.ts';

export interface Served {
  /** Where it is: an origin, or the path of a Unix socket. */
  readonly address: string;
  /** Hangs up on everybody and ends. */
  close(): Promise<void>;
}

export interface ApplicationOptions {
  readonly maxConnections: number;
  readonly tls?: SecureContextOptions;
  /** How long a request may take to arrive, and a connection be idle, in ms. */
  readonly requestMs?: number;
  /** Addresses and address blocks whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[];
  readonly log: Log;
}

/** @throws ShoalError `usage` when a trusted proxy is no address */
export function application(options: ApplicationOptions): FastifyInstance {
  const { maxConnections, tls, requestMs = RELAY_HTTP_REQUEST_MS, trustedProxies = [], log } = options;
  const app = fastifyWith(trustedProxies, handler => {
    const server = serverFor(handler, requestMs, tls);
    server.maxConnections = maxConnections;
    // Closes connections on which nothing happens, as where an answer is not taken.
    server.timeout = requestMs;
    return server;
  });
  app.addHook('onRequest', async ({ headers, method }, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
    // What would follow is not read.
    if (hasBody || !READING.includes(method)) reply.header('connection', 'close');
    if (hasBody) await problem(reply, 413, 'nothing is taken here; ask without a body');
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.replace(/\?.*$/s, '');
    if (!app.hasRoute({ method: 'GET', url: path })) return problem(reply, 404, 'there is nothing at this address');
    return problem(reply.header('allow', READING.join(', ')), 405, 'this address can only be read, by GET or HEAD');
  });
  app.setErrorHandler((error: Error & { readonly statusCode?: number }, _request, reply) => {
    const { statusCode = 500 } = error;
    if (statusCode < 500) return problem(reply, statusCode, 'the request can not be read');
    log('error', 'answering a request over HTTP failed', { error: isShoalError(error) ? error.message : error.stack });
    return problem(reply, 500, 'the relay failed to answer; its log says why');
  });
  return app;
}

const READING = ['GET', 'HEAD'];

function fastifyWith(
  trustedProxies: readonly string[],
  serverFactory: (handler: RequestListener) => Server,
): FastifyInstance {
  try {
    return fastify({
      logger: false,
      bodyLimit: 1,
      forceCloseConnections: true,
      trustProxy: trustedProxies.length > 0 && [...trustedProxies],
      serverFactory,
      frameworkErrors: (_error, _request, reply: FastifyReply) =>
        void problem(reply, 400, 'the address of the request can not be read'),
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ShoalError(
      'usage',
      `cannot trust the proxies ${trustedProxies.join(', ')}: ${error.message}; give addresses like 10.0.0.1, or blocks like 10.0.0.0/8`,
      { cause: error },
    );
  }
}

function serverFor(handler: RequestListener, requestMs: number, tls: SecureContextOptions | undefined): Server {
  const times: ServerOptions = {
    requestTimeout: requestMs,
    keepAliveTimeout: requestMs,
    connectionsCheckingInterval: requestMs / 2,
  };
  if (tls === undefined) return createHttp(times, handler);
  return createHttps({ ...times, ...tls, handshakeTimeout: requestMs }, handler);
}

/** Answers with a problem document; `detail` is for people. */
export function problem(reply: FastifyReply, status: number, detail: string): FastifyReply {
  const body = { type: 'about:blank', title: STATUS_CODES[status], status, detail };
  return reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .header('cache-control', 'no-store')
    .send(JSON.stringify(body));
}

/**
 * Starts to listen; what was given is closed where that fails.
 * @throws ShoalError `in-use`, `denied`, `io` when the address can not be listened on
 */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<{ readonly port: number }> {
  const shown = `${urlHost(host)}:${port}`;
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw fileError(error, `listen on ${shown}`);
    throw new ShoalError('in-use', `cannot listen on ${shown}: another program uses the port; choose another one`, {
      cause: error,
    });
  }
  return { port: (app.server.address() as AddressInfo).port };
}

/** `host` as it stands in a URL. */
export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
