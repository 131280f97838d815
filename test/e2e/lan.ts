/** Machines on a network, each a network namespace of the test's own. */
import { execFileSync } from 'node:child_process';

/** Why there can be no namespaces here, or undefined. */
function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux only';
  if (process.geteuid?.() !== 0) return 'making network namespaces needs root';
  const name = `shoal-${process.pid}-try`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return undefined;
  } catch (error) {
    return `iproute2 can not make a network namespace: ${(error as Error).message}`;
  }
}

export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Some machines on one switch, 10.77.0.1 and so on. Nothing of it shows outside of the namespaces. */
export class Lan {
  readonly machines: readonly string[];
  readonly #switch = `shoal-${process.pid}-switch`;
  readonly #onExit = (): void => this.close();

  constructor(count: number) {
    this.machines = Array.from({ length: count }, (_, n) => `shoal-${process.pid}-${n + 1}`);
    process.once('exit', this.#onExit);
    ip('netns', 'add', this.#switch);
    ip('-n', this.#switch, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
    ip('-n', this.#switch, 'link', 'set', 'br0', 'up');
    for (const [n, machine] of this.machines.entries()) {
      const [port, address] = [`port${n + 1}`, `10.77.0.${n + 1}/24`];
      ip('netns', 'add', machine);
      ip('-n', this.#switch, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine);
      ip('-n', this.#switch, 'link', 'set', port, 'master', 'br0', 'up');
      ip('-n', machine, 'link', 'set', 'lo', 'up');
      ip('-n', machine, 'addr', 'add', address, 'dev', 'eth0');
      ip('-n', machine, 'link', 'set', 'eth0', 'up');
      ip('-n', machine, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
    }
  }

  close(): void {
    process.off('exit', this.#onExit);
    for (const name of [this.#switch, ...this.machines]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was not made.
      }
    }
  }
}

/** Machines for all tests of a suite, which is skipped where there can be none. */
export function useLan(count: number): () => Lan {
  let lan: Lan | undefined;
  before(function () {
    const why = obstacle();
    if (why !== undefined) {
      console.log(`    skipped: ${why}`);
      this.skip();
    }
    lan = new Lan(count);
  });
  after(() => lan?.close());
  return () => {
    if (lan === undefined) throw new Error('machines are there only within a test');
    return lan;
  };
}
