/** What people see of a fetch on a real terminal. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { widthOf } from '../../cli/columns.ts';
import { TEST_TIMEOUT_MS, through, useSandbox } from './harness.ts';
import { useLines, type Line } from './line.ts';
import { hasScreens, useScreens } from './screen.ts';

const MIB = 1024 * 1024;
const NAME = 'हिन्दी 東京 👨\u200d👩\u200d👧 and a long name that goes on';

describe('On a terminal', function () {
  this.timeout(TEST_TIMEOUT_MS);
  before(function () {
    if (!hasScreens) this.skip();
  });
  const screenOf = useScreens(() => box());
  const lineTo = useLines();
  const box = useSandbox();

  /** Shares a file of some MiB, and keeps the link through a line in the file `link`. */
  async function served(): Promise<Line> {
    await writeFile(box().path('file'), Buffer.alloc(8 * MIB, 'shoal'));
    const { link } = await box().share('alice', box().path('file'), ['--name', NAME]);
    const line = await lineTo(link);
    await writeFile(box().path('link'), through(link, line.port));
    return line;
  }

  const isProgress = (row: string): boolean => /\d%/.test(row);

  it('progress keeps to one row, also when the window becomes narrower, and leaves nothing behind', async () => {
    const line = await served();
    const screen = await screenOf('bob', 70);
    const held = line.holdAfter(4 * MIB);
    await screen.enter('shoal fetch - -o to < link');
    await held;
    const onlyLast = (rows: string[]): boolean => rows.findIndex(isProgress) === rows.length - 1;
    // Nothing moves any more, so that nothing is drawn while tmux has the new size and the program has not been told of it.
    const stands = /\d% {2}(waiting|looking for peers)/;
    const wide = await screen.until(rows => stands.test(rows.at(-1) ?? ''), 'what is waited for');
    expect(onlyLast(wide), wide.join('\n')).to.equal(true);
    await screen.resize(30);
    await screen.until(
      rows => onlyLast(rows) && rows.at(-2)?.endsWith(': 8.4 MB') === true,
      'progress in one row of 30 columns, right below what was said before',
    );
    await screen.resize(70);
    line.release();
    const ended = await screen.until(rows => rows.at(-1) === '$', 'the end');
    expect(ended.filter(isProgress)).to.deep.equal([]);
    expect(ended.at(-2)).to.match(/^done: 8\.4 MB/);
  });

  it('a command in the background leaves the prompt to who types there', async function () {
    if (process.platform !== 'linux') this.skip();
    const line = await served();
    const screen = await screenOf('bob', 70);
    const held = line.holdAfter(3 * MIB);
    await screen.enter('shoal fetch - -o to < link &');
    await screen.until(rows => rows.some(row => row.endsWith(': 8.4 MB')), 'what is fetched');
    await screen.type('echo typed');
    await held;
    line.release();
    await line.holdAfter(line.bytes + 2 * MIB);
    await screen.press('Enter');
    const rows = await screen.until(found => found.includes('typed'), 'what was typed');
    expect(rows.filter(isProgress)).to.deep.equal([]);
    await screen.enter('fg');
    await screen.until(found => isProgress(found.at(-1) ?? ''), 'progress');
    await screen.press('C-c');
    await screen.until(found => found.at(-2) === 'stopped; the same command goes on from here', 'how to go on');
  });

  it('names of all languages take the columns that are counted for them', async () => {
    const screen = await screenOf('bob', 70);
    for (const name of ['東京の写真', 'か\u3099き\u3099', '한국어', 'e\u0301te\u0301', 'हिन्दी', 'தமிழ்', 'ไทย', '🐟']) {
      await screen.enter(`clear; printf '%s' '${name}'; read`);
      await screen.until(rows => rows.length === 1 && rows[0] === name, name);
      expect(await screen.cursor(), name).to.equal(widthOf(name));
      await screen.press('Enter');
      await screen.until(rows => rows.at(-1) === '$', 'a prompt');
    }
  });
});
