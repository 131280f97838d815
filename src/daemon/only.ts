/** Which entries of a share are wanted, by globs. */
import { matcherOf } from '../files/globs.ts';

/** All where there are no globs. */
export function onlyOf(globs: readonly string[]): { only?: (path: string) => boolean } {
  if (globs.length === 0) return {};
  const matchers = globs.map(matcherOf);
  return { only: path => matchers.some(matches => matches(path)) };
}
