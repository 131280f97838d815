import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { ERROR_CODES, exitCodeOf, fileError, ShoalError, type ErrorCode } from '../src/errors.ts';

describe('errors', () => {
  it('are all described in docs/errors.md, with their exit codes', () => {
    const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `([a-z-]+)` \| (\d+) \|/gm)].map(([, code, exit]) => [code, Number(exit)]);
    expect(rows).to.deep.equal(Object.keys(ERROR_CODES).map(code => [code, exitCodeOf(code as ErrorCode)]));
  });

  it('of the file system say what was tried and keep the cause', () => {
    const cause = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    const error = fileError(cause, 'write "x"');
    expect(error).to.include({ code: 'disk-full', cause });
    expect(error.message).to.match(/^cannot write "x": no space is left/);
  });

  it('are not wrapped twice', () => {
    const error = new ShoalError('exists', 'cannot make "x": it exists already');
    expect(fileError(error, 'do more')).to.equal(error);
  });
});
