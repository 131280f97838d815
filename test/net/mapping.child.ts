/** A node and a router in a network namespace of their own, 10.99.0.1 and .254: prints what came of asking for a port. */
import { execFileSync } from 'node:child_process';
import { loopbackNode, ManualClock, systemClock } from './harness.ts';
import { natPmpRouter, upnpRouter, type RouterOptions } from './router.ts';
import { MAPPING_MS, MAPPING_RETRY_MS, NETWORK_CHECK_MS } from '../../src/limits.ts';
import { createNetwork } from '../../src/net/node.ts';

const { kind, renew, move, listen, late, stopped, ...given } = JSON.parse(
  process.argv[2] ?? '{}',
) as Partial<RouterOptions> & {
  kind?: 'nat-pmp' | 'upnp';
  /** Lets half of the time pass, and waits until the router was asked again. */
  renew?: boolean;
  /** The machine gets a public address, and loses it again. */
  move?: boolean;
  /** Who waits for the router has been stopped. */
  stopped?: boolean;
  /** The router is there only after a first search. */
  late?: boolean;
  listen?: string;
};
const options: RouterOptions = { host: '10.99.0.254', asked: '10.99.0.1', external: '1.2.3.4', ...given };
const start = () => (kind === 'nat-pmp' ? natPmpRouter(options) : upnpRouter(options));
const logged: string[] = [];
const clock = renew === true || late === true || move === true ? new ManualClock() : systemClock;
let router = kind === undefined || late === true ? undefined : await start();
const network = await createNetwork(
  loopbackNode({
    listen: [listen ?? '/ip4/10.99.0.1/tcp/0'],
    portMapping: true,
    clock,
    log: (level, message) => void logged.push(`${level}: ${message}`),
  }),
);
const stop = new AbortController();
if (stopped === true) stop.abort();
const startedMs = performance.now();
await network.settled(stop.signal);
const tookMs = performance.now() - startedMs;
if (clock instanceof ManualClock && move === true) {
  for (const change of ['add', 'del']) {
    const wanted = change === 'add' ? 'none' : 'mapped';
    execFileSync('ip', ['addr', change, '1.2.3.5/32', 'dev', 'lo']);
    while (network.status().portMapping !== wanted || router?.mapped.size !== Number(change === 'del')) {
      clock.advance(NETWORK_CHECK_MS);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
} else if (clock instanceof ManualClock) {
  if (late === true) router = await start();
  const before = router?.asked ?? 0;
  while ((router?.asked ?? 0) === before) {
    clock.advance((late === true ? MAPPING_RETRY_MS : MAPPING_MS / 2) / 10);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  while (network.status().portMapping !== 'mapped') await new Promise(resolve => setTimeout(resolve, 5));
}
const port = Number(/\/ip4\/10\.99\.0\.1\/tcp\/(\d+)/.exec(network.addresses().join())?.[1]);
const { portMapping } = network.status();
const outside = network.addresses().flatMap(address => /^\/ip4\/1\.2\.3\.4\/tcp\/(\d+)\/p2p/.exec(address)?.[1] ?? []);
const mapped = [...(router?.mapped ?? [])];
await network.stop();
console.log(
  JSON.stringify({
    portMapping,
    outside: outside.map(Number),
    port,
    mapped,
    asked: router?.asked ?? 0,
    left: router?.mapped.size ?? 0,
    tookMs,
    logged,
  }),
);
router?.close();
