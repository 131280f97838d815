/** `shoal doctor`: what may be wrong with this home and its node, and what to do about it. */
import type { Check } from '../../src/daemon/doctor.ts';
import { homeFolder } from '../../src/daemon/socket.ts';
import { isShoalError } from '../../src/errors.ts';
import { padded } from '../columns.ts';
import { Told, type Context, type Surroundings } from '../context.ts';
import { showLine } from '../progress.ts';
import { count } from '../units.ts';

const FOUND_PROBLEMS = 1;

/**
 * @param contextOf fails where the configuration is broken, which is one of the things to tell
 * @throws Told when there are problems
 */
export async function doctor(
  { terminal, env, signal }: Surroundings,
  contextOf: () => Promise<Context>,
): Promise<void> {
  const line = showLine(terminal, () => (terminal.isLive ? 'looking around' : ''));
  const checks = await checksOf(env, contextOf, signal).finally(() => line.stop());
  const problems = checks.filter(({ state }) => state === 'problem').length;
  if (terminal.isJson) terminal.json({ checks, problems });
  else {
    terminal.results(checks.flatMap(linesOf));
    terminal.say(problems === 0 ? 'no problem was found' : `found ${count(problems, 'problem')}`);
  }
  if (problems > 0) throw new Told(FOUND_PROBLEMS);
}

async function checksOf(
  env: Surroundings['env'],
  contextOf: () => Promise<Context>,
  signal: AbortSignal,
): Promise<Check[]> {
  const { homeChecks, nodeProblem, versionCheck } = await import('../../src/daemon/doctor.ts');
  const checks = await homeChecks(homeFolder(env), Date.now());
  let name = 'configuration';
  try {
    const { performer } = await contextOf();
    name = 'node';
    const status = await performer.run('status', {}, () => undefined, signal);
    checks.push(...versionCheck(status));
    const { checks: more } = await performer.run('doctor', {}, () => undefined, signal);
    checks.push(...more);
  } catch (error) {
    if (!isShoalError(error) || error.code === 'interrupted') throw error;
    // What the home itself is to blame for has been said.
    if (error.code !== 'home' || !checks.some(({ state }) => state === 'problem'))
      checks.push({ ...nodeProblem(error), name });
  }
  return checks;
}

const SIGNS = { ok: 'ok', notice: 'note', problem: 'PROBLEM' } as const;
const SIGN_COLUMNS = 9;

function linesOf({ name, state, message, remedy }: Check): string[] {
  const first = `${padded(SIGNS[state], SIGN_COLUMNS)}${name}: ${message}`;
  return remedy === undefined ? [first] : [first, `${' '.repeat(SIGN_COLUMNS)}${remedy}`];
}
