/**
 * The configuration of a program: TOML text and a schema in, a value or a list of what is wrong with it out. Pure, and the
 * same for every program. A schema is a strict object of values, or of sections that are such objects. What is said of each by
 * `.meta()` (Meta), before `.optional()` or `.prefault()`, stands in the problems and in the template.
 */
import { ParseError, parseTOML, type AST } from 'toml-eslint-parser';
import { z } from 'zod';
import { ShoalError } from './errors.ts';
import { escaped, quoted } from './format/quoted.ts';
import { MAX_CONFIG_DEPTH, MAX_CONFIG_PROBLEMS } from './limits.ts';

/** What a schema says of a section or of a value. */
export interface Meta {
  readonly description: string;
  /** Completes "it is not …". */
  readonly expects?: string;
  /** A value as it may stand in the file. */
  readonly example?: TomlValue;
  /** What holds without one, where that can be written. */
  readonly preset?: TomlValue;
  /** Whether a program that runs takes a new value without being started again; of a section, whether it does of all in it. */
  readonly live?: true;
}

export type TomlValue = string | number | boolean | readonly string[];

/** Something wrong with a text. */
export interface Problem {
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** Section and key, or as much of it as is known; may be empty. */
  readonly key: string;
  readonly what: string;
  /** What to do about it. */
  readonly next?: string;
}

/** A value that stands in a text. */
export interface Entry {
  /** As it stands there. */
  readonly given: TomlValue;
  /** What the schema makes of it. */
  readonly value: unknown;
  readonly line: number;
}

export type Reading<S extends z.ZodObject> =
  | { readonly value: z.output<S>; readonly entries: ReadonlyMap<string, Entry>; readonly problems?: never }
  | { readonly problems: readonly Problem[] };

/** Checks `text` against `schema`. Entries are by their key: `section.key`. All problems are told but those behind one of syntax. */
export function readConfig<S extends z.ZodObject>(text: string, schema: S): Reading<S> {
  const parsed = parseConfig(text);
  if ('what' in parsed) return { problems: [withExample(parsed, schema)] };
  const heads = parsed.body[0].body.filter(node => node.type === 'TOMLTable');
  const wrongHeads = heads.flatMap(head => headProblem(schema, head) ?? []);
  const problems: Problem[] = wrongHeads.map(({ problem }) => problem);
  const entries = new Map<string, Entry>();
  for (const found of entriesOf(parsed)) {
    // What stands below a wrong head would only say the same again.
    if (wrongHeads.some(({ path }) => path.every((name, n) => name === found.path[n]))) continue;
    const leaf = placeOf(schema, found.path);
    if (leaf.kind === 'section' && found.node.value.type === 'TOMLInlineTable') continue;
    const told = leaf.kind === 'value' ? check(text, leaf.schema, found) : [misplaced(text, schema, leaf, found)];
    if (Array.isArray(told)) problems.push(...told);
    else entries.set(found.path.join('.'), told);
  }
  if (problems.length === 0) {
    const whole = schema.safeParse(nested(entries));
    if (whole.success) return { value: whole.data, entries };
    problems.push(...whole.error.issues.map(issue => wholeProblem(issue, entries)));
  }
  return { problems: problems.sort((a, b) => a.line - b.line || a.column - b.column) };
}

/** All problems of a text, each on a line of its own. @param tried what can't be done, before their number @param next what to do */
export function brokenError(tried: string, problems: readonly Problem[], next: string): ShoalError {
  const lines = problems.slice(0, MAX_CONFIG_PROBLEMS).map(problemLine);
  const rest = problems.length - lines.length;
  // Names of files may look like lines of the list.
  const all = [...lines, ...(rest > 0 ? [`and ${rest} more`] : []), next].map(escaped);
  return new ShoalError(
    'usage',
    `${escaped(tried)} ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}\n  ${all.join('\n  ')}`,
  );
}

/** A problem as a line of a message. */
function problemLine({ line, column, key, what, next }: Problem): string {
  const about = key === '' ? '' : `${key}: `;
  return `line ${line}, column ${column}: ${about}${what}${next === undefined ? '' : `; ${next}`}`;
}

/** A key of a schema; `live` also where its section says so. */
export interface Known extends Meta {
  /** Section and key; `isSection` of a section. */
  readonly path: readonly string[];
  readonly isSection: boolean;
}

/** The sections and keys of a schema, in its order: each section before what is in it. */
export function knownOf(schema: z.ZodObject): Known[] {
  return knownBelow(schema, { path: [] });
}

function knownBelow(schema: z.ZodObject, above: Pick<Known, 'path' | 'live'>): Known[] {
  return Object.entries(schema.shape).flatMap(([name, raw]) => {
    const inner = bare(raw as z.ZodType);
    const live = above.live === true ? { live: above.live } : {};
    const here = { path: [...above.path, name], ...metaOf(inner), ...live };
    if (!(inner instanceof z.ZodObject)) return [{ ...here, isSection: false }];
    return [{ ...here, isSection: true }, ...knownBelow(inner, here)];
  });
}

/** The key that was most likely meant by `path`, if there is one near. */
export function nearestKey(known: readonly Known[], path: readonly string[]): string | undefined {
  const name = folded(path.at(-1) ?? '');
  const section = folded(path.slice(0, -1).join('.'));
  const distances = known.map(({ path: other }) => {
    const far = distance(name, folded(other.at(-1) ?? ''));
    const isNear = far <= Math.max(1, Math.floor(name.length / 3));
    const apart = Math.min(3, distance(section, folded(other.slice(0, -1).join('.'))));
    return isNear ? 4 * far + apart : Infinity;
  });
  const least = Math.min(...distances);
  return least === Infinity ? undefined : known[distances.indexOf(least)]?.path.join('.');
}

/** A value as TOML: lists on one line, texts between double quotes. */
export function tomlOf(value: TomlValue): string {
  if (typeof value === 'string') return JSON.stringify(value).replaceAll('\u007f', '\\u007f');
  return typeof value === 'object' ? `[${value.map(tomlOf).join(', ')}]` : String(value);
}

/** The syntax tree of a text in TOML 1.0, or what is wrong with it. A mark of byte order at its beginning is a space. */
export function parseConfig(text: string): AST.TOMLProgram | Problem {
  try {
    return parseTOML(text.replace(/^\ufeff/, ' '), { tomlVersion: '1.0' });
  } catch (error) {
    if (error instanceof ParseError) return syntaxProblem(text, error);
    // The parser calls itself for each level.
    if (error instanceof RangeError) return { line: 1, column: 1, key: '', what: 'it is nested too deeply' };
    throw error;
  }
}

/** A key with its value in a text, at the place that its sections and dots make. */
export interface Found {
  readonly path: readonly string[];
  readonly node: AST.TOMLKeyValue;
  /** Stands on lines of its own, and is or holds `node`. */
  readonly outer: AST.TOMLKeyValue;
}

/** All of a text, in its order; an inline table is followed by what is in it. */
export function entriesOf(program: AST.TOMLProgram): Found[] {
  const of = (node: AST.TOMLKeyValue, section: readonly string[], outer = node): Found[] => {
    const path = [...section, ...namesOf(node.key)];
    const { value } = node;
    const inner = value.type === 'TOMLInlineTable' && path.length <= MAX_CONFIG_DEPTH ? value.body : [];
    return [{ path, node, outer }, ...inner.flatMap(one => of(one, path, outer))];
  };
  return program.body[0].body.flatMap(node => {
    if (node.type === 'TOMLKeyValue') return of(node, []);
    return node.kind === 'array' ? [] : node.body.flatMap(one => of(one, namesOf(node.key)));
  });
}

export function namesOf(key: AST.TOMLKey): string[] {
  return key.keys.map(part => (part.type === 'TOMLBare' ? part.name : part.value));
}

type Place =
  | { readonly kind: 'section' }
  | { readonly kind: 'value'; readonly schema: z.ZodType }
  | { readonly kind: 'unknown' }
  /** It would be in a value. */
  | { readonly kind: 'inside'; readonly path: readonly string[] };

function placeOf(schema: z.ZodObject, path: readonly string[]): Place {
  let at: z.ZodType = schema;
  for (const [n, name] of path.entries()) {
    if (!(at instanceof z.ZodObject)) return { kind: 'inside', path: path.slice(0, n) };
    if (!Object.hasOwn(at.shape, name)) return { kind: 'unknown' };
    at = bare(at.shape[name] as z.ZodType);
  }
  return at instanceof z.ZodObject ? { kind: 'section' } : { kind: 'value', schema: at };
}

/** Without what makes it optional, or says what holds without it. */
function bare(schema: z.ZodType): z.ZodType {
  const isWrapped = schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault;
  return isWrapped ? bare(schema.unwrap() as z.ZodType) : schema;
}

function metaOf(schema: z.ZodType): Meta {
  return { description: '', ...(schema.meta() as Partial<Meta> | undefined) };
}

/** The checked entry, or what is wrong with it. */
function check(text: string, schema: z.ZodType, { path, node }: Found): Entry | Problem[] {
  const given = plain(node.value);
  const parsed = schema.safeParse(given);
  if (parsed.success) return { given: given as TomlValue, value: parsed.data, line: node.loc.start.line };
  const { expects, example } = metaOf(schema);
  return parsed.error.issues.map(issue => {
    const [index] = issue.path;
    const element =
      node.value.type === 'TOMLArray' && typeof index === 'number' ? node.value.elements[index] : undefined;
    const at = element ?? node.value;
    const isOurs = issue.code === 'custom' || expects === undefined;
    const relation = element === undefined ? 'is not' : 'has no place in';
    const what = isOurs ? issue.message : `${sourceOf(text, at)} ${relation} ${expects}`;
    const next = isOurs || example === undefined ? {} : { next: exampleOf(path, example) };
    return { ...positionOf(at), key: shown(path), what, ...next };
  });
}

/** A value as the schema takes it; what no schema knows (dates, tables, lists in lists) becomes null, which none takes. */
function plain(node: AST.TOMLContentNode): unknown {
  if (node.type === 'TOMLArray') return node.elements.map(one => (one.type === 'TOMLValue' ? plain(one) : null));
  if (node.type === 'TOMLInlineTable' || node.value instanceof Date) return null;
  if (node.kind === 'integer' && !Number.isSafeInteger(node.value)) return null;
  return node.value;
}

function misplaced(text: string, schema: z.ZodObject, place: Place, { path, node }: Found): Problem {
  if (place.kind === 'section') {
    const what = `it is a section, and no key that could be ${sourceOf(text, node.value)}`;
    return { ...positionOf(node.key), key: shown(path), what, next: `write [${shown(path)}], and its keys below` };
  }
  return { ...positionOf(node.key), ...unknown(schema, place, path, false) };
}

/** What is wrong with the head of a section. */
function headProblem(
  schema: z.ZodObject,
  { key, kind }: AST.TOMLTable,
): { path: readonly string[]; problem: Problem } | undefined {
  const path = namesOf(key);
  const place = placeOf(schema, path);
  const told = (what: string, next: string): { path: readonly string[]; problem: Problem } => ({
    path,
    problem: { ...positionOf(key), key: shown(path), what, next },
  });
  if (place.kind === 'value') {
    const [name, section] = [shown(path.slice(-1)), shown(path.slice(0, -1))];
    return told('it is a key, and no section', `write ${name} = …${section === '' ? '' : ` below [${section}]`}`);
  }
  if (place.kind !== 'section') return { path, problem: { ...positionOf(key), ...unknown(schema, place, path, true) } };
  if (kind === 'standard') return undefined;
  return told('it is one section, and no list of them', `write [${shown(path)}], once`);
}

function unknown(
  schema: z.ZodObject,
  place: Place,
  path: readonly string[],
  isSection: boolean,
): Pick<Problem, 'key' | 'what'> & { next?: string } {
  const key = shown(path);
  if (place.kind === 'inside') return { key, what: `${shown(place.path)} is a key, and has none below it` };
  const known = knownOf(schema);
  const near = nearestKey(isSection ? known.filter(one => one.isSection) : known, path);
  const what = `this ${isSection ? 'section' : 'key'} is not known`;
  const sections = known.filter(one => one.isSection).map(one => `[${one.path.join('.')}]`);
  if (near !== undefined) return { key, what, next: `did you mean ${near}?` };
  return isSection && sections.length > 0 ? { key, what, next: `there are ${sections.join(', ')}` } : { key, what };
}

/** What is wrong with values that are right each by itself. */
function wholeProblem(issue: z.core.$ZodIssue, entries: ReadonlyMap<string, Entry>): Problem {
  const key = issue.path.join('.');
  return { line: entries.get(key)?.line ?? 1, column: 1, key, what: issue.message };
}

function nested(entries: ReadonlyMap<string, Entry>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [key, { given }] of entries) {
    const path = key.split('.');
    const name = path.pop() ?? '';
    // All of these are names of the schema.
    let at = root;
    for (const section of path) at = (at[section] ??= {}) as Record<string, unknown>;
    at[name] = given;
  }
  return root;
}

function positionOf({ loc: { start } }: AST.TOMLNode): { line: number; column: number } {
  return { line: start.line, column: start.column + 1 };
}

const SHOWN_CHARS = 60;

/** What stands in a text, on one line. */
function sourceOf(text: string, { range: [start, end] }: AST.TOMLNode): string {
  const source = text.slice(start, Math.min(end, start + SHOWN_CHARS)).replaceAll(/\s+/g, ' ');
  return escaped(end > start + SHOWN_CHARS ? `${source}…` : source);
}

/** A key as it would stand in a text, and not too long. */
function shown(path: readonly string[]): string {
  const names = path.slice(0, MAX_CONFIG_DEPTH).map(name => (/^[\w-]{1,64}$/.test(name) ? name : quoted(name)));
  return path.length > MAX_CONFIG_DEPTH ? `${names.join('.')}.…` : names.join('.');
}

function folded(name: string): string {
  return name.slice(0, SHOWN_CHARS).toLowerCase().replaceAll('_', '-');
}

/** How many characters have to be added, left out, changed, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array<number>(b.length).fill(0)]);
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  rows[0] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const isSwap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? at(i - 2, j - 2) + 1 : Infinity;
      const changed = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i]![j] = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, changed, swapped);
    }
  }
  return at(a.length, b.length);
}

const NO_VALUE = 'there is no value behind "="';
const NONE = ' is not a value';

/** What the parser says, in our words. */
const SYNTAX: Readonly<Record<string, readonly [what: string, next?: string]>> = {
  'Unterminated string constant': ['a text is not closed', 'put a quotation mark at its end'],
  'Unterminated table-key': ['the head of a section is not closed', 'write it like [section]'],
  'Unterminated array': ['a list is not closed', 'put a ] at its end'],
  'Unterminated inline table': ['a table is not closed', 'put a } at its end'],
  'Empty bare keys are not allowed': ['a key is missing', 'write key = value'],
  'Must be a newline': [
    'something stands behind the value',
    'put texts between quotation marks, and the next key on a new line',
  ],
  'Expected equal (=) token': ['there is no "=" behind the key', 'write key = value'],
  'Unspecified values are invalid': [NO_VALUE],
  'Expected comma (,) token': ['a comma is missing in a list'],
  'Unexpected character': ['this character has no place here'],
  'Unexpected token': ['this has no place here', 'write key = value'],
  'Control characters (codes < 0x1f and 0x7f) are not allowed': ['there is a control character'],
  'The key, equals sign, and value must be on the same line': [
    'key, "=" and value, or the head of a section, do not stand on one line',
  ],
  'No newlines are allowed between the curly braces unless they are valid within a value': [
    'a table between { } takes one line',
    'write a [section] instead',
  ],
  'Underscores are allowed between digits': ['a number has an underscore where none may be'],
  'Unexpected spaces': ['there is a space where none may be'],
  'Three or more quotes are not permitted': ['a text has too many quotation marks'],
  'Unexpected invalid date': ['there is no such date'],
  'Unexpected invalid time': ['there is no such time'],
  'Leading zeros are not allowed': ['a number begins with 0', 'leave that out, or put it between quotation marks'],
  'Trailing comma is not permitted in an inline table': ['a table between { } ends with a comma'],
  'Invalid character in escape sequence': [
    'a text has a "\\" that begins nothing',
    'write \\\\, or put the text between single quotation marks',
  ],
  'Consecutive dots are not permitted in keys': ['a key has two dots in a row'],
  'Keys cannot end with a dot': ['a key ends with a dot'],
  'Keys cannot start with a dot': ['a key begins with a dot'],
};
const TWICE = 'Defining a key multiple times is invalid';

/** Where it is, and which key stands there. The parser often notices only on the next line that something is missing. */
function syntaxProblem(text: string, { index, message }: ParseError): Problem {
  const start = lineStart(text, index);
  const isEarlier = message !== TWICE && index === start && index > 0 && !parses(text.slice(0, start));
  const at = isEarlier ? Math.max(0, text.slice(0, start).trimEnd().length - 1) : index;
  const line = text.slice(lineStart(text, at), text.length).split(/\r?\n/, 1)[0] ?? '';
  const lines = text.slice(0, at).split('\n');
  const [, name, value] = /^\s*([\w."'-]+?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
  const section = lines.toReversed().flatMap(one => /^\s*\[\s*([^[\]]+?)\s*\]/.exec(one)?.[1] ?? [])[0];
  const key =
    name === undefined
      ? ''
      : [...(section === undefined ? [] : [section]), name].map(part => escaped(part.slice(0, SHOWN_CHARS))).join('.');
  const found = { line: lines.length, column: at - lineStart(text, at) + 1, key };
  if (message === TWICE) return { ...found, ...twice(text, lineStart(text, at), line) };
  if (value === '') return { ...found, what: NO_VALUE };
  if (value?.startsWith('[') === true && !value.includes(']') && message.startsWith('Unexpected'))
    return { ...found, what: 'a list is not closed, or holds what is no value', next: 'put a ] at its end' };
  const isWord = value !== undefined && /^[^"'[{=][^=]*$/.test(value) && /^(Unexpected|Must be|Leading)/.test(message);
  if (isWord) {
    const next = `texts stand between quotation marks: ${escaped(name ?? '')} = ${quoted(value)}`;
    return { ...found, what: `${escaped(value.slice(0, SHOWN_CHARS))}${NONE}`, next };
  }
  const [what, next] = SYNTAX[message] ?? [escaped(message)];
  return { ...found, what, ...(next === undefined ? {} : { next }) };
}

/** A word without quotation marks where no text is expected is not helped by them; a value that is missing, by an example. */
function withExample(problem: Problem, schema: z.ZodObject): Problem {
  const known = knownOf(schema).find(({ path }) => path.join('.') === problem.key);
  const isHelped = problem.what === NO_VALUE || (problem.what.endsWith(NONE) && typeof known?.example !== 'string');
  if (known?.example === undefined || !isHelped) return problem;
  return { ...problem, next: exampleOf(known.path, known.example) };
}

function exampleOf(path: readonly string[], example: TomlValue): string {
  return `write it like ${path.at(-1) ?? ''} = ${tomlOf(example)}`;
}

/** A key or section that is there a second time. What stands before its line is sound. */
function twice(text: string, start: number, line: string): Pick<Problem, 'what' | 'next'> & { key?: string } {
  const before = tree(text.slice(0, start));
  const again = tree(line.trim());
  const [statement] = again?.body[0].body ?? [];
  if (before === undefined || statement === undefined)
    return { what: 'it stands here a second time', next: 'leave one of them' };
  const head = statement.type === 'TOMLTable';
  const last = before.body[0].body.at(-1);
  const path = [...(!head && last?.type === 'TOMLTable' ? namesOf(last.key) : []), ...namesOf(statement.key)];
  const isSame = (other: readonly string[]): boolean => other.join('\0') === path.join('\0');
  const heads = before.body[0].body.filter(one => one.type === 'TOMLTable' && isSame(namesOf(one.key)));
  const earlier = heads[0] ?? entriesOf(before).find(found => isSame(found.path))?.node;
  const where = earlier === undefined ? '' : `, after line ${earlier.loc.start.line}`;
  return { key: shown(path), what: `it stands here a second time${where}`, next: 'leave one of them' };
}

function tree(text: string): AST.TOMLProgram | undefined {
  try {
    return parseTOML(text.replace(/^\ufeff/, ' '), { tomlVersion: '1.0' });
  } catch {
    return undefined;
  }
}

function parses(text: string): boolean {
  return tree(text) !== undefined;
}

function lineStart(text: string, index: number): number {
  return index === 0 ? 0 : text.lastIndexOf('\n', index - 1) + 1;
}
