import { expect } from 'chai';
import { ShoalError } from '../../src/errors.ts';
import { count, formatDate, formatSeconds, parseRate } from '../../cli/units.ts';

describe('Units', () => {
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
});

describe('A rate', () => {
  it('is in bytes per second, decimal or binary', () => {
    const rates: [string, number][] = [
      ['unlimited', Infinity],
      ['10000 B/s', 10_000],
      ['500 kB/s', 500_000],
      ['5MB/s', 5_000_000],
      ['2 MiB/s', 2 * 1024 ** 2],
      ['1.5 GB/s', 1_500_000_000],
      ['0.5 MiB/s', 512 * 1024],
    ];
    for (const [text, bytesPerSecond] of rates) expect(parseRate(text), text).to.equal(bytesPerSecond);
  });

  it('is refused where it could mean something else, with what that could be', () => {
    const refused: [string, string][] = [
      ['5M', 'write "5 MB/s"'],
      ['5 MB', 'write "5 MB/s"'],
      ['5 MBps', 'write "5 MB/s"'],
      ['5 KB/s', 'write "5 kB/s"'],
      ['5 mib/s', 'write "5 MiB/s", or "655.36 kB/s" where bits are meant'],
      ['5 mb/s', 'write "5 MB/s", or "625 kB/s" where bits are meant'],
      ['5 Mbit/s', 'it is given in bytes; that is "625 kB/s"'],
      ['100 Mbps', 'it is given in bytes; that is "12.5 MB/s"'],
      ['1 Gb/s', 'it is given in bytes; that is "125 MB/s"'],
      ['5', 'it has no unit; is it "5 kB/s" or "5 MB/s"?'],
      ['0', 'nothing would move; write "unlimited" for no limit'],
      ['0 MB/s', 'nothing would move; write "unlimited" for no limit'],
      ['none', 'write it like "5 MB/s" or "500 kB/s", or "unlimited"'],
      ['-5 MB/s', 'write it like "5 MB/s" or "500 kB/s", or "unlimited"'],
      ['', 'write it like "5 MB/s" or "500 kB/s", or "unlimited"'],
      ['1e3 B/s', 'write it like'],
      ['99999999999 GB/s', 'no line is so fast; write "unlimited" for no limit'],
      ['0.4 B/s', 'nothing would move; write "unlimited" for no limit'],
    ];
    for (const [text, hint] of refused) {
      expect(() => parseRate(text), text)
        .to.throw(ShoalError, `cannot read the rate ${JSON.stringify(text)}: ${hint}`)
        .with.property('code', 'usage');
    }
  });

  it('is refused where it is too low for anything to arrive in time', () => {
    for (const text of ['9999 B/s', '0.5 KiB/s', '1 B/s']) {
      expect(() => parseRate(text), text)
        .to.throw(ShoalError, `the rate ${JSON.stringify(text)} is too low: the least is 10 kB/s`)
        .with.property('code', 'usage');
    }
  });
});
