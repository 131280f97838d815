/** Man pages, from the definitions that parse command lines and some words beside them. */
import type { Command, Help } from 'commander';

type Entry = readonly [term: string, text: string];

/** What the definitions of a program do not say. */
export interface Words {
  /** In a line, after the name. */
  readonly summary: string;
  /** After what the program says of itself. */
  readonly paragraphs: readonly string[];
  readonly exitCodes: readonly Entry[];
  readonly environment: readonly Entry[];
  readonly files: readonly Entry[];
  readonly examples: readonly Entry[];
  /** Other pages, of the same section. */
  readonly seeAlso: readonly string[];
}

/** The page in roff. It depends on nothing but its arguments: there is no date in it. */
export function manualPage(program: Command, version: string, words: Words): string {
  const help = program.createHelp();
  const commands = commandsOf(program, help);
  const name = program.name();
  return [
    `.\\" Made by "npm run man" from the definitions of the commands.`,
    `.TH ${roff(name.toUpperCase())} 1 "" "shoal ${version}" "User Commands"`,
    '.SH NAME',
    `${roff(name)} \\- ${roff(words.summary)}`,
    '.SH SYNOPSIS',
    ...commands.flatMap(command => ['.br', synopsis(command)]).slice(1),
    '.SH DESCRIPTION',
    ...lines(program.description()),
    ...words.paragraphs.flatMap(paragraph),
    '.SH COMMANDS',
    ...commands.flatMap(command => section(command, help)),
    '.SH OPTIONS OF ALL COMMANDS',
    ...entries(optionsOf(program, help)),
    '.SH EXIT STATUS',
    ...entries(words.exitCodes),
    '.SH ENVIRONMENT',
    ...entries(words.environment),
    '.SH FILES',
    ...entries(words.files),
    '.SH EXAMPLES',
    ...entries(words.examples),
    '.SH SEE ALSO',
    ...words.seeAlso.map(page => `.BR ${roff(page)} (1)`),
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
