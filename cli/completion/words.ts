/** What can be typed at which place, as the shells have to know it: from the definitions that parse it. */
import type { Command, Option } from 'commander';
import { settingList } from '../settings.ts';

/** What stands for a place of an argument, or behind an option. */
export interface Value {
  /** As in the help: `path` of `<path>`. */
  readonly name: string;
  /** The words to choose from; empty where it is none of a few. */
  readonly choices: readonly string[];
  /** The words to choose from behind a certain argument, by that. */
  readonly choicesBehind?: Readonly<Record<string, readonly string[]>>;
  readonly kind: 'files' | 'folders' | 'shares' | 'transfers' | 'transfers-and-shares' | 'other';
  /** Whether more of them may follow. */
  readonly isMany: boolean;
}

export interface Flag {
  /** `-o` and `--output`, or one of the two. */
  readonly names: readonly string[];
  readonly description: string;
  /** Absent where the option stands alone. */
  readonly value?: Value;
  /** Whether it may be given more than once. */
  readonly isMany: boolean;
}

/** One command, with what may follow it. */
export interface Level {
  /** The words that lead to it, separated by spaces, without the name of the program: '' is the program itself. */
  readonly path: string;
  readonly description: string;
  readonly levels: readonly Level[];
  /** Its own; those of the program may be given to every command. */
  readonly flags: readonly Flag[];
  readonly values: readonly Value[];
}

/** Kinds by the names of values in the definitions, as in `<path>` or `--output <file>`, some of them of one command only. */
const KINDS: Readonly<Record<string, Value['kind']>> = {
  path: 'files',
  file: 'files',
  folder: 'folders',
  id: 'shares',
  'transfers pause id': 'transfers-and-shares',
  'transfers resume id': 'transfers-and-shares',
  'transfers cancel id': 'transfers',
};

/** The program, and below it all commands that its help shows. */
export function wordsOf(program: Command): Level {
  const flags = program.createHelp().visibleOptions(program).map(flagOf);
  return { ...levelOf(program, '', new Set(flags.flatMap(({ names }) => names))), flags };
}

/**
 * @param known the names of options of the program: -h of a command is the same
 * @param beside the commands at the same level, which "help" explains
 */
function levelOf(command: Command, path: string, known: ReadonlySet<string>, beside: readonly Command[] = []): Level {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const explained = beside.filter(one => one !== command).map(one => one.name());
  return {
    path,
    description: command.description(),
    levels: commands.map(one => levelOf(one, `${path} ${one.name()}`.trim(), known, commands)),
    flags: help
      .visibleOptions(command)
      .map(flagOf)
      .filter(({ names }) => !names.every(name => known.has(name))),
    values: command.registeredArguments.map(one => {
      const choices = one.argChoices ?? choicesOf(path, one.name(), explained);
      const behind = path === 'config set' && one.name() === 'value' ? { choicesBehind: choicesBySetting() } : {};
      return { ...valueOf(one.name(), choices, one.variadic, path), ...behind };
    }),
  };
}

function flagOf(option: Option): Flag {
  const { short, long, description, argChoices, flags } = option;
  const isMany = option.variadic || description.endsWith('; repeatable');
  const name = /[<[]([\w-]+)/.exec(flags)?.[1];
  return {
    names: [short, long].filter(one => one !== undefined),
    description,
    isMany,
    ...(name === undefined ? {} : { value: valueOf(name, argChoices, false) }),
  };
}

function valueOf(name: string, choices: readonly string[] | undefined, isMany: boolean, path = ''): Value {
  return { name, choices: choices ?? [], kind: KINDS[`${path} ${name}`] ?? KINDS[name] ?? 'other', isMany };
}

/** Words that the definitions leave to the command itself, as it says more when there is none such. */
function choicesOf(path: string, name: string, explained: readonly string[]): readonly string[] {
  if (path.startsWith('config ') && name === 'key') return settingList().map(({ setting }) => setting.key);
  return /^(.* )?help$/.test(path) ? explained : [];
}

/** Of each setting that can be one of a few values only. */
function choicesBySetting(): Readonly<Record<string, readonly string[]>> {
  const settings = settingList().map(({ setting: { key, kind } }) => {
    const choices = kind.choices ?? (kind.type === 'switch' ? ['true', 'false'] : []);
    return [key, choices] as const;
  });
  return Object.fromEntries(settings.filter(([, choices]) => choices.length > 0));
}

/** The last of the words that lead to a level. */
export function lastWord({ path }: Level): string {
  return path.slice(path.lastIndexOf(' ') + 1);
}

/** A level and all below it. */
export function levelsOf(level: Level): Level[] {
  return [level, ...level.levels.flatMap(levelsOf)];
}

/** `text` in single quotes: nothing in it means anything to a POSIX shell, or to zsh. */
export function inQuotes(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
