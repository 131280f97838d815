/** docs/threat-model.md and the tests that it names, in both directions. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { parse, readSources, type Sources } from './sources.ts';

/** A test as the page names it: its file below test/, and its title. */
interface Named {
  readonly file: string;
  readonly title: string;
}

/** `` `hostile/dht` *title* `` */
function namedIn(page: string): Named[] {
  return [...page.matchAll(/`([\w/-]+)` \*([^*\n]+)\*/g)].map(([, file = '', title = '']) => ({ file, title }));
}

/** The tests of a file, each with the titles of the groups that it is in, but for the outermost. What a title takes in is an ellipsis. */
function titlesIn(path: string, text: string): string[] {
  const titles: string[] = [];
  const visit = (node: ts.Node, groups: readonly string[]): void => {
    const call = ts.isCallExpression(node) && ts.isIdentifier(node.expression) ? node : undefined;
    const title = call?.arguments[0] === undefined ? '' : titleOf(call.arguments[0]);
    const what = call === undefined ? '' : call.expression.getText();
    if (what === 'it') titles.push([...groups.slice(1), title].join(' '));
    node.forEachChild(child => visit(child, what === 'describe' ? [...groups, title] : groups));
  };
  visit(parse(path, text), []);
  return titles;
}

function titleOf(node: ts.Node): string {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return '…';
  return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('');
}

/** Where the page and the tests differ. */
function differences(page: string, tests: Sources): string[] {
  const named = namedIn(page);
  const titles = new Map([...tests].map(([path, text]) => [path, titlesIn(path, text)]));
  const pathOf = ({ file }: Named): string => `test/${file}.test.ts`;
  const fits = (title: string, name: string): boolean => title === name || title.endsWith(` ${name}`);
  const missing = named.filter(one => !titles.get(pathOf(one))?.some(title => fits(title, one.title)));
  const hostile = [...titles].filter(([path]) => path.startsWith('test/hostile/'));
  const unnamed = hostile.flatMap(([path, all]) =>
    all
      .filter(title => !named.some(one => pathOf(one) === path && one.title === title))
      .map(title => `${path}: "${title}" is not named`),
  );
  return [...missing.map(one => `${pathOf(one)}: there is no "${one.title}"`), ...unnamed];
}

describe('the threat model', () => {
  const tests = new Map([
    ['test/hostile/a.test.ts', "describe('A', () => { it('b', f); describe('C', () => it(`d ${e} f`, f)); });"],
    ['test/net/g.test.ts', "describe('A', () => describe('C', () => it('h', f)));"],
  ]);

  it('finds tests that are gone, and hostile ones that are not named', () => {
    expect(differences('- x. `hostile/a` *b*, `hostile/a` *C d … f*, `net/g` *h*', tests)).to.deep.equal([]);
    expect(differences('- x. `hostile/a` *b*', tests)).to.deep.equal([
      'test/hostile/a.test.ts: "C d … f" is not named',
    ]);
    expect(differences('`hostile/a` *b* `hostile/a` *C d … f* `net/g` *i* `net/x` *h*', tests)).to.deep.equal([
      'test/net/g.test.ts: there is no "i"',
      'test/net/x.test.ts: there is no "h"',
    ]);
  });

  const page = readFileSync(new URL('../docs/threat-model.md', import.meta.url), 'utf8');

  it('names tests that there are, and every hostile one', () => {
    const files = new Set(namedIn(page).map(({ file }) => `test/${file}.test.ts`));
    const isAsked = (path: string): boolean => files.has(path) || path.startsWith('test/hostile/');
    const all = new Map([...readSources('test')].filter(([path]) => path.endsWith('.test.ts') && isAsked(path)));
    expect(differences(page, all)).to.deep.equal([]);
  });

  it('names a test in each line of what somebody can not do', () => {
    const lists = [...page.matchAll(/^Can't:\n\n((?:- .*\n)+)/gm)].flatMap(([, list = '']) => list.trim().split('\n'));
    expect(lists.length).to.be.greaterThan(20);
    expect(lists.filter(line => namedIn(line).length === 0)).to.deep.equal([]);
  });
});
