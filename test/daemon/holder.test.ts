/** A command and the process that holds its home, over a real socket; what the holder does is given by the test. */
import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Actor, Results } from '../../src/daemon/actions.ts';
import { serveApi, type Api } from '../../src/daemon/api.ts';
import { attach, HolderGone } from '../../src/daemon/client.ts';
import { perform } from '../../src/daemon/session.ts';
import { pidPath, socketPath } from '../../src/daemon/socket.ts';
import { isShoalError } from '../../src/errors.ts';
import { lock } from '../../src/files/lock.ts';
import { HOLDER_PATIENCE_MS, HOLDER_RETRY_MS, MAX_PATHS } from '../../src/limits.ts';
import { API_VERSION, VERSION } from '../../src/version.ts';

const PATIENCE_MS = 10_000;
const NEVER = new AbortController().signal;
const nothing = (): void => undefined;
const network = { listen: [], bootstrap: [], mdns: false, dht: 'off', portMapping: false } as const;
const status: Results['status'] = {
  version: VERSION,
  api: API_VERSION,
  pid: process.pid,
  peer: '',
  addresses: [],
  network,
  holds: true,
  since: 0,
  connections: 0,
  lanPeers: 0,
  dhtPeers: 0,
  shares: { total: 0, serving: 0 },
  transfers: { total: 0, running: 0 },
};

/** Answers for its status, and does else what the test says. */
function actorOf(run: (action: string, signal: AbortSignal) => Promise<unknown>): Actor {
  return {
    run: async (action, _, __, signal) => (action === 'status' ? status : await run(action, signal)) as never,
  };
}

describe('the holder of a home', () => {
  let folder: string;
  let socket: string;
  let api: Api | undefined;
  const runtime = process.env['XDG_RUNTIME_DIR'];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-holder-'));
    process.env['XDG_RUNTIME_DIR'] = folder;
    socket = await socketPath(folder, process.env);
  });
  afterEach(async () => {
    await api?.close();
    api = undefined;
    if (runtime === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = runtime;
    await rm(folder, { recursive: true, force: true });
  });

  it('that accepts and never answers is given up, with its number and what to do', async () => {
    const taken: Socket[] = [];
    const server = createServer(one => taken.push(one)).listen(socket);
    await once(server, 'listening');
    const messages: string[] = [];
    for (const pid of ['', '4711']) {
      await writeFile(pidPath(socket), pid);
      const error: unknown = await attach(socket, 50, nothing, NEVER).catch((reason: unknown) => reason);
      if (!isShoalError(error, 'in-use')) throw error;
      messages.push(error.message);
    }
    for (const one of taken) one.destroy();
    server.close();
    expect(messages[0]).to.match(/does not answer; if it was stopped, continue it, else end it, and try again$/);
    expect(messages[1])
      .to.contain('holds it (4711)')
      .and.to.contain('kill -CONT 4711')
      .and.to.contain('kill -KILL 4711');
  });

  it('that does not answer is waited for no longer than until Ctrl-C', async () => {
    const taken: Socket[] = [];
    const server = createServer(one => taken.push(one)).listen(socket);
    await once(server, 'listening');
    const stop = new AbortController();
    const attaching = attach(socket, PATIENCE_MS, nothing, stop.signal).catch((reason: unknown) => reason);
    if (taken.length === 0) await once(server, 'connection');
    stop.abort();
    expect(isShoalError(await attaching, 'interrupted')).to.equal(true);
    for (const one of taken) one.destroy();
    server.close();
  });

  it('notes its number for as long as it listens', async () => {
    api = await serveApi(
      actorOf(() => Promise.resolve({})),
      socket,
      nothing,
    );
    const names = (): Promise<string[]> => readdir(join(socket, '..'));
    expect(await names()).to.have.lengthOf(2);
    expect(await attach(socket, PATIENCE_MS, nothing, NEVER)).not.to.equal(undefined);
    await api.close();
    api = undefined;
    expect(await names()).to.deep.equal([]);
    expect(await attach(socket, PATIENCE_MS, nothing, NEVER)).to.equal(undefined);
  });

  it('that ends after a long time is given time to be followed by another one', async () => {
    const asked = Promise.withResolvers<undefined>();
    api = await serveApi(
      actorOf(async (_, signal) => {
        asked.resolve(undefined);
        await once(signal, 'abort');
      }),
      socket,
      nothing,
    );
    // As a command does that is about to take over, and does not listen yet.
    const held = await lock(join(folder, 'lock'));
    const now = Date.now;
    try {
      const session = { home: folder, network, log: nothing, onNotice: nothing };
      const importing = perform(session, 'import', { path: '/x' }, nothing, NEVER);
      importing.catch(nothing);
      await asked.promise;
      Date.now = () => now() + 2 * HOLDER_PATIENCE_MS;
      await api.close();
      // Time for it to find nobody at the socket, and the home locked.
      await sleep(3 * HOLDER_RETRY_MS);
      api = await serveApi(
        actorOf(() => Promise.resolve({ id: 'it' })),
        socket,
        nothing,
      );
      expect(await importing).to.deep.equal({ id: 'it' });
    } finally {
      Date.now = now;
      held?.release();
    }
  });

  it('finishes what can not be asked for twice before it ends, and nothing else', async () => {
    const [asked, finish] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    let waiting = 2;
    const actions = actorOf(async (action, signal) => {
      if (--waiting === 0) asked.resolve(undefined);
      if (action === 'shares') await once(signal, 'abort');
      await finish.promise;
      return { id: 'it' };
    });
    api = await serveApi(actions, socket, nothing);
    const actor = await attach(socket, PATIENCE_MS, nothing, NEVER);
    if (actor === undefined) throw new Error('nobody answers');
    const listing = actor.run('shares', {}, nothing, NEVER).catch((reason: unknown) => reason);
    const forgetting = actor.run('forget', { id: 'it' }, nothing, NEVER).catch((reason: unknown) => reason);
    await asked.promise;
    const closed = api.close();
    api = undefined;
    expect(await listing).to.be.instanceOf(HolderGone);
    finish.resolve(undefined);
    expect(await forgetting).to.deep.equal({ id: 'it' });
    await closed;
  });

  it('takes as many paths to share as a command line holds', async () => {
    let given: unknown;
    const actor: Actor = {
      run: (action, parameters) => {
        if (action === 'share') given = parameters;
        return Promise.resolve(action === 'status' ? status : {}) as never;
      },
    };
    api = await serveApi(actor, socket, nothing);
    const choices = { exclude: ['*.o'], spooled: false, skip: false, copy: false, pad: true, anew: false, hints: [] };
    const share = { ...choices, paths: Array.from({ length: MAX_PATHS }, (_, n) => `/${'x'.repeat(200)}/${n}`) };
    const session = { home: folder, network, log: nothing, onNotice: nothing };
    await perform(session, 'share', share, nothing, NEVER);
    expect(given).to.deep.equal(share);
    const more = { ...share, paths: [...share.paths, '/y'] };
    await perform(session, 'share', more, nothing, NEVER);
    expect(given, 'the action itself says that these are too many').to.deep.equal(more);
  });

  it('is not what options of the network are for, and who gives others is told so', async () => {
    api = await serveApi(
      actorOf(() => Promise.resolve({})),
      socket,
      nothing,
    );
    const told = async (action: 'list' | 'shares', given: object, asked: object): Promise<string[]> => {
      const notices: string[] = [];
      const onNotice = (text: string): void => void notices.push(text);
      const session = { home: folder, network: { ...network, ...given }, asked, log: nothing, onNotice };
      await perform(session, action, action === 'list' ? { link: 'x' } : {}, nothing, NEVER);
      return notices;
    };
    const other = { listen: ['/ip4/127.0.0.1/tcp/1'], mdns: true };
    const [notice = '', ...more] = await told('list', other, { listen: '--listen', mdns: 'SHOAL_MDNS', dht: '--dht' });
    expect(more).to.deep.equal([]);
    expect(notice).to.match(/^ignored: --listen, SHOAL_MDNS; another process holds this home/);
    expect(await told('list', {}, { listen: '--listen', dht: '--dht' }), 'the same').to.deep.equal([]);
    expect(await told('list', other, {}), 'defaults').to.deep.equal([]);
    expect(await told('shares', other, { listen: '--listen' }), 'no network is needed').to.deep.equal([]);
  });

  it('listens in the folder for temporary files where the one of the runtime is not set, or empty', async () => {
    const own = join(folder, 'tmp');
    const tmp = process.env['TMPDIR'];
    process.env['TMPDIR'] = own;
    try {
      for (const env of [{}, { XDG_RUNTIME_DIR: '' }]) {
        expect((await socketPath(folder, env)).startsWith(`${own}/shoal-`)).to.equal(true);
      }
    } finally {
      if (tmp === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = tmp;
    }
  });
});
