/** The file of a configuration, on a real file system. */
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { changeConfigFile, editConfigFile, readConfigFile, type Edit } from '../src/config-file.ts';
import type { ErrorCode } from '../src/errors.ts';
import { MAX_CONFIG_BYTES } from '../src/limits.ts';
import { failsWith as failsWithCode } from './contract/directory.ts';

describe('A configuration file', () => {
  let folder = '';
  let path = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-config-'));
    path = join(folder, 'config.toml');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const failsWith = async (code: ErrorCode, work: Promise<unknown>, pattern = /./): Promise<void> => {
    expect((await failsWithCode(code, work)).message).to.match(pattern);
  };
  const modeOf = async (file: string): Promise<string> => ((await stat(file)).mode & 0o777).toString(8);

  it('is there or not', async () => {
    expect(await readConfigFile(path)).to.equal(undefined);
    await writeFile(path, 'x = 1');
    expect(await readConfigFile(path)).to.equal('x = 1');
  });

  it('is refused where others may write to it, in any way', async () => {
    await writeFile(path, '');
    for (const mode of [0o620, 0o602, 0o666]) {
      await chmod(path, mode);
      await failsWith('denied', readConfigFile(path), /others may write to it; .*chmod go-w/);
      await failsWith(
        'denied',
        changeConfigFile(path, () => 'x'),
      );
    }
    await chmod(path, 0o644);
    expect(await readConfigFile(path)).to.equal('');
  });

  it('is refused where it is no text of a sensible size', async () => {
    await failsWith('usage', readConfigFile(folder), /it is not a file/);
    await writeFile(path, Buffer.of(0x61, 0xff));
    await failsWith('usage', readConfigFile(path), /it is not text in UTF-8/);
    await writeFile(path, 'x'.repeat(MAX_CONFIG_BYTES + 1));
    await failsWith('usage', readConfigFile(path), /it is longer than 65536 bytes/);
    await writeFile(path, 'x'.repeat(MAX_CONFIG_BYTES));
    expect(await readConfigFile(path)).to.have.lengthOf(MAX_CONFIG_BYTES);
  });

  it('is made for its user only, with its folder, and leaves nothing else', async () => {
    const deep = join(folder, 'a', 'config.toml');
    await changeConfigFile(deep, text => {
      expect(text).to.equal(undefined);
      return 'new';
    });
    expect(await readFile(deep, 'utf8')).to.equal('new');
    expect([await modeOf(deep), await modeOf(join(folder, 'a'))]).to.deep.equal(['600', '700']);
    expect(await readdir(join(folder, 'a'))).to.deep.equal(['config.toml']);
  });

  it('keeps its permissions when it is changed, and is another file then', async () => {
    await writeFile(path, 'old');
    await chmod(path, 0o640);
    const { ino } = await stat(path);
    await changeConfigFile(path, text => `${text}, new`);
    expect(await readFile(path, 'utf8')).to.equal('old, new');
    expect(await modeOf(path)).to.equal('640');
    expect((await stat(path)).ino).not.to.equal(ino);
    expect(await readdir(folder)).to.deep.equal(['config.toml']);
  });

  it('stays the file that it is where nothing changes, or the change fails', async () => {
    await changeConfigFile(path, () => undefined);
    expect(await readdir(folder)).to.deep.equal([]);
    await writeFile(path, 'old');
    const { ino } = await stat(path);
    await changeConfigFile(path, text => text);
    const failure = new Error('no');
    const failing = changeConfigFile(path, () => {
      throw failure;
    });
    expect(await failing.catch((error: unknown) => error)).to.equal(failure);
    expect((await stat(path)).ino).to.equal(ino);
    expect(await readdir(folder)).to.deep.equal(['config.toml']);
  });

  it('is changed where a link leads to, and the link stays', async () => {
    await mkdir(join(folder, 'dotfiles'));
    await symlink('dotfiles/shoal.toml', path);
    await failsWith(
      'denied',
      changeConfigFile(path, () => 'x'),
      /a link to what is not there/,
    );
    const target = join(folder, 'dotfiles', 'shoal.toml');
    await writeFile(target, 'old');
    await changeConfigFile(path, text => `${text}, new`);
    expect(await readlink(path)).to.equal('dotfiles/shoal.toml');
    expect(await readFile(target, 'utf8')).to.equal('old, new');
    expect(await readdir(join(folder, 'dotfiles'))).to.deep.equal(['shoal.toml']);
  });

  it('has every change of many that are made at once', async () => {
    const lines = Array.from({ length: 20 }, (_, n) => `line ${n}\n`);
    await Promise.all(lines.map(line => changeConfigFile(path, (text = '') => text + line)));
    const written = (await readFile(path, 'utf8')).split(/(?<=\n)/);
    expect(written.sort()).to.deep.equal(lines.sort());
    expect(await readdir(folder)).to.deep.equal(['config.toml']);
  });

  describe('that is edited', () => {
    const edit = (run: Edit['run'], others: Partial<Edit> = {}): Promise<boolean> =>
      editConfigFile(path, { template: 'template', anew: false, run, check: () => undefined, ...others });
    const type =
      (text: string): Edit['run'] =>
      draft =>
        writeFile(draft, text);
    const sees =
      (text: string): Edit['run'] =>
      async draft => {
        expect(await readFile(draft, 'utf8')).to.equal(text);
      };
    const refuse = (): never => {
      throw new Error('not right');
    };
    const messageOf = async (work: Promise<unknown>): Promise<string> =>
      await work.then(
        () => 'it was done',
        (error: unknown) => (error as Error).message,
      );

    it('begins with the template where there is none, also when nobody changes that', async () => {
      expect(await edit(sees('template'))).to.equal(true);
      expect(await readFile(path, 'utf8')).to.equal('template');
      expect(await edit(() => Promise.resolve())).to.equal(false);
      expect(await readdir(folder)).to.deep.equal(['config.toml']);
    });

    it('stays as it is where the text is not right, and the next edit goes on with that', async () => {
      await writeFile(path, 'old');
      let kept = '';
      const check: Edit['check'] = (text, draft) => {
        kept = draft;
        expect(text).to.equal('wrong');
        refuse();
      };
      expect(await messageOf(edit(type('wrong'), { check }))).to.equal('not right');
      expect(await readFile(path, 'utf8')).to.equal('old');
      expect(await readFile(kept, 'utf8')).to.equal('wrong');
      const goOn: Edit['run'] = async (draft, isLeft) => {
        expect([isLeft, await readFile(draft, 'utf8')]).to.deep.equal([true, 'wrong']);
        await writeFile(draft, 'right');
      };
      expect(await edit(goOn)).to.equal(true);
      expect(await readFile(path, 'utf8')).to.equal('right');
      expect(await readdir(folder)).to.deep.equal(['config.toml']);
    });

    it('begins anew where that is asked for', async () => {
      await writeFile(path, 'old');
      await messageOf(edit(type('wrong'), { check: refuse }));
      const look: Edit['run'] = async (draft, isLeft) => {
        expect([isLeft, await readFile(draft, 'utf8')]).to.deep.equal([false, 'old']);
      };
      expect(await edit(look, { anew: true })).to.equal(false);
      expect(await readdir(folder)).to.deep.equal(['config.toml']);
    });

    it('keeps what was typed when the editor fails, and nothing where nothing was', async () => {
      await writeFile(path, 'old');
      const crash: Edit['run'] = async draft => {
        await writeFile(draft, 'half');
        throw new Error('crashed');
      };
      expect(await messageOf(edit(refuse))).to.equal('not right');
      expect(await readdir(folder)).to.deep.equal(['config.toml']);
      expect(await messageOf(edit(crash))).to.equal('crashed');
      await edit(async (draft, isLeft) => {
        expect([isLeft, await readFile(draft, 'utf8')]).to.deep.equal([true, 'half']);
      });
      expect(await readFile(path, 'utf8')).to.equal('half');
    });

    it('takes an editor that saves by another file, and one that removes the text', async () => {
      await writeFile(path, 'old');
      const replace: Edit['run'] = async draft => {
        await rm(draft);
        await writeFile(draft, 'new', { mode: 0o666 });
        await chmod(draft, 0o666);
      };
      expect(await edit(replace)).to.equal(true);
      expect(await readFile(path, 'utf8')).to.equal('new');
      expect(await edit(draft => rm(draft))).to.equal(false);
      expect(await readFile(path, 'utf8')).to.equal('new');
      expect(await readdir(folder)).to.deep.equal(['config.toml']);
    });

    it('does not lose what another has changed meanwhile, nor the text', async () => {
      await writeFile(path, 'old');
      const both: Edit['run'] = async draft => {
        await changeConfigFile(path, () => 'theirs');
        await writeFile(draft, 'mine');
      };
      await failsWith(
        'in-use',
        edit(both),
        /another has changed it meanwhile; compare it with "[^"]+", which has your text/,
      );
      expect(await readFile(path, 'utf8')).to.equal('theirs');
      expect(await edit(sees('mine'))).to.equal(true);
      expect(await readFile(path, 'utf8')).to.equal('mine');
    });

    it('is edited by one at a time', async () => {
      const other: Edit['run'] = () => failsWith('in-use', edit(type('x')), /another process is at it/);
      await edit(other);
    });
  });
});
