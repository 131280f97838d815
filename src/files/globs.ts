/** Globs that choose among the entries of a folder, as "fetch --only" and "share --exclude" take them. */
import picomatch from 'picomatch';
import { ShoalError } from '../errors.ts';
import { quoted } from '../format/quoted.ts';
import { MAX_PATH_BYTES } from '../limits.ts';

/**
 * Tells whether a path is meant by `glob`: without a slash it is held against each segment, else against the path from its
 * beginning; what names a folder means all in it. Paths are relative, with `/` between segments.
 * @throws ShoalError `usage` for one that can mean nothing
 */
export function matcherOf(glob: string): (path: string) => boolean {
  const plain = glob.replace(/\/+$/, '');
  if (plain.length > MAX_PATH_BYTES)
    throw new ShoalError('usage', `cannot match with the glob ${quoted(glob)}: it is longer than any path`);
  if (plain === '')
    throw new ShoalError('usage', `cannot match anything with the glob ${quoted(glob)}: it names no file or folder`);
  const anywhere = plain.includes('/') ? plain : `**/${plain}`;
  // A "!" in front would turn around what the others choose; it stands for itself.
  const matchers = [anywhere, `${anywhere}/**`].map(pattern => picomatch(pattern, { dot: true, nonegate: true }));
  return path => matchers.some(matches => matches(path));
}
