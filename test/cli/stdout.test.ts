import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MODULE = new URL('../../cli/stdout.ts', import.meta.url).href;
/** `ulimit -f` counts in these (POSIX). */
const UNIT_BYTES = 512;

describe('stdout', function () {
  let folder: string;
  before(function () {
    if (process.platform === 'win32') this.skip();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-stdout-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** What a process says on stderr that writes `sizes` bytes one after the other to stdout. */
  async function write(sizes: readonly number[], redirection: string, before = ':'): Promise<string> {
    const script = `import { standardOutput } from ${JSON.stringify(MODULE)};
      const output = standardOutput();
      output.on('error', error => console.error(error.code));
      for (const size of ${JSON.stringify(sizes)}) output.write(Buffer.alloc(size, 'x'));`;
    const command = `${before}; exec "$0" --disable-warning=ExperimentalWarning --input-type=module -e "$1" ${redirection}`;
    const child = spawn('/bin/sh', ['-c', command, process.execPath, script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: folder,
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.stdout.resume();
    await once(child, 'close');
    return said;
  }

  it('fails where only a part of what is written fits into the file', async () => {
    expect(await write([1000, 2000], '> out', 'ulimit -f 4')).to.equal('EFBIG\n');
    expect((await readFile(join(folder, 'out'))).length).to.equal(4 * UNIT_BYTES);
    if (process.platform === 'linux') expect(await write([10], '> /dev/full')).to.equal('ENOSPC\n');
  });

  it('takes all that fits, behind what is there', async () => {
    expect(await write([1000, 300_000, 3], '> out')).to.equal('');
    expect(await write([5], '>> out')).to.equal('');
    expect((await readFile(join(folder, 'out'))).length).to.equal(301_008);
    expect(await write([70_000], '| cat > out')).to.equal('');
    expect((await readFile(join(folder, 'out'))).length).to.equal(70_000);
  });
});
