import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { needNamespace } from '../net/namespace.ts';

const run = promisify(execFile);
const ADDRESSES = ['5.5.5.1/32', '5.5.5.2/32', '5.5.6.3/32', '10.7.7.7/32', '169.254.7.7/32'];
const NAMESPACE = `ip link set lo up && ${ADDRESSES.map(one => `ip addr add ${one} dev lo`).join(' && ')} && exec "$0" "$@"`;

interface Told {
  readonly knocked: readonly string[];
  readonly tried: Readonly<Record<string, number>>;
  readonly isRunning: boolean;
  readonly code: number;
}

describe('A relay, told of addresses inside its own network,', () => {
  let folder = '';
  before(async function () {
    needNamespace(this, NAMESPACE);
    folder = await mkdtemp(join(tmpdir(), 'shoal-hostile-'));
  });
  after(async () => {
    if (folder !== '') await rm(folder, { recursive: true });
  });

  const told = async (mode: 'lan' | 'public'): Promise<Told> => {
    const child = [process.execPath, join(import.meta.dirname, 'told.child.ts'), join(folder, mode), mode];
    const { stdout } = await run('unshare', ['-n', 'sh', '-c', NAMESPACE, ...child]);
    return JSON.parse(stdout) as Told;
  };

  it('knocks at none of them, by whatever protocol it is told', async () => {
    const { knocked, tried, isRunning, code } = await told('public');
    expect(knocked).to.deep.equal([]);
    expect(tried['queries'], 'answers of the DHT that named them').to.be.greaterThan(0);
    expect([isRunning, code]).to.deep.equal([true, 0]);
  }).timeout(60_000);

  it('does so where it is for a local network, which shows that it had been told', async () => {
    const { knocked } = await told('lan');
    expect(knocked).to.include('127.0.0.1');
  }).timeout(60_000);
});
