/** Taste as a test: leftovers, dead files, exports that nobody uses. Nobody has to remark on them in review. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { dependencies, importsOf, nodesOf, parse, readSources, type Sources } from './sources.ts';

const MAX_LINES = 600;

/** Where reading begins: what these files reach, directly or not, is alive. */
const PROGRAMS = ['src/index.ts', 'cli/main.ts', 'relay/main.ts'];

const LEFTOVERS: readonly [pattern: RegExp, what: string][] = [
  [/\b(TODO|FIXME|XXX)\b/, 'a note to oneself'],
  [/\b(describe|it|context|specify)\.only\b/, 'a test that runs alone'],
  [/@ts-(ignore|nocheck)/, 'a type check that is turned off'],
  [/eslint-disable(?!.*\s--\s\S.{9})/, 'a lint rule that is turned off without a reason (`-- reason`)'],
  [/@ts-expect-error(?!\W+\w.{9})/, 'an expected type error without a reason'],
  [/\bdebugger;/, 'a stop for the debugger'],
];

/** Lines that were meant to go. */
function leftovers(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) => {
      const found = LEFTOVERS.filter(([pattern]) => pattern.test(line));
      return found.map(([, what]) => `${path}:${index + 1} holds ${what}`);
    }),
  );
}

/** Files that are long enough to hold two things, or end in the middle of a line. */
function shapeless(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const lines = text.split('\n').length - 1;
    const problems = text.endsWith('\n') ? [] : [`${path} does not end with a newline`];
    return lines < MAX_LINES ? problems : [...problems, `${path} has ${lines} lines: what is the second thing in it?`];
  });
}

/** What each file reaches by one step, and the names that it mentions. */
function survey(sources: Sources) {
  return new Map(
    [...sources].map(([path, text]) => {
      const tree = parse(path, text);
      const targets = new Set(importsOf(path, tree).map(({ target }) => target));
      const mentioned = nodesOf(tree).filter(ts.isIdentifier);
      return [path, { tree, targets, names: new Set(mentioned.map(({ text: name }) => name)) }];
    }),
  );
}

/** Files that no program reaches, not even by a worker. */
function deadFiles(sources: Sources): string[] {
  const files = survey(sources);
  const alive = new Set(PROGRAMS);
  for (const path of alive) for (const target of files.get(path)?.targets ?? []) alive.add(target);
  return [...sources.keys()]
    .filter(path => !alive.has(path) && !path.startsWith(COMPLETE))
    .map(path => `nothing reaches ${path}`);
}

/** The format is implemented as a whole, with the vectors as its users, also where no verb needs a part of it yet. */
const COMPLETE = 'src/format/';

/** Exported names of src/ that no other file of `sources` mentions and imports from there. */
function unusedExports(sources: Sources): string[] {
  const files = survey(sources);
  return [...files].flatMap(([path, { tree }]) => {
    if (!path.startsWith('src/') || PROGRAMS.includes(path) || path.startsWith(COMPLETE)) return [];
    const users = [...files.values()].filter(({ targets }) => targets.has(path));
    const unused = exportsOf(tree).filter(name => !users.some(({ names }) => names.has(name)));
    return unused.map(name => `nothing uses ${name} of ${path}`);
  });
}

/** Names that a file exports, but for types that its other exports speak of: who uses those, meets them. */
function exportsOf(tree: ts.SourceFile): string[] {
  const identifiers = nodesOf(tree).filter(ts.isIdentifier);
  return tree.statements.flatMap(statement => {
    const exported = ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.map(({ kind }) => kind);
    if (!exported || !exported.includes(ts.SyntaxKind.ExportKeyword)) return [];
    if (exported.includes(ts.SyntaxKind.DefaultKeyword)) return [];
    if (ts.isVariableStatement(statement)) {
      return statement.declarationList.declarations.flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : []));
    }
    if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) {
      const { text } = statement.name;
      return identifiers.filter(identifier => identifier.text === text).length > 1 ? [] : [text];
    }
    const named = ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement);
    return named && statement.name !== undefined ? [statement.name.text] : [];
  });
}

/** Where a document on dependencies and the list of them differ: each package is to have one row of a table, at its beginning. */
function wrongRows(text: string, packages: ReadonlySet<string>): string[] {
  const rows = [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = '']) => name);
  return [
    ...[...packages].filter(name => !rows.includes(name)).map(name => `${name} has no row`),
    ...rows.filter(name => !packages.has(name)).map(name => `${name} has a row and is no dependency`),
    ...rows.filter((name, index) => rows.indexOf(name) < index).map(name => `${name} has two rows`),
  ];
}

describe('tidiness', () => {
  const of = (files: Record<string, string>): Sources => new Map(Object.entries(files));

  it('finds leftovers, and accepts what has a reason', () => {
    const planted = [
      '// TODO: later',
      "describe.only('x', () => {});",
      '// @ts-ignore',
      '// eslint-disable-next-line no-console',
      '// @ts-expect-error',
    ];
    for (const line of planted) expect(leftovers(of({ 'src/a.ts': `${line}\n` })), line).to.have.lengthOf(1);
    const fine = [
      "// eslint-disable-next-line no-console -- the child's result",
      '// @ts-expect-error: a digest is not an id',
      'const only = 1;',
    ];
    expect(leftovers(of({ 'src/a.ts': fine.join('\n') }))).to.deep.equal([]);
  });

  it('finds files without an end or a limit', () => {
    expect(shapeless(of({ 'src/a.ts': 'x' }))).to.have.lengthOf(1);
    expect(shapeless(of({ 'src/a.ts': 'x\n'.repeat(MAX_LINES) }))).to.have.lengthOf(1);
    expect(shapeless(of({ 'src/a.ts': 'x\n'.repeat(MAX_LINES - 1) }))).to.deep.equal([]);
  });

  it('finds files that nothing reaches, and follows workers', () => {
    const files = {
      'cli/main.ts': `import('../src/a.ts');`,
      'src/a.ts': `import { extname } from 'node:path'; new URL(\`./worker\${extname(import.meta.url)}\`, import.meta.url);`,
      'src/worker.ts': 'export const x = 1;',
      'src/dead.ts': `import './a.ts';`,
    };
    expect(deadFiles(of(files))).to.deep.equal(['nothing reaches src/dead.ts']);
  });

  it('finds exports that nothing uses', () => {
    const files = {
      'src/a.ts': 'export function used() {} export const unused = 1; export interface Of {} export type All = Of[];',
      'src/b.ts': `import { used } from './a.ts'; const unusedToo = used;`,
      'src/c.ts': 'const unused = 1;',
    };
    expect(unusedExports(of(files))).to.deep.equal(['nothing uses unused of src/a.ts', 'nothing uses All of src/a.ts']);
  });

  it('finds dependencies that are not documented, and documented ones that are gone', () => {
    const rows = '| package | what for |\n| `a` | x |\n| `@b/c` | y |\n| `@b/c` | y |\n| see `d` | z |\n';
    expect(wrongRows(rows, new Set(['a', 'd']))).to.deep.equal([
      'd has no row',
      '@b/c has a row and is no dependency',
      '@b/c has a row and is no dependency',
      '@b/c has two rows',
    ]);
  });

  const own = readSources('src', 'cli', 'relay', 'web', 'bench');
  const complete = PROGRAMS.slice(0, 2).every(path => own.has(path));

  it('has no leftovers', () => {
    const tests = [...readSources('test')].filter(([path]) => path !== 'test/tidy.test.ts');
    expect(leftovers(new Map([...own, ...tests]))).to.deep.equal([]);
  });

  it('has files of one thing each', () => {
    expect(shapeless(readSources('src'))).to.deep.equal([]);
  });

  (complete ? it : it.skip)('has no file that nothing reaches', () => {
    expect(deadFiles(readSources('src', 'cli', 'relay'))).to.deep.equal([]);
  });

  (complete ? it : it.skip)('has no export that nothing uses', () => {
    expect(unusedExports(own)).to.deep.equal([]);
  });

  it('has a row of docs/dependencies.md for each dependency', () => {
    const text = readFileSync(new URL('../docs/dependencies.md', import.meta.url), 'utf8');
    expect(wrongRows(text, dependencies())).to.deep.equal([]);
  });
});
