/** What the doctor prints, and what it says of a daemon of another version. */
import { expect } from 'chai';
import type { Results } from '../../src/daemon/actions.ts';
import type { Check } from '../../src/daemon/doctor.ts';
import { ShoalError } from '../../src/errors.ts';
import { VERSION } from '../../src/version.ts';
import { runWith } from './world.ts';

const checks: readonly Check[] = [
  { name: 'addresses', state: 'ok', message: 'it listens on /ip4/192.0.2.1/tcp/4001' },
  { name: 'share b', state: 'problem', message: '"x\u001b]52;" is gone', remedy: 'put it back' },
];

/** Answers `status` as a holder of this version, and `doctor` with what is above. */
function holder(version: string, daemon?: { readonly pid: number }) {
  const status = { holds: true, version, pid: 4711, ...(daemon === undefined ? {} : { daemon }) };
  return () => ({ ...status, checks }) as unknown as Results['doctor'];
}

describe('shoal doctor', () => {
  it('prints a line for each thing, with what to do below, and ends with 1 where there are problems', async () => {
    const { stdout, stderr, exitCode } = await runWith(['doctor'], holder(VERSION));
    expect(stdout.lines.slice(-4)).to.deep.equal([
      `ok       version: the process that holds the home (4711) is shoal ${VERSION}, as this is`,
      'ok       addresses: it listens on /ip4/192.0.2.1/tcp/4001',
      'PROBLEM  share b: "x\\u{1b}]52;" is gone',
      '         put it back',
    ]);
    expect(stderr.lines).to.deep.equal(['found 1 problem']);
    expect(exitCode).to.equal(1);
  });

  it('finds a daemon of another version, and says how to restart it', async () => {
    const { json } = await runWith(['doctor', '--json'], holder('0.0.9', { pid: 4711 }));
    const [told] = json as unknown as { checks: Check[]; problems: number }[];
    expect(told?.problems).to.equal(2);
    const version = told?.checks.find(({ name }) => name === 'version');
    expect(version?.message).to.include(`is shoal 0.0.9, and this is ${VERSION}`);
    expect(version?.remedy).to.include('shoal daemon --stop');
  });

  it('tells why the node can not work, and still all else', async () => {
    const { stdout, exitCode } = await runWith(['doctor'], () => {
      throw new ShoalError('skew', 'cannot work with the process that holds this home: it is older; stop it');
    });
    expect(stdout.lines[0]).to.include('home: there is none yet');
    expect(stdout.lines.slice(-2)).to.deep.equal([
      'PROBLEM  node: cannot work with the process that holds this home: it is older',
      '         stop it',
    ]);
    expect(exitCode).to.equal(1);
  });
});
