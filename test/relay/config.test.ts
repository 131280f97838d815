import { expect } from 'chai';
import { knownOf } from '../../src/config.ts';
import { changesBetween, readRelayConfig, RELAY_SCHEMA, relayTemplate, type RelayConfig } from '../../relay/config.ts';
import { STEADY_CLOCK_MS } from '../../src/limits.ts';

/** The configuration of a text that is right. */
function configOf(text: string): RelayConfig {
  const reading = readRelayConfig(text);
  if (reading.problems === undefined) return reading.value;
  throw new Error(JSON.stringify(reading.problems));
}

/** The problems of a text: line, key and what is said. */
function problemsOf(text: string): [number, string, string][] {
  return (readRelayConfig(text).problems ?? []).map(({ line, key, what }) => [line, key, what]);
}

describe('The configuration of a relay', () => {
  it('has everything that has a default, whatever of it is given', () => {
    const empty = configOf('');
    expect(empty.limits.connections).to.equal(6000);
    expect(empty.tiers.anonymous).to.deep.equal({
      reservation_time: 3600,
      circuit_bytes: 128 * 1024 ** 2,
      circuit_time: 1800,
      leases: 64,
      stored_bytes: 1e9,
      lease_time: 7 * 86_400,
    });
    expect(empty.relay.steady_clock * 1000).to.equal(STEADY_CLOCK_MS);
    expect(configOf('[relay]\nsteady_clock = "50ms"\n').relay.steady_clock).to.equal(0.05);
    expect(empty.http.listen).to.deep.equal({ host: '127.0.0.1', port: 8080 });
    const one = configOf('[limits.prefix]\nreservations = 3\n');
    expect(one.limits.prefix).to.deep.equal({ ...empty.limits.prefix, reservations: 3 });
    expect(one.limits.peer).to.deep.equal(empty.limits.peer);
  });

  it('has a template that says nothing that is not so already, and is right when every key of it is set', () => {
    expect(configOf(relayTemplate())).to.deep.equal(configOf(''));
    const keys = knownOf(RELAY_SCHEMA).filter(({ isSection }) => !isSection);
    const set = relayTemplate().replace(/^#(?=\w+ = )/gm, '');
    const { entries } = readRelayConfig(set) as { entries: ReadonlyMap<string, unknown> };
    expect([...entries.keys()]).to.deep.equal(keys.map(({ path }) => path.join('.')));
  });

  it('reads sizes, durations, and where the admin listener is', () => {
    const config = configOf(
      '[tiers.token]\nstored_bytes = "2 TB"\nlease_time = "30 days"\ncircuit_time = "90s"\n[admin]\nlisten = "/run/relay.sock"\n',
    );
    expect(config.tiers.token).to.include({ stored_bytes: 2e12, lease_time: 30 * 86_400, circuit_time: 90 });
    expect(config.admin.listen).to.deep.equal({ kind: 'socket', path: '/run/relay.sock' });
    expect(configOf('[admin]\nlisten = "127.0.0.1:81"\n').admin.listen).to.deep.equal({
      kind: 'port',
      host: '127.0.0.1',
      port: 81,
    });
  });

  const wrong: Record<string, [text: string, key: string, what: string]> = {
    'a count that is negative': [
      '[limits]\nleases = -1',
      'limits.leases',
      '-1 is not a whole number from 0 to 1000000',
    ],
    'a count that is text': ['[limits.peer]\ncircuits = "5"', 'limits.peer.circuits', '"5" is not a whole number'],
    'a size without a unit': ['[limits]\nstored_bytes = "5"', 'limits.stored_bytes', 'cannot read the size "5"'],
    'a size that is a number': ['[limits]\nstored_bytes = 5', 'limits.stored_bytes', '5 is not a size like'],
    'a duration that never ends': [
      '[tiers.anonymous]\nlease_time = "never"',
      'tiers.anonymous.lease_time',
      '"never" is not a duration like',
    ],
    'an address that is none': [
      '[network]\nlisten = ["x"]',
      'network.listen',
      '"x" has no place in a list of multiaddrs',
    ],
    'an admin listener for other machines': ['[admin]\nlisten = "0.0.0.0:80"', 'admin.listen', "of this machine's own"],
    'an origin with a path': ['[http]\norigin = "https://a.example/b"', 'http.origin', 'is not an origin like'],
    'terms without TLS': ['[relay]\nterms = "http://a.example/"', 'relay.terms', 'is not a URL with https'],
    'a contact that is none': ['[relay]\ncontact = "me"', 'relay.contact', '"me" is not an e-mail address or a URL'],
    'a name over two lines': ['[relay]\nname = "a\\nb"', 'relay.name', 'is not a line of text'],
    'a peer id that is none': [
      '[operator]\npeers = ["me"]',
      'operator.peers',
      '"me" has no place in a list of peer ids',
    ],
    'a key without its certificate': ['[http]\ntls_key = "k.pem"', 'http.tls_key', 'it needs http.tls_cert too'],
    'a certificate without its key': ['[http]\ntls_cert = "c.pem"', 'http.tls_cert', 'it needs http.tls_key too'],
    'a key that is misspelled': [
      '[tiers.token]\nlease-tme = "1 day"',
      'tiers.token.lease-tme',
      'this key is not known',
    ],
  };
  for (const [name, [text, key, what]] of Object.entries(wrong)) {
    it(`is refused for ${name}, by key and line`, () => {
      const [problem, ...others] = problemsOf(text);
      expect(others).to.deep.equal([]);
      expect(problem?.slice(0, 2)).to.deep.equal([2, key]);
      expect(problem?.[2]).to.include(what);
    });
  }

  it('tells which changes a relay takes over as it runs, and which need it to be started again', () => {
    const old = configOf('');
    const next = configOf(
      `[relay]\nname = "b"\nlan = true\n[network]\nlisten = ["/ip4/127.0.0.1/tcp/1"]\n[log]\nlevel = "debug"\nformat = "pretty"
[limits]\nleases = 1\n[limits.prefix]\nuploads = 1\n[tiers.token]\nlease_time = "1 day"
[operator]\npeers = ["12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w"]\n`,
    );
    expect(changesBetween(old, next)).to.deep.equal({
      reloaded: [
        'relay.name',
        'log.level',
        'limits.leases',
        'limits.prefix.uploads',
        'tiers.token.lease_time',
        'operator.peers',
      ],
      needsRestart: ['relay.lan', 'network.listen', 'log.format'],
    });
    expect(changesBetween(old, configOf(''))).to.deep.equal({ reloaded: [], needsRestart: [] });
  });

  it('says in its template what can be reloaded', () => {
    const head = relayTemplate().split('\n\n')[0] ?? '';
    expect(head).to.include('relay.name').and.to.include('[limits]').and.to.include('[operator]');
    expect(head).not.to.include('network');
  });
});
