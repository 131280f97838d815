/** What can be typed at which place, as the shells have to know it: from the definitions that parse it. */
import type { Command, Option } from 'commander';

/** What stands for a place of an argument, or behind an option. */
export interface Value {
  /** As in the help: `path` of `<path>`. */
  readonly name: string;
  /** The words to choose from; empty where it is none of a few. */
  readonly choices: readonly string[];
  readonly kind: 'files' | 'folders' | 'shares' | 'other';
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

/** Kinds by the names of values in the definitions, as in `<path>` or `--output <file>`. */
const KINDS: Readonly<Record<string, Value['kind']>> = {
  path: 'files',
  file: 'files',
  folder: 'folders',
  id: 'shares',
};

/** The program, and below it all commands that its help shows. */
export function wordsOf(program: Command): Level {
  const flags = program.createHelp().visibleOptions(program).map(flagOf);
  return { ...levelOf(program, '', new Set(flags.flatMap(({ names }) => names))), flags };
}

/** @param known the names of options of the program: -h of a command is the same */
function levelOf(command: Command, path: string, known: ReadonlySet<string>): Level {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  return {
    path,
    description: command.description(),
    levels: commands.map(one => levelOf(one, `${path} ${one.name()}`.trim(), known)),
    flags: help
      .visibleOptions(command)
      .map(flagOf)
      .filter(({ names }) => !names.every(name => known.has(name))),
    values: command.registeredArguments.map(one => valueOf(one.name(), one.argChoices, one.variadic)),
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

function valueOf(name: string, choices: readonly string[] | undefined, isMany: boolean): Value {
  return { name, choices: choices ?? [], kind: KINDS[name] ?? 'other', isMany };
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
