/** Paths as they are given on the command line. */
import { resolve } from 'node:path';
import { ShoalError } from '../src/errors.ts';

/**
 * The absolute path.
 * @throws ShoalError `usage` for an empty one, as scripts make of a variable that is not set: it would be the current folder
 */
export function pathAt(cwd: string, given: string): string {
  if (given !== '') return resolve(cwd, given);
  throw new ShoalError(
    'usage',
    'cannot use a path that is empty; is a variable of the script not set? The current folder is "."',
  );
}
