/** A node behind a router of the test's own, both in a network namespace: no request leaves that. */
import { expect } from 'chai';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CHILD = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, 'mapping.child.ts'),
];
/** The route goes first: what is an address of this machine can not become a gateway. */
const NAMESPACE = [
  'ip link set lo up',
  'ip link add inside type veth peer name outside',
  'ip addr add 10.99.0.1/24 dev inside',
  'ip link set inside up',
  'ip link set outside up',
  'ip route add default via 10.99.0.254 dev inside',
  'ip addr add 10.99.0.254/32 dev lo',
  'exec "$0" "$@"',
].join(' && ');

interface Outcome {
  readonly portMapping: string;
  /** Ports of 1.2.3.4 among the addresses of the node, and the one that it listens on. */
  readonly outside: readonly number[];
  readonly port: number;
  /** What the router had mapped while the node ran, how often it was asked, and how many were left in the end. */
  readonly mapped: readonly (readonly [number, number])[];
  readonly asked: number;
  readonly left: number;
  readonly logged: readonly string[];
}

describe('Port mapping', function () {
  this.timeout(60_000);
  this.slow(20_000);

  before(function () {
    try {
      execFileSync('unshare', ['-n', 'sh', '-c', NAMESPACE, 'true'], { stdio: 'pipe' });
    } catch (error) {
      console.log(`      skipped: no network namespace can be made here: ${(error as Error).message.trim()}`);
      this.skip();
    }
  });

  const outcomeOf = async (scene: object): Promise<Outcome> => {
    const { stdout } = await run('unshare', ['-n', 'sh', '-c', NAMESPACE, ...CHILD, JSON.stringify(scene)]);
    return JSON.parse(stdout) as Outcome;
  };
  const expectMapped = ({ portMapping, outside, port, mapped, left }: Outcome): void => {
    expect([portMapping, outside.length, left]).to.deep.equal(['mapped', 1, 0]);
    expect(mapped).to.deep.equal([[outside[0], port]]);
  };
  const expectNone = ({ portMapping, outside, left, logged }: Outcome): void => {
    expect([portMapping, outside, left]).to.deep.equal(['none', [], 0]);
    expect(logged.filter(line => !line.startsWith('debug'))).to.deep.equal([]);
  };

  for (const kind of ['nat-pmp', 'upnp']) {
    describe(`by ${kind}`, () => {
      it('makes an address known while the node runs, and gives the port back', async () => {
        const outcome = await outcomeOf({ kind });
        expectMapped(outcome);
        expect(outcome.outside).to.deep.equal([outcome.port]);
      });

      it('is renewed before it lapses', async () => {
        const outcome = await outcomeOf({ kind, renew: true });
        expectMapped(outcome);
        expect(outcome.asked).to.equal(2);
      });

      it('is asked for again where there was no router at first', async () => {
        expectMapped(await outcomeOf({ kind, late: true }));
      });

      it('is not believed where the address outside is not public, and the port is given back', async () => {
        const hosts = ['192.168.1.2', '127.0.0.1', '0.0.0.0'];
        const outcomes = await Promise.all(hosts.map(external => outcomeOf({ kind, external })));
        outcomes.forEach(expectNone);
        expect(outcomes.map(({ asked }) => asked)).to.deep.equal([1, 1, 1]);
      });

      it('is done without where the router refuses, or talks nonsense', async () => {
        const outcomes = await Promise.all(['refuses', 'garbage'].map(fault => outcomeOf({ kind, fault })));
        outcomes.forEach(expectNone);
        expect(outcomes.map(({ asked }) => asked)).to.deep.equal([0, 0]);
      });
    });
  }

  it('is given back when the machine gets a public address, and asked for again when it loses that', async () => {
    const outcome = await outcomeOf({ kind: 'nat-pmp', move: true, listen: '/ip4/0.0.0.0/tcp/0' });
    expectMapped(outcome);
    expect(outcome.asked).to.equal(2);
  });

  it('takes another port where somebody has that one', async () => {
    const outcome = await outcomeOf({ kind: 'upnp', conflicts: 2 });
    expectMapped(outcome);
    expect(outcome.outside).not.to.deep.equal([outcome.port]);
  });

  it('is for ever, and given back, where the router knows no leases', async () => {
    expectMapped(await outcomeOf({ kind: 'upnp', fault: 'permanent' }));
  });

  it('does not read a description that never ends', async () => {
    expectNone(await outcomeOf({ kind: 'upnp', fault: 'huge' }));
  });

  it('asks nobody but who has answered', async () => {
    const outcome = await outcomeOf({ kind: 'upnp', fault: 'elsewhere' });
    expectNone(outcome);
    expect(outcome.asked).to.equal(0);
  });

  it('takes no text for an address', async () => {
    const texts = ['1.2.3.4/tcp/1/p2p/x', '1.2.3.400'];
    const outcomes = await Promise.all(texts.map(external => outcomeOf({ kind: 'upnp', external })));
    outcomes.forEach(expectNone);
  });

  it('is quiet where no router answers', async () => {
    expectNone(await outcomeOf({}));
  });

  it('is not waited for by who has been stopped', async () => {
    const { logged } = await outcomeOf({ stopped: true });
    expect(logged, 'the search has not ended').to.deep.equal([]);
  });

  it('is not asked for by who listens on this machine only', async () => {
    const outcome = await outcomeOf({ kind: 'nat-pmp', listen: '/ip4/127.0.0.1/tcp/0' });
    expectNone(outcome);
    expect([outcome.asked, outcome.logged]).to.deep.equal([0, []]);
  });
});
