/** The configuration file of the program: what it takes, its template, and what the documents say of it. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { CONFIG_SCHEMA, configTemplate, valuesOf } from '../../cli/config.ts';
import { settingList, settingsOf } from '../../cli/settings.ts';
import { brokenError, readConfig } from '../../src/config.ts';
import { MAX_CONFIG_PROBLEMS } from '../../src/limits.ts';

const NEXT = 'what to do';
const document = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const problemsOf = (text: string): string[] => {
  const { problems = [] } = readConfig(text, CONFIG_SCHEMA);
  return brokenError('', problems, '').message.split('\n  ').slice(1, -1);
};

describe('The configuration file', () => {
  it('has a template that changes nothing, and is right also when every key in it is set', () => {
    expect(settingsOf({}, {}, valuesOf(configTemplate(), 'c', NEXT))).to.deep.equal(settingsOf({}, {}));
    const all = configTemplate().replaceAll(/^#(?=[a-z-]+ =)/gm, '');
    // Of two that do not go together, one.
    const values = valuesOf(all.replace(/^port = .*$/m, ''), 'c', NEXT);
    const missing = settingList().filter(({ setting: { key } }) => !values.has(key));
    expect(missing.map(({ name }) => name)).to.deep.equal(['port']);
    for (const { name, setting } of settingList()) {
      if (setting.example === undefined) expect(values.get(setting.key)?.given, name).to.deep.equal(setting.fallback);
    }
  });

  it('is shown whole in the documents, as it is made', () => {
    expect(document('config.toml')).to.equal(configTemplate());
  });

  it('has its keys, and all options and variables, in the documents', () => {
    const told = document('cli.md');
    for (const { setting } of settingList()) {
      const names = [setting.key, setting.variable, setting.option?.flags.split(' ')[0]].filter(
        name => name !== undefined,
      );
      for (const name of names) expect(told.includes(`\`${name}`), name).to.equal(true);
    }
  });

  const wrong: Record<string, [line: string, problem: string]> = {
    'a single address': [
      'network.listen = "/ip4/0.0.0.0/tcp/0"',
      '"/ip4/0.0.0.0/tcp/0" is not a list of multiaddrs; write it like listen = ["/ip4/192.0.2.1/tcp/4001"]',
    ],
    'an address that is none': [
      'network.bootstrap = ["peer.example:4001"]',
      '"peer.example:4001" is not a multiaddr like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…',
    ],
    'a port beyond the last': ['network.port = 65536', '65536 is not a whole number from 1 to 65535'],
    'a half port': ['network.port = 1.5', '1.5 is not a whole number from 1 to 65535'],
    'a port as text': [
      'network.port = "4001"',
      '"4001" is not a whole number from 1 to 65535; write it like port = 4001',
    ],
    'a switch in words': ['network.mdns = "off"', '"off" is not true or false; write it like mdns = true'],
    'a mode that is none': ['network.dht = "on"', '"on" is none of auto, client, server, off'],
    'no connections': ['network.max-connections = 0', '0 is not a whole number from 8 to 2000'],
    'a rate that may be bits': ['rate.up = "5M"', 'cannot read the rate "5M": write "5 MB/s"'],
    'a rate as a number': ['rate.down = 5', '5 is not a rate in bytes per second; write it like down = "5 MB/s"'],
    'an address for all': [
      'daemon.api-listen = "0.0.0.0:80"',
      `"0.0.0.0:80" is not an address of this machine's own with a port, like 127.0.0.1:4700; for other machines use a tunnel such as ssh -L`,
    ],
    'a level that is none': ['daemon.log-level = "loud"', '"loud" is none of debug, info, warn, error'],
  };
  for (const [what, [line, problem]] of Object.entries(wrong)) {
    it(`refuses ${what}, and says what would do`, () => {
      const [key] = line.split(' = ');
      const [told = '', ...others] = problemsOf(line);
      expect(told.replace(/^line 1, column \d+: /, '')).to.equal(`${key}: ${problem}`);
      expect(others).to.deep.equal([]);
    });
  }

  it('refuses a port together with addresses, at the line of the port', () => {
    expect(problemsOf('[network]\nlisten = ["/a"]\nport = 1')).to.deep.equal([
      'line 3, column 1: network.port: it and network.listen do not go together; leave one of them',
    ]);
  });

  it('is told of with all that is wrong, as long as that can be read', () => {
    expect(() => valuesOf('[network]\nlisen = 1\n[rate]\nup = 5', '/c.toml', NEXT)).to.throw(
      'cannot use the configuration file "/c.toml": 2 problems\n' +
        '  line 2, column 1: network.lisen: this key is not known; did you mean network.listen?\n' +
        '  line 4, column 6: rate.up: 5 is not a rate in bytes per second; write it like up = "5 MB/s"\n' +
        `  ${NEXT}`,
    );
    expect(() => valuesOf('k = 1', '/c\n  line 9', NEXT)).to.throw(
      'file "/c\\u{a}  line 9": 1 problem\n  line 1, column 1',
    );
    const many = Array.from({ length: MAX_CONFIG_PROBLEMS + 5 }, (_, n) => `k${n} = 1`).join('\n');
    expect(() => valuesOf(many, 'c', NEXT)).to.throw(/25 problems[^]*k19: this key is not known\n {2}and 5 more\n/);
  });
});
