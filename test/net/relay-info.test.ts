/** Real servers on loopback, honest and hostile, asked for a relay's document. */
import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createNetServer, type AddressInfo, type Server as NetServer } from 'node:net';
import { isShoalError, type ShoalError } from '../../src/errors.ts';
import { MAX_RELAY_INFO_BYTES } from '../../src/limits.ts';
import { fetchRelayInfo, type RelayInfoOptions } from '../../src/net/relay-info.ts';
import { RELAY_INFO_PATH } from '../../src/protocol/relay-info.ts';
import { testCertificate } from '../relay/certificate.ts';
import { INFO, OTHER_PEER } from '../relay/document.ts';

const GIVEN: RelayInfoOptions = { stranger: false };
const LOOPBACK = [{ address: '127.0.0.1', family: 4 }];

const answer =
  (body: string, headers: Record<string, string> = {}, status = 200): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);

async function failure(asking: Promise<unknown>): Promise<ShoalError> {
  const error = await asking.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!isShoalError(error)) throw new Error('it did not fail as it should', { cause: error });
  return error;
}

describe("asking for a relay's document", () => {
  const servers: (Server | NetServer)[] = [];
  let connections = 0;
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      if ('closeAllConnections' in server) server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
    connections = 0;
  });

  const listen = async (server: Server | NetServer): Promise<number> => {
    servers.push(server);
    server.on('connection', () => void (connections += 1));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const serve = (listener: RequestListener): Promise<number> => listen(createServer(listener));

  it('tells what the relay takes the time to be, where it says that as it should', async () => {
    const told: number[] = [];
    for (const date of ['Tue, 01 Dec 2026 08:00:00 GMT', 'soon']) {
      const port = await serve(answer(JSON.stringify(INFO), { date }));
      await fetchRelayInfo(`127.0.0.1:${port}`, { ...GIVEN, onDate: seconds => told.push(seconds) });
    }
    expect(told).to.deep.equal([Date.UTC(2026, 11, 1, 8) / 1000]);
  });

  it('gives what it has at its well-known place', async () => {
    const asked: (string | undefined)[] = [];
    const port = await serve((request, response) => {
      asked.push(request.method, request.url, request.headers.host);
      answer(JSON.stringify(INFO))(request, response);
    });
    for (const relay of [`127.0.0.1:${port}`, `http://127.0.0.1:${port}`, `http://127.0.0.1:${port}/`])
      expect(await fetchRelayInfo(relay, GIVEN), relay).to.deep.equal(INFO);
    expect(asked.slice(0, 3)).to.deep.equal(['GET', RELAY_INFO_PATH, `127.0.0.1:${port}`]);
    expect(await fetchRelayInfo(`localhost:${port}`, { ...GIVEN, resolve: async () => LOOPBACK })).to.deep.equal(INFO);
  });

  it('is done over TLS, by a certificate for the name that was given', async () => {
    const { certificate, key } = testCertificate('relay.test');
    const port = await listen(createTlsServer({ cert: certificate, key }, answer(JSON.stringify(INFO))));
    const options = { ...GIVEN, authorities: certificate, resolve: async () => LOOPBACK };
    expect(await fetchRelayInfo(`relay.test:${port}`, options)).to.deep.equal(INFO);
    expect(await fetchRelayInfo(`https://localhost:${port}`, options)).to.deep.equal(INFO);
    expect(await failure(fetchRelayInfo(`other.test:${port}`, options))).to.include({
      code: 'protocol',
      message: `cannot ask the relay "other.test:${port}": its certificate can not be trusted (ERR_TLS_CERT_ALTNAME_INVALID); ask its operator, and do look whether this machine's clock is right`,
    });
    const unknown = await failure(
      fetchRelayInfo(`relay.test:${port}`, { ...options, authorities: testCertificate().certificate }),
    );
    expect(unknown.code).to.equal('protocol');
    expect(unknown.message).to.include('its certificate can not be trusted');
  });

  it('is never done without TLS, but at addresses of this machine', async () => {
    const port = await serve(answer(JSON.stringify(INFO)));
    const resolve = async (): Promise<typeof LOOPBACK> => LOOPBACK;
    expect(await failure(fetchRelayInfo(`http://relay.test:${port}`, { ...GIVEN, resolve }))).to.include({
      code: 'usage',
    });
    expect(connections).to.equal(0);
    const plain = await failure(fetchRelayInfo(`relay.test:${port}`, { ...GIVEN, resolve }));
    expect(plain).to.include({ code: 'protocol' });
    expect(plain.message).to.include('it does not speak TLS');
    // A resolver may say anything of "localhost", too.
    const away = async () => [...LOOPBACK, { address: '192.0.2.1', family: 4 }];
    const error = await failure(fetchRelayInfo(`localhost:${port}`, { ...GIVEN, resolve: away }));
    expect(error.code).to.equal('not-found');
    expect(error.message).to.include('its name leads to another machine');
  });

  for (const relay of [
    '',
    'a b',
    'user@127.0.0.1:1',
    '127.0.0.1:1/path',
    '127.0.0.1:1?query',
    'http://127.0.0.1:1/x',
    'https://user:pw@relay.test',
    'ftp://127.0.0.1',
    '127.0.0.1:70000',
    '127.0.0.1\\x',
    'http://',
  ])
    it(`does not ask ${JSON.stringify(relay)}`, async () => {
      const error = await failure(fetchRelayInfo(relay, GIVEN));
      expect(error.code).to.equal('usage');
      expect(error.message).to.match(/^cannot ask the relay ".*": .+; give it like relay\.example\.org/);
      expect(error.message).not.to.include('pw');
    });

  describe('for a stranger', () => {
    const NOT_PUBLIC = 'it leads into a network that is not public';

    it('is not done at addresses of this machine or its networks, however they are written', async () => {
      const port = await serve(answer(JSON.stringify(INFO)));
      const hosts = ['127.0.0.1', 'http://127.0.0.1', '127.1', '0x7f.1', '2130706433', '[::1]', '[::ffff:127.0.0.1]'];
      for (const host of [...hosts, '10.0.0.1', '192.168.1.1', '169.254.1.1', '100.64.0.1', '[fe80::1]', '[fd00::1]']) {
        const { code, message } = await failure(fetchRelayInfo(`${host}:${port}`, { stranger: true }));
        expect([code, message.includes(NOT_PUBLIC)], host).to.deep.equal(['not-found', true]);
      }
      expect(connections).to.equal(0);
    });

    it('is not done where a name leads to such an address, even as one of several', async () => {
      const { certificate, key } = testCertificate('relay.test');
      const port = await listen(createTlsServer({ cert: certificate, key }, answer(JSON.stringify(INFO))));
      const options = { stranger: true, authorities: certificate };
      const beside = [{ address: '1.1.1.1', family: 4 }, ...LOOPBACK];
      for (const found of [LOOPBACK, beside, [{ address: 'fe80::1%lo', family: 6 }]]) {
        const asking = fetchRelayInfo(`relay.test:${port}`, { ...options, resolve: async () => found });
        const { code, message } = await failure(asking);
        expect(code).to.equal('not-found');
        expect(message).to.include(NOT_PUBLIC).and.to.include('give the relay yourself');
      }
      expect(connections).to.equal(0);
    });
  });

  it('dials what it has looked at, and does not look the name up again', async () => {
    const { certificate, key } = testCertificate('relay.test');
    const port = await listen(createTlsServer({ cert: certificate, key }, answer(JSON.stringify(INFO))));
    let lookups = 0;
    const resolve = async (): Promise<typeof LOOPBACK> => {
      lookups += 1;
      return lookups === 1 ? LOOPBACK : [{ address: '192.0.2.1', family: 4 }];
    };
    await fetchRelayInfo(`relay.test:${port}`, { ...GIVEN, authorities: certificate, resolve });
    expect([lookups, connections]).to.deep.equal([1, 1]);
  });

  it('is not done at addresses at which nobody can be', async () => {
    for (const host of ['0.0.0.0', '255.255.255.255', '[::]', '224.0.0.1'])
      expect((await failure(fetchRelayInfo(host, GIVEN))).message, host).to.include('at which nobody can be');
  });

  const hostile: readonly (readonly [what: string, listener: RequestListener, code: string, why: string])[] = [
    [
      'sends elsewhere',
      answer('', { location: '/x' }, 302),
      'protocol',
      'it sends to another address, which is not followed',
    ],
    [
      'has no document',
      answer('', {}, 404),
      'protocol',
      'it answers with the status 404; is it the address of a relay?',
    ],
    ['shows a page', answer('<p>', { 'content-type': 'text/html' }), 'protocol', 'something else than JSON'],
    ['packs it', answer('x', { 'content-encoding': 'gzip' }), 'protocol', 'in an encoding that it was not asked for'],
    ['answers with no JSON', answer('{'), 'protocol', 'what it answers with is no JSON'],
    [
      'breaks UTF-8',
      (_, response) =>
        void response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.from([0x22, 0xff, 0x22])),
      'protocol',
      'is no JSON',
    ],
    ['answers with another document', answer('{"shoal":"x"}'), 'protocol', '"shoal": it is no number'],
    [
      'names the address of another peer',
      answer(JSON.stringify({ ...INFO, addresses: [`/ip4/127.0.0.1/tcp/1/p2p/${OTHER_PEER}`] })),
      'protocol',
      'address 0: it ends in another peer id',
    ],
    ['is newer', answer('{"shoal":9}'), 'unsupported', 'it is version 9'],
    [
      'says that it has too much to say',
      answer('x'.repeat(MAX_RELAY_INFO_BYTES + 1)),
      'protocol',
      `more than ${MAX_RELAY_INFO_BYTES} bytes`,
    ],
    [
      'is asked too often',
      answer('', { 'retry-after': '17' }, 429),
      'unavailable',
      'it has no time now; try again in 17 s',
    ],
    [
      'is not ready',
      answer('', { 'retry-after': 'x\u00e9' }, 503),
      'unavailable',
      'it has no time now; try again later',
    ],
    ['hangs up', request => void request.socket.destroy(), 'not-found', 'it hung up before it had answered'],
    [
      'hangs up in the middle',
      (request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
        response.write('{', () => request.socket.destroy());
      },
      'not-found',
      'it hung up before it had answered',
    ],
  ];
  for (const [what, listener, code, why] of hostile)
    it(`fails where the relay ${what}`, async () => {
      const relay = `127.0.0.1:${await serve(listener)}`;
      const error = await failure(fetchRelayInfo(relay, GIVEN));
      expect(error.code).to.equal(code);
      expect(error.message).to.include(`the relay "${relay}"`).and.to.include(why);
    });

  for (const [type, why] of [
    ['application/json', `more than ${MAX_RELAY_INFO_BYTES} bytes`],
    ['text/html', 'something else than JSON'],
  ] as const)
    it(`stops at a body of ${type} without an end, and hangs up`, async () => {
      let gone: () => void = () => undefined;
      const hungUp = new Promise<void>(resolve => (gone = resolve));
      const port = await serve((_request, response) => {
        response.writeHead(200, { 'content-type': type });
        response.on('close', () => gone());
        const more = (): void => {
          if (response.destroyed) return;
          response.write(' '.repeat(1024), more);
        };
        more();
      });
      const error = await failure(fetchRelayInfo(`127.0.0.1:${port}`, GIVEN));
      expect(error.message).to.include(why);
      await hungUp;
    });

  it('ends in time where a body, a head or nothing at all drips in', async () => {
    let timer: NodeJS.Timeout | undefined;
    const drips = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      timer = setInterval(() => response.write(' '), 5);
      response.on('close', () => clearInterval(timer));
    });
    const head = await listen(
      createNetServer(socket => {
        socket.on('error', () => undefined).write('HTTP/1.1 200 OK\r\nx: ');
        const timer = setInterval(() => socket.write('y'), 5);
        socket.on('close', () => clearInterval(timer));
      }),
    );
    const silent = await listen(createNetServer(socket => socket.on('error', () => undefined).resume()));
    for (const port of [drips, head, silent]) {
      const error = await failure(fetchRelayInfo(`127.0.0.1:${port}`, { ...GIVEN, timeoutMs: 150 }));
      expect(error.code).to.equal('not-found');
      expect(error.message).to.include('it did not answer within 0.15 s');
    }
  });

  it('ends in time where a name is never found', async () => {
    const resolve = (): Promise<never> => new Promise<never>(() => undefined);
    const error = await failure(fetchRelayInfo('relay.test', { ...GIVEN, resolve, timeoutMs: 50 }));
    expect(error.message).to.include('it did not answer within');
  });

  it('says when nobody is there', async () => {
    const port = await serve(() => undefined);
    const server = servers.pop();
    server?.close();
    await once(server!, 'close');
    const refused = await failure(fetchRelayInfo(`127.0.0.1:${port}`, GIVEN));
    expect(refused).to.include({
      code: 'not-found',
      message: `cannot ask the relay "127.0.0.1:${port}": nobody listens there; is the port right, and does the relay run?`,
    });
    const nameless = async (): Promise<never> => {
      throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
    };
    const unknown = await failure(fetchRelayInfo('relay.test', { ...GIVEN, resolve: nameless }));
    expect(unknown.message).to.equal('cannot ask the relay "relay.test": there is no such name; is it right?');
    const none = await failure(fetchRelayInfo('relay.test', { ...GIVEN, resolve: async () => [] }));
    expect(none.message).to.include('its name leads nowhere');
  });

  it('says when what is there does not speak HTTP', async () => {
    const port = await listen(
      createNetServer(socket =>
        socket
          .on('error', () => undefined)
          .resume()
          .end('SSH-2.0-x\r\n'),
      ),
    );
    const error = await failure(fetchRelayInfo(`127.0.0.1:${port}`, GIVEN));
    expect([error.code, error.message.includes('it does not speak HTTP')]).to.deep.equal(['protocol', true]);
  });

  it('can be stopped', async () => {
    const stop = new AbortController();
    const port = await serve(() => stop.abort());
    const error = await failure(fetchRelayInfo(`127.0.0.1:${port}`, { ...GIVEN, signal: stop.signal }));
    expect(error.code).to.equal('interrupted');
  });
});
