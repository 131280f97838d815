/** Whether the files of a share are still where they were. */
import { existsSync, lstatSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { fileError } from '../errors.ts';
import { showName } from '../files/names.ts';
import { pathsOf, type Root } from '../format/layout.ts';
import { LOOKS_AT_ONCE, SLOW_LOOK_MS } from '../limits.ts';
import { Pace } from '../pace.ts';
import { inParallel } from '../parallel.ts';

/** On a local disk a look takes less time than handing it to another thread, which counts with ten thousand shares. */
const looks = new Pace(SLOW_LOOK_MS);

/** The first of the paths of `root` at which nothing can be reached; undefined when all are there. @throws ShoalError by `fileError` */
export async function goneOf(root: Root): Promise<string | undefined> {
  const gone = new Set<string>();
  const paths = pathsOf(root);
  await inParallel(paths, LOOKS_AT_ONCE, async path => {
    try {
      const seen = await looks.step(
        () => lstatSync(path, { throwIfNoEntry: false }),
        () => lstat(path),
      );
      if (seen === undefined) gone.add(path);
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw fileError(error, `look at "${showName(path)}"`);
      gone.add(path);
    }
  });
  return paths.find(path => gone.has(path));
}

/** Likewise, at once, for a single path; undefined where that has to be waited for, or is not so simple. */
export function isGoneNow(root: Root): boolean | undefined {
  if (typeof root !== 'string') return undefined;
  const seen = looks.now(() => existsSync(root));
  return seen === undefined ? undefined : !seen[0];
}
