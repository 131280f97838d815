/** Completion for bash, 3.2 and newer. */
import { inQuotes, lastWord, levelsOf, type Flag, type Level, type Value } from './words.ts';

/** The script to be sourced. */
export function bashCompletion(program: Level): string {
  const levels = levelsOf(program);
  return `# Completion of shoal for bash; made by "shoal completion bash".
_shoal() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at= option= place=0 before= ended= n word
  COMPREPLY=()
  for ((n = 1; n < COMP_CWORD; n++)); do
    word=\${COMP_WORDS[n]}
    # Bash takes --option=value for three words.
    if [[ $option && $word == '=' ]]; then continue; fi
    if [[ $option ]]; then option=; continue; fi
    if [[ $ended || $word != -?* ]]; then
      case "$at/$word" in
${commandCases(levels)}
        *) place=$((place + 1)) before=$word ;;
      esac
    elif [[ $word == -- ]]; then
      ended=1
    else
      case "$at $word" in
        ${optionsWithValue(levels)}) option=$word ;;
      esac
    fi
  done
  if [[ $option && $cur == '=' ]]; then cur=; fi
  if [[ $option ]]; then
    case "$at $option" in
${valueCases(levels)}
    esac
  elif [[ $cur == -* && ! $ended ]]; then
    case $at in
${levels.map(level => `      ${inQuotes(level.path)}) _shoal_words ${inQuotes(namesFor(level, program))} ;;`).join('\n')}
    esac
  else
    case "$at/$place" in
${placeCases(levels)}
    esac
  fi
}

_shoal_words() {
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}

_shoal_files() { # -f: files, -d: folders
  local name
  compopt -o filenames 2>/dev/null
  while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen "$1" -- "$cur")
}

_shoal_ids() { # shares: they begin with b, transfers: with t
  local id rest
  while read -r id rest; do
    if [[ $id == [bt]* && $id == "$cur"* ]]; then COMPREPLY+=("$id"); fi
  done < <(shoal "$1" --quiet </dev/null 2>/dev/null)
}

complete -F _shoal shoal`;
}

/** Which words lead to a command, and from where. */
function commandCases(levels: readonly Level[]): string {
  return levels
    .flatMap(({ path, levels: below }) => below.map(one => [`${path}/${lastWord(one)}`, one.path] as const))
    .map(([way, path]) => `        ${inQuotes(way)}) at=${inQuotes(path)} place=0 ;;`)
    .join('\n');
}

/** Patterns of an option behind the command that it is given to; an option of the program may be given to each. */
function patterns(level: Level, flag: Flag): string[] {
  return flag.names.map(name => (level.path === '' ? `*${inQuotes(` ${name}`)}` : inQuotes(`${level.path} ${name}`)));
}

function flagsWithValue(levels: readonly Level[]): { readonly pattern: string; readonly value: Value }[] {
  return levels.flatMap(level =>
    level.flags.flatMap(flag =>
      flag.value === undefined ? [] : [{ pattern: patterns(level, flag).join(' | '), value: flag.value }],
    ),
  );
}

function optionsWithValue(levels: readonly Level[]): string {
  return flagsWithValue(levels)
    .map(({ pattern }) => pattern)
    .join(' | ');
}

function valueCases(levels: readonly Level[]): string {
  return flagsWithValue(levels)
    .flatMap(({ pattern, value }) => (actionOf(value) === undefined ? [] : [`      ${pattern}) ${actionOf(value)} ;;`]))
    .join('\n');
}

/** What a command takes at each place: the names of commands below it, then its arguments, of which the last may be many. */
function placeCases(levels: readonly Level[]): string {
  return levels
    .flatMap(({ path, levels: below, values }) => [
      ...(below.length === 0 ? [] : [{ at: `'${path}/0'`, action: wordsAction(below.map(one => lastWord(one))) }]),
      ...values.map((value, n) => ({ at: value.isMany ? `'${path}/'*` : `'${path}/${n}'`, action: actionOf(value) })),
    ])
    .flatMap(({ at, action }) => (action === undefined ? [] : [`      ${at}) ${action} ;;`]))
    .join('\n');
}

function actionOf(value: Value): string | undefined {
  if (value.choices.length > 0) return wordsAction(value.choices);
  if (value.choicesBehind !== undefined) {
    const cases = Object.entries(value.choicesBehind).map(
      ([word, words]) => `${inQuotes(word)}) ${wordsAction(words)} ;;`,
    );
    return `case $before in ${cases.join(' ')} esac`;
  }
  switch (value.kind) {
    case 'files':
      return '_shoal_files -f';
    case 'folders':
      return '_shoal_files -d';
    case 'shares':
      return '_shoal_ids shares';
    case 'transfers':
      return '_shoal_ids transfers';
    case 'transfers-and-shares':
      return '_shoal_ids transfers; _shoal_ids shares';
    case 'other':
      return undefined;
  }
}

function wordsAction(words: readonly string[]): string {
  return `_shoal_words ${inQuotes(words.join(' '))}`;
}

function namesFor(level: Level, program: Level): string {
  const flags = level === program ? level.flags : [...level.flags, ...program.flags];
  return flags.flatMap(({ names }) => names).join(' ');
}
