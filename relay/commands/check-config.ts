/** `shoal-relay check-config`: what is wrong with the configuration, or what holds. */
import { brokenError, knownOf, tomlOf } from '../../src/config.ts';
import { RELAY_SCHEMA } from '../config.ts';
import { readConfigOf, type Context } from '../context.ts';
import { dataFolderOf } from '../folder.ts';

/**
 * Prints the configuration that holds. With --json problems are a result, too.
 * @returns the exit code
 * @throws ShoalError `usage` with all that is wrong; `denied`, `io`
 */
export async function checkConfig({ place, output }: Context): Promise<number> {
  const path = place.configPath;
  const reading = await readConfigOf(place);
  if (reading.problems !== undefined) {
    if (!output.isJson)
      throw brokenError(`cannot use the configuration file "${path}":`, reading.problems, 'mend it, and look again');
    output.json({ path, valid: false, problems: reading.problems });
    return 2;
  }
  const { value, entries } = reading;
  const data = dataFolderOf(value, place);
  if (output.isJson) {
    output.json({ path, valid: true, data, config: value });
    return 0;
  }
  const keys = knownOf(RELAY_SCHEMA).filter(({ isSection }) => !isSection);
  const lines = keys.flatMap(({ path: at, preset }) => {
    const key = at.join('.');
    const entry = entries.get(key);
    if (entry !== undefined) return [`${key} = ${tomlOf(entry.given)}  # line ${entry.line}`];
    return preset === undefined ? [] : [`${key} = ${tomlOf(preset)}`];
  });
  output.results([`configuration: ${path}`, `data: ${data}`, ...lines]);
  return 0;
}
