/** What every adapter of the Directory port must do. */
import { AssertionError } from 'node:assert';
import { expect } from 'chai';
import type { ErrorCode } from '../../src/errors.ts';
import { isShoalError } from '../../src/errors.ts';
import type { Directory, OpenFile } from '../../src/ports.ts';

export interface DirectoryUnderTest {
  /** An empty folder. */
  readonly root: Directory;
  /** A symbolic link; `target` is relative to the folder of the link. */
  plantLink(path: string, target: string): Promise<void>;
  plantHardLink(path: string, existing: string): Promise<void>;
  /** Something that is neither file, folder nor link, and whose opening blocks. */
  plantPipe(path: string): Promise<void>;
  close(): Promise<void>;
}

const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** Expects `work` to fail with a ShoalError of the code. */
export async function failsWith(code: ErrorCode, work: Promise<unknown>): Promise<Error> {
  const error: unknown = await work.then(
    () => expect.fail(`expected a failure of code ${code}`),
    (reason: unknown) => reason,
  );
  if (!isShoalError(error, code)) throw error;
  return error;
}

async function put(folder: Directory, name: string, content: string): Promise<void> {
  const file = await folder.create(name);
  await file.write(text(content), 0);
  await file.close();
}

async function get(folder: Directory, name: string): Promise<string> {
  const file = await folder.open(name, 'read');
  const into = new Uint8Array(100);
  const length = await file.read(into, 0);
  await file.close();
  return new TextDecoder().decode(into.subarray(0, length));
}

async function names(folder: Directory): Promise<string[]> {
  return (await folder.list()).map(entry => entry.name).sort();
}

async function using<T>(opening: Promise<Directory>, work: (folder: Directory) => Promise<T>): Promise<T> {
  const folder = await opening;
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}

async function usingFile<T>(opening: Promise<OpenFile>, work: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await opening;
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

export function directoryContract(name: string, make: () => Promise<DirectoryUnderTest>): void {
  describe(`${name} as a Directory`, () => {
    let under: DirectoryUnderTest;
    let root: Directory;

    beforeEach(async () => {
      under = await make();
      root = under.root;
    });
    afterEach(() => under.close());

    it('keeps what was written at its place, and reads short only at the end', async () => {
      await usingFile(root.create('f'), async file => {
        await file.write(text('world'), 6);
        await file.write(text('hello '), 0);
        const into = new Uint8Array(20);
        expect(await file.read(into, 2)).to.equal(9);
        expect(await file.read(into, 11)).to.equal(0);
        expect(await file.read(into, 50)).to.equal(0);
        expect(await file.stat()).to.include({ kind: 'file', sizeBytes: 11, links: 1, ours: true });
        await file.sync();
      });
      expect(await get(root, 'f')).to.equal('hello world');
    });

    it('fills the gap before a write with zeros, and cuts and extends', async () => {
      await usingFile(root.create('f'), async file => {
        await file.write(text('x'), 3);
        await file.truncate(5);
        await file.setAttributes({ executable: true, modifiedSeconds: -5 });
      });
      expect(await get(root, 'f')).to.equal('\0\0\0x\0');
      await usingFile(root.open('f', 'write'), file => file.truncate(1));
      expect(await get(root, 'f')).to.equal('\0');
    });

    it('does not write through a file opened to read', async () => {
      await put(root, 'f', 'kept');
      await usingFile(root.open('f', 'read'), file => failsWith('io', file.write(text('lost'), 0)));
      expect(await get(root, 'f')).to.equal('kept');
    });

    it('creates only what does not exist', async () => {
      await put(root, 'f', 'first');
      await root.make('d');
      await under.plantLink('l', 'nowhere');
      await under.plantLink('lf', 'f');
      for (const taken of ['f', 'd', 'l', 'lf']) {
        await failsWith('exists', root.create(taken));
        await failsWith('exists', root.make(taken));
      }
      expect(await get(root, 'f')).to.equal('first');
      expect(await names(root)).to.deep.equal(['d', 'f', 'l', 'lf']);
    });

    it('says what stands at a name without following it', async () => {
      await put(root, 'f', 'four');
      await root.make('d');
      await under.plantLink('l', 'f');
      await under.plantPipe('p');
      expect(await root.stat('f')).to.include({ kind: 'file', sizeBytes: 4, links: 1 });
      expect(await root.stat('d')).to.include({ kind: 'directory' });
      expect(await root.stat('l')).to.include({ kind: 'link' });
      expect(await root.stat('p')).to.include({ kind: 'other' });
      expect(await root.stat('nothing')).to.equal(undefined);
      const kinds = Object.fromEntries((await root.list()).map(entry => [entry.name, entry.kind]));
      expect(kinds).to.deep.equal({ f: 'file', d: 'directory', l: 'link', p: 'other' });
      expect((await root.stat('f'))?.identity).not.to.equal((await root.stat('d'))?.identity);
    });

    it('follows no link, whatever it leads to', async () => {
      await put(root, 'f', 'untouched');
      await root.make('d');
      await using(root.enter('d'), folder => put(folder, 'inner', 'untouched'));
      await under.plantLink('lf', 'f');
      await under.plantLink('ld', 'd');
      for (const mode of ['read', 'write'] as const) {
        await failsWith('denied', root.open('lf', mode));
        await failsWith('denied', root.open('ld', mode));
      }
      await failsWith('denied', root.enter('ld'));
      await failsWith('denied', root.enter('lf'));
      await root.remove('ld');
      await root.remove('lf');
      expect(await names(root)).to.deep.equal(['d', 'f']);
      expect(await using(root.enter('d'), names)).to.deep.equal(['inner']);
    });

    it('opens neither a folder as a file nor a file as a folder', async () => {
      await put(root, 'f', 'x');
      await root.make('d');
      await failsWith('denied', root.open('d', 'read'));
      await failsWith('denied', root.open('d', 'write'));
      await failsWith('denied', root.enter('f'));
    });

    it('refuses a file that has another name', async () => {
      await put(root, 'f', 'x');
      await under.plantHardLink('other', 'f');
      expect((await root.stat('f'))?.links).to.equal(2);
      await failsWith('denied', root.open('f', 'write'));
      await failsWith('denied', root.open('f', 'read'));
      await root.remove('other');
      expect(await get(root, 'f')).to.equal('x');
    });

    it('does not hang at a pipe', async () => {
      await under.plantPipe('p');
      await failsWith('denied', root.open('p', 'read'));
      await failsWith('denied', root.open('p', 'write'));
      await failsWith('exists', root.create('p'));
      await root.remove('p');
      expect(await names(root)).to.deep.equal([]);
    });

    it('takes odd names as they are', async () => {
      const odd = [' ', '-rf', '~', '*', 'a\nb', 'ä', 'a\u0308', '\u202e', 'CON', 'x.', '…', '🐟', 'a\\b'];
      for (const each of odd) await put(root, each, each);
      expect(await names(root)).to.deep.equal(odd.toSorted());
      for (const each of odd) expect(await get(root, each)).to.equal(each);
    });

    it('takes names of one segment only', async () => {
      for (const wrong of ['', '.', '..', 'a/b', '/a', 'a\0b', '\ud800']) {
        const error: unknown = await root.create(wrong).catch((reason: unknown) => reason);
        expect(error, JSON.stringify(wrong)).to.be.instanceOf(AssertionError);
        const statError: unknown = await root.stat(wrong).catch((reason: unknown) => reason);
        expect(statError, JSON.stringify(wrong)).to.be.instanceOf(AssertionError);
      }
    });

    it('holds a folder by itself and not by its name', async () => {
      await root.make('d');
      await using(root.enter('d'), async held => {
        await root.move('d', root, 'moved');
        await root.make('d');
        // Where the folder can be held by its path only, the step is refused; nowhere does it act elsewhere.
        const failure: unknown = await put(held, 'f', 'x').catch((reason: unknown) => reason);
        expect(await using(root.enter('d'), names)).to.deep.equal([]);
        if (failure === undefined) expect(await using(root.enter('moved'), names)).to.deep.equal(['f']);
        else expect(isShoalError(failure, 'denied')).to.equal(true);
      });
    });

    it('moves a file, and never onto something unless told to replace', async () => {
      await put(root, 'f', 'new');
      await put(root, 'g', 'old');
      await root.make('d');
      await under.plantLink('l', 'g');
      await using(root.enter('d'), async d => {
        await failsWith('exists', root.move('f', root, 'g'));
        await failsWith('exists', root.move('f', root, 'd'));
        await failsWith('exists', root.move('f', root, 'l'));
        await failsWith('exists', root.move('f', root, 'd', true));
        await root.move('f', d, 'f');
        expect((await d.stat('f'))?.links).to.equal(1);
        await d.move('f', root, 'l', true);
        expect(await get(root, 'l')).to.equal('new');
        expect(await get(root, 'g')).to.equal('old');
        await root.move('l', root, 'g', true);
      });
      expect(await get(root, 'g')).to.equal('new');
      expect(await names(root)).to.deep.equal(['d', 'g']);
    });

    it('moves a folder, and never onto anything', async () => {
      await root.make('d');
      await using(root.enter('d'), d => put(d, 'inner', 'x'));
      await root.make('empty');
      await put(root, 'f', 'y');
      for (const replace of [false, true]) {
        await failsWith('exists', root.move('d', root, 'empty', replace));
        await failsWith('exists', root.move('d', root, 'f', replace));
      }
      await using(root.enter('empty'), async empty => {
        await root.move('d', empty, 'd');
        expect(await using(empty.enter('d'), d => get(d, 'inner'))).to.equal('x');
      });
      expect(await names(root)).to.deep.equal(['empty', 'f']);
    });

    it('fails to move what is not there', async () => {
      await failsWith('io', root.move('nothing', root, 'x'));
    });

    it('removes a folder with all in it, links and pipes too', async () => {
      await put(root, 'outside', 'kept');
      await root.make('d');
      await using(root.enter('d'), async d => {
        await d.make('e');
        await using(d.enter('e'), async e => {
          await put(e, 'f', 'x');
          await e.make('g');
        });
      });
      await under.plantLink('d/e/up', '../..');
      await under.plantLink('d/out', '../outside');
      await under.plantPipe('d/p');
      await root.remove('d');
      await root.remove('d');
      expect(await names(root)).to.deep.equal(['outside']);
      expect(await get(root, 'outside')).to.equal('kept');
    });

    it('removes a very deep folder', async () => {
      const depth = 300;
      let at = root;
      for (let level = 0; level < depth; level++) {
        await at.make('d');
        await put(at, 'f', 'x');
        const next = await at.enter('d');
        if (at !== root) await at.close();
        at = next;
      }
      await at.close();
      await root.remove('d');
      await root.remove('f');
      expect(await names(root)).to.deep.equal([]);
    });

    it('makes names, and everything below, durable', async () => {
      await root.sync();
      await root.syncAll();
      await root.make('d', { shared: true });
      await using(root.enter('d'), async d => {
        for (let i = 0; i < 20; i++) await put(d, `f${i}`, 'x');
      });
      await under.plantLink('l', 'd');
      await root.syncAll();
    });

    it('names the file in a message, with its control characters escaped', async () => {
      const error = await failsWith('io', root.open('gone\u001b[31m', 'read'));
      expect(error.message).to.contain('gone\\u{1b}[31m');
    });

    it('is not used after it was closed', async () => {
      await root.make('d');
      const d = await root.enter('d');
      await d.close();
      await d.close();
      const error: unknown = await d.create('f').catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(AssertionError);
    });
  });
}
