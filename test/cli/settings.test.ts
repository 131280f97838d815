import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { askedOf, networkOf } from '../../cli/settings.ts';

describe('Settings of the network', () => {
  it('need none', () => {
    expect(networkOf({}, {})).to.deep.equal({
      listen: [],
      bootstrap: [],
      mdns: true,
      dht: 'auto',
      portMapping: true,
    });
  });

  it('come from the environment', () => {
    const env = {
      SHOAL_LISTEN: '/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0,',
      SHOAL_BOOTSTRAP: '/dns4/a.example/tcp/1/p2p/x',
      SHOAL_MDNS: 'off',
      SHOAL_DHT: 'server',
      SHOAL_PORT_MAPPING: 'off',
    };
    expect(networkOf({}, env)).to.deep.equal({
      listen: ['/ip4/127.0.0.1/tcp/0', '/ip6/::1/tcp/0'],
      bootstrap: ['/dns4/a.example/tcp/1/p2p/x'],
      mdns: false,
      dht: 'server',
      portMapping: false,
    });
    expect(networkOf({}, { SHOAL_LISTEN: '', SHOAL_MDNS: '', SHOAL_DHT: '' })).to.deep.equal(networkOf({}, {}));
  });

  it('of the command line win', () => {
    const env = { SHOAL_LISTEN: '/ip4/127.0.0.1/tcp/0', SHOAL_MDNS: 'on', SHOAL_DHT: 'server' };
    const options = { listen: ['/ip6/::1/tcp/0'], mdns: false, dht: 'off' };
    expect(networkOf(options, env))
      .to.include({ mdns: false, dht: 'off' })
      .and.to.deep.include({ listen: options.listen });
  });

  it('that were asked for are known by the option or variable', () => {
    expect(askedOf({}, { SHOAL_LISTEN: '', OTHER: 'x' })).to.deep.equal({});
    const env = { SHOAL_LISTEN: '/a', SHOAL_DHT: 'off', SHOAL_BOOTSTRAP: '/b' };
    expect(askedOf({ mdns: false, dht: 'off' }, env)).to.deep.equal({
      listen: 'SHOAL_LISTEN',
      bootstrap: 'SHOAL_BOOTSTRAP',
      mdns: '--no-mdns',
      dht: '--dht',
    });
  });

  it('limit rates and connections', () => {
    const env = { SHOAL_MAX_UP: '1 MB/s', SHOAL_MAX_DOWN: '', SHOAL_MAX_CONNECTIONS: '20' };
    expect(networkOf({ maxUp: '500 kB/s' }, env)).to.deep.include({ maxUp: 500_000, maxConnections: 20 });
    expect(networkOf({}, env)).to.deep.include({ maxUp: 1_000_000 }).and.not.to.have.property('maxDown');
    expect(askedOf({ maxDown: '1 MB/s' }, env)).to.deep.equal({
      maxUp: 'SHOAL_MAX_UP',
      maxDown: '--max-down',
      maxConnections: 'SHOAL_MAX_CONNECTIONS',
    });
  });

  it('are refused by the name of the variable or option that is wrong', () => {
    const wrong: readonly [object, Record<string, string>, string][] = [
      [{}, { SHOAL_LISTEN: '127.0.0.1:4001' }, 'SHOAL_LISTEN: "127.0.0.1:4001" is not a multiaddr'],
      [{ bootstrap: ['a.example'] }, {}, '--bootstrap: "a.example" is not a multiaddr'],
      [{ maxUp: '5M' }, {}, '--max-up: cannot read the rate "5M"'],
      [{ maxUp: '' }, {}, '--max-up: cannot read the rate ""'],
      [{}, { SHOAL_MAX_DOWN: '0 kB/s' }, 'SHOAL_MAX_DOWN: the rate "0 kB/s" is too low'],
      [{ maxConnections: '7' }, {}, '--max-connections: "7" is no number from 8 to 2000'],
      [{}, { SHOAL_MAX_CONNECTIONS: '1e3' }, 'SHOAL_MAX_CONNECTIONS: "1e3" is no number from 8 to 2000'],
      [{}, { SHOAL_MDNS: 'no' }, 'SHOAL_MDNS: "no" is neither "on" nor "off"'],
      [{}, { SHOAL_DHT: 'yes' }, 'SHOAL_DHT: "yes" is none of auto, client, server, off'],
    ];
    for (const [options, env, message] of wrong) {
      expect(() => networkOf(options, env))
        .to.throw(ShoalError, message)
        .with.property('code', 'usage');
    }
  });
});
