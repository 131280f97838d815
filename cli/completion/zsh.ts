/** Completion for zsh, by its own _arguments. */
import { inQuotes, lastWord, levelsOf, type Flag, type Level, type Value } from './words.ts';

/** The script: a file of $fpath that is named _shoal, or to be sourced. */
export function zshCompletion(program: Level): string {
  return `#compdef shoal
# Completion of shoal for zsh; made by "shoal completion zsh".
${levelsOf(program)
  .map(level => functionOf(level, program))
  .join('\n')}
__shoal_ids() { # the list, what is in it, and how their ids begin
  local -a ids
  local id rest
  shoal $1 --quiet </dev/null 2>/dev/null | while read -r id rest; do
    if [[ $id == $3* ]]; then ids+=("$id:$rest"); fi
  done
  _describe -t $1 $2 ids
}

__shoal_shares() {
  __shoal_ids shares share b
}

__shoal_transfers() {
  __shoal_ids transfers transfer t
}

__shoal_transfers_and_shares() {
  _alternative 'transfers:transfer:__shoal_transfers' 'shares:share:__shoal_shares'
}

if [[ $funcstack[1] == _shoal ]]; then
  _shoal "$@"
else
  compdef _shoal shoal
fi`;
}

/** Completes behind the words that lead to a level. */
function functionOf(level: Level, program: Level): string {
  const flags = level === program ? level.flags : [...level.flags, ...program.flags];
  const specs = [...flags.map(specOf), ...level.values.map(placeSpec)];
  if (level.levels.length === 0) return shellFunction(level, [argumentsCall(specs)]);
  return shellFunction(level, [
    'local curcontext=$curcontext line state',
    'local -A opt_args',
    argumentsCall([...specs, "'(-)1: :->command'", "'(-)*:: :->rest'"], '-C '),
    'case $state in',
    '  command)',
    '    local -a commands=(',
    ...level.levels.map(one => `      ${inQuotes(`${lastWord(one)}:${one.description}`)}`),
    '    )',
    '    _describe -t commands command commands',
    '    ;;',
    '  rest)',
    '    case $line[1] in',
    ...level.levels.map(one => `      ${inQuotes(lastWord(one))}) ${nameOf(one)} ;;`),
    '    esac',
    '    ;;',
    'esac',
  ]);
}

function shellFunction(level: Level, lines: readonly string[]): string {
  return `${nameOf(level)}() {\n${lines.map(line => `  ${line}`).join('\n')}\n}\n`;
}

function argumentsCall(specs: readonly string[], options = ''): string {
  return [`_arguments ${options}-s -S`, ...specs].join(' \\\n    ');
}

/** `(-o --output)'{-o+,--output=}'[what it does]:path:_files`, quoted. */
function specOf({ names, description, value, isMany }: Flag): string {
  const spellings = names.map(name => (value === undefined ? name : name.startsWith('--') ? `${name}=` : `${name}+`));
  const taken = value === undefined ? '' : `:${escaped(value.name)}:${actionOf(value)}`;
  const told = `[${escaped(description)}]${taken}`;
  const before = isMany ? '*' : names.length > 1 ? `(${names.join(' ')})` : '';
  if (spellings.length === 1) return inQuotes(`${before}${spellings.join('')}${told}`);
  return `${inQuotes(before)}{${spellings.join(',')}}${inQuotes(told)}`;
}

function placeSpec(value: Value, place: number): string {
  return inQuotes(`${value.isMany ? '*' : place + 1}:${escaped(value.name)}:${actionOf(value)}`);
}

function actionOf(value: Value): string {
  if (value.choices.length > 0) return `(${value.choices.join(' ')})`;
  if (value.choicesBehind !== undefined) {
    const cases = Object.entries(value.choicesBehind).map(
      ([word, words]) => `${word}) compadd -- ${words.join(' ')} ;;`,
    );
    return `{case $words[CURRENT-1] in ${cases.join(' ')} esac}`;
  }
  switch (value.kind) {
    case 'files':
      return '_files';
    case 'folders':
      return '_files -/';
    case 'shares':
      return '__shoal_shares';
    case 'transfers':
      return '__shoal_transfers';
    case 'transfers-and-shares':
      return '__shoal_transfers_and_shares';
    // A space: nothing to choose from, and no files either.
    case 'other':
      return ' ';
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, String.raw`\$&`);
}

function nameOf({ path }: Level): string {
  return ['_shoal', ...path.split(' ').filter(word => word !== '')].join('_');
}
