import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import {
  askedOf as askedOfSettings,
  networkOf as networkOfSettings,
  SETTINGS,
  settingsOf,
  type FileValues,
} from '../../cli/settings.ts';

type Sources = Parameters<typeof settingsOf>;
const networkOf = (...sources: Sources) => networkOfSettings(settingsOf(...sources));
const askedOf = (...sources: Sources) => askedOfSettings(settingsOf(...sources));

describe('Settings of the network', () => {
  it('need none', () => {
    expect(networkOf({}, {})).to.deep.equal({
      listen: [],
      port: undefined,
      bootstrap: [],
      mdns: true,
      dht: 'auto',
      maxUp: undefined,
      maxDown: undefined,
      maxConnections: 300,
      portMapping: true,
    });
  });

  it('come from the environment', () => {
    const env = {
      SHOAL_LISTEN: ' /ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0,',
      SHOAL_BOOTSTRAP: '/dns4/a.example/tcp/1/p2p/x',
      SHOAL_MDNS: 'off',
      SHOAL_DHT: 'server',
      SHOAL_PORT_MAPPING: 'off',
    };
    expect(networkOf({}, env)).to.deep.equal({
      listen: ['/ip4/127.0.0.1/tcp/0', '/ip6/::1/tcp/0'],
      port: undefined,
      bootstrap: ['/dns4/a.example/tcp/1/p2p/x'],
      mdns: false,
      dht: 'server',
      portMapping: false,
      maxUp: undefined,
      maxDown: undefined,
      maxConnections: 300,
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

  it('come from the file where neither says otherwise', () => {
    const file: FileValues = new Map([
      ['network.dht', { given: 'client', line: 3 }],
      ['network.mdns', { given: false, line: 4 }],
      ['network.bootstrap', { given: ['/a'], line: 5 }],
      ['rate.up', { given: '5 MB/s', line: 6 }],
    ]);
    const settings = settingsOf({ bootstrap: ['/c'] }, { SHOAL_DHT: 'server', SHOAL_BOOTSTRAP: '/b' }, file);
    expect(settings.bootstrap).to.deep.equal({
      given: ['/c'],
      value: ['/c'],
      source: { from: 'option', name: '--bootstrap' },
    });
    expect(settings.dht).to.deep.include({ value: 'server', source: { from: 'environment', name: 'SHOAL_DHT' } });
    expect(settings.mdns).to.deep.include({ value: false, source: { from: 'file', line: 4 } });
    expect(settings.maxUp).to.deep.include({ given: '5 MB/s', value: 5_000_000 });
    expect(settings.maxDown).to.deep.equal({ given: 'unlimited', value: undefined, source: { from: 'default' } });
    // What the file says was not asked for with this command.
    expect(askedOfSettings(settings)).to.deep.equal({ bootstrap: '--bootstrap', dht: 'SHOAL_DHT' });
  });

  it('are where to listen or on which port, whichever comes from the stronger source', () => {
    const file: FileValues = new Map([['network.port', { given: 4001, line: 1 }]]);
    expect(networkOf({}, {}, file)).to.deep.include({ listen: [], port: 4001 });
    expect(networkOf({}, { SHOAL_LISTEN: '/a' }, file)).to.deep.include({ listen: ['/a'], port: undefined });
    expect(networkOf({ port: '77' }, { SHOAL_LISTEN: '/a' }, file)).to.deep.include({ listen: [], port: 77 });
    expect(networkOf({ listen: ['/a'] }, { SHOAL_PORT: '77' })).to.deep.include({ listen: ['/a'], port: undefined });
    expect(askedOf({ port: '77' }, { SHOAL_LISTEN: '/a' })).to.deep.equal({ port: '--port' });
    expect(() => networkOf({ port: '77', listen: ['/a'] }, {}))
      .to.throw(ShoalError, '--port and --listen do not go together')
      .with.property('code', 'usage');
    expect(() => networkOf({}, { SHOAL_PORT: '77', SHOAL_LISTEN: '/a' })).to.throw(
      'SHOAL_PORT and SHOAL_LISTEN do not',
    );
  });

  it('have keys, options and variables of their own each', () => {
    const all = Object.values(SETTINGS);
    const names = all.flatMap(one => [one.key, ...('option' in one ? [one.option.flags, one.variable] : [])]);
    expect(new Set(names).size).to.equal(names.length);
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
    expect(networkOf({}, env)).to.deep.include({ maxUp: 1_000_000, maxDown: undefined });
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
      [{}, { SHOAL_MAX_DOWN: '0 kB/s' }, 'SHOAL_MAX_DOWN: cannot read the rate "0 kB/s": nothing would move'],
      [{ maxConnections: '7' }, {}, '--max-connections: 7 is not a whole number from 8 to 2000'],
      [{}, { SHOAL_MAX_CONNECTIONS: '1e3' }, 'SHOAL_MAX_CONNECTIONS: "1e3" is not a whole number from 8 to 2000'],
      [{}, { SHOAL_MDNS: 'no' }, 'SHOAL_MDNS: "no" is neither "on" nor "off"'],
      [{ port: '0' }, {}, '--port: 0 is not a whole number from 1 to 65535'],
      [{}, { SHOAL_PORT: '0x50' }, 'SHOAL_PORT: "0x50" is not a whole number from 1 to 65535'],
      [{}, { SHOAL_PORT: '65536' }, 'SHOAL_PORT: 65536 is not a whole number'],
      [{}, { SHOAL_DHT: 'yes' }, 'SHOAL_DHT: "yes" is none of auto, client, server, off'],
    ];
    for (const [options, env, message] of wrong) {
      expect(() => networkOf(options, env))
        .to.throw(ShoalError, message)
        .with.property('code', 'usage');
    }
  });
});
