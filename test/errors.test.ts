import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import ts from 'typescript';
import { ERROR_CODES, exitCodeOf, fileError, ShoalError, type ErrorCode } from '../src/errors.ts';
import { nodesOf, parse, readSources } from './sources.ts';

/** What stands in docs/errors.md for what a message names. */
const PLACEHOLDER = /\b(?:FILE|WHAT|FOLDER|HOME|NAME|ID|ADDRESS|OPTION|TEXT|WHY|N|PID)\b/;

/** The stretches of a listed message that a source writes in one go: between what it names, and where it may put two together. */
function partsOf(message: string): string[] {
  return message
    .split(new RegExp(`${PLACEHOLDER.source}|: |; `))
    .map(part => part.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, ''))
    .filter(part => part !== '');
}

/** The strings of a source file, and the stretches of its templates. */
function textsOf(file: ts.SourceFile): string[] {
  return nodesOf(file).flatMap(node =>
    ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)
      ? [node.text]
      : [],
  );
}

describe('errors', () => {
  it('are all described in docs/errors.md, with their exit codes', () => {
    const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `([a-z-]+)` \| (\d+) \|/gm)].map(([, code, exit]) => [code, Number(exit)]);
    expect(rows).to.deep.equal(Object.keys(ERROR_CODES).map(code => [code, exitCodeOf(code as ErrorCode)]));
  });

  it('have a section each in docs/errors.md, with messages whose words are those of the source', () => {
    const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
    const sections = text.split(/^### /m).slice(1);
    expect(sections.map(section => /^`([a-z-]+)`/.exec(section)?.[1])).to.deep.equal(Object.keys(ERROR_CODES));
    const words = [...readSources('src', 'cli', 'relay')]
      .flatMap(([path, source]) => textsOf(parse(path, source)))
      .join('\n');
    const messages = sections.map(section => [...section.matchAll(/^- `(.*)`$/gm)].map(([, message = '']) => message));
    expect(messages.filter(({ length }) => length === 0)).to.deep.equal([]);
    const foreign = messages.flat().filter(message => !partsOf(message).every(part => words.includes(part)));
    expect(foreign, 'reworded in the source, or never there').to.deep.equal([]);
  });

  it('of the file system say what was tried and keep the cause', () => {
    const cause = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    const error = fileError(cause, 'write "x"');
    expect(error).to.include({ code: 'disk-full', cause });
    expect(error.message).to.match(/^cannot write "x": no space is left/);
  });

  it('of the file system name a next step, where the reason alone does not say it', () => {
    for (const code of [
      'ENOSPC',
      'EFBIG',
      'EACCES',
      'EROFS',
      'ENAMETOOLONG',
      'EINVAL',
      'ELOOP',
      'ENOTDIR',
      'EISDIR',
      'EIO',
    ])
      expect(fileError(Object.assign(new Error(code), { code }), 'write "x"').message).to.match(
        /^cannot write "x": .+; .+/,
      );
  });

  it('are not wrapped twice', () => {
    const error = new ShoalError('exists', 'cannot make "x": it exists already');
    expect(fileError(error, 'do more')).to.equal(error);
  });
});
