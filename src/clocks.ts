/** How the clock of this machine compares with those of the relays of the home, as far as these have told what time it is. */
import type { Catalog } from './catalog.ts';
import { hoursText } from './format/dates.ts';
import { CLOCK_DIFFERENCE_MS, CLOCK_NOTE_MS } from './limits.ts';
import type { Clock } from './ports.ts';

/** A clock that was found to differ from ours by more than an hour. */
export interface ClockDifference {
  /** By how much ours is ahead, or (negative) behind, in milliseconds. */
  readonly aheadMs: number;
  /** What the relay is called whose clock it is. */
  readonly relay: string;
  /** When that was seen, by our clock; Unix milliseconds. */
  readonly atMs: number;
}

type Settings = Pick<Catalog, 'setting' | 'setSetting'>;

const SETTING = 'clock-difference';

/**
 * Notes how a relay's clock differs from ours, in place of what was noted before; where it does not, nothing is left of that.
 * @param theirSeconds what it takes the time to be, Unix seconds
 */
export function compareClocks(settings: Settings, relay: string, theirSeconds: number, clock: Clock): void {
  const aheadMs = Math.round(clock.now() - theirSeconds * 1000);
  if (Math.abs(aheadMs) > CLOCK_DIFFERENCE_MS)
    settings.setSetting(SETTING, JSON.stringify({ aheadMs, relay, atMs: clock.now() }));
  else forgetDifference(settings);
}

/** Lets go of what was noted: our clock has been set since. */
export function forgetDifference(settings: Settings): void {
  if (settings.setting(SETTING) !== undefined) settings.setSetting(SETTING, undefined);
}

/** What was noted of late; undefined where nothing was, or our clock has been set back since. */
export function clockDifference(settings: Settings, clock: Pick<Clock, 'now'>): ClockDifference | undefined {
  const noted = differenceIn(settings.setting(SETTING));
  if (noted === undefined) return undefined;
  const agoMs = clock.now() - noted.atMs;
  return agoMs > -CLOCK_DIFFERENCE_MS && agoMs < CLOCK_NOTE_MS ? noted : undefined;
}

/** What was noted, as the beginning of a sentence. */
export function differenceText({ aheadMs, relay }: Pick<ClockDifference, 'aheadMs' | 'relay'>): string {
  return `the clock of this machine is ${hoursText(aheadMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} that of the relay ${relay}`;
}

function differenceIn(text: string | undefined): ClockDifference | undefined {
  if (text === undefined) return undefined;
  try {
    const { aheadMs, relay, atMs } = JSON.parse(text) as Partial<Record<keyof ClockDifference, unknown>>;
    const isIt = typeof aheadMs === 'number' && typeof relay === 'string' && typeof atMs === 'number';
    return isIt ? { aheadMs, relay, atMs } : undefined;
  } catch {
    return undefined;
  }
}
