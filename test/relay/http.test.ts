/** Both sides of a relay's HTTP, over real sockets on loopback. */
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as tlsConnect } from 'node:tls';
import { serveAdmin, type AdminOptions } from '../../relay/http/admin.ts';
import { servePublic, type Public, type PublicOptions } from '../../relay/http/public.ts';
import type { Served } from '../../relay/http/server.ts';
import { isShoalError, type ShoalError } from '../../src/errors.ts';
import { MAX_RELAY_HTTP_CONNECTIONS } from '../../src/limits.ts';
import { readRelayInfo, RELAY_INFO_PATH } from '../../src/protocol/relay-info.ts';
import { testCertificate } from './certificate.ts';
import { INFO } from './document.ts';

const nothing = (): void => undefined;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

async function ask(origin: string, path: string, options: RequestOptions & { ca?: string } = {}): Promise<Answer> {
  const url = new URL(path, origin);
  const asking = (url.protocol === 'https:' ? tlsRequest : request)(url, { agent: false, ...options });
  asking.end();
  const [response] = (await once(asking, 'response')) as [import('node:http').IncomingMessage];
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) };
}

/** Writes bytes as they are, and gives all that comes back until the other side hangs up. */
async function raw(origin: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname).on('error', nothing);
  socket.write(bytes);
  return text(socket);
}

async function failure(trying: Promise<unknown>): Promise<ShoalError> {
  const error = await trying.then(nothing, (error: unknown) => error);
  if (!isShoalError(error)) throw new Error('it did not fail as it should', { cause: error });
  return error;
}

let folder = '';
const served: Served[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-relay-http-'));
});
afterEach(async () => {
  for (const one of served.splice(0)) await one.close();
  await rm(folder, { recursive: true });
});

describe("a relay's public HTTP", () => {
  const serve = async (options: Partial<PublicOptions> = {}): Promise<Public> => {
    const defaults: PublicOptions = {
      host: '127.0.0.1',
      port: 0,
      info: () => INFO,
      admits: () => undefined,
      log: nothing,
    };
    const one = await servePublic({ ...defaults, ...options });
    served.push(one);
    return one;
  };

  it('gives the document, to pages of any origin, too, and for a while', async () => {
    const { address } = await serve();
    const { status, headers, text } = await ask(address, RELAY_INFO_PATH);
    expect(status).to.equal(200);
    expect(readRelayInfo(JSON.parse(text))).to.deep.equal(INFO);
    expect(headers).to.include({
      'content-type': 'application/json; charset=utf-8',
      'access-control-allow-origin': '*',
      'cache-control': 'public, max-age=300',
      'x-content-type-options': 'nosniff',
    });
  });

  it('says when the document is the one that is known already, and tells it anew when it changed', async () => {
    let info = INFO;
    const { address } = await serve({ info: () => info });
    const { headers } = await ask(address, RELAY_INFO_PATH);
    const { etag = '' } = headers;
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const again = await ask(address, RELAY_INFO_PATH, { headers: { 'if-none-match': known } });
      expect([again.status, again.text, again.headers.etag], known).to.deep.equal([304, '', etag]);
    }
    info = { ...INFO, name: 'another name' };
    const changed = await ask(address, RELAY_INFO_PATH, { headers: { 'if-none-match': etag } });
    expect([changed.status, changed.text.includes('another name')]).to.deep.equal([200, true]);
    expect(changed.headers.etag).not.to.equal(etag);
  });

  it('asks for patience while the relay has no address', async () => {
    const { address } = await serve({ info: () => ({ ...INFO, addresses: [] }) });
    const { status, headers } = await ask(address, RELAY_INFO_PATH);
    expect([status, headers['retry-after']]).to.deep.equal([503, '10']);
    expect((await ask(address, '/')).status).to.equal(200);
  });

  it('shows a page without scripts, on which all text is only text', async () => {
    const hostile = '<script>alert("1")</script>&\'\u202e';
    const { address } = await serve({
      info: () => ({ ...INFO, name: hostile, operator: hostile, contact: 'javascript:alert(1)', retention: hostile }),
    });
    const { status, headers, text } = await ask(address, '/');
    expect(status).to.equal(200);
    expect(headers['content-type']).to.equal('text/html; charset=utf-8');
    expect(headers['content-security-policy']).to.match(/^default-src 'none';/);
    expect(headers['x-content-type-options']).to.equal('nosniff');
    expect(text).not.to.match(/<script|\u202e|href="javascript/);
    expect(text).to.include('<h1>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\\u{202e}</h1>');
    expect(text).to.include('<dd>javascript:alert(1)</dd>');
    expect(text).to.include(`<a rel="noopener noreferrer nofollow" href="${INFO.terms}">`);
    expect(text).to.include('What a relay sees');
  });

  it('is read by HEAD, too', async () => {
    const { address } = await serve();
    for (const path of ['/', RELAY_INFO_PATH]) {
      const { status, headers, text } = await ask(address, path, { method: 'HEAD' });
      expect([status, text], path).to.deep.equal([200, '']);
      expect(Number(headers['content-length']), path).to.be.greaterThan(100);
    }
  });

  it('has nothing else, and says so as a problem document', async () => {
    const { address } = await serve();
    for (const path of ['/x', `${RELAY_INFO_PATH}/`, '/.well-known/shoal/', '/%2F', '/livez', '/metrics', '/status']) {
      const { status, headers, text } = await ask(address, path);
      expect([status, headers['content-type']], path).to.deep.equal([404, 'application/problem+json; charset=utf-8']);
      expect(JSON.parse(text), path).to.include({ type: 'about:blank', title: 'Not Found', status: 404 });
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND']) {
      const { status, headers } = await ask(address, '/', { method, headers: { 'content-length': '0' } });
      expect([status, headers.allow, headers.connection], method).to.deep.equal([405, 'GET, HEAD', 'close']);
    }
    const { status, headers } = await ask(address, '/%zz');
    expect([status, headers['content-type']]).to.deep.equal([400, 'application/problem+json; charset=utf-8']);
  });

  it('takes no bodies, and does not wait for them', async () => {
    const { address } = await serve();
    const { host } = new URL(address);
    for (const method of ['GET', 'POST'])
      for (const body of ['content-length: 1000000000', 'transfer-encoding: chunked'])
        expect(
          await raw(address, `${method} / HTTP/1.1\r\nhost: ${host}\r\n${body}\r\n\r\n`),
          `${method} ${body}`,
        ).to.match(/^HTTP\/1\.1 413 /);
  });

  it('refuses who asks too often, and says when to come again', async () => {
    const asked: string[] = [];
    const statuses: number[] = [];
    const { address } = await serve({
      admits: from => {
        asked.push(from);
        return asked.length > 1
          ? { denied: '1 request per address prefix', of: 'relay' as const, retryAfterSeconds: 6.5 }
          : undefined;
      },
      onAnswer: status => void statuses.push(status),
    });
    expect((await ask(address, '/')).status).to.equal(200);
    const { status, headers, text } = await ask(address, '/x');
    expect([status, headers['retry-after'], headers.connection]).to.deep.equal([429, '7', 'close']);
    expect(text).to.include('1 request per address prefix');
    expect(asked).to.deep.equal(['/ip4/127.0.0.1', '/ip4/127.0.0.1']);
    expect(statuses).to.deep.equal([200, 429]);
  });

  it('believes what is forwarded only from proxies that it trusts', async () => {
    const from = async (trustedProxies: string[], forwarded: string): Promise<string[]> => {
      const asked: string[] = [];
      const { address } = await serve({ trustedProxies, admits: one => void asked.push(one) });
      await ask(address, '/', { headers: { 'x-forwarded-for': forwarded } });
      return asked;
    };
    expect(await from([], '192.0.2.1')).to.deep.equal(['/ip4/127.0.0.1']);
    expect(await from(['10.0.0.1'], '192.0.2.1')).to.deep.equal(['/ip4/127.0.0.1']);
    expect(await from(['127.0.0.0/8'], '192.0.2.1')).to.deep.equal(['/ip4/192.0.2.1']);
    expect(await from(['127.0.0.1'], '::ffff:192.0.2.1')).to.deep.equal(['/ip4/192.0.2.1']);
    expect(await from(['127.0.0.1'], '2001:db8::1')).to.deep.equal(['/ip6/2001:db8::1']);
    // Who asks the proxy can only put lies in front.
    expect(await from(['127.0.0.1'], '198.51.100.1, 192.0.2.1')).to.deep.equal(['/ip4/192.0.2.1']);
    expect(await from(['127.0.0.1'], 'x\u00e9, unknown')).to.deep.equal(['/ip4/127.0.0.1']);
  });

  it('does not begin with a proxy that is no address', async () => {
    const error = await failure(serve({ trustedProxies: ['my-proxy'] }));
    expect(error.code).to.equal('usage');
    expect(error.message).to.include('cannot trust the proxies my-proxy').and.to.include('give addresses like');
  });

  it('does not begin where another program listens', async () => {
    const { address } = await serve();
    const { port } = new URL(address);
    const error = await failure(serve({ port: Number(port) }));
    expect(error.code).to.equal('in-use');
    expect(error.message).to.equal(
      `cannot listen on 127.0.0.1:${port}: another program uses the port; choose another one`,
    );
  });

  it('says nothing of what failed inside, but in the log', async () => {
    const logged: unknown[] = [];
    const fail = (): never => {
      throw new Error('a private matter');
    };
    const { address } = await serve({ info: fail, log: (...entry) => void logged.push(entry) });
    for (const path of ['/', RELAY_INFO_PATH]) {
      const { status, text } = await ask(address, path);
      expect([status, text.includes('private')]).to.deep.equal([500, false]);
    }
    expect(JSON.stringify(logged)).to.include('a private matter');
  });

  it('hangs up on who asks slowly, or not at all', async () => {
    const { address } = await serve({ requestMs: 400 });
    const { hostname, port } = new URL(address);
    const slow = connect(Number(port), hostname).on('error', nothing);
    slow.write('GET / HTTP/1.1\r\nx: ');
    const timer = setInterval(() => slow.write('y'), 50);
    const silent = connect(Number(port), hostname).on('error', nothing);
    await Promise.all([once(slow.resume(), 'close'), once(silent.resume(), 'close')]);
    clearInterval(timer);
  });

  it('has room for so many connections, and hangs up on more', async () => {
    const { address } = await serve();
    const { hostname, port } = new URL(address);
    const open = Array.from({ length: MAX_RELAY_HTTP_CONNECTIONS }, () => connect(Number(port), hostname));
    await Promise.all(open.map(socket => once(socket, 'connect')));
    const last = connect(Number(port), hostname).on('error', nothing);
    await once(last.resume(), 'close');
    const gone = open.map(socket => once(socket, 'close'));
    for (const socket of open) socket.destroy();
    await Promise.all(gone);
  });

  it('ends while connections are open', async () => {
    const one = await serve();
    const { hostname, port } = new URL(one.address);
    const idle = connect(Number(port), hostname).on('error', nothing);
    await once(idle, 'connect');
    const closed = once(idle.resume(), 'close');
    await one.close();
    await closed;
  });

  describe('over TLS', () => {
    const write = async (): Promise<{ certificate: string; paths: { certificate: string; key: string } }> => {
      const made = testCertificate();
      const paths = { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
      await writeFile(paths.certificate, made.certificate);
      await writeFile(paths.key, made.key);
      return { certificate: made.certificate, paths };
    };

    it('shows its certificate, and another one once that was read anew', async () => {
      const first = await write();
      const { address, reload } = await serve({ tls: first.paths });
      expect(address).to.match(/^https:/);
      expect((await ask(address, RELAY_INFO_PATH, { ca: first.certificate })).status).to.equal(200);
      const second = await write();
      expect((await ask(address, '/', { ca: first.certificate })).status).to.equal(200);
      await reload();
      expect((await ask(address, '/', { ca: second.certificate })).status).to.equal(200);
      const { code } = (await ask(address, '/', { ca: first.certificate }).catch((error: unknown) => error)) as {
        code: string;
      };
      expect(code).to.equal('DEPTH_ZERO_SELF_SIGNED_CERT');
    });

    it('keeps the certificate that it has where the new one is of no use', async () => {
      const { certificate, paths } = await write();
      const { address, reload } = await serve({ tls: paths });
      await writeFile(paths.key, testCertificate().key);
      const wrongKey = await failure(reload());
      expect(wrongKey.code).to.equal('usage');
      expect(wrongKey.message).to.include('give PEM files that belong together');
      await rm(paths.certificate);
      expect((await failure(reload())).code).to.equal('io');
      expect((await ask(address, '/', { ca: certificate })).status).to.equal(200);
    });

    it('does not begin without', async () => {
      const paths = { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
      const none = await failure(serve({ tls: paths }));
      expect([none.code, none.message]).to.deep.equal([
        'io',
        `cannot read the certificate "${paths.certificate}": it does not exist`,
      ]);
      await writeFile(paths.certificate, 'x');
      await writeFile(paths.key, 'secret text');
      const wrong = await failure(serve({ tls: paths }));
      expect(wrong.code).to.equal('usage');
      expect(wrong.message).not.to.include('secret text');
    });

    it('hangs up on who begins no handshake, or asks for nothing behind it', async () => {
      const { certificate, paths } = await write();
      const { address } = await serve({ tls: paths, requestMs: 400 });
      const port = Number(new URL(address).port);
      const silent = connect(port, '127.0.0.1').on('error', nothing);
      const idle = tlsConnect({ port, host: '127.0.0.1', ca: certificate }).on('error', nothing);
      await once(idle, 'secureConnect');
      await Promise.all([once(silent.resume(), 'close'), once(idle.resume(), 'close')]);
    });
  });
});

describe("a relay's HTTP for its operator", () => {
  const TOKEN = 'the-token-of-this-relay';
  const OPTIONS: Omit<AdminOptions, 'at'> = {
    checks: async () => ({ disk: true, listening: true }),
    metrics: { contentType: 'text/plain; version=0.0.4', text: async () => 'shoal_relay_leases 4\n' },
    status: () => ({ leases: 4 }),
    log: nothing,
  };
  const serve = async (at: AdminOptions['at'], options: Partial<AdminOptions> = {}): Promise<Served> => {
    const one = await serveAdmin({ ...OPTIONS, at, ...options });
    served.push(one);
    return one;
  };
  const socketIn = (): string => join(folder, 'relay.sock');
  const askSocket = (path: string): Promise<Answer> => ask('http://localhost', path, { socketPath: socketIn() });

  it('tells that it lives, its metrics and its state', async () => {
    await serve({ socket: socketIn() });
    const live = await askSocket('/livez');
    expect([live.status, live.headers['cache-control']]).to.deep.equal([200, 'no-store']);
    const metrics = await askSocket('/metrics');
    expect([metrics.text, metrics.headers['content-type']]).to.deep.equal([
      'shoal_relay_leases 4\n',
      'text/plain; version=0.0.4',
    ]);
    const status = await askSocket('/status');
    expect([status.headers['content-type'], JSON.parse(status.text)]).to.deep.equal([
      'application/json; charset=utf-8',
      { leases: 4 },
    ]);
    expect((await askSocket('/x')).status).to.equal(404);
  });

  it('says whether the relay is ready, and what is missing', async () => {
    let checks: AdminOptions['checks'] = OPTIONS.checks;
    await serve({ socket: socketIn() }, { checks: () => checks() });
    const ready = await askSocket('/readyz');
    expect([ready.status, JSON.parse(ready.text)]).to.deep.equal([
      200,
      { ready: true, checks: { disk: true, listening: true } },
    ]);
    checks = async () => ({ disk: 'it is full', listening: true });
    const full = await askSocket('/readyz');
    expect([full.status, JSON.parse(full.text)]).to.deep.equal([503, { ready: false, checks: { disk: 'it is full' } }]);
    checks = () => Promise.reject(new Error('no disk at all'));
    const broken = await askSocket('/readyz');
    expect([broken.status, JSON.parse(broken.text)]).to.deep.equal([
      503,
      { ready: false, checks: { checks: 'no disk at all' } },
    ]);
  });

  it('does not wait for checks that do not end', async () => {
    await serve({ socket: socketIn() }, { checks: () => new Promise(nothing), checksMs: 30 });
    const asking = request({ agent: false, socketPath: socketIn(), path: '/readyz' });
    asking.end();
    const [response] = (await once(asking, 'response')) as [import('node:http').IncomingMessage];
    expect([response.statusCode, await text(response)]).to.deep.equal([
      503,
      '{"ready":false,"checks":{"checks":"they took more than 0.03 s"}}',
    ]);
  });

  describe('at a Unix socket', () => {
    it('is for its user only, and gone in the end', async () => {
      const one = await serve({ socket: socketIn() });
      expect((await stat(socketIn())).mode & 0o777).to.equal(0o600);
      await one.close();
      expect(await failureOf(stat(socketIn()))).to.equal('ENOENT');
    });

    it('takes the place of a socket whose process is dead', async () => {
      const script = `require('net').createServer().listen(${JSON.stringify(socketIn())}, () => console.log('there'))`;
      const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      child.kill('SIGKILL');
      await once(child, 'close');
      expect((await stat(socketIn())).isSocket()).to.be.true;
      await serve({ socket: socketIn() });
      expect((await askSocket('/livez')).status).to.equal(200);
    });

    it('leaves one alone that a living process listens at', async () => {
      const other = createServer().listen(socketIn());
      await once(other, 'listening');
      const error = await failure(serve({ socket: socketIn() }));
      expect(error.code).to.equal('in-use');
      expect(error.message).to.include(`cannot listen at the socket "${socketIn()}": a process listens there`);
      const socket = connect(socketIn());
      await once(socket, 'connect');
      socket.destroy();
      other.close();
      await once(other, 'close');
    });

    it('leaves a file alone that is no socket', async () => {
      await writeFile(socketIn(), 'mine');
      expect((await failure(serve({ socket: socketIn() }))).code).to.equal('exists');
      expect(await readFile(socketIn(), 'utf8')).to.equal('mine');
    });

    it('says why it can not be there', async () => {
      const error = await failure(serve({ socket: join(folder, 'none', 'relay.sock') }));
      expect(error.message).to.match(/^cannot listen at the socket ".*": /);
    });
  });

  describe('over TCP', () => {
    const tcp = (token = TOKEN): AdminOptions['at'] => ({ host: '127.0.0.1', port: 0, token });
    const bearer = { authorization: `Bearer ${TOKEN}` };

    it('is for who has the token, whatever is asked', async () => {
      let checked = 0;
      const checks = async (): Promise<Record<string, true>> => {
        checked += 1;
        return {};
      };
      const { address } = await serve(tcp(), { checks });
      for (const path of ['/livez', '/readyz', '/metrics', '/status', '/x'])
        for (const authorization of ['', 'Bearer', 'Bearer x', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
          const { status, headers, text } = await ask(address, path, { headers: { authorization } });
          expect([status, headers['www-authenticate']], `${path} ${authorization}`).to.deep.equal([401, 'Bearer']);
          expect(text).not.to.include(TOKEN);
        }
      expect(checked).to.equal(0);
      for (const path of ['/livez', '/readyz', '/metrics', '/status'])
        expect((await ask(address, path, { headers: bearer })).status, path).to.equal(200);
    });

    it('is not for pages, nor under a name that others had lead here', async () => {
      const { address } = await serve(tcp());
      const { port } = new URL(address);
      for (const headers of [
        { ...bearer, host: `evil.example:${port}` },
        { ...bearer, host: '127.0.0.1:1' },
        { ...bearer, origin: 'http://evil.example' },
        { ...bearer, origin: 'null' },
      ])
        expect((await ask(address, '/metrics', { headers })).status, JSON.stringify(headers)).to.equal(403);
      const headers = { ...bearer, host: `LOCALHOST:${port}` };
      expect((await ask(address, '/metrics', { headers })).status).to.equal(200);
    });

    it('is not where others could listen in, and not without a token', async () => {
      for (const host of ['0.0.0.0', '::', '192.0.2.1', 'relay.example', '127.evil.example'])
        expect((await failure(serve({ host, port: 0, token: TOKEN }))).code, host).to.equal('usage');
      expect((await failure(serve(tcp('')))).message).to.include('the token is empty');
    });
  });
});

/** The code of a failure of the file system. */
async function failureOf(trying: Promise<unknown>): Promise<string | undefined> {
  return trying.then(
    () => undefined,
    (error: unknown) => (error as NodeJS.ErrnoException).code,
  );
}
