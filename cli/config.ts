/** The configuration file of this program: its schema, made from the table of settings, and what is told of a broken one. */
import { z } from 'zod';
import { brokenError, knownOf, nearestKey, readConfig, type Known, type Meta } from '../src/config.ts';
import { readConfigFile } from '../src/config-file.ts';
import { templateOf } from '../src/config-edit.ts';
import { isShoalError, ShoalError } from '../src/errors.ts';
import { quoted } from '../src/format/quoted.ts';
import { SECTIONS, settingList, type FileValues } from './settings.ts';

type OneSetting = ReturnType<typeof settingList>[number];

export const CONFIG_SCHEMA = z
  .strictObject(Object.fromEntries(Object.keys(SECTIONS).map(section => [section, sectionOf(section).optional()])))
  .superRefine((config, context) => {
    for (const { setting } of settingList()) {
      const other = settingList().find(({ name }) => name === setting.excludes)?.setting.key;
      if (other === undefined || !holds(config, setting.key) || !holds(config, other)) continue;
      const message = `it and ${other} do not go together; leave one of them`;
      context.addIssue({ code: 'custom', path: setting.key.split('.'), message });
    }
  });

/**
 * What stands in the file at `path`, which is there.
 * @param next what to do about a broken one
 * @throws ShoalError `usage` with all that is wrong with it, `denied`, `io`
 */
export async function readConfigAt(path: string, next: string): Promise<FileValues> {
  return valuesOf((await readConfigFile(path)) ?? '', path, next);
}

/** @param path in messages, as is @param next @throws ShoalError `usage` with all that is wrong with `text` */
export function valuesOf(text: string, path: string, next: string): FileValues {
  const reading = readConfig(text, CONFIG_SCHEMA);
  if (reading.problems === undefined) return reading.entries;
  throw brokenError(`cannot use the configuration file "${path}":`, reading.problems, next);
}

/** The text of a file in which all is as it is without one. */
export function configTemplate(): string {
  return templateOf(CONFIG_SCHEMA, [
    'The configuration of shoal, in TOML. Each key stands here as a comment, with its default or an example; to',
    'set it, remove the "#" in front of it. Options and variables (SHOAL_…) win over this file. "shoal config"',
    'prints what holds and where it comes from.',
  ]);
}

/** The setting of a key as it is typed. @throws ShoalError `usage` */
export function settingAt(key: string): OneSetting {
  const found = settingList().find(({ setting }) => setting.key === key);
  if (found !== undefined) return found;
  const keys: Known[] = knownOf(CONFIG_SCHEMA).filter(({ isSection }) => !isSection);
  const near = nearestKey(keys, key.split('.'));
  const next = near === undefined ? '"shoal config" lists those there are' : `did you mean ${near}?`;
  throw new ShoalError('usage', `there is no setting ${quoted(key)}; ${next}`);
}

function sectionOf(section: string) {
  const inIt = settingList().filter(({ setting }) => setting.key.startsWith(`${section}.`));
  const meta: Meta = { description: SECTIONS[section] ?? '' };
  return z.strictObject(Object.fromEntries(inIt.map(one => [nameIn(one.setting.key), valueOf(one)]))).meta({ ...meta });
}

function valueOf({ setting }: OneSetting) {
  const { kind, description, fallback } = setting;
  const base = { text: z.string(), number: z.number(), switch: z.boolean(), list: z.array(z.string()) }[kind.type];
  const checked = base.superRefine((given: string | number | boolean | string[], context) => {
    const parts =
      typeof given === 'object' ? given.map((one, n) => ({ part: [one], path: [n] })) : [{ part: given, path: [] }];
    for (const { part, path } of parts) {
      try {
        kind.read(part);
      } catch (error) {
        if (!isShoalError(error, 'usage')) throw error;
        context.addIssue({ code: 'custom', path, message: error.message });
      }
    }
  });
  const example = setting.example ?? kind.example ?? fallback;
  const meta: Meta = {
    description,
    expects: kind.expects,
    ...(example === undefined ? {} : { example }),
    ...(setting.example !== undefined || fallback === undefined ? {} : { preset: fallback }),
  };
  return checked.meta({ ...meta }).optional();
}

function nameIn(key: string): string {
  return key.slice(key.indexOf('.') + 1);
}

function holds(config: Readonly<Record<string, unknown>>, key: string): boolean {
  const [section = '', name = ''] = key.split('.');
  return (config[section] as Readonly<Record<string, unknown>> | undefined)?.[name] !== undefined;
}
