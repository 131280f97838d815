/**
 * Changes one key in the text of a configuration, and nothing else: comments, order and layout stay. Pure. Whether the
 * outcome is right is for `readConfig` to say.
 */
import type { AST } from 'toml-eslint-parser';
import { entriesOf, knownOf, namesOf, tomlOf, type Found, type TomlValue } from './config.ts';
import type { z } from 'zod';

/**
 * `text` with a key set. The value is replaced where the key has one. Else it stands behind the line in which the template
 * shows it as a comment, or behind the last key of its section; where there is no such section, that is added at the end.
 * @param program of `text`  @param path section and key
 */
export function withKey(text: string, program: AST.TOMLProgram, path: readonly string[], value: TomlValue): string {
  const found = entriesOf(program).find(one => isAt(one, path));
  if (found !== undefined) return replaced(text, program, found, tomlOf(value));
  const section = path.slice(0, -1);
  const statement = `${keyOf(path.slice(-1))} = ${tomlOf(value)}`;
  const name = path.at(-1) ?? '';
  if (section.length === 0) return atTop(text, program, name, statement);
  const table = tablesOf(program).find(({ key }) => isSame(namesOf(key), section));
  if (table !== undefined) return inTable(text, program, table, name, statement);
  const inline = entriesOf(program).find(one => isAt(one, section))?.node.value;
  if (inline?.type === 'TOMLInlineTable') return inInline(text, inline, statement);
  const dotted = entriesOf(program).findLast(
    ({ path: other, node }) => node.key.keys.length > 1 && isIn(other, section),
  );
  if (dotted !== undefined && dotted.node === dotted.outer) {
    const before = namesOf(dotted.node.key).slice(0, -1);
    return behindLine(text, dotted.node.range[1], `${indentAt(text, dotted.node)}${keyOf(before)}.${statement}`);
  }
  const end = eolOf(text);
  const gap = text === '' || text.endsWith(end + end) ? '' : text.endsWith('\n') ? end : end + end;
  return `${text}${gap}[${keyOf(section)}]${end}${statement}${end}`;
}

/** `text` without a key; comments beside it and in it stay, on lines of their own. Equal to `text` where it has no such key. */
export function withoutKey(text: string, program: AST.TOMLProgram, path: readonly string[]): string {
  const found = entriesOf(program).find(one => isAt(one, path));
  if (found === undefined) return text;
  const { node } = found;
  const [start, end] = node.range;
  if (node.parent.type === 'TOMLInlineTable') {
    const { body } = node.parent;
    const at = body.indexOf(node);
    const [from, to] = at > 0 ? [body[at - 1]?.range[1], end] : [start, body[1]?.range[0] ?? end];
    const line = lineStart(text, found.outer.range[0]);
    const comments = commentLines(text, program, node, found.outer);
    return text.slice(0, line) + comments + text.slice(line, from) + text.slice(to);
  }
  const kept = commentLines(text, program, node);
  const from = lineStart(text, start);
  const behind = text.slice(end, lineEnd(text, end));
  if (behind.trim() !== '')
    return text.slice(0, from) + kept + indentAt(text, node) + behind.trimStart() + text.slice(lineEnd(text, end));
  return text.slice(0, from) + kept + text.slice(nextLine(text, end));
}

/**
 * A configuration in which every key of a schema stands as a comment, with what it does, and its default or an example.
 * @param head lines before all keys
 */
export function templateOf(schema: z.ZodObject, head: readonly string[]): string {
  const blocks = knownOf(schema).map(({ path, isSection, description, preset, example = '' }) => {
    const about = wrapped(isSection || preset !== undefined ? description : `${description} For example:`);
    const line = isSection ? `[${keyOf(path)}]` : `#${keyOf(path.slice(-1))} = ${tomlOf(preset ?? example)}`;
    return [...about.map(one => `# ${one}`), line];
  });
  return `${[head.map(line => `# ${line}`), ...blocks].map(lines => lines.join('\n')).join('\n\n')}\n`;
}

/** Without the mark of a comment. */
const TEMPLATE_COLUMNS = 108;

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter(one => one !== '')) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= TEMPLATE_COLUMNS)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Comments within the old value, which may be a list over several lines, come to stand before it. */
function replaced(text: string, program: AST.TOMLProgram, { node, outer }: Found, value: string): string {
  const [start, end] = node.value.range;
  const from = lineStart(text, outer.range[0]);
  const kept = commentLines(text, program, node.value, outer);
  return text.slice(0, from) + kept + text.slice(from, start) + value + text.slice(end);
}

function commentLines(text: string, program: AST.TOMLProgram, node: AST.TOMLNode, line = node): string {
  const [start, end] = node.range;
  const inside = program.comments.filter(({ range }) => range[0] >= start && range[1] <= end);
  return inside.map(({ range }) => indentAt(text, line) + text.slice(...range).trimEnd() + eolOf(text)).join('');
}

function inTable(
  text: string,
  program: AST.TOMLProgram,
  table: AST.TOMLTable,
  name: string,
  statement: string,
): string {
  const tables = tablesOf(program);
  const end = tables[tables.indexOf(table) + 1]?.range[0] ?? text.length;
  const shown = shownAt(text, program, [table.key.range[1], end], table.body, name);
  const last = table.body.at(-1);
  const at = shown ?? last?.range ?? table.key.range;
  return behindLine(text, at[1], `${at === table.key.range ? '' : indentAt(text, { range: at })}${statement}`);
}

/** Where a key stands as a comment, on a line of its own, between two places with some values between them. */
function shownAt(
  text: string,
  program: AST.TOMLProgram,
  [from, to]: readonly [number, number],
  body: readonly AST.TOMLNode[],
  name: string,
): readonly [number, number] | undefined {
  return program.comments.find(({ range: [start], value }) => {
    if (start < from || start > to || /^\s*([\w-]+)\s*=/.exec(value)?.[1] !== name) return false;
    const isAlone = text.slice(lineStart(text, start), start).trim() === '';
    return isAlone && !body.some(({ range }) => range[0] < start && start < range[1]);
  })?.range;
}

function inInline(text: string, { body, range }: AST.TOMLInlineTable, statement: string): string {
  const last = body.at(-1);
  if (last === undefined) return `${text.slice(0, range[0])}{ ${statement} }${text.slice(range[1])}`;
  return `${text.slice(0, last.range[1])}, ${statement}${text.slice(last.range[1])}`;
}

/** Where it is shown, behind the last key that is in no section, or before the first section. */
function atTop(text: string, program: AST.TOMLProgram, name: string, statement: string): string {
  const [first] = tablesOf(program);
  const keys = program.body[0].body.filter(node => node.type === 'TOMLKeyValue');
  const at = shownAt(text, program, [0, first?.range[0] ?? text.length], keys, name) ?? keys.at(-1)?.range;
  if (at !== undefined) return behindLine(text, at[1], indentAt(text, { range: at }) + statement);
  if (first === undefined) return behindLine(text, text.length, statement);
  const head = lineStart(text, first.range[0]);
  return text.slice(0, head) + statement + eolOf(text) + eolOf(text) + text.slice(head);
}

function behindLine(text: string, index: number, line: string): string {
  const at = nextLine(text, index);
  const end = eolOf(text);
  const isOpen = at > 0 && text[at - 1] !== '\n';
  return text.slice(0, at) + (isOpen ? end : '') + line + end + text.slice(at);
}

function tablesOf(program: AST.TOMLProgram): AST.TOMLTable[] {
  return program.body[0].body.filter(node => node.type === 'TOMLTable');
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, n) => name === b[n]);
}

function isAt(found: Found, path: readonly string[]): boolean {
  return isSame(found.path, path);
}

function isIn(path: readonly string[], section: readonly string[]): boolean {
  return isSame(path.slice(0, -1), section);
}

function keyOf(path: readonly string[]): string {
  return path.map(name => (/^[\w-]+$/.test(name) ? name : tomlOf(name))).join('.');
}

/** As the first line of the text ends. */
function eolOf(text: string): string {
  const at = text.indexOf('\n');
  return at > 0 && text[at - 1] === '\r' ? '\r\n' : '\n';
}

function indentAt(text: string, { range: [start] }: { readonly range: readonly [number, number] }): string {
  return /^[ \t]*/.exec(text.slice(lineStart(text, start), start))?.[0] ?? '';
}

function lineStart(text: string, index: number): number {
  return index === 0 ? 0 : text.lastIndexOf('\n', index - 1) + 1;
}

/** Where the line's end begins. */
function lineEnd(text: string, index: number): number {
  const at = text.indexOf('\n', index);
  if (at < 0) return text.length;
  return at > index && text[at - 1] === '\r' ? at - 1 : at;
}

function nextLine(text: string, index: number): number {
  const at = text.indexOf('\n', index);
  return at < 0 ? text.length : at + 1;
}
