import { expect } from 'chai';
import { oneOf } from '../../src/format/quoted.ts';

describe('The names of which one is meant', () => {
  it('are all there when they are few, and counted when they are many', () => {
    expect(oneOf(['a'])).to.equal('"a"');
    expect(oneOf(['a', 'b'])).to.equal('"a" or "b"');
    expect(oneOf(['a', 'b', 'c'])).to.equal('"a", "b" or "c"');
    expect(oneOf(['a', 'b', 'c', 'd'])).to.equal('"a", "b", "c" or another one');
    expect(oneOf(Array.from('abcdefghij'))).to.equal('"a", "b", "c" or one of 7 others');
  });

  it('are escaped', () => {
    expect(oneOf(['a\u001b', 'b'])).to.equal('"a\\u{1b}" or "b"');
  });
});
