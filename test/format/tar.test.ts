import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTar, TAR_END, tarHeader, tarPadding } from '../../src/format/tar.ts';
import { failureOf } from './failure.ts';

const SECONDS = 1_790_000_000;

function file(name: string, content: string): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([tarHeader(name, bytes.length, SECONDS), bytes, tarPadding(bytes.length)]);
}

const FILES = { 'a.txt': 'one', empty: '', 'folder/b': 'x'.repeat(512), c: 'y'.repeat(1300) };
const ALL = Buffer.concat([...Object.entries(FILES).map(([name, content]) => file(name, content)), TAR_END]);

/** In pieces of this size. */
async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function read(bytes: Uint8Array, size = 100): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name, sizeBytes, content } of readTar(inPieces(bytes, size), 'tar')) {
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(piece);
    found[name] = Buffer.concat(pieces).toString();
    expect(found[name]).to.have.lengthOf(sizeBytes);
  }
  return found;
}

describe('A tar file', () => {
  it('is what other programs read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'shoal-tar-'));
    try {
      writeFileSync(join(folder, 'it.tar'), ALL);
      execFileSync('tar', ['xf', 'it.tar'], { cwd: folder });
      for (const [name, content] of Object.entries(FILES)) {
        expect(readFileSync(join(folder, name), 'utf8')).to.equal(content);
        expect(statSync(join(folder, name))).to.include({ mtimeMs: SECONDS * 1000 });
        expect(statSync(join(folder, name)).mode & 0o777).to.equal(0o600);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is read in pieces of any size', async () => {
    for (const size of [1, 7, 512, 513, 100_000]) expect(await read(ALL, size)).to.deep.equal(FILES);
  });

  it('is refused wherever it ends early, or goes on', async () => {
    for (let length = 0; length < ALL.length; length += 97)
      expect((await failureOf(() => read(ALL.subarray(0, length)))).code, String(length)).to.equal('malformed');
    expect((await failureOf(() => read(Buffer.concat([ALL, Buffer.of(0)])))).code).to.equal('malformed');
  });

  it('is refused with any other bit in its headers, padding or end', async () => {
    const bytes = Buffer.concat([file('name', 'content'), TAR_END]);
    for (let bit = 0; bit < 8 * bytes.length; bit += 5) {
      const at = Math.floor(bit / 8);
      // The name, the time and the content may be any; the checksum is not there for who wants to change them.
      if (at >= 512 && at < 519) continue;
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit % 8));
      expect((await failureOf(() => read(flipped))).code, `bit ${bit}`).to.equal('malformed');
    }
  });

  it('has no links, folders or names that are longer', async () => {
    for (const type of ['1', '2', '5', 'x', 'L']) {
      const bytes = Buffer.concat([file('name', 'content'), TAR_END]);
      const sum = bytes.subarray(0, 512).reduce((all, byte, n) => all + (n >= 148 && n < 156 ? 32 : byte), 0);
      bytes.write(type, 156);
      bytes.write(`${(sum - 48 + type.charCodeAt(0)).toString(8).padStart(6, '0')}\0 `, 148);
      expect((await failureOf(() => read(bytes))).message).to.match(/more than plain files/);
    }
    expect(() => tarHeader('n'.repeat(101), 0, 0)).to.throw(RangeError);
  });
});
