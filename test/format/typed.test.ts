/** What people type: sizes, durations, addresses with ports. */
import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { parseDuration } from '../../src/format/durations.ts';
import { parseHostPort, parseLocalPort } from '../../src/format/host-port.ts';
import { formatBytes, parseBytes } from '../../src/format/sizes.ts';

describe('Sizes', () => {
  it('are decimal, with two or three figures', () => {
    const expected: readonly [number, string][] = [
      [0, '0 B'],
      [999, '999 B'],
      [1000, '1.0 kB'],
      [1_234_567, '1.2 MB'],
      [99_949_999, '99.9 MB'],
      [99_950_000, '100 MB'],
      [999_499_999, '999 MB'],
      [999_500_000, '1.0 GB'],
      [2 ** 40, '1.1 TB'],
      [Number.MAX_SAFE_INTEGER, '9.0 PB'],
    ];
    for (const [bytes, text] of expected) expect(formatBytes(bytes), String(bytes)).to.equal(text);
  });

  it('are read as they are typed, decimal or binary', () => {
    const sizes: Record<string, number> = {
      '0 B': 0,
      '512 B': 512,
      '100 GB': 100e9,
      '1.5GiB': 1.5 * 1024 ** 3,
      '128 MiB': 2 ** 27,
      '2 TB': 2e12,
      '1 kB': 1000,
    };
    for (const [text, bytes] of Object.entries(sizes)) expect(parseBytes(text), text).to.equal(bytes);
  });

  it('are refused where they could mean something else', () => {
    for (const text of [
      '',
      '100',
      'GB',
      '5 G',
      '5 gb',
      '5 Gb',
      '5 KB',
      '-1 GB',
      '1e3 GB',
      '5  GB',
      '9007199254740993 TB',
    ]) {
      expect(() => parseBytes(text), text)
        .to.throw(ShoalError, `cannot read the size ${JSON.stringify(text)}`)
        .with.property('code', 'usage');
    }
  });
});

describe('Durations', () => {
  it('are read as they are typed', () => {
    const expected: Record<string, number> = {
      '30s': 30_000,
      '5m': 300_000,
      '2h': 7_200_000,
      '1.5h': 5_400_000,
      '1h30m': 5_400_000,
      '1d': 86_400_000,
      '30 days': 30 * 86_400_000,
      '1 hour': 3_600_000,
      '1.5 minutes': 90_000,
      '250ms': 250,
      never: Infinity,
    };
    for (const [text, ms] of Object.entries(expected)) expect(parseDuration(text), text).to.equal(ms);
  });

  it('are refused where they are none', () => {
    for (const text of [
      '',
      '5',
      's',
      '-5s',
      '0s',
      '5 m',
      '5x',
      '5m later',
      '1e3s',
      '5M',
      '5 d',
      '5days',
      '1 h 30 minutes',
      '0 days',
      '.5s',
      '1e999h',
      '9'.repeat(400) + 'd',
    ]) {
      expect(() => parseDuration(text), text)
        .to.throw(ShoalError, 'cannot read the duration')
        .with.property('code', 'usage');
    }
  });
});

describe('An address with a port', () => {
  it('is read with and without brackets', () => {
    expect(parseHostPort('127.0.0.1:8080')).to.deep.equal({ host: '127.0.0.1', port: 8080 });
    expect(parseHostPort('[::]:443')).to.deep.equal({ host: '::', port: 443 });
    expect(parseHostPort('relay.example:80')).to.deep.equal({ host: 'relay.example', port: 80 });
    expect(parseLocalPort('localhost:0')).to.deep.equal({ host: '127.0.0.1', port: 0 });
    expect(parseLocalPort('[::1]:4700')).to.deep.equal({ host: '::1', port: 4700 });
  });

  it('is refused where it is none, or of another machine where that matters', () => {
    for (const text of ['', '8080', ':8080', '::1:8080', '127.0.0.1', '127.0.0.1:65536', 'http://a:1', '[x]:1']) {
      expect(() => parseHostPort(text), text).to.throw(ShoalError, 'is not an address with a port');
      expect(() => parseLocalPort(text), text).to.throw(ShoalError);
    }
    for (const text of ['0.0.0.0:80', '192.0.2.1:80', '[::]:80', 'relay.example:80'])
      expect(() => parseLocalPort(text), text).to.throw(ShoalError, "of this machine's own");
  });
});
