/**
 * What a relay shows to everybody over HTTP: its information document (src/protocol/relay-info.ts), and a page for people.
 * There is nothing to log in to, and nothing that runs in a browser.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Server as HttpsServer } from 'node:https';
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { fileError, ShoalError } from '../../src/errors.ts';
import { MAX_RELAY_HTTP_CONNECTIONS, RELAY_INFO_MAX_AGE_SECONDS, RELAY_NOT_READY_SECONDS } from '../../src/limits.ts';
import type { Log } from '../../src/ports.ts';
import type { Denied } from '../../src/protocol/admission.ts';
import { RELAY_INFO_PATH, type RelayInfo } from '../../src/protocol/relay-info.ts';
import { landingPage } from './page.ts';
import { application, listen, problem, urlHost, type Served } from './server.ts';

export interface PublicOptions {
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  /** Paths of PEM files; without, it is plain HTTP, for a proxy in front of it. */
  readonly tls?: CertificatePaths;
  /** Addresses and address blocks of proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[];
  /** How long a request may take to arrive, and a connection be idle, in ms. */
  readonly requestMs?: number;
  /** What is told; asked for each request. */
  readonly info: () => RelayInfo;
  /** Whether who asks from `address`, a multiaddr as text (ports.ts, Asker), asks too often. */
  readonly admits: (address: string) => Denied | undefined;
  /** Told of each answer. */
  readonly onAnswer?: (status: number) => void;
  readonly log: Log;
}

export interface CertificatePaths {
  readonly certificate: string;
  readonly key: string;
}

export interface Public extends Served {
  /**
   * Reads certificate and key anew, for connections from now on; where that fails the present ones stay.
   * @throws ShoalError `usage` when they can not be used; `denied`, `io` when they can not be read
   */
  readonly reload: () => Promise<void>;
}

/**
 * @throws ShoalError `in-use`, `denied`, `io` when the address can not be listened on or the certificate not be read;
 *   `usage` when that can not be used, or a trusted proxy is no address
 */
export async function servePublic(options: PublicOptions): Promise<Public> {
  const { host, tls: paths, log } = options;
  const tls = paths === undefined ? {} : { tls: await certificateOf(paths) };
  const { requestMs, trustedProxies } = options;
  const app = application({
    maxConnections: MAX_RELAY_HTTP_CONNECTIONS,
    ...(requestMs === undefined ? {} : { requestMs }),
    ...(trustedProxies === undefined ? {} : { trustedProxies }),
    ...tls,
    log,
  });
  app.addHook('onRequest', async (request, reply) => {
    if (reply.sent) return;
    const denied = options.admits(addressOf(request));
    if (denied === undefined) return;
    reply.header('retry-after', Math.ceil(denied.retryAfterSeconds)).header('connection', 'close');
    await problem(reply, 429, `too many requests (${denied.denied}); ask again later`);
  });
  app.addHook('onResponse', async (_request, reply) => options.onAnswer?.(reply.statusCode));
  app.get(RELAY_INFO_PATH, (request, reply) => answerInfo(request, reply, options.info()));
  app.get('/', (_request, reply) =>
    reply.headers(PAGE_HEADERS).type('text/html; charset=utf-8').send(landingPage(options.info())),
  );
  const { server } = app;
  const { port } = await listen(app, host, options.port);
  return {
    address: `${paths === undefined ? 'http' : 'https'}://${urlHost(host)}:${port}`,
    reload: async () => {
      if (paths !== undefined && server instanceof HttpsServer) server.setSecureContext(await certificateOf(paths));
    },
    close: () => app.close(),
  };
}

const PAGE_HEADERS = {
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cache-control': `public, max-age=${RELAY_INFO_MAX_AGE_SECONDS}`,
};

/** Who asks, as a multiaddr. A trusted proxy may forward what is no address; then it is the proxy. */
function addressOf({ ip, socket }: FastifyRequest): string {
  const address = isIP(ip) === 0 ? (socket.remoteAddress ?? '') : ip;
  const plain = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
  return `/ip${isIP(plain) === 6 ? 6 : 4}/${plain}`;
}

function answerInfo({ headers }: FastifyRequest, reply: FastifyReply, info: RelayInfo): FastifyReply {
  reply.header('access-control-allow-origin', '*');
  if (info.addresses.length === 0) {
    reply.header('retry-after', RELAY_NOT_READY_SECONDS);
    return problem(reply, 503, 'the relay does not know yet at which addresses it can be reached; ask again soon');
  }
  const body = `${JSON.stringify(info, null, 2)}\n`;
  const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  reply.headers({ 'cache-control': `public, max-age=${RELAY_INFO_MAX_AGE_SECONDS}`, etag: tag });
  const known = (headers['if-none-match'] ?? '').split(',').map(one => one.trim().replace(/^W\//, ''));
  if (known.includes(tag) || known.includes('*')) return reply.code(304).send();
  return reply.type('application/json; charset=utf-8').send(body);
}

/** Both, once they are known to fit each other. */
async function certificateOf(paths: CertificatePaths): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  const read = (what: string, path: string): Promise<Buffer> =>
    readFile(path).catch((error: unknown) => {
      throw fileError(error, `read the ${what} "${path}"`);
    });
  const cert = await read('certificate', paths.certificate);
  const key = await read('key of the certificate', paths.key);
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new ShoalError(
      'usage',
      `cannot use the certificate "${paths.certificate}" with the key "${paths.key}": ${(cause as Error).message}; give PEM files that belong together`,
      { cause },
    );
  }
  return { cert, key };
}
