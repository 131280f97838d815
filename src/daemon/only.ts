/** Which entries of a share are wanted, by globs. */
import picomatch from 'picomatch';

/** A pattern without a slash is held against the last segment, and one that names a folder takes all in it. */
export function onlyOf(globs: readonly string[]): { only?: (path: string) => boolean } {
  if (globs.length === 0) return {};
  const matchers = globs.flatMap(glob => {
    const plain = glob.replace(/\/+$/, '');
    // With matchBase only the last segment would be looked at, also where the pattern has several.
    return [picomatch(plain, { dot: true, matchBase: !plain.includes('/') }), picomatch(`${plain}/**`, { dot: true })];
  });
  return { only: path => matchers.some(matches => matches(path)) };
}
