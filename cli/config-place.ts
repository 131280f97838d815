/** Where the configuration file is, and the settings with what it says. */
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileError, ShoalError } from '../src/errors.ts';
import { escaped } from '../src/format/quoted.ts';
import { pathAt } from './paths.ts';
import { settingsOf, type GlobalOptions, type Settings } from './settings.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface ConfigPlace {
  /** Absolute. */
  readonly path: string;
  /** By which option or variable it was named; then it has to exist. */
  readonly named?: string;
}

/** By --config or SHOAL_CONFIG, else in the home where SHOAL_HOME names one, else in the user's folder for configurations (XDG; the like elsewhere). */
export async function configPlace(options: GlobalOptions, env: Env, cwd: string): Promise<ConfigPlace> {
  if (options.config !== undefined) return { path: pathAt(cwd, options.config), named: '--config' };
  if (env['SHOAL_CONFIG']) return { path: resolve(cwd, env['SHOAL_CONFIG']), named: 'SHOAL_CONFIG' };
  if (env['SHOAL_HOME']) return { path: resolve(cwd, env['SHOAL_HOME'], 'config.toml') };
  const { default: envPaths } = await import('env-paths');
  return { path: join(envPaths('shoal', { suffix: '' }).config, 'config.toml') };
}

/** The command that edits the file, as a message names it. */
export function editing({ path, named }: ConfigPlace): string {
  return named === '--config' ? `"shoal config edit --config '${escaped(path)}'"` : '"shoal config edit"';
}

/**
 * The settings by the command line, the environment and the file. Without a file nothing is loaded for it.
 * @throws ShoalError `usage` for what is wrong with any of them
 */
export async function loadSettings(options: GlobalOptions, env: Env, cwd: string): Promise<Settings> {
  const place = await configPlace(options, env, cwd);
  if (!(await isThere(place))) return settingsOf(options, env);
  const { readConfigAt } = await import('./config.ts');
  return settingsOf(options, env, await readConfigAt(place.path, `${editing(place)} opens it`));
}

/** @throws ShoalError `usage` where it was named and is not there; `denied`, `io` */
export async function isThere(place: ConfigPlace): Promise<boolean> {
  const { path, named } = place;
  try {
    await access(path);
    return true;
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw fileError(error, `look for the configuration file "${path}"`);
    if (named === undefined) return false;
    throw new ShoalError(
      'usage',
      `${named}: there is no configuration file "${escaped(path)}"; ${editing(place)} makes one`,
    );
  }
}
