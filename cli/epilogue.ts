/** What the help says behind commands and options; the man page says it too. */

import { listed, wrapped } from './help.ts';
import { settingList } from './settings.ts';

/** Exit codes, and what they mean. */
export const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'done'],
  ['1', 'failed; also shares that are malformed, corrupt, or made by a newer program'],
  ['2', 'wrong usage, or a bad link'],
  ['3', 'nobody found, or who was found is busy, over quota, or lacks it'],
  ['4', 'wrong key, passphrase or identity'],
  ['5', 'every source that knew it refused: blocked, withdrawn or expired'],
  ['6', 'a source file changed since it was shared'],
  ['130', 'interrupted; the same command goes on from there'],
];

/** Variables of the environment, and what they do. */
export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['SHOAL_HOME', "the folder of this node's identity and shares"],
  ['SHOAL_LINK', 'the link, where a command is given none'],
  ['SHOAL_PASSPHRASE', 'the passphrase, where a command needs one'],
  [
    'SHOAL_CONFIG',
    "the configuration file (default: config.toml in SHOAL_HOME where that is set, else in the user's folder for configurations)",
  ],
  ...variables(),
  ['NO_COLOR', 'no control codes; without a terminal there are none anyway'],
];

/** Those of the settings; options win over them, and they over the configuration file. */
function variables(): [string, string][] {
  return settingList().flatMap(({ setting: { variable, option, kind } }) => {
    if (variable === undefined || option === undefined) return [];
    const how = { list: '; separated by commas', switch: '; "on" or "off"', number: '', text: '' }[kind.type];
    return [[variable, `as ${option.flags.split(' ')[0] ?? ''}, which wins${how}`]];
  });
}

/** On secrets on the command line. */
export const CAUTION =
  'A link on the command line ends up in the shell\'s history, and with npx in lists of processes. Give "-" and the link on stdin to keep it out of there.';

/** @param columns of the terminal; undefined where there is none */
export function epilogue(columns: number | undefined): string {
  return `
Exit codes:
${listed(EXIT_CODES, columns)}

Environment:
${listed(ENVIRONMENT, columns)}

${wrapped(CAUTION, columns)}
`;
}
