import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Surroundings } from '../../cli/context.ts';
import { terminalOf } from '../../cli/main.ts';
import { givenPassphrase, newPassphrase } from '../../cli/passphrase.ts';
import { ShoalError } from '../../src/errors.ts';
import { failureOf } from '../format/failure.ts';
import { Keyboard } from './keyboard.ts';
import { Screen } from './world.ts';

/** The code and message of the ShoalError that it fails with. */
async function refusalOf(work: Promise<unknown>): Promise<string> {
  const { code, message } = await failureOf(() => work);
  return `${code}: ${message}`;
}

interface World extends Surroundings {
  readonly stdin: Keyboard;
  readonly stderr: Screen;
  readonly stop: AbortController;
}

describe('A passphrase', () => {
  let cwd: string;
  beforeEach(async () => void (cwd = await mkdtemp(join(tmpdir(), 'shoal-passphrase-'))));
  afterEach(async () => await rm(cwd, { recursive: true, force: true }));

  function world({ isTTY = true, env = {} }: { isTTY?: boolean; env?: Record<string, string> } = {}): World {
    const [stdout, stderr] = [new Screen(isTTY ? 80 : undefined), new Screen(isTTY ? 80 : undefined)];
    const stop = new AbortController();
    const terminal = terminalOf([], { stdout, stderr, env });
    const stdin = new Keyboard(isTTY);
    return { terminal, signal: stop.signal, cwd, env, stdin, stdout: new PassThrough(), stderr, stop };
  }

  const given = (at: World, flags = {}): Promise<string | undefined> => givenPassphrase(at, flags, 'passphrase:');

  describe('that something was sealed with', () => {
    it('is the first line of a file, of stdin, or of a variable, in this order', async () => {
      await writeFile(join(cwd, 'file'), 'correct horse battery\r\nmore\n');
      const env = { SHOAL_PASSPHRASE: 'of the variable' };
      expect(await given(world({ env }), { passphraseFile: 'file' })).to.equal('correct horse battery');
      expect(await given(world({ env }))).to.equal('of the variable');
      expect(await given(world({ env }), { passphrase: true })).to.equal('of the variable');
      const piped = world({ isTTY: false });
      piped.stdin.write('from ');
      const read = given(piped, { passphraseFile: '-' });
      piped.stdin.write('stdin\nmore');
      expect(await read).to.equal('from stdin');
    });

    it('is none where none is given and nobody can be asked', async () => {
      expect(await given(world({ isTTY: false }))).to.equal(undefined);
      expect(await given(world({ isTTY: false, env: { SHOAL_PASSPHRASE: '' } }))).to.equal(undefined);
      const refusal = await refusalOf(given(world({ isTTY: false }), { passphrase: 'ask' }));
      expect(refusal).to.match(/^usage: cannot ask for the passphrase: nobody sits/);
    });

    it('is refused as an argument, and not shown', async () => {
      const refusal = await refusalOf(given(world(), { passphrase: 'hunter2-hunter2' }));
      expect(refusal).to.match(/^usage: --passphrase takes no passphrase: .* SHOAL_PASSPHRASE/);
      expect(refusal).not.to.include('hunter2');
    });

    const wrong: Record<string, [content: Uint8Array, why: RegExp]> = {
      'is empty': [Buffer.from('\nsecond line'), /^usage: cannot use the passphrase: it is empty/],
      'is nothing but the mark of UTF-8': [Buffer.from('\ufeff\n'), /it is empty/],
      'is longer than the limit': [Buffer.alloc(1001, 'x'), /longer than 1000 bytes/],
      'is much longer': [Buffer.alloc(100_000, 'x'), /longer than 1000 bytes/],
      'is no text': [Buffer.of(0x66, 0xff, 0x0a), /not text in UTF-8/],
    };
    for (const [what, [content, why]] of Object.entries(wrong)) {
      it(`is refused where it ${what}`, async () => {
        await writeFile(join(cwd, 'file'), content);
        expect(await refusalOf(given(world(), { passphraseFile: 'file' }))).to.match(why);
      });
    }

    it('may have as many bytes as the limit', async () => {
      await writeFile(join(cwd, 'file'), 'é'.repeat(500));
      expect(await given(world(), { passphraseFile: 'file' })).to.have.lengthOf(500);
      await writeFile(join(cwd, 'file'), `${'é'.repeat(500)}\r\n`);
      expect(await given(world(), { passphraseFile: 'file' })).to.have.lengthOf(500);
    });

    it('says which file can not be read', async () => {
      const refusal = await refusalOf(given(world(), { passphraseFile: 'none' }));
      expect(refusal).to.equal('io: cannot read the passphrase: it does not exist');
    });

    it('is not asked for and read from a file at once', async () => {
      const refusal = await refusalOf(given(world(), { passphrase: 'ask', passphraseFile: 'file' }));
      expect(refusal).to.match(/do not go together/);
    });
  });

  describe('that is typed', () => {
    /** What came of it, when these keys were pressed one after the other once the question stood there. */
    async function typed(...keys: (string | Buffer)[]): Promise<{ at: World; answer: Promise<string | undefined> }> {
      const at = world({ env: { SHOAL_PASSPHRASE: 'of the variable' } });
      const answer = given(at, { passphrase: 'ask' });
      answer.catch(() => undefined);
      for (const key of keys) {
        at.stdin.write(key);
        await new Promise(setImmediate);
      }
      return { at, answer };
    }

    it('is asked for on stderr, not shown, and ends with Enter', async () => {
      const { at, answer } = await typed('s', 'é', 'cret');
      expect(at.stdin.isRaw).to.equal(true);
      at.stdin.write('\r');
      expect(await answer).to.equal('sécret');
      expect(at.stderr.text).to.equal('passphrase: \n');
      expect([at.stdin.isRaw, at.stdin.changes, at.stdin.isPaused()]).to.deep.equal([false, 2, true]);
    });

    it('can be mended and pasted, and keys that stand for no character are nothing', async () => {
      expect(await (await typed('abx\u007f', 'c\u0008c\r')).answer).to.equal('abc');
      expect(await (await typed('wrong\u0015right\r')).answer).to.equal('right');
      expect(await (await typed('a\u001b[D\u001bOAb\t\u001b[3~c\r')).answer).to.equal('abc');
      expect(await (await typed('\u001b[200~pasted words\u001b[201~\r')).answer).to.equal('pasted words');
      expect(await (await typed('a👍\u007fb\r')).answer).to.equal('ab');
    });

    it('may come in parts of characters', async () => {
      const bytes = Buffer.from('é東\r');
      const parts = Array.from(bytes, (_, n) => bytes.subarray(n, n + 1));
      expect(await (await typed(...parts)).answer).to.equal('é東');
    });

    it('is given up with Ctrl-C, and the terminal is as before', async () => {
      const { at, answer } = await typed('abc', '\u0003');
      expect(await refusalOf(answer)).to.match(/^interrupted: /);
      expect(at.stdin.isRaw).to.equal(false);
    });

    it('is given up with a signal, and the terminal is as before', async () => {
      const { at, answer } = await typed('abc');
      at.stop.abort(new ShoalError('interrupted', 'told to'));
      expect(await refusalOf(answer)).to.match(/told to/);
      expect(at.stdin.isRaw).to.equal(false);
      expect(at.stdin.listenerCount('data')).to.equal(0);
    });

    it('is refused where it is empty, or the terminal has gone', async () => {
      expect(await refusalOf((await typed('\r')).answer)).to.match(/it is empty/);
      const { at, answer } = await typed();
      at.stdin.end();
      expect(await refusalOf(answer)).to.match(/it is empty/);
    });
  });

  describe('to seal with', () => {
    it('is made here, another each time, unless one is given', async () => {
      const made = await Promise.all([newPassphrase(world(), {}), newPassphrase(world(), { passphrase: true })]);
      for (const { passphrase, isGenerated } of made) {
        expect(isGenerated).to.equal(true);
        expect(passphrase).to.match(/^(?:[b-z][aiou][b-z][aiou][b-z]-){4}[b-z][aiou][b-z][aiou][b-z]$/);
      }
      expect(made[0].passphrase).not.to.equal(made[1].passphrase);
      const env = { SHOAL_PASSPHRASE: 'of the variable' };
      expect(await newPassphrase(world({ env }), {})).to.deep.equal({
        passphrase: 'of the variable',
        isGenerated: false,
      });
    });

    it('is asked for twice, also when both are pasted at once', async () => {
      const at = world();
      at.stdin.write('a long one of mine\ra long one of mine\r');
      expect(await newPassphrase(at, { passphrase: 'ask' })).to.deep.equal({
        passphrase: 'a long one of mine',
        isGenerated: false,
      });
      expect(at.stderr.text).to.equal('new passphrase: \nonce more: \n');
    });

    it('is refused where it is typed in two ways', async () => {
      const at = world();
      const answer = newPassphrase(at, { passphrase: 'ask' });
      at.stdin.write('a long one of mine\r');
      await once(at.stdin, 'pause');
      at.stdin.write('a long one of mime\r');
      expect(await refusalOf(answer)).to.match(/it was typed in two ways/);
      expect(at.stderr.text).not.to.include('mine');
    });

    it('is warned of where it is short', async () => {
      const at = world({ env: { SHOAL_PASSPHRASE: 'elevenchars' } });
      expect((await newPassphrase(at, {})).passphrase).to.equal('elevenchars');
      expect(at.stderr.text).to.match(/^shoal: the passphrase has fewer than 12 characters: /);
      const long = world({ env: { SHOAL_PASSPHRASE: 'twelve chars' } });
      await newPassphrase(long, {});
      expect(long.stderr.text).to.equal('');
      const composed = world({ env: { SHOAL_PASSPHRASE: 'e\u0301'.repeat(6) } });
      await newPassphrase(composed, {});
      expect(composed.stderr.text).to.match(/fewer than 12/);
    });
  });
});
