/** Completion, by what the definitions say and by the shells themselves. */
import { expect } from 'chai';
import { Command, Option } from 'commander';
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { completion, type Shell } from '../../cli/commands/completion.ts';
import { levelsOf, wordsOf } from '../../cli/completion/words.ts';
import { definitionsOf } from '../../cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { idOf } from '../../src/format/ids.ts';
import { openRecords } from '../../src/records.ts';

const PROJECT = join(import.meta.dirname, '../..');
const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];
const program = definitionsOf('1.2.3');

describe('the words of a program', () => {
  it('are what its definitions say, at every depth', () => {
    const small = new Command('small').option('-v, --verbose', 'say more').helpCommand(false);
    small
      .command('get')
      .description('gets it')
      .argument('<id>')
      .argument('[file...]')
      .addOption(new Option('-m, --mode <mode>', 'how').choices(['a', 'b']))
      .addOption(new Option('--secret', 'not in the help').hideHelp());
    const group = small.command('group').helpCommand(false);
    group.command('below').option('--to <folder>', 'where to; repeatable');
    small.command('hidden', { hidden: true });
    const [top, get, , below, ...others] = levelsOf(wordsOf(small));
    expect(others).to.deep.equal([]);
    expect(top?.flags.flatMap(({ names }) => names)).to.deep.equal(['-v', '--verbose', '-h', '--help']);
    expect(get).to.deep.equal({
      path: 'get',
      description: 'gets it',
      levels: [],
      flags: [
        {
          names: ['-m', '--mode'],
          description: 'how',
          isMany: false,
          value: { name: 'mode', choices: ['a', 'b'], kind: 'other', isMany: false },
        },
      ],
      values: [
        { name: 'id', choices: [], kind: 'shares', isMany: false },
        { name: 'file', choices: [], kind: 'files', isMany: true },
      ],
    });
    expect([below?.path, below?.flags[0]?.isMany, below?.flags[0]?.value?.kind]).to.deep.equal([
      'group below',
      true,
      'folders',
    ]);
  });

  for (const shell of SHELLS) {
    it(`are all in the script for ${shell}`, () => {
      const script = completion(shell, program);
      const spelled = (name: string): string => (shell === 'fish' ? name.replace(/^--?/, '') : name);
      for (const { path, flags } of levelsOf(wordsOf(program))) {
        for (const word of [...path.split(' '), ...flags.flatMap(({ names }) => names.map(spelled))])
          expect(script).to.match(new RegExp(`(?<![\\w-])${word}(?![\\w-])`), word);
      }
    });
  }
});

/** The words that are left to choose from at the end of a line, in any order; options where a shell offers them unasked, left out. */
const OFFERED: readonly [line: string, words: readonly string[] | 'shares' | 'transfers' | 'ids' | 'files'][] = [
  ['shoal fe', ['fetch']],
  ['shoal -q --dht off --listen fetch fo', ['forget']],
  ['shoal fetch --o', ['--only', '--output']],
  ['shoal export --de', ['--debug']],
  ['shoal --dht ', ['auto', 'client', 'off', 'server']],
  ['shoal ls --dht=c', ['client']],
  ['shoal completion ', ['bash', 'fish', 'zsh']],
  ['shoal share my', 'files'],
  ['shoal share --copy -- my', 'files'],
  ['shoal fetch -o my', 'files'],
  ['shoal import my', 'files'],
  ['shoal share --name my', []],
  ['shoal fetch my', []],
  ['shoal shares my', []],
  ['shoal forget b', 'shares'],
  ['shoal --json export --force ', 'shares'],
  ['shoal forget -q b', 'shares'],
  ['shoal forget x b', []],
  ['shoal help fe', ['fetch']],
  ['shoal relays li', ['list']],
  ['shoal config get network.m', ['network.max-connections', 'network.mdns']],
  ['shoal config unset rate.', ['rate.down', 'rate.up']],
  ['shoal config set rate.', ['rate.down', 'rate.up']],
  ['shoal config set network.dht ', ['auto', 'client', 'off', 'server']],
  ['shoal config set -q network.mdns f', ['false']],
  ['shoal config set network.listen ', []],
  ['shoal transfers cancel ', 'transfers'],
  ['shoal transfers pause ', 'ids'],
  ['shoal transfers resume b', 'shares'],
];

const FILES = ['my file.txt', 'my folder'];

/** Programs that take a script and lines, and print `LINE n` and the words offered for each. */
const DRIVERS: Readonly<Record<Shell, string>> = {
  bash: `
source "$1"; shift
for line; do
  echo LINE
  # As readline does: a word more where the line ends with a space, and = stands alone.
  read -ra COMP_WORDS <<< "\${line//=/ = }"
  [[ $line == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  _shoal
  printf '%s\\n' "\${COMPREPLY[@]}"
done`,
  fish: `
source $argv[1]
for line in $argv[2..-1]
  echo LINE
  complete -C $line | string replace -r '\\t.*' '' | string replace -r '^--dht=' '' | string replace -r '/$' ''
end
exit 0`,
  zsh: `
zmodload zsh/zpty || exit 1
zpty inner zsh -f -i
zpty -w inner "PROMPT= RPROMPT=; stty -echo; autoload -Uz compinit; compinit -u -D; source \${(q)1}"
zpty -w inner 'compadd() { local -a found; if [[ " $* " != *" -"[OAD]" "* ]]; then builtin compadd -A found "$@"; print -rl -- "" "FOUND "\${(Q)^found}; fi; builtin compadd "$@" }'
zpty -w inner 'tell() { _main_complete; compstate[insert]= compstate[list]=; print -l "" END }'
zpty -w inner 'zle -C tell complete-word tell; bindkey "^I" tell; print READ""Y'
zpty -r inner out '*READY*' || exit 1
shift
for line; do
  echo LINE
  zpty -w -n inner "$line"$'\\t'
  zpty -r inner out '*END*' || exit 1
  for found in \${(M)\${(f)out//$'\\r'}:#FOUND *}; do print -r -- \${found#FOUND }; done
  zpty -w -n inner $'\\C-u'
done
zpty -d inner`,
};

const isBuilt = existsSync(join(PROJECT, 'dist/program/main.js'));

(isBuilt ? describe : describe.skip)('completion of the program', () => {
  let folder: string;
  let env: NodeJS.ProcessEnv;
  let shares: string[];
  let transfers: string[];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-completion-'));
    for (const name of ['bin', 'work/my folder']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'work/my file.txt'), '');
    const launcher = `#!/bin/sh\nexec '${process.execPath}' '${join(PROJECT, 'bin/shoal.js')}' "$@"\n`;
    writeFileSync(join(folder, 'bin/shoal'), launcher, { mode: 0o700 });
    env = {
      PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
      HOME: folder,
      TERM: 'dumb',
      LC_ALL: 'C.UTF-8',
      SHOAL_HOME: join(folder, 'home'),
      XDG_RUNTIME_DIR: folder,
    };
    const { catalog } = await openRecords(join(folder, 'home'), { clock: systemClock, random: randomBytes });
    const ids = [1, 2].map(byte => idOf(new Uint8Array(32).fill(byte)));
    for (const [n, id] of ids.entries()) {
      const more = { kind: 'file', sizeBytes: 5, files: 1, source: 'imported', hints: [], serveAlways: false } as const;
      catalog.add({ id, name: `it's: [a] "b" ${n}`, createdAt: n, ...more }, {});
    }
    transfers = ['t1', 't23'];
    for (const [n, id] of transfers.entries())
      catalog.transfers.add(
        { id, share: ids[n]!, output: folder, only: [], force: false, keep: false, state: 'paused', createdAt: n },
        `shoal:${ids[n]}.${'A'.repeat(43)}`,
      );
    catalog.close();
    shares = ids.map(id => id.slice(0, 16));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** What a shell offers at the end of each line. */
  async function offered(shell: Shell, lines: readonly string[], changes: NodeJS.ProcessEnv = {}) {
    const script = join(folder, `script.${shell}`);
    const driver = join(folder, `driver.${shell}`);
    writeFileSync(
      script,
      `${completion(shell, program)}
`,
    );
    writeFileSync(driver, DRIVERS[shell]);
    const plain = { bash: ['--norc'], zsh: ['-f'], fish: ['--no-config'] }[shell];
    const options = { cwd: join(folder, 'work'), env: { ...env, ...changes } };
    const { stdout, stderr } = await promisify(execFile)(shell, [...plain, driver, script, ...lines], options);
    expect(stderr).to.equal('');
    const [, ...answers] = stdout.split('LINE\n');
    return answers.map(answer => [...new Set(answer.split('\n').filter(word => word !== ''))].sort());
  }

  for (const shell of SHELLS) {
    const isThere = spawnSync(shell, ['--version']).status === 0;
    const test = isThere ? it : it.skip;
    const why = isThere ? '' : ` (${shell} is not installed)`;

    test(`offers in ${shell} what fits the place, and nothing for links${why}`, async () => {
      const answers = await offered(
        shell,
        OFFERED.map(([line]) => line),
      );
      for (const [n, [line, words]] of OFFERED.entries()) {
        const unasked = (word: string): boolean =>
          word.startsWith('-') && !line.includes(' --o') && !line.endsWith('--de');
        const named = { files: FILES, shares, transfers, ids: [...transfers, ...shares] };
        const expected = typeof words === 'string' ? named[words] : words;
        expect(
          answers[n]?.filter(word => !unasked(word)),
          line,
        ).to.deep.equal([...expected].sort());
      }
    }).timeout(60_000);

    test(`is silent in ${shell} where the shares can not be had${why}`, async () => {
      writeFileSync(join(folder, 'no-home'), '');
      const [answer] = await offered(shell, ['shoal forget b'], { SHOAL_HOME: join(folder, 'no-home') });
      expect(answer?.filter(word => !word.startsWith('-'))).to.deep.equal([]);
    }).timeout(60_000);
  }
});
