/** The project's own files as the checks of layers and tidiness read them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';

/** Contents of source files by path, relative to the project's folder, with `/` between segments. */
export type Sources = ReadonlyMap<string, string>;

const PROJECT = join(import.meta.dirname, '..');

/** Every TypeScript file below `folders` (as far as those exist). */
export function readSources(...folders: string[]): Sources {
  const paths = folders.flatMap(folder => filesBelow(folder)).filter(path => path.endsWith('.ts'));
  return new Map(paths.map(path => [path, readFileSync(join(PROJECT, path), 'utf8')]));
}

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(join(PROJECT, folder), { withFileTypes: true }).flatMap(entry => {
      const path = `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesBelow(path) : [path];
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** The packages that package.json promises to whoever installs this one. */
export function dependencies(): ReadonlySet<string> {
  const manifest = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { dependencies: object };
  return new Set(Object.keys(manifest.dependencies));
}

/** A file as TypeScript's parser sees it. */
export function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
}

/** A node and every node below it. */
export function nodesOf(node: ts.Node): ts.Node[] {
  const nodes: ts.Node[] = [];
  const visit = (one: ts.Node) => {
    nodes.push(one);
    ts.forEachChild(one, visit);
  };
  visit(node);
  return nodes;
}

/** One place where a file names another or a package. */
export interface Import {
  /** As written, or as a project path where it is relative. */
  readonly target: string;
  /** Imports of types alone count like others: they couple as much. Workers are named by a URL. */
  readonly kind: 'import' | 'worker';
}

/** What a file imports: statically, dynamically, as types, as re-exports, as built-in modules and as workers. */
export function importsOf(path: string, file: ts.SourceFile): Import[] {
  const found: Import[] = [];
  for (const node of nodesOf(file)) {
    const [text, kind] = namedModule(node);
    if (text === undefined) continue;
    const target = text.startsWith('.') ? posix.join(posix.dirname(path), text) : text;
    found.push({ target, kind });
  }
  return found;
}

function namedModule(node: ts.Node): [string | undefined, Import['kind']] {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return [literal(node.moduleSpecifier), 'import'];
  if (ts.isImportTypeNode(node)) {
    return [ts.isLiteralTypeNode(node.argument) ? literal(node.argument.literal) : undefined, 'import'];
  }
  if (ts.isCallExpression(node)) {
    const called = node.expression.kind === ts.SyntaxKind.ImportKeyword ? 'import' : node.expression.getText();
    const loads = ['import', 'require', 'process.getBuiltinModule', 'import.meta.resolve'].includes(called);
    return [loads ? literal(node.arguments[0]) : undefined, 'import'];
  }
  if (ts.isNewExpression(node) && node.expression.getText() === 'URL') {
    const [relative, base] = node.arguments ?? [];
    if (relative === undefined || base?.getText() !== 'import.meta.url') return [undefined, 'worker'];
    return [workerPath(relative), 'worker'];
  }
  return [undefined, 'import'];
}

function literal(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

/** A worker's name ends as its maker's does, `.ts` or compiled: `worker${extname(import.meta.url)}`. */
function workerPath(node: ts.Expression): string | undefined {
  const text = literal(node) ?? (ts.isTemplateExpression(node) ? `${node.head.text}.ts` : undefined);
  return text?.startsWith('.') && text.endsWith('.ts') ? text : undefined;
}
