/** Completion for fish, 3.0 and newer. */
import { lastWord, levelsOf, type Flag, type Level, type Value } from './words.ts';

/** The script: a file of the folder `completions`, or to be sourced. */
export function fishCompletion(program: Level): string {
  const levels = levelsOf(program);
  return `# Completion of shoal for fish; made by "shoal completion fish".
function __shoal_at -d 'whether these words lead to a command, and at least so many, at most so many arguments are behind it, of which this is the last'
    set -l at
    set -l place 0
    set -l before
    set -l skip
    set -l ended
    for word in (commandline -opc)[2..-1]
        if set -q skip[1]
            set -e skip
        else if not set -q ended[1]; and test "$word" = --
            set ended 1
        else if not set -q ended[1]; and string match -qr -- '^-.' $word
            switch "$at $word"
                case ${optionsWithValue(levels)}
                    set skip 1
            end
        else
            switch "$at/$word"
${commandCases(levels)}
                case '*'
                    set place (math $place + 1)
                    set before $word
            end
        end
    end
    test "$at" = "$argv[1]"; or return
    not set -q argv[2]; and return
    test $place -ge $argv[2]; and test $place -le $argv[3]; or return
    not set -q argv[4]; or test "$before" = "$argv[4]"
end

function __shoal_ids
    for list in $argv
        shoal $list --quiet </dev/null 2>/dev/null | string replace -rf '^([bt]\\S+)\\s+(.*)$' '$1\\t$2'
    end
end

complete -c shoal -f
${levels.flatMap(completesOf).join('\n')}`;
}

function commandCases(levels: readonly Level[]): string {
  return levels
    .flatMap(({ path, levels: below }) => below.map(one => [`${path}/${lastWord(one)}`, one.path] as const))
    .map(([way, path]) => {
      const indent = ' '.repeat(16);
      return `${indent}case ${inQuotes(way)}\n${indent}    set at ${inQuotes(path)}\n${indent}    set place 0`;
    })
    .join('\n');
}

/** Patterns of options behind the command that they are given to; an option of the program may be given to each. */
function optionsWithValue(levels: readonly Level[]): string {
  return levels
    .flatMap(({ path, flags }) =>
      flags
        .filter(({ value }) => value !== undefined)
        .flatMap(({ names }) => names.map(name => inQuotes(`${path === '' ? '*' : path} ${name}`))),
    )
    .join(' ');
}

/** All that can be typed behind the words that lead to a level. */
function completesOf(level: Level): string[] {
  const { path, levels, flags, values } = level;
  const there = (from: number, to: number): string => `-n '__shoal_at "${path}" ${from} ${to}'`;
  return [
    ...levels.map(one => `complete -c shoal ${there(0, 0)} -a ${lastWord(one)} -d ${inQuotes(one.description)}`),
    ...flags.map(flag => {
      const condition = path === '' ? '' : ` -n '__shoal_at "${path}"'`;
      return `complete -c shoal${condition} ${spelled(flag)}`;
    }),
    ...values.flatMap((value, place) => {
      const action = actionOf(value);
      const last = value.isMany ? MANY : place;
      if (value.choicesBehind !== undefined)
        return Object.entries(value.choicesBehind).map(
          ([word, words]) =>
            `complete -c shoal -n '__shoal_at "${path}" ${place} ${last} ${word}' -f -a ${inQuotes(words.join(' '))}`,
        );
      return action === undefined ? [] : [`complete -c shoal ${there(place, last)} ${action}`];
    }),
  ];
}

/** More arguments than anybody types. */
const MANY = 1_000_000;

function spelled({ names, description, value }: Flag): string {
  const spellings = names.map(name => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const taken = value === undefined ? [] : ['-r', actionOf(value) ?? '-f'];
  return [...spellings, ...taken, '-d', inQuotes(description)].join(' ');
}

function actionOf(value: Value): string | undefined {
  if (value.choices.length > 0) return `-f -a ${inQuotes(value.choices.join(' '))}`;
  switch (value.kind) {
    case 'files':
      return '-F';
    case 'folders':
      return `-f -a '(__fish_complete_directories)'`;
    case 'shares':
      return `-f -a '(__shoal_ids shares)'`;
    case 'transfers':
      return `-f -a '(__shoal_ids transfers)'`;
    case 'transfers-and-shares':
      return `-f -a '(__shoal_ids transfers shares)'`;
    case 'other':
      return undefined;
  }
}

/** In single quotes, where fish gives a meaning to these two characters only. */
function inQuotes(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
