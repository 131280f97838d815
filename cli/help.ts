/** The help, in the columns of a terminal. */
import { Help } from 'commander';

const USUAL_COLUMNS = 80;
/** Where a description would have fewer columns than these beside its term, it stands below it. */
const MIN_BESIDE = 40;
const BELOW = ' '.repeat(6);

/** What all commands change about commander's help. */
export const HELP: Partial<Help> = {
  showGlobalOptions: true,
  minWidthToWrap: MIN_BESIDE / 2,
  formatItem(term, termColumns, description, help) {
    const columns = help.helpWidth ?? USUAL_COLUMNS;
    if (description === '' || columns - termColumns - 4 >= MIN_BESIDE)
      return Help.prototype.formatItem.call(help, term, termColumns, description, help);
    const lines = help.boxWrap(description, columns - BELOW.length).split('\n');
    return [`  ${term}`, ...lines.map(line => BELOW + line)].join('\n');
  },
};

/** Names with what they mean, as options are listed. @param columns of the terminal; undefined where there is none */
export function listed(entries: readonly (readonly [name: string, meaning: string])[], columns?: number): string {
  const help = helpIn(columns);
  const widest = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, meaning]) => help.formatItem(name, widest, meaning, help)).join('\n');
}

/** @param columns of the terminal; undefined where there is none */
export function wrapped(text: string, columns?: number): string {
  return helpIn(columns).boxWrap(text, columns ?? USUAL_COLUMNS);
}

function helpIn(columns: number | undefined): Help {
  const help = Object.assign(new Help(), HELP);
  help.prepareContext(columns === undefined ? {} : { helpWidth: columns });
  return help;
}
