/** Trees of files with everything that is odd and still fine, and what a tree is, for comparison. */
import { createCipheriv, createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Bytes that look random, always the same for a seed. */
export function noise(seed: number | string, length: number): Buffer {
  const key = createHash('sha256').update(`noise ${seed}`).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

export interface MadeFile {
  readonly bytes?: Uint8Array;
  readonly executable?: true;
  /** Unix seconds. */
  readonly modified?: number;
}

/** Makes a file and the folders above it. */
export async function makeFile(path: string, { bytes = new Uint8Array(), ...rest }: MadeFile = {}): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes, { mode: rest.executable === true ? 0o777 : 0o666 });
  if (rest.modified !== undefined) await utimes(path, new Date(), new Date(rest.modified * 1000));
  return path;
}

const NFC = 'caf\u00e9';
const NFD = 'cafe\u0301';
/** 60 folders, one in the other, 33 bytes each: deeper than any handle cache, still within a path's 4,096 bytes. */
const DEEP = Array.from({ length: 60 }, (_, n) => `${String(n).padStart(2, '0')}${'-'.repeat(30)}`).join('/');

const ODD_NAMES = [
  'a name with  spaces ',
  `it's "quoted" \`$HOME\` & <x> | y; z`,
  'fish \u{1f41f}\u{1f3fd}\u200d\u2640\ufe0f.txt',
  NFC,
  NFD,
  '-rf',
  '--output',
  '*?[a-z]{b,c}!(d)',
  'Case',
  'case',
  'CON',
  'trailing dot.',
  'colon:stream',
  '.hidden',
  '...',
  '\u202egnp.exe',
  'n'.repeat(255),
  '\u9b5a'.repeat(85),
  `${NFC} folder/${NFD}`,
  `${NFD} folder/${NFC}`,
  'Folder/x',
  'folder/X',
  `${DEEP}/bottom`,
];

/** Makes a folder of files whose names, sizes, dates and permissions are odd. */
export async function makeOddTree(folder: string): Promise<string> {
  for (const [n, name] of ODD_NAMES.entries()) {
    await makeFile(join(folder, name), { bytes: noise(name, 100 + n), modified: 1_700_000_000 + n });
  }
  await makeFile(join(folder, 'empty file'), { modified: 0 });
  await makeFile(join(folder, 'bin/run'), { bytes: noise('run', 50), executable: true, modified: 1 });
  await makeFile(join(folder, 'old'), { bytes: noise('old', 3), modified: -1_000_000_000 });
  await makeFile(join(folder, 'to come'), { bytes: noise('to come', 3), modified: 4_000_000_000 });
  await makeFile(join(folder, 'large'), { bytes: noise('large', 2_500_001), modified: 1_234_567_890 });
  await makeFile(join(folder, 'large too'), { bytes: noise('large too', 1_048_560), modified: 1_234_567_891 });
  await mkdir(join(folder, 'empty folder/within'), { recursive: true });
  return folder;
}

/** Makes a folder of some files of different sizes, of so many bytes together. */
export async function makePlainTree(folder: string, totalBytes: number, seed: number | string): Promise<string> {
  const parts = [0.31, 0.0001, 0.2, 0.17, 0, 0.22, 0.05];
  let left = totalBytes;
  for (const [n, part] of parts.entries()) {
    const size = Math.floor(totalBytes * part);
    left -= size;
    await makeFile(join(folder, `folder ${n % 3}`, `file ${n}`), { bytes: noise(`${seed} ${n}`, size), modified: n });
  }
  await makeFile(join(folder, 'rest'), { bytes: noise(`${seed} rest`, left), modified: 99 });
  return folder;
}

/** What is at a path: for each file its contents (as a hash), permissions and time in whole seconds. */
export async function treeAt(path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await look(path, '.', found);
  return found;
}

async function look(path: string, shown: string, found: Record<string, string>): Promise<void> {
  const stat = await lstat(path);
  const mode = (stat.mode & 0o7777).toString(8);
  if (stat.isDirectory()) {
    found[shown] = `folder ${mode}`;
    for (const name of await readdir(path)) await look(join(path, name), `${shown}/${name}`, found);
  } else if (stat.isFile()) {
    const hash = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    found[shown] = `${stat.size} bytes ${hash} ${mode} ${Math.floor(stat.mtimeMs / 1000)}`;
  } else {
    found[shown] = 'something else';
  }
}

/** Names in a folder that a fetch has left. */
export async function leftovers(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => name.startsWith('.shoal-'));
}
