/** Two homes behind routers that let nobody in, and a relay that both can reach: the real programs in network namespaces. */
import { expect } from 'chai';
import { expectDone, expectFailed, TEST_TIMEOUT_MS, useSandbox, type StartOptions } from './harness.ts';
import { useInternet } from './lan.ts';
import { Relay } from './relays.ts';
import { testCertificate } from '../relay/certificate.ts';
import { makeFile, makePlainTree, treeAt } from './tree.ts';

describe('homes behind routers', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  const internet = useInternet(2);
  const sandbox = useSandbox();

  const on = (machine: number): StartOptions => ({
    namespace: internet().machines[machine - 1] ?? '',
    env: { SHOAL_LISTEN: '', SHOAL_MDNS: 'off', SHOAL_DHT: 'off' },
  });

  it('meet through the circuit of a relay that stores nothing, and not without it', async () => {
    const box = sandbox();
    const namespace = internet().server;
    const relay = await Relay.start(box, 'one', { host: '5.5.5.1', namespace, config: 'roles.store = false' });
    expectDone(await box.run('ann', ['relays', 'add', relay.address, '--json'], on(1)));
    const tree = await makePlainTree(box.path('from'), 5_000_000, 'circuit');
    const { link } = await box.share('ann', tree, ['--no-relay'], on(1));
    expect(link).to.include(`${relay.address}/p2p-circuit/p2p/`);
    const fetched = await box.run('bob', ['fetch', link, '-o', box.path('to')], on(2));
    expect(fetched.code).to.equal(0);
    expect(fetched.stderr).to.match(/done: .*, through a relay$/m);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    expect(await relay.metric('shoal_relay_relayed_bytes_total')).to.be.greaterThan(5_000_000);
    const near = await box.run('dan', ['fetch', link, '-o', box.path('near')], on(1));
    expect(near.code).to.equal(0);
    expect(near.stderr).to.match(/^done: .*, direct$/m);
    expect(await relay.metric('shoal_relay_relayed_bytes_total'), 'nothing more').to.be.lessThan(6_000_000);
    await relay.kill();
    const alone = await box.run('cat', ['fetch', link, '-o', box.path('no'), '--timeout', '5s', '--json'], on(2));
    expectFailed(alone, 3, 'not-found');
  });

  it('find what a relay keeps by its host in the link, which they ask over HTTPS', async () => {
    const box = sandbox();
    const namespace = internet().server;
    const { certificate, key } = testCertificate('5.5.5.1');
    const [cert, keyFile] = [box.path('cert.pem'), box.path('key.pem')];
    await makeFile(cert, { bytes: Buffer.from(certificate) });
    await makeFile(keyFile, { bytes: Buffer.from(key) });
    const config = `http.tls_cert = "${cert}"\nhttp.tls_key = "${keyFile}"`;
    const relay = await Relay.start(box, 'one', { host: '5.5.5.1', namespace, config });
    const trusting = (machine: number): StartOptions => {
      const { env, ...rest } = on(machine);
      return { ...rest, env: { ...env, NODE_EXTRA_CA_CERTS: cert } };
    };
    const origin = relay.origin.replace('http:', 'https:');
    const tree = await makePlainTree(box.path('from'), 1_000_000, 'by host');
    const shared = await box.run('ann', ['share', tree, '--relay', origin, '--wait-copies', '1'], trusting(1));
    expect(shared.code, shared.stderr).to.equal(0);
    const link = shared.stdout.toString().trim();
    expect(link.split('@')[1]).to.equal(origin.slice('https://'.length));
    const fetched = await box.run('bob', ['fetch', link, '-o', box.path('to')], trusting(2));
    expect(fetched.code, fetched.stderr).to.equal(0);
    expect(await treeAt(box.path('to'))).to.deep.equal(await treeAt(tree));
    expect(fetched.stderr).to.match(/^done: .* relay/m);
  });
});
