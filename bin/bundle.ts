/**
 * Bundles the programs that shoal.js and shoal-relay.js run into dist/program: `npm run build`. Resolving and reading some 900 small modules
 * takes most of the time of a short command; read as a few files they take a third of it (docs/decisions/0015).
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';

const PROJECT = join(import.meta.dirname, '..');
const OUT = join(PROJECT, 'dist/program');

rmSync(OUT, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: PROJECT,
  // Programs by their names in here; the last is what worker threads run.
  entryPoints: { main: 'cli/main.ts', relay: 'relay/main.ts', 'pool-worker': 'src/crypto/pool-worker.ts' },
  outdir: OUT,
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  platform: 'node',
  format: 'esm',
  target: 'node22.13',
  bundle: true,
  // What is imported lazily stays apart.
  splitting: true,
  metafile: true,
  // These find files of their own beside themselves: compiled parts and workers.
  external: ['classic-level', 'piscina'],
  // Packages in the older form of modules ask by require() for Node's own, and for what stays outside.
  banner: {
    js:
      'const require = name => process.getBuiltinModule(name) ?? ' +
      "process.getBuiltinModule('node:module').createRequire(import.meta.url)(name);",
  },
});
writeFileSync(join(OUT, 'THIRD-PARTY-NOTICES.txt'), noticesOf(metafile));

/** The licences of the packages whose code is in the bundle, which ask that they come with it. */
function noticesOf({ inputs }: Metafile): string {
  const folders = Object.keys(inputs).flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  return [...new Set(folders)]
    .sort()
    .map(folder => {
      const { name, version, license } = JSON.parse(readFileSync(join(PROJECT, folder, 'package.json'), 'utf8')) as {
        readonly [field in 'name' | 'version' | 'license']: string;
      };
      const files = readdirSync(join(PROJECT, folder)).filter(file => /^(licen[sc]e|copying|notice)/i.test(file));
      const texts = files.map(file => readFileSync(join(PROJECT, folder, file), 'utf8').trim());
      return [`${name} ${version}, ${license}`, ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`);
}
