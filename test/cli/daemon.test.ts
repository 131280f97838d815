/** What the commands around the daemon print and ask for, and its log. */
import { expect } from 'chai';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileTerminal, logOf } from '../../cli/log.ts';
import { Terminal } from '../../cli/terminal.ts';
import type { Results } from '../../src/daemon/actions.ts';
import { runWith, Screen, SHARE_ID, shareView, untilAborted } from './world.ts';

const PEER = '12D3KooWEk6UW6kS4Up4K1hr9SAgMv9NDj2BSc3dkRB1essCYP2y';
const KEY = 'k'.repeat(43);
const LINK = `shoal:${SHARE_ID}.${KEY}`;

function status(changes: Partial<Results['status']> = {}): Results['status'] {
  return {
    version: '0.1.0',
    api: 2,
    pid: 4711,
    peer: PEER,
    addresses: ['/ip4/192.0.2.1/tcp/4001', '/ip6/2001:db8::1/tcp/4001'],
    network: { listen: [], bootstrap: [], mdns: true, dht: 'auto', portMapping: true },
    holds: true,
    daemon: { pid: 4711 },
    since: Math.floor(Date.now() / 1000) - 2 * 86_400 - 3630,
    connections: 3,
    maxConnections: 300,
    maxUp: 500_000,
    portMapping: 'mapped',
    lanPeers: 1,
    dhtPeers: 20,
    shares: { total: 12, serving: 10 },
    transfers: { total: 2, running: 1 },
    ...changes,
  };
}

function transfer(changes: Partial<Results['transfer']> = {}): Results['transfer'] {
  return {
    id: 't1234',
    share: SHARE_ID,
    name: 'photos\u001b[2J',
    output: '/home/me',
    state: 'running',
    attached: false,
    doneBytes: 500_000,
    totalBytes: 2_000_000,
    bytesPerSecond: 250_000,
    peers: 2,
    createdAt: 1_790_000_000,
    ...changes,
  };
}

describe('shoal status', () => {
  it('says who holds the home, and how it stands', async () => {
    const { stdout, exitCode } = await runWith(['status'], () => status());
    expect(exitCode).to.equal(0);
    expect(stdout.lines).to.deep.equal([
      'holder:       the daemon (process 4711, shoal 0.1.0), for 2 d 1 h',
      'serving:      10 of 12 shares',
      'transfers:    1 of 2 under way',
      'connections:  3 of 300',
      'limits:       500 kB/s up',
      'known nodes:  1 on the local network, 20 in the DHT',
      `peer id:      ${PEER}`,
      'addresses:    /ip4/192.0.2.1/tcp/4001',
      '              /ip6/2001:db8::1/tcp/4001',
    ]);
  });

  it('tells a command that holds it from a daemon that works through that', async () => {
    const alone = { ...status(), daemon: undefined };
    expect((await runWith(['status'], () => alone)).stdout.lines[0]).to.include('a command (process 4711,');
    const attached = status({ daemon: { pid: 99 } });
    const { stdout } = await runWith(['status'], () => attached);
    expect(stdout.lines[0]).to.include('a command, and daemon 99 (process 4711,');
  });

  it('says what to do where nobody holds it', async () => {
    const { stdout } = await runWith(['status'], () => status({ holds: false }));
    expect(stdout.lines).to.deep.equal([
      'no process holds this home; it has 12 shares, and 2 transfers',
      '"shoal daemon --detach" starts a daemon',
    ]);
  });
});

describe('shoal status of a node behind relays', () => {
  it('says of each relay whether others reach the node through it', async () => {
    const reservations = [
      { peer: PEER, state: 'reserved', until: 1_800_000_000 },
      { peer: PEER, state: 'trying', why: 'the relay has no place left' },
      { peer: PEER, state: 'trying' },
    ] as const;
    const { stdout } = await runWith(['status'], () => status({ reservations }));
    expect(stdout.lines.filter(line => line.includes('…'))).to.deep.equal([
      'relays:       others reach this node through …essCYP2y',
      '              not reachable through …essCYP2y: the relay has no place left',
      '              …essCYP2y has not answered yet',
    ]);
  });
});

describe('shoal peers', () => {
  it('prints a table', async () => {
    const since = Math.floor(Date.now() / 1000) - 2 * 86_400 - 3630;
    const address = `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}`;
    const relayed = `/ip4/192.0.2.8/tcp/1/p2p/${PEER}/p2p-circuit/p2p/${PEER}`;
    const peers = [
      { peer: PEER, address, path: 'direct', direction: 'in', since, shares: 1, bytesUp: 1_500_000 },
      { peer: PEER, address: relayed, path: 'relay', direction: 'out', since, shares: 0, bytesUp: 0 },
    ];
    expect((await runWith(['peers'], () => ({ peers }))).stdout.lines).to.deep.equal([
      'PEER       ADDRESS                  PATH    BY        FOR  SHARES      UP',
      '…essCYP2y  /ip4/192.0.2.7/tcp/4001  direct  them  2 d 1 h       1  1.5 MB',
      '…essCYP2y  /ip4/192.0.2.8/tcp/1     relay   us    2 d 1 h       0     0 B',
    ]);
    expect((await runWith(['peers'], () => ({ peers: [] }))).stderr.lines).to.deep.equal(['connected to nobody']);
  });
});

describe('shoal transfers', () => {
  it('prints a table, and what each waits for, failed of, or became', async () => {
    const transfers = [
      transfer(),
      transfer({ id: 't2', state: 'failed', detail: 'the disk is full', bytesPerSecond: 0, peers: 0 }),
      transfer({ id: 't3', state: 'done', doneBytes: 2_000_000, path: '/home/me/photos', bytesPerSecond: 0, peers: 0 }),
    ];
    const { stdout, stderr } = await runWith(['transfers'], () => ({ transfers }));
    expect(stdout.lines).to.deep.equal([
      'ID     NAME             STATE    DONE    SIZE     SPEED  PEERS',
      't1234  photos\\u{1b}[2J  running   25%  2.0 MB  250 kB/s      2',
      't2     photos\\u{1b}[2J  failed    25%  2.0 MB                0',
      't3     photos\\u{1b}[2J  done     100%  2.0 MB                0',
    ]);
    expect(stderr.lines).to.deep.equal(['t2 failed: the disk is full', 't3 is in /home/me/photos']);
  });

  it('says what becomes of one that is paused, resumed or cancelled', async () => {
    const said = async (args: string[], result: unknown): Promise<string[]> =>
      (await runWith(['transfers', ...args], () => result)).stderr.lines;
    expect(await said(['pause', 't1234'], transfer())).to.deep.equal(['paused t1234 (photos\\u{1b}[2J)']);
    expect(await said(['pause', SHARE_ID], shareView())).to.deep.equal([
      'the daemon does not serve photos any more, until it is resumed',
    ]);
    expect(await said(['cancel', 't1234'], transfer())).to.deep.equal([
      'cancelled t1234 (photos\\u{1b}[2J); what was fetched of it so far is removed',
    ]);
    expect(await said(['cancel', 't1234'], transfer({ path: '/home/me/photos' }))).to.deep.equal([
      't1234 (photos\\u{1b}[2J) is off the list; its files stay in /home/me/photos',
    ]);
  });
});

describe('What is detached', () => {
  it('is given to the daemon that runs', async () => {
    const { asked, stdout } = await runWith(['fetch', LINK, '--detach', '--keep'], () => ({
      ...status(),
      ...transfer(),
    }));
    expect(asked).to.deep.equal([
      { action: 'status', parameters: {} },
      { action: 'transfer', parameters: { link: LINK, output: '/home/me', only: [], force: false, keep: true } },
    ]);
    expect(stdout.lines).to.deep.equal(['t1234']);
  });

  it('is served by the daemon, and so the command says how to stop that', async () => {
    const share = shareView({ always: true, downloadsLeft: 3 });
    const { asked, stdout, stderr, exitCode } = await runWith(
      ['share', 'photos', '--detach', '--downloads', '3'],
      emit => {
        emit({ event: 'shared', share, link: LINK, again: false, addresses: [] });
        return { ...status(), ...share };
      },
    );
    expect(asked[1]?.parameters).to.include({ always: true, downloads: 3 });
    expect(stdout.lines).to.deep.equal([LINK]);
    expect(stderr.lines).to.deep.equal([
      'sharing photos (12 files, 2.7 GB)',
      'who has this link can read it; the daemon serves it until 3 peers have got it all; to stop that: shoal forget bafyreidlwd5lg4l',
    ]);
    expect(exitCode).to.equal(0);
  });

  const wrong: [args: string[], why: string][] = [
    [['fetch', LINK, '--detach', '--timeout', '5s'], '--timeout and --detach'],
    [['fetch', LINK, '--detach', '-o', '-'], '--detach and --output -'],
    [['share', 'photos', '--once', '--downloads', '2'], '--once and --downloads'],
    [['share', 'photos', '--downloads', '0'], 'cannot read the number "0"'],
    [['daemon', '--stop', '--detach'], '--stop and --detach'],
    [['daemon', '--detach', '--log-file', 'x'], '--log-file and --detach'],
    [['daemon', '--api-listen', '0.0.0.0:4700'], 'not an address of this machine'],
    [['daemon', '--api-listen', '192.0.2.1:4700'], 'not an address of this machine'],
    [['daemon', '--api-listen', '127.0.0.1'], 'with a port'],
    [['daemon', '--api-listen', '127.0.0.1:70000'], 'with a port'],
    [['daemon', '--log-level', 'loud'], 'debug, info, warn, error'],
    [['transfers', 'pause'], "missing required argument 'id'"],
  ];
  for (const [args, why] of wrong) {
    it(`does not go with what contradicts it: ${args.join(' ').replace(LINK, 'LINK')}`, async () => {
      const { exitCode, stderr, asked } = await runWith(args, () => status());
      expect(stderr.text).to.include(why);
      expect(exitCode).to.equal(2);
      expect(asked).to.deep.equal([]);
    });
  }
});

describe('The log of a daemon', () => {
  it('has a JSON object a line where no person watches, with what is from elsewhere escaped', () => {
    const screen = new Screen();
    const terminal = new Terminal({ stdout: screen, stderr: screen, env: {}, json: false, quiet: false });
    const log = logOf(terminal, 'info', () => 0);
    log('debug', 'is left out');
    log('warn', `a \u001b]52;c;x\u0007 ${LINK}`, { peers: 3 });
    expect(screen.text).not.to.include(KEY);
    const [line = ''] = screen.lines;
    expect(line).not.to.match(/[\u0000-\u001f\u007f-\u009f]/);
    expect(JSON.parse(line)).to.include({ time: '1970-01-01T00:00:00.000Z', level: 'warn', peers: 3 });
  });

  it('is a line of talk on a terminal', () => {
    const screen = new Screen(80);
    const terminal = new Terminal({ stdout: screen, stderr: screen, env: {}, json: false, quiet: false });
    logOf(terminal, 'info', () => 0)('info', 'the API listens', { port: 4700 });
    expect(screen.text).to.match(/^\d\d:\d\d:\d\d the API listens port=4700\n$/);
  });

  it('begins a new file when it is full, and keeps the one before', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-log-'));
    try {
      const path = join(folder, 'daemon.log');
      const log = logOf(fileTerminal(path, 1000), 'info');
      for (let n = 0; n < 10; n++) log('info', `${n} ${'x'.repeat(200)}`);
      expect((await stat(path)).size + (await stat(`${path}.1`)).size).to.be.within(1000, 2600);
      expect((await stat(path)).mode & 0o077).to.equal(0);
      expect((await readFile(`${path}.1`, 'utf8')) + (await readFile(path, 'utf8'))).to.include('"message":"9 x');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('shoal daemon', () => {
  it('is stopped without that being a failure, and logs from its beginning to its end', async () => {
    const stop = new AbortController();
    const { exitCode, stderr } = await runWith(
      ['daemon'],
      async (emit, signal) => {
        emit({ event: 'ready', addresses: [], shares: 2 });
        emit({ event: 'transfer', transfer: transfer({ state: 'done' }) });
        emit({ event: 'transfer', transfer: transfer({ state: 'failed', detail: 'the disk is full' }) });
        emit({ event: 'transfer', transfer: transfer({ state: 'done', attached: true }) });
        emit({ event: 'changed', id: SHARE_ID, why: 'it is gone' });
        stop.abort(new Error('stopped'));
        return await untilAborted(signal);
      },
      { stop },
    );
    expect(exitCode).to.equal(0);
    expect(stderr.lines.map(line => (JSON.parse(line) as { message: string }).message)).to.deep.equal([
      'the daemon of shoal 0.1.0 is ready and serves 2 shares',
      'transfer t1234 is done',
      'transfer t1234 failed: the disk is full',
      'a share is not served any more, as its files were changed; "shoal shares" tells which one',
      'stopped',
    ]);
  });
});
