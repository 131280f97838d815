import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ShoalError } from '../../src/errors.ts';
import { checkExpiry, parseExpiry } from '../../src/format/expiry.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;
/** 2026-11-30 10:20:30 UTC. */
const NOW = Date.UTC(2026, 10, 30, 10, 20, 30) / 1000;
const NEXT_HOUR = Date.UTC(2026, 10, 30, 11) / 1000;
const MODULE = fileURLToPath(new URL('../../src/format/expiry.ts', import.meta.url));

/** What a process of that zone makes of a text. */
async function parsedIn(zone: string, text: string): Promise<string> {
  const code = `import { parseExpiry } from ${JSON.stringify(MODULE)};
    console.log(new Date(1000 * parseExpiry(${JSON.stringify(text)}, ${NOW})).toISOString());`;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, TZ: zone } });
  return stdout.trim();
}

describe('The end of a share, as it is typed', () => {
  it('is a duration from now on, rounded up to a full hour', () => {
    for (const [text, end] of [
      ['1h', NEXT_HOUR + HOUR],
      ['60m', NEXT_HOUR + HOUR],
      ['1.5h', NEXT_HOUR + HOUR],
      ['12h', NEXT_HOUR + 12 * HOUR],
      [' 12 hours ', NEXT_HOUR + 12 * HOUR],
      ['7d', NEXT_HOUR + 7 * DAY],
      ['1 day', NEXT_HOUR + DAY],
      ['2w', NEXT_HOUR + 14 * DAY],
      ['2 weeks', NEXT_HOUR + 14 * DAY],
    ] as const)
      expect(parseExpiry(text, NOW), text).to.equal(end);
    expect(parseExpiry('1h', NEXT_HOUR), 'what is a full hour stays').to.equal(NEXT_HOUR + HOUR);
  });

  it('is a time, with the zone that stands behind it', () => {
    const end = Date.UTC(2026, 11, 24, 18) / 1000;
    for (const text of ['2026-12-24T18:00Z', '2026-12-24 18:00Z', '2026-12-24T19:00+01:00', '2026-12-24T12:30:00-0530'])
      expect(parseExpiry(text, NOW), text).to.equal(end);
    expect(parseExpiry('2026-12-24T18:00:01Z', NOW), 'rounded up').to.equal(end + HOUR);
    expect(parseExpiry('2026-12-24T18:00+05:30', NOW), 'rounded up').to.equal(end - 5 * HOUR);
  });

  it('is a day to its end, or a time, of this place', async () => {
    for (const [zone, text, end] of [
      ['UTC', '2026-12-24', '2026-12-25T00:00:00.000Z'],
      ['Europe/Berlin', '2026-12-24', '2026-12-24T23:00:00.000Z'],
      ['Asia/Kolkata', '2026-12-24', '2026-12-24T19:00:00.000Z'],
      ['America/New_York', '2026-12-24', '2026-12-25T05:00:00.000Z'],
      // The day on which clocks are set forward has 23 hours.
      ['Europe/Berlin', '2027-03-28', '2027-03-28T22:00:00.000Z'],
      ['Europe/Berlin', '2026-12-24T18:00', '2026-12-24T17:00:00.000Z'],
      ['Europe/Berlin', '2027-07-01T18:00', '2027-07-01T16:00:00.000Z'],
      ['Europe/Berlin', '2026-12-24T18:00Z', '2026-12-24T18:00:00.000Z'],
    ] as const)
      expect(await parsedIn(zone, text), `${text} in ${zone}`).to.equal(end);
  });

  it('is today to its end, though the day has begun', () => {
    expect(parseExpiry('2026-11-30', NOW)).to.be.within(NOW, NOW + 2 * DAY);
  });

  it('is refused with what was understood where it is none', () => {
    for (const [text, why] of [
      ['30m', /too soon; give an hour or more/],
      ['0d', /too soon/],
      ['2020-01-01T12:00', /it means 2020-01-01 12:00, which has passed/],
      ['2026-11-28', /it means 2026-11-29 00:00, which has passed/],
      ['101 years', /neither a duration nor a date; write it like 12h, 7d/],
      ['9999999d', /more than a hundred years away/],
      ['9999-01-01', /more than a hundred years away/],
      ['2027-02-29', /there is no such day/],
      ['2026-13-01', /there is no such day/],
      ['24-12-2026', /neither a duration nor a date/],
      ['2026-12-24T25:00', /there is no such time of day/],
      ['2026-12-24T18:00+99:00', /there is no such zone/],
      ['tomorrow', /neither a duration nor a date/],
      ['never', /neither a duration nor a date/],
      ['-7d', /neither a duration nor a date/],
      ['', /neither a duration nor a date/],
    ] as const)
      expect(() => parseExpiry(text, NOW), text)
        .to.throw(ShoalError, why)
        .and.have.property('code', 'usage');
  });

  it('as others give it is a full hour to come, within a hundred years', () => {
    expect(() => checkExpiry(NEXT_HOUR, NOW)).not.to.throw();
    for (const [expires, why] of [
      [NEXT_HOUR + 1, /not a full hour/],
      [NEXT_HOUR - HOUR, /has passed/],
      [-HOUR, /has passed/],
      [0.5, /no number of seconds/],
      [Infinity, /no number of seconds/],
      [NEXT_HOUR + 101 * 366 * DAY, /more than a hundred years/],
    ] as const)
      expect(() => checkExpiry(expires, NOW), String(expires)).to.throw(ShoalError, why);
  });
});
