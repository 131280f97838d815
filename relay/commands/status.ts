/** `shoal-relay status`: asks the relay that runs, by its admin listener, how it stands. */
import { request, type IncomingMessage, type RequestOptions } from 'node:http';
import { fileError, ShoalError } from '../../src/errors.ts';
import { showName } from '../../src/files/names.ts';
import { MAX_STATUS_BYTES, STATUS_TIMEOUT_MS } from '../../src/limits.ts';
import { loadConfig, type Context } from '../context.ts';
import { adminOf, loadAdminToken } from '../folder.ts';

/** @throws ShoalError `unavailable` where no relay answers; `denied`; `protocol` where it says what can't be read; `usage`, `home`, `io` */
export async function status({ place, output, signal }: Context): Promise<void> {
  const { listen, tokenFile } = adminOf(await loadConfig(place), place);
  const isSocket = listen.kind === 'socket';
  const shown = isSocket ? `"${showName(listen.path)}"` : `${listen.host}:${listen.port}`;
  const where: RequestOptions = isSocket
    ? { socketPath: listen.path }
    : {
        host: listen.host,
        port: listen.port,
        headers: { authorization: `Bearer ${await loadAdminToken(tokenFile)}` },
      };
  const text = await answerOf({ ...where, path: '/status', agent: false }, shown, signal);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable(shown);
  }
  if (typeof value !== 'object' || value === null) throw unreadable(shown);
  if (output.isJson) output.json(value);
  else output.results(linesOf(value));
}

async function answerOf(options: RequestOptions, shown: string, signal: AbortSignal): Promise<string> {
  const late = AbortSignal.timeout(STATUS_TIMEOUT_MS);
  const stop = AbortSignal.any([signal, late]);
  try {
    const response = await responseTo({ ...options, signal: stop });
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > MAX_STATUS_BYTES) throw unreadable(shown);
      parts.push(part);
    }
    if (response.statusCode === 200) return Buffer.concat(parts).toString('utf8');
    if (response.statusCode === 401 || response.statusCode === 403)
      throw new ShoalError(
        'denied',
        `cannot ask the relay at ${shown}: it does not take the admin token; start the relay again where its file was changed`,
      );
    throw unreadable(shown);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (late.aborted)
      throw new ShoalError('unavailable', `cannot ask the relay at ${shown}: it does not answer; see its log`);
    if (GONE.includes((error as NodeJS.ErrnoException).code ?? ''))
      throw new ShoalError(
        'unavailable',
        `cannot ask the relay at ${shown}: none runs there; "shoal-relay run" starts it`,
      );
    throw fileError(error, `ask the relay at ${shown}`);
  }
}

/** What connecting, or reading an answer, fails with where nobody listens. */
const GONE = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

function responseTo(options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(options, resolve).on('error', reject).end();
  });
}

function unreadable(shown: string): ShoalError {
  return new ShoalError('protocol', `cannot ask the relay at ${shown}: what answers there is no relay of this version`);
}

/** `field: value`, a line each; what is in a field stands behind a dot. */
function linesOf(value: object, before = ''): string[] {
  return Object.entries(value).flatMap(([name, one]: [string, unknown]) => {
    const field = before + name;
    if (Array.isArray(one)) return [`${field}: ${one.map(text).join(', ')}`];
    return typeof one === 'object' && one !== null ? linesOf(one, `${field}.`) : [`${field}: ${text(one)}`];
  });
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
