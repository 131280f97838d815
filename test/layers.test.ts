/**
 * The directions of imports (docs/architecture.md, Layers), held over files. The tables below are the architecture;
 * `layerProblems` checks any set of files against them, so that planted mistakes can show that it would find real ones.
 */
import { expect } from 'chai';
import ts from 'typescript';
import { dependencies, importsOf, nodesOf, parse, readSources, type Import, type Sources } from './sources.ts';

const ADAPTERS = ['store', 'net', 'files', 'crypto'] as const;
const GROUND = ['errors', 'limits', 'parallel'] as const;
const PURE = [...GROUND, 'format', 'protocol', 'ports'] as const;

interface Layer {
  readonly name: string;
  /** The first layer with a matching file or folder owns a file. */
  readonly files: RegExp;
  /** The layers whose files may be imported; files of one layer may always import each other. */
  readonly imports: readonly string[];
  /** Built-in modules of Node: none, those that do no I/O, or all (but see ONLY_THERE). */
  readonly builtins: 'none' | 'pure' | 'all';
  /** Names that code here may not use, because it is given what they stand for, or has to run elsewhere than in Node. */
  readonly without?: readonly string[];
}

const TIME_AND_CHANCE = ['Date.now', 'Math.random', 'performance', 'setTimeout', 'setInterval'];
const NODE_GLOBALS = ['process', 'Buffer', 'global', 'require', 'setImmediate', '__dirname', '__filename'];
const OUTSIDE = [...TIME_AND_CHANCE, ...NODE_GLOBALS, 'fetch', 'crypto', 'console'];

/** From the ground up. */
const LAYERS: readonly Layer[] = [
  { name: 'errors', files: /^src\/errors\.ts$/, imports: [], builtins: 'none', without: OUTSIDE },
  { name: 'limits', files: /^src\/limits\.ts$/, imports: [], builtins: 'none', without: OUTSIDE },
  { name: 'parallel', files: /^src\/parallel\.ts$/, imports: [], builtins: 'none', without: OUTSIDE },
  // Process-wide: memory of blocks. It keeps state, so what is pure does without it.
  { name: 'memory', files: /^src\/memory\.ts$/, imports: GROUND, builtins: 'none' },
  // Measures how long steps of adapters take, which is nothing that a test would move.
  { name: 'pace', files: /^src\/pace\.ts$/, imports: GROUND, builtins: 'none' },
  { name: 'format', files: /^src\/format\//, imports: GROUND, builtins: 'none', without: OUTSIDE },
  // Protocol and ports stand side by side: messages speak of what ports describe, ports of ranges. Ports are types only.
  {
    name: 'protocol',
    files: /^src\/protocol\//,
    imports: [...GROUND, 'format', 'ports'],
    builtins: 'none',
    without: OUTSIDE,
  },
  { name: 'ports', files: /^src\/(ports|catalog)\.ts$/, imports: ['format', 'protocol'], builtins: 'none' },
  // One limit for all that share it: the node makes it, and channels wait for it.
  { name: 'rate', files: /^src\/rate\.ts$/, imports: [...GROUND, 'ports'], builtins: 'none', without: OUTSIDE },
  // Adapters implement ports and know neither verbs nor each other.
  { name: 'store', files: /^src\/store\//, imports: [...PURE, 'memory', 'pace'], builtins: 'all' },
  { name: 'net', files: /^src\/net\//, imports: [...PURE, 'memory', 'rate'], builtins: 'all' },
  { name: 'files', files: /^src\/files\//, imports: [...PURE, 'pace'], builtins: 'all' },
  { name: 'crypto', files: /^src\/crypto\//, imports: [...PURE, 'memory', 'pace'], builtins: 'all' },
  // The real clock, and what the package says of itself: adapters too small for a folder.
  { name: 'system', files: /^src\/(clock|version)\.ts$/, imports: ['ports'], builtins: 'all' },
  // The home composes stores, the node verbs and all adapters; index.ts says what of all this is public.
  {
    name: 'node',
    files: /^src\/(node|networks|home|records|service|relays|carrying|identities|backup|restore|grants)\.ts$/,
    imports: [...PURE, ...ADAPTERS, 'memory', 'pace', 'rate', 'system', 'verbs'],
    builtins: 'all',
  },
  { name: 'index', files: /^src\/index\.ts$/, imports: [...PURE, 'verbs', 'node', 'daemon'], builtins: 'none' },
  // The configuration of any program, the relay's too: text to values, and back. Not a verb, and nothing of this is for browsers.
  {
    name: 'config',
    files: /^src\/config(-edit)?\.ts$/,
    imports: [...GROUND, 'format'],
    builtins: 'none',
    without: OUTSIDE,
  },
  // The one file that programs change for their users, by the locks and folders that all files are written with.
  {
    name: 'config-file',
    files: /^src\/config-file\.ts$/,
    imports: [...GROUND, 'format', 'ports', 'files'],
    builtins: 'all',
  },
  // Every other file right below src/ is a verb: it takes ports, and knows no adapter.
  {
    name: 'verbs',
    files: /^src\/[^/]+\.ts$/,
    imports: [...PURE, 'memory'],
    builtins: 'pure',
    without: TIME_AND_CHANCE,
  },
  {
    name: 'daemon',
    files: /^src\/daemon\//,
    imports: [...PURE, ...ADAPTERS, 'system', 'verbs', 'node'],
    builtins: 'all',
  },
  // Programs. Nothing imports them.
  {
    name: 'cli',
    files: /^cli\//,
    imports: [...PURE, 'config', 'config-file', 'system', 'verbs', 'node', 'daemon'],
    builtins: 'all',
  },
  {
    name: 'relay',
    files: /^relay\//,
    imports: [...PURE, 'config', 'config-file', 'system', 'verbs', 'store', 'net', 'files', 'crypto'],
    builtins: 'all',
  },
  {
    name: 'web',
    files: /^web\//,
    imports: [...PURE, 'verbs', 'net', 'crypto'],
    builtins: 'none',
    without: NODE_GLOBALS,
  },
];

interface Exception {
  readonly from: RegExp;
  readonly to: RegExp;
  readonly why: string;
}

const EXCEPTIONS: readonly Exception[] = [
  {
    from: /^src\/store\//,
    to: /^src\/files\/(directory|handles|private|sqlite)\.ts$/,
    why: 'stores write below a folder handle that nobody can lead elsewhere; there is one implementation of that, of holding few of them open, and of files for their user only',
  },
  {
    from: /^src\/(store|crypto)\//,
    to: /^src\/files\/names\.ts$/,
    why: 'names of files are escaped in the messages of all that touch files',
  },
];

const PURE_BUILTINS = ['node:assert', 'node:path', 'node:util', 'node:events', 'node:buffer'];

/** Where a package or module of Node may be imported. What is not listed may be imported nowhere, modules of Node anywhere. */
const ONLY_THERE: readonly [name: RegExp, files: RegExp][] = [
  [/^multiformats$/, /^src\/(format|protocol|net|store)\//],
  [/^uint8arrays$/, /^src\/(format|protocol|net)\/|^src\/[^/]+\.ts$/],
  // A relay's own tokens are of no concern to anyone else.
  [/^@noble\/(hashes|curves|ciphers)$/, /^src\/(format|protocol)\/|^relay\/tokens\.ts$/],
  [/^@ipld\/dag-cbor$/, /^src\/format\/canonical\.ts$/],
  [/^@ipld\/car$/, /^src\/format\/car\.ts$/],
  // Grants, and both halves of whom they are made for.
  [/^age-encryption$/, /^src\/format\/(grant-seal|recipient|identity|age|backup-seal)\.ts$/],
  [/^@multiformats\/multiaddr$/, /^src\/(format\/hint\.ts$|net\/)/],
  // Messages of libp2p's own protocols, which are protobufs.
  [/^protons-runtime$/, /^src\/net\/hop-messages\.ts$/],
  [/^(libp2p|uint8arraylist|@libp2p\/.+|@chainsafe\/.+|datastore-level)$/, /^src\/net\//],
  // The one message of ours that is in Protocol Buffers: a relay's answer.
  [/^protons-runtime$/, /^src\/net\//],
  [/^piscina$/, /^src\/crypto\/pool(-worker)?\.ts$/],
  [/^picomatch$/, /^src\/files\/globs\.ts$/],
  [/^fastify$/, /^(src\/daemon|relay\/http)\//],
  [/^zod$/, /^src\/(daemon\/|config(-edit)?\.ts$)|^(cli|relay)\/config\.ts$/],
  [/^toml-eslint-parser$/, /^src\/config(-edit)?\.ts$/],
  [/^prom-client$/, /^relay\/metrics\.ts$/],
  [/^pino$/, /^relay\/log\.ts$/],
  [/^env-paths$/, /^(src\/daemon|cli|relay)\//],
  [/^commander$/, /^(cli|relay)\//],
  [/^uqr$/, /^cli\/qr\.ts$/],
  [/^node:sqlite$/, /^src\/files\/sqlite\.ts$/],
  [/^node:worker_threads$/, /^src\/crypto\//],
  // Routers are asked over HTTP, too; WebSockets begin with it; and relays are asked what they tell of themselves, which they serve.
  [/^node:http$/, /^src\/(daemon\/|net\/(upnp|relay-info|websockets)\.ts$)|^relay\/(http\/|commands\/status\.ts$)/],
  [/^node:https$/, /^src\/(daemon\/|net\/relay-info\.ts$)|^relay\/http\//],
  [/^node:http2$/, /^src\/daemon\//],
  [/^node:(net|tls)$/, /^(src\/(net|daemon)|relay\/http)\/|^relay\/config\.ts$/],
  // What a relay announces by name it announces by address, too.
  [/^node:(dgram|dns)(\/promises)?$/, /^src\/(net|daemon)\/|^relay\/server\.ts$/],
];

/**
 * That a relay can't read files is visible in its imports: none of this is reached from its program, over any number of steps.
 * Through the ports nothing is reached, which hold types only.
 */
const RELAY_PROGRAM = /^relay\/main\.ts$/;
const NOT_FOR_RELAYS =
  /^src\/(format\/(keys|link|manifest|age|grant-seal|backup-seal|identity)\.ts$|crypto\/(node|pool)\.ts$|share\.ts$|open\.ts$|fetch\.ts$|node\.ts$)/;

/** What is wrong with a set of files, a sentence each. */
function layerProblems(sources: Sources): string[] {
  const files = [...sources].map(([path, text]) => {
    const tree = parse(path, text);
    return { path, tree, imports: importsOf(path, tree) };
  });
  const graph = new Map(files.map(({ path, imports }) => [path, imports.map(({ target }) => target)]));
  return [
    ...files.flatMap(({ path, imports }) => imports.flatMap(one => importProblems(path, one, sources))),
    ...files.flatMap(({ path, tree }) => contentProblems(path, tree)),
    ...cycles(graph).map(cycle => `${cycle.join(' → ')} is a cycle`),
    ...relayProblems(graph),
  ];
}

function layerOf(path: string): Layer | undefined {
  return LAYERS.find(layer => layer.files.test(path));
}

function importProblems(path: string, { target }: Import, sources: Sources): string[] {
  const layer = layerOf(path);
  if (layer === undefined) return [`${path} belongs to no layer`];
  if (!/^(src|cli|relay|web)\//.test(target)) return packageProblems(path, target, layer);
  if (!sources.has(target)) return [`${path} imports ${target}, which is not there`];
  const other = layerOf(target);
  if (other === undefined || other.name === layer.name || layer.imports.includes(other.name)) return [];
  if (EXCEPTIONS.some(({ from, to }) => from.test(path) && to.test(target))) return [];
  return [`${path} imports ${target}: ${layer.name} may not import ${other.name}`];
}

function packageProblems(path: string, target: string, layer: Layer): string[] {
  const builtin = target.startsWith('node:');
  const name = builtin ? target : target.split('/', target.startsWith('@') ? 2 : 1).join('/');
  if (builtin && layer.builtins === 'none') return [`${path} imports ${name}: ${layer.name} does without Node`];
  if (builtin && layer.builtins === 'pure' && !PURE_BUILTINS.includes(name)) {
    return [`${path} imports ${name}: ${layer.name} do no I/O of their own`];
  }
  const places = ONLY_THERE.filter(([names]) => names.test(name));
  if (places.length === 0 ? builtin : places.some(([, there]) => there.test(path))) return [];
  return [`${path} imports ${name}, which has no place there`];
}

function contentProblems(path: string, tree: ts.SourceFile): string[] {
  const problems = (layerOf(path)?.without ?? [])
    .filter(name => uses(tree, name))
    .map(name => `${path} uses ${name}, which has no place there`);
  for (const node of nodesOf(tree)) {
    if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.ImportKeyword) continue;
    const [argument] = node.arguments;
    if (argument === undefined || !ts.isStringLiteralLike(argument)) problems.push(`${path} imports what it computes`);
  }
  const index = path === 'src/index.ts';
  const { statements } = tree;
  if (layerOf(path)?.name === 'ports' && !statements.every(isTypeOnly)) problems.push(`${path} holds more than types`);
  if (index && !statements.every(isReExport)) problems.push(`${path} holds more than exports`);
  if (!index && statements.length > 0 && statements.every(isReExport)) problems.push(`${path} only re-exports`);
  return problems;
}

/** Whether a file uses a global, or a member of one (`Date.now`), as a value or as a type. */
function uses(tree: ts.SourceFile, name: string): boolean {
  const [object, member] = name.split('.');
  return nodesOf(tree).some(node => {
    if (!ts.isIdentifier(node) || node.text !== object) return false;
    const { parent } = node;
    if (member !== undefined) return ts.isPropertyAccessExpression(parent) && parent.name.text === member;
    const isName = 'name' in parent && parent.name === node;
    const isMember = ts.isQualifiedName(parent) && parent.right === node;
    return !isName && !isMember && !ts.isImportSpecifier(parent);
  });
}

function isTypeOnly(statement: ts.Statement): boolean {
  if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) return true;
  if (ts.isImportDeclaration(statement)) return statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
  return ts.isExportDeclaration(statement) && statement.isTypeOnly;
}

function isReExport(statement: ts.Statement): boolean {
  return ts.isExportDeclaration(statement) || ts.isImportDeclaration(statement);
}

/** Cycles among files, each once, starting at the file that is reached first. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    const seen = way.indexOf(path);
    if (seen >= 0) found.push([...way.slice(seen), path]);
    if (seen >= 0 || done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...way, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

function relayProblems(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const reached = [...graph.keys()].filter(path => RELAY_PROGRAM.test(path));
  for (const path of reached) {
    if (layerOf(path)?.name === 'ports') continue;
    for (const target of graph.get(path) ?? []) if (!reached.includes(target)) reached.push(target);
  }
  return reached.filter(path => NOT_FOR_RELAYS.test(path)).map(path => `the relay's server reaches ${path}`);
}

describe('layers', () => {
  /** Files by path, besides some that most examples import. */
  const tree = (files: Record<string, string>): Sources =>
    new Map(
      Object.entries({
        'src/errors.ts': 'export class ShoalError extends Error {}',
        'src/format/keys.ts': `import '../errors.ts'; export const key = 1;`,
        'src/ports.ts': 'export interface Network { readonly self: string }',
        'src/net/node.ts': `import type { Network } from '../ports.ts'; export const network = (): Network => ({ self: '' });`,
        'src/share.ts': `import type { Network } from './ports.ts'; export const share = (network: Network) => network.self;`,
        'src/node.ts': `import { network } from './net/node.ts'; import { share } from './share.ts'; share(network());`,
        ...files,
      }),
    );

  it('accepts the example that the planted mistakes below are added to', () => {
    expect(layerProblems(tree({}))).to.deep.equal([]);
  });

  const planted: Record<string, [files: Record<string, string>, problem: string]> = {
    'the ground that imports anything': [
      { 'src/limits.ts': `import './format/keys.ts'; export const x = 1;` },
      'src/limits.ts imports src/format/keys.ts: limits may not import format',
    ],
    'format that imports the protocol': [
      {
        'src/format/a.ts': `export * as b from '../protocol/b.ts'; const a = 1;`,
        'src/protocol/b.ts': 'export const b = 1;',
      },
      'src/format/a.ts imports src/protocol/b.ts: format may not import protocol',
    ],
    'a verb that imports an adapter': [
      { 'src/fetch.ts': `import { network } from './net/node.ts'; network();` },
      'src/fetch.ts imports src/net/node.ts: verbs may not import net',
    ],
    'a verb that imports an adapter as a type only': [
      { 'src/fetch.ts': `import type { network } from './net/node.ts'; export type N = typeof network;` },
      'src/fetch.ts imports src/net/node.ts: verbs may not import net',
    ],
    'a verb that imports an adapter in the midst of a type': [
      { 'src/fetch.ts': `export type N = typeof import('./net/node.ts');` },
      'src/fetch.ts imports src/net/node.ts: verbs may not import net',
    ],
    'a verb that imports an adapter when it runs': [
      { 'src/fetch.ts': `export const load = () => import('./net/node.ts');` },
      'src/fetch.ts imports src/net/node.ts: verbs may not import net',
    ],
    'an adapter that starts a worker of another one': [
      { 'src/crypto/a.ts': `new URL('../net/node.ts', import.meta.url);` },
      'src/crypto/a.ts imports src/net/node.ts: crypto may not import net',
    ],
    'an adapter that imports a verb': [
      { 'src/net/a.ts': `import { share } from '../share.ts'; share;` },
      'src/net/a.ts imports src/share.ts: net may not import verbs',
    ],
    'an adapter that imports another one': [
      { 'src/store/a.ts': `import { network } from '../net/node.ts'; network;` },
      'src/store/a.ts imports src/net/node.ts: store may not import net',
    ],
    'a verb that imports what composes it': [
      { 'src/fetch.ts': `import './node.ts'; export const x = 1;` },
      'src/fetch.ts imports src/node.ts: verbs may not import node',
    ],
    'the node that imports the daemon': [
      { 'src/daemon/api.ts': 'export const x = 1;', 'src/node.ts': `import './daemon/api.ts'; export const x = 1;` },
      'src/node.ts imports src/daemon/api.ts: node may not import daemon',
    ],
    'anything that imports the command line': [
      { 'cli/main.ts': 'export const x = 1;', 'src/daemon/api.ts': `import '../../cli/main.ts'; export const x = 1;` },
      'src/daemon/api.ts imports cli/main.ts: daemon may not import cli',
    ],
    'a command that imports an adapter': [
      { 'cli/main.ts': `import { network } from '../src/net/node.ts'; network();` },
      'cli/main.ts imports src/net/node.ts: cli may not import net',
    ],
    'format that imports a module of Node': [
      { 'src/format/a.ts': `import { readFileSync } from 'node:fs'; readFileSync;` },
      'src/format/a.ts imports node:fs: format does without Node',
    ],
    'format that uses a global of Node': [
      { 'src/format/a.ts': `export const a = (b: Uint8Array) => Buffer.from(b);` },
      'src/format/a.ts uses Buffer, which has no place there',
    ],
    'the protocol that looks at the clock': [
      { 'src/protocol/a.ts': `export const a = () => Date.now();` },
      'src/protocol/a.ts uses Date.now, which has no place there',
    ],
    'a verb that waits without the clock that it is given': [
      { 'src/fetch.ts': `export const wait = (f: () => void) => setTimeout(f, 1);` },
      'src/fetch.ts uses setTimeout, which has no place there',
    ],
    'a verb that does I/O': [
      { 'src/fetch.ts': `import { open } from 'node:fs/promises'; open;` },
      'src/fetch.ts imports node:fs/promises: verbs do no I/O of their own',
    ],
    'a package out of its place': [
      { 'src/daemon/a.ts': `export const load = () => import('@libp2p/tcp');` },
      'src/daemon/a.ts imports @libp2p/tcp, which has no place there',
    ],
    'a package that has no place yet': [
      { 'src/net/a.ts': `import pad from 'left-pad/index.js'; pad;` },
      'src/net/a.ts imports left-pad, which has no place there',
    ],
    'SQLite out of its place, loaded by name': [
      { 'src/store/a.ts': `export const s = process.getBuiltinModule('node:sqlite');` },
      'src/store/a.ts imports node:sqlite, which has no place there',
    ],
    'an import that is computed': [
      { 'src/net/a.ts': `export const load = (name: string) => import(name);` },
      'src/net/a.ts imports what it computes',
    ],
    'an import of nothing': [
      { 'src/net/a.ts': `import './gone.ts'; export const x = 1;` },
      'src/net/a.ts imports src/net/gone.ts, which is not there',
    ],
    'ports that hold code': [{ 'src/ports.ts': 'export const x = 1;' }, 'src/ports.ts holds more than types'],
    'a barrel file': [{ 'src/net/index.ts': `export * from './node.ts';` }, 'src/net/index.ts only re-exports'],
    'an index that holds code': [{ 'src/index.ts': 'export const x = 1;' }, 'src/index.ts holds more than exports'],
    'a cycle, even of types': [
      {
        'src/net/a.ts': `import type { B } from './b.ts'; export type A = B;`,
        'src/net/b.ts': `import type { A } from './a.ts'; export type B = A;`,
      },
      'src/net/a.ts → src/net/b.ts → src/net/a.ts is a cycle',
    ],
    'a file outside the layers': [
      { 'src/utils/a.ts': `import '../errors.ts'; export const x = 1;` },
      'src/utils/a.ts belongs to no layer',
    ],
    'a relay that could read files, by a detour': [
      {
        'relay/main.ts': `import './server.ts'; export const x = 1;`,
        'relay/server.ts': `import '../src/serve.ts'; export const x = 1;`,
        'src/serve.ts': `import './format/keys.ts'; export const x = 1;`,
      },
      "the relay's server reaches src/format/keys.ts",
    ],
  };
  for (const [what, [files, problem]] of Object.entries(planted)) {
    it(`finds ${what}`, () => {
      expect(layerProblems(tree(files))).to.deep.equal([problem]);
    });
  }

  it('allows the exceptions that are listed, in their direction only', () => {
    const files = {
      'src/files/directory.ts': 'export const x = 1;',
      'src/store/disk.ts': `import '../files/directory.ts'; export const x = 1;`,
    };
    expect(layerProblems(tree(files))).to.deep.equal([]);
    const reverse = {
      'src/store/disk.ts': 'export const x = 1;',
      'src/files/directory.ts': `import '../store/disk.ts'; export const x = 1;`,
    };
    expect(layerProblems(tree(reverse))).to.have.lengthOf(1);
  });

  it('lets a relay use ports, whatever types those speak of', () => {
    const files = {
      'relay/main.ts': `import type { Network } from '../src/ports.ts'; export type N = Network;`,
      'src/ports.ts': `import type { key } from './format/keys.ts'; export type Network = typeof key;`,
    };
    expect(layerProblems(tree(files))).to.deep.equal([]);
    const direct = {
      ...files,
      'relay/main.ts': `import type { key } from '../src/format/keys.ts'; export type K = key;`,
    };
    expect(layerProblems(tree(direct))).to.deep.equal(["the relay's server reaches src/format/keys.ts"]);
  });

  it('does not take a property for a global', () => {
    const files = { 'src/format/a.ts': `export const a = (b: { process: number }) => ({ process: b.process });` };
    expect(layerProblems(tree(files))).to.deep.equal([]);
  });

  it('are kept by the sources', () => {
    expect(layerProblems(readSources('src', 'cli', 'relay', 'web'))).to.deep.equal([]);
  });

  it('import the packages that are installed with this one, each of them and no other', () => {
    const imported = [...readSources('src', 'cli', 'relay')].flatMap(([path, text]) =>
      importsOf(path, parse(path, text)).map(({ target }) => target),
    );
    const packages = imported
      .filter(target => !/^(src|cli|relay|node:)/.test(target))
      .map(target => target.split('/', target.startsWith('@') ? 2 : 1).join('/'));
    expect([...new Set(packages)]).to.have.members([...dependencies()]);
  });
});
