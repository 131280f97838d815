/** `shoal config` and what is below it: the settings that hold, and the file that they are kept in. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { brokenError, parseConfig, readConfig, tomlOf, type Problem } from '../../src/config.ts';
import { changeConfigFile, editConfigFile } from '../../src/config-file.ts';
import { withKey, withoutKey } from '../../src/config-edit.ts';
import { ShoalError } from '../../src/errors.ts';
import { table, type Column } from '../columns.ts';
import { CONFIG_SCHEMA, configTemplate, settingAt } from '../config.ts';
import { configPlace, editing, isThere, loadSettings, type ConfigPlace } from '../config-place.ts';
import type { Context, Surroundings } from '../context.ts';
import { withoutSecrets } from '../secrets.ts';
import { settingList, typedValue, type Chosen, type GlobalOptions } from '../settings.ts';

/** What a command on the configuration is given. */
export interface ConfigContext extends Surroundings {
  readonly options: GlobalOptions;
  /** For what needs the settings, once they are right. */
  readonly contextOf: () => Promise<Context>;
}

const HEADS: readonly Column[] = [
  { title: 'KEY', side: 'left' },
  { title: 'VALUE', side: 'left', shrinks: true },
  { title: 'FROM', side: 'left' },
];

/** All settings that hold, and where each comes from. @throws ShoalError `usage` */
export async function config({ terminal, options, env, cwd }: ConfigContext): Promise<void> {
  const place = await configPlace(options, env, cwd);
  const settings = await loadSettings(options, env, cwd);
  const exists = await isThere(place);
  const rows = settingList().map(({ name, setting: { key } }) => ({ key, chosen: settings[name] }));
  if (terminal.isJson) {
    terminal.json({ path: place.path, exists, settings: rows.map(({ key, chosen }) => viewOf(key, chosen)) });
    return;
  }
  const cells = rows.map(({ key, chosen }) => [key, shownOf(chosen), originOf(chosen)]);
  terminal.results(table(HEADS, cells, terminal.columns));
  terminal.say(`the file ${exists ? 'is' : 'would be'} ${place.path}; ${editing(place)} opens it`);
}

/** The value that holds for a key: as it is, and the elements of a list on a line each. @throws ShoalError `usage` */
export async function getConfig({ terminal, options, env, cwd }: ConfigContext, key: string): Promise<void> {
  const { name, setting } = settingAt(key);
  const chosen: Chosen<unknown> = (await loadSettings(options, env, cwd))[name];
  if (terminal.isJson) terminal.json(viewOf(setting.key, chosen));
  else if (typeof chosen.given === 'object') terminal.results(chosen.given);
  else if (chosen.given !== undefined) terminal.result(String(chosen.given));
}

/** Where the file is, or would be. */
export async function configPath({ terminal, options, env, cwd }: ConfigContext): Promise<void> {
  const { path } = await configPlace(options, env, cwd);
  if (terminal.isJson) terminal.json({ path, exists: await isThere({ path }) });
  else terminal.result(path);
}

/** Sets a key in the file, which is made where there is none. @throws ShoalError `usage` where the file would be wrong then */
export async function setConfig(context: ConfigContext, key: string, values: readonly string[]): Promise<void> {
  const { setting } = settingAt(key);
  const [value = ''] = values;
  if (setting.kind.type !== 'list' && values.length !== 1)
    throw new ShoalError('usage', `${key} takes one value, and ${values.length} are given; quote one that has spaces`);
  const given = typedValue(setting, values.length > 1 ? values : value);
  await change(context, key, (text, place) => withKey(text, treeOf(text, place), key.split('.'), given));
}

/** Takes a key out of the file, so that its default holds. @throws ShoalError `usage` where the file would be wrong then */
export async function unsetConfig(context: ConfigContext, key: string): Promise<void> {
  settingAt(key);
  await change(context, key, (text, place) => withoutKey(text, treeOf(text, place), key.split('.')));
}

/** Lets the user edit the file, and puts the text in its place when it is right. @throws ShoalError `usage` where it is not */
export async function editConfig(context: ConfigContext, { anew }: { readonly anew: boolean }): Promise<void> {
  const { terminal, env, options, cwd } = context;
  const place = await configPlace(options, env, cwd);
  const { path } = place;
  const isChanged = await editConfigFile(path, {
    template: configTemplate(),
    anew,
    run: async (draft, isLeft) => {
      if (isLeft) terminal.say(`going on with what an earlier edit has left; with --anew that is dropped`);
      await runEditor(context, draft);
    },
    check: (text, draft) => {
      const next = `your text is kept in "${draft}", and ${editing(place)} goes on with it`;
      checked(text, `cannot put the text in place of "${path}":`, next);
    },
  });
  if (terminal.isJson) terminal.json({ path, changed: isChanged });
  else terminal.say(isChanged ? `changed ${path}` : `${path} stays as it is`);
  if (isChanged) await sayWhen(context);
}

/** Changes the file by `edit`, and says what holds then. */
async function change(
  context: ConfigContext,
  key: string,
  edit: (text: string, place: ConfigPlace) => string,
): Promise<void> {
  const { terminal, env, options, cwd } = context;
  const place = await configPlace(options, env, cwd);
  const { path } = place;
  let isChanged = false;
  await changeConfigFile(path, before => {
    const text = before ?? configTemplate();
    const edited = edit(text, place);
    isChanged = edited !== text;
    if (!isChanged) return undefined;
    checked(
      edited,
      `cannot do this to the configuration file "${path}", which would have`,
      `${editing(place)} opens it`,
    );
    return edited;
  });
  const chosen: Chosen<unknown> = (await loadSettings(options, env, cwd))[settingAt(key).name];
  if (terminal.isJson) terminal.json({ path, changed: isChanged, ...viewOf(key, chosen) });
  const { source } = chosen;
  if ('name' in source) terminal.say(`${key} is ${shownOf(chosen)} nevertheless, by ${source.name}`);
  else terminal.say(`${key} is ${shownOf(chosen)}${isChanged ? '' : ', as before'}`);
  if (isChanged) await sayWhen(context);
}

/** Who holds the home keeps the settings that it was started with. */
async function sayWhen({ terminal, contextOf, signal }: ConfigContext): Promise<void> {
  if (!terminal.isTalking) return;
  const { performer } = await contextOf();
  const status = performer.run('status', {}, () => undefined, signal);
  const pid = await status.then(
    found => (found.holds ? found.pid : undefined),
    () => undefined,
  );
  if (pid === undefined) return;
  terminal.say(`process ${pid} holds this home and goes on as it was started; start it again for this to take effect`);
}

function treeOf(text: string, place: ConfigPlace): Exclude<ReturnType<typeof parseConfig>, Problem> {
  const tree = parseConfig(text);
  if (!('what' in tree)) return tree;
  throw brokenError('cannot change the configuration file:', [tree], `${editing(place)} opens it`);
}

function checked(text: string, tried: string, next: string): void {
  const { problems } = readConfig(text, CONFIG_SCHEMA);
  if (problems !== undefined) throw brokenError(tried, problems, next);
}

function shownOf({ given }: Chosen<unknown>): string {
  return given === undefined ? '-' : tomlOf(given);
}

function originOf({ source }: Chosen<unknown>): string {
  if (source.from === 'file') return `line ${source.line}`;
  return source.from === 'default' ? 'default' : source.name;
}

function viewOf(key: string, { given, source }: Chosen<unknown>): object {
  return { key, value: given ?? null, ...source };
}

/** @throws ShoalError `usage` where there is no such editor, `io` where it fails, `interrupted` */
async function runEditor({ env, signal }: ConfigContext, path: string): Promise<void> {
  const editor = env['VISUAL'] || env['EDITOR'] || 'vi';
  // An editor may be given with options or variables of its own, as in "code --wait". No shell stays between it and this process.
  const [file, args, shell] =
    process.platform === 'win32'
      ? [`${editor} "${path}"`, [], true]
      : ['/bin/sh', ['-c', `exec env ${editor} "$@"`, editor, path], false];
  // Ctrl-C is for the editor, and comes here too.
  const listeners = process.listeners('SIGINT');
  const ignore = (): void => undefined;
  process.removeAllListeners('SIGINT').on('SIGINT', ignore);
  try {
    const child = spawn(file, args, { stdio: 'inherit', env: withoutSecrets(env), shell, signal });
    const [code] = (await once(child, 'close')) as [number | null];
    if (code === 0) return;
    const name = `the editor "${editor}"`;
    if (code === 127) throw new ShoalError('usage', `cannot run ${name}: it is not found; set VISUAL or EDITOR`);
    const left = 'the file stays as it is, and what was typed is kept for the next edit';
    throw new ShoalError('io', `${name} ended with ${code ?? 'a signal'}; ${left}`);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    process.off('SIGINT', ignore);
    for (const listener of listeners) process.on('SIGINT', listener);
  }
}
