import { expect } from 'chai';
import { matcherOf } from '../../src/files/globs.ts';

describe('A glob', () => {
  const cases: readonly [glob: string, means: readonly string[], meansNot: readonly string[]][] = [
    ['*.jpg', ['a.jpg', 'x/y/a.jpg', '.jpg', 'a.jpg/in/it'], ['a.jpeg', 'jpg']],
    ['sub', ['sub', 'sub/x', 'a/sub', 'a/sub/x/y'], ['subs', 'a/xsub']],
    ['sub/', ['sub', 'a/sub/x'], ['subs']],
    ['a/b', ['a/b', 'a/b/c'], ['x/a/b', 'b']],
    ['a/*', ['a/b', 'a/.b/c'], ['a', 'b']],
    ['**/b', ['b', 'a/b', 'a/c/b/d'], ['a/bc']],
    ['{a,b}*', ['a1', 'x/b2'], ['c']],
    ['[ab]', ['a', 'x/b'], ['ab']],
    ['!x', ['!x', 'a/!x'], ['x', 'y']],
    ['.*', ['.git', 'a/.git/config'], ['git']],
    ['\\*', ['*'], ['a']],
  ];
  for (const [glob, means, meansNot] of cases) {
    it(`${glob} means what it should`, () => {
      const matches = matcherOf(glob);
      expect(means.filter(path => !matches(path))).to.deep.equal([]);
      expect(meansNot.filter(matches)).to.deep.equal([]);
    });
  }
});
