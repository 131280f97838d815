/** What is told of a clock that is wrong: shares end by it, and peers find each other by its day. */
import type { Catalog } from '../catalog.ts';
import { systemClock } from '../clock.ts';
import { clockDifference, differenceText } from '../clocks.ts';
import { hoursText } from '../format/dates.ts';
import type { ShoalNode } from '../node.ts';
import type { Results } from './actions.ts';

type Check = Results['doctor']['checks'][number];

const REMEDY = 'set the clock, best by having it set from the network (timedatectl set-ntp true)';

/** What is to be said where ends of shares are given or shown; undefined where no clock is known to be wrong. */
export function clockWarning(catalog: Pick<Catalog, 'setting' | 'setSetting'>): string | undefined {
  const difference = clockDifference(catalog, systemClock);
  return (
    difference &&
    `${differenceText(difference)}: one of them is wrong, and shares end by it; "shoal doctor" says what to do`
  );
}

/** Of the clock as others have it, and as it ran while this process did. */
export function clockChecks({ home, expiring }: ShoalNode): Check[] {
  const difference = home && clockDifference(home.catalog, systemClock);
  const jumpMs = expiring?.jumpMs;
  const checks: Check[] = [];
  if (difference !== undefined)
    checks.push({
      name: 'clock',
      state: 'problem',
      message: `${differenceText(difference)}: shares end too early or too late`,
      remedy: `${REMEDY}; where that says it is right, tell the operator of the relay`,
    });
  if (jumpMs !== undefined)
    checks.push({
      name: 'clock',
      state: jumpMs < 0 ? 'problem' : 'notice',
      message: `it has jumped by ${hoursText(jumpMs)} ${jumpMs < 0 ? 'back' : 'ahead, or the machine has slept'}`,
      remedy: `look whether it is right now; ${REMEDY}`,
    });
  return checks;
}
