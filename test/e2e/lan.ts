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

/** What a router lets through: what goes out, under its own address, and the answers to that. */
const FIREWALL = `table ip nat {
  chain out { type nat hook postrouting priority 100; oifname "wan" masquerade; }
}
table ip filter {
  chain through { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "lan" accept; }
  chain in { type filter hook input priority 0; policy drop; ct state established,related accept; iifname "lan" accept; }
}`;

/**
 * A server with a public address, 5.5.5.1, and machines that each have a router of their own in front of them which lets
 * nobody in. The addresses are real ones elsewhere, and lead nowhere but to these namespaces.
 */
export class Internet {
  readonly server = `shoal-${process.pid}-server`;
  /** Behind routers. */
  readonly machines: readonly string[];
  readonly #routers: readonly string[];
  readonly #onExit = (): void => this.close();

  constructor(count: number) {
    const names = (kind: string): string[] =>
      Array.from({ length: count }, (_, n) => `shoal-${process.pid}-${kind}-${n}`);
    this.machines = names('home');
    this.#routers = names('router');
    process.once('exit', this.#onExit);
    ip('netns', 'add', this.server);
    ip('-n', this.server, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', this.server, 'addr', 'add', '5.5.5.1/24', 'dev', 'br0');
    for (const link of ['lo', 'br0']) ip('-n', this.server, 'link', 'set', link, 'up');
    for (const [n, machine] of this.machines.entries()) {
      const router = this.#routers[n] ?? '';
      for (const name of [router, machine]) {
        ip('netns', 'add', name);
        ip('-n', name, 'link', 'set', 'lo', 'up');
      }
      ip('-n', this.server, 'link', 'add', `port${n}`, 'type', 'veth', 'peer', 'name', 'wan', 'netns', router);
      ip('-n', this.server, 'link', 'set', `port${n}`, 'master', 'br0', 'up');
      ip('-n', router, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine);
      for (const [name, address, device] of [
        [router, `5.5.5.${n + 10}/24`, 'wan'],
        [router, `192.168.${n + 1}.1/24`, 'lan'],
        [machine, `192.168.${n + 1}.2/24`, 'eth0'],
      ] as const) {
        ip('-n', name, 'addr', 'add', address, 'dev', device);
        ip('-n', name, 'link', 'set', device, 'up');
      }
      ip('-n', machine, 'route', 'add', 'default', 'via', `192.168.${n + 1}.1`);
      ip('netns', 'exec', router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
      execFileSync('ip', ['netns', 'exec', router, 'nft', '-f', '-'], { input: FIREWALL });
    }
  }

  close(): void {
    process.off('exit', this.#onExit);
    for (const name of [...this.machines, ...this.#routers, this.server]) {
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
  return use(() => new Lan(count));
}

/** The same with a server and machines behind routers. */
export function useInternet(count: number): () => Internet {
  return use(() => new Internet(count));
}

function use<T extends { close(): void }>(make: () => T): () => T {
  let made: T | undefined;
  before(function () {
    const why = obstacle();
    if (why !== undefined) {
      console.log(`    skipped: ${why}`);
      this.skip();
    }
    made = make();
  });
  after(() => made?.close());
  return () => {
    if (made === undefined) throw new Error('machines are there only within a test');
    return made;
  };
}
