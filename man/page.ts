/** The man page shoal(1), from the definitions that parse command lines. */
import type { Command, Help } from 'commander';
import { CAUTION, ENVIRONMENT, EXIT_CODES } from '../cli/epilogue.ts';

type Entry = readonly [term: string, text: string];

const FILES: readonly Entry[] = [
  [
    '~/.local/share/shoal',
    'The home, elsewhere than on Linux in the folder that the system has for data; SHOAL_HOME chooses another one. ' +
      'Who can read the file "secret" in it can read all of its shares.',
  ],
  [
    '$XDG_RUNTIME_DIR/shoal-UID',
    'Where the process that holds a home listens for other commands; in the folder for temporary files where the ' +
      'variable is not set.',
  ],
];

const EXAMPLES: readonly Entry[] = [
  ['shoal share ./holiday', 'Print a link to a folder, and serve it until Ctrl-C.'],
  ['shoal fetch -', 'Paste the link and press Enter: what was shared comes into this folder.'],
  ['shoal fetch -o - - < link | tar x', 'Unpack a shared archive as it arrives.'],
  ["shoal fetch --only '*.jpg' -o pictures - < link", 'Only some files of a folder.'],
  ['shoal export bafyreid7 -o backup.car', 'The encrypted blocks of a share, for a medium that others may read.'],
];

/** The page in roff. It depends on nothing but its arguments: there is no date in it. */
export function manualPage(program: Command, version: string): string {
  const help = program.createHelp();
  const commands = commandsOf(program, help);
  return [
    `.\\" Made by "npm run man" from the definitions of the commands.`,
    `.TH SHOAL 1 "" "shoal ${version}" "User Commands"`,
    '.SH NAME',
    `shoal \\- ${roff('share files privately, from your own machine')}`,
    '.SH SYNOPSIS',
    ...commands.flatMap(command => ['.br', synopsis(command)]).slice(1),
    '.SH DESCRIPTION',
    ...lines(program.description()),
    ...paragraph('Results go to stdout, and everything else to stderr.'),
    ...paragraph(CAUTION),
    '.SH COMMANDS',
    ...commands.flatMap(command => section(command, help)),
    '.SH OPTIONS OF ALL COMMANDS',
    ...entries(optionsOf(program, help)),
    '.SH EXIT STATUS',
    ...entries(EXIT_CODES),
    '.SH ENVIRONMENT',
    ...entries(ENVIRONMENT),
    '.SH FILES',
    ...entries(FILES),
    '.SH EXAMPLES',
    ...entries(EXAMPLES),
    '',
  ].join('\n');
}

/** A command, and those below it. */
function section(command: Command, help: Help): string[] {
  const below = commandsOf(command, help);
  const options = optionsOf(command, help).filter(([flags]) => flags !== '-h, --help');
  const values = help.visibleArguments(command).map(one => [one.name(), help.argumentDescription(one)] as const);
  return [
    `.SS ${macroArgument(nameOf(command))}`,
    synopsis(command),
    ...paragraph(sentence(command.description())),
    ...entries([...values, ...options]),
    ...below.flatMap(one => section(one, help)),
  ];
}

/** Without the "help" that commander adds: who reads this has found help. */
function commandsOf(command: Command, help: Help): Command[] {
  return help.visibleCommands(command).filter(one => one.parent !== null);
}

function optionsOf(command: Command, help: Help): Entry[] {
  return help.visibleOptions(command).map(option => [help.optionTerm(option), help.optionDescription(option)]);
}

/** As in the help, without the options of the program. */
function synopsis(command: Command): string {
  return `.B ${macroArgument(nameOf(command))}\n${roff(command.usage())}`;
}

/** All words that lead to a command. */
function nameOf(command: Command): string {
  const words = [command.name()];
  for (let above = command.parent; above !== null; above = above.parent) words.unshift(above.name());
  return words.join(' ');
}

function paragraph(text: string): string[] {
  return ['.PP', ...lines(text)];
}

function lines(text: string): string[] {
  return text.split('\n').map(roff);
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

/** Terms in bold, each with its text below it. */
function entries(list: readonly Entry[]): string[] {
  return list.flatMap(([term, text]) => ['.TP', `.B ${macroArgument(term)}`, ...lines(text)]);
}

/** What roff takes for something else than the character that it is, in text and in arguments alike. */
const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
  '"': '\\(dq',
};

/** A line of text as it is to be read. A dot at its beginning would make it a request. */
export function roff(text: string): string {
  const safe = text.replaceAll(/[\\\-'`^~"]|[^\x20-\x7e]/gu, character => SPECIAL[character] ?? named(character));
  return safe.startsWith('.') ? `\\&${safe}` : safe;
}

function named(character: string): string {
  return `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`;
}

function macroArgument(text: string): string {
  return `"${roff(text)}"`;
}
