import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { count, formatBytes, formatDate, formatSeconds, parseDuration, parseRate } from '../../cli/units.ts';

describe('Units', () => {
  it('of sizes are decimal, with two or three figures', () => {
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

  it('of times that pass grow with them', () => {
    const expected: readonly [number, string][] = [
      [0, '0:00'],
      [0.4, '0:00'],
      [59.6, '1:00'],
      [754, '12:34'],
      [3600, '1 h 00 min'],
      [11_100, '3 h 05 min'],
      [187_200, '2 d 4 h'],
    ];
    for (const [seconds, text] of expected) expect(formatSeconds(seconds)).to.equal(text);
  });

  it('show a point in time as the clock on the wall does', () => {
    const seconds = new Date(2026, 2, 1, 14, 5, 59).getTime() / 1000;
    expect(formatDate(seconds)).to.equal('2026-03-01 14:05');
  });

  it('agree with their number', () => {
    expect([count(1, 'file'), count(2, 'file'), count(0, 'file')]).to.deep.equal(['1 file', '2 files', '0 files']);
  });

  it('of durations are read as they are typed', () => {
    const expected: Record<string, number> = {
      '30s': 30_000,
      '5m': 300_000,
      '2h': 7_200_000,
      '1.5h': 5_400_000,
      '1h30m': 5_400_000,
      '1d': 86_400_000,
      '250ms': 250,
      never: Infinity,
    };
    for (const [text, ms] of Object.entries(expected)) expect(parseDuration(text), text).to.equal(ms);
  });

  it('of durations are refused where they are none', () => {
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
      '.5s',
      '1e999h',
      '9'.repeat(400) + 'd',
    ]) {
      expect(() => parseDuration(text), text)
        .to.throw(ShoalError, 'cannot read the duration')
        .with.property('code', 'usage');
    }
  });

  it('of rates are bytes per second', () => {
    const expected: Record<string, number> = {
      '500 kB/s': 500_000,
      '5 MB/s': 5_000_000,
      '2 MiB/s': 2_097_152,
      '2.5MB': 2_500_000,
      '100 KiB': 102_400,
      '1 GB/s': 1e9,
      '10000 B/s': 10_000,
    };
    for (const [text, bytes] of Object.entries(expected)) expect(parseRate(text), text).to.equal(bytes);
  });

  it('of rates are refused where they are none, or bits, or too low', () => {
    for (const text of [
      '',
      '5',
      '5M',
      '5 Mbit/s',
      '5 Mb/s',
      '5 mB/s',
      '-5 MB/s',
      '5 MB/h',
      '1e3 kB',
      '9'.repeat(400) + ' B',
    ]) {
      expect(() => parseRate(text), text)
        .to.throw(ShoalError, 'write bytes per second like 500 kB/s, 5 MB/s or 2 MiB/s')
        .with.property('code', 'usage');
    }
    for (const text of ['0 kB/s', '0.001 MB/s', '9999 B']) {
      expect(() => parseRate(text), text)
        .to.throw(ShoalError, 'too low: the least is 10.0 kB/s')
        .with.property('code', 'usage');
    }
  });
});
