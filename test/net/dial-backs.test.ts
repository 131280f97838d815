import { expect } from 'chai';
import type { Connection } from '@libp2p/interface';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MAX_DIAL_BACKS_PER_HOST, MAX_DIAL_BACKS_PER_MINUTE } from '../../src/limits.ts';
import { dialingBack } from '../../src/net/dial-backs.ts';
import { ManualClock } from './harness.ts';
import { needNamespace } from './namespace.ts';

const run = promisify(execFile);

const NAMESPACE =
  'ip link set lo up && ip addr add 1.2.3.4/32 dev lo && ip addr add 5.6.7.8/32 dev lo && ' +
  'ip route replace local 1.2.3.4/32 dev lo src 5.6.7.8 table local && exec "$0" "$@"';

describe('dialingBack', () => {
  it('dials who asks anew, at public addresses of the host that asks, and leaves the connection', async function () {
    this.timeout(30_000);
    needNamespace(this, NAMESPACE);
    const child = [process.execPath, join(import.meta.dirname, 'dial-backs.child.ts')];
    const { stdout } = await run('unshare', ['-n', 'sh', '-c', NAMESPACE, ...child]);
    expect(JSON.parse(stdout)).to.deep.equal({
      answers: {
        '/ip4/5.6.7.8/tcp/4001': OK,
        '/ip4/5.6.7.8/tcp/4009': E_DIAL_ERROR,
        '/ip4/5.6.7.9/tcp/4001': E_DIAL_REFUSED,
        '/ip4/127.0.0.1/tcp/4002': E_DIAL_REFUSED,
        '/dns4/localhost/tcp/4002': E_DIAL_REFUSED,
      },
      dialled: 1,
      stillOpen: true,
    });
  });

  it('dials one host, and all together, so often in a minute and no more', async () => {
    const clock = new ManualClock();
    const dialled: string[] = [];
    const connection = {} as Connection;
    // Nothing else of a connection manager is asked here.
    const manager = dialingBack(
      {
        openConnection: async (target: Multiaddr | Multiaddr[]) => {
          dialled.push(String(target));
          return connection;
        },
      } as unknown as Parameters<typeof dialingBack>[0],
      clock,
    );
    const dial = (host: string, port: number): Promise<unknown> =>
      manager.openConnection(multiaddr(`/ip4/${host}/tcp/${port}`)).catch((error: unknown) => (error as Error).message);
    for (let port = 1; port <= MAX_DIAL_BACKS_PER_HOST; port++)
      expect(await dial('1.2.3.4', port)).to.equal(connection);
    expect(await dial('1.2.3.4', 5000)).to.match(/too many dials/);
    expect(await dial('1.2.3.5', 5000)).to.equal(connection);
    for (let n = MAX_DIAL_BACKS_PER_HOST + 1; n < MAX_DIAL_BACKS_PER_MINUTE; n++) {
      expect(await dial(`1.2.4.${n}`, 1)).to.equal(connection);
    }
    expect(await dial('1.2.3.6', 1)).to.match(/too many dials/);
    expect(await manager.openConnection([multiaddr('/ip4/1.2.3.6/tcp/1')])).to.equal(connection);
    clock.advance(60_000);
    expect(await dial('1.2.3.4', 5000)).to.equal(connection);
    expect(dialled.length).to.equal(MAX_DIAL_BACKS_PER_MINUTE + 2);
  });
});

const OK = 0;
const E_DIAL_ERROR = 100;
const E_DIAL_REFUSED = 101;
