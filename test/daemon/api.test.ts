/** The API as other programs meet it: over TCP, with a token; and its description. What the actor does is given by the test. */
import { expect } from 'chai';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import type { ActionEvent, Actor } from '../../src/daemon/actions.ts';
import { serveTcp, type Api } from '../../src/daemon/api.ts';
import { openApi } from '../../src/daemon/openapi.ts';
import { ShoalError } from '../../src/errors.ts';
import { MAX_API_BODY_BYTES } from '../../src/limits.ts';
import { Validator } from '@seriousme/openapi-schema-validator';

const TOKEN = 'the-token-of-this-home';
const nothing = (): void => undefined;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

describe('the API over TCP', () => {
  let api: (Api & { readonly port: number }) | undefined;
  /** What the actor was asked. */
  let asked: { action: string; parameters: unknown }[] = [];
  afterEach(async () => {
    await api?.close();
    api = undefined;
    asked = [];
  });

  const serve = async (
    run: (emit: (event: ActionEvent) => void, signal: AbortSignal) => unknown = () => ({}),
  ): Promise<void> => {
    const actor: Actor = {
      run: async (action, parameters, emit, signal) => {
        asked.push({ action, parameters });
        return (await run(emit, signal)) as never;
      },
    };
    api = await serveTcp(actor, { host: '127.0.0.1', port: 0, token: TOKEN }, nothing);
  };

  const ask = (path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { port = 0 } = api ?? {};
      const method = body === undefined ? 'GET' : 'POST';
      const type = body === undefined ? {} : { 'content-type': 'application/json' };
      const asking = request(
        { host: '127.0.0.1', port, path, method, headers: { ...BEARER, ...type, ...headers } },
        response =>
          void text(response).then(
            body =>
              resolve({
                status: response.statusCode ?? 0,
                type: String(response.headers['content-type']),
                text: body,
              }),
            reject,
          ),
      );
      asking.on('error', reject);
      asking.end(body);
    });
  const BEARER = { authorization: `Bearer ${TOKEN}` };

  it('is for who has the token', async () => {
    await serve();
    for (const authorization of ['', 'Bearer', 'Bearer wrong', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
      const { status, text } = await ask('/v1/status', { authorization });
      expect(status, authorization).to.equal(401);
      expect(text).not.to.include(TOKEN);
    }
    expect(asked).to.deep.equal([]);
    expect((await ask('/v1/status', { authorization: `bearer ${TOKEN}` })).status).to.equal(200);
  });

  it('is not for pages that had a name of theirs lead here, nor for those of other origins', async () => {
    await serve();
    const { port = 0 } = api ?? {};
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      `127.0.0.1:${port + 1}`,
      `localhost.evil.example:${port}`,
    ])
      expect((await ask('/v1/status', { host })).status, host).to.equal(403);
    for (const origin of ['http://evil.example', 'null', `https://127.0.0.1:${port}`, `http://127.0.0.1:${port}.evil`])
      expect((await ask('/v1/status', { origin })).status, origin).to.equal(403);
    expect(asked).to.deep.equal([]);
    expect((await ask('/v1/status', { host: `localhost:${port}` })).status).to.equal(200);
    expect((await ask('/v1/status', { origin: `http://127.0.0.1:${port}` })).status).to.equal(200);
  });

  it('answers with lines, with server-sent events, or with the result alone, as the asker wants', async () => {
    await serve(emit => {
      emit({ event: 'waiting', why: 'a\nb' });
      return { shares: [] };
    });
    expect(await ask('/v1/shares', {}, '{}')).to.deep.equal({
      status: 200,
      type: 'application/x-ndjson',
      text: '{"event":"waiting","why":"a\\nb"}\n{"event":"done","result":{"shares":[]}}\n',
    });
    expect(await ask('/v1/shares', { accept: 'text/event-stream' })).to.deep.equal({
      status: 200,
      type: 'text/event-stream',
      text: 'event: waiting\ndata: {"event":"waiting","why":"a\\nb"}\n\nevent: done\ndata: {"event":"done","result":{"shares":[]}}\n\n',
    });
    expect(await ask('/v1/shares', { accept: 'application/json' })).to.deep.equal({
      status: 200,
      type: 'application/json',
      text: '{"shares":[]}',
    });
  });

  it('says how an action failed, by a status where the asker wants the result alone', async () => {
    await serve(() => {
      throw new ShoalError('unknown-share', 'this home has no such share');
    });
    const failure = '{"event":"failed","code":"unknown-share","message":"this home has no such share"}';
    expect(await ask('/v1/forget', {}, '{"id":"bafy"}')).to.include({ status: 200, text: `${failure}\n` });
    const accept = 'application/json';
    expect(await ask('/v1/forget', { accept }, '{"id":"bafy"}')).to.include({ status: 404, text: failure });
  });

  it('refuses requests that do not fit, and names what is wrong without repeating it', async () => {
    await serve();
    const secret = 'shoal:bafy.secret';
    const accept = 'application/json';
    const wrong: [path: string, body: string | undefined, status: number, says: string][] = [
      ['/v1/forget', `{"id":["${secret}"]}`, 400, 'id: '],
      ['/v1/forget', `{"id":"${secret}","more":1}`, 400, 'more'],
      ['/v1/forget', `{"id":"${secret}`, 400, 'no JSON'],
      ['/v1/forget', '[]', 400, 'cannot forget'],
      ['/v1/fetch', `{"link":"${secret}","output":"relative"}`, 400, 'cannot fetch: output: the path is not absolute'],
      ['/v1/transfer', `{"link":"${secret}","output":"./a"}`, 400, 'output: the path is not absolute'],
      ['/v1/plan', `{"link":"${secret}","output":""}`, 400, 'output: the path is not absolute'],
      ['/v1/check', `{"link":"${secret}","path":"a"}`, 400, 'path: the path is not absolute'],
      ['/v1/share', '{"paths":["/a","b"]}', 400, 'paths.1: the path is not absolute'],
      ['/v1/export', '{"id":"b","output":"a.car"}', 400, 'output: the path is not absolute'],
      ['/v1/import', '{"path":"a.car"}', 400, 'path: the path is not absolute'],
      ['/v1/forget', undefined, 405, 'can not be asked by GET, but by POST'],
      ['/v1/openapi.json', '{}', 405, 'can not be asked by POST, but by GET'],
      ['/v1/nothing', '{}', 404, 'nothing at this address'],
      ['/v1/list', `{"link":"${'x'.repeat(MAX_API_BODY_BYTES)}"}`, 413, 'too large'],
    ];
    for (const [path, body, status, says] of wrong) {
      const answer = await ask(path, { accept }, body);
      expect(answer.status, says).to.equal(status);
      expect(answer.text).to.include(says);
      expect(answer.text).not.to.include(secret);
    }
    expect(asked).to.deep.equal([]);
  });

  it('names the methods that an address can be asked by', async () => {
    await serve();
    const allowed = async (method: string, path: string): Promise<string | undefined> => {
      const { port = 0 } = api ?? {};
      const asking = request({ host: '127.0.0.1', port, path, method, headers: BEARER });
      asking.end();
      const [response] = (await once(asking, 'response')) as [IncomingMessage];
      response.resume();
      expect(response.statusCode, `${method} ${path}`).to.equal(405);
      return response.headers.allow;
    };
    expect(await allowed('GET', '/v1/list?link=x')).to.equal('POST');
    expect(await allowed('PUT', '/v1/shares')).to.equal('GET, POST');
    expect(await allowed('DELETE', '/v1/openapi.json')).to.equal('GET');
  });

  it('says that a Content-Type is missing where JSON was meant', async () => {
    await serve();
    for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
      const { status, text } = await ask('/v1/forget', { 'content-type': type }, '{"id":"bafy"}');
      expect(status, type).to.equal(415);
      expect(text).to.include('give it the header \\"Content-Type: application/json\\"');
    }
    expect(asked).to.deep.equal([]);
  });

  it('stops the action of an asker that goes away', async () => {
    const stopped = Promise.withResolvers<undefined>();
    await serve(
      (emit, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            stopped.resolve(undefined);
            reject(new ShoalError('interrupted', 'stopped'));
          });
          emit({ event: 'waiting', why: 'for ever' });
        }),
    );
    const { port = 0 } = api ?? {};
    const headers = { ...BEARER, accept: 'text/event-stream' };
    const asking = request({ host: '127.0.0.1', port, path: '/v1/events', headers }, response =>
      response.once('data', () => asking.destroy()),
    );
    asking.on('error', nothing);
    asking.end();
    await stopped.promise;
  });
});

describe('the description of the API', () => {
  it('is a valid OpenAPI document', async () => {
    const { valid, errors } = await new Validator().validate(openApi() as Record<string, unknown>);
    expect(errors ?? []).to.deep.equal([]);
    expect(valid).to.equal(true);
  });

  it('is the one in the documentation', async () => {
    const documented = await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8');
    expect(JSON.parse(documented), 'npm run openapi writes it').to.deep.equal(openApi());
  });
});
